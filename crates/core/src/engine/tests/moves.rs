//! Every command against every combination of states: what the engine does is in the tables, and
//! what is in the tables can be done.

use super::{PRICE, Plan, World, failure, success};
use crate::attempt::AttemptState;
use crate::command::{Command, Revocation, Said};
use crate::engine::table::{ATTEMPT, JOB, TASK, allows, attempt_reaches};
use crate::engine::{Context, Policy, Rows, apply};
use crate::id::{SessionKey, WorkerKey};
use crate::job::{JobState, Stop, StopCause};
use crate::retry::FailureClass;
use crate::task::TaskState;
use std::collections::BTreeSet;

/// Moves that no command of this version makes: deposits and verdicts come with their own parts.
fn is_later_work(job: (JobState, JobState)) -> bool {
    job.0 == JobState::AwaitingFunds && matches!(job.1, JobState::Preparing | JobState::Queued)
}

fn commands(attempt: crate::id::AttemptKey) -> Vec<Command> {
    let job = attempt.task.job;
    let worker = WorkerKey(1);
    let said = [
        Said::Started,
        success(),
        failure(FailureClass::User),
        failure(FailureClass::Infra),
        Said::Declined { reason: "no".into() },
        Said::Released,
    ];
    let revoked = [Revocation::Expired, Revocation::Stalled, Revocation::Undelivered, Revocation::Removed];
    let report = |said| Command::Report { attempt, worker, said, price: PRICE, signed: None };
    let mut all: Vec<Command> = said.into_iter().map(report).collect();
    all.extend(revoked.into_iter().map(|why| Command::Revoke { attempt, why }));
    all.push(Command::Grant {
        task: attempt.task,
        worker,
        session: SessionKey(1),
        gpus: Vec::new(),
        price: PRICE,
    });
    all.push(Command::Prepared { job });
    all.push(Command::PrepareFailed { job, code: "bad_input", message: String::new() });
    all.push(Command::Stop { job, cause: StopCause::Cancel, grace_ms: 0 });
    all.push(Command::Review { job });
    all
}

#[test]
fn no_command_makes_a_move_that_the_tables_do_not_have() {
    let mut world = World::default();
    let key = world.submit(Plan::default());
    let attempt_key = world.grant(key, 0, 1).unwrap();
    let (job, task) = (world.jobs[&key].clone(), world.tasks[&attempt_key.task].clone());
    let attempt = world.attempts[&attempt_key].clone();
    let policy = Policy::default();
    let (mut job_moves, mut attempt_moves) = (BTreeSet::new(), BTreeSet::new());
    let stops = [None, Some(Stop { cause: StopCause::Cancel, revoke_at: world.now })];
    for (job_state, task_state, attempt_state) in combinations() {
        for (stop, late) in stops.iter().flat_map(|s| [(*s, false), (*s, true)]) {
            let mut job = job.clone();
            job.state = job_state;
            job.stop = stop;
            if late {
                job.expires_at = world.now;
                job.hard_deadline = true;
            }
            job.next_deadline = Some(world.now);
            let mut task = task.clone();
            task.state = task_state;
            let mut attempt = attempt.clone();
            attempt.state = attempt_state;
            let (tasks, attempts) = ([task], [attempt]);
            let rows = Rows { job: Some(&job), tasks: &tasks, attempts: &attempts, readers: &[] };
            for command in commands(attempt_key) {
                let cx = Context { now: world.now, policy: &policy, chance: 1 };
                let Ok(change) = apply(&rows, &command, &cx) else { continue };
                let said = format!("{command:?} on {job_state:?} {task_state:?} {attempt_state:?}");
                for moved in &change.attempts {
                    let known = attempt_reaches(attempt_state, moved.state);
                    assert!(known, "{said} made the attempt {:?}", moved.state);
                    attempt_moves.insert((attempt_state, moved.state));
                }
                let coherent = coherent(job_state, task_state, attempt_state);
                for moved in change.tasks.iter().filter(|t| coherent && t.rev > 1 && t.state != task_state) {
                    assert!(allows(TASK, task_state, moved.state), "{said} made the task {:?}", moved.state);
                }
                if let Some(moved) = change.job.filter(|j| coherent && j.state != job_state) {
                    assert!(allows(JOB, job_state, moved.state), "{said} made the job {:?}", moved.state);
                    job_moves.insert((job_state, moved.state));
                }
            }
        }
    }
    let unreachable: Vec<_> = JOB
        .iter()
        .filter(|m| !job_moves.contains(&(m.from, m.to)) && !is_later_work((m.from, m.to)))
        .collect();
    assert!(unreachable.is_empty(), "in the table and never made: {unreachable:?}");
    for from in [AttemptState::Leased, AttemptState::Running] {
        for to in [
            AttemptState::Accepted,
            AttemptState::Failed,
            AttemptState::Lost,
            AttemptState::Declined,
            AttemptState::Released,
        ] {
            assert!(attempt_moves.contains(&(from, to)), "{from:?} never became {to:?}");
        }
    }
}

fn combinations() -> impl Iterator<Item = (JobState, TaskState, AttemptState)> {
    JobState::ALL.into_iter().flat_map(|job| {
        TaskState::ALL
            .into_iter()
            .flat_map(move |task| AttemptState::ALL.into_iter().map(move |a| (job, task, a)))
    })
}

/// Whether these states can stand together at all.
fn coherent(job: JobState, task: TaskState, attempt: AttemptState) -> bool {
    let live = attempt.is_live();
    match job {
        JobState::AwaitingFunds | JobState::Preparing | JobState::Queued => !live && task == TaskState::Open,
        JobState::Running => !live || task == TaskState::Open,
        _ => !live && task.is_ended(),
    }
}

#[test]
fn ended_states_have_no_way_out_and_every_other_state_has_one() {
    for state in JobState::ALL {
        assert_eq!(JOB.iter().any(|m| m.from == state), !state.is_ended(), "{state:?}");
    }
    for state in TaskState::ALL {
        assert_eq!(TASK.iter().any(|m| m.from == state), !state.is_ended(), "{state:?}");
    }
    for state in AttemptState::ALL {
        assert_eq!(ATTEMPT.iter().any(|m| m.from == state), state.is_live(), "{state:?}");
    }
}
