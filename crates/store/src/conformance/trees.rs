//! Trees of reducers: opened by the last task that each reads, across restarts, failures and stops.

use super::arrays::{array, prepare};
use super::world::{World, failed, succeeded};
use super::{Stage, Told};
use crate::open::Options;
use ciro_core::command::Command;
use ciro_core::id::SessionKey;
use ciro_core::job::{JobState, StopCause};
use ciro_core::reduction::Reduction;
use ciro_core::retry::FailureClass;
use ciro_core::spec::{Collect, OnFailure};
use ciro_core::task::{TaskFailure, TaskState};

/// Tasks of the split: three reducers above them, and the root.
const TASKS: u32 = 130;
const CORES: u64 = 1_000;

pub(super) fn tune(_: &mut Options) {}

fn reduced() -> Collect {
    Collect::Reduce { args: Vec::new() }
}

/// Takes up to `max` leases and reports each; the tasks of `fail` by their own fault. The numbers
/// of the tasks, in their order.
async fn run<S: Stage>(
    w: &World<S>,
    session: SessionKey,
    max: u32,
    fail: &[u32],
) -> Result<Vec<u32>, Box<dyn std::error::Error + Send + Sync>> {
    let work = w.take(session, max).await?;
    let mut ran = Vec::new();
    for lease in work.leases {
        let no = lease.attempt.task.no;
        let said = if fail.contains(&no) { failed(FailureClass::User) } else { succeeded(&no.to_string())? };
        w.report(session, lease.attempt, said).await?;
        ran.push(no);
    }
    ran.sort_unstable();
    Ok(ran)
}

pub(super) async fn reducers_open_with_the_last_task_that_they_read_across_restarts<S: Stage>(
    mut w: World<S>,
) -> Told {
    let tree = Reduction::over(TASKS);
    let id = w.submit(array(TASKS, reduced(), OnFailure::FailFast)).await?;
    prepare(&w, w.key(id).await?, TASKS).await?;
    let worker = w.worker(1, CORES).await?;
    let mut ran = run(&w, worker.session, 70, &[]).await?;
    assert_eq!(ran, (0..70).collect::<Vec<_>>(), "tasks come first, in their order");
    w.reopen().await?;
    // The first reducer became open before the restart, and is older than nothing of the rest.
    ran = run(&w, worker.session, 1_000, &[]).await?;
    assert_eq!(ran, (70..=TASKS).collect::<Vec<_>>(), "the rest, and the reducer of the first 64");
    w.reopen().await?;
    assert_eq!(run(&w, worker.session, 1_000, &[]).await?, [TASKS + 1, TASKS + 2]);
    w.reopen().await?;
    assert_eq!(run(&w, worker.session, 1_000, &[]).await?, [tree.root()]);
    let ended = w.job(id).await?.job;
    assert_eq!((ended.state, ended.completed_tasks), (JobState::Completed, tree.total()));
    w.verified().await
}

pub(super) async fn the_last_two_tasks_of_a_reducer_may_end_in_one_group<S: Stage>(mut w: World<S>) -> Told {
    let id = w.submit(array(TASKS, reduced(), OnFailure::FailFast)).await?;
    prepare(&w, w.key(id).await?, TASKS).await?;
    let worker = w.worker(1, CORES).await?;
    let all = w.take(worker.session, 128).await?.leases;
    w.succeed_all(worker.session, &all[..62]).await?;
    // Two calls at once, in whatever groups they fall.
    let (one, other) = (&all[62..63], &all[63..64]);
    tokio::try_join!(w.succeed_all(worker.session, one), w.succeed_all(worker.session, other))?;
    let rest = w.take(worker.session, 128).await?.leases;
    assert_eq!(rest.iter().map(|l| l.attempt.task.no).collect::<Vec<_>>(), [128, 129, TASKS]);
    w.succeed_all(worker.session, &all[64..]).await?;
    w.succeed_all(worker.session, &rest).await?;
    let both = w.take(worker.session, 128).await?.leases;
    assert_eq!(both.iter().map(|l| l.attempt.task.no).collect::<Vec<_>>(), [TASKS + 1, TASKS + 2]);
    w.verified().await
}

pub(super) async fn a_reducer_reads_what_the_policy_left_and_fails_with_what_it_reads<S: Stage>(
    mut w: World<S>,
) -> Told {
    let tree = Reduction::over(TASKS);
    let worker = w.worker(1, CORES).await?;
    // Whoever fails, and what the job comes to.
    let cases = [
        (OnFailure::MaxFailed(2), &[3, 100][..], JobState::Completed, tree.total() - 2),
        (OnFailure::MaxFailed(9), &[TASKS + 1], JobState::Failed, TASKS + 1),
        (OnFailure::KeepGoing, &[3], JobState::Failed, tree.total() - 1),
        (OnFailure::KeepGoing, &[TASKS + 1], JobState::Failed, TASKS + 2),
    ];
    for (policy, fail, end, completed) in cases {
        let id = w.submit(array(TASKS, reduced(), policy)).await?;
        let key = w.key(id).await?;
        prepare(&w, key, TASKS).await?;
        while !run(&w, worker.session, 64, fail).await?.is_empty() {}
        w.settle().await?;
        let job = w.job(id).await?.job;
        assert_eq!((job.state, job.completed_tasks), (end, completed), "{policy:?} {fail:?}");
        let root = w.store.task_page(key, tree.root(), 1).await?.remove(0);
        let dependent = policy == OnFailure::KeepGoing && fail[0] > TASKS;
        assert_eq!(root.failure == Some(TaskFailure::Dependency), dependent, "{policy:?} {fail:?}: {root:?}");
        let left = w.store.result_page(key, 0, 200).await?;
        assert_eq!(left.len() as u32, completed, "what completed stays");
    }
    w.verified().await
}

pub(super) async fn a_tree_that_is_stopped_in_the_middle_ends_as_a_whole<S: Stage>(mut w: World<S>) -> Told {
    let tree = Reduction::over(TASKS);
    let id = w.submit(array(TASKS, reduced(), OnFailure::FailFast)).await?;
    let key = w.key(id).await?;
    prepare(&w, key, TASKS).await?;
    let worker = w.worker(1, CORES).await?;
    run(&w, worker.session, 63, &[]).await?;
    let last = w.take_one(worker.session).await?;
    w.store.command(Command::Stop { job: key, cause: StopCause::Cancel, grace_ms: 5_000 }).await?;
    w.report(worker.session, last.attempt, succeeded("late and in time")?).await?;
    assert!(w.take(worker.session, 1_000).await?.leases.is_empty(), "no reducer is handed out");
    w.advance(6_000).await?;
    w.review_due().await?;
    let job = w.job(id).await?.job;
    assert_eq!((job.state, job.completed_tasks, job.open_tasks), (JobState::Cancelled, 64, 0));
    let tasks = w.store.task_page(key, 64, 1_000).await?;
    assert_eq!(tasks.len() as u32, tree.total() - 64);
    assert!(tasks.iter().all(|t| t.state == TaskState::Cancelled), "{tasks:?}");
    w.verified().await
}
