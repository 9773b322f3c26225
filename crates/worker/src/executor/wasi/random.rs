//! Randomness of the guest: one stream per (spec, task, user seed), the same on every machine.

use crate::executor::request::Seed;

/// Domain of the key derivation: the stream is of no use anywhere else.
const CONTEXT: &str = "ciro wasm-1 randomness";

/// An endless stream: the extended output of BLAKE3 over spec hash ‖ task index ‖ user seed.
#[derive(Debug)]
pub(crate) struct Random(blake3::OutputReader);

impl Random {
    pub(crate) fn new(seed: &Seed) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&seed.spec_hash.0);
        hasher.update(&seed.task_index.to_le_bytes());
        hasher.update(seed.user_seed.as_bytes());
        Random(hasher.finalize_xof())
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}
