//! Holding a backup against its manifest: every file is there with its size and hash, the database is
//! whole, and what must always hold of its rows does.

use super::BackupError;
use super::files;
use super::lists::{self, ArtifactLine, LogLine};
use super::manifest::{ARTIFACTS, DATABASE, LOGS, Listed, Manifest, Sealed};
use super::progress::{Meter, Phase, Watch};
use ciro_store::verify::{self, Status, VerifyOptions};
use serde::Serialize;
use std::path::Path;

/// Problems that are told one by one.
const MAX_TOLD: usize = 20;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// Whether it is what it says.
    pub whole: bool,
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, at most the first 20 things.
    pub problems: Vec<String>,
}

/// Checks the backup in `folder`. Blocks.
///
/// # Errors
/// When it has no manifest, cannot be read, or the check was broken off.
pub fn check(folder: &Path, watch: &Watch) -> Result<Checked, BackupError> {
    let (manifest, mut found) = check_files(folder, watch)?;
    if found.problems.is_empty() {
        let database = folder.join(DATABASE);
        if let Some(damage) = ciro_store::damage(&database)? {
            found.say(format!("the database is damaged: {damage}"));
        } else if manifest.schema == schema_of_this_program() {
            let known = |v: &String| manifest.violations.contains(v);
            for broken in violations(&database)?.into_iter().filter(|v| !known(v)) {
                found.say(broken);
            }
        }
    }
    let Found { problems, files, bytes, .. } = found;
    Ok(Checked { whole: problems.is_empty(), manifest, files, bytes, problems })
}

fn schema_of_this_program() -> i64 {
    ciro_store::SCHEMA_VERSION
}

/// What must always hold and does not, of a database that nobody has open.
///
/// # Errors
/// When the database is damaged, or cannot be read.
pub(super) fn violations(database: &Path) -> Result<Vec<String>, BackupError> {
    let report = verify::run(database, &VerifyOptions::default())?;
    let broken = report.invariants.into_iter().filter(|finding| finding.status == Status::Violated);
    let mut told = Vec::new();
    for finding in broken {
        let example = finding.examples.first().cloned().unwrap_or_default();
        if finding.id == "I24" {
            return Err(BackupError::damaged(format!("the database is damaged: {example}")));
        }
        told.push(format!(
            "{} ({}): {} wrong, such as: {example}",
            finding.id, finding.says, finding.violations
        ));
    }
    Ok(told)
}

/// What was found so far.
struct Found<'w> {
    problems: Vec<String>,
    files: u64,
    bytes: u64,
    meter: Meter<'w>,
}

/// Checks every file of a backup, and leaves its rows alone.
fn check_files<'w>(folder: &Path, watch: &'w Watch) -> Result<(Manifest, Found<'w>), BackupError> {
    let manifest = Manifest::read(folder)?;
    let meter = Meter::begin(watch, Phase::Check, manifest.bytes)?;
    let mut found = Found { problems: Vec::new(), files: 0, bytes: 0, meter };
    found.file(&folder.join(DATABASE), manifest.database)?;
    if found.file(&folder.join("artifacts.ndjson"), manifest.artifacts.list)? {
        found.artifacts(folder, &manifest.artifacts)?;
    }
    if found.file(&folder.join("logs.ndjson"), manifest.logs.list)? {
        found.logs(folder, &manifest.logs)?;
    }
    Ok((manifest, found))
}

/// The manifest of a backup whose every file is what it should be.
///
/// # Errors
/// When one is not; the error names it.
pub(super) fn whole(folder: &Path, watch: &Watch) -> Result<Manifest, BackupError> {
    let (manifest, found) = check_files(folder, watch)?;
    match found.problems.first() {
        None => Ok(manifest),
        Some(first) => {
            let shown = folder.display();
            let words = format!("{shown} is not whole and is not restored: {first}; `check` tells all of it");
            Err(BackupError::damaged(words))
        }
    }
}

impl Found<'_> {
    fn say(&mut self, problem: String) {
        if self.problems.len() < MAX_TOLD {
            self.problems.push(problem);
        }
    }

    /// Whether a file is what it should be.
    fn file(&mut self, path: &Path, wanted: Sealed) -> Result<bool, BackupError> {
        let (bytes, blake3) = match files::hash(path, &mut self.meter) {
            Ok(found) => found,
            Err(BackupError::Io { path, source }) => {
                self.say(format!("{path}: {source}"));
                return Ok(false);
            }
            Err(other) => return Err(other),
        };
        self.files += 1;
        self.bytes += bytes;
        if bytes != wanted.bytes {
            self.say(format!("{}: has {bytes} bytes, {} were written", path.display(), wanted.bytes));
        } else if blake3 != wanted.blake3 {
            self.say(format!("{}: its bytes are not those that were written", path.display()));
        }
        Ok((bytes, blake3) == (wanted.bytes, wanted.blake3))
    }

    fn artifacts(&mut self, folder: &Path, listed: &Listed) -> Result<(), BackupError> {
        if !listed.included {
            return Ok(());
        }
        lists::each(&folder.join("artifacts.ndjson"), |line: ArtifactLine| {
            if !line.missing {
                let path = folder.join(ARTIFACTS).join(line.path());
                self.file(&path, Sealed { bytes: line.bytes, blake3: line.blake3 })?;
            }
            Ok(())
        })
    }

    fn logs(&mut self, folder: &Path, listed: &Listed) -> Result<(), BackupError> {
        if !listed.included {
            return Ok(());
        }
        lists::each(&folder.join("logs.ndjson"), |line: LogLine| {
            if !line.is_plain() {
                return Err(BackupError::damaged(format!("the list of logs names {}", line.path.display())));
            }
            let path = folder.join(LOGS).join(&line.path);
            self.file(&path, Sealed { bytes: line.bytes, blake3: line.blake3 })?;
            Ok(())
        })
    }
}
