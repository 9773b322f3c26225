//! A database that does not answer. While it is away nothing is accepted and nothing handed out: who
//! asks is refused at once. It is tried again soon and then ever less often, and once it answers
//! everything is read again before the next group.

use crate::database::Database;
use crate::state::State;

/// Between the first two tries, ms.
const FIRST_MS: u64 = 100;
/// Between two tries at the most, ms.
const LONGEST_MS: u64 = 2_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Away {
    since: u64,
    tries: u32,
    /// Monotonic ms.
    next: u64,
}

impl Away {
    pub(crate) fn begins<D: Database>(state: &State<D>) -> Away {
        let since = state.clock.monotonic_ms();
        Away { since, tries: 0, next: since }.waits(state.clock.chance())
    }

    /// Waits longer each time, and somewhere between half and all of it: many coordinators that lost one
    /// database do not come back to it at the same moment.
    fn waits(self, chance: u64) -> Away {
        let longest = (FIRST_MS << self.tries.min(16)).min(LONGEST_MS);
        let wait = longest / 2 + chance % (longest / 2 + 1);
        Away { tries: self.tries + 1, next: self.next + wait, ..self }
    }

    /// How long until the next try, ms.
    pub(crate) fn wait_ms(&self, now: u64) -> u64 {
        self.next.saturating_sub(now).clamp(1, LONGEST_MS)
    }

    /// Tries whether the database is back, if it is time; `None` once it is.
    pub(crate) fn try_again<D: Database>(self, state: &mut State<D>) -> Option<Away> {
        let now = state.clock.monotonic_ms();
        if now < self.next {
            return Some(self);
        }
        let back = state.db.rollback().and_then(|()| state.rebuild());
        let now = state.clock.monotonic_ms();
        match back {
            Ok(()) => {
                tracing::info!(away_ms = now.saturating_sub(self.since), "the database answers again");
                None
            }
            Err(_) => Some(Away { next: now, ..self }.waits(state.clock.chance())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_rarer_up_to_a_bound() {
        let mut away = Away { since: 0, tries: 0, next: 0 };
        let mut waits = Vec::new();
        for chance in [0, 51, 0, u64::MAX, 7, 7, 7, 7] {
            let before = away.next;
            away = away.waits(chance);
            waits.push(away.next - before);
        }
        assert!(waits[0] == 50 && waits[1] <= 200 && waits[2] == 200, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= LONGEST_MS), "{waits:?}");
        assert!(waits[7] >= LONGEST_MS / 2, "{waits:?}");
    }
}
