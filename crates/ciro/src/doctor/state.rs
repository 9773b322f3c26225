//! The state folder and the database file in it. The file is looked at from outside, because only
//! its coordinator may open it.

use super::Check;
use crate::connect::{SERVER_FILE, STATE_FOLDER, ServerArgs};
use crate::table::size;
use nix::sys::statfs::{self, FsType};
use nix::unistd::{AccessFlags, access};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The database in the state folder of `ciro dev`.
pub(crate) const DATABASE_FILE: &str = "coordinator.db";
/// Less free disk than this, and the coordinator will soon have to stop.
const MIN_FREE_BYTES: u64 = 512 << 20;
/// Where the header of an SQLite file says how it is journaled; 2 is a write-ahead log.
const JOURNAL_AT: usize = 18;
const WAL: u8 = 2;
/// NFS, SMB, CIFS, SMB2, Ceph, AFS: their locks and syncs do not hold.
const NETWORK: [i64; 6] =
    [0x6969, 0x517B, 0xFF53_4D42_u32 as i64, 0xFE53_4D42_u32 as i64, 0x00C3_6400, 0x5346_414F];

/// The state folder, or where `ciro dev` would make it.
pub(super) fn folder(server: &ServerArgs) -> PathBuf {
    server.state_folder().unwrap_or_else(|| PathBuf::from(STATE_FOLDER))
}

pub(super) fn checks(server: &ServerArgs) -> Vec<Check> {
    let folder = folder(server);
    let mut checks = vec![state(&folder)];
    if folder.is_dir() {
        checks.push(database(&folder.join(DATABASE_FILE)));
    }
    checks.push(disk(&folder));
    checks
}

fn state(folder: &Path) -> Check {
    const NAME: &str = "state folder";
    let shown = folder.display();
    if !folder.exists() {
        return Check::off(NAME, format!("{shown} is not there; `ciro dev` makes it"));
    }
    if access(folder, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        return Check::failed(
            NAME,
            format!("{shown} cannot be written by this user"),
            format!("chown -R \"$USER\" {shown}"),
        );
    }
    let file = folder.join(SERVER_FILE);
    match std::fs::metadata(&file).map(|meta| meta.permissions().mode() & 0o077) {
        Ok(open) if open != 0 => Check::failed(
            NAME,
            format!("{} holds a key, and others may read it", file.display()),
            format!("chmod 600 {}", file.display()),
        ),
        _ => Check::ok(NAME, shown.to_string()),
    }
}

fn database(file: &Path) -> Check {
    const NAME: &str = "database file";
    let shown = file.display();
    if !file.exists() {
        return Check::off(NAME, format!("{shown} is not there; the coordinator makes it"));
    }
    if access(file, AccessFlags::R_OK | AccessFlags::W_OK).is_err() {
        return Check::failed(
            NAME,
            format!("{shown} cannot be read and written by this user"),
            format!("chown \"$USER\" {shown}"),
        );
    }
    if statfs::statfs(file).is_ok_and(|found| is_network(found.filesystem_type())) {
        let detail = format!("{shown} lies on a network file system, whose locks and syncs do not hold");
        return Check::failed(NAME, detail, "move the state folder to a local disk");
    }
    let mut header = [0_u8; 100];
    match File::open(file).and_then(|mut f| f.read_exact(&mut header)) {
        Ok(()) if !header.starts_with(b"SQLite format 3\0") => Check::failed(
            NAME,
            format!("{shown} is not a SQLite database"),
            "remove the state folder to start over",
        ),
        Ok(()) if header[JOURNAL_AT] != WAL => Check::failed(
            NAME,
            format!("{shown} is not journaled by a write-ahead log"),
            "another program changed it; start the coordinator, which sets it again",
        ),
        Ok(()) => {
            let bytes = file.metadata().map_or(0, |meta| meta.len());
            Check::ok(NAME, format!("{shown}, {}, write-ahead log", size(bytes)))
                .fix(format!("`ciro-coordinator verify {shown}` checks its contents while it is stopped"))
        }
        Err(error) => {
            Check::failed(NAME, format!("{shown} cannot be read: {error}"), "look at the disk (dmesg)")
        }
    }
}

fn is_network(found: FsType) -> bool {
    NETWORK.contains(&found.0)
}

fn disk(folder: &Path) -> Check {
    const NAME: &str = "disk";
    let existing = ciro_store::existing(folder);
    match nix::sys::statvfs::statvfs(&existing) {
        Ok(found) => {
            let free = found.blocks_available().saturating_mul(found.fragment_size());
            let detail = format!("{} free in {}", size(free), existing.display());
            if free >= MIN_FREE_BYTES {
                Check::ok(NAME, detail)
            } else {
                Check::failed(NAME, detail, "free some, or use --state on another disk")
            }
        }
        Err(error) => {
            Check::failed(NAME, format!("{}: {error}", existing.display()), "look at the disk (dmesg)")
        }
    }
}
