//! Jobs that are paid for, with what is locked for each and who earned what of it: those that are there
//! by their rows, those in the archive by their documents, as one list. It is a keyset walk along the
//! jobs' ids, which is that of acceptance, the newest first; a call looks at a bounded number of rows, and
//! a page may be shorter than asked and still have a successor.

use crate::error::Error;
use crate::escrow::{escrow_columns, escrow_from_row};
use crate::read::{MAX_LOOKED_AT, MAX_PAGE};
use crate::retention::Document;
use crate::rows::{JOB_WIDTH, job_columns, job_from_row};
use crate::sql::{Row, Snapshot, params};
use crate::writer::Store;
use ciro_core::id::{JobId, TenantKey};
use ciro_core::job::{JobState, Settlement, SettlementState};
use ciro_core::money::{Escrow, Method};
use ciro_core::time::Timestamp;
use std::cmp::Reverse;
use uuid::Uuid;

/// A job that is paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidJob {
    /// Its public id.
    pub id: JobId,
    /// Where it is.
    pub state: JobState,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// The end.
    pub ended_at: Option<Timestamp>,
    /// When it was moved to the archive.
    pub archived_at: Option<Timestamp>,
    /// Where its money is, and its sums.
    pub settlement: Settlement,
    /// What is locked for it, and who earned what.
    pub escrow: Escrow,
}

/// Which paid jobs are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PaidQuery {
    /// Only those behind this one: older ones.
    pub after: Option<JobId>,
    /// This one only.
    pub job: Option<JobId>,
    /// Paid like this only.
    pub method: Option<Method>,
    /// Whose money is in one of these states; all where none is named.
    pub states: Vec<SettlementState>,
    /// Only those that have ended; then those in the archive, too.
    pub ended: bool,
    /// At most [`MAX_PAGE`] items.
    pub limit: u32,
}

/// A page of paid jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PaidPage {
    /// The items, the newest first.
    pub items: Vec<PaidJob>,
    /// Behind which the next page begins, where there is one.
    pub next: Option<JobId>,
}

impl Store {
    /// A page of this tenant's jobs that are paid for, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn paid_jobs(&self, tenant: TenantKey, query: PaidQuery) -> Result<PaidPage, Error> {
        self.read(move |c| c.snapshot(|c| page(c, tenant, &query))).await
    }
}

impl PaidQuery {
    fn admits(&self, job: &PaidJob) -> bool {
        (self.states.is_empty() || self.states.contains(&job.settlement.state))
            && self.method.is_none_or(|method| method == job.escrow.method())
            && (!self.ended || job.state.is_ended())
    }

    fn page(&self) -> usize {
        self.limit.clamp(1, MAX_PAGE) as usize
    }

    /// The ids to walk over, from the last one down to the first; `None` where there are none.
    fn span(&self) -> Option<(Uuid, Uuid)> {
        let before = self.after.map_or(Some(u128::MAX), |after| after.0.as_u128().checked_sub(1))?;
        let (last, first) = match self.job.map(|job| job.0.as_u128()) {
            Some(job) => (job.min(before), job),
            None => (before, 0),
        };
        (first <= last).then(|| (Uuid::from_u128(last), Uuid::from_u128(first)))
    }
}

/// One of the two places where paid jobs are: a query for a tenant's from one id down to another, the
/// last one first.
#[derive(Clone, Copy)]
struct Place {
    sql: &'static str,
    read: fn(&Row<'_>) -> Result<PaidJob, Error>,
    /// Rows that one call may look at.
    most: u32,
}

const ROWS: Place = Place {
    sql: concat!(
        "SELECT ",
        job_columns!(),
        ", ",
        escrow_columns!(),
        " FROM jobs INDEXED BY jobs_paid CROSS JOIN escrows e WHERE e.job = jobs.key AND jobs.tenant = ?1 \
         AND jobs.settlement <> 0 AND jobs.uid <= ?2 AND jobs.uid >= ?3 ORDER BY jobs.uid DESC"
    ),
    read: paid_from_row,
    most: MAX_LOOKED_AT,
};

/// Its documents are long, and read as a whole.
const ARCHIVE: Place = Place {
    sql: "SELECT archived_at, document FROM job_archive INDEXED BY job_archive_paid WHERE tenant = ?1 \
          AND settlement IS NOT NULL AND uid <= ?2 AND uid >= ?3 ORDER BY uid DESC",
    read: archived_from_row,
    most: 1_000,
};

/// What was found in one place.
#[derive(Debug, Default)]
struct Part {
    items: Vec<PaidJob>,
    /// How far the walk came, where it did not come to the end.
    reached: Option<JobId>,
}

impl Place {
    fn walk(
        self,
        c: &Snapshot<'_>,
        tenant: TenantKey,
        (last, first): (Uuid, Uuid),
        query: &PaidQuery,
    ) -> Result<Part, Error> {
        let mut part = Part::default();
        let mut statement = c.prepare(self.sql)?;
        let mut found = statement.query(params![tenant.0, last.into_bytes(), first.into_bytes()])?;
        let mut behind = None;
        for looked_at in 0.. {
            let Some(row) = found.next()? else { break };
            if looked_at == self.most || part.items.len() == query.page() {
                part.reached = behind;
                break;
            }
            let job = (self.read)(&row)?;
            behind = Some(job.id);
            if query.admits(&job) {
                part.items.push(job);
            }
        }
        Ok(part)
    }
}

fn page(c: &Snapshot<'_>, tenant: TenantKey, query: &PaidQuery) -> Result<PaidPage, Error> {
    let Some(span) = query.span() else { return Ok(PaidPage::default()) };
    let places: &[Place] = if query.ended { &[ROWS, ARCHIVE] } else { &[ROWS] };
    let parts = places.iter().map(|place| place.walk(c, tenant, span, query));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    // Nothing beyond the point that every one of them has reached. A large job that is on its way to the
    // archive is in both places.
    let mut next = parts.iter().filter_map(|part| part.reached).max();
    let mut items: Vec<_> = parts.into_iter().flat_map(|part| part.items).collect();
    items.retain(|item| next.is_none_or(|reached| item.id >= reached));
    items.sort_by_key(|item| Reverse(item.id));
    items.dedup_by_key(|item| item.id);
    if items.len() > query.page() {
        items.truncate(query.page());
        next = items.last().map(|item| item.id);
    }
    Ok(PaidPage { items, next })
}

fn paid_from_row(row: &Row<'_>) -> Result<PaidJob, Error> {
    let job = job_from_row(row)?;
    Ok(PaidJob {
        id: job.id,
        state: job.state,
        created_at: job.created_at,
        ended_at: job.ended_at,
        archived_at: None,
        settlement: job.settlement,
        escrow: escrow_from_row(row, JOB_WIDTH)?,
    })
}

fn archived_from_row(row: &Row<'_>) -> Result<PaidJob, Error> {
    let malformed = |what: String| Error::Malformed { table: "job_archive", what };
    let document: Document =
        serde_json::from_str(row.get(1)?).map_err(|error| malformed(error.to_string()))?;
    let money = document.money.ok_or_else(|| malformed(format!("{} has no money", document.id)))?;
    Ok(PaidJob {
        id: document.id,
        state: document.state,
        created_at: document.created_at,
        ended_at: document.ended_at,
        archived_at: Some(Timestamp(row.get(0)?)),
        settlement: money.settlement,
        escrow: money.escrow,
    })
}
