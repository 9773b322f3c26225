//! What is to happen on the chain, as rows: intents, the nonces that carry them, and the transactions
//! that were signed for a nonce. Nothing in here knows what a call means or how a node answers: whoever
//! drives the lane decides, and every step of it is one write of the term that it leads in.
//!
//! Data moves one way: an intent is added (`intent`), is taken into a nonce together with the first
//! signed transaction (`nonce`), and ends with that nonce, or is given back by it and waits again.
//!
//! Invariant: an intent is in at most one nonce that is open or done. It leaves a nonce only when
//! whoever drives the lane says that nothing that carries it can land there any more.

mod intent;
mod nonce;
mod trim;

pub use intent::{ChainIntent, ChainIntents, IntentState, MAX_WAITING_INTENTS, NewIntent, RefusedIntent};
pub use nonce::{
    ChainNonce, ChainTransaction, Landing, MAX_CANDIDATES, NewNonce, NewTransaction, NonceState, Sighted,
};
pub(crate) use trim::trim;
