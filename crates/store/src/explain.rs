//! Why a job waits, as the writer knows it: where its tasks stand in the ready index, and how the
//! fleet looks at what the first of them requires. Changes nothing. Both walks are bounded, since
//! the writer has other things to do: what was not walked is said to be so.

use crate::Error;
use crate::database::Database;
use crate::index::Standing;
use crate::state::State;
use ciro_core::id::{JobKey, TenantKey, WorkerKey};
use ciro_core::job::Job;
use ciro_core::schedule::{Candidate, Survey, Waiting};
use ciro_core::spec::Requirement;
use ciro_core::time::Timestamp;
use std::sync::Arc;

/// Workers that one question looks at.
pub const MAX_SURVEYED: usize = 10_000;

/// What the writer knows of a job that has not ended.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// Its row.
    pub job: Job,
    /// Its tasks, by what they wait for.
    pub tasks: Waiting,
    /// Of the tasks that come first, those that require the same.
    pub ahead_alike: u64,
    /// Whether `tasks` and `ahead_alike` are complete; else there are at least so many.
    pub exact: bool,
    /// When the first of its delayed tasks is ready.
    pub next_ready: Option<Timestamp>,
    /// The first of its tasks that waits.
    pub task: Option<u32>,
    /// When the first worker is asked for that task again.
    pub excluded_until: Option<Timestamp>,
    /// What that task requires, or the job's tasks do.
    pub requirement: Arc<Requirement>,
    /// The workers held against it.
    pub fleet: FleetSurvey,
    /// How many live attempts the tenant has, and how many it may, where that holds it back.
    pub quota: Option<(u64, u64)>,
}

/// Workers held against a requirement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetSurvey {
    /// What was seen.
    pub survey: Survey,
    /// Whether every worker was looked at.
    pub exact: bool,
}

impl<D: Database> State<D> {
    /// See the module.
    pub(crate) fn explain(&mut self, tenant: TenantKey, job: JobKey) -> Result<Explanation, Error> {
        let found = self.set.job(&self.db, job)?.filter(|job| job.tenant == tenant);
        let job = found.cloned().ok_or(Error::NotFound)?;
        let Standing { ready, delayed, next_ready, first, ahead, ahead_alike, exact } =
            self.index.standing(tenant, job.order_key(), job.key);
        let class = match first {
            Some((_, class)) => class,
            None => self.index.stored(job.class)?,
        };
        let requirement = self.index.requirement(class);
        let (index, now) = (&self.index, self.now);
        let excluded = |worker| first.is_some_and(|(task, _)| index.is_excluded(task, worker, now));
        let running = self.fleet.running_of(tenant);
        let held_back = self.tenants.holds_back(tenant, || running);
        let fleet = self.survey(&requirement, held_back, excluded);
        let quota = self.tenants.running_cap(tenant).filter(|_| held_back).map(|cap| (running, cap));
        let live = u64::from(self.fleet.live_of_job(job.id));
        Ok(Explanation {
            tasks: Waiting { ready, delayed, live, ahead },
            ahead_alike,
            exact,
            next_ready,
            task: first.map(|(task, _)| task.no),
            excluded_until: first.and_then(|(task, _)| self.index.excluded_until(task, now)),
            requirement,
            fleet,
            quota,
            job,
        })
    }

    /// The fleet held against `requirement`.
    pub(crate) fn survey(
        &self,
        requirement: &Requirement,
        held_back: bool,
        excluded: impl Fn(WorkerKey) -> bool,
    ) -> FleetSurvey {
        let mut survey = Survey::default();
        for (_, seat) in self.fleet.seats().take(MAX_SURVEYED) {
            let of_kind = self.fleet.of_kind(seat, requirement);
            let seen = Candidate { held_back, ..seat.candidate(of_kind, excluded(seat.worker)) };
            survey.see(requirement, &seen);
        }
        FleetSurvey { survey, exact: self.fleet.sessions() <= MAX_SURVEYED }
    }
}
