//! Lists of jobs: a keyset walk, so that a list neither skips nor repeats a job while others are
//! accepted, and never sorts. A call looks at a bounded number of rows; a page may be shorter than
//! asked and still have a successor.
//!
//! An order is a row of lanes, walked one after the other, each along an index that is there anyway:
//! all jobs, those of one priority, or those of one state. Within a lane the key is the order, which
//! is that of acceptance; so the mark of a page is (lane, key).
//!
//! No index holds the states that every job passes through: a job is moved twice in its life, and
//! each move would pay for it. Their lanes pass over the tenant's other jobs, and end as soon as as
//! many were found as the counts say there are.

use super::filter::{Condition, Test};
use crate::error::Error;
use crate::rows::{JOB_COLUMNS, JOB_WIDTH, job_from_row};
use crate::sql::{AND_RARE, Link, Row, Snapshot};
use crate::writer::Store;
use ciro_core::id::{JobKey, TenantKey};
use ciro_core::job::{Failure, Job, JobState};
use std::collections::BTreeMap;

/// The most items of one page.
pub const MAX_PAGE: u32 = 200;

/// Rows that one call may look at: about 50 ms.
pub const MAX_LOOKED_AT: u32 = 100_000;

/// A field that jobs are filtered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobField {
    /// Name of the state.
    State,
    /// Catalogue name.
    Kind,
    /// 1 to 10.
    Priority,
    /// Number of tasks.
    Tasks,
    /// When it was accepted, ms.
    Created,
    /// When it ended, ms.
    Ended,
    /// Stable word of its failure.
    Failure,
    /// The label of this name.
    Label(String),
}

/// What a job must be to be listed: every condition holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter(pub Vec<Condition<JobField>>);

/// What a list is in order of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortKey {
    /// Acceptance.
    #[default]
    Created,
    /// Priority; of one priority the newest first.
    Priority,
    /// State, in the order of a job's life; of one state the newest first.
    State,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobOrder {
    /// Of what.
    pub by: SortKey,
    /// The greatest first.
    pub descending: bool,
}

impl JobOrder {
    /// The last accepted job first.
    pub const NEWEST: JobOrder = JobOrder { by: SortKey::Created, descending: true };
    /// The first accepted job first.
    pub const OLDEST: JobOrder = JobOrder { by: SortKey::Created, descending: false };
}

impl Default for JobOrder {
    fn default() -> JobOrder {
        JobOrder::NEWEST
    }
}

/// How far a walk is: in which lane, and behind which job of it; at its beginning without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobMark {
    /// Number of the lane, from 0.
    pub lane: u8,
    /// The last job that was looked at.
    pub key: Option<JobKey>,
}

/// A page to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// What a job must be.
    pub filter: JobFilter,
    /// What comes first.
    pub order: JobOrder,
    /// `next` of the page before.
    pub after: Option<JobMark>,
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
    pub next: Option<JobMark>,
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

/// A part of the tenant's jobs that is walked by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    All,
    Priority(u8),
    State(JobState),
}

impl JobOrder {
    fn lanes(self) -> Vec<Lane> {
        let mut lanes: Vec<Lane> = match self.by {
            SortKey::Created => vec![Lane::All],
            SortKey::Priority => (1..=10).map(Lane::Priority).collect(),
            SortKey::State => JobState::ALL.map(Lane::State).to_vec(),
        };
        if self.descending {
            lanes.reverse();
        }
        lanes
    }

    /// Whether keys go up within a lane.
    fn keys_ascend(self) -> bool {
        self == JobOrder::OLDEST
    }
}

pub(crate) fn list(c: &Link<'_>, tenant: TenantKey, query: &JobQuery, most: u32) -> Result<JobPage, Error> {
    // Counts and rows of the same instant.
    c.snapshot(|c| pages(c, tenant, query, most))
}

fn pages(c: &Snapshot<'_>, tenant: TenantKey, query: &JobQuery, most: u32) -> Result<JobPage, Error> {
    let limit = query.limit.clamp(1, MAX_PAGE) as usize;
    let first = query.after.map_or(0, |mark| usize::from(mark.lane));
    let (mut page, mut left) = (JobPage::default(), most);
    for (at, lane) in (0_u8..).zip(query.order.lanes()).skip(first) {
        let after = query.after.filter(|mark| mark.lane == at).and_then(|mark| mark.key);
        let walk = Walk { tenant, query, lane, after, limit: limit - page.items.len(), most: left };
        let part = walk.go(c)?;
        left -= part.looked_at;
        page.items.extend(part.items);
        if part.more {
            page.next = Some(JobMark { lane: at, key: part.last.or(after) });
            break;
        }
    }
    Ok(page)
}

/// One lane from one point on.
struct Walk<'q> {
    tenant: TenantKey,
    query: &'q JobQuery,
    lane: Lane,
    after: Option<JobKey>,
    limit: usize,
    most: u32,
}

/// What was found of a lane.
#[derive(Default)]
struct Part {
    items: Vec<JobListed>,
    looked_at: u32,
    last: Option<JobKey>,
    /// There are rows behind `last`.
    more: bool,
}

impl Walk<'_> {
    fn go(&self, c: &Snapshot<'_>) -> Result<Part, Error> {
        let filter = &self.query.filter;
        match self.lane {
            Lane::Priority(priority) if !filter.admits_priority(priority) => Ok(Part::default()),
            Lane::State(state) if !filter.admits_state(state) => Ok(Part::default()),
            Lane::All => match filter.rare_states() {
                Some(states) => self.merged(c, &states),
                None => self.scan(c, self.lane),
            },
            lane => self.scan(c, lane),
        }
    }

    /// Several rare states as one: nothing beyond the point that every one of them has reached.
    fn merged(&self, c: &Snapshot<'_>, states: &[JobState]) -> Result<Part, Error> {
        let ascending = self.query.order.keys_ascend();
        let rank = |key: JobKey| if ascending { key.0 } else { -key.0 };
        let mut merged = Part::default();
        for state in states {
            let part = self.scan(c, Lane::State(*state))?;
            merged.looked_at = self.most.min(merged.looked_at + part.looked_at);
            let reached = part.last.filter(|_| part.more);
            merged.last = [merged.last, reached].into_iter().flatten().min_by_key(|key| rank(*key));
            merged.items.extend(part.items);
        }
        let reached = merged.last;
        merged.more = reached.is_some();
        merged.items.retain(|item| reached.is_none_or(|reached| rank(item.job.key) <= rank(reached)));
        merged.items.sort_by_key(|item| rank(item.job.key));
        if merged.items.len() > self.limit {
            merged.items.truncate(self.limit);
            merged.last = merged.items.last().map(|item| item.job.key);
            merged.more = true;
        }
        Ok(merged)
    }

    fn scan(&self, c: &Snapshot<'_>, lane: Lane) -> Result<Part, Error> {
        let mut part = Part::default();
        let mut missing = match lane {
            Lane::State(state) if !RARE.contains(&state) => Some(Missing::of(c, self, state)?),
            _ => None,
        };
        if missing.as_ref().is_some_and(Missing::none) {
            return Ok(part);
        }
        let ascending = self.query.order.keys_ascend();
        let mut statement = c.prepare(&source(ascending, lane))?;
        let start = if ascending { 0 } else { i64::MAX };
        let mut found = statement.query((self.tenant.0, self.after.map_or(start, |k| k.0)))?;
        while let Some(row) = found.next()? {
            if part.items.len() == self.limit || part.looked_at == self.most {
                part.more = true;
                break;
            }
            part.looked_at += 1;
            part.last = Some(JobKey(row.get(0)?));
            if let Some(missing) = &mut missing
                && !missing.meets(row.get(JOB_WIDTH + 1)?)
            {
                continue;
            }
            if self.query.filter.matches(&row)? {
                part.items.push(JobListed { job: job_from_row(&row)?, labels: row.get(JOB_WIDTH)? });
            }
            if missing.as_ref().is_some_and(Missing::none) {
                break;
            }
        }
        Ok(part)
    }
}

/// Jobs of a state without an index that were not met yet; unknown where a walk begins in its middle.
struct Missing {
    state: JobState,
    left: Option<u64>,
}

impl Missing {
    fn of(c: &Link<'_>, walk: &Walk<'_>, state: JobState) -> Result<Missing, Error> {
        let sql =
            "SELECT CAST(coalesce(sum(jobs), 0) AS BIGINT) FROM job_counts WHERE tenant = ?1 AND state = ?2";
        let all = c.row(sql, (walk.tenant.0, state as u8), |r| r.get::<u64>(0))?.unwrap_or(0);
        // Of none at all that is known in the middle too.
        let left = (walk.after.is_none() || all == 0).then_some(all);
        Ok(Missing { state, left })
    }

    /// Whether the row of this state is of the lane; counts it then.
    fn meets(&mut self, state: i64) -> bool {
        let is_of_it = state == self.state as i64;
        if is_of_it {
            self.left = self.left.map(|left| left.saturating_sub(1));
        }
        is_of_it
    }

    fn none(&self) -> bool {
        self.left == Some(0)
    }
}

fn source(ascending: bool, lane: Lane) -> String {
    let (beyond, direction) = if ascending { (">", "ASC") } else { ("<", "DESC") };
    let lane = match lane {
        Lane::State(state) if RARE.contains(&state) => format!("AND jobs.state = {}{AND_RARE}", state as u8),
        Lane::Priority(priority) => format!("AND jobs.priority = {priority}"),
        Lane::All | Lane::State(_) => String::new(),
    };
    format!(
        "SELECT {JOB_COLUMNS}, jobs.labels, jobs.state, jobs.kind, jobs.priority, jobs.created_at,
           jobs.tasks_total, jobs.ended_at, jobs.failure
         FROM jobs WHERE jobs.tenant = ?1 AND jobs.key {beyond} ?2 {lane} ORDER BY jobs.key {direction}"
    )
}

impl JobFilter {
    /// Jobs in one of these states.
    #[must_use]
    pub fn in_states(states: &[JobState]) -> JobFilter {
        let names = states.iter().map(|state| state.name().to_owned()).collect();
        JobFilter(vec![Condition::new(JobField::State, Test::OneOf(names))])
    }

    /// The same and one more condition.
    #[must_use]
    pub fn and(mut self, condition: Condition<JobField>) -> JobFilter {
        self.0.push(condition);
        self
    }

    /// Whether a job in this state may match.
    #[must_use]
    pub fn admits_state(&self, state: JobState) -> bool {
        self.of(&JobField::State).all(|condition| condition.holds_for_text([state.name()]))
    }

    fn admits_priority(&self, priority: u8) -> bool {
        self.of(&JobField::Priority).all(|condition| condition.holds_for_number(Some(priority.into())))
    }

    fn of(&self, field: &JobField) -> impl Iterator<Item = &Condition<JobField>> {
        self.0.iter().filter(move |condition| condition.field == *field)
    }

    /// The states that a matching job can be in, where all of them have an index of their own.
    fn rare_states(&self) -> Option<Vec<JobState>> {
        let admitted: Vec<_> = JobState::ALL.into_iter().filter(|state| self.admits_state(*state)).collect();
        admitted.iter().all(|state| RARE.contains(state)).then_some(admitted)
    }

    /// Holds the row against the filter; reads only the columns that it asks about.
    fn matches(&self, row: &Row<'_>) -> Result<bool, Error> {
        let mut labels = None;
        for condition in &self.0 {
            let text = |at| row.get::<Option<&str>>(JOB_WIDTH + at);
            let number = |at| row.get::<Option<i64>>(JOB_WIDTH + at);
            let holds = match &condition.field {
                JobField::State => {
                    let state = number(1)?.and_then(JobState::from_number);
                    condition.holds_for_text(state.map(JobState::name))
                }
                JobField::Kind => condition.holds_for_text(text(2)?),
                JobField::Priority => condition.holds_for_number(number(3)?),
                JobField::Created => condition.holds_for_number(number(4)?),
                JobField::Tasks => condition.holds_for_number(number(5)?),
                JobField::Ended => condition.holds_for_number(number(6)?),
                JobField::Failure => condition.holds_for_text(text(7)?.and_then(failure_code)),
                JobField::Label(name) => {
                    let labels = labels.get_or_insert_with(|| labels_of(text(0).ok().flatten()));
                    condition.holds_for_text(labels.get(name).map(String::as_str))
                }
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Labels of a row's text.
pub(crate) fn labels_of(text: Option<&str>) -> BTreeMap<String, String> {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The stable word of a failure's text.
pub(crate) fn failure_code(text: &str) -> Option<String> {
    serde_json::from_str::<Failure>(text).ok().map(|failure| failure.code)
}

#[cfg(test)]
mod tests;
