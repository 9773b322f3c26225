//! Transactions from calls to an end that nobody can take back.
//!
//! The way of one: calls are planned into batches ([`plan`]), a batch is estimated, which also shows
//! whether it would revert ([`bisect`] finds what makes it), the estimate becomes [`Bounds`] under
//! caps ([`fee`]), the whole is [`sign`]ed into bytes. Those are written down, sent, and sent again
//! as often as needed; [`outcome`] reads what the node says, [`state`] is the table of what follows.

pub mod bisect;
mod bounds;
pub mod fee;
mod hash;
pub mod outcome;
pub mod plan;
pub mod send;
pub mod sign;
pub mod state;

pub use bounds::{Bounds, Resource};
pub use sign::{Call, Signed, Unsigned};
