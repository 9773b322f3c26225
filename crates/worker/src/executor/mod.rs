//! Runs one task of a WebAssembly job, deterministically and confined; `docs/wasm-profile.md` is
//! the profile as a document.
//!
//! [`Executor::run`] (the worker's side, `launch`) starts a process of its own for every attempt and
//! sends it the [`AttemptRequest`]; [`child_main`] (the process's side, `child`) confines itself
//! (`crate::sandbox`), compiles or loads the module (`cache`, `engine`), gives it its world (`wasi`,
//! `meter`), runs it (`program`), and sends one [`AttemptOutcome`] back.
//!
//! Invariant: nothing of the machine reaches the guest but the bytes of its inputs, its arguments
//! and its environment: no time, no order, no randomness, no name, no amount of free memory.

mod cache;
mod child;
mod engine;
mod launch;
mod meter;
mod outcome;
mod program;
mod request;
mod spawn;
mod wasi;
mod wire;

pub use child::{SUBCOMMAND, child_main};
pub use launch::{Executor, LogChunk, LogStream};
pub use outcome::{AttemptOutcome, End, Metering, Output, TimeLimit};
pub use request::{AttemptRequest, Input, Limits, Seed};
