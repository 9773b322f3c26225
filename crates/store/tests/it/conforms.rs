//! The conformance suite on SQLite.

use ciro_core::id::JobId;
use ciro_store::conformance::{CASES, Database, random_history};
use ciro_store::verify::{self, Report, VerifyOptions};
use ciro_store::{Clock, Error, Options, Store};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

/// Random histories of one run, and moves of each.
const HISTORIES: u64 = 20;
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

    fn verify(&self, acknowledged: Vec<JobId>) -> Result<Report, Error> {
        let options = VerifyOptions { acknowledged: Some(acknowledged), ..VerifyOptions::default() };
        verify::run(&self.path(), &options)
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn every_story_is_told_on_sqlite() {
    let mut wrong = Vec::new();
    for case in CASES {
        let told = thread::spawn(|| block_on(case.run(Sqlite::fresh()))).join();
        match told {
            Ok(Ok(())) => {}
            Ok(Err(error)) => wrong.push(format!("{}: {error}", case.name)),
            Err(_) => wrong.push(format!("{}: an assertion above", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{} of {} stories: {wrong:#?}", wrong.len(), CASES.len());
}

#[test]
fn random_histories_keep_every_invariant() {
    for seed in 1..=HISTORIES {
        let told = thread::spawn(move || block_on(random_history(Sqlite::fresh(), seed, MOVES))).join();
        match told {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("seed {seed}: {error}"),
            Err(_) => panic!("seed {seed}: an assertion above"),
        }
    }
}
