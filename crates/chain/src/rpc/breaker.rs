//! A breaker in front of an endpoint: closed while it works, open while it does not, and half open
//! for the one call that tries again. Pure: time and chance come in as arguments.

use ciro_core::time::Timestamp;

/// Failures in a row that open it.
const FAILURES: u32 = 3;
/// Rest before the first new try, ms; doubled each time it fails again.
const REST_MS: u64 = 5_000;
/// The longest rest, ms.
const LONGEST_REST_MS: u64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// `trying`: the one call of this rest is under way, or was given up by its caller.
    Open {
        until: Timestamp,
        rest_ms: u64,
        trying: bool,
    },
}

/// A breaker.
#[derive(Debug, Clone)]
pub(super) struct Breaker {
    state: State,
    failures: u32,
}

impl Breaker {
    /// A closed one.
    pub(super) fn new() -> Breaker {
        Breaker { state: State::Closed, failures: 0 }
    }

    /// Whether the endpoint works, as far as is known.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether a call may be made now. After its rest, an open breaker lets one through, and
    /// another one only after as long again: the first may never tell how it ended.
    pub(super) fn admits(&mut self, now: Timestamp) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until, .. } if now < until => false,
            State::Open { rest_ms, .. } => {
                self.state = State::Open { until: now.plus_ms(rest_ms), rest_ms, trying: true };
                true
            }
        }
    }

    /// The call worked.
    pub(super) fn worked(&mut self) {
        *self = Breaker::new();
    }

    /// The call did not work. `chance` (any number) spreads the rest over its upper half, so that
    /// many callers do not all come back at once.
    pub(super) fn failed(&mut self, now: Timestamp, chance: u64) {
        self.failures = self.failures.saturating_add(1);
        let rest_ms = match self.state {
            State::Closed if self.failures < FAILURES => return,
            State::Closed => REST_MS,
            // A call that began before it opened: its failure says nothing new.
            State::Open { trying: false, .. } => return,
            State::Open { rest_ms, .. } => (rest_ms * 2).min(LONGEST_REST_MS),
        };
        let half = rest_ms / 2;
        let until = now.plus_ms(half + chance % (half + 1));
        self.state = State::Open { until, rest_ms, trying: false };
    }

    /// The name of the state in `/status`.
    pub(super) fn name(&self) -> &'static str {
        match self.state {
            State::Closed => "closed",
            State::Open { trying: false, .. } => "open",
            State::Open { .. } => "half_open",
        }
    }
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATEST: u64 = 2_500;

    #[test]
    fn it_opens_after_three_failures_and_tries_once_after_each_longer_rest() {
        let mut breaker = Breaker::new();
        let at = Timestamp;
        for _ in 0..2 {
            breaker.failed(at(0), LATEST);
            assert_eq!((breaker.name(), breaker.admits(at(0))), ("closed", true));
        }
        breaker.failed(at(0), LATEST);
        assert_eq!((breaker.name(), breaker.admits(at(4_999))), ("open", false));
        breaker.failed(at(4_999), LATEST);
        assert!(breaker.admits(at(5_000)), "a late failure does not prolong the rest");
        assert_eq!((breaker.name(), breaker.admits(at(5_000))), ("half_open", false));
        breaker.failed(at(5_000), 5_000);
        assert!(!breaker.admits(at(14_999)) && breaker.admits(at(15_000)));
        assert!(!breaker.admits(at(24_999)) && breaker.admits(at(25_000)), "a lost try is made again");
        breaker.worked();
        assert_eq!((breaker.name(), breaker.is_closed()), ("closed", true));
    }

    #[test]
    fn chance_moves_the_new_try_within_the_upper_half_of_the_rest() {
        for chance in [0, 1, 7_777, u64::MAX] {
            let mut breaker = Breaker::new();
            (0..3).for_each(|_| breaker.failed(Timestamp(0), chance));
            assert!(!breaker.admits(Timestamp(2_499)) && breaker.admits(Timestamp(5_000)), "{chance}");
        }
    }
}
