//! A deterministic simulator of the coordinator that users can run. The real engine, the real bounded
//! queue, group commit, ready index, fleet and event readers run on a virtual clock, between clients and
//! workers that are simulated, over a network that loses, repeats, delays and reorders, on a process that
//! dies and starts again. One seed decides everything: the same seed gives the same history, to the bit,
//! in every process and on every machine.
//!
//! Data moves one way: a seed becomes a [`plan::Plan`], a plan becomes a [`world::History`], histories are
//! added up to a [`report::Report`]; one that fails is made smaller ([`shrink`]) and told line by line.

mod books;
mod check;
pub mod cli;
mod client;
mod clock;
mod deposits;
mod dice;
pub mod fault;
mod host;
#[cfg(all(test, feature = "mutants"))]
mod hunt;
mod ledger;
pub mod measure;
pub mod moves;
pub mod plan;
#[cfg(test)]
mod planted;
pub mod report;
pub mod run;
pub mod shrink;
pub mod trace;
mod wire;
mod worker;
pub mod world;
