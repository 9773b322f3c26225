//! The files and folders that settings name.

use super::Check;
use crate::clock::SystemClock;
use crate::config::{Loaded, Origin};
use ciro_store::{Clock, Inspection, existing};
use nix::unistd::{AccessFlags, access};
use std::cmp::Ordering;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What was found of the database.
pub(super) struct Database {
    pub(super) check: Check,
    /// Whether a coordinator has it open.
    pub(super) running: bool,
    /// Keys of administrators that it holds.
    pub(super) admin_keys: u64,
}

/// The database file: whether a start could open or make it, and what it would do to it.
pub(super) fn database(loaded: &Loaded) -> Database {
    const NAME: &str = "database";
    let options = &loaded.derived.store;
    let of = |check| Database { check, running: false, admin_keys: 0 };
    let now = SystemClock::new().now();
    let (shown, found) = match &options.server {
        Some(address) => (address.to_string(), ciro_store::postgres::inspect(address, now)),
        None => {
            let found = ciro_store::inspect(&options.path, options.allow_network_fs, now);
            (options.path.display().to_string(), found)
        }
    };
    match found {
        Err(error) => of(Check::failed(NAME, error.to_string(), "database.url names the database")),
        Ok(Inspection::Nothing) => of(Check::ok(NAME, format!("{shown} is not there and would be made"))),
        Ok(Inspection::Ours { schema, known, running, admin_keys }) => {
            let open = if running { ", open in a coordinator" } else { "" };
            let check = match schema.cmp(&known) {
                Ordering::Equal => Check::ok(NAME, format!("{shown}, schema {schema}{open}")),
                Ordering::Greater => {
                    let words =
                        format!("{shown}, schema {schema}{open}, which this program ({known}) may use");
                    Check::ok(NAME, words)
                }
                Ordering::Less => Check::warning(
                    NAME,
                    format!("{shown} has schema {schema}; a start brings it to {known}"),
                    "it may shut older programs out; of a file a copy is kept",
                ),
            };
            Database { check, running, admin_keys }
        }
    }
}

/// The folders that are written to: whether they can be, or can be made.
pub(super) fn folders(loaded: &Loaded) -> Vec<Check> {
    let mut checks =
        vec![folder("data folder", &loaded.derived.store.data_dir(), "data_dir names the folder")];
    if let Some(file) = &loaded.config.log.file {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        checks.push(folder("log folder", parent.unwrap_or(Path::new(".")), "log.file names the file"));
    }
    checks
}

fn folder(name: &'static str, path: &Path, fix: &str) -> Check {
    let shown = path.display();
    let nearest = existing(path);
    let writable = nearest.is_dir() && access(&nearest, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
    match (writable, path.exists()) {
        (true, true) => Check::ok(name, shown.to_string()),
        (true, false) => Check::ok(name, format!("{shown} is not there and would be made")),
        (false, _) => {
            Check::failed(name, format!("{shown}: {} cannot be written by this user", nearest.display()), fix)
        }
    }
}

/// Files that hold secrets: whether others may read them. That they can be read is part of the settings.
pub(super) fn secrets(loaded: &Loaded) -> Vec<Check> {
    const NAME: &str = "secrets";
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for (key, file) in loaded.secrets() {
        match (file, loaded.origin(key)) {
            (Some(file), _) => files.push((file.to_owned(), key.to_owned())),
            (None, Origin::File(file, _)) => files.push((file, key.to_owned())),
            _ => {}
        }
    }
    let look = |(file, key): (PathBuf, String)| {
        let mode = std::fs::metadata(&file).map(|metadata| metadata.permissions().mode() & 0o007);
        let shown = file.display();
        match mode {
            Ok(0) => Check::ok(NAME, format!("{key} lies in {shown}, which others may not read")),
            Ok(_) => Check::warning(
                NAME,
                format!("{key} lies in {shown}, and everybody on this machine may read it"),
                format!("chmod o= {shown}"),
            ),
            Err(error) => {
                Check::failed(NAME, format!("{key}: {shown}: {error}"), "name a file that can be read")
            }
        }
    };
    files.into_iter().map(look).collect()
}
