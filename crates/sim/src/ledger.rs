//! What left the coordinator as a promise: accepted jobs, leases, verdicts, stops. Kept outside of
//! everything that can crash, and held against the rows.

use crate::check::Found;
use ciro_core::attempt::AttemptState;
use ciro_core::command::{Said, Verdict};
use ciro_core::id::{AttemptId, Hash, JobId, TenantKey, WorkerKey};
use ciro_store::{JobRows, ReportVerdict};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    submitted: BTreeMap<JobId, TenantKey>,
    keys: BTreeMap<(TenantKey, u64), Vec<JobId>>,
    /// Jobs that were refused for certain.
    refused: BTreeSet<JobId>,
    stopped: BTreeSet<JobId>,
    leases: BTreeMap<AttemptId, WorkerKey>,
    /// What a worker was told of what it said, and the hash of its result where it had one.
    told: BTreeMap<AttemptId, (AttemptState, WorkerKey, Option<Hash>)>,
}

impl Ledger {
    /// A submit was answered.
    pub(crate) fn submitted(
        &mut self,
        tenant: TenantKey,
        key: Option<u64>,
        ids: &[JobId],
        found: &mut Found,
    ) {
        self.submitted.extend(ids.iter().map(|id| (*id, tenant)));
        let Some(key) = key else { return };
        let first = self.keys.entry((tenant, key)).or_insert_with(|| ids.to_vec());
        if first != ids {
            found.violated("I2", format!("one idempotency key made {first:?} and {ids:?}"));
        }
    }

    /// The key of a job was used for another one, and that was accepted.
    pub(crate) fn misused(&mut self, ids: &[JobId], found: &mut Found) {
        found.violated("I3", format!("the key of another request was accepted again, for {ids:?}"));
    }

    /// A submit was answered with a refusal that says that nothing was done.
    pub(crate) fn refused(&mut self, job: JobId) {
        self.refused.insert(job);
    }

    /// A cancel was answered.
    pub(crate) fn stopped(&mut self, job: JobId) {
        self.stopped.insert(job);
    }

    /// A lease was handed out.
    pub(crate) fn leased(&mut self, attempt: AttemptId, worker: WorkerKey, found: &mut Found) {
        let first = *self.leases.entry(attempt).or_insert(worker);
        if first != worker {
            found.violated("I6", format!("{attempt} was handed to workers {first:?} and {worker:?}"));
        }
    }

    /// A line of a report was answered.
    pub(crate) fn told(
        &mut self,
        attempt: AttemptId,
        worker: WorkerKey,
        said: &Said,
        verdict: ReportVerdict,
        found: &mut Found,
    ) {
        let (state, hash) = match said {
            Said::Started => return,
            Said::Succeeded { hash, .. } => (AttemptState::Accepted, Some(*hash)),
            Said::Failed { .. } => (AttemptState::Failed, None),
            Said::Declined { .. } => (AttemptState::Declined, None),
            Said::Released => (AttemptState::Released, None),
        };
        let told = (state, worker, hash);
        match verdict {
            ReportVerdict::Engine(Verdict::LeaseLost) => {
                // The same content is answered the same, however often it comes.
                if self.told.get(&attempt) == Some(&told) {
                    found.violated(
                        "I11",
                        format!("{attempt}: what was taken was refused when it was repeated"),
                    );
                }
            }
            ReportVerdict::Engine(Verdict::Accepted | Verdict::Recorded) => {
                let first = *self.told.entry(attempt).or_insert(told);
                if first != told {
                    found.violated("I11", format!("{attempt} was taken as {first:?} and as {told:?}"));
                }
            }
            other => found.violated("I10", format!("{attempt}: {other:?}")),
        }
    }

    /// Every promise about one job.
    pub(crate) fn check_job(&self, rows: &JobRows, found: &mut Found) {
        let id = rows.job.id;
        if self.refused.contains(&id) {
            found.violated("G5", format!("{id} was refused and is there"));
        }
        if self.stopped.contains(&id) && rows.job.stop.is_none() && !rows.job.state.is_ended() {
            found.violated("I1", format!("{id}: its cancel was answered and is not there"));
        }
        let of_job = first_of(id)..=last_of(id);
        for (attempt, worker) in self.leases.range(of_job.clone()) {
            let row = row_of(rows, *attempt);
            if row.is_none_or(|row| row.worker != *worker) {
                found.violated("I6", format!("{attempt} was handed to {worker:?} and is not its own"));
            }
        }
        for (attempt, (state, worker, hash)) in self.told.range(of_job) {
            let row = row_of(rows, *attempt);
            let kept = row.is_some_and(|row| {
                let output = row.outcome.as_ref().and_then(|o| o.manifest_hash);
                row.state == *state && row.worker == *worker && output == *hash
            });
            if !kept {
                let is = row.map(|row| (row.state.name(), row.worker));
                found.violated(
                    "I1",
                    format!("{attempt}: {} of {worker:?} was answered; it is {is:?}", state.name()),
                );
            }
        }
    }

    /// Jobs that were accepted and are not there.
    pub(crate) fn check_jobs(&self, there: impl Fn(JobId) -> Option<TenantKey>, found: &mut Found) {
        for (id, tenant) in &self.submitted {
            if there(*id) != Some(*tenant) {
                found.violated("I1", format!("{id} was accepted and is not there"));
            }
        }
    }

    /// Jobs that were accepted.
    #[must_use]
    pub(crate) fn jobs(&self) -> usize {
        self.submitted.len()
    }
}

fn first_of(job: JobId) -> AttemptId {
    AttemptId { task: ciro_core::id::TaskId { job, no: 0 }, fence: 0 }
}

fn last_of(job: JobId) -> AttemptId {
    AttemptId { task: ciro_core::id::TaskId { job, no: u32::MAX }, fence: u32::MAX }
}

fn row_of(rows: &JobRows, id: AttemptId) -> Option<&ciro_core::attempt::Attempt> {
    let found = rows.attempts.binary_search_by_key(&(id.task.no, id.fence), |a| (a.key.task.no, a.key.fence));
    found.ok().map(|at| &rows.attempts[at])
}
