//! Paid jobs: what is locked before they begin, who earned what of it, and who gets it at their end.

use super::world::{PRICE, TENANT, World, spec, succeeded};
use super::{Stage, Told};
use crate::open::Options;
use crate::{Error, Idempotency, RetentionPolicy, Submit, TransferQuery};
use ciro_core::amount::Fri;
use ciro_core::command::Command;
use ciro_core::id::{JobId, TenantKey};
use ciro_core::job::{JobState, Settlement, SettlementState, StopCause};
use ciro_core::money::{Deposit, Escrow, MoneyError, OPERATOR, Payment};
use ciro_core::payout::PayoutAddress;
use ciro_core::spec::{JobSpec, Split};

pub(super) fn tune(options: &mut Options) {
    options.policy.stop_grace_ms = 1_000;
    options.policy.lease_ttl_ms = 4_000;
}

/// Ten thousandths of what providers earn that the operator keeps.
const FEE_BPS: u16 = 250;
/// What a run comes to whose worker measured 5 ms.
pub(super) const RUN: u128 = PRICE.0 * 5 / 3_600_000;
/// The fee on it.
pub(super) const FEE: u128 = RUN * FEE_BPS as u128 / 10_000;

/// Paid from the tenant's balance.
pub(super) fn from_balance(amount: u128) -> Payment {
    Payment { amount: Fri(amount), fee_bps: FEE_BPS, wall_ms: 60_000, deposit: None }
}

/// Paid from a deposit on the chain, each `salt` another one.
pub(super) fn from_deposit(amount: u128, splits: bool, salt: u8) -> Payment {
    let mut client = [0; 32];
    client[31] = 1;
    let deposit = PayoutAddress::new(client).map(|client| Deposit {
        client,
        salt: [salt; 32],
        id: [salt; 32],
        splits,
        lost_at: None,
    });
    Payment { deposit, ..from_balance(amount) }
}

async fn settlement<S: Stage>(w: &World<S>, id: JobId) -> Result<Settlement, Error> {
    Ok(w.job(id).await?.job.settlement)
}

fn is(state: SettlementState, [paid, fee, refunded, held]: [u128; 4]) -> Settlement {
    let escrowed = Fri(paid + fee + refunded + held);
    Settlement { state, escrowed, paid: Fri(paid), fee: Fri(fee), refunded: Fri(refunded), held: Fri(held) }
}

pub(super) async fn what_was_accepted_is_paid_whatever_becomes_of_the_job<S: Stage>(mut w: World<S>) -> Told {
    let amount = 3 * RUN;
    w.store.endow(TENANT, Fri(10 * amount)).await?;
    let worker = w.worker(1, 4).await?;
    for completes in [true, false] {
        let array = JobSpec { split: Some(Split::Array { count: 2 }), ..spec() };
        let id = w.submit_paid(array, from_balance(amount)).await?;
        let job = w.key(id).await?;
        w.store.command(Command::AddTasks { job, first: 0, inputs: vec![None; 2] }).await?;
        w.store.command(Command::Prepared { job }).await?;
        let leases = w.take(worker.session, 2).await?.leases;
        w.advance(10).await?;
        w.report(worker.session, leases[0].attempt, succeeded("first")?).await?;
        let running = is(SettlementState::Locked, [RUN - FEE, FEE, 0, amount - RUN]);
        assert_eq!(settlement(&w, id).await?, running);
        w.reopen().await?;
        assert_eq!(settlement(&w, id).await?, running, "after a restart");
        let escrow = w.job(id).await?.job.escrow.map(|escrow| (escrow.earned(), escrow.payees[0].live));
        assert_eq!(escrow, Some((Fri(RUN), 1)));
        let end = if completes {
            w.report(worker.session, leases[1].attempt, succeeded("second")?).await?;
            let fee = 2 * RUN * u128::from(FEE_BPS) / 10_000;
            (JobState::Completed, is(SettlementState::Settled, [2 * RUN - fee, fee, RUN, 0]))
        } else {
            w.store.command(Command::Stop { job, cause: StopCause::Cancel, grace_ms: 0 }).await?;
            (JobState::Cancelled, is(SettlementState::Settled, [RUN - FEE, FEE, 2 * RUN, 0]))
        };
        assert_eq!((w.job(id).await?.job.state, settlement(&w, id).await?), end);
    }
    w.verified().await
}

pub(super) async fn a_deposit_begins_a_job_and_holds_it_when_it_is_lost<S: Stage>(mut w: World<S>) -> Told {
    let worker = w.worker(1, 4).await?;
    let array = JobSpec { split: Some(Split::Array { count: 3 }), ..spec() };
    let id = w.submit_paid(array, from_deposit(4 * RUN, true, 1)).await?;
    let job = w.key(id).await?;
    assert_eq!(w.job(id).await?.job.state, JobState::AwaitingFunds);
    let again = w.submit_paid(spec(), from_deposit(4 * RUN, false, 1)).await;
    assert!(again.is_err_and(|error| error.to_string().contains("deposit")), "it pays for one job");

    w.store.command(Command::Fund { job }).await?;
    w.store.command(Command::AddTasks { job, first: 0, inputs: vec![None; 3] }).await?;
    w.store.command(Command::Prepared { job }).await?;
    let first = w.take_one(worker.session).await?;
    w.store.command(Command::FundsLost { job }).await?;
    assert!(w.take(worker.session, 4).await?.leases.is_empty(), "nothing is granted without a deposit");
    // A worker that runs may report, and is heard.
    w.advance(10).await?;
    w.report(worker.session, first.attempt, succeeded("first")?).await?;
    w.reopen().await?;
    assert!(w.take(worker.session, 4).await?.leases.is_empty(), "nor after a restart");
    let lost = is(SettlementState::Locking, [0; 4]);
    assert_eq!(settlement(&w, id).await?, lost);
    w.store.command(Command::Fund { job }).await?;
    assert_eq!(settlement(&w, id).await?, is(SettlementState::Locked, [RUN - FEE, FEE, 0, 3 * RUN]));
    let rest = w.take(worker.session, 4).await?.leases;
    assert_eq!(rest.len(), 2, "what waited goes on");
    w.advance(10).await?;
    w.succeed_all(worker.session, &rest).await?;

    let fee = Escrow::of(from_balance(4 * RUN)).fee(Fri(3 * RUN));
    let (paid, refunded) = (Fri(3 * RUN - fee.0), Fri(RUN));
    assert_eq!(settlement(&w, id).await?, is(SettlementState::Settling, [paid.0, fee.0, 0, RUN]));
    w.store.command(Command::Settled { job, paid, fee, refunded }).await?;
    let settled = is(SettlementState::Settled, [paid.0, fee.0, RUN, 0]);
    assert_eq!(settlement(&w, id).await?, settled);
    w.reopen().await?;
    assert_eq!(settlement(&w, id).await?, settled);

    // One that waits for its deposit and is not wanted any more.
    let waits = w.submit_paid(spec(), from_deposit(RUN, false, 2)).await?;
    let job = w.key(waits).await?;
    w.store.command(Command::Stop { job, cause: StopCause::Cancel, grace_ms: 0 }).await?;
    assert_eq!(settlement(&w, waits).await?, is(SettlementState::Settled, [0; 4]));
    w.verified().await
}

async fn balances(w: &World, tenant: TenantKey) -> Result<Vec<u128>, Error> {
    Ok(w.store.accounts(tenant).await?.iter().map(|account| account.balance().0).collect())
}

pub(super) async fn a_submit_that_the_balance_does_not_cover_is_refused_whole(mut w: World) -> Told {
    let amount = 2 * RUN;
    w.store.endow(TENANT, Fri(3 * RUN)).await?;
    let paid = |w: &mut World| -> Result<_, serde_json::Error> {
        Ok(crate::Submission { payment: Some(from_balance(amount)), ..w.submission(spec())? })
    };
    let jobs = vec![paid(&mut w)?, w.submission(spec())?, paid(&mut w)?];
    let refused = w.store.submit(Submit { tenant: TENANT, jobs, idempotency: None }).await;
    let needs = MoneyError::Insufficient { there: Fri(3 * RUN), needed: Fri(2 * amount) };
    assert!(matches!(refused, Err(Error::Money(why)) if why == needs), "{refused:?}");
    assert_eq!(w.store.queue_status().await?.open_jobs, 0);

    let idempotency = Some(Idempotency { key: [1; 16], fingerprint: [2; 16] });
    let mut ids = Vec::new();
    for _ in 0..2 {
        let jobs = vec![paid(&mut w)?];
        ids = w.submit_all(Submit { tenant: TENANT, jobs, idempotency }).await?;
        assert_eq!(balances(&w, TENANT).await?, [RUN, amount, 0], "the same again locks nothing more");
    }
    let worker = w.worker(1, 1).await?;
    let lease = w.take_one(worker.session).await?;
    w.advance(10).await?;
    w.report(worker.session, lease.attempt, succeeded("done")?).await?;
    assert_eq!(balances(&w, TENANT).await?, [2 * RUN, 0, RUN - FEE]);
    assert_eq!(balances(&w, OPERATOR).await?, [FEE, 3 * RUN]);
    let query = TransferQuery { job: Some(ids[0]), ..TransferQuery::default() };
    let codes = |rows: Vec<crate::TransferRow>| -> Vec<&str> {
        rows.iter().map(|row| row.transfer.code.name()).collect()
    };
    let moved = ["refund", "fee", "pay", "lock"];
    assert_eq!(codes(w.store.transfers(query.clone(), 10).await?), moved);

    // Its transfers outlive the job.
    let later = w.now().plus_ms(31 * 24 * 3_600_000);
    while w.store.retain_page(RetentionPolicy::default(), later).await?.is_full() {}
    assert!(w.store.job_get(TENANT, ids[0]).await?.is_none(), "it is in the archive");
    assert_eq!(codes(w.store.transfers(query, 10).await?), moved);
    w.verified().await
}
