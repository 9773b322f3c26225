//! Random histories: any sequence of commands keeps the invariants, and when the faults stop every
//! job ends.

use super::{Plan, World, deposited, failure, paid, success};
use crate::amount::Fri;
use crate::attempt::AttemptState;
use crate::command::{Command, Revocation, Said};
use crate::id::{AttemptKey, JobKey, TaskKey};
use crate::job::{JobState, StopCause};
use crate::money::decide::Trouble;
use crate::reduction::FAN_IN;
use crate::retry::FailureClass;
use crate::spec::{OnFailure, RetryPolicy};
use crate::task::TaskState;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Submit { tasks: u8, reducer: bool, on_failure: u8, retry: bool, deadline: bool, money: u8 },
    Money { pick: u8, what: u8 },
    Prepare { pick: u8, fails: bool, many: bool },
    Grant { pick: u16, worker: u8 },
    Report { pick: u16, said: u8, stranger: bool },
    Revoke { pick: u16, why: u8 },
    Restore,
    Cancel { pick: u8, now: bool },
    Review { pick: u8 },
    Later { ms: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..5_u8, any::<bool>(), 0..3_u8, any::<bool>(), any::<bool>(), 0..6_u8).prop_map(
            |(tasks, reducer, on_failure, retry, deadline, money)| {
                Step::Submit { tasks, reducer, on_failure, retry, deadline, money }
            }
        ),
        3 => (any::<u8>(), 0..10_u8).prop_map(|(pick, what)| Step::Money { pick, what }),
        3 => (any::<u8>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1))
            .prop_map(|(pick, fails, many)| Step::Prepare { pick, fails, many }),
        8 => (any::<u16>(), 1..4_u8).prop_map(|(pick, worker)| Step::Grant { pick, worker }),
        8 => (any::<u16>(), 0..8_u8, prop::bool::weighted(0.1))
            .prop_map(|(pick, said, stranger)| Step::Report { pick, said, stranger }),
        2 => (any::<u16>(), 0..5_u8).prop_map(|(pick, why)| Step::Revoke { pick, why }),
        1 => Just(Step::Restore),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(pick, now)| Step::Cancel { pick, now }),
        2 => any::<u8>().prop_map(|pick| Step::Review { pick }),
        3 => (0..400_000_u32).prop_map(|ms| Step::Later { ms }),
    ]
}

fn pick<T: Copy>(all: &[T], n: usize) -> Option<T> {
    (!all.is_empty()).then(|| all[n % all.len()])
}

impl World {
    fn jobs_that(&self, wanted: impl Fn(&crate::job::Job) -> bool) -> Vec<JobKey> {
        self.jobs.values().filter(|j| wanted(j)).map(|j| j.key).collect()
    }

    pub(super) fn live(&self) -> Vec<AttemptKey> {
        self.attempts.values().filter(|a| a.state.is_live()).map(|a| a.key).collect()
    }

    /// Refusals are answers like others here: what matters is what holds after every step.
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Submit { tasks, reducer, on_failure, retry, deadline, money } => {
                let on_failure = [OnFailure::FailFast, OnFailure::MaxFailed(1), OnFailure::KeepGoing]
                    [usize::from(on_failure)];
                let retry = RetryPolicy { max_attempts: 3, on_user: retry, on_timeout: retry };
                let splits = tasks > 0;
                let deadline = deadline.then_some(300_000);
                // Too little for more than a few, and enough.
                let amount = if money % 2 == 0 { 1_000 } else { 1 << 40 };
                let paid = match money {
                    0 | 1 => Some(paid(amount)),
                    2 | 3 => Some(deposited(amount, splits)),
                    _ => None,
                };
                let has_reducer = splits && reducer;
                self.submit(Plan { splits, has_reducer, on_failure, retry, deadline, paid });
            }
            Step::Money { pick: n, what } => {
                let Some(job) = pick(&self.jobs_that(|j| j.escrow.is_some()), n.into()) else { return };
                let is = self.jobs[&job].settlement;
                let settled = |less: u128| Command::Settled {
                    job,
                    paid: is.paid,
                    fee: is.fee,
                    refunded: Fri(is.held.0.saturating_sub(less)),
                };
                let command = match what {
                    0 | 1 => Command::Fund { job },
                    2 => Command::FundsLost { job },
                    3 => settled(0),
                    4 => Command::FundsGone { job },
                    5 | 6 => Command::Disputed { job, open: what == 5 },
                    7 | 8 => Command::DepositTrouble { job, trouble: (what == 7).then_some(Trouble::Spec) },
                    _ => settled(1),
                };
                self.run(&command).ok();
            }
            Step::Prepare { pick: n, fails, many } => {
                let Some(job) = pick(&self.jobs_that(|j| j.state == JobState::Preparing), n.into()) else {
                    return;
                };
                let written = self.jobs[&job].tasks_total;
                // With many, a reducer is a tree.
                let page = if many { FAN_IN as usize } else { 2 };
                let command = match (fails, written) {
                    (true, _) => Command::PrepareFailed { job, code: "bad_input", message: "no".into() },
                    (_, 0..3) => Command::AddTasks { job, first: written, inputs: vec![None; page] },
                    _ => Command::Prepared { job },
                };
                self.run(&command).ok();
            }
            Step::Grant { pick: n, worker } => {
                let open: Vec<TaskKey> =
                    self.tasks.values().filter(|t| t.state == TaskState::Open).map(|t| t.key).collect();
                if let Some(task) = pick(&open, n.into()) {
                    self.grant(task.job, task.no, worker.into()).ok();
                }
            }
            Step::Report { pick: n, said, stranger } => self.say(n, said, stranger),
            Step::Revoke { pick: n, why } => {
                let all: Vec<AttemptKey> = self.attempts.keys().copied().collect();
                let why = [
                    Revocation::Expired,
                    Revocation::Stalled,
                    Revocation::Forgotten,
                    Revocation::Undelivered,
                    Revocation::Removed,
                ][usize::from(why)];
                if let Some(attempt) = pick(&all, n.into()) {
                    self.run(&Command::Revoke { attempt, why }).ok();
                }
            }
            Step::Restore => {
                self.policy.fence_floor = crate::restore::fence_floor(self.policy.fence_floor, self.now);
                for attempt in self.live() {
                    self.run(&Command::Revoke { attempt, why: Revocation::Restored }).unwrap();
                }
            }
            Step::Cancel { pick: n, now } => {
                if let Some(job) = pick(&self.jobs_that(|_| true), n.into()) {
                    let grace_ms = if now { 0 } else { 10_000 };
                    self.run(&Command::Stop { job, cause: StopCause::Cancel, grace_ms }).ok();
                }
            }
            Step::Review { pick: n } => {
                if let Some(job) = pick(&self.jobs_that(|_| true), n.into()) {
                    self.run(&Command::Review { job }).ok();
                }
            }
            Step::Later { ms } => self.later(ms.into()),
        }
    }

    fn say(&mut self, n: u16, said: u8, stranger: bool) {
        let live = self.live();
        // Mostly live attempts; sometimes any, so that late reports are tried too.
        let all: Vec<AttemptKey> =
            if n.is_multiple_of(5) { self.attempts.keys().copied().collect() } else { live };
        let Some(attempt) = pick(&all, n.into()) else { return };
        let worker = self.attempts[&attempt].worker.0 + i64::from(stranger);
        let said = match said {
            0..3 => success(),
            3 => Said::Started,
            4 => failure([FailureClass::User, FailureClass::Timeout][usize::from(n % 2)]),
            5 => failure([FailureClass::Infra, FailureClass::Oom][usize::from(n % 2)]),
            6 => Said::Declined { reason: "busy".into() },
            _ => Said::Released,
        };
        self.report(attempt, worker, said).expect("a report is always answered");
    }

    /// Faults stop: workers run whatever they are given, and somebody looks at every deadline.
    fn heal(&mut self) {
        for _ in 0..1_000 {
            let open = self.jobs_that(|j| !j.state.is_ended());
            if open.is_empty() {
                return;
            }
            for job in open {
                self.take(&Step::Prepare { pick: 0, fails: false, many: false });
                self.run(&Command::Fund { job }).ok();
                self.run(&Command::Review { job }).ok();
                for no in 0..self.jobs[&job].tasks_total {
                    if let Ok(attempt) = self.grant(job, no, 1) {
                        self.report(attempt, 1, success()).expect("a report is always answered");
                    }
                }
            }
            for attempt in self.live() {
                if self.attempts[&attempt].state == AttemptState::Leased
                    || self.attempts[&attempt].state.is_live()
                {
                    let worker = self.attempts[&attempt].worker.0;
                    self.report(attempt, worker, success()).expect("a report is always answered");
                }
            }
            self.later(60_000);
        }
        let left = self.jobs_that(|j| !j.state.is_ended());
        panic!("{} jobs never ended: {:#?}", left.len(), left.first().map(|j| &self.jobs[j]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_history_keeps_the_invariants_and_every_job_ends(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::default();
        for step in &steps {
            world.take(step);
        }
        world.heal();
    }
}
