//! Following the chain: the blocks read so far, where a reorganisation parted from them, and the
//! events of a contract in ranges of blocks. Nothing in here keeps rows: whoever drives it writes
//! down what a [`Step`] brought in one transaction, the blocks with the events.

mod advance;
mod fold;
mod origin;
mod ring;
#[cfg(test)]
mod tests;

pub use advance::{FollowError, Step, advance};
pub use fold::{Moment, after, credit, short_words, subject};
pub use origin::origin;
pub use ring::{Ring, Search, Unconnected};
