//! Which session gets a task: the first in the policy's order that may and can run it.

use super::{Fleet, Live, Seat};
use crate::index::Class;
use ciro_core::id::{AttemptKey, SessionKey, WorkerKey};
use ciro_core::schedule::{Standing, rank, takes};
use ciro_core::spec::Requirement;
use rustc_hash::FxHashMap;

impl Fleet {
    /// The session can be granted more than before, perhaps what nobody could be granted.
    pub(super) fn rerank_freed(&mut self, session: SessionKey) {
        self.rerank(session);
        if let Some(seat) = self.seats.get(&session).filter(|seat| seat.rank.is_some()) {
            self.takers.wake(seat.group);
        }
    }

    /// Puts a session where it belongs among those that can be granted something.
    pub(super) fn rerank(&mut self, session: SessionKey) {
        let Some(seat) = self.seats.get_mut(&session) else { return };
        if let Some(rank) = seat.rank.take() {
            self.takers.remove(seat.group, rank, session);
        }
        if seat.room() > 0 && seat.online && seat.duty.works() {
            let standing = Standing {
                load_permille: seat.capabilities.offer.load_permille(&seat.held),
                attempts: seat.held.attempts(),
                last_granted: seat.last_granted,
                price: seat.capabilities.price,
            };
            let rank = rank(self.policy, &standing);
            seat.rank = Some(rank);
            self.takers.insert(seat.group, rank, session);
        }
    }

    /// The first session in the policy's order that may and can run it, with the GPUs it would
    /// take. Parked calls whose caller went away are let go on the way.
    pub(crate) fn choose(
        &mut self,
        class: Class,
        requirement: &Requirement,
        excluded: impl Fn(WorkerKey) -> bool,
    ) -> Option<(SessionKey, Vec<u16>)> {
        let named = self.takers.name_labels(class, requirement);
        if !named.is_empty() {
            self.regroup(&named);
        }
        let mut gone = Vec::new();
        let mut chosen = None;
        for session in self.takers.in_order(class, requirement) {
            let Some(seat) = self.seats.get(&session) else { continue };
            if !seat.is_awaited() {
                gone.push(session);
                continue;
            }
            let of_kind = of_kind(&self.live, seat, requirement);
            if let Ok(gpus) = takes(requirement, &seat.candidate(of_kind, excluded(seat.worker))) {
                chosen = Some((session, gpus));
                break;
            }
        }
        for session in gone {
            if let Some(seat) = self.seats.get_mut(&session) {
                seat.parked = None;
            }
            self.rerank(session);
        }
        chosen
    }

    /// No worker takes a task of the class that [`Self::choose`] was asked for: it is told by
    /// [`Self::take_woken`] when that may have changed.
    pub(crate) fn await_change(&mut self, class: Class) {
        self.takers.await_change(class);
    }

    /// Classes for which something may have changed since they were given up.
    pub(crate) fn take_woken(&mut self) -> impl Iterator<Item = Class> + use<> {
        self.takers.take_woken()
    }

    /// Workers that have one of these labels are told apart by it from now on.
    fn regroup(&mut self, labels: &[String]) {
        for (session, seat) in &mut self.seats {
            if !labels.iter().any(|label| seat.capabilities.labels.contains_key(label)) {
                continue;
            }
            let group = self.takers.sit(&seat.capabilities);
            let left = std::mem::replace(&mut seat.group, group);
            if let Some(rank) = seat.rank {
                self.takers.remove(left, rank, *session);
                self.takers.insert(group, rank, *session);
            }
            self.takers.leave(left);
        }
    }

    /// Attempts of this kind that a worker holds; not counted where it has no bound for them.
    pub(crate) fn of_kind(&self, seat: &Seat, requirement: &Requirement) -> u32 {
        of_kind(&self.live, seat, requirement)
    }
}

fn of_kind(live: &FxHashMap<AttemptKey, Live>, seat: &Seat, requirement: &Requirement) -> u32 {
    if !seat.capabilities.max_by_kind.contains_key(&requirement.kind) {
        return 0;
    }
    let held = seat.attempts.iter().filter_map(|key| live.get(key));
    held.filter(|live| live.requirement.kind == requirement.kind).count() as u32
}
