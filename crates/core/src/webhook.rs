//! Webhooks, as far as they are decisions: which events one wants, what becomes of a delivery after
//! an attempt, how hard a receiver is tried. Pure; time and chance are arguments.
//!
//! Two waits keep each other apart. A *delivery* that failed waits by the schedule before its own
//! next attempt. A *receiver* that failed rests as a whole for a short, growing time, so that a dead
//! one costs one attempt at a time, however many deliveries wait for it.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which events a webhook wants. Empty lists want everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wants {
    /// Types, or beginnings of types that end with `.*`.
    #[serde(default)]
    pub events: Vec<String>,
    /// Kinds of jobs.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Labels that a job must have, all of them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Wants {
    /// Whether it matters which job an event is about.
    #[must_use]
    pub fn looks_at_jobs(&self) -> bool {
        !self.kinds.is_empty() || !self.labels.is_empty()
    }

    /// Whether events of a job of this kind with these labels are wanted.
    #[must_use]
    pub fn wants_job(&self, kind: &str, labels: &BTreeMap<String, String>) -> bool {
        (self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind))
            && self.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
    }
}

/// How deliveries are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// About how long each attempt waits after the one before, ms; there is one attempt more.
    pub retry_ms: Vec<u64>,
    /// A webhook that had nothing but failures for so long is disabled, ms.
    pub disable_after_ms: u64,
}

/// The longest that a receiver can ask to be left alone, ms.
pub const MAX_RETRY_AFTER_MS: u64 = 24 * 3_600_000;

/// What came back from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// An answer.
    Answer {
        /// HTTP status.
        status: u16,
        /// How long the receiver wants to be left alone, ms.
        retry_after_ms: Option<u64>,
    },
    /// None: not reachable, not trusted, too slow, or not allowed.
    Nothing,
}

impl Heard {
    /// Whether the receiver took it.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Heard::Answer { status: 200..=299, .. })
    }

    /// Whether the receiver says that it will never take anything again.
    #[must_use]
    pub const fn is_gone(self) -> bool {
        matches!(self, Heard::Answer { status: 410, .. })
    }

    fn retry_after_ms(self) -> u64 {
        match self {
            Heard::Answer { retry_after_ms: Some(ms), .. } => ms.min(MAX_RETRY_AFTER_MS),
            _ => 0,
        }
    }
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryVerdict {
    /// The receiver has it.
    Delivered,
    /// It is tried again at this time.
    Again(Timestamp),
    /// It was tried often enough.
    GivenUp,
}

impl DeliveryPolicy {
    /// What becomes of a delivery that was tried `attempts` times, this one included. The wait is
    /// anything up to twice that of the schedule (full jitter), and never shorter than what the
    /// receiver asked for.
    #[must_use]
    pub fn judge(&self, attempts: u32, heard: Heard, now: Timestamp, chance: u64) -> DeliveryVerdict {
        if heard.is_success() {
            return DeliveryVerdict::Delivered;
        }
        let tried = usize::try_from(attempts.max(1) - 1).unwrap_or(usize::MAX);
        match self.retry_ms.get(tried) {
            Some(about_ms) => {
                let jittered = chance % about_ms.saturating_mul(2).saturating_add(1);
                DeliveryVerdict::Again(now.plus_ms(jittered.max(heard.retry_after_ms())))
            }
            None => DeliveryVerdict::GivenUp,
        }
    }

    /// Whether a webhook that fails since `since` has failed for too long.
    #[must_use]
    pub fn has_failed_for_too_long(&self, since: Timestamp, now: Timestamp) -> bool {
        now.since_ms(since) >= self.disable_after_ms
    }
}

/// How hard one receiver is tried at present: from one attempt at a time up to its own limit as it
/// answers, and one after a rest when it does not. Lost at a restart, which costs a slow start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    width: u32,
    failures: u32,
    rests_until: Timestamp,
}

/// The first rest of a receiver that failed, and its longest, ms.
const REST_MS: u64 = 1_000;
const LONGEST_REST_MS: u64 = 60_000;

impl Default for Pace {
    fn default() -> Pace {
        Pace { width: 1, failures: 0, rests_until: Timestamp(0) }
    }
}

impl Pace {
    /// Attempts that may be on their way at once.
    #[must_use]
    pub fn width(&self, limit: u32) -> u32 {
        self.width.min(limit).max(1)
    }

    /// When it may be tried again.
    #[must_use]
    pub const fn rests_until(&self) -> Timestamp {
        self.rests_until
    }

    /// Whether its last attempt failed.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Takes note of how an attempt went. `scale_ms` bounds the first rest: schedules that are
    /// short rest shortly.
    pub fn note(&mut self, heard: Heard, scale_ms: u64, now: Timestamp, chance: u64) {
        if heard.is_success() {
            *self = Pace { width: self.width.saturating_mul(2), failures: 0, rests_until: Timestamp(0) };
            return;
        }
        let base_ms = REST_MS.min(scale_ms);
        let span = base_ms.saturating_mul(1 << self.failures.min(16)).min(LONGEST_REST_MS);
        let rest = (chance % (span + 1)).max(heard.retry_after_ms());
        self.failures = self.failures.saturating_add(1);
        self.width = 1;
        self.rests_until = self.rests_until.max(now.plus_ms(rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn answer(status: u16) -> Heard {
        Heard::Answer { status, retry_after_ms: None }
    }

    fn policy() -> DeliveryPolicy {
        DeliveryPolicy { retry_ms: vec![5_000, 30_000], disable_after_ms: 100 }
    }

    #[test]
    fn a_delivery_is_tried_by_the_schedule_and_as_the_receiver_asks() {
        let policy = policy();
        let at = |attempts, heard, chance| policy.judge(attempts, heard, NOW, chance);
        assert_eq!(at(1, answer(204), 7), DeliveryVerdict::Delivered);
        assert_eq!(at(1, answer(500), 4_321), DeliveryVerdict::Again(NOW.plus_ms(4_321)));
        assert_eq!(at(1, Heard::Nothing, 10_001), DeliveryVerdict::Again(NOW), "full jitter begins at once");
        assert_eq!(at(2, answer(301), 60_000), DeliveryVerdict::Again(NOW.plus_ms(60_000)));
        assert_eq!(at(3, answer(500), 0), DeliveryVerdict::GivenUp);
        let asked = |ms| Heard::Answer { status: 429, retry_after_ms: Some(ms) };
        assert_eq!(at(1, asked(90_000), 1), DeliveryVerdict::Again(NOW.plus_ms(90_000)));
        assert_eq!(at(1, asked(u64::MAX), 1), DeliveryVerdict::Again(NOW.plus_ms(MAX_RETRY_AFTER_MS)));
        assert!(policy.has_failed_for_too_long(NOW, NOW.plus_ms(100)));
        assert!(!policy.has_failed_for_too_long(NOW, NOW.plus_ms(99)));
    }

    #[test]
    fn a_receiver_that_fails_rests_longer_and_longer_and_comes_back_slowly() {
        let mut pace = Pace::default();
        assert_eq!(pace.width(8), 1, "nobody knows yet whether it answers");
        for expected in [2, 4, 8, 8] {
            pace.note(answer(200), 5_000, NOW, 0);
            assert_eq!(pace.width(8), expected);
        }
        let mut longest = Vec::new();
        for _ in 0..9 {
            let span = REST_MS << pace.failures.min(16);
            pace.note(answer(500), 5_000, NOW, span.min(LONGEST_REST_MS));
            longest.push(pace.rests_until().since_ms(NOW));
        }
        assert_eq!(longest[..4], [1_000, 2_000, 4_000, 8_000]);
        assert_eq!(longest[8], LONGEST_REST_MS);
        assert!(pace.is_failing() && pace.width(8) == 1);
        pace.note(answer(200), 5_000, NOW, 0);
        assert!(!pace.is_failing() && pace.rests_until() <= NOW && pace.width(8) == 2);
    }

    #[test]
    fn a_job_is_wanted_by_kind_and_labels() {
        let label = |value: &str| BTreeMap::from([("team".to_owned(), value.to_owned())]);
        let wants = Wants { kinds: vec!["sleep".into()], labels: label("a"), ..Wants::default() };
        assert!(wants.looks_at_jobs() && wants.wants_job("sleep", &label("a")));
        assert!(!wants.wants_job("spin", &label("a")) && !wants.wants_job("sleep", &label("b")));
        assert!(Wants::default().wants_job("spin", &BTreeMap::new()) && !Wants::default().looks_at_jobs());
    }
}
