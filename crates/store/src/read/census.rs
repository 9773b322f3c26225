//! How much there is of everything, all tenants together: what monitors watch. Each question is
//! answered by an index, or by a table that grows with tenants and workers only.

use crate::error::Error;
use crate::sql::Link;
use crate::writer::Store;
use ciro_core::job::JobState;
use ciro_core::worker::WorkerState;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How much there is of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Jobs outside the archive by state; states without a job are left out.
    pub jobs: BTreeMap<JobState, u64>,
    /// Workers that were not removed by state; states without a worker are left out.
    pub workers: BTreeMap<WorkerState, u64>,
    /// Events that are kept.
    pub events: u64,
    /// Keys that are not revoked, of the tenant that has most.
    pub most_keys: u64,
    /// Bulk actions that run, of the tenant that has most.
    pub most_running_batches: u64,
    /// Bulk actions that are kept, of the tenant that has most.
    pub most_batches: u64,
    /// Rows of the audit log, of the tenant that has most.
    pub most_audit_rows: u64,
    /// Bytes of artifacts that are granted, of the tenant that has most.
    pub most_artifact_bytes: u64,
}

/// Bytes of the database's files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileSizes {
    /// The database.
    pub database: u64,
    /// Its write-ahead log.
    pub log: u64,
}

impl Census {
    /// Jobs outside the archive that have ended.
    #[must_use]
    pub fn ended_jobs(&self) -> u64 {
        self.jobs.iter().filter(|(state, _)| state.is_ended()).map(|(_, jobs)| jobs).sum()
    }
}

impl Store {
    /// How much there is of everything, all tenants together.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn census(&self) -> Result<Census, Error> {
        self.read(census).await
    }

    /// Artifacts that are stored, and their bytes. Looks at every one of them: not to be asked often.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn artifact_totals(&self) -> Result<(u64, u64), Error> {
        self.read(|c| {
            let sql = "SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM artifacts";
            Ok(c.row(sql, (), |r| Ok((r.get(0)?, r.get(1)?)))?.unwrap_or_default())
        })
        .await
    }

    /// Bytes of the database's files; 0 for one that is not there.
    #[must_use]
    pub fn file_sizes(&self) -> FileSizes {
        let path = &self.options().path;
        let mut log = path.clone().into_os_string();
        log.push("-wal");
        let bytes = |path: &PathBuf| std::fs::metadata(path).map(|meta| meta.len()).unwrap_or_default();
        FileSizes { database: bytes(path), log: bytes(&log.into()) }
    }

    /// Reads that are on a connection.
    #[must_use]
    pub fn reads_running(&self) -> usize {
        self.readers.running()
    }

    /// Reads that wait for a connection.
    #[must_use]
    pub fn reads_waiting(&self) -> usize {
        self.readers.waiting()
    }
}

fn census(c: &Link<'_>) -> Result<Census, Error> {
    let number = |sql: &str| Ok::<u64, Error>(c.row(sql, (), |r| r.get(0))?.unwrap_or_default());
    let by_number = |sql: &str| c.rows(sql, (), |r| Ok((r.get::<i64>(0)?, r.get::<u64>(1)?)));
    let jobs = by_number(
        "SELECT state, CAST(sum(jobs) AS BIGINT) FROM job_counts GROUP BY state HAVING sum(jobs) > 0",
    )?;
    let workers = by_number("SELECT state, count(*) FROM workers WHERE removed_at IS NULL GROUP BY state")?;
    Ok(Census {
        jobs: jobs.into_iter().filter_map(|(n, jobs)| Some((JobState::from_number(n)?, jobs))).collect(),
        workers: workers.into_iter().filter_map(|(n, of)| Some((WorkerState::from_number(n)?, of))).collect(),
        // Positions are dense.
        events: number(
            "SELECT coalesce((SELECT max(position) FROM events) - (SELECT min(position) FROM events) + 1, 0)",
        )?,
        most_keys: number(
            "SELECT coalesce(max(held), 0) FROM \
             (SELECT count(*) AS held FROM api_keys WHERE revoked_at IS NULL GROUP BY tenant) AS of_each",
        )?,
        most_running_batches: number(
            "SELECT coalesce(max(held), 0) FROM (SELECT count(*) AS held FROM batches WHERE state = 0 GROUP BY tenant) AS of_each",
        )?,
        most_batches: number(
            "SELECT coalesce(max(held), 0) FROM (SELECT count(*) AS held FROM batches GROUP BY tenant) AS of_each",
        )?,
        most_audit_rows: number("SELECT coalesce(max(position - cut), 0) FROM audit_heads")?,
        most_artifact_bytes: number("SELECT coalesce(max(artifact_bytes), 0) FROM tenant_usage")?,
    })
}
