//! What a broken writer does to its process.

use crate::conforms::block_on;
use ciro_core::time::Timestamp;
use ciro_store::{Clock, Options, Store};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const NAME: &str = "stops::a_writer_that_panics_takes_its_process_with_it";
/// Names the database to the process that is to be stopped.
const DATABASE: &str = "CIRO_TEST_DATABASE";
const SIGABRT: i32 = 6;

/// A clock that breaks.
#[derive(Debug, Default)]
struct Breaking(AtomicBool);

impl Clock for Breaking {
    fn now(&self) -> Timestamp {
        assert!(!self.0.load(Ordering::SeqCst), "this clock is broken");
        Timestamp(1_000_000)
    }
    fn monotonic_us(&self) -> u64 {
        1_000_000
    }
    fn chance(&self) -> u64 {
        7
    }
}

/// The test runs itself a second time as the process that is to be stopped.
#[test]
#[expect(clippy::disallowed_methods, reason = "how the second process learns that it is the second")]
fn a_writer_that_panics_takes_its_process_with_it() {
    if let Some(path) = std::env::var_os(DATABASE) {
        let clock = Arc::new(Breaking::default());
        let store = Store::open(Options::new(path), clock.clone()).unwrap();
        clock.0.store(true, Ordering::SeqCst);
        // Whoever asked may hear that the writer is gone a moment before the process is.
        let answer = block_on(store.queue_status());
        std::thread::sleep(Duration::from_secs(30));
        panic!("still here, and told {answer:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    let ended = again.args([NAME, "--exact"]).env(DATABASE, folder.path().join("ciro.db")).output().unwrap();
    assert_eq!(ended.status.signal(), Some(SIGABRT), "{}", String::from_utf8_lossy(&ended.stdout));
}
