//! One frame of `ciro top`: what the last look found, and rates between it and an earlier one.
//! Its JSON form is what `-o json` prints; parts that the API has are as the API shows them.

use super::figures::Look;
use ciro_api::client::Error;
use ciro_api::event::Event;
use ciro_api::system::{QueueStatus, Totals, WriterStatus};
use ciro_api::time::Time;
use ciro_api::worker::{Worker, WorkerStats};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use tokio::time::Instant;

/// Looks that rates are taken over: as many seconds, unless another interval is asked for.
const WINDOW: usize = 5;
/// Events that are kept.
const EVENTS: usize = 200;

/// See the module.
#[derive(Debug, Serialize)]
pub(super) struct Frame {
    /// When the server was looked at, by this machine's clock.
    pub(super) at: Time,
    pub(super) server: String,
    pub(super) version: String,
    pub(super) started_at: Time,
    /// Since when it does not answer, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unreachable: Option<Unreachable>,
    pub(super) queue: QueueStatus,
    /// Jobs that are kept, by state.
    pub(super) jobs: BTreeMap<String, u64>,
    pub(super) rates: Rates,
    pub(super) writer: WriterStatus,
    pub(super) worker_stats: WorkerStats,
    pub(super) workers: Vec<Worker>,
    /// The last events, the newest last.
    pub(super) events: Vec<Event>,
    #[serde(skip)]
    window: VecDeque<Counted>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Unreachable {
    pub(super) since: Time,
    pub(super) why: String,
}

/// Figures a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Rates {
    /// Over how long, ms; 0 before there are two looks.
    pub(super) over_ms: u64,
    pub(super) accepted: f64,
    pub(super) ended: f64,
    pub(super) attempts: f64,
    /// By class.
    pub(super) failures: BTreeMap<String, f64>,
    pub(super) groups: f64,
    /// Commands of one group.
    pub(super) group_size: f64,
}

/// The counts of one look.
#[derive(Debug, Clone)]
struct Counted {
    at: Instant,
    totals: Totals,
    writer: WriterStatus,
}

impl Frame {
    pub(super) fn new(server: &str, look: Look) -> Frame {
        let mut frame = Frame {
            at: look.at.into(),
            server: server.to_owned(),
            version: String::new(),
            started_at: look.status.started_at,
            unreachable: None,
            queue: look.status.queue,
            jobs: BTreeMap::new(),
            rates: Rates::default(),
            writer: look.status.writer,
            worker_stats: look.worker_stats.clone(),
            workers: Vec::new(),
            events: Vec::new(),
            window: VecDeque::new(),
        };
        frame.take(look);
        frame
    }

    /// Takes a look in.
    pub(super) fn take(&mut self, look: Look) {
        let Look { at, instant, status, jobs, worker_stats, workers } = look;
        if status.started_at != self.started_at {
            // Counts begin anew with the process.
            self.window.clear();
        }
        let counted = Counted { at: instant, totals: status.totals, writer: status.writer };
        self.rates = self.window.front().map(|first| rates(first, &counted)).unwrap_or_default();
        self.window.push_back(counted);
        if self.window.len() > WINDOW {
            self.window.pop_front();
        }
        self.at = at.into();
        self.version = status.version;
        self.started_at = status.started_at;
        self.unreachable = None;
        self.queue = status.queue;
        self.writer = status.writer;
        self.jobs = jobs.by_state;
        self.worker_stats = worker_stats;
        self.workers = workers;
    }

    /// The server did not answer.
    pub(super) fn unreachable(&mut self, error: &Error) {
        let since = || Unreachable { since: crate::clock::now().into(), why: error.to_string() };
        self.unreachable.get_or_insert_with(since);
    }

    pub(super) fn happened(&mut self, event: Event) {
        self.events.push(event);
        if self.events.len() > EVENTS {
            self.events.drain(..EVENTS / 2);
        }
    }

    pub(super) fn last_position(&self) -> u64 {
        self.writer.last_position
    }
}

fn rates(before: &Counted, now: &Counted) -> Rates {
    let over = now.at.saturating_duration_since(before.at);
    let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / over.as_secs_f64().max(0.001);
    let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
    let groups = now.writer.groups.saturating_sub(before.writer.groups);
    let commands = now.writer.commands.saturating_sub(before.writer.commands);
    let earlier = |class: &String| before.totals.failures.get(class).copied().unwrap_or_default();
    Rates {
        over_ms: u64::try_from(over.as_millis()).unwrap_or(u64::MAX),
        accepted: rate(before.totals.accepted, now.totals.accepted),
        ended: rate(sum(&before.totals.ended), sum(&now.totals.ended)),
        attempts: rate(before.totals.attempts, now.totals.attempts),
        failures: now
            .totals
            .failures
            .iter()
            .map(|(class, count)| (class.clone(), rate(earlier(class), *count)))
            .filter(|(_, rate)| *rate > 0.0)
            .collect(),
        groups: rate(before.writer.groups, now.writer.groups),
        group_size: if groups > 0 { commands as f64 / groups as f64 } else { 0.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rates_are_differences_over_the_time_between_two_looks() {
        let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect();
        let at = Instant::now();
        let before = Counted {
            at,
            totals: Totals {
                accepted: 10,
                attempts: 4,
                failures: counts(&[("user", 1)]),
                ..Totals::default()
            },
            writer: WriterStatus { groups: 5, commands: 10, ..WriterStatus::default() },
        };
        let now = Counted {
            at: at + Duration::from_secs(2),
            totals: Totals {
                accepted: 30,
                ended: counts(&[("completed", 6), ("failed", 2)]),
                attempts: 12,
                failures: counts(&[("infra", 3), ("user", 1)]),
            },
            writer: WriterStatus { groups: 9, commands: 30, ..WriterStatus::default() },
        };
        let found = rates(&before, &now);
        assert_eq!((found.over_ms, found.accepted, found.ended, found.attempts), (2_000, 10.0, 4.0, 4.0));
        assert_eq!(found.failures, BTreeMap::from([("infra".to_owned(), 1.5)]));
        assert_eq!((found.groups, found.group_size), (2.0, 5.0));
    }
}
