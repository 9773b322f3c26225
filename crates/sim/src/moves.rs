//! Which moves of the engine's tables were made: each is a state and the command that leads out of it.

use ciro_core::attempt::AttemptState;
use ciro_core::engine::table::{ATTEMPT, JOB, TASK, allows};
use ciro_core::job::JobState;
use ciro_core::task::TaskState;
use ciro_store::JobRows;
use std::collections::BTreeSet;

/// A move by its table and its place in it.
type Place = (u8, usize);

/// Moves that were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves(BTreeSet<Place>);

/// Whether a command of this version leads there. Results of more than one slot are in the tables and
/// not built yet.
fn is_built(state: &str) -> bool {
    !matches!(state, "verifying" | "rejected" | "surplus")
}

/// Every move that a command of this version makes.
fn built() -> impl Iterator<Item = (Place, String)> {
    let line = |table: u8, at: usize, from: &str, to: &str, by: &str| {
        // One slot has a verdict at once: nothing stands between a result and its acceptance.
        let stands = !(from == "reported" && to == "cancelled");
        (is_built(from) && is_built(to) && stands).then(|| ((table, at), format!("{from} to {to}: {by}")))
    };
    let jobs = JOB.iter().enumerate().map(move |(at, m)| line(0, at, m.from.name(), m.to.name(), m.by));
    let tasks = TASK.iter().enumerate().map(move |(at, m)| line(1, at, m.from.name(), m.to.name(), m.by));
    let attempts =
        ATTEMPT.iter().enumerate().map(move |(at, m)| line(2, at, m.from.name(), m.to.name(), m.by));
    jobs.chain(tasks).chain(attempts).flatten()
}

impl Moves {
    /// What became of a job between two looks.
    pub fn see(&mut self, before: Option<&JobRows>, after: &JobRows) {
        if let Some(before) = before {
            self.job(before.job.state, after.job.state);
            for task in &before.tasks {
                let found = after.tasks.binary_search_by_key(&task.key, |t| t.key);
                found.into_iter().for_each(|at| self.task(task.state, after.tasks[at].state));
            }
            for attempt in &before.attempts {
                let found = after.attempts.binary_search_by_key(&attempt.key, |a| a.key);
                found.into_iter().for_each(|at| self.attempt(attempt.state, after.attempts[at].state));
            }
        }
    }

    fn job(&mut self, from: JobState, to: JobState) {
        if allows(JOB, from, to) {
            self.0.extend(JOB.iter().position(|m| m.from == from && m.to == to).map(|at| (0, at)));
        } else if from == JobState::Preparing && to == JobState::Running {
            // The last page of a split and the first grant in one group.
            self.job(JobState::Preparing, JobState::Queued);
            self.job(JobState::Queued, JobState::Running);
        }
    }

    fn task(&mut self, from: TaskState, to: TaskState) {
        self.0.extend(TASK.iter().position(|m| m.from == from && m.to == to).map(|at| (1, at)));
    }

    /// A result that is accepted at once makes three moves, four where nobody said that it began.
    fn attempt(&mut self, from: AttemptState, to: AttemptState) {
        use AttemptState::{Accepted, Leased, Reported, Running};
        let mut made = |from, to| {
            self.0.extend(ATTEMPT.iter().position(|m| m.from == from && m.to == to).map(|at| (2, at)));
        };
        if to == Accepted && from != Reported {
            if from == Leased {
                made(Leased, Running);
            }
            made(Running, Reported);
            made(Reported, Accepted);
        } else {
            made(from, to);
        }
    }

    /// Adds those of another history.
    pub fn add(&mut self, other: &Moves) {
        self.0.extend(&other.0);
    }

    /// How many there are that can be made.
    #[must_use]
    pub fn legal() -> usize {
        built().count()
    }

    /// How many of those were made.
    #[must_use]
    pub fn reached(&self) -> usize {
        built().filter(|(place, _)| self.0.contains(place)).count()
    }

    /// Those that were not made.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        built().filter(|(place, _)| !self.0.contains(place)).map(|(_, line)| line).collect()
    }

    /// Those that were made although no command of this version makes them.
    #[must_use]
    pub fn unbuilt(&self) -> usize {
        let known: BTreeSet<Place> = built().map(|(place, _)| place).collect();
        self.0.difference(&known).count()
    }
}
