//! Runs one task of a job: a WebAssembly module, deterministically and confined
//! (`docs/wasm-profile.md`), or a native program in a sandbox of the kernel's (`docs/sandbox.md`).
//!
//! [`Executor::run`] (the worker's side, `launch`) starts a process of its own for every attempt and
//! sends it the [`AttemptRequest`]; [`child_main`] (the process's side, `child`) confines itself
//! (`crate::sandbox`), compiles or loads the module (`cache`, `engine`), gives it its world (`wasi`,
//! `meter`), runs it (`program`), and sends one [`AttemptOutcome`] back. For a native program that
//! process is the one that watches (`native`).
//!
//! Invariant: nothing of the machine reaches a module but the bytes of its inputs, its arguments
//! and its environment: no time, no order, no randomness, no name, no amount of free memory.

mod cache;
mod child;
mod engine;
mod launch;
mod measure;
mod meter;
mod native;
mod outcome;
mod program;
mod request;
mod spawn;
mod wasi;
mod wire;

pub use child::{SUBCOMMAND, child_main};
pub(crate) use measure::phases;

pub use launch::{Executor, LogChunk, LogStream};
pub use native::Readiness;
pub(crate) use native::remove_tree;
pub use outcome::{AttemptOutcome, End, Metering, Output, TimeLimit};
pub use request::{AttemptRequest, Input, Limits, Module, Native, NativeFile, Program, Seed};
