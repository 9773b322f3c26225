//! The worker, tried through the doors its users use.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod double;
mod executor;
mod executor_bench;
mod executor_corpus;
mod executor_wordcount;
mod native;
mod programs;
mod programs_bench;
mod trouble;
