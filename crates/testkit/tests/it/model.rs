//! Every real database against the model: random moves, the same answers, rows and events after each. The
//! file is one of the product: its log, its syncs, its lock; a crash leaves the log as it is, and the next
//! start reads it. The server is Debian's.

use ciro_store::conformance::{ManualClock, Move, follows_memory};
use ciro_store::inline::{MemoryTenant, Point, Sqlite};
use ciro_store::postgres::{Address, Postgres};
use ciro_store::{Clock, Synchronous};
use ciro_testkit::cycles;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Moves of one case.
const MOVES: usize = 50;

fn any_move() -> impl Strategy<Value = Move> {
    let point = prop::option::of(prop::sample::select(Point::ALL.to_vec()));
    prop_oneof![
        6 => (0..5_u8, any::<bool>(), 0..12_u8, 0..8_u8, prop::bool::weighted(0.2), 0..16_u8)
            .prop_map(|(tasks, reduces, policy, retries, hasty, call)| Move::Submit {
                tasks, reduces, policy, retries, hasty, call
            }),
        6 => (any::<u8>(), prop::bool::weighted(0.2), prop::bool::weighted(0.05))
            .prop_map(|(job, part, fails)| Move::Prepare { job, part, fails }),
        4 => (any::<u8>(), any::<u8>(), 0..4_u8)
            .prop_map(|(worker, cores, forgets)| Move::Open { worker, cores, forgets }),
        8 => (any::<u8>(), any::<u8>()).prop_map(|(worker, max)| Move::Poll { worker, max }),
        12 => (any::<u8>(), any::<u8>(), any::<u8>(), 0..10_u8, prop::bool::weighted(0.1)).prop_map(
            |(worker, attempt, said, take, late)| Move::Report { worker, attempt, said, take, late }
        ),
        4 => (any::<u8>(), 0..4_u8, any::<u8>())
            .prop_map(|(worker, forgets, progress)| Move::Beat { worker, forgets, progress }),
        2 => (any::<u8>(), 0..3_u8).prop_map(|(job, grace_s)| Move::Stop { job, grace_s }),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(worker, order)| Move::Order { worker, order }),
        1 => (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>()).prop_map(
            |(job, task, fence, worker, revokes)| Move::Wild { job, task, fence, worker, revokes }
        ),
        3 => prop_oneof![4 => 1..30_u8, 1 => any::<u8>()].prop_map(|tenths| Move::Pass { tenths }),
        12 => Just(Move::Turn),
        1 => point.prop_map(|point| Move::Crash { point }),
    ]
}

/// A folder in memory where the system has one: thousands of files are made, synced and thrown away.
fn folder() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    tempfile::tempdir_in(place)
}

/// Plays the moves of one case on a file that is a copy of `new`.
fn play(new: &Path, moves: &[Move]) -> Result<(), String> {
    let folder = folder().map_err(|error| error.to_string())?;
    let file: PathBuf = folder.path().join("ciro.db");
    std::fs::copy(new, &file).map_err(|error| error.to_string())?;
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new());
    let opens = |killed: Option<Sqlite>, tenants: &[MemoryTenant]| {
        killed.map_or(Ok(()), Sqlite::leave)?;
        Sqlite::in_file(&file, &clock, tenants)
    };
    follows_memory(&opens, moves)
}

/// Plays lists of moves on fresh databases and in memory, side by side.
fn follow(cases: u32, play: impl Fn(&[Move]) -> Result<(), String>) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let told = runner.run(&vec(any_move(), MOVES), |moves| play(&moves).map_err(TestCaseError::fail));
    assert!(told.is_ok(), "{told:?}");
}

#[test]
fn sqlite_answers_and_keeps_what_the_model_does() {
    let folder = folder().unwrap();
    let new = folder.path().join("new.db");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new());
    drop(Sqlite::in_file(&new, &clock, &[]).unwrap());
    follow(cycles(500, 20_000), |moves| play(&new, moves));
}

#[test]
fn postgresql_answers_and_keeps_what_the_model_does() {
    let server = ciro_testkit::Postgres::shared().unwrap();
    follow(cycles(20, 1_000), |moves| {
        let address = server.database().map_err(|error| format!("{error:#}"))?;
        let address = Address::parse(&address).map_err(|error| error.to_string())?;
        let opens = |killed: Option<Postgres>, tenants: &[MemoryTenant]| {
            let new = killed.is_none();
            drop(killed);
            let opened = Postgres::open(&address, Synchronous::Normal)?;
            if new { opened.with_tenants(tenants) } else { Ok(opened) }
        };
        follows_memory(&opens, moves)
    });
}
