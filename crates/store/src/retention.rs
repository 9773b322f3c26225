//! What is let go, page by page: ended jobs into the archive, old events, and records that have
//! served their time. Each page is one bounded write, so that the writer is never held for long;
//! the caller goes on while pages come back full.

mod archive;

pub use archive::{ArchivedAttempt, ArchivedMoney, Document, MAX_ARCHIVED_ATTEMPTS};

use crate::audit;
use crate::error::Error;
use crate::sql::Link;
use crate::writer::Store;
use archive::{archive, jobs_to_archive};
use ciro_core::id::{JobId, TenantKey};
use ciro_core::time::Timestamp;

/// The most rows that one page may delete.
pub const MAX_PAGE_ROWS: u32 = 500;

/// How long each thing is kept. Ages in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Ended jobs, before they are archived.
    pub job_age_ms: u64,
    /// Ended jobs, however young, beyond that many in all.
    pub max_jobs: u64,
    /// Events.
    pub event_age_ms: u64,
    /// Events, however young, beyond that many.
    pub max_events: u64,
    /// Artifacts that a job refers to, after its end.
    pub result_age_ms: u64,
    /// Late results.
    pub evidence_age_ms: u64,
    /// Signed report lists.
    pub report_age_ms: u64,
    /// Archived jobs.
    pub archive_age_ms: u64,
    /// Rows of one tenant's audit log; the oldest beyond that many go.
    pub max_audit: u64,
    /// Deliveries of webhooks, after their end.
    pub delivery_age_ms: u64,
    /// Ended deliveries of one webhook, however young, beyond that many.
    pub max_deliveries: u64,
    /// What happened on the chain.
    pub chain_age_ms: u64,
}

/// Jobs that one look may pass over.
const MAX_LOOKED_AT: usize = 50_000;

const DAY_MS: u64 = 24 * 3_600_000;

impl Default for RetentionPolicy {
    fn default() -> Self {
        RetentionPolicy {
            job_age_ms: 30 * DAY_MS,
            max_jobs: 1_000_000,
            event_age_ms: 7 * DAY_MS,
            max_events: 10_000_000,
            result_age_ms: 7 * DAY_MS,
            evidence_age_ms: 30 * DAY_MS,
            report_age_ms: 30 * DAY_MS,
            archive_age_ms: 365 * DAY_MS,
            max_audit: 200_000,
            delivery_age_ms: 7 * DAY_MS,
            max_deliveries: 10_000,
            chain_age_ms: 365 * DAY_MS,
        }
    }
}

/// What one page let go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    /// Jobs moved to the archive.
    pub jobs: u64,
    /// Rows of tasks and attempts of large jobs on their way there.
    pub job_parts: u64,
    /// Events.
    pub events: u64,
    /// Idempotency records.
    pub idempotency: u64,
    /// Late results.
    pub evidence: u64,
    /// Report lists.
    pub reports: u64,
    /// References to artifacts whose time is over.
    pub references: u64,
    /// Grants of artifacts whose time is over.
    pub grants: u64,
    /// Archived jobs.
    pub archived: u64,
    /// Rows of audit logs.
    pub audit: u64,
    /// Deliveries of webhooks, and webhooks that were deleted long ago.
    pub deliveries: u64,
    /// Nonces of accounts of the chain, or intents.
    pub chain: u64,
}

impl Retained {
    /// Whether some page was full, so that another is due at once.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let most = u64::from(MAX_PAGE_ROWS);
        let parts = [
            self.events,
            self.idempotency,
            self.evidence,
            self.reports,
            self.references,
            self.grants,
            self.archived,
            self.audit,
            self.deliveries,
            self.chain,
        ];
        self.jobs > 0 || self.job_parts > 0 || parts.iter().any(|n| *n >= most)
    }
}

/// An archived job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedJob {
    /// When it was archived.
    pub archived_at: Timestamp,
    /// Job, spec, tasks by state and attempts.
    pub document: Document,
}

impl Store {
    /// Lets one page of everything go whose time is over.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub async fn retain_page(&self, policy: RetentionPolicy, now: Timestamp) -> Result<Retained, Error> {
        let mut retained = Retained::default();
        let due = self.read(move |c| c.snapshot(|c| jobs_to_archive(c, &policy, now))).await?;
        if !due.is_empty() {
            (retained.jobs, retained.job_parts) = self.rare(move |c| archive(c, &due, now)).await?;
        }
        retained.events = self.rare(move |c| trim_events(c, &policy, now)).await?;
        let before = |age_ms: u64| now.0.saturating_sub_unsigned(age_ms);
        retained.idempotency = self.trim(IDEMPOTENCY, now.0).await?;
        retained.evidence = self.trim(EVIDENCE, before(policy.evidence_age_ms)).await?;
        retained.reports = self.trim(REPORTS, before(policy.report_age_ms)).await?;
        retained.references = self.trim_references(before(policy.result_age_ms)).await?;
        retained.grants = self.trim(GRANTS, now.0).await?;
        retained.archived = self.trim(ARCHIVE, before(policy.archive_age_ms)).await?;
        retained.audit = self.trim_audit(policy.max_audit).await?;
        retained.deliveries = crate::webhook::trim(self, policy, now).await?;
        retained.chain = crate::chain::trim(self, policy, now).await?;
        Ok(retained)
    }

    /// One page of audit logs that are too long.
    async fn trim_audit(&self, most: u64) -> Result<u64, Error> {
        let any = "SELECT 1 FROM audit_heads WHERE position - cut > ?1";
        if !self.read(move |c| c.exists(any, [most])).await? {
            return Ok(0);
        }
        self.rare(move |c| audit::cut(c, most)).await
    }

    /// A job of this tenant that was archived.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_archived(&self, tenant: TenantKey, id: JobId) -> Result<Option<ArchivedJob>, Error> {
        self.read(move |c| {
            let sql = "SELECT archived_at, document FROM job_archive WHERE uid = ?1 AND tenant = ?2";
            c.row(sql, (id.0.as_bytes(), tenant.0), |r| {
                let text: String = r.get(1)?;
                let document = serde_json::from_str(&text)
                    .map_err(|error| Error::Malformed { table: "job_archive", what: error.to_string() })?;
                Ok(ArchivedJob { archived_at: Timestamp(r.get(0)?), document })
            })
        })
        .await
    }

    /// References of jobs that ended before `before`.
    async fn trim_references(&self, before: i64) -> Result<u64, Error> {
        let jobs = self.read(move |c| references_due(c, before)).await?;
        if jobs.is_empty() {
            return Ok(0);
        }
        self.rare(move |c| {
            let sql = "DELETE FROM artifact_refs WHERE job = ?1 AND (hash, role) IN
                       (SELECT hash, role FROM artifact_refs WHERE job = ?1 LIMIT ?2)";
            let mut gone = 0;
            for job in &jobs {
                let room = u64::from(MAX_PAGE_ROWS).saturating_sub(gone);
                gone += c.run(sql, (job, room))? as u64;
            }
            Ok(gone)
        })
        .await
    }

    /// One page of one kind of record. Looked for on a reader first: the writer is asked only when
    /// there is something to do.
    async fn trim(&self, kind: Trim, before: i64) -> Result<u64, Error> {
        let any = self.read(move |c| c.exists(kind.any, [before])).await?;
        if !any {
            return Ok(0);
        }
        self.rare(move |c| Ok(c.run(kind.delete, (before, MAX_PAGE_ROWS))? as u64)).await
    }
}

/// How one kind of record is let go: whether there is any before ?1, and at most ?2 of them.
#[derive(Debug, Clone, Copy)]
struct Trim {
    any: &'static str,
    delete: &'static str,
}

const IDEMPOTENCY: Trim = Trim {
    any: "SELECT 1 FROM idempotency WHERE expires_at <= ?1",
    delete: "DELETE FROM idempotency WHERE (tenant, key) IN
             (SELECT tenant, key FROM idempotency WHERE expires_at <= ?1 LIMIT ?2)",
};
const EVIDENCE: Trim = Trim {
    any: "SELECT 1 FROM evidence WHERE at < ?1",
    delete: "DELETE FROM evidence WHERE (job, no, fence, worker, manifest_hash) IN
             (SELECT job, no, fence, worker, manifest_hash FROM evidence WHERE at < ?1 LIMIT ?2)",
};
const REPORTS: Trim = Trim {
    any: "SELECT 1 FROM (SELECT at FROM report_lists ORDER BY key LIMIT 1) AS oldest WHERE at < ?1",
    delete: "DELETE FROM report_lists WHERE key IN
             (SELECT key FROM (SELECT key, at FROM report_lists ORDER BY key LIMIT ?2) AS oldest WHERE at < ?1)",
};
const GRANTS: Trim = Trim {
    any: "SELECT 1 FROM artifact_grants WHERE expires_at <= ?1",
    delete: "DELETE FROM artifact_grants WHERE (tenant, hash) IN
             (SELECT tenant, hash FROM artifact_grants WHERE expires_at <= ?1 LIMIT ?2)",
};
const ARCHIVE: Trim = Trim {
    any: "SELECT 1 FROM job_archive WHERE archived_at < ?1",
    delete: "DELETE FROM job_archive WHERE uid IN (SELECT uid FROM job_archive WHERE archived_at < ?1 LIMIT ?2)",
};

/// Jobs that ended before `before` and still have references, oldest first. A job ends after it was
/// accepted, and keys follow acceptance, so the look stops at the first job that is too young.
fn references_due(c: &Link<'_>, before: i64) -> Result<Vec<i64>, Error> {
    let mut due = Vec::new();
    let mut after = 0;
    for _ in 0..MAX_LOOKED_AT {
        let next = "SELECT job FROM artifact_refs WHERE job > ?1 ORDER BY job LIMIT 1";
        let Some(job) = c.row(next, [after], |r| r.get::<i64>(0))? else {
            break;
        };
        let ends = "SELECT created_at, ended_at FROM jobs WHERE key = ?1";
        match c.row(ends, [job], |r| Ok((r.get::<i64>(0)?, r.get::<Option<i64>>(1)?)))? {
            Some((created_at, _)) if created_at >= before => break,
            Some((_, Some(ended_at))) if ended_at >= before => {}
            Some((_, None)) => {}
            Some((_, Some(_))) | None => due.push(job),
        }
        if due.len() as u64 >= u64::from(MAX_PAGE_ROWS) {
            break;
        }
        after = job;
    }
    Ok(due)
}

/// The longest that events are kept for a reader that is behind, and the most of them.
const NEEDED_AGE_MS: u64 = 7 * DAY_MS;
const MAX_NEEDED: u64 = 10_000_000;

/// Deletes the oldest events while they are too old or too many; those that a reader has not read
/// yet only beyond the longest times. Positions stay dense but for what a
/// restore jumped over: only a prefix goes, and the last event stays, because the next position is
/// counted from it.
fn trim_events(c: &Link<'_>, policy: &RetentionPolicy, now: Timestamp) -> Result<u64, Error> {
    let ends = "SELECT min(position), max(position) FROM events";
    let ends = c.row(ends, (), |r| Ok((r.get(0)?, r.get(1)?)))?;
    let Some((Some(first), Some(last))) = ends else { return Ok(0) };
    let jumped = "SELECT CAST(coalesce(sum(resumes_after - head), 0) AS BIGINT) FROM restores WHERE head >= ?1 AND resumes_after < ?2";
    let jumped: i64 = c.value(jumped, [first, last])?;
    let read = crate::webhook::needed_behind(c)?.unwrap_or(last);
    // Before when, and up to which of them, an event goes that was read, and one that was not.
    let count = last - first + 1 - jumped;
    let limits =
        |age_ms: u64, most: u64| (now.0.saturating_sub_unsigned(age_ms), count.saturating_sub_unsigned(most));
    let usual = limits(policy.event_age_ms, policy.max_events);
    let needed = limits(policy.event_age_ms.max(NEEDED_AGE_MS), policy.max_events.max(MAX_NEEDED));
    let page = c.rows(
        "SELECT position, at FROM events WHERE position < ?1 ORDER BY position LIMIT ?2",
        (last, MAX_PAGE_ROWS),
        |r| Ok((r.get::<i64>(0)?, r.get::<i64>(1)?)),
    )?;
    let goes = |((position, at), nth): &(&(i64, i64), i64)| {
        let (old, surplus) = if *position <= read { usual } else { needed };
        *at < old || *nth <= surplus
    };
    let Some(((upto, _), _)) = page.iter().zip(1_i64..).take_while(goes).last() else { return Ok(0) };
    Ok(c.run("DELETE FROM events WHERE position <= ?1", [upto])? as u64)
}
