//! What users rely on, told as short stories.

use super::{PRICE, Plan, World, failure, success};
use crate::amount::Fri;
use crate::command::{Command, Refusal, Revocation, Said, Verdict};
use crate::id::WorkerKey;
use crate::job::{JobState, StopCause};
use crate::retry::FailureClass;
use crate::spec::{OnFailure, RetryPolicy};
use crate::task::{TaskFailure, TaskState};

fn state(world: &World, job: crate::id::JobKey) -> JobState {
    world.jobs[&job].state
}

#[test]
fn a_job_is_granted_once_completes_once_and_hears_the_same_answer_again() {
    let mut w = World::default();
    let job = w.submit(Plan::default());
    let attempt = w.grant(job, 0, 1).unwrap();
    assert_eq!(w.grant(job, 0, 2), Err(Refusal::NoFreeSlot), "one live attempt per slot");
    assert_eq!(w.report(attempt, 1, Said::Started), Ok(Some(Verdict::Recorded)));
    assert_eq!(w.report(attempt, 1, success()), Ok(Some(Verdict::Accepted)));
    assert_eq!(state(&w, job), JobState::Completed);
    assert_eq!(
        w.report(attempt, 1, success()),
        Ok(Some(Verdict::Accepted)),
        "the same report, the same answer"
    );
    let other = r#"{"outputs":[],"exit_code":0,"fuel":2}"#.to_owned();
    let other = Said::Succeeded {
        hash: crate::id::Hash::of(other.as_bytes()),
        manifest: other,
        usage: Default::default(),
    };
    assert_eq!(w.report(attempt, 1, other), Ok(Some(Verdict::LeaseLost)), "another result is evidence");
    assert_eq!((w.evidence, w.grant(job, 0, 1)), (1, Err(Refusal::AlreadyEnded)));
}

#[test]
fn a_report_names_the_price_of_its_grant_or_changes_nothing() {
    let mut world = World::default();
    let job = world.submit(Plan::default());
    let attempt = world.grant(job, 0, 1).unwrap();
    assert_eq!(world.attempts[&attempt].price, PRICE);
    for price in [Fri(0), Fri(PRICE.0 + 1)] {
        let command = Command::Report { attempt, worker: WorkerKey(1), said: success(), price, signed: None };
        assert_eq!(world.run(&command), Err(Refusal::WrongPrice));
    }
    assert_eq!(world.report(attempt, 1, success()), Ok(Some(Verdict::Accepted)));
    assert_eq!(world.attempts[&attempt].price, PRICE);
}

#[test]
fn a_worker_that_vanished_cannot_report_and_its_result_is_kept_as_evidence() {
    let mut w = World::default();
    let job = w.submit(Plan::default());
    let first = w.grant(job, 0, 1).unwrap();
    w.run(&Command::Revoke { attempt: first, why: Revocation::Expired }).unwrap();
    let second = w.grant(job, 0, 2).unwrap();
    assert!(second.fence > first.fence);
    assert_eq!(w.report(first, 1, success()), Ok(Some(Verdict::LeaseLost)));
    assert_eq!(w.report(second, 1, success()), Ok(Some(Verdict::LeaseLost)), "another worker's attempt");
    let never = crate::id::AttemptKey { fence: 9, ..first };
    assert_eq!(w.report(never, 1, success()), Ok(Some(Verdict::LeaseLost)), "and one that never was");
    assert_eq!(w.report(second, 2, success()), Ok(Some(Verdict::Accepted)));
    assert_eq!((w.evidence, state(&w, job)), (2, JobState::Completed));
}

#[test]
fn a_restore_takes_every_attempt_without_penalty_and_grants_no_fence_twice() {
    let mut w = World::default();
    let job = w.submit(Plan::default());
    let before = w.grant(job, 0, 1).unwrap();
    for _ in 0..4 {
        // A task is granted so often at most: so far its fence may have come where nobody remembers.
        let reached = w.policy.fence_floor + u32::from(crate::retry::MAX_GRANTS);
        w.policy.fence_floor = crate::restore::fence_floor(w.policy.fence_floor, w.now);
        let attempt = w.live()[0];
        w.run(&Command::Revoke { attempt, why: Revocation::Restored }).unwrap();
        let after = w.grant(job, 0, 1).unwrap();
        assert!(after.fence > reached, "{attempt:?} {after:?}");
    }
    assert_eq!(w.report(before, 1, success()), Ok(Some(Verdict::LeaseLost)));
    let last = w.live()[0];
    assert_eq!(w.report(last, 1, success()), Ok(Some(Verdict::Accepted)));
    let task = &w.tasks[&last.task];
    assert_eq!((task.crashes, task.attempts, task.grants), (0, 0, 5), "nobody's fault");
}

#[test]
fn three_vanished_workers_poison_a_task_and_undelivered_leases_do_not() {
    let mut w = World::default();
    let job = w.submit(Plan::default());
    for _ in 0..5 {
        let attempt = w.grant(job, 0, 1).unwrap();
        w.run(&Command::Revoke { attempt, why: Revocation::Undelivered }).unwrap();
    }
    for _ in 0..3 {
        let attempt = w.grant(job, 0, 1).unwrap();
        w.run(&Command::Revoke { attempt, why: Revocation::Expired }).unwrap();
    }
    assert_eq!(state(&w, job), JobState::Failed);
    assert_eq!(w.jobs[&job].failure.as_ref().unwrap().code, "poisoned");
}

#[test]
fn each_failure_class_is_tried_again_as_often_as_it_should() {
    use FailureClass::{Infra, Invalid, Oom, Timeout, User};
    let asked = RetryPolicy { max_attempts: 3, on_user: true, on_timeout: true };
    let plain = RetryPolicy { on_user: false, on_timeout: false, ..asked };
    let cases = [
        (User, plain, 1, TaskFailure::User),
        (User, asked, 3, TaskFailure::User),
        (Timeout, plain, 1, TaskFailure::User),
        (Timeout, asked, 3, TaskFailure::User),
        (Oom, plain, 2, TaskFailure::User),
        (Infra, plain, 3, TaskFailure::Exhausted),
        (Invalid, plain, 3, TaskFailure::Exhausted),
    ];
    for (class, retry, runs, end) in cases {
        let mut w = World::default();
        let job = w.submit(Plan { retry, ..Plan::default() });
        let mut granted = 0;
        while state(&w, job) != JobState::Failed {
            w.later(600_000);
            let attempt = w.grant(job, 0, 1).unwrap();
            granted += 1;
            w.report(attempt, 1, failure(class)).unwrap();
        }
        let task = w.tasks.values().next().unwrap();
        assert_eq!((granted, task.failure), (runs, Some(end)), "{class:?} {retry:?}");
        assert_eq!(task.memory_doublings, u8::from(class == Oom));
    }
}

#[test]
fn a_backoff_is_waited_for_and_sixteen_grants_are_the_most() {
    let mut w = World::default();
    let job = w.submit(Plan::default());
    let attempt = w.grant(job, 0, 1).unwrap();
    w.chance = 3; // not a multiple of the span: some wait is drawn
    w.report(attempt, 1, failure(FailureClass::Infra)).unwrap();
    let until = w.tasks.values().next().unwrap().not_before;
    if until > w.now {
        assert_eq!(w.grant(job, 0, 1), Err(Refusal::NoFreeSlot));
        w.now = until;
    }
    for _ in 1..16 {
        let attempt = w.grant(job, 0, 1).unwrap();
        w.report(attempt, 1, Said::Declined { reason: "busy".into() }).unwrap();
    }
    assert_eq!(w.tasks.values().next().unwrap().failure, Some(TaskFailure::Exhausted));
    assert_eq!(state(&w, job), JobState::Failed);
}

#[test]
fn cancel_ends_what_waits_gives_what_runs_its_grace_and_then_revokes_it() {
    let mut w = World::default();
    let job = w.submit_array(3, Plan::default());
    let (kept, late) = (w.grant(job, 0, 1).unwrap(), w.grant(job, 1, 1).unwrap());
    let cancel = Command::Stop { job, cause: StopCause::Cancel, grace_ms: 10_000 };
    w.run(&cancel).unwrap();
    assert_eq!(w.jobs[&job].open_tasks, 2, "the task that waited has ended");
    assert_eq!(w.run(&cancel), Err(Refusal::Stopping));
    w.later(9_999);
    assert_eq!(w.report(kept, 1, success()), Ok(Some(Verdict::Accepted)), "commit order decides");
    w.later(1);
    w.run(&Command::Review { job }).unwrap();
    assert_eq!(state(&w, job), JobState::Cancelled);
    assert_eq!(w.report(late, 1, success()), Ok(Some(Verdict::LeaseLost)));
}

#[test]
fn a_cancel_that_comes_after_the_last_success_changes_nothing_and_one_before_loses_to_it() {
    let mut w = World::default();
    let job = w.submit(Plan::default());
    let attempt = w.grant(job, 0, 1).unwrap();
    w.run(&Command::Stop { job, cause: StopCause::Cancel, grace_ms: 10_000 }).unwrap();
    w.report(attempt, 1, success()).unwrap();
    assert_eq!(state(&w, job), JobState::Completed);
    let again = w.run(&Command::Stop { job, cause: StopCause::Cancel, grace_ms: 0 });
    assert_eq!(again, Err(Refusal::AlreadyEnded));
}

#[test]
fn a_cancel_now_revokes_at_once() {
    let mut w = World::default();
    let job = w.submit(Plan::default());
    let attempt = w.grant(job, 0, 1).unwrap();
    w.run(&Command::Stop { job, cause: StopCause::Cancel, grace_ms: 10_000 }).unwrap();
    w.run(&Command::Stop { job, cause: StopCause::Cancel, grace_ms: 0 }).unwrap();
    assert_eq!(state(&w, job), JobState::Cancelled);
    assert_eq!(w.report(attempt, 1, success()), Ok(Some(Verdict::LeaseLost)));
}

#[test]
fn a_reducer_runs_after_the_others_and_its_failure_is_the_jobs() {
    let mut w = World::default();
    let job = w.submit_array(2, Plan { has_reducer: true, ..Plan::default() });
    assert_eq!(w.grant(job, 2, 1), Err(Refusal::NoFreeSlot), "blocked on the others");
    for no in 0..2 {
        let attempt = w.grant(job, no, 1).unwrap();
        w.report(attempt, 1, success()).unwrap();
    }
    let reducer = w.grant(job, 2, 1).unwrap();
    w.report(reducer, 1, failure(FailureClass::User)).unwrap();
    assert_eq!(state(&w, job), JobState::Failed);
}

#[test]
fn reducers_open_level_by_level_each_with_the_last_task_that_it_reads() {
    let mut w = World::default();
    let job = w.submit_array(200, Plan { has_reducer: true, ..Plan::default() });
    assert_eq!((w.jobs[&job].tasks_total, w.jobs[&job].open_tasks), (205, 205));
    let run = |w: &mut World, no| {
        let attempt = w.grant(job, no, 1).unwrap();
        w.report(attempt, 1, success()).unwrap();
    };
    (0..63).for_each(|no| run(&mut w, no));
    assert_eq!(w.grant(job, 200, 1), Err(Refusal::NoFreeSlot), "one of its tasks is open");
    run(&mut w, 63);
    run(&mut w, 200);
    assert_eq!(w.grant(job, 204, 1), Err(Refusal::NoFreeSlot), "three reducers are blocked");
    (64..200).for_each(|no| run(&mut w, no));
    (201..204).for_each(|no| run(&mut w, no));
    run(&mut w, 204);
    assert_eq!(state(&w, job), JobState::Completed);
}

#[test]
fn reducers_bear_failed_tasks_by_the_policy_and_no_failed_reducer() {
    use OnFailure::{FailFast, KeepGoing, MaxFailed};
    // Which of 130 tasks, three reducers above them (130 to 132) and the root (133) fails.
    let cases = [
        (MaxFailed(1), 7, JobState::Completed, 133, &[][..]),
        (KeepGoing, 7, JobState::Failed, 133, &[]),
        (FailFast, 131, JobState::Failed, 131, &[]),
        (MaxFailed(9), 131, JobState::Failed, 131, &[]),
        (KeepGoing, 131, JobState::Failed, 132, &[133]),
        (KeepGoing, 133, JobState::Failed, 133, &[]),
    ];
    for (on_failure, fails, end, completed, dependents) in cases {
        let mut w = World::default();
        let job = w.submit_array(130, Plan { has_reducer: true, on_failure, ..Plan::default() });
        for no in 0..134 {
            let Ok(attempt) = w.grant(job, no, 1) else { continue };
            let said = if no == fails { failure(FailureClass::User) } else { success() };
            w.report(attempt, 1, said).unwrap();
        }
        w.run(&Command::Review { job }).ok();
        let row = &w.jobs[&job];
        let told = format!("{on_failure:?} with task {fails} failing: {row:?}");
        assert_eq!((row.state, row.completed_tasks), (end, completed), "{told}");
        let failed: Vec<u32> = w
            .tasks
            .values()
            .filter(|t| t.failure == Some(crate::task::TaskFailure::Dependency))
            .map(|t| t.key.no)
            .collect();
        assert_eq!(failed, dependents, "{told}");
    }
}

#[test]
fn a_stop_in_the_middle_of_a_tree_opens_no_reducer() {
    let mut w = World::default();
    let job = w.submit_array(65, Plan { has_reducer: true, ..Plan::default() });
    for no in 0..63 {
        let attempt = w.grant(job, no, 1).unwrap();
        w.report(attempt, 1, success()).unwrap();
    }
    let last = w.grant(job, 63, 1).unwrap();
    w.run(&Command::Stop { job, cause: StopCause::Cancel, grace_ms: 10_000 }).unwrap();
    w.report(last, 1, success()).unwrap();
    assert_eq!((state(&w, job), w.jobs[&job].completed_tasks), (JobState::Cancelled, 64));
    assert_eq!(w.grant(job, 65, 1), Err(Refusal::AlreadyEnded));
}

#[test]
fn arrays_bear_as_many_failures_as_they_were_told_to() {
    let cases = [
        (OnFailure::FailFast, 1, JobState::Failed),
        (OnFailure::MaxFailed(1), 1, JobState::Completed),
        (OnFailure::MaxFailed(1), 2, JobState::Failed),
        (OnFailure::KeepGoing, 2, JobState::Failed),
    ];
    for (on_failure, failures, end) in cases {
        let mut w = World::default();
        let job = w.submit_array(4, Plan { on_failure, ..Plan::default() });
        for no in 0..4 {
            let Ok(attempt) = w.grant(job, no, 1) else { break };
            let said = if no < failures { failure(FailureClass::User) } else { success() };
            w.report(attempt, 1, said).unwrap();
        }
        w.run(&Command::Review { job }).ok();
        assert_eq!(state(&w, job), end, "{on_failure:?} with {failures} failures");
        let ran = w.jobs[&job].completed_tasks;
        assert_eq!(
            ran == 4 - failures,
            on_failure != OnFailure::FailFast && (failures, on_failure) != (2, OnFailure::MaxFailed(1))
        );
    }
}

#[test]
fn waiting_too_long_and_deadlines_expire_jobs() {
    let mut w = World::default();
    let waits = w.submit(Plan::default());
    let runs = w.submit(Plan { deadline: Some(5_000), ..Plan::default() });
    let attempt = w.grant(runs, 0, 1).unwrap();
    w.later(5_000);
    w.run(&Command::Review { job: runs }).unwrap();
    assert_eq!(state(&w, runs), JobState::Expired);
    assert_eq!(w.report(attempt, 1, success()), Ok(Some(Verdict::LeaseLost)));
    w.later(w.policy.max_queue_ms);
    w.run(&Command::Review { job: waits }).unwrap();
    assert_eq!(state(&w, waits), JobState::Expired);
}

#[test]
fn a_split_that_cannot_be_made_fails_the_job_and_pages_come_in_order() {
    let mut w = World::default();
    let job = w.submit(Plan { splits: true, ..Plan::default() });
    let page = |first| Command::AddTasks { job, first, inputs: vec![None; 5] };
    w.run(&page(0)).unwrap();
    assert_eq!(w.run(&page(0)), Err(Refusal::OutOfOrder));
    assert_eq!(w.grant(job, 0, 1), Err(Refusal::NotGrantable));
    w.run(&page(5)).unwrap();
    w.run(&Command::PrepareFailed { job, code: "bad_input", message: "gone".into() }).unwrap();
    assert_eq!(state(&w, job), JobState::Failed);
    assert!(w.tasks.values().all(|t| t.state == TaskState::Cancelled));
    assert_eq!(w.run(&page(10)), Err(Refusal::AlreadyEnded));
}
