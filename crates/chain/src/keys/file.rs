//! Reading files that hold secrets: small, and nobody else's to read.

use super::KeyError;
use secrecy::SecretString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The largest file of keys or accounts that is read.
const LARGEST: u64 = 1 << 20;

/// The text of a file that only its owner may read.
///
/// # Errors
/// When it cannot be read, is too large, or others may read it.
pub fn read_private(path: &Path) -> Result<SecretString, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::OpenToOthers { path: path.to_owned(), mode });
    }
    bounded(file).map(SecretString::from).map_err(io)
}

/// The text of a file without secrets.
pub(super) fn read(path: &Path) -> Result<String, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    File::open(path).and_then(bounded).map_err(io)
}

fn bounded(file: File) -> std::io::Result<String> {
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}
