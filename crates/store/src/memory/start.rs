//! What a start reads.

use super::Memory;
use crate::Error;
use crate::database::{SeatRow, StartTables, WaitingRow};
use crate::index::Place;
use crate::quota::Caps;
use ciro_core::attempt::Attempt;
use ciro_core::id::{AttemptKey, ClassKey, JobId, SessionKey, TenantKey, WorkerKey};
use ciro_core::spec::Requirement;
use ciro_core::task::TaskState;
use std::collections::BTreeMap;

impl StartTables for Memory {
    fn last_job(&self) -> Result<i64, Error> {
        Ok(self.jobs.last().map_or(0, |key| key.0))
    }

    fn last_position(&self) -> Result<i64, Error> {
        Ok(self.events.last().copied().unwrap_or_default())
    }

    fn fence_floor(&self) -> Result<u32, Error> {
        Ok(0)
    }

    fn count_open_tasks(&self) -> Result<u64, Error> {
        let open = self.due.iter().filter_map(|((_, key), ())| self.jobs.get(key));
        Ok(open.map(|job| u64::from(job.open_tasks)).sum())
    }

    fn count_open_jobs(&self) -> Result<Vec<(TenantKey, u64)>, Error> {
        let mut open: BTreeMap<TenantKey, u64> = BTreeMap::new();
        for ((tenant, _, state), jobs) in self.counts.iter() {
            if !state.is_ended() {
                *open.entry(*tenant).or_default() += jobs;
            }
        }
        Ok(open.into_iter().collect())
    }

    fn classes(&self, mut each: impl FnMut(ClassKey, &Requirement)) -> Result<(), Error> {
        self.classes.iter().for_each(|(key, requirement)| each(*key, requirement));
        Ok(())
    }

    fn tenants(&self) -> Result<Vec<(TenantKey, u32, Caps)>, Error> {
        Ok(self.tenants.clone())
    }

    fn seats(&self) -> Result<Vec<SeatRow>, Error> {
        let mut seats: Vec<SeatRow> =
            self.open.iter().filter_map(|(key, session)| self.row(*key, *session)).collect();
        seats.sort_unstable_by_key(|seat| seat.session);
        Ok(seats)
    }

    fn seat(&self, session: SessionKey) -> Result<Option<SeatRow>, Error> {
        let worker = self.sessions.get(&session).map(|row| row.worker);
        let open = worker.filter(|worker| self.open.get(worker) == Some(&session));
        Ok(open.and_then(|worker| self.row(worker, session)))
    }

    fn class(&self, key: ClassKey) -> Result<Option<Requirement>, Error> {
        Ok(self.classes.get(&key).cloned())
    }

    fn all_live_attempts(&self) -> Result<Vec<(Attempt, JobId)>, Error> {
        let keys = self.live.iter().map(|((task, _), fence)| AttemptKey { task: *task, fence: *fence });
        let mut keys: Vec<AttemptKey> = keys.collect();
        keys.sort_unstable();
        let found =
            |key: &AttemptKey| Some((self.attempts.get(key)?.clone(), self.jobs.get(&key.task.job)?.id));
        Ok(keys.iter().filter_map(found).collect())
    }

    fn waiting_tasks(&self, mut each: impl FnMut(WaitingRow) -> Result<(), Error>) -> Result<(), Error> {
        for (key, job) in self.jobs.iter().filter(|(_, job)| job.grants_allowed()) {
            for task in self.tasks_of(*key, 0) {
                if task.state == TaskState::Open && !self.is_live(task.key) {
                    each(WaitingRow {
                        tenant: job.tenant,
                        class: job.class,
                        place: Place { order: job.order_key(), job: *key, first: task.key.no },
                        memory_doublings: task.memory_doublings,
                        not_before: task.not_before,
                    })?;
                }
            }
        }
        Ok(())
    }
}

impl Memory {
    fn row(&self, key: WorkerKey, session: SessionKey) -> Option<SeatRow> {
        let worker = &self.workers.get(&key)?.worker;
        Some(SeatRow {
            session,
            coordinator: self.sessions.get(&session)?.coordinator,
            worker: key,
            tenant: worker.tenant,
            capabilities: worker.capabilities.clone(),
            state: Some(worker.state),
        })
    }
}
