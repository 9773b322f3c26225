//! The chain, as rows. What is to happen there: intents, the nonces that carry them, and the transactions
//! that were signed for a nonce. What happened there: the newest blocks (`block`), the contract's events
//! (`event`), and what these make of each escrow (`standing`). Nothing in here knows what a call or an event
//! means or how a node answers: whoever drives the lane and whoever follows decide, and every step of
//! either is one write of the term that it leads in.
//!
//! What is to happen moves one way: an intent is added (`intent`), is taken into a nonce together with the first
//! signed transaction (`nonce`), and ends with that nonce, or is given back by it and waits again.
//!
//! Invariant: an intent is in at most one nonce that is open or done. It leaves a nonce only when
//! whoever drives the lane says that nothing that carries it can land there any more.

mod block;
mod event;
mod history;
mod intent;
mod look;
mod nonce;
mod sample;
mod standing;
mod trim;
mod view;

pub use block::{ChainBack, ChainBlock, ChainCursor, ChainForward, MAX_CHAIN_BLOCKS};
pub use event::ChainEvent;
pub use history::{EventListPage, EventListQuery, Exposure};
pub use intent::{ChainIntent, ChainIntents, IntentState, MAX_WAITING_INTENTS, NewIntent, RefusedIntent};
pub use look::{EscrowLook, Looked, OpenEscrows, SentIntent};
pub use nonce::{
    ChainNonce, ChainTransaction, Landing, MAX_CANDIDATES, NewNonce, NewTransaction, NonceState, Sighted,
};
pub use sample::{ChainPart, ChainSample, ChainSettled, ChainSum, ChainSums};
pub(crate) use standing::write as write_escrow;
pub(crate) use trim::trim;
pub use view::{IntentListed, MAX_TROUBLES, TransactionListed, TransactionPage, TransactionQuery};
