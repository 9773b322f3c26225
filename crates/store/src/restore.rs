//! What makes a copy of a database the database again: a new epoch, in which nothing that was granted,
//! opened or told after the copy was made can be taken for something else.
//!
//! Data moves one way: the file of a copy, opened as a coordinator would, comes in; the same file goes
//! out, with every live attempt ended by the engine and every session over.
//!
//! Invariant: an attempt, a session and a position of the lost time never name anything of the new one.

use crate::Clock;
use crate::audit::{self, AuditEntry, Noted};
use crate::backup::last_position;
use crate::error::{Error, OpenError};
use crate::figures::Figures;
use crate::open::{Opened, Options, open_writer};
use crate::sql::Link;
use crate::sqlite::Sqlite;
use crate::state::State;
use ciro_core::command::Revocation;
use ciro_core::event::WorkerEvent;
use ciro_core::id::{AttemptKey, BackupId, JobKey, TaskKey, TenantKey, WorkerKey};
use ciro_core::restore::{fence_floor, resumes_after};
use ciro_core::time::Timestamp;
use ciro_core::worker::WorkerState;
use rusqlite::{Connection, params};
use serde_json::json;
use std::fs::File;
use std::sync::Arc;

/// Attempts that one transaction ends.
const PAGE: usize = 256;

/// Which backup a database comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoredFrom {
    /// The backup.
    pub backup: BackupId,
    /// The instant that it shows.
    pub backed_up: Timestamp,
}

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// How often the database was opened for writing, this time included.
    pub epoch: u64,
    /// Last position of the backup.
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
/// The file is of no use if this fails half way: copy it again.
///
/// # Errors
/// What is wrong with the file or the disk.
pub fn restore_database(
    options: &Options,
    from: RestoredFrom,
    clock: Arc<dyn Clock>,
) -> Result<Restored, Error> {
    let now = clock.now();
    let figures = Arc::new(Figures::default());
    let Opened { connection, lock, identity } = open_writer(options, &clock, &figures)?;
    let begun = begin_epoch(&connection, from, now)?;
    let mut state = State::open(Sqlite::new(connection), options.clone(), clock, figures)?;
    let sessions_ended = end_sessions(&mut state)?;
    let attempts_lost = lose_attempts(&mut state)?;
    let open_jobs = state.tenants.total();
    state.close();
    drop(state);
    let io = |source| OpenError::Io { path: options.path.display().to_string(), source };
    File::open(&options.path).and_then(|file| file.sync_all()).map_err(io)?;
    lock.remove();
    Ok(Restored { epoch: identity.epoch, attempts_lost, sessions_ended, open_jobs, ..begun })
}

/// Notes what is jumped over, before anything is written behind it.
fn begin_epoch(c: &Connection, from: RestoredFrom, now: Timestamp) -> Result<Restored, Error> {
    let tx = c.unchecked_transaction()?;
    let head = last_position(&tx)?;
    let floor = fence_floor(stored_floor(&tx)?, now);
    let behind = resumes_after(head, from.backed_up, now);
    tx.execute(
        "INSERT INTO restores (at, backup, backed_up, head, resumes_after, last_session, fence_floor)
         VALUES (?1, ?2, ?3, ?4, ?5, coalesce((SELECT max(key) FROM sessions), 0), ?6)",
        params![now.0, from.backup.0.as_bytes(), from.backed_up.0, head, behind, floor],
    )?;
    tx.execute(
        "INSERT INTO meta (name, value) VALUES ('last_position', CAST(CAST(?1 AS TEXT) AS BLOB))
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [behind],
    )?;
    let tenant = tx.query_row("SELECT key FROM tenants WHERE name = 'default'", [], |r| r.get(0))?;
    let after = json!({ "backed_up": from.backed_up, "position": head, "resumes_after": behind });
    let done = AuditEntry::console(TenantKey(tenant), "database.restore", from.backup).after(after);
    audit::append(&Link::Sqlite(&tx), &done, Noted::Done, now)?;
    tx.commit()?;
    Ok(Restored {
        epoch: 0,
        head,
        resumes_after: behind,
        fence_floor: floor,
        attempts_lost: 0,
        sessions_ended: 0,
        open_jobs: 0,
    })
}

/// The floor of fences that the last restore left; 0 where there was none.
pub(crate) fn stored_floor(c: &Connection) -> Result<u32, Error> {
    Ok(c.query_row("SELECT coalesce(max(fence_floor), 0) FROM restores", [], |r| r.get(0))?)
}

/// Nobody is connected to a file that was just put in place.
fn end_sessions(state: &mut State<Sqlite>) -> Result<u64, Error> {
    let sql = "SELECT w.key, w.tenant, w.state FROM sessions s JOIN workers w ON w.key = s.worker
               WHERE s.ended_at IS NULL ORDER BY s.key";
    let online = state.db.link().rows(sql, (), |r| {
        Ok((WorkerKey(r.get(0)?), TenantKey(r.get(1)?), WorkerState::from_number(r.get(2)?)))
    })?;
    state.begin_group();
    state.begin()?;
    for (worker, tenant, was) in &online {
        match was {
            Some(WorkerState::Online) => state.worker_state(*worker, WorkerState::Offline)?,
            Some(WorkerState::Draining) => {}
            _ => continue,
        }
        state.worker_event(*tenant, *worker, WorkerEvent::Offline)?;
    }
    let sql = "UPDATE sessions SET ended_at = ?1 WHERE ended_at IS NULL";
    let ended = state.db.run(sql, [state.now.0])?;
    state.finish()?;
    Ok(ended as u64)
}

/// Whatever became of live attempts after the backup is not known: each is lost, through the engine,
/// and its task is tried again.
fn lose_attempts(state: &mut State<Sqlite>) -> Result<u64, Error> {
    let sql = "SELECT job, no, fence FROM attempts WHERE ended_at IS NULL";
    let live = state.db.link().rows(sql, (), |r| {
        Ok(AttemptKey { task: TaskKey { job: JobKey(r.get(0)?), no: r.get(1)? }, fence: r.get(2)? })
    })?;
    for page in live.chunks(PAGE) {
        state.begin_group();
        for attempt in page {
            state.revoke(*attempt, Revocation::Restored)?;
        }
        state.finish()?;
    }
    Ok(live.len() as u64)
}
