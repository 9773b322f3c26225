//! What the group under way did: noted as it happens, counted when it is on disk, dropped when it
//! is rolled back. The list keeps its room, so noting costs a store and no allocation.

use super::{CLASSES, Figures};
use ciro_core::attempt::{Attempt, AttemptState};
use ciro_core::job::JobState;
use ciro_core::retry::FailureClass;

/// One thing that a group did.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Observed {
    /// Jobs were accepted.
    Accepted(u32),
    /// A job ended.
    JobEnded(JobState),
    /// A lease was granted; the first of its task after so many ms.
    Granted(Option<u64>),
    /// An attempt began so many ms after its grant.
    Started(u64),
    /// An attempt ended, so many ms after it began.
    AttemptEnded(AttemptState, Option<FailureClass>, Option<u64>),
    /// A worker sent a heartbeat.
    Heartbeat,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tally(Vec<Observed>);

impl Tally {
    pub(crate) fn note(&mut self, what: Observed) {
        self.0.push(what);
    }

    pub(crate) fn note_end(&mut self, attempt: &Attempt) {
        let class = attempt.outcome.as_ref().and_then(|outcome| outcome.class);
        let ran = attempt.started_at.zip(attempt.ended_at).map(|(from, to)| to.since_ms(from));
        self.note(Observed::AttemptEnded(attempt.state, class, ran));
    }

    /// Nothing of it happened.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    /// All of it happened.
    pub(crate) fn count(&mut self, figures: &Figures) {
        for what in self.0.drain(..) {
            match what {
                Observed::Accepted(jobs) => figures.jobs_accepted.add(u64::from(jobs)),
                Observed::JobEnded(state) => figures.jobs_ended[state as usize].inc(),
                Observed::Granted(waited_ms) => {
                    figures.grants.inc();
                    waited_ms.into_iter().for_each(|ms| figures.grant_wait_us.observe(1_000 * ms));
                }
                Observed::Started(ms) => figures.start_wait_us.observe(1_000 * ms),
                Observed::AttemptEnded(state, class, ran_ms) => {
                    let class = class.map_or(CLASSES - 1, |class| class as usize);
                    figures.attempts_ended[state as usize][class].inc();
                    ran_ms.into_iter().for_each(|ms| figures.run_us.observe(1_000 * ms));
                }
                Observed::Heartbeat => figures.heartbeats.inc(),
            }
        }
    }
}
