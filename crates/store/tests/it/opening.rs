//! Files that cannot be used, and what a person is told.

use ciro_core::id::{Hash, JobId, TenantKey};
use ciro_core::resources::Resources;
use ciro_core::spec::{
    Collect, JobSpec, Limits, OnFailure, Profile, RetryPolicy, Runtime, SPEC_VERSION, Verification,
};
use ciro_core::time::Timestamp;
use ciro_store::verify::{self, VerifyOptions};
use ciro_store::{Clock, Error, FULL_MS, OpenError, Options, Store, Submission, Submit};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// A clock that stands until it is moved, µs.
#[derive(Debug, Default)]
struct Fixed(AtomicU64);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp(1_767_225_600_000)
    }
    fn monotonic_us(&self) -> u64 {
        1_000 + self.0.load(Ordering::SeqCst)
    }
    fn chance(&self) -> u64 {
        7
    }
}

fn open(path: &Path) -> Result<Store, Error> {
    Store::open(Options::new(path), Arc::new(Fixed::default()))
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state").join("ciro.db");
    (folder, path)
}

#[tokio::test]
async fn a_file_has_one_writer_and_keeps_its_identity() {
    let (_folder, path) = place();
    let first = open(&path).unwrap();
    let identity = first.identity().clone();
    let second = open(&path);
    assert!(matches!(second, Err(Error::Open(OpenError::Locked { .. }))), "{second:?}");
    let told = second.unwrap_err().to_string();
    assert!(told.contains("ciro.db") && told.contains("stop that one first"), "{told}");
    first.close().await;
    let again = open(&path).unwrap();
    assert_eq!(again.identity().server_secret, identity.server_secret);
    assert_eq!(again.identity().instance, identity.instance);
    assert_eq!(again.identity().epoch, identity.epoch + 1);
    assert_ne!(identity.server_secret, [0; 32]);
    again.close().await;
}

#[tokio::test]
async fn the_file_is_durable_and_distrusts_its_own_schema() {
    let (_folder, path) = place();
    let store = open(&path).unwrap();
    let c = Connection::open(&path).unwrap();
    let mode: String = c.query_row("PRAGMA journal_mode", [], |r| r.get(0)).unwrap();
    assert_eq!(mode, "wal");
    let version: String = c.query_row("SELECT sqlite_version()", [], |r| r.get(0)).unwrap();
    let parts: Vec<u32> = version.split('.').map(|p| p.parse().unwrap()).collect();
    assert!(parts >= vec![3, 51, 3], "{version} can corrupt its log");
    let counted: i64 =
        c.query_row("SELECT sqlite_compileoption_used('DEFAULT_MEMSTATUS=0')", [], |r| r.get(0)).unwrap();
    assert_eq!(counted, 1, "SQLite counts allocations that nobody reads");
    store.close().await;
}

#[test]
fn what_another_program_made_is_left_alone() {
    let (_folder, path) = place();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let garbage = b"this is not a database, however long it may be: ".repeat(64);
    std::fs::write(&path, &garbage).unwrap();
    let refused = open(&path);
    assert!(matches!(refused, Err(Error::Open(OpenError::NotOurs { .. }))), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), garbage);

    let foreign = path.with_file_name("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    let refused = open(&foreign);
    assert!(matches!(refused, Err(Error::Open(OpenError::NotOurs { .. }))), "{refused:?}");
    let told = refused.unwrap_err().to_string();
    assert!(told.contains("foreign.db") && told.contains("another program"), "{told}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_its_number() {
    let (_folder, path) = place();
    open(&path).unwrap().close().await;
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 999; UPDATE compatibility SET oldest_program = 999")
        .unwrap();
    let refused = open(&path);
    assert!(matches!(refused, Err(Error::Open(OpenError::NewerSchema { found: 999, .. }))), "{refused:?}");
    let told = refused.unwrap_err().to_string();
    assert!(told.contains("999") && told.contains("newer program"), "{told}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_refused_at_the_start() {
    let (_folder, path) = place();
    open(&path).unwrap().close().await;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    let refused = open(&path);
    assert!(matches!(refused, Err(Error::Open(OpenError::ReadOnly { .. }))), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("permissions"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    open(&path).unwrap().close().await;

    let nowhere = Path::new("/proc/ciro/ciro.db");
    let refused = open(nowhere);
    assert!(
        matches!(refused, Err(Error::Open(OpenError::Io { .. } | OpenError::ReadOnly { .. }))),
        "{refused:?}"
    );
}

fn submission(n: u128) -> Submission {
    let spec = JobSpec {
        spec_version: SPEC_VERSION,
        kind: "sleep".into(),
        runtime: Runtime::Wasm { module: Hash::of(b"module"), profile: Profile::Wasm1 },
        args: vec!["x".repeat(900)],
        env: BTreeMap::new(),
        inputs: Vec::new(),
        stdin: None,
        split: None,
        collect: Collect::List,
        resources: Resources::default(),
        constraints: BTreeMap::new(),
        limits: Limits {
            wall_ms: 1,
            cpu_ms: 1,
            fuel: None,
            output_bytes: 1,
            log_bytes: 1,
            processes: None,
            open_files: None,
        },
        priority: 5,
        max_cost: None,
        payment: None,
        deadline: None,
        retry: RetryPolicy { max_attempts: 3, on_user: false, on_timeout: false },
        verification: Verification::None,
        on_failure: OnFailure::FailFast,
        labels: BTreeMap::new(),
        seed: String::new(),
    };
    let text = spec.canonical().unwrap();
    Submission {
        id: JobId(Uuid::from_u128(n)),
        hash: Hash::of(text.as_bytes()),
        requirement: spec.requirement(),
        spec: Arc::new(spec),
        text,
        artifacts: Vec::new(),
        labels: None,
        retry_of: None,
        payment: None,
    }
}

async fn submit(store: &Store, n: u128) -> Result<JobId, Error> {
    let submitted =
        store.submit(Submit { tenant: TenantKey(1), jobs: vec![submission(n)], idempotency: None }).await?;
    Ok(submitted.ids[0])
}

#[tokio::test]
async fn a_full_disk_refuses_new_work_and_loses_nothing() {
    let (_folder, path) = place();
    let small = Options { max_pages: 120, ..Options::new(&path) };
    let store = Store::open(small, Arc::new(Fixed::default())).unwrap();
    let mut acknowledged = Vec::new();
    let refused = loop {
        match submit(&store, acknowledged.len() as u128 + 1).await {
            Ok(id) => acknowledged.push(id),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 10_000, "the bound on pages was not reached");
    };
    assert!(matches!(refused, Error::DiskFull), "{refused:?}");
    assert!(acknowledged.len() > 10);
    let last = *acknowledged.last().unwrap();
    assert!(store.job_get(TenantKey(1), last).await.unwrap().is_some(), "reading goes on");
    assert!(matches!(submit(&store, 1 << 100).await, Err(Error::DiskFull)), "it is still full");
    store.close().await;
    drop(store);

    let store = open(&path).unwrap();
    acknowledged.push(submit(&store, 1 << 101).await.unwrap());
    store.close().await;
    let options = VerifyOptions { acknowledged: Some(acknowledged), ..VerifyOptions::default() };
    let report = verify::run(&path, &options).unwrap();
    assert!(report.clean, "{report:#?}");
}

/// Where the test below finds its small disk when it runs inside of one.
const DISK: &str = "CIRO_TEST_SMALL_DISK";

/// Runs itself again in a mount namespace of its own, on a file system of 1.2 MB.
#[test]
fn a_disk_that_fills_up_refuses_new_work_until_there_is_room() {
    #[expect(clippy::disallowed_methods, reason = "a test tells its own child where the disk is")]
    if let Some(disk) = std::env::var_os(DISK) {
        return crate::conforms::block_on(fill_up(Path::new(&disk)));
    }
    let disk = tempfile::tempdir().unwrap();
    let name = "opening::a_disk_that_fills_up_refuses_new_work_until_there_is_room";
    let script =
        format!("mount -t tmpfs -o size=1200k tmpfs ${DISK} && exec \"$0\" --exact {name} --nocapture");
    let told = std::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(DISK, disk.path())
        .output()
        .unwrap();
    let said = [told.stdout, told.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(told.status.success() && said[0].contains("1 passed"), "{}{}", said[0], said[1]);
}

async fn fill_up(disk: &Path) {
    let (path, ballast) = (disk.join("ciro.db"), disk.join("ballast"));
    std::fs::write(&ballast, vec![0; 150_000]).unwrap();
    let clock = Arc::new(Fixed::default());
    let store = Store::open(Options::new(&path), clock.clone()).unwrap();
    let mut acknowledged = Vec::new();
    let refused = loop {
        match submit(&store, acknowledged.len() as u128 + 1).await {
            Ok(id) => acknowledged.push(id),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 10_000, "the disk does not fill up");
    };
    assert!(matches!(refused, Error::DiskFull), "{refused:?}");
    assert!(!acknowledged.is_empty());
    assert!(store.job_get(TenantKey(1), acknowledged[0]).await.unwrap().is_some(), "reading goes on");
    std::fs::remove_file(ballast).unwrap();
    assert!(matches!(submit(&store, 1 << 99).await, Err(Error::DiskFull)), "it is left alone for a while");
    clock.0.store(FULL_MS.start() * 1_000, Ordering::SeqCst);
    acknowledged.push(submit(&store, 1 << 100).await.unwrap());
    store.close().await;
    drop(store);
    let options = VerifyOptions { acknowledged: Some(acknowledged), ..VerifyOptions::default() };
    let report = verify::run(&path, &options).unwrap();
    assert!(report.clean, "{report:#?}");
}

#[tokio::test]
async fn a_running_store_can_be_verified_beside() {
    let (_folder, path) = place();
    let store = open(&path).unwrap();
    let id = submit(&store, 1).await.unwrap();
    let options = VerifyOptions {
        acknowledged: Some(vec![id]),
        now: Some(Fixed::default().now()),
        ..VerifyOptions::default()
    };
    let report = verify::run(&path, &options).unwrap();
    assert!(report.running && report.clean, "{report:#?}");
    submit(&store, 2).await.unwrap();
    store.close().await;
    assert!(!verify::run(&path, &options).unwrap().running);
}
