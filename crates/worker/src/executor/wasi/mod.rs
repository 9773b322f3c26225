//! WASI preview 1 for profile `wasm-1`: our own layer, because a layer over real directories,
//! clocks and randomness lets the machine show through.
//!
//! A call goes `link` (the table of functions) → `fd_calls`, `path_calls`, `system_calls` or
//! `poll` (what each does, on a [`Guest`]) → the [`Host`]'s parts: file tree, descriptors, clock,
//! randomness, logs. It answers an error number, or a [`Fault`] that ends the attempt.
//! `docs/wasm-profile.md` describes the behaviour of each function.

mod abi;
mod clock;
mod descriptors;
mod fault;
mod fd_calls;
mod guest;
mod link;
mod logs;
mod path_calls;
mod poll;
mod random;
mod scratch;
mod system_calls;
mod tree;

pub(crate) use fault::{Fault, Stop};
pub(crate) use link::link;
pub(crate) use logs::Logs;
pub(crate) use scratch::{InputRange, Scratch};
pub(crate) use tree::Tree;

use crate::executor::meter::Meter;
use crate::executor::request::Seed;
use clock::Clock;
use descriptors::Descriptors;
use guest::Guest;
use random::Random;
use std::collections::BTreeMap;
use tree::Ino;

/// Everything that a guest can reach.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) meter: Meter,
    pub(crate) tree: Tree,
    pub(crate) logs: Logs,
    descriptors: Descriptors,
    clock: Clock,
    random: Random,
    args: Vec<String>,
    env: Vec<String>,
    memory: Option<wasmtime::Memory>,
}

/// Name that a program sees as its own, `argv[0]`.
const PROGRAM_NAME: &str = "job";

impl Host {
    /// A fresh host. `stdin` is the path of an input under `/in`.
    pub(crate) fn new(
        mut tree: Tree,
        logs: Logs,
        meter: Meter,
        seed: &Seed,
        start: Start<'_>,
    ) -> Result<Self, Stop> {
        let stdin: Option<Ino> = match start.stdin {
            Some(path) => {
                let ino = tree.find(tree::IN, path)?;
                tree.open(ino)?;
                Some(ino)
            }
            None => None,
        };
        Ok(Host {
            meter,
            tree,
            logs,
            descriptors: Descriptors::new(stdin),
            clock: Clock::default(),
            random: Random::new(seed),
            args: std::iter::once(PROGRAM_NAME.to_owned()).chain(start.args.iter().cloned()).collect(),
            env: start.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            memory: None,
        })
    }
}

/// What a program is started with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) args: &'a [String],
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) stdin: Option<&'a str>,
}
