//! Making a backup: the database first, then what its copy names, then the manifest, then the name.
//!
//! An artifact can be collected after the instant of the copy and before its bytes are linked. Nothing
//! needed it then, so it is taken out of the copy too; no lease and no pause of the collector is
//! needed, and the copy never names what is not there. That the row goes before the file makes sure:
//! a missing file whose row is still there is damage, and is said to be.

use super::BackupError;
use super::check::violations;
use super::files::{self, Placed};
use super::lists::{ArtifactLine, ListWriter, LogLine};
use super::manifest::{ARTIFACTS, DATABASE, FORMAT, LOGS, Listed, Manifest, Sealed};
use super::progress::{Meter, Phase, Progress, Watch};
use crate::artifacts::vault::Vault;
use ciro_api::time::Time;
use ciro_core::crash::crash_point;
use ciro_core::id::{BackupId, Hash};
use ciro_core::time::Timestamp;
use ciro_store::{Clock, CopySummary, DatabaseCopy, copy_database, database_bytes, database_has_artifact};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Artifacts that are looked up at once.
const PAGE: u32 = 1_000;

/// What is backed up, and where to.
#[derive(Debug, Clone)]
pub struct Making {
    /// The database file.
    pub database: PathBuf,
    /// The folder of artifacts and logs.
    pub data_dir: PathBuf,
    /// The backup's folder, which must not exist.
    pub to: PathBuf,
    /// Its name.
    pub id: BackupId,
    /// Whether the bytes of artifacts, and logs, are in it.
    pub with_files: bool,
    /// Names the request that asks for it.
    pub request: Option<Hash>,
}

/// Makes a backup. Blocks.
///
/// # Errors
/// Why there is none; nothing that looks like one is left then.
pub fn make(making: &Making, clock: &dyn Clock, watch: &Watch) -> Result<Manifest, BackupError> {
    let unfinished = Unfinished::begin(&making.to)?;
    let made = write(making, &unfinished.folder, clock, watch);
    match made {
        Ok(manifest) => unfinished.finish(&making.to).map(|()| manifest),
        Err(error) => {
            unfinished.drop_it();
            Err(error)
        }
    }
}

/// A folder that is being written, locked against a second writer.
struct Unfinished {
    folder: PathBuf,
    _lock: Flock<File>,
}

impl Unfinished {
    fn begin(to: &Path) -> Result<Unfinished, BackupError> {
        if to.symlink_metadata().is_ok() {
            let words =
                format!("{} exists already; a backup is written to a folder of its own", to.display());
            return Err(BackupError::refused(words));
        }
        let folder = partial(to)?;
        files::make_folder(&folder)?;
        let lock = lock(&folder)?.ok_or_else(|| {
            BackupError::refused(format!("another backup is being written to {}", folder.display()))
        })?;
        empty(&folder).map_err(BackupError::at(&folder))?;
        Ok(Unfinished { folder, _lock: lock })
    }

    fn finish(self, to: &Path) -> Result<(), BackupError> {
        crash_point("backup.before_rename");
        fs::rename(&self.folder, to).map_err(BackupError::at(to))?;
        crash_point("backup.renamed");
        let above = files::parent(to);
        files::sync(above).map_err(BackupError::at(above))
    }

    fn drop_it(self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "what there is of a backup stays behind");
        }
    }
}

/// What a folder is called until everything in it is on disk.
fn partial(to: &Path) -> Result<PathBuf, BackupError> {
    let mut name = to
        .file_name()
        .map(std::ffi::OsStr::to_owned)
        .ok_or_else(|| BackupError::refused(format!("{} is no name of a folder to make", to.display())))?;
    name.push(PARTIAL);
    Ok(to.with_file_name(name))
}

/// The end of such a name.
pub(super) const PARTIAL: &str = ".partial";

/// The lock of a folder that is being written; `None` where somebody holds it.
pub(super) fn lock(folder: &Path) -> Result<Option<Flock<File>>, BackupError> {
    let file = File::open(folder).map_err(BackupError::at(folder))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Ok(Some(held)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(BackupError::at(folder)(errno.into())),
    }
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?
        } else {
            fs::remove_file(entry.path())?
        }
    }
    Ok(())
}

fn write(making: &Making, folder: &Path, clock: &dyn Clock, watch: &Watch) -> Result<Manifest, BackupError> {
    let begun = clock.monotonic_ms();
    let made_at = clock.now();
    let database = folder.join(DATABASE);
    let copy = copy_rows(making, folder, &database, watch)?;
    let vault = Vault::at(&making.data_dir);
    let mut files = Files { making, folder, vault, watch, written: 0 };
    let artifacts = files.artifacts(&copy)?;
    crash_point("backup.artifacts_placed");
    let logs = files.logs()?;
    crash_point("backup.logs_placed");
    let written = files.written;
    let summary = copy.summary()?;
    drop(copy);
    files::sync_folders(folder).map_err(BackupError::at(folder))?;
    let mut meter = Meter::begin(watch, Phase::Check, 0)?;
    let (bytes, blake3) = files::hash(&database, &mut meter)?;
    let found = violations(&database)?;
    let sealed = Sealed { bytes, blake3 };
    let took_ms = clock.monotonic_ms().saturating_sub(begun);
    let rest = Rest { made_at, took_ms, written, violations: found };
    let manifest = manifest(making, &summary, (sealed, artifacts, logs), rest);
    manifest.write(folder)?;
    crash_point("backup.manifest_written");
    files::sync(folder).map_err(BackupError::at(folder))?;
    Ok(manifest)
}

/// What a manifest says that is no figure of the copy.
struct Rest {
    made_at: Timestamp,
    took_ms: u64,
    written: u64,
    violations: Vec<String>,
}

fn manifest(
    making: &Making,
    summary: &CopySummary,
    (database, artifacts, logs): (Sealed, Listed, Listed),
    rest: Rest,
) -> Manifest {
    let lists = artifacts.list.bytes + logs.list.bytes;
    let files = |listed: Listed| if listed.included { listed.bytes } else { 0 };
    Manifest {
        format: FORMAT,
        id: making.id,
        made_at: Time(rest.made_at),
        took_ms: rest.took_ms,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        schema: summary.schema,
        instance: summary.instance,
        epoch: summary.epoch,
        position: summary.position,
        jobs: summary.jobs,
        open_jobs: summary.open_jobs,
        archived: summary.archived,
        live_attempts: summary.live_attempts,
        database,
        artifacts,
        logs,
        bytes: database.bytes + lists + files(artifacts) + files(logs),
        written_bytes: database.bytes + lists + rest.written,
        violations: rest.violations,
        request: making.request,
    }
}

fn copy_rows(
    making: &Making,
    folder: &Path,
    database: &Path,
    watch: &Watch,
) -> Result<DatabaseCopy, BackupError> {
    let total = database_bytes(&making.database)?;
    files::need(folder, total)?;
    let watch = Arc::clone(watch);
    let look = move |done| watch(Progress { phase: Phase::Database, done, total });
    copy_database(&making.database, database, look).map_err(|error| match error {
        ciro_store::Error::Stopped => BackupError::BrokenOff,
        other => other.into(),
    })
}

/// What is put beside the copy.
struct Files<'m> {
    making: &'m Making,
    folder: &'m Path,
    vault: Vault,
    watch: &'m Watch,
    /// Bytes that were copied, not linked.
    written: u64,
}

impl Files<'_> {
    fn artifacts(&mut self, copy: &DatabaseCopy) -> Result<Listed, BackupError> {
        let included = self.making.with_files;
        let total = if included { copy.summary()?.artifact_bytes } else { 0 };
        if !files::share_disk(&self.making.data_dir, self.folder) {
            files::need(self.folder, total)?;
        }
        let mut meter = Meter::begin(self.watch, Phase::Artifacts, total)?;
        let mut list = ListWriter::create(self.folder.join("artifacts.ndjson"), included)?;
        let mut after = None;
        loop {
            let page = copy.artifacts_after(after, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            let mut collected = Vec::new();
            for (hash, bytes) in page {
                let mut line = ArtifactLine { blake3: hash, bytes, missing: false };
                if included {
                    match self.artifact(&line, &mut meter)? {
                        Placed::Linked => {}
                        Placed::Copied => self.written += bytes,
                        Placed::Absent => {
                            collected.push(hash);
                            continue;
                        }
                        Placed::Damaged => line.missing = true,
                    }
                }
                list.add(&line, if line.missing { 0 } else { bytes }, line.missing)?;
            }
            copy.forget_artifacts(&collected)?;
        }
        list.finish()
    }

    /// Puts an artifact's bytes into the backup. `Absent` says that it was collected meanwhile.
    fn artifact(&self, line: &ArtifactLine, meter: &mut Meter<'_>) -> Result<Placed, BackupError> {
        let to = self.folder.join(ARTIFACTS).join(line.path());
        files::make_folder(files::parent(&to))?;
        let place = |meter: &mut Meter<'_>| {
            files::place(&self.vault.path(&line.blake3), &to, (line.bytes, line.blake3), meter)
        };
        let mut placed = place(meter)?;
        if placed == Placed::Absent && database_has_artifact(&self.making.database, line.blake3)? {
            // Collected and stored again in between; or its row is there and its bytes are not.
            placed = match place(meter)? {
                Placed::Absent => Placed::Damaged,
                again => again,
            };
        }
        if placed == Placed::Damaged {
            tracing::error!(artifact = %line.blake3, "an artifact's bytes are missing or damaged; the backup lacks them too");
        }
        Ok(placed)
    }

    /// Logs are appended to while they are copied: whole lines of what is there now.
    fn logs(&mut self) -> Result<Listed, BackupError> {
        let included = self.making.with_files;
        let mut meter = Meter::begin(self.watch, Phase::Logs, 0)?;
        let mut list = ListWriter::create(self.folder.join("logs.ndjson"), included)?;
        let root = self.making.data_dir.join(LOGS);
        if included {
            for shard in folders(&root)? {
                for job in folders(&shard)? {
                    for log in entries(&job)? {
                        let Some(line) = self.log(&root, &log)? else { continue };
                        meter.add(line.bytes)?;
                        list.add(&line, line.bytes, false)?;
                    }
                }
            }
        }
        list.finish()
    }

    fn log(&mut self, root: &Path, log: &Path) -> Result<Option<LogLine>, BackupError> {
        let mut bytes = match fs::read(log) {
            Ok(bytes) => bytes,
            // Its time was over.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BackupError::at(log)(error)),
        };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(whole);
        let path = log.strip_prefix(root).unwrap_or(log).to_owned();
        let to = self.folder.join(LOGS).join(&path);
        files::make_folder(files::parent(&to))?;
        fs::write(&to, &bytes).and_then(|()| files::sync(&to)).map_err(BackupError::at(&to))?;
        self.written += bytes.len() as u64;
        Ok(Some(LogLine { path, blake3: Hash::of(&bytes), bytes: bytes.len() as u64 }))
    }
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// What lies in a folder; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BackupError::at(folder)(error)),
    };
    let paths: io::Result<Vec<PathBuf>> = read.map(|entry| entry.map(|entry| entry.path())).collect();
    paths.map_err(BackupError::at(folder))
}
