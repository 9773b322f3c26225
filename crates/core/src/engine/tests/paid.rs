//! Who gets what in every ending: the table of docs/money.md.

use super::{PRICE, Plan, World, deposited, failure, paid, success};
use crate::amount::Fri;
use crate::command::{Command, Refusal, Said};
use crate::id::JobKey;
use crate::job::{Holds, JobState, Settlement, SettlementState, StopCause};
use crate::money::decide::Trouble;
use crate::money::{AccountKind, FUNDS_WAIT_MS, MAX_PAYEES};
use crate::retry::FailureClass;
use crate::spec::OnFailure;

/// What five minutes cost.
const RUN: u128 = PRICE.0 / 12;
/// The fee on it, at 250 basis points.
const FEE: u128 = RUN * 250 / 10_000;

/// A paid array, whose first task worker 2 has done and whose second worker 3 has.
fn two_of_three(amount: u128, on_failure: OnFailure) -> (World, JobKey) {
    let mut world = World::default();
    let job = world.submit_array(3, Plan { paid: Some(paid(amount)), on_failure, ..Plan::default() });
    for no in 0..2 {
        done(&mut world, job, no, i64::from(no) + 2);
    }
    (world, job)
}

/// A task that took its five minutes.
fn done(world: &mut World, job: JobKey, no: u32, worker: i64) {
    let attempt = world.grant(job, no, worker).unwrap();
    world.later(300_000);
    world.report(attempt, worker, success()).unwrap();
}

/// Available and held of the client, earned of workers 2 and 3, and the treasury.
fn balances(world: &World) -> [u128; 5] {
    [
        world.balance(1, AccountKind::Available),
        world.balance(1, AccountKind::Held),
        world.balance(2, AccountKind::Earned),
        world.balance(3, AccountKind::Earned),
        world.balance(0, AccountKind::Treasury),
    ]
}

#[test]
fn what_was_accepted_is_paid_in_every_ending_and_the_rest_is_given_back() {
    type End = fn(&mut World, JobKey);
    let endings: [(JobState, End); 4] = [
        (JobState::Completed, |world, job| done(world, job, 2, 2)),
        (JobState::Failed, |world, job| {
            let attempt = world.grant(job, 2, 2).unwrap();
            world.later(300_000);
            world.report(attempt, 2, failure(FailureClass::User)).unwrap();
        }),
        (JobState::Cancelled, |world, job| {
            world.grant(job, 2, 2).unwrap();
            world.later(300_000);
            world.run(&Command::Stop { job, cause: StopCause::Cancel, grace_ms: 0 }).unwrap();
        }),
        (JobState::Expired, |world, job| {
            world.run(&Command::Stop { job, cause: StopCause::Deadline, grace_ms: 0 }).unwrap();
        }),
    ];
    for (state, end) in endings {
        let (mut world, job) = two_of_three(10_000, OnFailure::FailFast);
        let running = world.jobs[&job].settlement;
        assert_eq!(running.state, SettlementState::Locked);
        assert_eq!(
            (running.paid.0, running.fee.0, running.held.0),
            (2 * (RUN - FEE), 2 * FEE, 10_000 - 2 * RUN)
        );
        assert_eq!(balances(&world), [0, 10_000, 0, 0, 0], "nothing moves before the end");
        end(&mut world, job);
        let runs = if state == JobState::Completed { 2 } else { 1 };
        // The fee is taken from what a provider earned in all, rounded down once.
        let fee = runs * RUN * 250 / 10_000;
        let all = (runs + 1) * RUN;
        assert_eq!(world.jobs[&job].state, state);
        let expected = [10_000 - all, 0, runs * RUN - fee, RUN - FEE, fee + FEE];
        assert_eq!(balances(&world), expected, "{state:?}");
        let settled = world.jobs[&job].settlement;
        assert_eq!((settled.state, settled.held), (SettlementState::Settled, Fri(0)));
        assert_eq!(settled.refunded.0, 10_000 - all);
    }
}

#[test]
fn a_worker_is_paid_for_the_time_that_all_clocks_agree_on() {
    let measured = |wall_ms| match success() {
        Said::Succeeded { hash, manifest, mut usage } => {
            usage.wall_ms = wall_ms;
            Said::Succeeded { hash, manifest, usage }
        }
        other => other,
    };
    // (what the worker says, how long it had the lease), and what is paid of it: at most ten minutes.
    for ((said, had), ms) in
        [((60_000, 90_000), 60_000), ((90_000, 60_000), 60_000), ((1 << 50, 1 << 40), 600_000)]
    {
        let mut world = World::default();
        let job = world.submit(Plan { paid: Some(paid(1 << 30)), ..Plan::default() });
        let attempt = world.grant(job, 0, 2).unwrap();
        world.later(had);
        world.report(attempt, 2, measured(said)).unwrap();
        let earned = world.jobs[&job].escrow.as_ref().unwrap().earned();
        assert_eq!(earned.0, PRICE.0 * ms / 3_600_000, "{said} {had}");
    }
}

#[test]
fn nobody_is_paid_what_is_not_locked() {
    let (mut world, job) = two_of_three(RUN + 1, OnFailure::FailFast);
    done(&mut world, job, 2, 4);
    let settled = world.jobs[&job].settlement;
    assert_eq!((settled.refunded, settled.paid.0 + settled.fee.0), (Fri(0), RUN + 1));
    assert_eq!(world.balance(4, AccountKind::Earned), 0);
}

#[test]
fn a_sixty_fifth_provider_is_refused_and_the_job_goes_on() {
    let mut world = World::default();
    let job = world.submit_array(66, Plan { paid: Some(paid(1 << 30)), ..Plan::default() });
    for no in 0..MAX_PAYEES as u32 {
        world.grant(job, no, i64::from(no) + 1).unwrap();
    }
    assert_eq!(world.grant(job, 64, 100), Err(Refusal::NoPlace));
    world.grant(job, 64, 1).unwrap();
    let first = world.live()[1];
    world.report(first, 2, Said::Released).unwrap();
    world.grant(job, 65, 100).unwrap();
}

#[test]
fn a_deposit_begins_a_job_and_one_that_is_lost_holds_it() {
    for splits in [false, true] {
        let mut world = World::default();
        let job = world.submit(Plan { splits, paid: Some(deposited(10_000, splits)), ..Plan::default() });
        let is = |world: &World| {
            let job = &world.jobs[&job];
            (job.state, job.settlement.state, job.holds.names())
        };
        assert_eq!(is(&world), (JobState::AwaitingFunds, SettlementState::Locking, vec!["funds"]));
        world.run(&Command::Fund { job }).unwrap();
        world.run(&Command::Fund { job }).unwrap();
        let begun = if splits { JobState::Preparing } else { JobState::Queued };
        assert_eq!(is(&world), (begun, SettlementState::Locked, vec![]));
        if splits {
            world.run(&Command::AddTasks { job, first: 0, inputs: vec![None] }).unwrap();
            world.run(&Command::Prepared { job }).unwrap();
        }
        world.run(&Command::FundsLost { job }).unwrap();
        assert_eq!(is(&world), (JobState::Queued, SettlementState::Locking, vec!["funds"]));
        assert_eq!(
            world.jobs[&job].settlement,
            Settlement { state: SettlementState::Locking, ..Settlement::default() }
        );
        assert_eq!(world.grant(job, 0, 2), Err(Refusal::NotGrantable));
        world.run(&Command::Fund { job }).unwrap();
        done(&mut world, job, 0, 2);
        assert_eq!(is(&world), (JobState::Completed, SettlementState::Settling, vec![]));

        let [paid, fee, refunded] = [Fri(RUN - FEE), Fri(FEE), Fri(10_000 - RUN)];
        let settled = |refunded| Command::Settled { job, paid, fee, refunded };
        assert_eq!(world.run(&settled(Fri(refunded.0 + 1))), Err(Refusal::WrongAmounts));
        for _ in 0..2 {
            world.run(&settled(refunded)).unwrap();
        }
        assert_eq!(is(&world).1, SettlementState::Settled);
        assert_eq!(world.run(&settled(Fri(refunded.0 + 1))), Err(Refusal::IllegalMove));
        assert_eq!(balances(&world), [0; 5], "the coordinator's own books have nothing of it");
    }
}

#[test]
fn a_deposit_that_does_not_come_back_ends_its_job() {
    let mut world = World::default();
    let job = world.submit(Plan { paid: Some(deposited(10_000, false)), ..Plan::default() });
    world.run(&Command::Fund { job }).unwrap();
    let attempt = world.grant(job, 0, 2).unwrap();
    world.run(&Command::FundsLost { job }).unwrap();
    assert!(world.jobs[&job].next_deadline.is_some_and(|due| due <= world.now.plus_ms(FUNDS_WAIT_MS)));
    world.later(FUNDS_WAIT_MS - 1);
    world.run(&Command::Review { job }).unwrap();
    assert!(world.jobs[&job].stop.is_none());
    world.later(1);
    world.run(&Command::Review { job }).unwrap();
    // What runs may still report, and is accepted; it is paid should the deposit come back after all.
    world.report(attempt, 2, success()).unwrap();
    let ended = &world.jobs[&job];
    assert!(ended.state.is_ended() && ended.holds.0 == Holds::FUNDS.0, "{ended:?}");
    assert_eq!(ended.settlement, ended.escrow.as_ref().unwrap().stands(SettlementState::Settling));
    for _ in 0..2 {
        world.run(&Command::FundsGone { job }).unwrap();
    }
    let nothing = Settlement { state: SettlementState::Settled, ..Settlement::default() };
    assert_eq!(world.jobs[&job].settlement, nothing);
}

#[test]
fn a_deposit_that_is_lost_before_anything_was_earned_settles_its_job_with_nothing() {
    let mut world = World::default();
    let job = world.submit(Plan { paid: Some(deposited(10_000, false)), ..Plan::default() });
    world.run(&Command::Fund { job }).unwrap();
    world.run(&Command::FundsLost { job }).unwrap();
    world.run(&Command::Stop { job, cause: StopCause::Cancel, grace_ms: 0 }).unwrap();
    let ended = &world.jobs[&job];
    assert!(ended.state.is_ended());
    assert_eq!(ended.settlement, Settlement { state: SettlementState::Settled, ..Settlement::default() });
}

#[test]
fn a_deposit_that_is_taken_back_cancels_its_job() {
    for funded in [false, true] {
        let mut world = World::default();
        let job = world.submit(Plan { paid: Some(deposited(10_000, false)), ..Plan::default() });
        if funded {
            world.run(&Command::Fund { job }).unwrap();
        }
        world.run(&Command::FundsGone { job }).unwrap();
        let ended = &world.jobs[&job];
        assert_eq!(ended.failure.as_ref().map(|failure| failure.code.as_str()), Some("funds_lost"));
        let money = if funded { SettlementState::Settling } else { SettlementState::Settled };
        assert_eq!((ended.state, ended.settlement.state), (JobState::Cancelled, money));
    }
}

#[test]
fn what_the_chain_paid_counts_also_where_the_deposit_was_not_known() {
    let mut world = World::default();
    let job = world.submit(Plan { paid: Some(deposited(10_000, false)), ..Plan::default() });
    world.run(&Command::FundsGone { job }).unwrap();
    let nothing = Settlement { state: SettlementState::Settled, ..Settlement::default() };
    assert_eq!(world.jobs[&job].settlement, nothing);
    let settled = |paid: u128, fee: u128, refunded: u128| Command::Settled {
        job,
        paid: Fri(paid),
        fee: Fri(fee),
        refunded: Fri(refunded),
    };
    assert_eq!(world.run(&settled(90, 10, 9_901)), Err(Refusal::WrongAmounts));
    assert_eq!(world.run(&settled(0, 0, 10_000)), Err(Refusal::IllegalMove));
    for _ in 0..2 {
        world.run(&settled(90, 10, 9_900)).unwrap();
        let of = world.jobs[&job].settlement;
        assert_eq!((of.escrowed, of.paid, of.fee, of.refunded), (Fri(10_000), Fri(90), Fri(10), Fri(9_900)));
    }
    assert_eq!(world.run(&settled(80, 10, 9_910)), Err(Refusal::IllegalMove), "once");
}

#[test]
fn a_dispute_is_shown_until_it_is_over() {
    let mut world = World::default();
    let job = world.submit(Plan { paid: Some(deposited(10_000, false)), ..Plan::default() });
    world.run(&Command::Fund { job }).unwrap();
    assert_eq!(world.run(&Command::Disputed { job, open: true }), Err(Refusal::IllegalMove));
    done(&mut world, job, 0, 2);
    let before = world.jobs[&job].settlement;
    for open in [true, true, false, true] {
        world.run(&Command::Disputed { job, open }).unwrap();
        let state = if open { SettlementState::Disputed } else { SettlementState::Settling };
        assert_eq!(world.jobs[&job].settlement, Settlement { state, ..before });
    }
    // The arbiter found it worth nothing.
    let (paid, fee, refunded) = (Fri(0), Fri(0), Fri(10_000));
    world.run(&Command::Settled { job, paid, fee, refunded }).unwrap();
    assert_eq!(world.jobs[&job].settlement.refunded, refunded);
    assert_eq!(world.run(&Command::Disputed { job, open: true }), Err(Refusal::IllegalMove));
}

#[test]
fn a_job_that_never_had_a_deposit_is_settled_with_nothing() {
    let mut world = World::default();
    let job = world.submit(Plan { paid: Some(deposited(10_000, true)), ..Plan::default() });
    world.run(&Command::Stop { job, cause: StopCause::Cancel, grace_ms: 0 }).unwrap();
    let ended = &world.jobs[&job];
    assert_eq!((ended.state, ended.settlement.state), (JobState::Cancelled, SettlementState::Settled));
    assert_eq!(world.run(&Command::Fund { job }), Err(Refusal::AlreadyEnded));
    let free = world.submit(Plan::default());
    assert_eq!(world.run(&Command::Fund { job: free }), Err(Refusal::IllegalMove));
    let from_balance = world.submit(Plan { paid: Some(paid(5)), ..Plan::default() });
    assert_eq!(world.run(&Command::FundsLost { job: from_balance }), Err(Refusal::IllegalMove));
}

#[test]
fn what_is_wrong_with_a_deposit_is_said_once_and_over_once_it_begins() {
    let mut world = World::default();
    let job = world.submit(Plan { paid: Some(deposited(10_000, false)), ..Plan::default() });
    let wrong = Trouble::Amount { wanted: Fri(10_000), found: Fri(9_999) };
    let said = |world: &World| (world.jobs[&job].seq, world.jobs[&job].holds.names());
    let before = said(&world).0;
    for (trouble, seq, holds) in [
        (None, 0, vec!["funds"]),
        (Some(wrong.clone()), 1, vec!["funds", "deposit"]),
        (Some(Trouble::Spec), 1, vec!["funds", "deposit"]),
        (None, 2, vec!["funds"]),
        (None, 2, vec!["funds"]),
        (Some(wrong.clone()), 3, vec!["funds", "deposit"]),
    ] {
        world.run(&Command::DepositTrouble { job, trouble }).unwrap();
        assert_eq!(said(&world), (before + seq, holds));
    }
    // The right one came after all, and nobody has said so before.
    world.run(&Command::Fund { job }).unwrap();
    assert_eq!(said(&world), (before + 4, vec![]));
    world.run(&Command::DepositTrouble { job, trouble: Some(wrong.clone()) }).unwrap();
    assert_eq!(said(&world), (before + 4, vec![]), "work has begun");
    done(&mut world, job, 0, 2);
    let again = world.run(&Command::DepositTrouble { job, trouble: Some(wrong) });
    assert_eq!(again, Err(Refusal::AlreadyEnded));
    let free = world.submit(Plan::default());
    let nothing = world.run(&Command::DepositTrouble { job: free, trouble: None });
    assert_eq!(nothing, Err(Refusal::IllegalMove));
}
