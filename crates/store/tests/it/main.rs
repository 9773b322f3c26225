//! The store: the stories that every database must tell, what `verify` finds, and what a
//! person is told when a file cannot be used.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod conforms;
mod moved;
mod opening;
mod postgres;
mod restore;
mod stops;
mod verify;
