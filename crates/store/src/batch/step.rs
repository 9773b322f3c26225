//! One step of a bulk action, as the writer takes it: acts on jobs, counts what came of it, and moves
//! the cursor, in the transaction of its group. A group that is rolled back leaves the cursor where it
//! was; a step that is sent again finds another cursor and does nothing.

use crate::database::{BatchMove, Database};
use crate::error::Error;
use crate::request::Submission;
use crate::state::State;
use ciro_core::command::{Command, Refusal};
use ciro_core::id::{JobKey, TenantKey};
use ciro_core::job::StopCause;

/// The longest reason that is kept, characters.
const MAX_PROBLEM: usize = 500;

/// What to do to a page of jobs.
#[derive(Debug)]
pub struct BatchStep {
    /// The batch's key.
    pub batch: i64,
    /// The cursor that this step was made for.
    pub from: JobKey,
    /// By key.
    pub acts: Vec<BatchAct>,
    /// Where the cursor is when all of them are done.
    pub reached: JobKey,
    /// There is nothing behind.
    pub last: bool,
}

/// One job and what to do to it.
#[derive(Debug)]
pub struct BatchAct {
    /// The job.
    pub job: JobKey,
    /// What to do.
    pub act: Act,
}

/// What to do to a job.
#[derive(Debug)]
pub enum Act {
    /// Ask for its end.
    Stop {
        /// How long running attempts may still report, ms.
        grace_ms: u64,
    },
    /// Run it again.
    Retry(Box<Submission>),
    /// Nothing: the action does not apply to it any more.
    Skip,
    /// Nothing, for this reason.
    Fail(String),
}

/// What came of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchStepped {
    /// Jobs that it was done to.
    pub done: u64,
    /// Jobs that it no longer applied to.
    pub skipped: u64,
    /// Jobs that it could not be done to.
    pub failed: u64,
    /// No more jobs are accepted at present: the step is tried again after a while.
    pub full: bool,
}

enum Came {
    Done,
    Skipped,
    Failed(String),
    Full,
}

impl<D: Database> State<D> {
    pub(crate) fn batch_step(&mut self, step: &BatchStep) -> Result<BatchStepped, Error> {
        self.begin()?;
        let mut stepped = BatchStepped::default();
        let Some(tenant) = self.db.batch_at(step.batch, step.from)? else { return Ok(stepped) };
        let (mut cursor, mut problem, mut whole) = (step.from, None, true);
        for BatchAct { job, act } in &step.acts {
            let came = if cursor > step.from && !self.has_room() {
                None
            } else {
                Some(self.act(tenant, *job, act)?)
            };
            match came {
                Some(Came::Done) => stepped.done += 1,
                Some(Came::Skipped) => stepped.skipped += 1,
                Some(Came::Failed(why)) => {
                    stepped.failed += 1;
                    problem.get_or_insert(why);
                }
                Some(Came::Full) | None => {
                    (whole, stepped.full) = (false, came.is_some());
                    break;
                }
            }
            cursor = *job;
        }
        let problem: Option<String> = problem.map(|why| why.chars().take(MAX_PROBLEM).collect());
        self.rows += 1;
        self.db.move_batch(&BatchMove {
            batch: step.batch,
            cursor: if whole { step.reached } else { cursor },
            done: stepped.done,
            skipped: stepped.skipped,
            failed: stepped.failed,
            problem,
            now: self.now,
            ends: whole && step.last,
        })?;
        Ok(stepped)
    }

    fn act(&mut self, tenant: TenantKey, job: JobKey, act: &Act) -> Result<Came, Error> {
        match act {
            Act::Skip => Ok(Came::Skipped),
            Act::Fail(why) => Ok(Came::Failed(why.clone())),
            Act::Stop { grace_ms } => {
                let command = Command::Stop { job, cause: StopCause::Cancel, grace_ms: *grace_ms };
                match self.apply(&command) {
                    Ok(_) => Ok(Came::Done),
                    Err(Error::Refused(Refusal::Stopping | Refusal::AlreadyEnded | Refusal::NotFound)) => {
                        Ok(Came::Skipped)
                    }
                    Err(Error::Refused(refusal)) => Ok(Came::Failed(refusal.to_string())),
                    Err(error) => Err(error),
                }
            }
            Act::Retry(again) => match self.accept_one(tenant, again) {
                Ok(()) => Ok(Came::Done),
                Err(Error::Limit { .. }) => Ok(Came::Full),
                Err(error @ (Error::ArtifactMissing(_) | Error::Refused(_))) => {
                    Ok(Came::Failed(error.to_string()))
                }
                Err(error) => Err(error),
            },
        }
    }
}
