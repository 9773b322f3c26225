//! One job: as a person asks for it, as a waiting call looks at it, and the specs that leases and
//! preparers need, many at once.

use crate::error::Error;
use crate::escrow::with_escrow;
use crate::rows::{JOB_COLUMNS, JOB_WIDTH, job_from_row};
use crate::sql::{Link, Row};
use crate::writer::Store;
use ciro_core::id::{Hash, JobId, JobKey, TenantKey};
use ciro_core::job::Job;
use ciro_core::time::Timestamp;
use uuid::Uuid;

/// A job with everything that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct JobDetail {
    /// Its row.
    pub job: Job,
    /// Labels as JSON text, where there are any.
    pub labels: Option<String>,
    /// Canonical text of its spec.
    pub spec_text: String,
    /// Hash of that text.
    pub spec_hash: Hash,
}

/// The spec of a job whose tasks are leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSpec {
    /// The job.
    pub job: JobKey,
    /// Its id.
    pub id: JobId,
    /// Its tenant.
    pub tenant: TenantKey,
    /// Canonical text.
    pub text: String,
    /// Hash of that text.
    pub hash: Hash,
}

/// A job whose split is not complete, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparingJob {
    /// The job.
    pub job: JobKey,
    /// Its id.
    pub id: JobId,
    /// Its tenant.
    pub tenant: TenantKey,
    /// Tasks that are written: the number of the next one.
    pub tasks_written: u32,
    /// First byte of the input that no task has yet, where it is cut into ranges.
    pub next_offset: u64,
    /// Canonical text of its spec.
    pub spec_text: String,
}

const DETAIL: &str = "labels, s.spec, s.hash FROM jobs JOIN job_specs s ON s.job = jobs.key WHERE jobs.uid = ?1 AND jobs.tenant = ?2";

impl Store {
    /// A job of this tenant with its spec.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_get(&self, tenant: TenantKey, id: JobId) -> Result<Option<JobDetail>, Error> {
        self.read(move |c| job_detail(c, tenant, id)).await
    }

    /// The store's key of a job of this tenant.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_key(&self, tenant: TenantKey, id: JobId) -> Result<Option<JobKey>, Error> {
        self.read(move |c| job_key(c, tenant, id)).await
    }

    /// A job's row: state, sequence and counters, as waiting calls look at it again and again.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_row(&self, tenant: TenantKey, key: JobKey) -> Result<Option<Job>, Error> {
        self.read(move |c| {
            let sql = format!("SELECT {JOB_COLUMNS} FROM jobs WHERE key = ?1 AND tenant = ?2");
            c.row(&sql, (key.0, tenant.0), job_from_row)
        })
        .await
    }

    /// The specs of `jobs`, each once, in no particular order; jobs that are gone are left out.
    /// For the leases of one delivery, whichever tenants they are of.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_specs(&self, mut jobs: Vec<JobKey>) -> Result<Vec<StoredSpec>, Error> {
        jobs.sort_unstable();
        jobs.dedup();
        let keys: Vec<i64> = jobs.into_iter().map(|job| job.0).collect();
        self.read(move |c| c.rows_of(SPEC, &keys, stored_spec)).await
    }

    /// Jobs whose next deadline has come, the most overdue first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn jobs_due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobKey>, Error> {
        self.read(move |c| jobs_due(c, now, limit)).await
    }

    /// Jobs that are being prepared, oldest first, from `after` on, and how far each is.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn jobs_preparing(
        &self,
        after: Option<JobKey>,
        limit: u32,
    ) -> Result<Vec<PreparingJob>, Error> {
        self.read(move |c| jobs_preparing(c, after, limit)).await
    }
}

const SPEC: &str = "SELECT j.key, j.uid, j.tenant, s.spec, s.hash FROM job_specs s JOIN jobs j ON j.key = s.job WHERE s.job = ?1";

const PREPARING: &str = "SELECT j.key, j.uid, j.tenant, j.tasks_total,
    coalesce((SELECT t.input_offset + t.input_length FROM tasks t WHERE t.job = j.key AND t.no = j.tasks_total - 1), 0),
    s.spec
  FROM jobs j JOIN job_specs s ON s.job = j.key
  WHERE j.state = 1 AND j.stop_cause IS NULL AND j.key > ?1 ORDER BY j.key LIMIT ?2";

pub(crate) fn job_detail(c: &Link<'_>, tenant: TenantKey, id: JobId) -> Result<Option<JobDetail>, Error> {
    let sql = format!("SELECT {JOB_COLUMNS}, {DETAIL}");
    let found = c.row(&sql, (id.0.as_bytes(), tenant.0), |r| {
        Ok(JobDetail {
            job: job_from_row(r)?,
            labels: r.get(JOB_WIDTH)?,
            spec_text: r.get(JOB_WIDTH + 1)?,
            spec_hash: Hash(r.get(JOB_WIDTH + 2)?),
        })
    })?;
    let Some(detail) = found else { return Ok(None) };
    Ok(with_escrow(c, Some(detail.job))?.map(|job| JobDetail { job, ..detail }))
}

pub(crate) fn jobs_due(c: &Link<'_>, now: Timestamp, limit: u32) -> Result<Vec<JobKey>, Error> {
    let sql = "SELECT key FROM jobs WHERE next_deadline <= ?1 ORDER BY next_deadline, key LIMIT ?2";
    c.rows(sql, (now.0, limit), |r| Ok(JobKey(r.get(0)?)))
}

pub(crate) fn jobs_preparing(
    c: &Link<'_>,
    after: Option<JobKey>,
    limit: u32,
) -> Result<Vec<PreparingJob>, Error> {
    c.rows(PREPARING, (after.map_or(0, |k| k.0), limit), |r| {
        Ok(PreparingJob {
            job: JobKey(r.get(0)?),
            id: JobId(Uuid::from_bytes(r.get(1)?)),
            tenant: TenantKey(r.get(2)?),
            tasks_written: r.get(3)?,
            next_offset: r.get(4)?,
            spec_text: r.get(5)?,
        })
    })
}

fn stored_spec(r: &Row<'_>) -> Result<StoredSpec, Error> {
    Ok(StoredSpec {
        job: JobKey(r.get(0)?),
        id: JobId(Uuid::from_bytes(r.get(1)?)),
        tenant: TenantKey(r.get(2)?),
        text: r.get(3)?,
        hash: Hash(r.get(4)?),
    })
}

/// The store's key of a job of this tenant.
pub(crate) fn job_key(c: &Link<'_>, tenant: TenantKey, id: JobId) -> Result<Option<JobKey>, Error> {
    c.row("SELECT key FROM jobs WHERE uid = ?1 AND tenant = ?2", (id.0.as_bytes(), tenant.0), |r| {
        Ok(JobKey(r.get(0)?))
    })
}
