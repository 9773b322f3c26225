//! Looking at a database file as a start would find it, without opening it for work. Changes nothing.

use super::lock::refuse_network_file_system;
use super::{SCHEMA_VERSION, explain, is_held, open_reader, refuse_unwritable, usable};
use crate::error::{Error, OpenError};
use ciro_core::time::Timestamp;
use nix::unistd::{AccessFlags, access};
use std::path::{Path, PathBuf};

/// What lies at the path of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inspection {
    /// Nothing; it would be made.
    Nothing,
    /// A database of ours.
    Ours {
        /// The version of its schema, 0 where it has none yet. A newer one than `known` is one that this
        /// program may use.
        schema: i64,
        /// The version that a start would bring an older one to.
        known: i64,
        /// Whether somebody writes to it.
        running: bool,
        /// Keys of administrators that are still good.
        admin_keys: u64,
    },
}

/// Looks at the database at `path`.
///
/// # Errors
/// [`OpenError`] with what would keep it from being opened; [`Error::Database`] for anything else.
pub fn inspect(path: &Path, allow_network_fs: bool, now: Timestamp) -> Result<Inspection, Error> {
    let folder = existing(path.parent().unwrap_or(path));
    refuse_network_file_system(&folder.join("it"), allow_network_fs)?;
    if !path.exists() {
        let writable = folder.is_dir() && access(&folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
        return match writable {
            true => Ok(Inspection::Nothing),
            false => Err(OpenError::ReadOnly { path: path.display().to_string() }.into()),
        };
    }
    refuse_unwritable(path)?;
    look(path, now).map_err(|error| explain(path, error))
}

fn look(path: &Path, now: Timestamp) -> Result<Inspection, Error> {
    let c = open_reader(path)?;
    let (schema, known) = (usable(&c, path)?, SCHEMA_VERSION);
    let sql = "SELECT count(*) FROM api_keys WHERE tenant = 1 AND role = 'admin' AND revoked_at IS NULL \
               AND (expires_at IS NULL OR expires_at > ?1)";
    let admin_keys = if schema > 0 { c.query_row(sql, [now.0], |row| row.get(0))? } else { 0 };
    Ok(Inspection::Ours { schema, known, running: is_held(path), admin_keys })
}

/// The nearest to `path` that is there: itself, or a folder above it.
#[must_use]
pub fn existing(path: &Path) -> PathBuf {
    let nearest = path.ancestors().find(|path| path.exists());
    nearest.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}
