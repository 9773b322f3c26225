//! Jobs by tenant, kind and state, kept in the transaction of every move, so that figures never
//! scan. A group's moves are added up in memory and written once: a handful of rows however many
//! jobs moved.
//!
//! Invariant: on disk the counts are those of the rows; `verify` compares them.

use crate::Error;
use crate::database::JobTables;
use ciro_core::id::TenantKey;
use ciro_core::job::JobState;

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
    pub(crate) fn flush(&mut self, db: &mut impl JobTables) -> Result<(), Error> {
        for kind in self.kinds.drain(..) {
            let moved = JobState::ALL.into_iter().zip(kind.change).filter(|(_, more)| *more != 0);
            for (state, more) in moved {
                db.count_jobs(kind.tenant, &kind.kind, state, more)?;
            }
        }
        Ok(())
    }
}
