//! Jobs of many tasks: pages of a split, reducers, failure policies, deadlines.

use super::world::{TENANT, World, failed, spec, succeeded};
use super::{Stage, Told};
use crate::Error;
use crate::open::Options;
use ciro_core::command::{Command, Refusal};
use ciro_core::id::{Hash, JobKey, SessionKey};
use ciro_core::job::{JobState, StopCause};
use ciro_core::retry::FailureClass;
use ciro_core::spec::{Collect, JobSpec, OnFailure, Split};
use ciro_core::task::{InputRange, TaskState};
use ciro_core::time::Timestamp;

pub(super) fn tune(_: &mut Options) {}

pub(super) fn array(count: u32, collect: Collect, on_failure: OnFailure) -> JobSpec {
    JobSpec { split: Some(Split::Array { count }), collect, on_failure, ..spec() }
}

/// Writes the split of an array in one page and lets it go.
pub(super) async fn prepare<S: Stage>(w: &World<S>, job: JobKey, count: u32) -> Result<(), Error> {
    w.store.command(Command::AddTasks { job, first: 0, inputs: vec![None; count as usize] }).await?;
    w.store.command(Command::Prepared { job }).await
}

pub(super) async fn an_array_is_written_in_pages_and_reduced<S: Stage>(mut w: World<S>) -> Told {
    let id = w.submit(array(2_500, Collect::Reduce { args: vec![] }, OnFailure::FailFast)).await?;
    let preparing = w.store.jobs_preparing(None, 10).await?;
    assert_eq!((preparing.len(), preparing[0].id, preparing[0].tasks_written), (1, id, 0));
    let job = preparing[0].job;
    let range = |no: u64| InputRange {
        artifact: Hash::of(b"in"),
        offset: no * 10,
        length: 10,
        hash: Hash::of(&no.to_le_bytes()),
    };
    for (first, count) in [(0, 1_000), (1_000, 1_000), (2_000, 500)] {
        let page = |first: u32| (first..first + count).map(|no| Some(range(u64::from(no)))).collect();
        let skipped = Command::AddTasks { job, first: first + 1, inputs: page(first + 1) };
        let refused = w.store.command(skipped).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::OutOfOrder))), "{refused:?}");
        w.store.command(Command::AddTasks { job, first, inputs: page(first) }).await?;
        w.reopen().await?;
        let at = w.store.jobs_preparing(None, 10).await?;
        let written = first + count;
        assert_eq!(
            (at[0].tasks_written, at[0].next_offset),
            (written, u64::from(written) * 10),
            "where to go on"
        );
    }
    w.store.command(Command::Prepared { job }).await?;
    assert!(w.store.jobs_preparing(None, 10).await?.is_empty());
    let worker = w.worker(1, 2_000).await?;
    // 40 reducers above the tasks, and the root.
    let mut done = 0;
    while done < 2_540 {
        let work = w.take(worker.session, 600).await?;
        assert!(!work.leases.is_empty(), "{done} of 2,540 were handed out");
        let early = work.leases.iter().find(|l| l.attempt.task.no >= 2_540);
        assert!(early.is_none(), "the root waits for the others: {early:?}");
        w.succeed_all(worker.session, &work.leases).await?;
        done += work.leases.len();
    }
    let root = w.take_one(worker.session).await?;
    assert_eq!(root.attempt.task.no, 2_540);
    let (mut first, mut seen) = (0, 0);
    loop {
        let page = w.store.result_page(job, first, 700).await?;
        let Some(last) = page.last() else { break };
        assert!(page.windows(2).all(|p| p[0].no + 1 == p[1].no), "in the order of the tasks");
        (first, seen) = (last.no + 1, seen + page.len());
    }
    assert_eq!(seen, 2_540);
    w.report(worker.session, root.attempt, succeeded("sum")?).await?;
    let ended = w.job(id).await?.job;
    assert_eq!((ended.state, ended.tasks_total, ended.completed_tasks), (JobState::Completed, 2_541, 2_541));
    w.verified().await
}

/// Runs whatever is handed out; tasks below `bad` fail by their own fault.
async fn run_all<S: Stage>(w: &World<S>, session: SessionKey, bad: u32) -> Told {
    loop {
        let work = w.take(session, 8).await?;
        if work.leases.is_empty() {
            return Ok(());
        }
        for lease in work.leases {
            let said =
                if lease.attempt.task.no < bad { failed(FailureClass::User) } else { succeeded("ok")? };
            w.report(session, lease.attempt, said).await?;
        }
    }
}

pub(super) async fn a_failed_task_ends_its_job_by_the_policy<S: Stage>(mut w: World<S>) -> Told {
    let worker = w.worker(1, 1).await?;
    let policies = [
        (OnFailure::FailFast, JobState::Failed, 1),
        (OnFailure::MaxFailed(2), JobState::Completed, 2),
        (OnFailure::MaxFailed(1), JobState::Failed, 2),
        (OnFailure::KeepGoing, JobState::Failed, 2),
    ];
    for (policy, state, failed_tasks) in policies {
        let id = w.submit(array(6, Collect::List, policy)).await?;
        let key = w.key(id).await?;
        prepare(&w, key, 6).await?;
        run_all(&w, worker.session, 2).await?;
        w.settle().await?;
        let job = w.job(id).await?.job;
        assert_eq!((job.state, job.failed_tasks), (state, failed_tasks), "{policy:?}");
        if policy == OnFailure::KeepGoing {
            assert_eq!(job.completed_tasks, 4, "every task was run");
        }
    }
    w.verified().await
}

pub(super) async fn a_large_job_is_stopped_page_by_page_around_what_still_runs<S: Stage>(
    mut w: World<S>,
) -> Told {
    let id = w.submit(array(3_500, Collect::List, OnFailure::FailFast)).await?;
    let job = w.key(id).await?;
    for first in (0..3_500).step_by(1_000) {
        let page = (3_500 - first).min(1_000) as usize;
        w.store.command(Command::AddTasks { job, first, inputs: vec![None; page] }).await?;
    }
    w.store.command(Command::Prepared { job }).await?;
    let worker = w.worker(1, 4).await?;
    let running = w.take(worker.session, 4).await?.leases;
    assert_eq!(running.len(), 4);
    w.store.command(Command::Stop { job, cause: StopCause::Cancel, grace_ms: 5_000 }).await?;
    w.settle().await?;
    w.settle().await?;
    assert_eq!(w.job(id).await?.job.open_tasks, 4, "what runs may still report");
    w.report(worker.session, running[0].attempt, succeeded("in time")?).await?;
    w.report(worker.session, running[1].attempt, failed(FailureClass::Infra)).await?;
    assert_eq!(w.job(id).await?.job.open_tasks, 2, "nothing is tried again");
    w.reopen().await?;
    w.advance(6_000).await?;
    w.review_due().await?;
    w.settle().await?;
    let ended = w.job(id).await?.job;
    assert_eq!((ended.state, ended.open_tasks, ended.completed_tasks), (JobState::Cancelled, 0, 1));
    w.verified().await
}

pub(super) async fn a_job_that_cannot_be_prepared_fails<S: Stage>(mut w: World<S>) -> Told {
    let id = w.submit(array(10, Collect::List, OnFailure::FailFast)).await?;
    let job = w.key(id).await?;
    w.store.command(Command::AddTasks { job, first: 0, inputs: vec![None; 5] }).await?;
    let message = "the input is not there".to_owned();
    w.store.command(Command::PrepareFailed { job, code: "bad_input", message }).await?;
    w.settle().await?;
    let ended = w.job(id).await?.job;
    let code = ended.failure.as_ref().map(|f| f.code.as_str());
    assert_eq!((ended.state, code, ended.open_tasks), (JobState::Failed, Some("bad_input"), 0));
    let tasks = w.store.task_page(job, 0, 10).await?;
    assert!(tasks.iter().all(|t| t.state == TaskState::Cancelled));
    w.verified().await
}

pub(super) async fn a_job_past_its_deadline_is_expired<S: Stage>(mut w: World<S>) -> Told {
    let deadline = Timestamp(w.now().0 + 20_000);
    let id = w.submit(JobSpec { deadline: Some(deadline), ..spec() }).await?;
    let patient = w.submit(spec()).await?;
    assert!(w.store.jobs_due(w.now(), 10).await?.is_empty());
    w.advance(20_000).await?;
    let due = w.store.jobs_due(w.now(), 10).await?;
    assert_eq!(due, [w.key(id).await?]);
    w.store.command(Command::Review { job: due[0] }).await?;
    w.settle().await?;
    assert_eq!(w.job(id).await?.job.state, JobState::Expired);
    assert_eq!(w.job(patient).await?.job.state, JobState::Queued);
    assert!(w.store.jobs_due(w.now(), 10).await?.is_empty());
    let worker = w.worker(1, 1).await?;
    let lease = w.take_one(worker.session).await?;
    assert_eq!(lease.attempt.task.job, patient, "an expired job is not handed out");
    w.report(worker.session, lease.attempt, succeeded("ok")?).await?;
    assert!(w.store.job_get(TENANT, patient).await?.is_some_and(|d| d.job.state == JobState::Completed));
    w.verified().await
}
