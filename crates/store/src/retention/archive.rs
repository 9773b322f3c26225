//! Moving ended jobs to the archive: one document for each, then its rows go. A job with more rows
//! than a page keeps its document and is taken down page by page, its own row last.

use super::{MAX_LOOKED_AT, MAX_PAGE_ROWS, RetentionPolicy};
use crate::error::Error;
use crate::escrow::with_escrow;
use crate::rows::{ATTEMPT_COLUMNS, ATTEMPT_WIDTH, JOB_COLUMNS, JOB_WIDTH, attempt_from_row, job_from_row};
use crate::sql::{Link, Snapshot, params};
use ciro_core::amount::Fri;
use ciro_core::attempt::{Attempt, AttemptState, Outcome};
use ciro_core::id::{Hash, JobId, JobKey, TenantKey, WorkerId};
use ciro_core::job::{Failure, Job, JobState, Settlement, SettlementState};
use ciro_core::money::Escrow;
use ciro_core::task::TaskState;
use ciro_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Attempts that an archived job's document lists; the rest is counted.
pub const MAX_ARCHIVED_ATTEMPTS: u32 = 100;

/// Jobs that one page may hold.
const MAX_JOBS: usize = 100;

/// Ended jobs whose time is over, oldest first. A job ends after it was accepted, and keys follow
/// acceptance, so the look stops at the first job that is too young. One whose money the chain has not
/// shared out stays: its row says what is owed.
pub(super) fn jobs_to_archive(
    c: &Snapshot<'_>,
    policy: &RetentionPolicy,
    now: Timestamp,
) -> Result<Vec<Due>, Error> {
    let sql = "SELECT CAST(coalesce(sum(jobs), 0) AS BIGINT) FROM job_counts WHERE state >= 4";
    let ended: u64 = c.value(sql, ())?;
    let mut excess = ended.saturating_sub(policy.max_jobs);
    let before = now.0.saturating_sub_unsigned(policy.job_age_ms);
    let mut statement = c.prepare("SELECT key, created_at, ended_at, settlement FROM jobs ORDER BY key")?;
    let mut found = statement.query(())?;
    let mut due = Vec::new();
    for _ in 0..MAX_LOOKED_AT {
        let Some(row) = found.next()? else { break };
        let (key, created_at, ended_at): (i64, i64, Option<i64>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if due.len() == MAX_JOBS || (created_at >= before && excess == 0) {
            break;
        }
        match ended_at {
            Some(_) if is_owed(row.get(3)?) => {}
            Some(at) if at < before || excess > 0 => {
                excess = excess.saturating_sub(1);
                due.push(JobKey(key));
            }
            _ => {}
        }
    }
    due.into_iter().map(|key| Ok(Due { key, entry: entry(c, key)? })).collect()
}

/// Whether the money of an ended job is not where it belongs yet.
fn is_owed(settlement: i64) -> bool {
    let settled = [SettlementState::None, SettlementState::Settled];
    SettlementState::from_number(settlement).is_none_or(|state| !settled.contains(&state))
}

/// A job whose time is over, with its entry of the archive; `None` for one that has it already. It is
/// read beside the writer: an ended job never changes, and a large one takes long to read.
#[derive(Debug)]
pub(super) struct Due {
    key: JobKey,
    entry: Option<Entry>,
}

/// A row of the archive in the making.
#[derive(Debug)]
struct Entry {
    id: JobId,
    tenant: TenantKey,
    state: JobState,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
    /// Where its money is, where it was paid for.
    settlement: Option<SettlementState>,
    document: String,
}

/// Archives jobs until the page is full; whole jobs, and a part of one that is too large for it.
pub(super) fn archive(c: &Link<'_>, due: &[Due], now: Timestamp) -> Result<(u64, u64), Error> {
    remember_last_key(c)?;
    let (mut jobs, mut parts) = (0, 0);
    let mut room = i64::from(MAX_PAGE_ROWS);
    for Due { key, entry } in due {
        // Counted as far as it matters, however large the job is.
        let rows = "SELECT (SELECT count(*) FROM (SELECT 1 FROM tasks WHERE job = ?1 LIMIT ?2) AS counted)
                    + (SELECT count(*) FROM (SELECT 1 FROM attempts WHERE job = ?1 LIMIT ?2) AS counted)
                    + (SELECT count(*) FROM (SELECT 1 FROM artifact_refs WHERE job = ?1 LIMIT ?2) AS counted)";
        let rows: i64 = c.value(rows, (key.0, room + 1))?;
        if rows > room && jobs > 0 {
            break;
        }
        if let Some(entry) = entry {
            insert(c, entry, now)?;
        }
        if rows > room {
            // Its document is complete; what it stands for goes page by page, then the job itself.
            parts = take_down(c, *key)?;
            break;
        }
        c.run("DELETE FROM artifact_refs WHERE job = ?1", [key.0])?;
        let counted = "UPDATE job_counts SET jobs = jobs - 1 WHERE (tenant, kind, state) =
                       (SELECT tenant, kind, state FROM jobs WHERE key = ?1)";
        c.run(counted, [key.0])?;
        c.run("DELETE FROM jobs WHERE key = ?1 AND ended_at IS NOT NULL", [key.0])?;
        jobs += 1;
        room -= rows + 2;
    }
    Ok((jobs, parts))
}

/// Keys are never used twice: the next one is counted from here when the last job is gone.
fn remember_last_key(c: &Link<'_>) -> Result<(), Error> {
    let last: Option<i64> = c.value("SELECT max(key) FROM jobs", ())?;
    let noted = c.row("SELECT value FROM meta WHERE name = 'last_job'", (), |r| r.get::<Vec<u8>>(0))?;
    let noted = noted.and_then(|digits| std::str::from_utf8(&digits).ok()?.parse().ok());
    let Some(last) = last.filter(|last| noted.is_none_or(|noted| *last > noted)) else { return Ok(()) };
    let sql = "INSERT INTO meta (name, value) VALUES ('last_job', ?1)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    c.run(sql, [last.to_string().into_bytes()]).map(drop)
}

/// Deletes a page of an archived job's parts: references, then attempts, then tasks.
fn take_down(c: &Link<'_>, key: JobKey) -> Result<u64, Error> {
    let parts = [
        "DELETE FROM artifact_refs WHERE job = ?1 AND (hash, role) IN
         (SELECT hash, role FROM artifact_refs WHERE job = ?1 LIMIT ?2)",
        "DELETE FROM attempts WHERE job = ?1 AND (no, fence) IN (SELECT no, fence FROM attempts WHERE job = ?1 LIMIT ?2)",
        "DELETE FROM tasks WHERE job = ?1 AND no IN (SELECT no FROM tasks WHERE job = ?1 LIMIT ?2)",
    ];
    let mut gone = 0;
    for part in parts {
        let room = MAX_PAGE_ROWS.saturating_sub(gone);
        gone += c.run(part, params![key.0, room])? as u32;
        if gone >= MAX_PAGE_ROWS {
            break;
        }
    }
    Ok(u64::from(gone))
}

/// What is kept of a job: a document of its own, so that later schemas need not know these columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Its public id.
    pub id: JobId,
    /// Catalogue name.
    pub kind: String,
    /// The end state.
    pub state: JobState,
    /// 1 to 10.
    pub priority: u8,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// First grant.
    pub started_at: Option<Timestamp>,
    /// The end.
    pub ended_at: Option<Timestamp>,
    /// When it would have expired.
    pub expires_at: Timestamp,
    /// Number of its last event.
    pub sequence: u32,
    /// Why it did not complete.
    pub failure: Option<Failure>,
    /// The ended job that it ran again.
    pub retry_of: Option<JobId>,
    /// The client's own words.
    pub labels: BTreeMap<String, String>,
    /// What was asked for.
    pub spec: serde_json::Value,
    /// Hash of that spec.
    pub spec_hash: Hash,
    /// Its money, where it was paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<ArchivedMoney>,
    /// Tasks by state.
    pub tasks: BTreeMap<TaskState, u64>,
    /// Attempts, all of them.
    pub attempts_total: u64,
    /// The first of them, by task and fence.
    pub attempts: Vec<ArchivedAttempt>,
}

/// What is kept of a job's money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedMoney {
    /// Where it is, and the sums.
    pub settlement: Settlement,
    /// What was locked, and who earned what of it.
    pub escrow: Escrow,
}

/// What is kept of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedAttempt {
    /// Number of its task.
    pub task: u32,
    /// Its fence.
    pub fence: u32,
    /// How it ended.
    pub state: AttemptState,
    /// Who ran it.
    pub worker: Option<WorkerId>,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What an hour of it was granted at.
    #[serde(default, skip_serializing_if = "Fri::is_zero")]
    pub price: Fri,
    /// What its worker said, without the manifest: manifests are as large as results, the hash is what
    /// was signed and paid.
    pub outcome: Option<Outcome>,
}

/// The job's entry, once: a job that is taken down in pages keeps its first.
fn entry(c: &Link<'_>, key: JobKey) -> Result<Option<Entry>, Error> {
    let sql = format!(
        "SELECT {JOB_COLUMNS}, jobs.labels, s.spec, s.hash FROM jobs JOIN job_specs s ON s.job = jobs.key
         WHERE jobs.key = ?1 AND jobs.ended_at IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM job_archive a WHERE a.uid = jobs.uid)"
    );
    let found = c.row(&sql, [key.0], |r| {
        let labels: Option<String> = r.get(JOB_WIDTH)?;
        let spec: String = r.get(JOB_WIDTH + 1)?;
        Ok((job_from_row(r)?, labels, spec, Hash(r.get(JOB_WIDTH + 2)?)))
    })?;
    let Some((job, labels, spec, spec_hash)) = found else {
        return Ok(None);
    };
    let Some(job) = with_escrow(c, Some(job))? else { return Ok(None) };
    let (id, tenant, state, created_at, ended_at) =
        (job.id, job.tenant, job.state, job.created_at, job.ended_at);
    let document = document_of(c, job, labels, &spec, spec_hash)?;
    let settlement = document.money.as_ref().map(|money| money.settlement.state);
    let document = serde_json::to_string(&document)
        .map_err(|e| Error::Malformed { table: "jobs", what: e.to_string() })?;
    Ok(Some(Entry { id, tenant, state, created_at, ended_at, settlement, document }))
}

fn insert(c: &Link<'_>, entry: &Entry, now: Timestamp) -> Result<(), Error> {
    let sql = "INSERT INTO job_archive (uid, tenant, state, created_at, ended_at, archived_at, document, settlement)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (uid) DO NOTHING";
    c.run(
        sql,
        params![
            entry.id.0.as_bytes(),
            entry.tenant.0,
            entry.state as u8,
            entry.created_at.0,
            entry.ended_at.map(|t| t.0),
            now.0,
            entry.document,
            entry.settlement.map(|state| state as u8),
        ],
    )?;
    Ok(())
}

fn document_of(
    c: &Link<'_>,
    job: Job,
    labels: Option<String>,
    spec: &str,
    spec_hash: Hash,
) -> Result<Document, Error> {
    let by_state =
        c.rows("SELECT state, count(*) FROM tasks WHERE job = ?1 GROUP BY state", [job.key.0], |r| {
            Ok((TaskState::from_number(r.get(0)?), r.get::<u64>(1)?))
        })?;
    let total = "SELECT count(*) FROM attempts WHERE job = ?1";
    let attempts_total = c.value(total, [job.key.0])?;
    let sql = format!(
        "SELECT {ATTEMPT_COLUMNS}, (SELECT w.uid FROM workers w WHERE w.key = attempts.worker)
         FROM attempts WHERE job = ?1 ORDER BY no, fence LIMIT ?2"
    );
    let attempts = c.rows(&sql, (job.key.0, MAX_ARCHIVED_ATTEMPTS), |r| {
        let worker: Option<[u8; 16]> = r.get(ATTEMPT_WIDTH)?;
        Ok(archived_attempt(attempt_from_row(r)?, worker.map(|b| WorkerId(Uuid::from_bytes(b)))))
    })?;
    let text =
        |what: &str, e: serde_json::Error| Error::Malformed { table: "jobs", what: format!("{what}: {e}") };
    Ok(Document {
        id: job.id,
        kind: job.kind,
        state: job.state,
        priority: job.priority,
        created_at: job.created_at,
        started_at: job.started_at,
        ended_at: job.ended_at,
        expires_at: job.expires_at,
        sequence: job.seq,
        failure: job.failure,
        retry_of: job.retry_of,
        labels: labels
            .map_or(Ok(BTreeMap::new()), |t| serde_json::from_str(&t))
            .map_err(|e| text("labels", e))?,
        spec: serde_json::from_str(spec).map_err(|e| text("spec", e))?,
        spec_hash,
        money: job.escrow.map(|escrow| ArchivedMoney { settlement: job.settlement, escrow: *escrow }),
        tasks: by_state.into_iter().filter_map(|(state, n)| Some((state?, n))).collect(),
        attempts_total,
        attempts,
    })
}

fn archived_attempt(attempt: Attempt, worker: Option<WorkerId>) -> ArchivedAttempt {
    let outcome = attempt.outcome.map(|o| Outcome { manifest: None, ..o });
    ArchivedAttempt {
        task: attempt.key.task.no,
        fence: attempt.key.fence,
        state: attempt.state,
        worker,
        granted_at: attempt.granted_at,
        ended_at: attempt.ended_at,
        price: attempt.price,
        outcome,
    }
}
