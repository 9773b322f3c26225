//! The lists of a backup: one JSON line for each artifact and each log. They have no bound but that of
//! the disk, so they are written and read line by line.

use super::BackupError;
use super::manifest::{Listed, Sealed};
use ciro_core::id::Hash;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

/// No line of a list is longer, bytes.
const MAX_LINE: u64 = 4_096;

/// An artifact of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ArtifactLine {
    pub(super) blake3: Hash,
    pub(super) bytes: u64,
    /// Its bytes were missing or damaged where they were to be copied from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) missing: bool,
}

/// A log of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogLine {
    /// Below the folder of logs: shard, job, file.
    pub(super) path: PathBuf,
    pub(super) blake3: Hash,
    pub(super) bytes: u64,
}

impl ArtifactLine {
    /// Where its bytes lie below the folder of artifacts.
    pub(super) fn path(&self) -> PathBuf {
        let name = self.blake3.to_string();
        Path::new(&name[..2]).join(&name[2..])
    }
}

impl LogLine {
    /// Whether the path stays below its folder: lists come from outside.
    pub(super) fn is_plain(&self) -> bool {
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        self.path.components().count() == 3 && self.path.components().all(plain)
    }
}

/// A list being written.
pub(super) struct ListWriter {
    file: BufWriter<File>,
    path: PathBuf,
    hasher: blake3::Hasher,
    listed: Listed,
}

impl ListWriter {
    pub(super) fn create(path: PathBuf, included: bool) -> Result<ListWriter, BackupError> {
        let file = File::create(&path).map_err(BackupError::at(&path))?;
        let list = Sealed { bytes: 0, blake3: Hash([0; 32]) };
        Ok(ListWriter {
            file: BufWriter::new(file),
            path,
            hasher: blake3::Hasher::new(),
            listed: Listed { included, count: 0, bytes: 0, missing: 0, list },
        })
    }

    /// Adds a line for a file of so many bytes.
    pub(super) fn add<L: Serialize>(
        &mut self,
        line: &L,
        bytes: u64,
        missing: bool,
    ) -> Result<(), BackupError> {
        let mut text = serde_json::to_vec(line)
            .map_err(|error| BackupError::damaged(format!("{}: {error}", self.path.display())))?;
        text.push(b'\n');
        self.file.write_all(&text).map_err(BackupError::at(&self.path))?;
        self.hasher.update(&text);
        self.listed.list.bytes += text.len() as u64;
        self.listed.count += 1;
        self.listed.bytes += bytes;
        self.listed.missing += u64::from(missing);
        Ok(())
    }

    /// Has the list on disk.
    pub(super) fn finish(self) -> Result<Listed, BackupError> {
        let ListWriter { file, path, hasher, mut listed } = self;
        let file = file.into_inner().map_err(|error| BackupError::at(&path)(error.into_error()))?;
        file.sync_all().map_err(BackupError::at(&path))?;
        listed.list.blake3 = Hash(*hasher.finalize().as_bytes());
        Ok(listed)
    }
}

/// Hands every line of a list on.
pub(super) fn each<L: DeserializeOwned>(
    path: &Path,
    mut take: impl FnMut(L) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let mut file = BufReader::new(File::open(path).map_err(BackupError::at(path))?);
    let mut line = String::new();
    for number in 1_u64.. {
        line.clear();
        let n = (&mut file).take(MAX_LINE).read_line(&mut line).map_err(BackupError::at(path))?;
        if n == 0 {
            break;
        }
        let read = serde_json::from_str(&line);
        take(read.map_err(|error| BackupError::damaged(format!("{}:{number}: {error}", path.display())))?)?;
    }
    Ok(())
}
