//! Files that hold a key: only their owner may read them.

use crate::error::Failure;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes a file that only its owner may read, whole or not at all.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn write(target: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let folder = target.parent().unwrap_or(Path::new("."));
    let written = || {
        let permissions = std::fs::Permissions::from_mode(0o600);
        let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(target).map_err(|error| error.error)
    };
    written().map(drop).map_err(|error| Failure::io(format!("cannot write {}", target.display()), &error))
}

/// Makes a folder that only its owner may enter; one that is there is left as it is.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::io(format!("cannot make {}", folder.display()), &error))
}

/// Whether others than the owner may read the file.
pub(crate) fn is_open_to_others(file: &std::fs::Metadata) -> bool {
    file.permissions().mode() & 0o077 != 0
}
