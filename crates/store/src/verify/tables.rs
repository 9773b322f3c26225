//! What holds for whole tables, as SQL: each query returns a line for every row that is wrong.

use super::report::Findings;
use super::{Bounds, VerifyOptions};
use crate::error::Error;
use crate::sql::{Params, Snapshot};
use ciro_core::id::{Hash, JobId};
use ciro_core::reduction::Reduction;
use ciro_core::spec::MAX_TASKS;
use ciro_core::time::Timestamp;
use uuid::Uuid;

/// One query over whole tables.
struct Check {
    /// The invariant that a row of the answer violates.
    id: &'static str,
    /// How many things there are to check.
    of: &'static str,
    /// One line for each that is wrong: what its columns hold, one behind the other, bytes in hex.
    wrong: &'static str,
}

const CHECKS: [Check; 17] = [
    Check {
        id: "I1",
        of: "SELECT count(*) FROM idempotency",
        wrong: "SELECT 'id ', i.created_ids, ' was acknowledged and is not stored' FROM idempotency i
                WHERE length(i.created_ids) = 16
                AND NOT EXISTS (SELECT 1 FROM jobs WHERE uid = i.created_ids)
                AND NOT EXISTS (SELECT 1 FROM job_archive WHERE uid = i.created_ids)
                AND NOT EXISTS (SELECT 1 FROM api_keys WHERE uid = i.created_ids)
                AND NOT EXISTS (SELECT 1 FROM batches WHERE uid = i.created_ids)
                AND NOT EXISTS (SELECT 1 FROM tenants WHERE uid = i.created_ids)
                AND NOT EXISTS (SELECT 1 FROM webhooks WHERE uid = i.created_ids)
                AND NOT EXISTS (SELECT 1 FROM transfers WHERE uid = i.created_ids)",
    },
    Check {
        id: "I2",
        of: "SELECT count(*) FROM idempotency",
        wrong: "SELECT 'tenant ', tenant, ' key ', key, ' has ', count(*), ' records'
                FROM idempotency GROUP BY tenant, key HAVING count(*) > 1",
    },
    Check {
        id: "I2",
        of: "SELECT 0",
        wrong: "SELECT 'ids ', created_ids, ' were made under ', count(*), ' keys'
                FROM idempotency GROUP BY created_ids HAVING count(*) > 1",
    },
    Check {
        id: "I2",
        of: "SELECT count(*) FROM jobs",
        wrong: "SELECT 'job id ', uid, ' is stored ', count(*), ' times'
                FROM jobs NOT INDEXED GROUP BY uid HAVING count(*) > 1",
    },
    Check {
        id: "I3",
        of: "SELECT count(*) FROM idempotency",
        wrong: "SELECT 'tenant ', tenant, ' key ', key, ' answers with nothing'
                FROM idempotency WHERE length(created_ids) = 0",
    },
    Check {
        id: "I3",
        of: "SELECT 0",
        wrong: "SELECT 'tenant ', i.tenant, ' key ', i.key, ' answers with a job of tenant ', j.tenant
                FROM idempotency i JOIN jobs j ON j.uid = substr(i.created_ids, 1, 16) WHERE j.tenant <> i.tenant",
    },
    Check {
        id: "I4",
        of: "SELECT count(*) FROM events",
        wrong: "WITH log AS (SELECT min(position) AS first, max(position) AS last, count(*) AS n FROM events)
                SELECT 'positions ', first, ' to ', last, ' hold ', n, ' events' FROM log
                WHERE n <> last - first + 1 - coalesce((SELECT sum(resumes_after - head) FROM restores
                                                        WHERE head >= first AND resumes_after < last), 0)",
    },
    Check {
        id: "I4",
        of: "SELECT count(*) FROM job_counts",
        wrong: "WITH rows AS (SELECT tenant, kind, state, count(*) AS n FROM jobs GROUP BY tenant, kind, state)
                SELECT 'kept count of tenant ', tenant, ', kind ', kind, ', state ', state, ' is ',
                       coalesce(c.jobs, 0), ', the rows are ', coalesce(r.n, 0)
                FROM job_counts c FULL JOIN rows r USING (tenant, kind, state) WHERE coalesce(c.jobs, 0) <> coalesce(r.n, 0)",
    },
    Check {
        id: "I11",
        of: "SELECT count(*) FROM evidence",
        wrong: "SELECT 'job key ', e.job, ' task ', e.no, ' fence ', e.fence,
                       ': the accepted result came again and was kept as a late one'
                FROM evidence e JOIN attempts a ON a.job = e.job AND a.no = e.no AND a.fence = e.fence
                WHERE a.state = 3 AND a.worker = e.worker AND a.manifest_hash = e.manifest_hash",
    },
    Check {
        id: "I11",
        of: "SELECT 0",
        wrong: "SELECT 'job key ', job, ' task ', no, ' fence ', fence, ': one late result is kept ',
                       count(*), ' times'
                FROM evidence GROUP BY job, no, fence, worker, manifest_hash HAVING count(*) > 1",
    },
    Check {
        id: "I26",
        of: "SELECT count(*) FROM sessions",
        wrong: "SELECT 'session key ', key, ' was opened before a restore and has not ended' FROM sessions
                WHERE ended_at IS NULL AND key <= (SELECT max(last_session) FROM restores)",
    },
    Check {
        id: "I26",
        of: "SELECT count(*) FROM attempts",
        wrong: "SELECT 'attempt ', job, '/', no, '/', fence, ' was granted before a restore and is live'
                FROM attempts WHERE ended_at IS NULL AND session <= (SELECT max(last_session) FROM restores)",
    },
    Check {
        id: "I26",
        of: "SELECT count(*) FROM restores",
        wrong: "SELECT 'attempt ', a.job, '/', a.no, '/', a.fence, ' was granted after a restore with a fence up to ',
                       r.fence_floor
                FROM restores r CROSS JOIN attempts a WHERE a.session > r.last_session AND a.fence <= r.fence_floor",
    },
    Check {
        id: "I26",
        of: "SELECT 0",
        wrong: "SELECT 'event ', e.position, ' lies in what a restore jumped over'
                FROM restores r JOIN events e ON e.position > r.head AND e.position <= r.resumes_after",
    },
    Check {
        id: "I27",
        of: "SELECT count(*) FROM sessions WHERE ended_at IS NULL",
        wrong: "SELECT 'worker key ', worker, ' has ', count(*), ' sessions' FROM sessions
                WHERE ended_at IS NULL GROUP BY worker HAVING count(*) > 1",
    },
    Check {
        id: "I27",
        of: "SELECT count(*) FROM tenant_usage",
        wrong: "WITH rows AS (SELECT g.tenant, CAST(sum(a.size) AS BIGINT) AS n FROM artifact_grants g JOIN artifacts a USING (hash) GROUP BY g.tenant)
                SELECT 'tenant ', tenant, ' is held to ', coalesce(u.artifact_bytes, 0), ' bytes, its grants are ',
                       coalesce(r.n, 0)
                FROM tenant_usage u FULL JOIN rows r USING (tenant) WHERE coalesce(u.artifact_bytes, 0) <> coalesce(r.n, 0)",
    },
    Check {
        id: "I28",
        of: "SELECT 0",
        wrong: "SELECT 'attempt ', a.job, '/', a.no, '/', a.fence, ' is live for a worker that was removed'
                FROM attempts a JOIN workers w ON w.key = a.worker WHERE a.ended_at IS NULL AND w.removed_at IS NOT NULL",
    },
];

/// Runs every check over whole tables.
pub(super) fn check(
    c: &Snapshot<'_>,
    options: &VerifyOptions,
    now: Timestamp,
    found: &mut Findings,
) -> Result<(), Error> {
    acknowledged(c, options.acknowledged.as_deref().unwrap_or_default(), found)?;
    for check in &CHECKS {
        found.checked(check.id, c.value(check.of, ())?);
        each(c, check.id, check.wrong, (), found)?;
    }
    signed_evidence(c, found)?;
    bounds(c, options.bounds, found)?;
    let late = now.0.saturating_sub_unsigned(options.deadline_slack_ms);
    let sql =
        "SELECT 'job key ', key, ' should have been looked at ', ?1 - next_deadline, ' ms earlier still'
               FROM jobs WHERE next_deadline < ?1";
    each(c, "I28", sql, [late], found)
}

fn each(
    c: &Snapshot<'_>,
    id: &'static str,
    sql: &str,
    params: impl Params,
    found: &mut Findings,
) -> Result<(), Error> {
    let mut statement = c.prepare(sql)?;
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        found.violated(id, row.line()?);
    }
    Ok(())
}

/// Whether a job is stored, or in the archive.
const STORED: &str = "SELECT 1 WHERE EXISTS (SELECT 1 FROM jobs WHERE uid = ?1)
                      OR EXISTS (SELECT 1 FROM job_archive WHERE uid = ?1)";

/// I1: what a client remembers to have been told.
fn acknowledged(c: &Snapshot<'_>, ids: &[JobId], found: &mut Findings) -> Result<(), Error> {
    for id in ids {
        found.checked("I1", 1);
        if !c.exists(STORED, [id.0.as_bytes()])? {
            found.violated("I1", format!("{id} was acknowledged and is not stored"));
        }
    }
    many_ids(c, found)
}

/// I1 for records of batches: each of their ids.
fn many_ids(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    let mut records = c.prepare(
        "SELECT created_ids FROM idempotency WHERE length(created_ids) > 16
         AND NOT EXISTS (SELECT 1 FROM webhooks WHERE uid = substr(created_ids, 1, 16))",
    )?;
    let mut rows = records.query(())?;
    while let Some(row) = rows.next()? {
        let ids: Vec<u8> = row.get(0)?;
        for id in ids.as_chunks::<16>().0 {
            found.checked("I1", 1);
            if !c.exists(STORED, [id])? {
                found.violated(
                    "I1",
                    format!("{} was acknowledged in a batch and is not stored", JobId(Uuid::from_bytes(*id))),
                );
            }
        }
    }
    Ok(())
}

/// I10 for late results: what is kept is what was signed.
fn signed_evidence(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    let mut statement = c.prepare("SELECT job, no, fence, manifest_hash, manifest FROM evidence")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        found.checked("I10", 1);
        let signed = Hash(row.get(3)?);
        let kept = Hash::of(row.get::<&str>(4).unwrap_or_default().as_bytes());
        if signed != kept {
            let (job, no, fence): (i64, u32, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
            found.violated(
                "I10",
                format!("late result of {job}/{no}/{fence} hashes to {kept}, signed was {signed}"),
            );
        }
    }
    Ok(())
}

/// I27: what the store lets in is bounded.
fn bounds(c: &Snapshot<'_>, bounds: Bounds, found: &mut Findings) -> Result<(), Error> {
    let most = [
        ("classes", "SELECT count(*) FROM classes", bounds.classes),
        ("open jobs", "SELECT count(*) FROM jobs WHERE next_deadline IS NOT NULL", bounds.open_jobs),
        (
            "tasks of one job",
            "SELECT max(tasks_total) FROM jobs",
            u64::from(Reduction::over(MAX_TASKS).total()),
        ),
        (
            "late results of one task",
            "SELECT max(n) FROM (SELECT count(*) AS n FROM evidence GROUP BY job, no) AS of_each",
            bounds.evidence_per_task,
        ),
        (
            "keys of one tenant",
            // As of the last one that was made: later some of them end by themselves.
            "SELECT max(n) FROM (SELECT count(*) AS n FROM api_keys WHERE revoked_at IS NULL AND
             (expires_at IS NULL OR expires_at > (SELECT max(created_at) FROM api_keys)) GROUP BY tenant) AS of_each",
            bounds.keys_per_tenant,
        ),
    ];
    for (what, sql, bound) in most {
        found.checked("I27", 1);
        let n: Option<u64> = c.value(sql, ())?;
        if n.is_some_and(|n| n > bound) {
            found.violated("I27", format!("{what}: {} of at most {bound}", n.unwrap_or_default()));
        }
    }
    Ok(())
}
