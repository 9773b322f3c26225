//! The coordinator's own books: what comes in and goes out by the operator's word.

use super::Told;
use super::world::{TENANT, World};
use crate::open::Options;
use crate::{AuditEntry, AuditQuery, Created, Error, Idempotency, MoneyOrder, TransferQuery, TransferRow};
use ciro_core::amount::Fri;
use ciro_core::id::{TenantId, TenantKey, TransferId};
use ciro_core::money::{AMOUNT_END, AccountKind, MoneyError, OPERATOR, TransferCode};

pub(super) fn tune(_: &mut Options) {}

fn order(w: &mut World, tenant: TenantKey, amount: u128) -> MoneyOrder {
    MoneyOrder { id: TransferId(w.id()), tenant, amount: Fri(amount), reference: None, note: None }
}

/// Balances of a tenant's accounts, in order of their kinds.
async fn balances(w: &World, tenant: TenantKey) -> Result<Vec<u128>, Error> {
    Ok(w.store.accounts(tenant).await?.iter().map(|account| account.balance().0).collect())
}

fn made(created: Created<TransferRow>) -> TransferRow {
    match created {
        Created::New(row) | Created::Replayed(row) => row,
    }
}

pub(super) async fn money_comes_in_and_goes_out_once(mut w: World) -> Told {
    let (other, now) = (TenantId(w.id()), w.now());
    let other = w.store.tenant_ensure(other, "other".into(), now).await?.key;
    assert_eq!(
        balances(&w, TENANT).await?,
        [0, 0, 0],
        "there are accounts before anything went through them"
    );

    let used = Some(Idempotency { key: [1; 16], fingerprint: [2; 16] });
    let first = MoneyOrder { note: Some("a first one".into()), ..order(&mut w, other, 100) };
    let deposited = made(w.store.deposit(TENANT, first.clone(), used, now).await?);
    assert_eq!(
        (deposited.no, deposited.id, deposited.note.as_deref()),
        (1, Some(first.id), Some("a first one"))
    );
    let again = order(&mut w, other, 100);
    assert_eq!(w.store.deposit(TENANT, again.clone(), used, now).await?, Created::Replayed(deposited));
    let mismatch = Some(Idempotency { key: [1; 16], fingerprint: [3; 16] });
    let refused = w.store.deposit(TENANT, again, mismatch, now).await;
    assert!(matches!(refused, Err(Error::IdempotencyMismatch)), "{refused:?}");

    // A name outside counts for as long as there are books.
    let named = |order: MoneyOrder| MoneyOrder { reference: Some("bank 7".into()), ..order };
    let seventh = named(order(&mut w, other, 50));
    let deposited = made(w.store.deposit(TENANT, seventh.clone(), None, now).await?);
    let (again, another) = (named(order(&mut w, other, 50)), named(order(&mut w, other, 51)));
    assert_eq!(
        w.store.deposit(TENANT, again, used.map(|u| Idempotency { key: [4; 16], ..u }), now).await?,
        Created::Replayed(deposited)
    );
    let refused = w.store.deposit(TENANT, another, None, now).await;
    assert!(matches!(refused, Err(Error::Taken { what: "reference" })), "{refused:?}");
    assert_eq!(balances(&w, other).await?, [150, 0, 0]);

    // What goes out may have the name of what came in.
    let all = named(order(&mut w, other, 150));
    let out = made(w.store.withdraw(TENANT, all, AccountKind::Available, None, now).await?);
    assert_eq!((out.no, out.transfer.code), (3, TransferCode::Withdraw));
    assert_eq!(balances(&w, other).await?, [0, 0, 0]);
    assert_eq!(balances(&w, OPERATOR).await?, [0, 0]);
    w.verified().await
}

pub(super) async fn what_is_not_there_does_not_go_out(mut w: World) -> Told {
    let now = w.now();
    let deposit = order(&mut w, TENANT, 70);
    w.store.deposit(TENANT, deposit, None, now).await?;
    for (from, amount, there) in [(AccountKind::Available, 71, 70), (AccountKind::Earned, 1, 0)] {
        let order = order(&mut w, TENANT, amount);
        let entry = AuditEntry::system(TENANT, "payment.withdraw", order.id);
        let refused = w.store.audited(entry).withdraw(TENANT, order, from, None, now).await;
        let needed = Fri(amount);
        assert!(
            matches!(refused, Err(Error::Money(MoneyError::Insufficient { there: t, needed: n })) if (t, n) == (Fri(there), needed)),
            "{refused:?}"
        );
    }
    for (from, amount) in [(AccountKind::Held, 1), (AccountKind::External, 1), (AccountKind::Available, 0)] {
        let order = order(&mut w, TENANT, amount);
        let refused = w.store.withdraw(TENANT, order, from, None, now).await;
        assert!(matches!(refused, Err(Error::Money(MoneyError::Impossible))), "{from:?} {refused:?}");
    }
    let too_much = order(&mut w, TENANT, AMOUNT_END.0);
    let refused = w.store.deposit(TENANT, too_much, None, now).await;
    assert!(matches!(refused, Err(Error::Money(MoneyError::Impossible))), "{refused:?}");
    let nobody = order(&mut w, TenantKey(99), 1);
    let refused = w.store.deposit(TENANT, nobody, None, now).await;
    assert!(matches!(refused, Err(Error::NotFound)), "{refused:?}");
    assert!(
        w.store.audit_list(TENANT, AuditQuery::default(), 10).await?.is_empty(),
        "what was refused left no row"
    );

    let taken = order(&mut w, TENANT, 70);
    let entry = AuditEntry::system(TENANT, "payment.withdraw", taken.id);
    w.store.audited(entry).withdraw(TENANT, taken, AccountKind::Available, None, now).await?;
    let rows = w.store.audit_list(TENANT, AuditQuery::default(), 10).await?;
    let said = (rows[0].before.as_deref(), rows[0].after.as_deref());
    let after = r#"{"account":"available","amount":"70","balance":"0","reference":null}"#;
    assert_eq!(said, (Some(r#"{"balance":"70"}"#), Some(after)));
    w.reopen().await?;
    assert_eq!(balances(&w, TENANT).await?, [0, 0, 0]);
    w.verified().await
}

pub(super) async fn each_sees_its_own_transfers_in_pages(mut w: World) -> Told {
    let (other, now) = (TenantId(w.id()), w.now());
    let other = w.store.tenant_ensure(other, "other".into(), now).await?.key;
    for n in 1..=7 {
        let tenant = if n % 2 == 0 { other } else { TENANT };
        let order = order(&mut w, tenant, n);
        w.store.deposit(TENANT, order, None, w.now()).await?;
        w.advance(10).await?;
    }
    let out = order(&mut w, TENANT, 2);
    w.store.withdraw(TENANT, out, AccountKind::Available, None, w.now()).await?;
    let page = async |w: &World, query: TransferQuery, limit| -> Result<Vec<u64>, Error> {
        Ok(w.store.transfers(query, limit).await?.iter().map(|row| row.no).collect())
    };
    let all = TransferQuery::default();
    assert_eq!(page(&w, all.clone(), 100).await?, [8, 7, 6, 5, 4, 3, 2, 1]);
    let own = TransferQuery { tenant: Some(TENANT), ..all.clone() };
    assert_eq!(page(&w, own.clone(), 3).await?, [8, 7, 5]);
    assert_eq!(page(&w, TransferQuery { before: Some(5), ..own.clone() }, 3).await?, [3, 1]);
    assert_eq!(page(&w, TransferQuery { tenant: Some(other), ..all.clone() }, 100).await?, [6, 4, 2]);
    let out = TransferQuery { code: Some(TransferCode::Withdraw), ..own.clone() };
    assert_eq!(page(&w, out, 100).await?, [8]);
    let (from, until) = (Some(now.plus_ms(20)), Some(now.plus_ms(50)));
    assert_eq!(page(&w, TransferQuery { from, until, ..all }, 100).await?, [5, 4, 3]);

    let totals = w.store.ledger_totals().await?;
    let of = |kind| totals.iter().find(|total| total.kind == kind).map(|total| total.balance);
    assert_eq!(of(AccountKind::Available), Some(Fri(26)));
    assert_eq!(of(AccountKind::External), Some(Fri(26)), "what is on accounts is owed to those outside");
    w.verified().await
}
