//! Receipts of a job's attempts: each row with the list that its worker signed.

use crate::error::Error;
use crate::rows::{ATTEMPT_COLUMNS, ATTEMPT_WIDTH, attempt_from_row};
use crate::sql::{Link, Snapshot};
use crate::writer::Store;
use ciro_core::attempt::Attempt;
use ciro_core::id::{Hash, JobKey, SessionId, TenantKey};
use ciro_core::spec::{Profile, Requirement};
use uuid::Uuid;

/// Bytes of lists and manifests that end a page early.
pub const MAX_PAGE_BYTES: usize = 1 << 20;

/// Which receipts of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiptQuery {
    /// Those of this task only.
    pub task: Option<u32>,
    /// Those of accepted results only.
    pub accepted: bool,
    /// Task and fence to go on after.
    pub after: Option<(u32, u32)>,
    /// At most so many.
    pub limit: u32,
}

/// What a receipt is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptListed {
    /// The attempt's row.
    pub attempt: Attempt,
    /// The job's profile.
    pub profile: Profile,
    /// The session that signed.
    pub session: SessionId,
    /// The worker's key.
    pub public_key: [u8; 32],
    /// The signed list.
    pub receipts: Vec<Hash>,
    /// Its signature.
    pub signature: [u8; 64],
}

/// A page of receipts, and where the next one begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiptPage {
    /// The receipts, by task and fence.
    pub items: Vec<ReceiptListed>,
    /// Task and fence to go on after; absent on the last page.
    pub next: Option<(u32, u32)>,
}

impl Store {
    /// A page of a job's receipts; those whose signed list is no longer kept are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn receipt_page(
        &self,
        tenant: TenantKey,
        job: JobKey,
        query: ReceiptQuery,
    ) -> Result<ReceiptPage, Error> {
        self.read(move |c| c.snapshot(|c| page(c, tenant, job, &query))).await
    }
}

fn page(
    c: &Snapshot<'_>,
    tenant: TenantKey,
    job: JobKey,
    query: &ReceiptQuery,
) -> Result<ReceiptPage, Error> {
    let Some(profile) = profile(c, tenant, job)? else { return Ok(ReceiptPage::default()) };
    let sql = format!(
        "SELECT {ATTEMPT_COLUMNS},
            (SELECT l.receipts FROM report_lists l WHERE l.key = attempts.receipt_list),
            (SELECT l.signature FROM report_lists l WHERE l.key = attempts.receipt_list),
            (SELECT s.uid FROM report_lists l JOIN sessions s ON s.key = l.session WHERE l.key = attempts.receipt_list),
            (SELECT w.public_key FROM workers w WHERE w.key = attempts.worker)
         FROM attempts WHERE job = ?1 AND (no, fence) > (?2, ?3) AND no BETWEEN ?4 AND ?5 AND (state = 3 OR ?6 = 0)
         AND EXISTS (SELECT 1 FROM report_lists l WHERE l.key = attempts.receipt_list)
         ORDER BY no, fence LIMIT ?7"
    );
    let (no, fence) = query.after.map_or((-1, 0), |(no, fence)| (i64::from(no), i64::from(fence)));
    let (first, last) = query.task.map_or((0, u32::MAX), |task| (task, task));
    let limit = query.limit.clamp(1, super::MAX_PAGE) as usize;
    let mut statement = c.prepare(&sql)?;
    let mut rows = statement.query((job.0, no, fence, first, last, query.accepted, limit + 1))?;
    let mut page = ReceiptPage::default();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if page.items.len() == limit || bytes > MAX_PAGE_BYTES {
            page.next =
                page.items.last().map(|r: &ReceiptListed| (r.attempt.key.task.no, r.attempt.key.fence));
            break;
        }
        let attempt = attempt_from_row(&row)?;
        let list = row.get::<&[u8]>(ATTEMPT_WIDTH)?;
        let manifest = attempt.outcome.as_ref().and_then(|o| o.manifest.as_ref());
        bytes += 2 * list.len() + manifest.map_or(0, String::len);
        page.items.push(ReceiptListed {
            receipts: list.as_chunks::<32>().0.iter().map(|hash| Hash(*hash)).collect(),
            attempt,
            profile,
            signature: row.get(ATTEMPT_WIDTH + 1)?,
            session: SessionId(Uuid::from_bytes(row.get(ATTEMPT_WIDTH + 2)?)),
            public_key: row.get(ATTEMPT_WIDTH + 3)?,
        });
    }
    Ok(page)
}

/// The profile of a job of this tenant.
fn profile(c: &Link<'_>, tenant: TenantKey, job: JobKey) -> Result<Option<Profile>, Error> {
    let sql =
        "SELECT requirement FROM classes WHERE key = (SELECT class FROM jobs WHERE key = ?1 AND tenant = ?2)";
    c.row(sql, (job.0, tenant.0), |r| {
        let text = r.get(0)?;
        let requirement: Requirement = serde_json::from_str(text)
            .map_err(|error| Error::Malformed { table: "classes", what: error.to_string() })?;
        Ok(requirement.profile)
    })
}
