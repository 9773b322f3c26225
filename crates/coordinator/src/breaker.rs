//! A breaker in front of a dependency: closed while it works, open while it does not, and half
//! open for the one call that tries again. Pure: time comes in as an argument.

use ciro_core::time::Timestamp;

/// Failures in a row that open it.
const FAILURES: u32 = 3;
/// Rest before the first new try, ms; doubled each time it fails again.
const REST_MS: u64 = 5_000;
/// The longest rest, ms.
const LONGEST_REST_MS: u64 = 60_000;

/// Where a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Timestamp, rest_ms: u64 },
    HalfOpen { rest_ms: u64 },
}

/// A breaker.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    failures: u32,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new() -> Breaker {
        Breaker { state: State::Closed, failures: 0 }
    }

    /// Whether a call may be made now. After its rest, an open breaker lets one through.
    pub fn admits(&mut self, now: Timestamp) -> bool {
        match self.state {
            State::Closed => true,
            State::HalfOpen { .. } => false,
            State::Open { until, .. } if now < until => false,
            State::Open { rest_ms, .. } => {
                self.state = State::HalfOpen { rest_ms };
                true
            }
        }
    }

    /// The call worked.
    pub fn worked(&mut self) {
        *self = Breaker::new();
    }

    /// The call did not work.
    pub fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        let rest_ms = match self.state {
            State::Closed if self.failures < FAILURES => return,
            State::Closed => REST_MS,
            State::Open { rest_ms, .. } | State::HalfOpen { rest_ms } => (rest_ms * 2).min(LONGEST_REST_MS),
        };
        self.state = State::Open { until: now.plus_ms(rest_ms), rest_ms };
    }

    /// The name of the state in `/status`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.state {
            State::Closed => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half_open",
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

    #[test]
    fn it_opens_after_three_failures_and_tries_once_after_each_longer_rest() {
        let mut breaker = Breaker::new();
        let at = Timestamp;
        for _ in 0..2 {
            breaker.failed(at(0));
            assert_eq!((breaker.name(), breaker.admits(at(0))), ("closed", true));
        }
        breaker.failed(at(0));
        assert_eq!((breaker.name(), breaker.admits(at(4_999))), ("open", false));
        assert!(breaker.admits(at(5_000)));
        assert_eq!((breaker.name(), breaker.admits(at(5_000))), ("half_open", false));
        breaker.failed(at(5_000));
        assert!(!breaker.admits(at(14_999)) && breaker.admits(at(15_000)));
        breaker.worked();
        assert_eq!((breaker.name(), breaker.admits(at(15_000))), ("closed", true));
    }
}
