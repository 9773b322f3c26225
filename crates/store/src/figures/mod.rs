//! What the store counts while it works: plain counters and histograms that others read whenever
//! they like. Who reads them, and under which names, is not known here.
//! The writer adds what a group did once the group is on disk ([`Tally`]), so nothing that was
//! rolled back is counted; what is timed is added as it is measured.

mod histogram;
mod tally;

pub use histogram::{Counter, DURATIONS_US, Histogram, HistogramView, SIZES};
pub(crate) use tally::{Observed, Tally};

use ciro_core::attempt::AttemptState;
use ciro_core::job::JobState;
use ciro_core::retry::FailureClass;

/// Classes of failure, and none.
const CLASSES: usize = FailureClass::ALL.len() + 1;

/// Everything that the store counts, from zero at its opening.
#[derive(Debug)]
pub struct Figures {
    /// Commands put into the writer's queue.
    pub asked: Counter,
    /// Commands that the writer took out of its queue.
    pub taken: Counter,
    /// Commands that were turned away because the queue was full.
    pub turned_away: Counter,
    /// How long the first command of each group waited in the queue, µs.
    pub queue_wait_us: Histogram,
    /// Commands of each group.
    pub group_commands: Histogram,
    /// Rows of each group.
    pub group_rows: Histogram,
    /// From a group's beginning to its answers, µs.
    pub group_us: Histogram,
    /// Writing a group's rows before its COMMIT, µs.
    pub flush_us: Histogram,
    /// A group's COMMIT until the disk has it, µs.
    pub commit_us: Histogram,
    /// Groups that were rolled back.
    pub rolled_back: Counter,
    /// Foldings of the write-ahead log into the file, µs.
    pub checkpoint_us: Histogram,
    /// Foldings that failed for want of room or because of a reader.
    pub checkpoint_failures: Counter,
    /// Reads that waited for a connection, µs.
    pub read_wait_us: Histogram,
    /// Reads on a connection, µs.
    pub read_us: Histogram,
    /// Reads that were turned away because too many waited.
    pub reads_turned_away: Counter,
    /// Jobs that were accepted.
    pub jobs_accepted: Counter,
    /// Leases that were granted.
    pub grants: Counter,
    /// Heartbeats.
    pub heartbeats: Counter,
    /// From a job's acceptance to the first grant of each of its tasks, µs; reducers, which wait for
    /// other tasks, are left out.
    pub grant_wait_us: Histogram,
    /// From an attempt's grant to its worker's word that it began, µs.
    pub start_wait_us: Histogram,
    /// From an attempt's start to its end, µs.
    pub run_us: Histogram,
    jobs_ended: [Counter; JobState::ALL.len()],
    attempts_ended: [[Counter; CLASSES]; AttemptState::ALL.len()],
}

impl Default for Figures {
    fn default() -> Figures {
        let durations = || Histogram::new(&DURATIONS_US);
        Figures {
            asked: Counter::default(),
            taken: Counter::default(),
            turned_away: Counter::default(),
            queue_wait_us: durations(),
            group_commands: Histogram::new(&SIZES),
            group_rows: Histogram::new(&SIZES),
            group_us: durations(),
            flush_us: durations(),
            commit_us: durations(),
            rolled_back: Counter::default(),
            checkpoint_us: durations(),
            checkpoint_failures: Counter::default(),
            read_wait_us: durations(),
            read_us: durations(),
            reads_turned_away: Counter::default(),
            jobs_accepted: Counter::default(),
            grants: Counter::default(),
            heartbeats: Counter::default(),
            grant_wait_us: durations(),
            start_wait_us: durations(),
            run_us: durations(),
            jobs_ended: Default::default(),
            attempts_ended: Default::default(),
        }
    }
}

impl Figures {
    /// Commands that wait for the writer.
    #[must_use]
    pub fn queued(&self) -> u64 {
        // Taken first: a command that comes between the two reads is one too many, never one too few.
        let taken = self.taken.get();
        self.asked.get().saturating_sub(taken)
    }

    /// Jobs that ended, by state.
    pub fn jobs_ended(&self) -> impl Iterator<Item = (JobState, u64)> {
        let all = JobState::ALL.into_iter().zip(&self.jobs_ended);
        all.filter(|(state, _)| state.is_ended()).map(|(state, count)| (state, count.get()))
    }

    /// Attempts that ended, by state and, where they failed, class of failure. Only what happened.
    pub fn attempts_ended(&self) -> impl Iterator<Item = (AttemptState, Option<FailureClass>, u64)> {
        AttemptState::ALL.into_iter().zip(&self.attempts_ended).flat_map(|(state, counts)| {
            let classes = FailureClass::ALL.into_iter().map(Some).chain([None]);
            let counted = classes.zip(counts).map(move |(class, count)| (state, class, count.get()));
            counted.filter(|(.., count)| *count > 0)
        })
    }
}
