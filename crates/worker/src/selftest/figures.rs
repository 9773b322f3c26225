//! What is measured: the time of an attempt that does nothing, and what bombs beside it do to the
//! slowest one in a hundred.

use super::corpus::run_one;
use super::{Bench, bombs};
use crate::executor::{AttemptRequest, Executor, Program};
use serde::Serialize;
use std::io;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Attempts of which the median is taken.
const ATTEMPTS: usize = 40;
/// Attempts of the neighbour in one round.
const NEIGHBOURS: usize = 100;
/// A busy machine disturbs by itself: the best of so many rounds counts.
const ROUNDS: usize = 3;
/// Bombs that burst beside the neighbour, again and again.
const BOMBS: [&str; 4] = ["fork", "memory-of-many", "spin-of-many", "files"];
/// What one of them may take of a core.
const BOMB_CPU_MILLIS: u64 = 200;
/// A neighbour may be slowed by this factor.
const MOST: f64 = 2.0;

/// Times of an attempt that does nothing, from its request to its outcome.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Overhead {
    /// Half of them took longer, µs.
    pub p50_us: u64,
    /// One in a hundred took longer, µs.
    pub p99_us: u64,
}

/// A neighbour's attempts with and without bombs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Neighbour {
    /// Without.
    pub alone: Overhead,
    /// With.
    pub beside_bombs: Overhead,
    /// How much longer the slowest one in a hundred takes.
    pub p99_ratio: f64,
    /// Whether that is at most twice.
    pub undisturbed: bool,
}

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// A module that is compiled already.
    pub wasm: Overhead,
    /// A native program; `None` where none is run.
    pub native: Option<Overhead>,
    /// `None` where no native program is run: modules have no bombs that reach a neighbour.
    pub neighbour: Option<Neighbour>,
}

pub(super) async fn measure(executor: &Executor) -> io::Result<Figures> {
    let bench = Bench::new()?;
    let wasm = overhead(executor, ATTEMPTS, || module(&bench)).await?;
    if !executor.readiness().is_enough() {
        return Ok(Figures { wasm, native: None, neighbour: None });
    }
    let native = overhead(executor, ATTEMPTS, || nothing(&bench)).await?;
    let mut best: Option<Neighbour> = None;
    for _ in 0..ROUNDS {
        let round = neighbour(executor, &bench).await?;
        if best.is_none_or(|best| round.p99_ratio < best.p99_ratio) {
            best = Some(round);
        }
        if round.undisturbed {
            break;
        }
    }
    Ok(Figures { wasm, native: Some(native), neighbour: best })
}

fn module(bench: &Bench) -> io::Result<AttemptRequest> {
    static TROUBLE: &[u8] = include_bytes!("../../../../jobs/trouble.wasm");
    bench.wasm(TROUBLE, &["sleep".to_owned(), "0".to_owned()])
}

fn nothing(bench: &Bench) -> io::Result<AttemptRequest> {
    bench.native(&["nothing".to_owned()])
}

async fn overhead(
    executor: &Executor,
    attempts: usize,
    request: impl Fn() -> io::Result<AttemptRequest>,
) -> io::Result<Overhead> {
    let mut times = Vec::with_capacity(attempts);
    // The first one compiles the module, and has the kernel read our binary.
    for n in 0..=attempts {
        let request = request()?;
        let begun = Instant::now();
        let (outcome, log) = run_one(executor, &request).await;
        if !outcome.succeeded() {
            return Err(io::Error::other(format!("an attempt that does nothing: {} {log}", outcome.end)));
        }
        if n > 0 {
            times.push(begun.elapsed());
        }
    }
    times.sort_unstable();
    let at = |permille: usize| micros(times[(times.len() * permille / 1_000).min(times.len() - 1)]);
    Ok(Overhead { p50_us: at(500), p99_us: at(990) })
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

async fn neighbour(executor: &Executor, bench: &Bench) -> io::Result<Neighbour> {
    let alone = overhead(executor, NEIGHBOURS, || nothing(bench)).await?;
    let end = CancellationToken::new();
    let measured = async {
        let measured = overhead(executor, NEIGHBOURS, || nothing(bench)).await;
        end.cancel();
        measured
    };
    let [a, b, c, d] = BOMBS.map(|name| burst(executor, bench, name, &end));
    let (beside_bombs, ..) = tokio::join!(measured, a, b, c, d);
    let beside_bombs = beside_bombs?;
    let p99_ratio = beside_bombs.p99_us as f64 / alone.p99_us.max(1) as f64;
    Ok(Neighbour { alone, beside_bombs, p99_ratio, undisturbed: p99_ratio <= MOST })
}

/// Lets a bomb burst until `end`.
async fn burst(executor: &Executor, bench: &Bench, name: &str, end: &CancellationToken) {
    while !end.is_cancelled() {
        let Ok(mut request) = bench.native(&[name.to_owned()]) else { return };
        if let Some(bomb) = bombs::BOMBS.iter().find(|bomb| bomb.name == name) {
            (bomb.bounds)(&mut request.limits);
        }
        if let Program::Native(native) = &mut request.program {
            native.cpu_millis = BOMB_CPU_MILLIS;
        }
        run_one(executor, &request).await;
    }
}
