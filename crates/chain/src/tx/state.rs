//! The life of a transaction as a table: state, what was seen, the next state and what to do. Pure.
//!
//! Only what the proof on Ethereum has made final is an end that nothing undoes. Before that a
//! reorganisation may take a transaction out of its block; then the same bytes are sent again.

use super::outcome::{Finality, NonceUse, Sent};
use serde::{Deserialize, Serialize};

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its calls are chosen; it has no nonce.
    Planned,
    /// Its bytes and its hash are written down.
    Signed,
    /// A node has taken it.
    Broadcast,
    /// The sequencer has run it.
    PreConfirmed,
    /// It is in a block.
    L2,
    /// It is proved on Ethereum. An end.
    L1Final,
    /// It is in a block and had no effect but its fee; final once that block is.
    Reverted,
    /// Another of ours with its nonce landed. An end, unless that one is taken out again.
    Replaced,
    /// It will not land. An end.
    Dropped,
}

/// What was seen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was signed and written down.
    Signed,
    /// A node took it, or had it.
    Taken,
    /// It could not be passed on, or nobody knows.
    NotTaken,
    /// The chain has it, so final, and it had its effect.
    Landed(Finality),
    /// The chain has it, so final, and it reverted.
    Reverted(Finality),
    /// The chain does not know it, and its nonce is free.
    Missing,
    /// Another of ours has its nonce.
    Replaced,
    /// A stranger has its nonce.
    Foreign,
    /// It was refused for good.
    Refused,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send its bytes.
    Send,
    /// Look again later.
    Wait,
    /// Nothing: it is over and done.
    Settle,
    /// Give its calls back: they are planned anew, each for itself.
    Replan,
    /// Nothing more with this account until somebody has looked: its key is in other hands.
    Halt,
}

/// The table has no such line: what was seen contradicts what cannot change any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a transaction that is {state:?} was seen as {seen:?}, which cannot be")]
pub struct Contradiction {
    /// Where it was.
    pub state: State,
    /// What was seen.
    pub seen: Seen,
}

/// The next state, and what to do.
///
/// # Errors
/// When the two cannot be.
pub fn step(state: State, seen: Seen) -> Result<(State, Action), Contradiction> {
    use Action::{Halt, Replan, Send, Settle, Wait};
    use Finality::{L1, L2, PreConfirmed};
    Ok(match (state, seen) {
        (State::Planned, Seen::Signed) => (State::Signed, Send),
        (State::Planned, _) => return Err(Contradiction { state, seen }),

        // Proved: it stays, whatever a node says that lags or lies.
        (State::L1Final, Seen::Landed(_) | Seen::Taken | Seen::NotTaken) => (State::L1Final, Settle),
        (State::L1Final | State::Dropped, _) => return Err(Contradiction { state, seen }),

        (_, Seen::Landed(L1)) => (State::L1Final, Settle),
        (_, Seen::Landed(L2)) => (State::L2, Wait),
        (_, Seen::Landed(PreConfirmed)) => (State::PreConfirmed, Wait),
        (_, Seen::Reverted(L1)) => (State::Reverted, Replan),
        (_, Seen::Reverted(L2)) => (State::Reverted, Wait),
        (_, Seen::Reverted(PreConfirmed)) => (State::PreConfirmed, Wait),
        (_, Seen::Replaced) => (State::Replaced, Settle),
        (_, Seen::Foreign) => (State::Dropped, Halt),

        (State::Signed, Seen::Taken) => (State::Broadcast, Wait),
        (State::Signed, Seen::NotTaken | Seen::Missing) => (State::Signed, Send),
        (State::Signed | State::Broadcast, Seen::Refused) => (State::Dropped, Replan),
        // It fell out of the mempool, or out of its block.
        (
            State::Broadcast | State::PreConfirmed | State::L2 | State::Reverted | State::Replaced,
            Seen::Missing,
        ) => (State::Broadcast, Send),
        (state, Seen::Taken | Seen::NotTaken) => (state, Wait),
        (_, Seen::Signed | Seen::Refused) => return Err(Contradiction { state, seen }),
    })
}

impl State {
    /// Whether nothing changes it any more.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, State::L1Final | State::Dropped)
    }
}

/// What an answer to sending tells about the transaction; `None` where the nonce or the price is what
/// it is about: look at the account ([`of_nonce`]), or sign anew under the same nonce.
#[must_use]
pub fn of_sending(sent: &Sent) -> Option<Seen> {
    match sent {
        Sent::Accepted | Sent::Known => Some(Seen::Taken),
        Sent::NotReached(_) | Sent::Unknown(_) | Sent::NonceGap { .. } => Some(Seen::NotTaken),
        Sent::Refused(_) => Some(Seen::Refused),
        Sent::NonceTooLow { .. } | Sent::Underpriced | Sent::BoundsTooLow(_) | Sent::CannotPay(_) => None,
    }
}

/// What the use of its nonce tells about a transaction that the chain does not show; `None` where
/// those before it must land first.
#[must_use]
pub fn of_nonce(nonce_use: NonceUse) -> Option<Seen> {
    match nonce_use {
        NonceUse::Next => Some(Seen::Missing),
        NonceUse::Ours(_) => Some(Seen::Replaced),
        NonceUse::Foreign => Some(Seen::Foreign),
        NonceUse::Ahead => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 9] = [
        State::Planned,
        State::Signed,
        State::Broadcast,
        State::PreConfirmed,
        State::L2,
        State::L1Final,
        State::Reverted,
        State::Replaced,
        State::Dropped,
    ];

    fn every_sight() -> Vec<Seen> {
        let finalities = [Finality::PreConfirmed, Finality::L2, Finality::L1];
        let mut all = vec![
            Seen::Signed,
            Seen::Taken,
            Seen::NotTaken,
            Seen::Missing,
            Seen::Replaced,
            Seen::Foreign,
            Seen::Refused,
        ];
        all.extend(finalities.map(Seen::Landed));
        all.extend(finalities.map(Seen::Reverted));
        all
    }

    #[test]
    fn the_usual_way_and_the_way_back_after_a_reorganisation() {
        let mut state = State::Planned;
        let story = [
            (Seen::Signed, State::Signed, Action::Send),
            (Seen::NotTaken, State::Signed, Action::Send),
            (Seen::Taken, State::Broadcast, Action::Wait),
            (Seen::Landed(Finality::PreConfirmed), State::PreConfirmed, Action::Wait),
            (Seen::Landed(Finality::L2), State::L2, Action::Wait),
            (Seen::Missing, State::Broadcast, Action::Send),
            (Seen::Reverted(Finality::L2), State::Reverted, Action::Wait),
            (Seen::Missing, State::Broadcast, Action::Send),
            (Seen::Landed(Finality::L1), State::L1Final, Action::Settle),
        ];
        for (seen, next, action) in story {
            assert_eq!(step(state, seen), Ok((next, action)), "{state:?} {seen:?}");
            state = next;
        }
    }

    #[test]
    fn nothing_is_sent_before_it_is_written_down_and_nothing_after_its_end() {
        for state in STATES {
            for seen in every_sight() {
                let Ok((next, action)) = step(state, seen) else { continue };
                assert!(state != State::Planned || seen == Seen::Signed);
                assert!(!state.is_end() || (next == state && action == Action::Settle), "{state:?} {seen:?}");
                assert!(action != Action::Send || matches!(next, State::Signed | State::Broadcast));
                assert_eq!(action == Action::Halt, seen == Seen::Foreign, "{state:?} {seen:?}");
            }
        }
    }

    #[test]
    fn calls_are_given_back_only_where_they_cannot_happen_any_more() {
        for state in STATES {
            for seen in every_sight() {
                if let Ok((next, Action::Replan)) = step(state, seen) {
                    let final_revert = seen == Seen::Reverted(Finality::L1);
                    assert!(final_revert || (seen == Seen::Refused && next == State::Dropped));
                }
            }
        }
    }
}
