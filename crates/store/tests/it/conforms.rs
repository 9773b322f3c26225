//! The conformance suite on SQLite and on PostgreSQL, and its stories of the engine on a database in memory.

use ciro_core::id::JobId;
use ciro_core::invariant::Violation;
use ciro_store::conformance::{ByHand, Case, Database, InMemory, Stage, cases, engine_cases, random_history};
use ciro_store::postgres::Address;
use ciro_store::verify::{self, VerifyOptions};
use ciro_store::{Clock, Error, Options, Store};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

/// Random histories of one run, and moves of each.
const HISTORIES: u64 = 20;
/// Fewer where each group is a conversation with a server, whose disk is waited for.
const ON_SERVER: u64 = 6;
const MOVES: u32 = 150;

pub(crate) struct Sqlite {
    folder: tempfile::TempDir,
}

impl Sqlite {
    pub(crate) fn fresh() -> Box<Sqlite> {
        Box::new(Sqlite { folder: tempfile::tempdir().unwrap() })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ciro.db")
    }
}

impl Database for Sqlite {
    fn open(&self, tune: fn(&mut Options), clock: Arc<dyn Clock>) -> Result<Store, Error> {
        let mut options = Options::new(self.path());
        tune(&mut options);
        Store::open(options, clock)
    }

    fn verify(&self, acknowledged: Vec<JobId>) -> Result<Vec<Violation>, Error> {
        let options = VerifyOptions { acknowledged: Some(acknowledged), ..VerifyOptions::default() };
        Ok(verify::run(&self.path(), &options)?.violations())
    }
}

/// A database on the tests' server.
struct OnServer {
    address: Address,
    /// Its data folder is named after a file in it.
    folder: tempfile::TempDir,
}

impl OnServer {
    fn fresh() -> Box<OnServer> {
        let address = ciro_testkit::Postgres::shared().unwrap().database().unwrap();
        Box::new(OnServer {
            address: Address::parse(&address).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        })
    }
}

impl Database for OnServer {
    fn open(&self, tune: fn(&mut Options), clock: Arc<dyn Clock>) -> Result<Store, Error> {
        let file = self.folder.path().join("ciro.db");
        let mut options = Options { server: Some(self.address.clone()), ..Options::new(file) };
        tune(&mut options);
        Store::open(options, clock)
    }

    fn verify(&self, acknowledged: Vec<JobId>) -> Result<Vec<Violation>, Error> {
        let options = VerifyOptions { acknowledged: Some(acknowledged), ..VerifyOptions::default() };
        // Whoever asks is a task of a runtime, where nobody may wait for a server.
        let checked = thread::scope(|scope| scope.spawn(|| verify::run_on(&self.address, &options)).join());
        Ok(checked.unwrap()?.violations())
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Tells every story on a database of its own, all of them even when one fails.
fn tell<S: Stage>(cases: &[Case<S>], fresh: impl Fn() -> Box<dyn Database<S>>) {
    let mut wrong = Vec::new();
    for case in cases.iter().copied() {
        let database = fresh();
        let told = thread::spawn(move || block_on(case.run(database))).join();
        match told {
            Ok(Ok(())) => {}
            Ok(Err(error)) => wrong.push(format!("{}: {error}", case.name)),
            Err(_) => wrong.push(format!("{}: an assertion above", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{} of {} stories: {wrong:#?}", wrong.len(), cases.len());
}

fn play<S: Stage>(histories: u64, fresh: impl Fn() -> Box<dyn Database<S>>) {
    for seed in 1..=histories {
        let database = fresh();
        let told = thread::spawn(move || block_on(random_history(database, seed, MOVES))).join();
        match told {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("seed {seed}: {error}"),
            Err(_) => panic!("seed {seed}: an assertion above"),
        }
    }
}

fn in_memory() -> Box<dyn Database<ByHand>> {
    InMemory::fresh(1).unwrap()
}

#[test]
fn every_story_is_told_on_postgresql() {
    tell(&cases(), || OnServer::fresh());
}

#[test]
fn random_histories_keep_every_invariant_on_postgresql() {
    play::<Store>(ON_SERVER, || OnServer::fresh());
}

#[test]
fn every_story_is_told_on_sqlite() {
    tell(&cases(), || Sqlite::fresh());
}

#[test]
fn the_stories_of_the_engine_are_told_in_memory() {
    tell(&engine_cases::<ByHand>(), in_memory);
}

#[test]
fn random_histories_keep_every_invariant() {
    play::<Store>(HISTORIES, || Sqlite::fresh());
}

#[test]
fn random_histories_keep_every_invariant_in_memory() {
    play(HISTORIES, in_memory);
}

#[test]
fn random_histories_of_three_coordinators_keep_every_invariant() {
    play::<ByHand>(HISTORIES, || InMemory::fresh(3).unwrap());
}
