//! Violations that only a world can have: something is done behind the back of a history that would
//! hold, and what the world checks must find it.

use super::{Event, World};
use crate::check::Found;
use crate::clock::VirtualClock;
use crate::host::Host;
use crate::plan::{Plan, SECOND};
use crate::trace::Trace;
use ciro_core::amount::Fri;
use ciro_core::command::{Command, Revocation};
use ciro_core::id::{AttemptKey, JobId, TenantKey};
use ciro_core::job::SettlementState;
use ciro_core::money::{Transfer, TransferCode};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

fn world(trace: &mut Trace) -> World<'_> {
    World::new(&Plan::of(11, &BTreeSet::new()), trace).unwrap()
}

fn numbers(found: &Found) -> Vec<&'static str> {
    found.0.iter().map(|violation| violation.invariant).collect()
}

/// Lets everything happen until `enough`, which comes before the end.
fn run_until(world: &mut World<'_>, enough: impl Fn(&World<'_>) -> bool) {
    while !enough(world) {
        let ((at, _), event) = world.queue.pop_first().expect("it happens before the end");
        world.now = at;
        world.clock.set(at);
        world.happen(event).unwrap();
    }
    assert_eq!(world.found.0, []);
}

/// An attempt that its worker trusts.
fn trusted(world: &World<'_>) -> Option<AttemptKey> {
    let live = world.watch.jobs().flat_map(|rows| {
        let live = rows.attempts.iter().filter(|attempt| attempt.state.is_live());
        live.map(|attempt| (rows.job.id, attempt))
    });
    let trusted = |(job, attempt): &(_, &ciro_core::attempt::Attempt)| {
        let id = ciro_core::id::AttemptId {
            task: ciro_core::id::TaskId { job: *job, no: attempt.key.task.no },
            fence: attempt.key.fence,
        };
        let worker = world.host.worker_of(attempt.worker);
        worker.is_some_and(|no| world.workers[usize::from(no)].trusts(id, world.now))
    };
    let mut found = live.filter(trusted);
    found.next().map(|(_, attempt)| attempt.key)
}

#[test]
fn a_lease_that_is_taken_while_its_worker_trusts_it_is_found() {
    let mut trace = Trace::default();
    let mut world = world(&mut trace);
    run_until(&mut world, |world| trusted(world).is_some());
    let attempt = trusted(&world).unwrap();
    let revoke = Command::Revoke { attempt, why: Revocation::Expired };
    drop(world.host.inline().unwrap().command(revoke).unwrap());
    world.write();
    world.look().unwrap();
    assert_eq!(numbers(&world.found), ["I6"]);
}

#[test]
fn a_job_that_does_not_end_is_found() {
    let mut trace = Trace::default();
    let mut world = world(&mut trace);
    // Nobody goes on with splits, and nobody looks at jobs whose time is over.
    world.queue.retain(|_, event| !matches!(event, Event::Chores));
    world.run().unwrap();
    assert_eq!(numbers(&world.found), ["I28"]);
}

#[test]
fn a_disk_that_lost_everything_is_found() {
    let mut trace = Trace::default();
    let mut world = world(&mut trace);
    run_until(&mut world, |world| world.now > 30 * SECOND && world.ledger.jobs() > 0);
    let clock = Arc::new(VirtualClock::new(world.plan.seed));
    let empty = Host::new(&world.plan, &clock).unwrap();
    world.watch.everything(empty.inline().unwrap(), &world.ledger, &mut world.found).unwrap();
    let found: BTreeSet<&str> = numbers(&world.found).into_iter().collect();
    assert_eq!(found, ["I1", "I4", "I14", "I27"].into(), "{:?}", world.found.0);
}

#[test]
fn a_transfer_that_nobody_made_is_found() {
    let mut trace = Trace::default();
    let mut world = world(&mut trace);
    run_until(&mut world, |world| {
        world.watch.jobs().any(|rows| rows.job.settlement.state == SettlementState::Locked)
    });
    world.watch.invent(&Transfer::own(TenantKey(1), TransferCode::Lock, Fri(1), JobId(Uuid::nil())));
    world.look().unwrap();
    assert_eq!(numbers(&world.found), ["I14"], "{:?}", world.found.0);
}

#[test]
fn a_refusal_for_no_reason_is_found() {
    let mut trace = Trace::default();
    let mut world = world(&mut trace);
    run_until(&mut world, |world| world.now > 30 * SECOND);
    world.host.fill_in_secret();
    world.run().unwrap();
    assert_eq!(numbers(&world.found)[0], "G8", "{:?}", world.found.0);
}
