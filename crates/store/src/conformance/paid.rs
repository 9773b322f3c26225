//! The money of jobs as lists show it: what is locked, how it was shared out, what providers earned.

use super::payments::{FEE, RUN, from_balance, from_deposit};
use super::world::{TENANT, World, spec, succeeded};
use super::{Stage, Told};
use crate::open::Options;
use crate::{EarnedDay, Error, PaidJob, PaidQuery, RetentionPolicy};
use ciro_core::amount::Fri;
use ciro_core::command::Command;
use ciro_core::id::{JobId, SessionKey, TenantKey};
use ciro_core::job::SettlementState;
use ciro_core::money::{Method, Payment};
use ciro_core::time::Timestamp;

pub(super) fn tune(options: &mut Options) {
    options.policy.lease_ttl_ms = 4_000;
}

const DAY_MS: u64 = 24 * 3_600_000;

/// Submits a paid job and does it; what it comes to is [`RUN`].
async fn done(
    w: &mut World,
    session: SessionKey,
    payment: Payment,
) -> Result<JobId, Box<dyn std::error::Error + Send + Sync>> {
    let id = w.submit_paid(spec(), payment).await?;
    if payment.deposit.is_some() {
        w.store.command(Command::Fund { job: w.key(id).await? }).await?;
    }
    let lease = w.take_one(session).await?;
    w.advance(10).await?;
    w.report(session, lease.attempt, succeeded("done")?).await?;
    Ok(id)
}

/// All pages of a list, one job each.
async fn walk(w: &World, query: &PaidQuery) -> Result<Vec<PaidJob>, Error> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = w.store.paid_jobs(TENANT, PaidQuery { after, limit: 1, ..query.clone() }).await?;
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            let query = PaidQuery { limit: 200, ..query.clone() };
            assert_eq!(found, w.store.paid_jobs(TENANT, query).await?.items, "in one page as in many");
            return Ok(found);
        }
    }
}

fn ids(jobs: &[PaidJob]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

pub(super) async fn what_became_of_money_is_listed_also_from_the_archive(mut w: World) -> Told {
    w.store.endow(TENANT, Fri(100 * RUN)).await?;
    let worker = w.worker(1, 4).await?;
    let unpaid = w.submit(spec()).await?;
    w.take_one(worker.session).await?;
    let settled = done(&mut w, worker.session, from_balance(3 * RUN)).await?;
    let owed = done(&mut w, worker.session, from_deposit(2 * RUN, false, 1)).await?;
    let open = w.submit_paid(spec(), from_balance(RUN)).await?;

    let (all, ended) = (PaidQuery::default(), PaidQuery { ended: true, ..PaidQuery::default() });
    assert_eq!(ids(&walk(&w, &all).await?), [open, owed, settled]);
    let before = walk(&w, &ended).await?;
    assert_eq!(ids(&before), [owed, settled]);
    assert_eq!((before[0].escrow.method(), before[1].escrow.earned()), (Method::Escrow, Fri(RUN)));
    assert_eq!(before[1].settlement.refunded, Fri(2 * RUN));
    let filters = [
        (PaidQuery { states: vec![SettlementState::Locked], ..all.clone() }, vec![open]),
        (PaidQuery { states: vec![SettlementState::Settling], ..ended.clone() }, vec![owed]),
        (PaidQuery { method: Some(Method::Balance), ..all.clone() }, vec![open, settled]),
        (PaidQuery { job: Some(settled), ..ended.clone() }, vec![settled]),
        (PaidQuery { job: Some(unpaid), ..all.clone() }, vec![]),
    ];
    for (query, expected) in filters {
        assert_eq!(ids(&walk(&w, &query).await?), expected, "{query:?}");
    }
    let theirs = w.store.paid_jobs(TenantKey(2), PaidQuery { limit: 9, ..all.clone() }).await?;
    assert_eq!(theirs.items, [], "nothing of another tenant");

    // What the chain owes keeps its rows; the rest looks the same from the archive.
    let later = w.now().plus_ms(31 * DAY_MS);
    while w.store.retain_page(RetentionPolicy::default(), later).await?.is_full() {}
    assert!(w.store.job_get(TENANT, owed).await?.is_some());
    assert_eq!(ids(&walk(&w, &all).await?), [open, owed]);
    let after = walk(&w, &ended).await?;
    assert_eq!(after[1].archived_at, Some(later));
    assert_eq!([after[0].clone(), PaidJob { archived_at: None, ..after[1].clone() }], *before);
    assert_eq!(ids(&walk(&w, &PaidQuery { job: Some(settled), ..ended.clone() }).await?), [settled]);

    let job = w.key(owed).await?;
    let (paid, fee, refunded) = (Fri(RUN - FEE), Fri(FEE), Fri(RUN));
    w.store.command(Command::Settled { job, paid, fee, refunded }).await?;
    while w.store.retain_page(RetentionPolicy::default(), later).await?.is_full() {}
    assert!(w.store.job_get(TENANT, owed).await?.is_none(), "it is settled, and goes");
    let after = walk(&w, &ended).await?;
    assert_eq!((ids(&after), after[0].settlement.paid), (vec![owed, settled], paid));
    w.verified().await
}

pub(super) async fn earnings_are_counted_by_day(mut w: World) -> Told {
    w.store.endow(TENANT, Fri(100 * RUN)).await?;
    let first = w.now().0 / DAY_MS.cast_signed();
    for day in 0..3 {
        let worker = w.worker(day + 1, 4).await?;
        for _ in 0..=day {
            done(&mut w, worker.session, from_balance(3 * RUN)).await?;
        }
        w.clock.pass(DAY_MS);
        w.settle().await?;
    }
    let on = |day, payments: u64| EarnedDay {
        day: first + day,
        method: Method::Balance,
        payments,
        amount: Fri(u128::from(payments) * (RUN - FEE)),
    };
    let at = |day: i64| Timestamp((first + day) * DAY_MS.cast_signed());
    assert_eq!(w.store.earned(TENANT, at(0), at(9)).await?, [on(0, 1), on(1, 2), on(2, 3)]);
    assert_eq!(w.store.earned(TENANT, at(1), at(2)).await?, [on(1, 2)]);
    assert_eq!(w.store.earned(TENANT, at(3), at(9)).await?, []);
    assert_eq!(w.store.earned(TenantKey(2), at(0), at(9)).await?, []);
    let paid_at: Vec<_> =
        w.store.payout_addresses(TENANT).await?.iter().map(|address| address.bytes()).collect();
    assert_eq!(paid_at, [[1; 32]], "each address once");
    w.verified().await
}
