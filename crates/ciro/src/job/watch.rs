//! `job watch`: one job's progress until its end, or that of many in a table that is drawn over again.
//! The rows are asked for; what a stream could tell is in them too, and a server that comes back is
//! asked again.

use super::{show, wait};
use crate::again::patient;
use crate::cli::Context;
use crate::complete;
use crate::error::{Exit, Failure};
use crate::ids;
use crate::region::Region;
use crate::units;
use ciro_api::job::Job;
use ciro_api::page::PageQuery;
use ciro_core::id::JobId;
use ciro_core::job::JobState;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Jobs that are watched together.
const MOST: usize = 1_000;
/// The server's largest page.
const PAGE: u32 = 200;
/// Jobs that a failure names.
const NAMED: usize = 5;

/// Jobs to be watched.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// The jobs: ids, ends of them, `last`, or `-` for standard input
    #[arg(required_unless_present = "filter")]
    pub jobs: Vec<String>,
    /// All jobs that match, those that come meanwhile included: the filter of `job list`
    #[arg(long, value_name = "FILTER", allow_hyphen_values = true, conflicts_with = "jobs", add = complete::job_filter())]
    pub filter: Option<String>,
    /// Stop watching after that long; the jobs go on
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub timeout: Option<Duration>,
}

pub(super) async fn run(args: &WatchArgs, context: &Context) -> Result<(), Failure> {
    let ids = ids::jobs(&context.client, &args.jobs).await?;
    if let (None, [one]) = (&args.filter, &ids[..]) {
        return wait::watch_one(*one, args.timeout, context).await;
    }
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut watched = Watched { context, deadline, jobs: BTreeMap::new() };
    let mut told = Told::new(context);
    loop {
        match &args.filter {
            Some(filter) => watched.look_for(filter).await?,
            None => watched.look_at(&ids).await?,
        }
        told.tell(&watched.jobs);
        if watched.jobs.values().all(|job| job.state.is_ended()) {
            break;
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let open = watched.jobs.values().filter(|job| !job.state.is_ended()).count();
            return Err(Failure::new(Exit::Timeout, format!("{open} jobs have not ended in time"))
                .hint("they go on: `ciro job list --filter state:queued,running`"));
        }
        tokio::time::sleep(PERIOD).await;
    }
    told.region.clear();
    let jobs: Vec<Job> = watched.jobs.into_values().collect();
    context.out.many(&jobs, |job| job.id.to_string(), show::jobs)?;
    completed(&jobs)
}

/// The jobs as they were seen last.
struct Watched<'a> {
    context: &'a Context,
    deadline: Option<Instant>,
    jobs: BTreeMap<JobId, Job>,
}

impl Watched<'_> {
    /// Looks at those that have not ended.
    async fn look_at(&mut self, ids: &[JobId]) -> Result<(), Failure> {
        if ids.len() > MOST {
            return Err(Failure::usage(format!("{} jobs are too many to watch, {MOST} are not", ids.len())));
        }
        let client = &self.context.client;
        for id in ids {
            if self.jobs.get(id).is_none_or(|job| !job.state.is_ended()) {
                let job = patient(self.deadline, async || client.job_get(*id).await).await?;
                self.jobs.insert(*id, job);
            }
        }
        Ok(())
    }

    /// Looks at those that match, and at those that matched before.
    async fn look_for(&mut self, filter: &str) -> Result<(), Failure> {
        let client = &self.context.client;
        let mut page = PageQuery { filter: Some(filter.to_owned()), limit: Some(PAGE), cursor: None };
        let mut stale: Vec<JobId> =
            self.jobs.values().filter(|job| !job.state.is_ended()).map(|job| job.id).collect();
        loop {
            let found = patient(self.deadline, async || client.job_list(&page).await).await?;
            for job in found.items {
                stale.retain(|id| *id != job.id);
                self.jobs.insert(job.id, job);
            }
            if self.jobs.len() > MOST {
                return Err(Failure::usage(format!("more than {MOST} jobs match; watch fewer of them")));
            }
            page.cursor = found.next_cursor;
            if page.cursor.is_none() {
                break;
            }
        }
        if self.jobs.is_empty() {
            return Err(Failure::new(Exit::NotFound, format!("no job matches `{filter}`")));
        }
        self.look_at(&stale).await
    }
}

/// What those who watch have been told.
struct Told<'a> {
    context: &'a Context,
    region: Region,
    words: BTreeMap<JobId, String>,
}

impl Told<'_> {
    fn new(context: &Context) -> Told<'_> {
        Told { context, region: Region::default(), words: BTreeMap::new() }
    }

    /// Draws the table anew where it is seen, else says what changed, a line each.
    fn tell(&mut self, jobs: &BTreeMap<JobId, Job>) {
        if self.context.out.is_live() {
            let mut rows: Vec<Job> = jobs.values().cloned().collect();
            rows.sort_by_key(|job| (job.state.is_ended(), std::cmp::Reverse(job.ended_at), job.id));
            self.region.draw(&format!("{}\n\n{}", summary(jobs), show::jobs(&rows)));
            return;
        }
        for job in jobs.values() {
            let words = format!("{} {} {} tasks", job.id, job.phase, show::counts(job.tasks));
            if self.words.get(&job.id) != Some(&words) {
                self.context.out.remark(&words);
                self.words.insert(job.id, words);
            }
        }
    }
}

fn summary(jobs: &BTreeMap<JobId, Job>) -> String {
    let mut states: BTreeMap<JobState, usize> = BTreeMap::new();
    for job in jobs.values() {
        *states.entry(job.state).or_default() += 1;
    }
    let counts: Vec<String> = states.iter().map(|(state, n)| format!("{n} {}", state.name())).collect();
    format!("{}: {}", show::plural(jobs.len(), "job"), counts.join(", "))
}

/// One of many that did not complete is a failure of the command, as for one alone.
fn completed(jobs: &[Job]) -> Result<(), Failure> {
    let failed: Vec<&Job> = jobs.iter().filter(|job| job.state != JobState::Completed).collect();
    match failed[..] {
        [] => Ok(()),
        [one] => wait::completed(one),
        _ => {
            let named: Vec<String> =
                failed.iter().take(NAMED).map(|job| format!("{} {}", job.id, job.state.name())).collect();
            let more = if failed.len() > NAMED { ", …" } else { "" };
            let message = format!(
                "{} of {} jobs did not complete: {}{more}",
                failed.len(),
                jobs.len(),
                named.join(", ")
            );
            Err(Failure::new(Exit::JobFailed, message).hint("`ciro job events ID` shows what happened"))
        }
    }
}
