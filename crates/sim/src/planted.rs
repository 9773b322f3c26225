//! Every check finds the violation that is planted for it: rows, promises and levels of a history that
//! holds, each spoiled in one place.

use crate::check::{Found, Watch};
use crate::client::Client;
use crate::host::MAX_RUNNING;
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::run::guarded;
use crate::trace::Trace;
use crate::wire::{Call, Reply};
use crate::world::World;
use ciro_core::amount::Fri;
use ciro_core::attempt::{Attempt, AttemptState};
use ciro_core::command::{Said, Verdict};
use ciro_core::event::JobEvent;
use ciro_core::id::{AttemptId, Hash, JobId, TaskId, TenantKey, WorkerKey};
use ciro_core::invariant::{check_job, check_step};
use ciro_core::job::{JobState, SettlementState};
use ciro_core::money::{Escrow, Method, Payment};
use ciro_core::retry::FailureClass;
use ciro_core::task::TaskState;
use ciro_core::time::Timestamp;
use ciro_store::{EventRow, EventSubject, JobRows, QueueStatus, ReportVerdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// What would be locked for a job that is paid for.
const PAYMENT: Payment = Payment { amount: Fri(1), fee_bps: 0, wall_ms: 1, deposit: None };

/// Jobs of a history without faults.
fn jobs() -> Vec<JobRows> {
    let mut trace = Trace::default();
    let mut world = World::new(&Plan::of(11, &BTreeSet::new()), &mut trace).unwrap();
    world.run().unwrap();
    assert_eq!(world.found.0, []);
    world.watch.jobs().cloned().collect()
}

fn completed(jobs: &[JobRows]) -> JobRows {
    let wanted = |rows: &&JobRows| {
        rows.job.state == JobState::Completed && rows.tasks.len() > 1 && rows.job.escrow.is_none()
    };
    jobs.iter().find(wanted).expect("one job of several tasks completes").clone()
}

/// The first event of its only attempt's end is taken back: the job runs again.
fn running(jobs: &[JobRows]) -> JobRows {
    let mut rows = completed(jobs);
    rows.tasks.truncate(1);
    rows.attempts.retain(|a| a.key.task.no == 0);
    rows.attempts.truncate(1);
    let attempt = &mut rows.attempts[0];
    (attempt.state, attempt.ended_at, attempt.outcome) = (AttemptState::Running, None, None);
    let task = &mut rows.tasks[0];
    (task.state, task.accepted, task.next_deadline) = (TaskState::Open, None, Some(Timestamp(0)));
    (task.fence, task.grants) = (1, 1);
    let job = &mut rows.job;
    (job.state, job.next_deadline, job.ended_at) = (JobState::Running, Some(Timestamp(0)), None);
    (job.tasks_total, job.open_tasks, job.completed_tasks, job.has_reducer) = (1, 1, 0, false);
    rows.events.clear();
    rows
}

fn broken(rows: &JobRows) -> BTreeSet<&'static str> {
    check_job(&rows.history()).into_iter().map(|v| v.invariant).collect()
}

#[test]
fn a_spoiled_job_is_found_by_the_number_of_what_it_breaks() {
    let jobs = jobs();
    assert!(jobs.iter().all(|rows| broken(rows).is_empty()));
    type Spoil = fn(&mut JobRows);
    let planted: [(&str, Spoil); 17] = [
        ("I12", |rows| rows.job.escrow = Some(Box::new(Escrow::of(PAYMENT)))),
        ("I13", |rows| rows.job.settlement.escrowed = Fri(1)),
        ("I16", |rows| rows.attempts[0].payee = Some(0)),
        ("I4", |rows| rows.events.retain(|(sequence, _)| *sequence != 2)),
        ("I4", |rows| rows.job.state = JobState::Failed),
        ("I4", |rows| rows.job.open_tasks += 1),
        ("I5", |rows| {
            let twin = Attempt { state: AttemptState::Leased, ended_at: None, ..rows.attempts[0].clone() };
            rows.attempts.splice(0..1, [twin.clone(), twin]);
        }),
        ("I6", |rows| rows.tasks[0].fence = 0),
        ("I7", |rows| rows.tasks[0].attempts = 200),
        ("I7", |rows| (rows.attempts[0].state, rows.attempts[0].ended_at) = (AttemptState::Running, None)),
        ("I8", |rows| rows.attempts[0].ended_at = None),
        ("I8", |rows| {
            let accepted = rows.attempts.iter_mut().find(|a| a.state == AttemptState::Accepted);
            accepted.unwrap().outcome.as_mut().unwrap().class = Some(FailureClass::Lost);
        }),
        ("I9", |rows| rows.tasks[0].accepted = None),
        ("I9", |rows| rows.tasks[0].state = TaskState::Failed),
        ("I10", |rows| {
            let accepted = rows.attempts.iter_mut().find(|a| a.state == AttemptState::Accepted);
            accepted.unwrap().outcome.as_mut().unwrap().manifest_hash = Some(Hash::of(b"another"));
        }),
        ("I28", |rows| rows.job.next_deadline = Some(Timestamp(1))),
        ("I28", |rows| rows.tasks[0].next_deadline = Some(Timestamp(1))),
    ];
    for (number, (invariant, spoil)) in planted.into_iter().enumerate() {
        let mut rows = completed(&jobs);
        spoil(&mut rows);
        assert!(broken(&rows).contains(invariant), "{number}: {invariant} in {:?}", broken(&rows));
    }
}

#[test]
fn a_job_that_runs_without_its_deposit_is_found() {
    let mut jobs = jobs();
    let deposited = |rows: &&mut JobRows| {
        let method = rows.job.escrow.as_ref().map(|escrow| escrow.method());
        method == Some(Method::Escrow) && !rows.attempts.is_empty()
    };
    let rows = jobs.iter_mut().find(deposited).expect("one job with a deposit runs");
    assert_eq!(broken(rows), [].into());
    for (_, event) in &mut rows.events {
        if matches!(event, JobEvent::Funded { .. }) {
            *event = JobEvent::FundsLost {};
        }
    }
    assert!(broken(rows).contains("I16"), "{:?}", broken(rows));
}

#[test]
fn what_must_not_become_of_a_job_is_found_by_its_number() {
    let jobs = jobs();
    type Spoil = fn(&mut JobRows);
    let ended: [(&str, Spoil); 6] = [
        ("I4", |after| after.job.state = JobState::Running),
        ("I7", |after| after.job.priority += 1),
        ("I7", |after| after.tasks[0].grants += 1),
        ("I8", |after| after.attempts[0].state = AttemptState::Running),
        ("I8", |after| after.attempts.truncate(0)),
        ("I4", |after| after.events[0].1 = after.events[1].1.clone()),
    ];
    let live: [(&str, Spoil); 7] = [
        ("I12", |after| after.job.settlement.state = SettlementState::Settled),
        ("I6", |after| after.tasks[0].fence = 0),
        ("I6", |after| after.attempts[0].worker = WorkerKey(99)),
        ("I6", |after| {
            let mut old = after.attempts[0].clone();
            old.key.fence = 0;
            after.attempts.insert(0, old);
        }),
        ("I7", |after| after.tasks[0].grants = 0),
        ("I1", |after| after.job.tenant = TenantKey(9)),
        ("I4", |after| after.tasks.truncate(0)),
    ];
    let cases = ended.map(|c| (completed(&jobs), c)).into_iter().chain(live.map(|c| (running(&jobs), c)));
    for (number, (before, (invariant, spoil))) in cases.enumerate() {
        assert_eq!(check_step(&before.history(), &before.history()), []);
        let mut after = before.clone();
        spoil(&mut after);
        let found = check_step(&before.history(), &after.history());
        assert!(found.iter().any(|v| v.invariant == invariant), "{number}: {invariant} in {found:?}");
    }
}

fn attempt(rows: &JobRows) -> AttemptId {
    let accepted = rows.attempts.iter().find(|a| a.state == AttemptState::Accepted).unwrap();
    AttemptId { task: TaskId { job: rows.job.id, no: accepted.key.task.no }, fence: accepted.key.fence }
}

fn numbers(found: Found) -> Vec<&'static str> {
    found.0.into_iter().map(|v| v.invariant).collect()
}

#[test]
fn a_promise_that_is_not_kept_is_found() {
    let jobs = jobs();
    let rows = completed(&jobs);
    let (mine, other) = (rows.job.id, JobId(Uuid::from_u128(1)));
    let said = Said::Succeeded { hash: Hash::of(b"x"), manifest: "x".into(), usage: Default::default() };
    let (taken, lost) = (ReportVerdict::Engine(Verdict::Accepted), ReportVerdict::Engine(Verdict::LeaseLost));
    type Promise<'p> = Box<dyn Fn(&mut Ledger, &mut Found) + 'p>;
    let tenant = rows.job.tenant;
    let planted: Vec<(&str, Promise<'_>)> = vec![
        ("I1", Box::new(|ledger, found| ledger.submitted(tenant, None, &[other], found))),
        ("I1", Box::new(|ledger, found| ledger.submitted(TenantKey(9), None, &[mine], found))),
        ("I1", Box::new(|ledger, found| ledger.told(attempt(&rows), WorkerKey(77), &said, taken, found))),
        (
            "I2",
            Box::new(|ledger, found| {
                ledger.submitted(tenant, Some(3), &[mine], found);
                ledger.submitted(tenant, Some(3), &[other], found);
            }),
        ),
        ("I3", Box::new(|ledger, found| ledger.misused(&[mine], found))),
        ("I6", Box::new(|ledger, found| ledger.leased(attempt(&rows), WorkerKey(77), found))),
        (
            "I6",
            Box::new(|ledger, found| {
                ledger.leased(attempt(&rows), WorkerKey(1), found);
                ledger.leased(attempt(&rows), WorkerKey(2), found);
            }),
        ),
        (
            "I10",
            Box::new(|ledger, found| {
                ledger.told(attempt(&rows), WorkerKey(1), &said, ReportVerdict::WrongProfile, found);
            }),
        ),
        (
            "I11",
            Box::new(|ledger, found| {
                ledger.told(attempt(&rows), WorkerKey(1), &said, taken, found);
                ledger.told(attempt(&rows), WorkerKey(1), &said, lost, found);
            }),
        ),
        (
            "I11",
            Box::new(|ledger, found| {
                ledger.told(attempt(&rows), WorkerKey(1), &said, taken, found);
                ledger.told(attempt(&rows), WorkerKey(1), &Said::Released, taken, found);
            }),
        ),
        ("G5", Box::new(|ledger, _| ledger.refused(mine))),
    ];
    for (number, (invariant, promise)) in planted.into_iter().enumerate() {
        let (mut ledger, mut found) = (Ledger::default(), Found::default());
        promise(&mut ledger, &mut found);
        ledger.check_job(&rows, &mut found);
        let there = |id| jobs.iter().find(|rows| rows.job.id == id).map(|rows| rows.job.tenant);
        ledger.check_jobs(there, &mut found);
        let found = numbers(found);
        assert!(found.contains(&invariant), "{number}: {invariant} in {found:?}");
    }
    let (mut ledger, mut found) = (Ledger::default(), Found::default());
    ledger.stopped(mine);
    ledger.check_job(&running(&jobs), &mut found);
    assert_eq!(numbers(found), ["I1"], "a cancel that was answered and is not there");
}

#[test]
fn a_level_that_is_not_that_of_the_rows_is_found() {
    let mut watch = Watch::default();
    watch.put(running(&jobs()));
    let right = QueueStatus { open_jobs: 1, open_tasks: 1, live_attempts: 1, ..QueueStatus::default() };
    let check = |watch: &Watch, status: QueueStatus| {
        let mut found = Found::default();
        watch.levels(&status, &mut found);
        numbers(found)
    };
    assert_eq!(check(&watch, right), [""; 0]);
    for wrong in [
        QueueStatus { open_jobs: 2, ..right },
        QueueStatus { open_tasks: 0, ..right },
        QueueStatus { live_attempts: 2, ..right },
    ] {
        assert_eq!(check(&watch, wrong), ["I27"]);
    }
    let mut waiting = running(&jobs());
    waiting.attempts.clear();
    watch.put(waiting);
    let status = QueueStatus { live_attempts: 0, ..right };
    assert_eq!(check(&watch, status), ["I28"], "a task that may be granted and is not in the index");
    assert_eq!(check(&watch, QueueStatus { ready_tasks: 1, ..status }), [""; 0]);
    let mut crowded = running(&jobs());
    crowded.job.tenant = TenantKey(2);
    crowded.attempts = vec![crowded.attempts[0].clone(); MAX_RUNNING as usize + 1];
    watch.put(crowded);
    let status = QueueStatus { live_attempts: MAX_RUNNING + 1, ..right };
    assert_eq!(check(&watch, status), ["I27"], "more than a tenant may run");
}

#[test]
fn a_silent_worker_that_keeps_its_lease_is_found() {
    let mut watch = Watch::default();
    watch.put(running(&jobs()));
    let overdue = |now, heard| {
        let mut found = Found::default();
        watch.overdue(now, 100, 0, |_| heard, &mut found);
        numbers(found)
    };
    assert_eq!(overdue(100, 0), [""; 0]);
    assert_eq!(overdue(101, 0), ["G2"]);
    assert_eq!(overdue(101, 1), [""; 0]);
}

#[test]
fn a_store_that_fails_and_a_panic_are_found() {
    let broken = |history: crate::world::History| numbers(Found(history.violations));
    assert_eq!(broken(guarded(|| Err(ciro_store::Error::Stopped))), ["G8"]);
    let history = guarded(|| panic!("it broke"));
    assert_eq!(history.violations[0].what, "a panic: it broke");
    assert_eq!(broken(history), ["G8"]);
}

#[test]
fn a_reader_that_misses_an_event_or_reads_one_twice_is_found() {
    let rows = completed(&jobs());
    let event = |position: i64, at: usize| EventRow {
        position,
        tenant: TenantKey(1),
        at: Timestamp(0),
        subject: EventSubject::Job {
            key: rows.job.key,
            id: Some(rows.job.id),
            sequence: rows.events[at].0,
            event: rows.events[at].1.clone(),
            worker: None,
        },
    };
    let read = |events: Vec<EventRow>| {
        let (mut client, mut out, mut found) = (Client::new(0), Vec::new(), Found::default());
        client.tend(0, &mut out);
        let crate::wire::Body::Call(Call::Events { after: 0 }) = out[0].body else {
            panic!("it reads first")
        };
        client.hear(1, out[0].call, Ok(Reply::Events(Arc::new(events))), &mut found);
        (client, numbers(found))
    };
    assert_eq!(read(vec![event(1, 0), event(2, 1)]).1, [""; 0]);
    assert_eq!(read(vec![event(1, 0), event(2, 2)]).1, ["I20"], "a sequence is missing");
    assert_eq!(read(vec![event(1, 0), event(1, 1)]).1, ["I20"], "a position came twice");
    let foreign = EventRow { tenant: TenantKey(2), ..event(1, 0) };
    assert_eq!(read(vec![foreign]).1, ["I20"], "it is of another tenant");
    let (client, _) = read(vec![event(1, 0)]);
    let mut found = Found::default();
    client.check(&[(rows.job.key, rows.events.as_slice())].into(), &mut found);
    assert_eq!(numbers(found), ["I20"], "it did not come to the end");
    let mut found = Found::default();
    client.check(&BTreeMap::new(), &mut found);
    assert_eq!(numbers(found), ["I20"], "it read of a job that is not there");
}

/// What looks for violations, and what plants them.
const CHECKS: [&str; 10] = [
    include_str!("books.rs"),
    include_str!("check.rs"),
    include_str!("client.rs"),
    include_str!("host.rs"),
    include_str!("ledger.rs"),
    include_str!("run.rs"),
    include_str!("world.rs"),
    include_str!("../../core/src/invariant.rs"),
    include_str!("../../core/src/invariant/money.rs"),
    include_str!("../../core/src/invariant/step.rs"),
];
const PLANTS: [&str; 2] = [include_str!("planted.rs"), include_str!("world/planted.rs")];
const PAGE: &str = include_str!("../../../docs/simulation.md");

/// What stands between quotes, or before and behind other marks, and is a number of the catalogue.
fn numbers_in<'t>(texts: &[&'t str], marks: &[char]) -> BTreeSet<&'t str> {
    let is_number = |word: &&str| {
        word.strip_prefix(['I', 'G']).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    texts.iter().flat_map(|text| text.split(marks)).filter(is_number).collect()
}

#[test]
fn everything_that_is_checked_is_planted_here_and_told_on_the_page() {
    let checked = numbers_in(&CHECKS, &['"']);
    assert!(checked.len() > 15, "{checked:?}");
    assert_eq!(checked, numbers_in(&PLANTS, &['"']), "what is checked, and what is planted");
    let table = PAGE.lines().filter(|line| line.starts_with("| "));
    let told: Vec<&str> = table.filter_map(|line| line.split('|').nth(1)).collect();
    assert_eq!(checked, numbers_in(&told, &[' ', ',']), "what is checked, and what the page says");
}
