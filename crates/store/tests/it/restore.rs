//! A copy that is made beside the writer, and what a restore makes of it.

use crate::conforms::{Sqlite, block_on};
use ciro_core::attempt::AttemptState;
use ciro_core::id::{BackupId, TenantKey};
use ciro_core::retry::MAX_GRANTS;
use ciro_store::conformance::{ManualClock, sample};
use ciro_store::verify::{self, VerifyOptions};
use ciro_store::{
    Clock, Error, Options, Restored, RestoredFrom, RetentionPolicy, Store, copy_database, damage,
    restore_database,
};
use rusqlite::Connection;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// A database with a live attempt and two open sessions, and a copy of it.
fn copied(folder: &Path) -> PathBuf {
    let database = Sqlite::fresh();
    let path = database.path();
    let kept = block_on(sample(database)).unwrap();
    let copy = folder.join("copy.db");
    let made = copy_database(&path, &copy, |_| ControlFlow::Continue(())).unwrap();
    let summary = made.summary().unwrap();
    assert_eq!((summary.live_attempts, summary.artifacts, summary.artifact_bytes), (1, 1, 5));
    assert!(summary.jobs == 5 && summary.open_jobs == 3 && summary.position > 10, "{summary:?}");
    drop((made, kept));
    assert_eq!(damage(&copy).unwrap(), None);
    copy
}

fn restore(copy: &Path, clock: &Arc<ManualClock>) -> Restored {
    let from = RestoredFrom { backup: BackupId(Uuid::from_u128(9)), backed_up: clock.now() };
    restore_database(&Options::new(copy), from, clock.clone()).unwrap()
}

fn number(path: &Path, sql: &str) -> i64 {
    Connection::open(path).unwrap().query_row(sql, [], |r| r.get(0)).unwrap()
}

#[test]
fn a_restore_ends_what_was_live_and_jumps_over_the_lost_time() {
    let folder = tempfile::tempdir().unwrap();
    let copy = copied(folder.path());
    let fences = number(&copy, "SELECT max(fence) FROM attempts");
    let clock = Arc::new(ManualClock::new());
    let first = restore(&copy, &clock);
    assert_eq!((first.attempts_lost, first.sessions_ended, first.open_jobs), (1, 2, 3), "{first:?}");
    assert!(i64::from(first.fence_floor) >= fences && first.fence_floor >= u32::from(MAX_GRANTS));
    let lost =
        format!("SELECT count(*) FROM attempts WHERE state = {} AND class IS NULL", AttemptState::Lost as u8);
    assert_eq!(number(&copy, &lost), 1, "lost, and nobody's fault");
    assert!(!copy.with_extension("db.lock").exists(), "it may get another name");

    block_on(async {
        let store = Store::open(Options::new(&copy), clock.clone()).unwrap();
        let bounds = store.log_bounds().await.unwrap();
        assert!(bounds.oldest == 1 && bounds.last > first.resumes_after, "{bounds:?}");
        for (cursor, before) in [
            (first.head, None),
            (first.head + 1, Some(first.head)),
            (first.resumes_after, Some(first.head)),
            (first.resumes_after + 1, None),
        ] {
            assert_eq!(store.position_before_lost(cursor).await.unwrap(), before, "{cursor}");
        }
        let few = RetentionPolicy { max_events: 1_000, ..RetentionPolicy::default() };
        let retained = store.retain_page(few, clock.now()).await.unwrap();
        assert_eq!(retained.events, 0, "what was jumped over is no surplus of events");
        let most = RetentionPolicy { max_events: 3, ..few };
        let kept = bounds_after(&store, most, &clock).await;
        assert_eq!(kept, 3);
        store.close().await;
    });
    let second = restore(&copy, &clock);
    assert!(second.fence_floor >= first.fence_floor + u32::from(MAX_GRANTS), "{first:?} {second:?}");
    assert!(second.head > first.resumes_after && second.epoch > first.epoch);
    let report =
        verify::run(&copy, &VerifyOptions { require_rows: true, ..VerifyOptions::default() }).unwrap();
    assert!(report.clean, "{report:#?}");
}

async fn bounds_after(store: &Store, policy: RetentionPolicy, clock: &ManualClock) -> usize {
    store.retain_page(policy, clock.now()).await.unwrap();
    store.events_after(Some(TenantKey(1)), 0, 100).await.unwrap().len()
}

#[test]
fn what_a_restore_must_not_leave_is_found() {
    for planted in [
        "UPDATE sessions SET ended_at = NULL WHERE key = (SELECT max(key) FROM sessions)",
        "UPDATE attempts SET state = 0, ended_at = NULL WHERE message LIKE '%restored%'",
        "UPDATE attempts SET session = 1000",
        "UPDATE restores SET resumes_after = resumes_after + 1",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let copy = copied(folder.path());
        restore(&copy, &Arc::new(ManualClock::new()));
        let c = Connection::open(&copy).unwrap();
        c.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
        assert!(c.execute(planted, []).unwrap() > 0, "{planted}");
        drop(c);
        let report = verify::run(&copy, &VerifyOptions::default()).unwrap();
        assert!(report.finding("I26").unwrap().violations > 0, "{planted}\n{report:#?}");
    }
}

#[test]
fn a_copy_can_be_broken_off_and_is_refused_where_there_is_nothing_to_copy() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let whole = copied(folder.path());
    let c = Connection::open(&whole).unwrap();
    c.execute_batch(
        "CREATE TABLE ballast (x); INSERT INTO ballast WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000)
         SELECT randomblob(20) FROM n",
    )
    .unwrap();
    drop(c);
    let broken = copy_database(&whole, &place("broken.db"), |_| ControlFlow::Break(()));
    assert!(matches!(broken, Err(Error::Stopped)), "{broken:?}");
    let nowhere = copy_database(&place("none.db"), &place("x.db"), |_| ControlFlow::Continue(()));
    assert!(nowhere.unwrap_err().to_string().contains("no such database file"));
    std::fs::write(place("text.db"), "not a database at all, but long enough to be looked at as one")
        .unwrap();
    assert!(copy_database(&place("text.db"), &place("y.db"), |_| ControlFlow::Continue(())).is_err());
    assert!(!place("none.db").exists() && !place("y.db").exists());
}
