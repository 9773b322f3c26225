//! What a start needs of the machine: the address, room on the disk, a clock, open files.

use super::Check;
use crate::artifacts::reserve;
use crate::clock::SystemClock;
use crate::config::{Config, Loaded};
use ciro_store::existing;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use std::io::ErrorKind;
use std::net::{TcpListener, ToSocketAddrs};
use std::time::{Duration, UNIX_EPOCH};

/// 2026-01-01: this program is younger than that.
const OLDER_THAN_THIS_PROGRAM: Duration = Duration::from_secs(1_767_225_600);
/// How far a file may be ahead of the clock.
const AHEAD: Duration = Duration::from_secs(60);
/// Open files beside connections: the database, artifacts, logs.
const OTHER_FILES: u64 = 256;

/// Whether the address could be listened on. While the coordinator of this database runs, it has it.
pub(super) fn port(config: &Config, running: bool) -> Check {
    const NAME: &str = "address";
    let (host, port) = (config.server_host.as_str(), config.server_port);
    let addresses: Vec<_> = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Check::failed(NAME, format!("{host}: {error}"), "server_host names the address");
        }
    };
    let mut last = None;
    for address in &addresses {
        match TcpListener::bind(address) {
            Ok(_) if port == 0 => return Check::ok(NAME, format!("{host}, any free port")),
            Ok(_) => return Check::ok(NAME, format!("{address} is free")),
            Err(error) => last = Some((address, error)),
        }
    }
    let Some((address, error)) = last else {
        return Check::failed(NAME, format!("{host} has no address"), "server_host names the address");
    };
    match error.kind() {
        ErrorKind::AddrInUse if running => {
            Check::ok(NAME, format!("{address} is in use, and a coordinator has this database open"))
        }
        ErrorKind::AddrInUse => {
            Check::failed(NAME, format!("{address} is in use"), "stop who has it, or set server_port")
        }
        ErrorKind::PermissionDenied => Check::failed(
            NAME,
            format!("{address}: this user may not listen there"),
            "ports below 1024 need CAP_NET_BIND_SERVICE; a proxy in front is the usual way",
        ),
        _ => {
            Check::failed(NAME, format!("{address}: {error}"), "server_host names an address of this machine")
        }
    }
}

/// Whether somebody could sign in on an address that others reach.
pub(super) fn credentials(loaded: &Loaded, admin_keys: u64) -> Check {
    const NAME: &str = "credentials";
    let host = (loaded.config.server_host.as_str(), loaded.config.server_port);
    let loopback =
        host.to_socket_addrs().is_ok_and(|mut found| found.all(|address| address.ip().is_loopback()));
    match (&loaded.derived.admin_key, admin_keys, loopback) {
        (Some(_), ..) => Check::ok(NAME, "auth.admin_key"),
        (None, 1.., _) => Check::ok(NAME, format!("{admin_keys} admin key(s) in the database")),
        (None, 0, true) => Check::ok(NAME, "the first start prints an admin key"),
        (None, 0, false) => Check::failed(
            NAME,
            "others can reach the address, and nobody has an admin key",
            "set auth.admin_key, or start once on loopback, where the first start prints one",
        ),
    }
}

/// Room on the disks of the database and the data folder.
pub(super) fn disk(loaded: &Loaded) -> Check {
    const NAME: &str = "disk";
    let options = &loaded.derived.store;
    let (mut seen, mut said) = (Vec::new(), Vec::new());
    let file = options.server.is_none().then(|| options.path.clone());
    for path in file.into_iter().chain([options.data_dir()]) {
        let at = existing(&path);
        let found = match statvfs(&at) {
            Ok(found) => found,
            Err(error) => {
                return Check::failed(NAME, format!("{}: {error}", at.display()), "look at the disk");
            }
        };
        if seen.contains(&found.filesystem_id()) {
            continue;
        }
        seen.push(found.filesystem_id());
        let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
        let free = bytes(found.blocks_available());
        let words = format!("{} MiB free for {}", free >> 20, path.display());
        if free < reserve(bytes(found.blocks())) {
            let fix = "free some: below this no artifact is taken, and the database soon cannot grow";
            return Check::failed(NAME, format!("only {words}"), fix);
        }
        said.push(words);
    }
    Check::ok(NAME, said.join(", "))
}

/// Whether the clock can be right: leases and retention go by it.
pub(super) fn clock(loaded: &Loaded) -> Check {
    const NAME: &str = "clock";
    let fix = "set it, and let NTP keep it (timedatectl set-ntp true)";
    let now = SystemClock::new().system_time();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let shown =
        jiff::Timestamp::try_from(now).map_or_else(|_| format!("{} s", since.as_secs()), |at| at.to_string());
    if since < OLDER_THAN_THIS_PROGRAM {
        return Check::failed(NAME, format!("it says {shown}"), fix);
    }
    let written = std::fs::metadata(&loaded.derived.store.path).and_then(|metadata| metadata.modified());
    match written {
        Ok(at) if at.duration_since(now).is_ok_and(|ahead| ahead > AHEAD) => {
            Check::warning(NAME, format!("it says {shown}, and the database was written later"), fix)
        }
        _ => Check::ok(NAME, shown),
    }
}

/// Whether as many files can be open as connections are allowed.
pub(super) fn open_files(config: &Config) -> Check {
    const NAME: &str = "open files";
    let wanted = config.limits.connections as u64 + OTHER_FILES;
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, most)) if most >= wanted => Check::ok(NAME, format!("up to {most}")),
        Ok((_, most)) => Check::warning(
            NAME,
            format!("up to {most}, and limits.connections allows {}", config.limits.connections),
            "raise it (LimitNOFILE=, ulimit -n), or lower limits.connections",
        ),
        Err(error) => Check::failed(NAME, error.to_string(), "look at the limits of this process"),
    }
}
