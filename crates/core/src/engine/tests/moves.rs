//! Every command against every combination of states: what the engine does is in the tables, and
//! what is in the tables can be done.

use super::{PRICE, Plan, World, address, deposited, failure, paid, success};
use crate::amount::Fri;
use crate::attempt::AttemptState;
use crate::command::{Command, Revocation, Said};
use crate::engine::table::{ATTEMPT, JOB, SETTLEMENT, TASK, allows, attempt_reaches};
use crate::engine::{Context, Policy, Rows, apply};
use crate::id::{SessionKey, TenantKey, WorkerKey};
use crate::job::{Job, JobState, Settlement, SettlementState, Stop, StopCause};
use crate::money::decide::Trouble;
use crate::money::{Escrow, Method, Payee};
use crate::retry::FailureClass;
use crate::task::TaskState;
use std::collections::BTreeSet;

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
        tenant: TenantKey(1),
        payout: Some(address(1)),
    });
    all.push(Command::Prepared { job });
    all.push(Command::PrepareFailed { job, code: "bad_input", message: String::new() });
    all.push(Command::Stop { job, cause: StopCause::Cancel, grace_ms: 0 });
    all.push(Command::Review { job });
    all.push(Command::Fund { job });
    all.push(Command::FundsLost { job });
    all.push(Command::FundsGone { job });
    all.extend([Some(Trouble::Spec), None].map(|trouble| Command::DepositTrouble { job, trouble }));
    all.extend([true, false].map(|open| Command::Disputed { job, open }));
    let (paid, fee, refunded) = (Fri(0), Fri(0), Fri(1_000));
    all.push(Command::Settled { job, paid, fee, refunded });
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
    for splits in [false, true] {
        let waiting = Job {
            state: JobState::AwaitingFunds,
            escrow: Some(Box::new(Escrow::of(deposited(1_000, splits)))),
            settlement: Settlement { state: SettlementState::Locking, ..Settlement::default() },
            ..job.clone()
        };
        let rows = Rows { job: Some(&waiting), ..Rows::default() };
        let cx = Context { now: world.now, policy: &policy, chance: 1 };
        let funded = apply(&rows, &Command::Fund { job: key }, &cx).unwrap().job.unwrap();
        assert!(allows(JOB, waiting.state, funded.state), "a deposit made the job {:?}", funded.state);
        job_moves.insert((waiting.state, funded.state));
    }
    let unreachable: Vec<_> = JOB.iter().filter(|m| !job_moves.contains(&(m.from, m.to))).collect();
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

/// A job that is paid for, in a state of its money that its own state leaves open.
fn with_money(job: &Job, (method, lost): (Method, bool), money: SettlementState) -> Job {
    let payment = if method == Method::Escrow { deposited(1_000, false) } else { paid(1_000) };
    let mut escrow = Escrow::of(payment);
    escrow.deposit.iter_mut().for_each(|deposit| deposit.lost_at = lost.then_some(job.created_at));
    let provider = escrow.provider(TenantKey(1), Some(address(1))).unwrap();
    escrow.payees.push(Payee { provider, earned: Fri(lost.into()), live: 1 });
    let settlement = escrow.stands(money);
    Job { settlement, escrow: Some(Box::new(escrow)), ..job.clone() }
}

#[test]
fn no_command_moves_money_as_the_table_does_not_say() {
    let mut world = World::default();
    let key = world.submit(Plan::default());
    let attempt_key = world.grant(key, 0, 1).unwrap();
    let (job, task) = (world.jobs[&key].clone(), world.tasks[&attempt_key.task].clone());
    let mut attempt = world.attempts[&attempt_key].clone();
    attempt.payee = Some(0);
    let policy = Policy::default();
    let mut moves = BTreeSet::new();
    for (method, lost) in [(Method::Balance, false), (Method::Escrow, false), (Method::Escrow, true)] {
        for (money, state) in SettlementState::ALL.into_iter().flat_map(|m| JobState::ALL.map(|s| (m, s))) {
            let open = matches!(money, SettlementState::Locking | SettlementState::Locked);
            let legal = money != SettlementState::None && open != state.is_ended();
            if !legal || (method == Method::Balance && money == SettlementState::Locking) {
                continue;
            }
            let job =
                Job { state, next_deadline: Some(world.now), ..with_money(&job, (method, lost), money) };
            let (tasks, attempts) = ([task.clone()], [attempt.clone()]);
            let rows = Rows { job: Some(&job), tasks: &tasks, attempts: &attempts, readers: &[] };
            for command in commands(attempt_key) {
                let cx = Context { now: world.now, policy: &policy, chance: 1 };
                let Ok(change) = apply(&rows, &command, &cx) else { continue };
                let Some(after) = change.job.map(|job| job.settlement) else { continue };
                let said = format!("{command:?} on {method:?} {state:?} {money:?}");
                let sum = after.paid.0 + after.fee.0 + after.refunded.0 + after.held.0;
                assert_eq!(sum, after.escrowed.0, "{said}");
                if after.state != money {
                    assert!(allows(SETTLEMENT, money, after.state), "{said} made it {:?}", after.state);
                    moves.insert((money, after.state));
                }
            }
        }
    }
    let never: Vec<_> = SETTLEMENT.iter().filter(|m| !moves.contains(&(m.from, m.to))).collect();
    assert!(never.is_empty(), "in the table and never made: {never:?}");
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
