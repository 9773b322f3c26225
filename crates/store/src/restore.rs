//! What makes a database of an earlier instant the database again: a new epoch, in which nothing that was
//! granted, opened or told after that instant can be taken for something else. The database is a copy that
//! was made by a backup, or one that other tools brought back, on a server too.
//!
//! Data moves one way: a database that nobody else works on comes in; the same one goes out, with every
//! live attempt ended by the engine and every session over, in one transaction.
//!
//! Invariant: an attempt, a session and a position of the lost time never name anything of the new one.

use crate::Clock;
use crate::audit::{AuditEntry, Noted};
use crate::backup::artifacts_after;
use crate::database::{Database, SeatRow};
use crate::error::{Error, OpenError};
use crate::figures::Figures;
use crate::open::{FileLock, Opened, Options, open_reader, open_writer, usable};
use crate::postgres::connection::Connection as Server;
use crate::postgres::{self, Address, Postgres, apart};
use crate::sql::{Link, Linked, RareWrite, params};
use crate::sqlite::Sqlite;
use crate::state::State;
use ciro_core::command::Revocation;
use ciro_core::event::WorkerEvent;
use ciro_core::id::{BackupId, Hash, TenantKey};
use ciro_core::restore::{fence_floor, resumes_after};
use ciro_core::time::Timestamp;
use ciro_core::worker::WorkerState;
use serde_json::json;
use std::fs::File;
use std::sync::Arc;
use uuid::Uuid;

/// What whoever begins an epoch is called while it is among the coordinators.
const NAME: &str = "new epoch";
/// Artifacts of a page.
const PAGE: u32 = 1_000;

/// What a database was brought back from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoredFrom {
    /// The backup; nil where it is none of ours.
    pub backup: BackupId,
    /// The instant that it shows.
    pub backed_up: Timestamp,
}

/// What a new epoch began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// How often the database was opened for writing, this time included.
    pub epoch: u64,
    /// The instant that the database showed.
    pub backed_up: Timestamp,
    /// Last position at that instant.
    pub head: i64,
    /// The log goes on behind this position.
    pub resumes_after: i64,
    /// Grants take fences above this one.
    pub fence_floor: u32,
    /// Live attempts that are lost; their tasks are tried again.
    pub attempts_lost: u64,
    /// Sessions that are over; their workers open new ones.
    pub sessions_ended: u64,
    /// Jobs that have not ended and go on.
    pub open_jobs: u64,
}

/// Begins a new epoch in the copy at `options.path`, which nobody else has open, and has it on disk.
///
/// # Errors
/// What is wrong with the file or the disk.
pub fn restore_database(
    options: &Options,
    from: RestoredFrom,
    clock: Arc<dyn Clock>,
) -> Result<Restored, Error> {
    let (restored, lock) = on_file(options, Some(from), clock)?;
    lock.remove();
    Ok(restored)
}

/// Begins a new epoch in a database that something else than a restore brought back to an earlier instant:
/// the recovery of a server to a point in time, a dump, a snapshot of a disk. Whoever still works on it on a
/// server is shut out.
///
/// # Errors
/// [`OpenError::InUse`] where a coordinator gives signs of life; those of a coordinator's start.
pub fn begin_epoch(options: &Options, clock: Arc<dyn Clock>) -> Result<Restored, Error> {
    match &options.server {
        None => on_file(options, None, clock).map(|(restored, _)| restored),
        Some(address) => apart(|| on_server(options, address, clock)),
    }
}

fn on_file(
    options: &Options,
    from: Option<RestoredFrom>,
    clock: Arc<dyn Clock>,
) -> Result<(Restored, FileLock), Error> {
    let figures = Arc::new(Figures::default());
    let Opened { connection, lock, identity } = open_writer(options, &clock, &figures)?;
    let mut state = State::open(Sqlite::new(connection), options.clone(), clock, figures)?;
    state.begin_group();
    let from = from.map_or_else(|| shown(&state.db.link()), Ok)?;
    let begun = begin(&mut state, from)?;
    state.close();
    drop(state);
    let io = |source| OpenError::Io { path: options.path.display().to_string(), source };
    File::open(&options.path).and_then(|file| file.sync_all()).map_err(io)?;
    Ok((Restored { epoch: identity.epoch, ..begun }, lock))
}

fn on_server(options: &Options, address: &Address, clock: Arc<dyn Clock>) -> Result<Restored, Error> {
    let db = Postgres::open(address, options.synchronous)?;
    db.is_left_alone()?;
    let from = shown(&db.link())?;
    let identity = db.identify(clock.now())?;
    let options = Options { coordinator: NAME.into(), address: String::new(), ..options.clone() };
    let mut state = State::open(db, options, clock, Arc::new(Figures::default()))?;
    state.begin_group();
    state.begin()?;
    state.db.begin_alone()?;
    let begun = begin(&mut state, from)?;
    Ok(Restored { epoch: identity.epoch, ..begun })
}

/// The instant that a database shows: its last event, or the last sign of life of a coordinator.
fn shown(c: &Link<'_>) -> Result<RestoredFrom, Error> {
    let event = "SELECT at FROM events ORDER BY position DESC LIMIT 1";
    let event = c.row(event, (), |r| r.get::<i64>(0))?;
    let seen = match c {
        Link::Sqlite(_) => None,
        Link::Postgres(_) => c.value::<Option<i64>>("SELECT max(seen_at) FROM coordinators", ())?,
    };
    let backed_up = Timestamp(event.max(seen).unwrap_or_default());
    Ok(RestoredFrom { backup: BackupId(Uuid::nil()), backed_up })
}

/// One group that begins the epoch, in a state whose group has begun.
fn begin<D: Database<Writes = Linked>>(state: &mut State<D>, from: RestoredFrom) -> Result<Restored, Error> {
    state.begin()?;
    let (now, head) = (state.now, state.position);
    let floor = fence_floor(state.options.policy.fence_floor, now);
    let behind = resumes_after(head, from.backed_up, now);
    let seats = state.db.seats()?;
    // What is jumped over is noted before anything is written behind it.
    state.rare(&mut note(from, (head, behind), floor, now))?;
    state.position = behind;
    state.options.policy.fence_floor = floor;
    let after = json!({ "backed_up": from.backed_up, "position": head, "resumes_after": behind });
    let entry = AuditEntry::console(TenantKey(1), "database.restore", from.backup).after(after);
    state.audit(&entry, Noted::Done)?;
    leave_seats(state, &seats)?;
    let attempts_lost = lose_attempts(state)?;
    let open_jobs = state.tenants.total();
    state.finish()?;
    Ok(Restored {
        epoch: 0,
        backed_up: from.backed_up,
        head,
        resumes_after: behind,
        fence_floor: floor,
        attempts_lost,
        sessions_ended: seats.len() as u64,
        open_jobs,
    })
}

fn note(from: RestoredFrom, (head, behind): (i64, i64), floor: u32, now: Timestamp) -> RareWrite {
    Box::new(move |c| {
        c.run(
            "INSERT INTO restores (at, backup, backed_up, head, resumes_after, last_session, fence_floor)
             VALUES (?1, ?2, ?3, ?4, ?5, coalesce((SELECT max(key) FROM sessions), 0), ?6)",
            params![now.0, from.backup.0.as_bytes(), from.backed_up.0, head, behind, floor],
        )?;
        // A server has a row for it, which every group writes.
        if let Link::Sqlite(_) = **c {
            let sql =
                "INSERT INTO meta (name, value) VALUES ('last_position', CAST(CAST(?1 AS TEXT) AS BLOB))
                       ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            c.run(sql, [behind])?;
        }
        c.run("UPDATE sessions SET ended_at = ?1 WHERE ended_at IS NULL", [now.0]).map(drop)
    })
}

/// Nobody is connected to a database that was just put in place.
fn leave_seats<D: Database<Writes = Linked>>(state: &mut State<D>, seats: &[SeatRow]) -> Result<(), Error> {
    for seat in seats {
        match seat.state {
            Some(WorkerState::Online) => state.worker_state(seat.worker, WorkerState::Offline)?,
            Some(WorkerState::Draining) => {}
            _ => continue,
        }
        state.worker_event(seat.tenant, seat.worker, WorkerEvent::Offline)?;
    }
    Ok(())
}

/// Whatever became of live attempts after that instant is not known: each is lost, through the engine,
/// and its task is tried again.
fn lose_attempts<D: Database<Writes = Linked>>(state: &mut State<D>) -> Result<u64, Error> {
    let live = state.db.all_live_attempts()?;
    for (attempt, _) in &live {
        state.revoke(attempt.key, Revocation::Restored)?;
    }
    Ok(live.len() as u64)
}

/// Hands out every artifact that the database of `options` names, with its size.
///
/// # Errors
/// When it cannot be read.
pub fn named_artifacts(options: &Options, mut each: impl FnMut(Hash, u64) + Send) -> Result<(), Error> {
    match &options.server {
        None if !options.path.is_file() => {
            let (path, why) = (options.path.display().to_string(), "there is no such file".into());
            Err(OpenError::NotOurs { path, why }.into())
        }
        None => {
            let c = open_reader(&options.path)?;
            refuse_empty(&options.path.display().to_string(), usable(&c, &options.path)?)?;
            walk(&Link::Sqlite(&c), &mut each)
        }
        Some(address) => apart(|| {
            let (c, shown) = (Server::open_reader(address)?, address.to_string());
            refuse_empty(&shown, postgres::usable(&c, &shown)?)?;
            walk(&Link::Postgres(&c), &mut each)
        }),
    }
}

fn refuse_empty(path: &str, schema: i64) -> Result<(), OpenError> {
    match schema {
        0 => Err(OpenError::NotOurs { path: path.to_owned(), why: "it is empty".into() }),
        _ => Ok(()),
    }
}

fn walk(c: &Link<'_>, each: &mut impl FnMut(Hash, u64)) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page = artifacts_after(c, after, PAGE)?;
        page.iter().for_each(|(hash, size)| each(*hash, *size));
        match page.last() {
            Some((last, _)) => after = Some(*last),
            None => return Ok(()),
        }
    }
}
