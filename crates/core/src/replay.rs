//! Replaying a job's events: the decided columns, recomputed. `verify` compares them with the
//! rows, so that an event log that does not explain its rows is found.

use crate::attempt::AttemptState;
use crate::event::JobEvent;
use crate::job::JobState;
use crate::task::TaskState;
use std::collections::BTreeMap;

/// What the events say about a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// State of the job; `None` before its first event.
    pub state: Option<JobState>,
    /// Its tasks by number.
    pub tasks: BTreeMap<u32, ReplayedTask>,
    /// Its attempts by (task, fence).
    pub attempts: BTreeMap<(u32, u32), AttemptState>,
}

/// What the events say about a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayedTask {
    /// State.
    pub state: TaskState,
    /// Last fence.
    pub fence: u32,
    /// Counted attempts.
    pub attempts: u8,
    /// Crashes.
    pub crashes: u8,
    /// Accepted attempt.
    pub accepted: Option<u32>,
}

/// An event that does not follow from those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {sequence} does not follow: {why}")]
pub struct ReplayError {
    /// Its sequence.
    pub sequence: u32,
    /// Why not.
    pub why: String,
}

/// Folds a job's events, first to last.
///
/// # Errors
/// The first event that names a task or attempt that cannot be, moves backwards, or comes after
/// the job's end.
pub fn replay<'e>(events: impl IntoIterator<Item = (u32, &'e JobEvent)>) -> Result<Replayed, ReplayError> {
    let mut r = Replayed::default();
    for (expected, (sequence, event)) in (1..).zip(events) {
        let fail = |why: String| ReplayError { sequence, why };
        if sequence != expected {
            return Err(fail(format!("sequence {expected} is missing")));
        }
        let of_money = matches!(event, JobEvent::Settled { .. } | JobEvent::Disputed { .. });
        if r.state.is_some_and(JobState::is_ended) && !of_money {
            return Err(fail("the job had ended".into()));
        }
        r.apply(event).map_err(fail)?;
    }
    Ok(r)
}

impl Replayed {
    fn apply(&mut self, event: &JobEvent) -> Result<(), String> {
        match event {
            JobEvent::Submitted { state } => {
                if self.state.is_some() {
                    return Err("submitted twice".into());
                }
                self.state = Some(*state);
                if *state == JobState::Queued {
                    self.add(0, TaskState::Open)?;
                }
            }
            JobEvent::Funded { state } => {
                if *state == Some(JobState::Queued) {
                    self.add(0, TaskState::Open)?;
                }
                self.state = state.or(self.state);
            }
            JobEvent::FundsLost {}
            | JobEvent::DepositTrouble { .. }
            | JobEvent::DepositTroubleOver {}
            | JobEvent::Settled { .. }
            | JobEvent::Disputed { .. } => {}
            JobEvent::TasksAdded { first, count } => {
                (*first..first + count).try_for_each(|no| self.add(no, TaskState::Open))?;
            }
            JobEvent::Queued { reducers } => {
                self.state = Some(JobState::Queued);
                let first = self.tasks.len() as u32;
                (first..first + reducers).try_for_each(|no| self.add(no, TaskState::Blocked))?;
            }
            JobEvent::Granted { task, fence, .. } => self.granted(*task, *fence)?,
            JobEvent::Started { task, fence } => self.move_attempt((*task, *fence), AttemptState::Running)?,
            JobEvent::AttemptEnded(end) => self.attempt_ended(end)?,
            JobEvent::StopRequested { cancelled, revoked, ended, .. }
            | JobEvent::Swept { cancelled, revoked, ended } => {
                for key in revoked {
                    self.move_attempt(*key, AttemptState::Cancelled)?;
                }
                self.cancelled(cancelled)?;
                self.state = ended.or(self.state);
            }
        }
        Ok(())
    }

    fn add(&mut self, no: u32, state: TaskState) -> Result<(), String> {
        let task = ReplayedTask { state, fence: 0, attempts: 0, crashes: 0, accepted: None };
        match self.tasks.insert(no, task) {
            None => Ok(()),
            Some(_) => Err(format!("task {no} added twice")),
        }
    }

    fn open_task(&mut self, no: u32) -> Result<&mut ReplayedTask, String> {
        let task = self.tasks.get_mut(&no).ok_or_else(|| format!("no task {no}"))?;
        if task.state.is_ended() { Err(format!("task {no} had ended")) } else { Ok(task) }
    }

    fn granted(&mut self, no: u32, fence: u32) -> Result<(), String> {
        let task = self.open_task(no)?;
        if fence <= task.fence {
            return Err(format!("task {no}: fence {fence} after {}", task.fence));
        }
        task.fence = fence;
        self.state = Some(JobState::Running);
        self.attempts.insert((no, fence), AttemptState::Leased);
        Ok(())
    }

    fn move_attempt(&mut self, key: (u32, u32), to: AttemptState) -> Result<(), String> {
        let from = self.attempts.get_mut(&key).ok_or_else(|| format!("no attempt {key:?}"))?;
        if !crate::engine::table::attempt_reaches(*from, to) {
            return Err(format!("attempt {key:?}: {} to {}", from.name(), to.name()));
        }
        *from = to;
        Ok(())
    }

    fn attempt_ended(&mut self, end: &crate::event::AttemptEnded) -> Result<(), String> {
        self.move_attempt((end.task, end.fence), end.attempt)?;
        let task = self.open_task(end.task)?;
        if task.state != end.then
            && !crate::engine::table::allows(crate::engine::table::TASK, task.state, end.then)
        {
            return Err(format!("task {}: {} to {}", end.task, task.state.name(), end.then.name()));
        }
        task.state = end.then;
        task.attempts = end.attempts;
        task.crashes = end.crashes;
        if end.attempt == AttemptState::Accepted {
            task.accepted = Some(end.fence);
        }
        if let Some(no) = end.opened {
            self.open_task(no)?.state = TaskState::Open;
        }
        for no in &end.dependents {
            self.open_task(*no)?.state = TaskState::Failed;
        }
        self.state = end.ended.or(self.state);
        Ok(())
    }

    fn cancelled(&mut self, ranges: &[(u32, u32)]) -> Result<(), String> {
        for (first, count) in ranges {
            for no in *first..first + count {
                self.open_task(no)?.state = TaskState::Cancelled;
            }
        }
        Ok(())
    }
}
