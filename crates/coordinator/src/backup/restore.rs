//! Restoring a backup: its files are checked, its artifacts and logs are laid into the data directory,
//! a copy of its database begins a new epoch and is checked, and only then takes the name of the
//! database. What was there before is moved aside, never deleted.
//!
//! The data directory is added to, not replaced: artifacts are named by their hash, so what lies there
//! whole is right, and what nobody names is collected later. That is also why a backup without the
//! bytes of artifacts can be restored beside the directory that still has them.
//!
//! Invariant: until the last rename the old database is where it was; a restore that was cut short is
//! run again.

use super::BackupError;
use super::check::{violations, whole};
use super::files::{self, Placed};
use super::lists::{self, ArtifactLine, LogLine};
use super::manifest::{ARTIFACTS, DATABASE, LOGS, Manifest};
use super::progress::{Meter, Phase, Watch};
use crate::artifacts::vault::Vault;
use ciro_api::time::Time;
use ciro_core::crash::crash_point;
use ciro_store::{Clock, FileLock, Options, Restored, RestoredFrom, SCHEMA_VERSION, restore_database};
use serde::Serialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is restored, and where to.
#[derive(Debug, Clone)]
pub struct Restoring {
    /// The backup's folder.
    pub from: PathBuf,
    /// The database to be, and how it is opened.
    pub options: Options,
    /// A database that is there is moved aside.
    pub force: bool,
    /// Goes on although bytes of artifacts are nowhere to be found.
    pub allow_missing: bool,
}

/// What a restore did, and what is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// The backup.
    pub backup: Manifest,
    /// The database file.
    pub database: PathBuf,
    /// Where the one before lies now.
    pub moved_aside: Option<PathBuf>,
    /// What was accepted or ended between these two instants is lost.
    pub lost_from: Time,
    /// The instant of the restore.
    pub lost_to: Time,
    /// How often the database was opened for writing.
    pub epoch: u64,
    /// Position of the last event that is there.
    pub position: i64,
    /// The log goes on behind this position: readers that were told of later ones get `reset`.
    pub resumes_after: i64,
    /// Jobs that had not ended and go on.
    pub open_jobs: u64,
    /// Live attempts that were lost; their tasks are tried again.
    pub attempts_lost: u64,
    /// Sessions that are over; workers open new ones with their keys.
    pub sessions_ended: u64,
    /// Artifacts whose bytes were laid into the data directory.
    pub artifacts_added: u64,
    /// Artifacts whose bytes lay there already.
    pub artifacts_kept: u64,
    /// Artifacts whose bytes are missing.
    pub artifacts_missing: u64,
    /// Logs that were laid there.
    pub logs_added: u64,
    /// Invariants that the restored database breaks, as it did when it was backed up.
    pub violations: Vec<String>,
}

/// Restores a backup. Blocks.
///
/// # Errors
/// Why it was not; the database that was there before is where it was.
pub fn restore(
    restoring: &Restoring,
    clock: &Arc<dyn Clock>,
    watch: &Watch,
) -> Result<RestoreReport, BackupError> {
    let path = &restoring.options.path;
    let manifest = Manifest::read(&restoring.from)?;
    refuse_newer(&manifest)?;
    files::make_folder(files::parent(path))?;
    let lock = FileLock::take(path).map_err(ciro_store::Error::from)?;
    if path.exists() && !restoring.force {
        return Err(BackupError::refused(format!(
            "{} exists; --force moves it aside (nothing is deleted), --to names another place",
            path.display()
        )));
    }
    let manifest = whole(&restoring.from, watch)?;
    let laid = Laying::new(restoring, watch)?.lay(&manifest)?;
    crash_point("restore.files_laid");
    let now = clock.now();
    let fresh = beside(path, ".restoring");
    remove_all(&fresh)?;
    let restored = begin(restoring, &manifest, &fresh, clock, watch)?;
    let violations = unbroken(&fresh, &manifest)?;
    crash_point("restore.begun");
    let moved_aside = move_aside(path, now)?;
    crash_point("restore.moved_aside");
    fs::rename(&fresh, path).map_err(BackupError::at(path))?;
    crash_point("restore.renamed");
    let folder = files::parent(path);
    files::sync(folder).map_err(BackupError::at(folder))?;
    drop(lock);
    Ok(RestoreReport {
        database: path.clone(),
        moved_aside,
        lost_from: manifest.made_at,
        lost_to: Time(now),
        epoch: restored.epoch,
        position: restored.head,
        resumes_after: restored.resumes_after,
        open_jobs: restored.open_jobs,
        attempts_lost: restored.attempts_lost,
        sessions_ended: restored.sessions_ended,
        artifacts_added: laid.added,
        artifacts_kept: laid.kept,
        artifacts_missing: laid.missing,
        logs_added: laid.logs,
        violations,
        backup: manifest,
    })
}

fn refuse_newer(manifest: &Manifest) -> Result<(), BackupError> {
    if manifest.schema <= SCHEMA_VERSION {
        return Ok(());
    }
    Err(BackupError::refused(format!(
        "the backup has schema {}, this program knows {SCHEMA_VERSION}: use version {} or a newer one",
        manifest.schema, manifest.program
    )))
}

/// Copies the backup's database to `fresh` and begins its new epoch.
fn begin(
    restoring: &Restoring,
    manifest: &Manifest,
    fresh: &Path,
    clock: &Arc<dyn Clock>,
    watch: &Watch,
) -> Result<Restored, BackupError> {
    let mut meter = Meter::begin(watch, Phase::Database, manifest.database.bytes)?;
    files::copy(&restoring.from.join(DATABASE), fresh, &mut meter)?;
    let options = Options { path: fresh.to_owned(), ..restoring.options.clone() };
    let from = RestoredFrom { backup: manifest.id, backed_up: manifest.made_at.0 };
    let restored = restore_database(&options, from, Arc::clone(clock))?;
    // What a migration keeps of the older schema is the backup itself here.
    remove(&beside(fresh, &format!(".v{}.bak", manifest.schema)))?;
    Ok(restored)
}

/// What the restored database breaks; it must not be more than the backup says of itself.
fn unbroken(fresh: &Path, manifest: &Manifest) -> Result<Vec<String>, BackupError> {
    let found = violations(fresh)?;
    if found.is_empty() || !manifest.violations.is_empty() {
        return Ok(found);
    }
    Err(BackupError::damaged(format!(
        "the restored database breaks an invariant and is not put in place: {}",
        found.join("; ")
    )))
}

/// Another name beside the database's.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// What a restore that was cut short left.
fn remove_all(fresh: &Path) -> Result<(), BackupError> {
    ["", "-wal", "-shm", "-journal"].iter().try_for_each(|end| remove(&beside(fresh, end)))
}

/// Removes a file; nothing where there is none.
fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackupError::at(path)(error)),
        _ => Ok(()),
    }
}

/// Gives the database that is there, its log and its index another name. They belong together: all
/// three have their new names before one loses its old one, and the file goes before its log, so that
/// nobody ever opens one without the other.
fn move_aside(path: &Path, now: ciro_core::time::Timestamp) -> Result<Option<PathBuf>, BackupError> {
    let stamp: String = Time(now).to_string().chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let aside = beside(path, &format!(".before-{stamp}"));
    let parts: Vec<_> = ["", "-wal", "-shm"].map(|end| (beside(path, end), beside(&aside, end))).into();
    let there: Vec<_> = parts.into_iter().filter(|(from, _)| from.symlink_metadata().is_ok()).collect();
    for (from, to) in &there {
        fs::hard_link(from, to).map_err(BackupError::at(to))?;
    }
    let folder = files::parent(path);
    files::sync(folder).map_err(BackupError::at(folder))?;
    crash_point("restore.linked");
    for (from, _) in &there {
        fs::remove_file(from).map_err(BackupError::at(from))?;
    }
    Ok((!there.is_empty()).then_some(aside))
}

/// What became of the files of a backup.
#[derive(Debug, Clone, Copy, Default)]
struct Laid {
    added: u64,
    kept: u64,
    missing: u64,
    logs: u64,
}

/// Lays a backup's files into the data directory.
struct Laying<'r> {
    restoring: &'r Restoring,
    data_dir: PathBuf,
    vault: Vault,
    watch: &'r Watch,
    laid: Laid,
}

impl<'r> Laying<'r> {
    fn new(restoring: &'r Restoring, watch: &'r Watch) -> Result<Laying<'r>, BackupError> {
        let data_dir = restoring.options.data_dir();
        let vault = Vault::open(&data_dir).map_err(BackupError::at(&data_dir))?;
        Ok(Laying { restoring, data_dir, vault, watch, laid: Laid::default() })
    }

    fn lay(mut self, manifest: &Manifest) -> Result<Laid, BackupError> {
        let from = &self.restoring.from;
        let mut meter = Meter::begin(self.watch, Phase::Artifacts, manifest.artifacts.bytes)?;
        lists::each(&from.join("artifacts.ndjson"), |line: ArtifactLine| {
            self.artifact(&line, manifest.artifacts.included && !line.missing, &mut meter)
        })?;
        let lost = self.laid.missing.saturating_sub(manifest.artifacts.missing);
        if lost > 0 && !self.restoring.allow_missing {
            return Err(BackupError::refused(format!(
                "the bytes of {lost} artifacts are neither in the backup nor in {}: put that directory in its place first, \
                 or go on without them by --allow-missing-artifacts (jobs that need them will fail)",
                self.data_dir.display()
            )));
        }
        let mut meter = Meter::begin(self.watch, Phase::Logs, manifest.logs.bytes)?;
        if manifest.logs.included {
            lists::each(&from.join("logs.ndjson"), |line: LogLine| self.log(&line, &mut meter))?;
        }
        for folder in [ARTIFACTS, LOGS].map(|name| self.data_dir.join(name)) {
            if folder.is_dir() {
                files::sync_folders(&folder).map_err(BackupError::at(&folder))?;
            }
        }
        Ok(self.laid)
    }

    fn artifact(
        &mut self,
        line: &ArtifactLine,
        included: bool,
        meter: &mut Meter<'_>,
    ) -> Result<(), BackupError> {
        let (to, wanted) = (self.vault.path(&line.blake3), (line.bytes, line.blake3));
        if to.is_file() {
            if files::hash(&to, meter)? == wanted {
                self.laid.kept += 1;
                return Ok(());
            }
            // Under the name of a hash lies either its bytes or nothing.
            fs::remove_file(&to).map_err(BackupError::at(&to))?;
        }
        if !included {
            self.laid.missing += 1;
            return Ok(());
        }
        files::make_folder(files::parent(&to))?;
        let source = self.restoring.from.join(ARTIFACTS).join(line.path());
        match files::place(&source, &to, wanted, meter)? {
            Placed::Linked | Placed::Copied => {
                self.laid.added += 1;
                Ok(())
            }
            Placed::Absent | Placed::Damaged => {
                Err(BackupError::damaged(format!("{} changed while it was restored", source.display())))
            }
        }
    }

    /// A log that is there already went on after the backup; what it says stays.
    fn log(&mut self, line: &LogLine, meter: &mut Meter<'_>) -> Result<(), BackupError> {
        if !line.is_plain() {
            return Err(BackupError::damaged(format!("the list of logs names {}", line.path.display())));
        }
        let to = self.data_dir.join(LOGS).join(&line.path);
        if to.exists() {
            return Ok(());
        }
        files::make_folder(files::parent(&to))?;
        files::copy(&self.restoring.from.join(LOGS).join(&line.path), &to, meter)?;
        self.laid.logs += 1;
        Ok(())
    }
}
