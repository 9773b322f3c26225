//! Why a backup was not made, is not whole, or cannot be restored; each says what to do.

use std::io;
use std::path::Path;

/// Why a backup was not made, is not whole, or cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or folder did not do what was asked.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// What the database said.
    #[error(transparent)]
    Store(#[from] ciro_store::Error),
    /// What was asked for makes no sense as things are.
    #[error("{0}")]
    Refused(String),
    /// What is there is not what it should be.
    #[error("{0}")]
    Damaged(String),
    /// Somebody broke it off; nothing of it is left.
    #[error("it was broken off, and nothing of it is left")]
    BrokenOff,
}

impl BackupError {
    /// Names the file or folder that an error came from.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
        let path = path.display().to_string();
        |source| BackupError::Io { path, source }
    }

    pub(super) fn refused(words: impl Into<String>) -> BackupError {
        BackupError::Refused(words.into())
    }

    pub(super) fn damaged(words: impl Into<String>) -> BackupError {
        BackupError::Damaged(words.into())
    }

    /// Whether it failed for want of room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            BackupError::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            BackupError::Store(error) => matches!(error, ciro_store::Error::DiskFull),
            _ => false,
        }
    }
}
