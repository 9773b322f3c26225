//! Lists of jobs: keyset over the store's key, which is the order of acceptance, so that a list
//! neither skips nor repeats a job while others are accepted. A call looks at a bounded number of
//! rows; a page may be shorter than asked and still have a successor.

use crate::error::Error;
use crate::rows::{JOB_COLUMNS, JOB_WIDTH, job_from_row};
use crate::writer::Store;
use ciro_core::id::{JobKey, TenantKey};
use ciro_core::job::{Job, JobState};
use ciro_core::time::Timestamp;
use rusqlite::{Connection, Row};
use std::collections::BTreeMap;

/// The most items of one page.
pub const MAX_PAGE: u32 = 200;

/// Rows that one call may look at: about 50 ms.
const MAX_LOOKED_AT: u32 = 100_000;

/// What a job must be to be listed; empty parts ask for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// One of these states.
    pub states: Vec<JobState>,
    /// None of these states.
    pub not_states: Vec<JobState>,
    /// One of these kinds.
    pub kinds: Vec<String>,
    /// None of these kinds.
    pub not_kinds: Vec<String>,
    /// At least this priority.
    pub priority_min: Option<u8>,
    /// At most this priority.
    pub priority_max: Option<u8>,
    /// Not this priority.
    pub not_priorities: Vec<u8>,
    /// All of these labels with these values.
    pub labels: Vec<(String, String)>,
    /// None of these labels with these values.
    pub not_labels: Vec<(String, String)>,
    /// Accepted at this instant or later.
    pub created_from: Option<Timestamp>,
    /// Accepted before this instant.
    pub created_before: Option<Timestamp>,
}

/// Which end of a list comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JobOrder {
    /// The last accepted job first.
    #[default]
    Newest,
    /// The first accepted job first.
    Oldest,
}

/// A page to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// What a job must be.
    pub filter: JobFilter,
    /// Which end comes first.
    pub order: JobOrder,
    /// `next` of the page before.
    pub after: Option<JobKey>,
    /// At most [`MAX_PAGE`] items.
    pub limit: u32,
}

/// A job as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobListed {
    /// Its row.
    pub job: Job,
    /// Labels as JSON text, where there are any.
    pub labels: Option<String>,
}

/// A page, and where the next one begins.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobPage {
    /// The jobs, in order.
    pub items: Vec<JobListed>,
    /// Absent on the last page.
    pub next: Option<JobKey>,
}

impl Store {
    /// A page of this tenant's jobs.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_list(&self, tenant: TenantKey, query: JobQuery) -> Result<JobPage, Error> {
        self.read(move |c| list(c, tenant, &query, MAX_LOOKED_AT)).await
    }
}

/// States that have an index of their own, because few jobs are in them.
const RARE: [JobState; 5] =
    [JobState::AwaitingFunds, JobState::Preparing, JobState::Failed, JobState::Cancelled, JobState::Expired];

fn list(c: &Connection, tenant: TenantKey, query: &JobQuery, most: u32) -> Result<JobPage, Error> {
    let limit = query.limit.clamp(1, MAX_PAGE) as usize;
    let wanted = &query.filter.states;
    if wanted.is_empty() || !wanted.iter().all(|s| RARE.contains(s)) {
        return scan(c, tenant, query, Scan { state: None, limit, most });
    }
    let mut pages = Vec::new();
    for state in RARE.into_iter().filter(|s| wanted.contains(s)) {
        pages.push(scan(c, tenant, query, Scan { state: Some(state), limit, most })?);
    }
    Ok(merge(pages, query.order, limit))
}

/// Pages of several states as one: nothing beyond the point that every one of them has reached.
fn merge(pages: Vec<JobPage>, order: JobOrder, limit: usize) -> JobPage {
    let rank = |key: JobKey| if order == JobOrder::Oldest { key.0 } else { -key.0 };
    let mut next = pages.iter().filter_map(|p| p.next).min_by_key(|k| rank(*k));
    let mut items: Vec<JobListed> = pages.into_iter().flat_map(|p| p.items).collect();
    items.retain(|item| next.is_none_or(|reached| rank(item.job.key) <= rank(reached)));
    items.sort_by_key(|item| rank(item.job.key));
    if items.len() > limit {
        items.truncate(limit);
        next = items.last().map(|item| item.job.key);
    }
    JobPage { items, next }
}

/// How one scan goes: along the index of one rare state or over all of the tenant's jobs.
struct Scan {
    state: Option<JobState>,
    limit: usize,
    most: u32,
}

fn scan(c: &Connection, tenant: TenantKey, query: &JobQuery, how: Scan) -> Result<JobPage, Error> {
    let mut statement = c.prepare_cached(&source(query.order, how.state))?;
    let start = if query.order == JobOrder::Oldest { 0 } else { i64::MAX };
    let mut found = statement.query((tenant.0, query.after.map_or(start, |k| k.0)))?;
    let mut page = JobPage::default();
    let mut looked_at = 0;
    let mut last = None;
    while let Some(row) = found.next()? {
        if page.items.len() == how.limit || looked_at == how.most {
            page.next = last;
            break;
        }
        looked_at += 1;
        last = Some(JobKey(row.get(0)?));
        if query.filter.matches(row)? {
            page.items.push(JobListed { job: job_from_row(row)?, labels: row.get(JOB_WIDTH)? });
        }
    }
    Ok(page)
}

fn source(order: JobOrder, state: Option<JobState>) -> String {
    let (beyond, direction) = if order == JobOrder::Oldest { (">", "ASC") } else { ("<", "DESC") };
    // The planner takes a partial index only where the query repeats its condition.
    let rare = state.map_or(String::new(), |s| {
        format!("AND jobs.state = {} AND jobs.state NOT BETWEEN 2 AND 4", s as u8)
    });
    format!(
        "SELECT {JOB_COLUMNS}, jobs.labels, jobs.state, jobs.kind, jobs.priority, jobs.created_at
         FROM jobs WHERE jobs.tenant = ?1 AND jobs.key {beyond} ?2 {rare} ORDER BY jobs.key {direction}"
    )
}

impl JobFilter {
    /// Holds the row against the filter; reads only the columns that it asks about.
    fn matches(&self, row: &Row<'_>) -> Result<bool, Error> {
        Ok(self.admits_state(row.get(JOB_WIDTH + 1)?)
            && self.admits_kind(row.get_ref(JOB_WIDTH + 2)?.as_str().unwrap_or_default())
            && self.admits_priority(row.get(JOB_WIDTH + 3)?)
            && self.admits_time(row.get(JOB_WIDTH + 4)?)
            && self.admits_labels(row.get_ref(JOB_WIDTH)?.as_str().ok()))
    }

    fn admits_state(&self, state: i64) -> bool {
        let named = |states: &[JobState]| states.iter().any(|s| *s as i64 == state);
        (self.states.is_empty() || named(&self.states)) && !named(&self.not_states)
    }

    fn admits_kind(&self, kind: &str) -> bool {
        let named = |kinds: &[String]| kinds.iter().any(|k| k == kind);
        (self.kinds.is_empty() || named(&self.kinds)) && !named(&self.not_kinds)
    }

    fn admits_priority(&self, priority: u8) -> bool {
        self.priority_min.is_none_or(|least| priority >= least)
            && self.priority_max.is_none_or(|most| priority <= most)
            && !self.not_priorities.contains(&priority)
    }

    fn admits_time(&self, created_at: i64) -> bool {
        self.created_from.is_none_or(|from| created_at >= from.0)
            && self.created_before.is_none_or(|before| created_at < before.0)
    }

    fn admits_labels(&self, text: Option<&str>) -> bool {
        if self.labels.is_empty() && self.not_labels.is_empty() {
            return true;
        }
        let labels: BTreeMap<String, String> =
            text.and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
        let has = |(key, value): &(String, String)| labels.get(key) == Some(value);
        self.labels.iter().all(has) && !self.not_labels.iter().any(has)
    }
}
