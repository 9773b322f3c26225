//! What a worker with a session has room for, and what its live attempts begin as.

use super::{Live, Seat};
use ciro_core::id::{AttemptId, AttemptKey, JobId, SessionKey, TaskId, TenantKey, WorkerKey};
use ciro_core::resources::{Held, Lack};
use ciro_core::spec::Requirement;
use ciro_core::worker::Capabilities;
use std::sync::Arc;

/// What a seat is made of.
#[derive(Debug)]
pub(crate) struct NewSeat {
    pub(crate) worker: WorkerKey,
    pub(crate) tenant: TenantKey,
    pub(crate) capabilities: Capabilities,
    pub(crate) online: bool,
    pub(crate) draining: bool,
}

impl Seat {
    /// Leases that may still be granted to the calls that wait.
    pub(super) fn room(&self) -> u32 {
        let wanted = self.taking.max(self.parked.as_ref().map_or(0, |p| p.max));
        wanted.saturating_sub(self.granted_now.len() as u32)
    }

    /// Whether one more fits: into the offer, or among the leases that wait in the worker.
    pub(super) fn fit(&self, requirement: &Requirement) -> Result<Vec<u16>, Lack> {
        let fit = self.capabilities.offer.fit(&requirement.resources, &self.held);
        let may_wait =
            self.extra < u32::from(self.capabilities.prefetch) && requirement.resources.gpus.is_empty();
        match fit {
            Err(_)
                if may_wait
                    && self.capabilities.offer.fit(&requirement.resources, &Held::default()).is_ok() =>
            {
                Ok(Vec::new())
            }
            fit => fit,
        }
    }
}

impl Live {
    pub(crate) fn new(
        id: AttemptId,
        session: SessionKey,
        requirement: Arc<Requirement>,
        gpus: Vec<u16>,
        now: u64,
    ) -> Live {
        Live {
            id,
            session,
            requirement,
            gpus,
            granted: now,
            confirmed: false,
            started: false,
            unlisted: false,
            restored: false,
            stop: None,
            progress: 0,
            moved: now,
        }
    }

    /// The public id of an attempt of `job`.
    pub(crate) fn id_of(job: JobId, key: AttemptKey) -> AttemptId {
        AttemptId { task: TaskId { job, no: key.task.no }, fence: key.fence }
    }
}
