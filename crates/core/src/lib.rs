//! The domain of CIRO, pure: words, state machines, scheduling decisions. Nothing in here reads a
//! clock, draws a random number, or touches a disk or a socket; time and chance are arguments.
//!
//! Data moves one way: rows and a command go into [`engine::apply`], a [`engine::Change`] comes
//! out; whoever called writes it.

pub mod address;
pub mod amount;
pub mod attempt;
pub mod audit;
pub mod command;
pub mod crash;
pub mod engine;
pub mod event;
pub mod id;
pub mod invariant;
pub mod job;
pub mod manifest;
pub mod money;
pub mod mutant;
pub mod payout;
pub mod reduction;
pub mod replay;
pub mod resources;
pub mod restore;
pub mod retry;
pub mod schedule;
pub mod spec;
pub mod split;
pub mod task;
pub mod time;
pub mod webhook;
pub mod worker;
