//! Where the bytes of artifacts lie: `<data dir>/artifacts/ab/cdef…`, a file per hash, and
//! unfinished uploads beside them. A file gets its name only when its bytes are verified and on
//! disk, so whatever lies under a name is whole. Every function here blocks.

use ciro_core::crash::crash_point;
use ciro_core::id::Hash;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The folders of one data directory.
#[derive(Debug, Clone)]
pub struct Vault {
    artifacts: PathBuf,
    uploads: PathBuf,
}

/// A stored file.
#[derive(Debug)]
pub struct Stored {
    /// Opened for reading.
    pub file: File,
    /// Bytes.
    pub size: u64,
}

impl Vault {
    /// The folders under `data_dir`, whether they are there or not.
    #[must_use]
    pub fn at(data_dir: &Path) -> Vault {
        Vault { artifacts: data_dir.join("artifacts"), uploads: data_dir.join("uploads") }
    }

    /// The folders under `data_dir`, made where they are missing.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn open(data_dir: &Path) -> io::Result<Vault> {
        let vault = Vault::at(data_dir);
        fs::create_dir_all(&vault.artifacts)?;
        fs::create_dir_all(&vault.uploads)?;
        sync_dir(data_dir)?;
        Ok(vault)
    }

    /// Where unfinished uploads lie.
    #[must_use]
    pub fn uploads(&self) -> &Path {
        &self.uploads
    }

    /// Where the bytes of `hash` lie once they are stored.
    #[must_use]
    pub fn path(&self, hash: &Hash) -> PathBuf {
        let name = hash.to_string();
        self.artifacts.join(&name[..2]).join(&name[2..])
    }

    /// Opens the bytes of `hash`; `None` where they are not stored.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn read(&self, hash: &Hash) -> io::Result<Option<Stored>> {
        match File::open(self.path(hash)) {
            Ok(file) => Ok(Some(Stored { size: file.metadata()?.len(), file })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives a verified upload its name: file synced, renamed, folder synced. Afterwards the bytes
    /// outlive a power cut.
    ///
    /// # Errors
    /// When one of the steps fails; the upload is then still where it was, or under its name.
    pub fn accept(&self, upload: &Path, hash: &Hash) -> io::Result<()> {
        crash_point("artifact.verified");
        File::open(upload)?.sync_all()?;
        crash_point("artifact.synced");
        let path = self.path(hash);
        let folder = path.parent().unwrap_or(&self.artifacts);
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            sync_dir(&self.artifacts)?;
        }
        fs::rename(upload, &path)?;
        crash_point("artifact.renamed");
        sync_dir(folder)
    }

    /// Removes the bytes of `hash`; nothing where there are none.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(&self, hash: &Hash) -> io::Result<()> {
        match fs::remove_file(self.path(hash)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The hashes stored in one of the 256 folders whose files are older than `age`; what does not
    /// carry the name of a hash is left alone.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn older_than(&self, folder: u8, age: Duration, now: SystemTime) -> io::Result<Vec<Hash>> {
        let prefix = format!("{folder:02x}");
        let entries = match fs::read_dir(self.artifacts.join(&prefix)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut hashes = Vec::new();
        for entry in entries {
            let entry = entry?;
            let hash = entry.file_name().to_str().and_then(|rest| format!("{prefix}{rest}").parse().ok());
            let modified = entry.metadata().and_then(|meta| meta.modified())?;
            if let Some(hash) = hash.filter(|_| now.duration_since(modified).is_ok_and(|old| old >= age)) {
                hashes.push(hash);
            }
        }
        Ok(hashes)
    }

    /// Bytes that the file system has left for us, and bytes that it has in all.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn room(&self) -> io::Result<(u64, u64)> {
        let stat = nix::sys::statvfs::statvfs(&self.artifacts)?;
        let unit = stat.fragment_size();
        Ok((stat.blocks_available() * unit, stat.blocks() * unit))
    }
}

/// Makes the names in a folder outlive a power cut.
pub(crate) fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_under_their_hash_until_they_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let hash = Hash::of(b"hello");
        assert!(vault.read(&hash).unwrap().is_none());
        let upload = vault.uploads().join("one");
        fs::write(&upload, b"hello").unwrap();
        vault.accept(&upload, &hash).unwrap();
        assert_eq!(vault.read(&hash).unwrap().unwrap().size, 5);
        assert!(!upload.exists());
        let later = fs::metadata(vault.path(&hash)).unwrap().modified().unwrap() + Duration::from_secs(10);
        fs::write(vault.path(&hash).with_file_name("stray"), b"x").unwrap();
        assert_eq!(vault.older_than(hash.0[0], Duration::from_secs(5), later).unwrap(), [hash]);
        assert_eq!(vault.older_than(hash.0[0], Duration::from_secs(50), later).unwrap(), []);
        vault.remove(&hash).unwrap();
        vault.remove(&hash).unwrap();
        assert!(vault.read(&hash).unwrap().is_none());
    }
}
