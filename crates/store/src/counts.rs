//! Jobs by tenant, kind and state, kept in the transaction of every move, so that figures never
//! scan. A group's moves are added up in memory and written once: a handful of rows however many
//! jobs moved.
//!
//! Invariant: on disk the counts are those of the rows; `verify` compares them.

use crate::Error;
use ciro_core::id::TenantKey;
use ciro_core::job::JobState;
use rusqlite::{Connection, params};

const STATES: usize = JobState::ALL.len();

/// Moves of the group that is being written.
#[derive(Debug, Default)]
pub(crate) struct JobCounts {
    kinds: Vec<Kind>,
}

#[derive(Debug)]
struct Kind {
    tenant: TenantKey,
    kind: Box<str>,
    change: [i64; STATES],
}

impl JobCounts {
    /// A job is in state `to` from now on; `from` is absent when it is new.
    pub(crate) fn moved(&mut self, tenant: TenantKey, kind: &str, from: Option<JobState>, to: JobState) {
        if from == Some(to) {
            return;
        }
        let found = self.kinds.iter().position(|k| k.tenant == tenant && *k.kind == *kind);
        let at = found.unwrap_or_else(|| {
            self.kinds.push(Kind { tenant, kind: kind.into(), change: [0; STATES] });
            self.kinds.len() - 1
        });
        let change = &mut self.kinds[at].change;
        change[to as usize] += 1;
        if let Some(from) = from {
            change[from as usize] -= 1;
        }
    }

    /// Writes what moved, and forgets it.
    pub(crate) fn flush(&mut self, c: &Connection) -> Result<(), Error> {
        if self.kinds.is_empty() {
            return Ok(());
        }
        let more = "INSERT INTO job_counts (tenant, kind, state, jobs) VALUES (?1, ?2, ?3, ?4)
                    ON CONFLICT (tenant, kind, state) DO UPDATE SET jobs = jobs + excluded.jobs";
        let fewer = "UPDATE job_counts SET jobs = jobs + ?4 WHERE tenant = ?1 AND kind = ?2 AND state = ?3";
        for kind in self.kinds.drain(..) {
            for (state, n) in kind.change.into_iter().enumerate().filter(|(_, n)| *n != 0) {
                let sql = if n > 0 { more } else { fewer };
                c.prepare_cached(sql)?.execute(params![kind.tenant.0, &*kind.kind, state as i64, n])?;
            }
        }
        Ok(())
    }
}
