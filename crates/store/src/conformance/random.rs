//! Random histories: workers that report, fail, decline, fall silent and come back, clients that
//! submit, split and cancel, a store that is restarted, time that passes in steps and in leaps.
//! Whatever the order, every invariant holds afterwards, and every job can still be brought to its
//! end.

use super::payments::{from_balance, from_deposit};
use super::world::{TENANT, World, failed, spec, succeeded};
use super::{Database, Stage, Told};
use crate::open::{Options, Synchronous};
use crate::{Error, GrantedLease, Heartbeat, OpenedSession, WorkerOrder};
use ciro_core::amount::Fri;
use ciro_core::command::{Command, Said};
use ciro_core::id::{AttemptId, JobId};
use ciro_core::job::{JobState, StopCause};
use ciro_core::money::Payment;
use ciro_core::money::decide::Trouble;
use ciro_core::retry::FailureClass;
use ciro_core::spec::{Collect, JobSpec, OnFailure, RetryPolicy, Split};

/// Workers of one history.
const WORKERS: u8 = 3;

/// A generator whose every draw follows from its seed (Steele, Lea and Flood, `SplitMix64`, 2014).
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

struct Agent {
    opened: OpenedSession,
    leases: Vec<GrantedLease>,
    /// Attempts that it may report on although they are no longer its own.
    past: Vec<AttemptId>,
}

struct History<S: Stage> {
    w: World<S>,
    dice: Dice,
    agents: Vec<Agent>,
    /// Jobs that are paid from a deposit on the chain, and how many there were.
    waiting: Vec<JobId>,
    deposits: u8,
}

fn tune(options: &mut Options) {
    // No history cuts the power; the stories and the power cuts wait for the disk.
    options.synchronous = Synchronous::Normal;
    options.policy.lease_ttl_ms = 4_000;
    options.policy.review_ms = 10_000;
    options.policy.stop_grace_ms = 1_000;
    options.stall_after_ms = 60_000;
}

/// Plays `steps` random moves from `seed` on a fresh database, brings every job to its end, and
/// checks everything.
///
/// # Errors
/// When a move was answered by something that is not among its answers.
pub async fn random_history<S: Stage>(database: Box<dyn Database<S>>, seed: u64, steps: u32) -> Told {
    let w = World::open(database, tune)?;
    w.store.endow(TENANT, Fri(1 << 90)).await?;
    let (dice, agents, waiting) = (Dice(seed), Vec::new(), Vec::new());
    let mut h = History { w, dice, agents, waiting, deposits: 0 };
    for number in 1..=WORKERS {
        let opened = h.w.worker(number, u64::from(number)).await?;
        h.agents.push(Agent { opened, leases: Vec::new(), past: Vec::new() });
    }
    for _ in 0..steps {
        h.step().await?;
    }
    h.bring_to_an_end().await?;
    h.w.verified().await
}

/// Refusals are answers; anything else is not.
fn answered<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Refused(_) | Error::SessionEnded | Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

impl<S: Stage> History<S> {
    async fn step(&mut self) -> Told {
        match self.dice.below(100) {
            0..=19 => self.submit().await,
            20..=44 => self.take().await,
            45..=69 => self.report().await,
            70..=75 => self.stop().await,
            76..=84 => self.pass_time().await,
            85..=90 => self.beat().await,
            91..=93 => self.come_back().await,
            94..=95 => Ok(self.w.reopen().await?),
            96 => self.order().await,
            97 => self.repeat_late().await,
            98 => self.deposit().await,
            _ => self.prepare().await,
        }
    }

    async fn submit(&mut self) -> Told {
        let split = match self.dice.below(4) {
            // With more than 64, a reducer is a tree.
            0 if self.dice.below(8) == 0 => Some(Split::Array { count: 60 + self.dice.below(12) as u32 }),
            0 => Some(Split::Array { count: self.dice.below(6) as u32 + 1 }),
            _ => None,
        };
        let collect = if self.dice.below(2) == 0 { Collect::List } else { Collect::Reduce { args: vec![] } };
        let on_failure = match self.dice.below(3) {
            0 => OnFailure::FailFast,
            1 => OnFailure::MaxFailed(1),
            _ => OnFailure::KeepGoing,
        };
        let retry = RetryPolicy { max_attempts: 2, on_user: self.dice.below(2) == 0, on_timeout: false };
        let deadline = (self.dice.below(5) == 0).then(|| self.w.now().plus_ms(15_000));
        let asked = JobSpec { split, collect, on_failure, retry, deadline, ..spec() };
        match self.dice.below(4) {
            0 => {
                let payment = self.enough_or_not();
                self.w.submit_paid(asked, payment).await?;
            }
            1 => {
                self.deposits = self.deposits.wrapping_add(1);
                let Payment { amount, .. } = self.enough_or_not();
                let payment = from_deposit(amount.0, asked.split.is_some(), self.deposits);
                self.waiting.push(self.w.submit_paid(asked, payment).await?);
                if self.dice.below(2) == 0 {
                    self.deposit().await?;
                }
            }
            _ => drop(self.w.submit(asked).await?),
        }
        if self.dice.below(3) > 0 { self.prepare().await } else { Ok(()) }
    }

    /// Paid with enough for all that it may do, or for less.
    fn enough_or_not(&mut self) -> Payment {
        from_balance(if self.dice.below(3) == 0 { 1 + u128::from(self.dice.below(1 << 44)) } else { 1 << 60 })
    }

    /// The chain says something of a deposit: it is there, it is gone, or its job was paid.
    async fn deposit(&mut self) -> Told {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(self.waiting.len() as u64) as usize;
        let id = self.waiting[at];
        let (job, is) = (self.w.key(id).await?, self.w.job(id).await?.job.settlement);
        let command = match self.dice.below(6) {
            0 => Command::FundsLost { job },
            1 => Command::Settled { job, paid: is.paid, fee: is.fee, refunded: is.held },
            2 => Command::DepositTrouble { job, trouble: Some(Trouble::Spec) },
            3 => Command::DepositTrouble { job, trouble: None },
            _ => Command::Fund { job },
        };
        answered(self.w.store.command(command).await)?;
        Ok(())
    }

    /// Goes on with one job that is being prepared.
    async fn prepare(&mut self) -> Told {
        let found = self.w.store.jobs_preparing(None, 8).await?;
        let Some(job) = found.first() else { return Ok(()) };
        let asked: JobSpec = serde_json::from_str(&job.spec_text)?;
        let count = match asked.split {
            Some(Split::Array { count }) => count,
            _ => 1,
        };
        let key = job.job;
        let command = match job.tasks_written {
            written if written < count => Command::AddTasks {
                job: key,
                first: written,
                inputs: vec![None; (count - written).min(4 + count / 3) as usize],
            },
            _ if self.dice.below(12) == 0 => {
                Command::PrepareFailed { job: key, code: "bad_input", message: "no".into() }
            }
            _ => Command::Prepared { job: key },
        };
        answered(self.w.store.command(command).await)?;
        Ok(())
    }

    fn agent(&mut self) -> usize {
        self.dice.below(u64::from(WORKERS)) as usize
    }

    async fn take(&mut self) -> Told {
        let (agent, max) = (self.agent(), self.dice.below(4) as u32 + 1);
        let session = self.agents[agent].opened.session;
        let work = if self.dice.below(6) == 0 {
            self.w.take_unacknowledged(session, max).await
        } else {
            self.w.take(session, max).await
        };
        if let Some(work) = answered(work)? {
            self.agents[agent].leases.extend(work.leases);
        }
        Ok(())
    }

    async fn report(&mut self) -> Told {
        let agent = self.agent();
        if self.agents[agent].leases.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(self.agents[agent].leases.len() as u64) as usize;
        let attempt = self.agents[agent].leases[at].attempt;
        let said = match self.dice.below(12) {
            0..=1 => Said::Started,
            2 => failed(FailureClass::User),
            3 => failed(FailureClass::Infra),
            4 => failed(FailureClass::Oom),
            5 => Said::Declined { reason: "busy".into() },
            6 => Said::Released,
            n => succeeded(&n.to_string())?,
        };
        let ends = said != Said::Started;
        let session = self.agents[agent].opened.session;
        answered(self.w.report(session, attempt, said).await)?;
        if ends {
            self.agents[agent].leases.swap_remove(at);
            self.agents[agent].past.push(attempt);
        }
        Ok(())
    }

    /// A report on an attempt that has ended, the same as before or another.
    async fn repeat_late(&mut self) -> Told {
        let agent = self.agent();
        let Some(attempt) = self.agents[agent].past.last().copied() else {
            return Ok(());
        };
        let said = succeeded(&self.dice.below(12).to_string())?;
        let session = self.agents[agent].opened.session;
        answered(self.w.report(session, attempt, said).await)?;
        Ok(())
    }

    async fn stop(&mut self) -> Told {
        let jobs = self.w.store.jobs_in(&[], 20).await?;
        if jobs.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(jobs.len() as u64) as usize;
        let grace_ms = self.dice.below(3) * 1_000;
        let job = jobs[at];
        answered(self.w.store.command(Command::Stop { job, cause: StopCause::Cancel, grace_ms }).await)?;
        Ok(())
    }

    async fn pass_time(&mut self) -> Told {
        if self.dice.below(6) == 0 {
            self.w.clock.pass(20_000);
            self.w.settle().await?;
        } else {
            let ms = self.dice.below(5_000);
            self.w.advance(ms).await?;
        }
        Ok(self.w.review_due().await?)
    }

    async fn beat(&mut self) -> Told {
        let agent = self.agent();
        let held = self.agents[agent].leases.iter().map(|l| (l.attempt, self.dice.below(3))).collect();
        let beat = Heartbeat { session: self.agents[agent].opened.session, held };
        if let Some(answer) = answered(self.w.store.heartbeat(beat, Vec::new()).await)? {
            let gone = |l: &GrantedLease| answer.unknown.contains(&l.attempt);
            let ended: Vec<AttemptId> =
                self.agents[agent].leases.iter().filter(|l| gone(l)).map(|l| l.attempt).collect();
            self.agents[agent].leases.retain(|l| !ended.contains(&l.attempt));
            self.agents[agent].past.extend(ended);
        }
        Ok(())
    }

    /// A worker is restarted with all, some or none of what it held.
    async fn come_back(&mut self) -> Told {
        let agent = self.agent();
        let keep = self.dice.below(3);
        let held: Vec<AttemptId> = self.agents[agent]
            .leases
            .iter()
            .filter(|l| u64::from(l.attempt.fence) % 3 >= keep)
            .map(|l| l.attempt)
            .collect();
        let number = agent as u8 + 1;
        let opened = self.w.session(number, u64::from(number), held.clone()).await?;
        let kept = |l: &GrantedLease| held.contains(&l.attempt) && !opened.unknown.contains(&l.attempt);
        let agent = &mut self.agents[agent];
        agent.past.extend(agent.leases.iter().filter(|l| !kept(l)).map(|l| l.attempt));
        agent.leases.retain(kept);
        agent.opened = opened;
        Ok(())
    }

    async fn order(&mut self) -> Told {
        let agent = self.agent();
        let order = if self.dice.below(2) == 0 { WorkerOrder::Drain } else { WorkerOrder::Remove };
        answered(self.w.store.worker_order(self.agents[agent].opened.worker, order).await)?;
        Ok(())
    }

    /// No more faults: workers come back and do what they are given, until nothing is open.
    async fn bring_to_an_end(&mut self) -> Told {
        let open = [JobState::AwaitingFunds, JobState::Preparing, JobState::Queued, JobState::Running];
        for round in 0..200 {
            for id in self.waiting.clone() {
                let job = self.w.key(id).await?;
                answered(self.w.store.command(Command::Fund { job }).await)?;
            }
            let left = self.w.store.jobs_in(&open, 200).await?;
            if left.is_empty() {
                return Ok(());
            }
            assert!(round < 199, "jobs {left:?} do not end");
            for _ in 0..8 {
                self.prepare().await?;
            }
            for number in 1..=WORKERS {
                let opened = self.w.session(number, 4, Vec::new()).await?;
                answered(self.w.store.worker_order(opened.worker, WorkerOrder::Undrain).await)?;
                let work = self.w.take(opened.session, 16).await?;
                for lease in work.leases {
                    answered(self.w.report(opened.session, lease.attempt, succeeded("end")?).await)?;
                }
                self.agents[usize::from(number) - 1].opened = opened;
            }
            self.w.advance(3_000).await?;
            self.w.review_due().await?;
        }
        Ok(())
    }
}
