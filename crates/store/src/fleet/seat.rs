//! What a worker with a session has room for, and what its live attempts begin as.

use super::{Fleet, Live, Seat};
use crate::request::Work;
use ciro_core::id::{AttemptId, AttemptKey, CoordinatorKey, JobId, SessionKey, TaskId, TenantKey, WorkerKey};
use ciro_core::schedule::Candidate;
use ciro_core::spec::Requirement;
use ciro_core::worker::{Capabilities, Duty};
use std::sync::Arc;

/// What a seat is made of.
#[derive(Debug)]
pub(crate) struct NewSeat {
    /// Who hears of it.
    pub(crate) home: CoordinatorKey,
    pub(crate) worker: WorkerKey,
    pub(crate) tenant: TenantKey,
    pub(crate) capabilities: Capabilities,
    pub(crate) online: bool,
    pub(crate) duty: Duty,
}

impl Seat {
    /// Leases that may still be granted to the calls that wait.
    pub(super) fn room(&self) -> u32 {
        let wanted = self.taking.max(self.parked.as_ref().map_or(0, |p| p.max));
        wanted.saturating_sub(self.granted_now.len() as u32)
    }

    /// Leases that the parked call asks for, where there is one whose caller is still there.
    pub(crate) fn parked(&self) -> Option<u32> {
        self.parked.as_ref().filter(|p| !p.reply.is_closed()).map(|p| p.max)
    }

    /// Whether a call waits for leases, and its caller is still there.
    pub(super) fn is_awaited(&self) -> bool {
        self.taking > 0 || self.parked().is_some()
    }

    /// The worker as placement sees it; `of_kind` of its attempts are of the task's kind.
    pub(crate) fn candidate(&self, of_kind: u32, excluded: bool) -> Candidate<'_> {
        Candidate {
            online: self.online,
            duty: self.duty,
            room: if self.is_awaited() { self.room() } else { 0 },
            of_kind,
            excluded,
            // Placement passes over such tenants before it looks at workers.
            held_back: false,
            capabilities: &self.capabilities,
            held: &self.held,
            ahead: self.extra,
        }
    }
}

impl Fleet {
    /// A session talks to another coordinator from now on. Its parked call here is let go; what it was
    /// granted there may not have reached its worker, which its next sign of life shows.
    pub(crate) fn settle_at(&mut self, session: SessionKey, home: CoordinatorKey, now: u64) {
        let Some(seat) = self.seats.get_mut(&session) else { return };
        seat.home = home;
        seat.renewed = now;
        seat.taking = 0;
        let parked = seat.parked.take();
        for key in &seat.attempts {
            if let Some(live) = self.live.get_mut(key) {
                live.restored |= !live.confirmed;
                live.moved = now;
            }
        }
        if let Some(parked) = parked {
            // Whoever still waits for it asks again.
            let _ = parked.reply.send(Ok(Work::default()));
        }
        self.deliveries.retain(|delivery| delivery.session != session);
        self.rerank_freed(session);
    }
}

impl Live {
    pub(crate) fn new(
        id: AttemptId,
        tenant: TenantKey,
        session: SessionKey,
        requirement: Arc<Requirement>,
        gpus: Vec<u16>,
        now: u64,
    ) -> Live {
        Live {
            id,
            tenant,
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
