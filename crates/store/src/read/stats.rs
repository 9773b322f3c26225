//! Figures about a tenant's jobs, from counts that the writer keeps in the transaction of every
//! move (`counts`), so that a million jobs cost no more than ten.

use crate::error::Error;
use crate::writer::Store;
use ciro_core::id::TenantKey;
use ciro_core::job::JobState;
use std::collections::BTreeMap;

/// Jobs of one tenant that are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobStats {
    /// By state; states without a job are left out.
    pub by_state: BTreeMap<JobState, u64>,
    /// By kind.
    pub by_kind: BTreeMap<String, u64>,
}

impl JobStats {
    /// All jobs that are kept.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_state.values().sum()
    }

    /// Jobs that have not ended.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.by_state.iter().filter(|(state, _)| !state.is_ended()).map(|(_, n)| n).sum()
    }

    /// Completed of those that ended, 0 to 1; `None` when none ended.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let ended = self.total() - self.active();
        let completed = self.by_state.get(&JobState::Completed).copied().unwrap_or_default();
        (ended > 0).then(|| completed as f64 / ended as f64)
    }
}

impl Store {
    /// How many jobs this tenant has, by state and kind.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_stats(&self, tenant: TenantKey) -> Result<JobStats, Error> {
        self.read(move |c| {
            let sql = "SELECT kind, state, jobs FROM job_counts WHERE tenant = ?1 AND jobs > 0";
            let counted =
                c.rows(sql, [tenant.0], |r| Ok((r.get::<String>(0)?, r.get::<i64>(1)?, r.get::<u64>(2)?)))?;
            let mut stats = JobStats::default();
            for (kind, state, jobs) in counted {
                let state = JobState::from_number(state).ok_or_else(|| Error::Malformed {
                    table: "job_counts",
                    what: format!("state {state}"),
                })?;
                *stats.by_state.entry(state).or_default() += jobs;
                *stats.by_kind.entry(kind).or_default() += jobs;
            }
            Ok(stats)
        })
        .await
    }
}
