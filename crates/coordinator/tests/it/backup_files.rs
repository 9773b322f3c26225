//! Backups as files: what is collected meanwhile, what is damaged, what was cut short, and how they
//! come back.

use ciro_coordinator::backup::{
    BackupError, Making, Manifest, Phase, Restoring, Watch, check, clear_unfinished, make, restore, unwatched,
};
use ciro_coordinator::clock::SystemClock;
use ciro_core::id::{BackupId, Hash, TenantKey};
use ciro_store::{COLLECT_AGE_MS, Clock, GrantArtifact, Options, Store};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use tempfile::TempDir;

/// A database with artifacts, as a coordinator leaves it.
struct Place {
    folder: TempDir,
    clock: Arc<SystemClock>,
    store: Store,
}

impl Place {
    fn new() -> Place {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(SystemClock::new());
        let store = Store::open(Options::new(folder.path().join("ciro.db")), clock.clone()).unwrap();
        Place { folder, clock, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, hash: Hash) -> PathBuf {
        let name = hash.to_string();
        self.path("ciro.db.d").join("artifacts").join(&name[..2]).join(&name[2..])
    }

    /// Stores bytes that nobody needs any more from now on.
    async fn put(&self, bytes: &[u8]) -> Hash {
        let (hash, now) = (Hash::of(bytes), self.clock.now());
        let file = self.file(hash);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
        let grant =
            GrantArtifact { tenant: TenantKey(1), hash, expires_at: now.plus_ms(1), quota_bytes: 1 << 20 };
        self.store.artifact_stored(bytes.len() as u64, grant, now).await.unwrap();
        hash
    }

    fn making(&self, name: &str) -> Making {
        Making {
            database: self.path("ciro.db"),
            data_dir: self.path("ciro.db.d"),
            to: self.path(name),
            id: BackupId(self.clock.uuid()),
            with_files: true,
            request: None,
        }
    }

    async fn make(&self, making: Making, watch: Watch) -> Result<Manifest, BackupError> {
        let clock = self.clock.clone();
        tokio::task::spawn_blocking(move || make(&making, &*clock, &watch)).await.unwrap()
    }

    fn restoring(&self, from: &str, to: &str) -> Restoring {
        let options = Options::new(self.path(to));
        Restoring { from: self.path(from), options, force: false, allow_missing: false }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }
}

/// Runs `then` once, when the database was copied and its artifacts are to be linked.
fn once_copied(then: impl Fn() + Send + Sync + 'static) -> Watch {
    let done = Once::new();
    Arc::new(move |progress| {
        if progress.phase == Phase::Artifacts {
            done.call_once(&then);
        }
        ControlFlow::Continue(())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_collected_meanwhile_is_taken_out_and_what_is_missing_is_said() {
    let place = Place::new();
    let (stays, goes, damaged) =
        (place.put(b"stays").await, place.put(b"goes").await, place.put(b"is damaged").await);
    fs::write(place.file(damaged), b"is changed").unwrap();
    let (store, file) = (place.store.clone(), place.file(goes));
    let later = place.clock.now().plus_ms(2 * COLLECT_AGE_MS);
    let runtime = tokio::runtime::Handle::current();
    // As the collector does it: the row first, then the file.
    let collect = once_copied(move || {
        assert!(runtime.block_on(store.artifact_collect(goes, later)).unwrap());
        fs::remove_file(&file).unwrap();
    });
    let manifest = place.make(place.making("backup"), collect).await.unwrap();
    assert_eq!((manifest.artifacts.count, manifest.artifacts.missing, manifest.artifacts.bytes), (2, 1, 5));
    let checked = check(&place.path("backup"), &unwatched()).unwrap();
    assert!(checked.whole, "{checked:?}");

    // A restore needs no more than the backup has; what was missing then is missing still.
    let report = restore(&place.restoring("backup", "other.db"), &place.clock(), &unwatched()).unwrap();
    assert_eq!((report.artifacts_added, report.artifacts_missing), (1, 1));
    let restored = Store::open(Options::new(place.path("other.db")), place.clock.clone()).unwrap();
    assert_eq!(restored.artifact_size(stays).await.unwrap(), Some(5));
    assert_eq!(restored.artifact_size(goes).await.unwrap(), None, "its row went with its bytes");
    restored.close().await;
    place.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_short_or_changed_never_looks_whole() {
    let place = Place::new();
    let hash = place.put(b"bytes").await;
    // A database this small is copied before anybody looks.
    for phase in [Phase::Artifacts, Phase::Logs, Phase::Check] {
        let cut: Watch =
            Arc::new(
                move |now| {
                    if now.phase == phase { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                },
            );
        let broken = place.make(place.making("cut"), cut).await;
        assert!(matches!(broken, Err(BackupError::BrokenOff)), "{phase:?}: {broken:?}");
        assert!(!place.path("cut").exists() && !place.path("cut.partial").exists(), "{phase:?}");
    }
    // What a killed process leaves is in nobody's way.
    fs::create_dir(place.path("backup.partial")).unwrap();
    fs::write(place.path("backup.partial").join("coordinator.db"), "half").unwrap();
    let unfinished = check(&place.path("backup.partial"), &unwatched()).unwrap_err();
    assert!(unfinished.to_string().contains("is not a backup"), "{unfinished}");
    place.make(place.making("backup"), unwatched()).await.unwrap();
    assert!(!place.path("backup.partial").exists());
    let twice = place.make(place.making("backup"), unwatched()).await.unwrap_err();
    assert!(twice.to_string().contains("exists already"), "{twice}");
    let left = place.path(&format!("{}.partial", BackupId(place.clock.uuid())));
    fs::create_dir(&left).unwrap();
    assert_eq!((clear_unfinished(place.folder.path()).unwrap(), left.exists()), (1, false));

    let file = place.path("backup").join("coordinator.db");
    let bytes = fs::read(&file).unwrap();
    for (change, told) in [
        (bytes[..bytes.len() - 4_096].to_vec(), "bytes, "),
        (bytes.iter().enumerate().map(|(at, b)| if at == 9_000 { b ^ 1 } else { *b }).collect(), "not those"),
    ] {
        fs::write(&file, change).unwrap();
        let checked = check(&place.path("backup"), &unwatched()).unwrap();
        assert!(!checked.whole && checked.problems[0].contains(told), "{checked:?}");
        let refused =
            restore(&place.restoring("backup", "other.db"), &place.clock(), &unwatched()).unwrap_err();
        assert!(refused.to_string().contains("is not restored"), "{refused}");
        assert!(!place.path("other.db").exists());
    }
    fs::write(&file, bytes).unwrap();
    assert!(check(&place.path("backup"), &unwatched()).unwrap().whole);
    let list = place.path("backup").join("artifacts.ndjson");
    fs::write(&list, fs::read_to_string(&list).unwrap().replace(&hash.to_string()[..4], "0000")).unwrap();
    assert!(!check(&place.path("backup"), &unwatched()).unwrap().whole);
    place.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_moves_the_old_database_aside_and_finds_artifacts_where_they_are() {
    let place = Place::new();
    let hash = place.put(b"bytes").await;
    let making = Making { with_files: false, ..place.making("small") };
    let manifest = place.make(making, unwatched()).await.unwrap();
    assert!(!manifest.artifacts.included && !place.path("small").join("artifacts").exists());
    let again = |to: &str, force: bool| Restoring { force, ..place.restoring("small", to) };
    let held = restore(&again("ciro.db", true), &place.clock(), &unwatched()).unwrap_err();
    assert!(held.to_string().contains("in use by another coordinator"), "{held}");
    place.store.close().await;
    let there = restore(&again("ciro.db", false), &place.clock(), &unwatched()).unwrap_err();
    assert!(there.to_string().contains("--force"), "{there}");
    let elsewhere = restore(&again("other.db", false), &place.clock(), &unwatched()).unwrap_err();
    assert!(elsewhere.to_string().contains("--allow-missing-artifacts"), "{elsewhere}");
    let without = Restoring { allow_missing: true, ..again("other.db", false) };
    assert_eq!(restore(&without, &place.clock(), &unwatched()).unwrap().artifacts_missing, 1);

    let report = restore(&again("ciro.db", true), &place.clock(), &unwatched()).unwrap();
    assert_eq!((report.artifacts_kept, report.artifacts_added, report.artifacts_missing), (1, 0, 0));
    let aside = report.moved_aside.unwrap();
    let same = |path: &Path| Store::open(Options::new(path), place.clock.clone()).unwrap();
    let (old, new) = (same(&aside), same(&place.path("ciro.db")));
    assert_eq!(old.identity().instance, new.identity().instance);
    assert!(new.identity().epoch > old.identity().epoch);
    assert_eq!(new.artifact_size(hash).await.unwrap(), Some(5));
    old.close().await;
    new.close().await;
    let left: Vec<_> = fs::read_dir(place.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".restoring")), "{left:?}");
}
