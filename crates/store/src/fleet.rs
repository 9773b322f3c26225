//! The fleet in memory: sessions, what their workers offer and hold, parked polls, deliveries.
//! Owned by the writer; rebuilt from rows at start, when every lease gets one fresh term.
//!
//! Invariant: what a worker holds is the sum over its live attempts.

mod choice;
mod seat;
mod takers;
#[cfg(test)]
mod tests;

pub(crate) use seat::NewSeat;

use crate::error::Error;
use crate::request::{GrantedLease, Reply, Work, WorkerSeen};
use ciro_core::id::{AttemptId, AttemptKey, CoordinatorKey, JobId, JobKey, SessionKey, TenantKey, WorkerKey};
use ciro_core::mutant::{Mutant, planted};
use ciro_core::resources::Held;
use ciro_core::schedule::{PlacementPolicy, Rank, admits};
use ciro_core::spec::Requirement;
use ciro_core::time::Timestamp;
use ciro_core::worker::{Capabilities, Duty};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
pub use takers::REMEMBERED;
use takers::{GroupNo, Takers};

/// An unacknowledged delivery is revoked after so long.
pub(crate) const DELIVERY_MS: u64 = 5_000;

/// One worker with a session.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The coordinator that has its parked calls and hears its signs of life.
    pub(crate) home: CoordinatorKey,
    pub(crate) worker: WorkerKey,
    pub(crate) tenant: TenantKey,
    pub(crate) capabilities: Capabilities,
    pub(crate) held: Held,
    pub(crate) attempts: FxHashSet<AttemptKey>,
    /// Monotonic ms of the last heartbeat.
    pub(crate) renewed: u64,
    /// When a call of it last came; `None` since this process began.
    pub(crate) heard_at: Option<Timestamp>,
    pub(crate) online: bool,
    pub(crate) duty: Duty,
    drain_told: bool,
    /// Attempts to stop that the worker has not been told of.
    stops: Vec<AttemptKey>,
    /// Attempts that were taken from it and that it has not been told of; no more than it held.
    revoked: Vec<AttemptId>,
    parked: Option<Parked>,
    /// Leases that a reports call of this group takes with it.
    taking: u32,
    granted_now: Vec<GrantedLease>,
    /// Leases beyond the offer that wait in the worker.
    extra: u32,
    last_granted: u64,
    group: GroupNo,
    /// Where it stands in its group, while it can be granted something.
    rank: Option<Rank>,
}

#[derive(Debug)]
struct Parked {
    max: u32,
    reply: Reply<Work>,
}

/// A live attempt: what it holds, and how its worker keeps it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: AttemptId,
    /// Whose job it is of.
    pub(crate) tenant: TenantKey,
    pub(crate) session: SessionKey,
    pub(crate) requirement: Arc<Requirement>,
    pub(crate) gpus: Vec<u16>,
    /// Monotonic ms of the grant.
    pub(crate) granted: u64,
    /// The worker has shown that it has it.
    pub(crate) confirmed: bool,
    /// The worker said that it began; before, it waits there and cannot stand still.
    pub(crate) started: bool,
    /// The last heartbeat did not list it.
    pub(crate) unlisted: bool,
    /// Known from rows only: nobody waits for its acknowledgement.
    pub(crate) restored: bool,
    /// Its job is being stopped; revoked at this time.
    pub(crate) stop: Option<Timestamp>,
    progress: u64,
    /// Monotonic ms of the last progress.
    pub(crate) moved: u64,
}

#[derive(Debug)]
struct Delivery {
    id: u64,
    sent: u64,
    session: SessionKey,
    attempts: Vec<AttemptKey>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) policy: PlacementPolicy,
    seats: FxHashMap<SessionKey, Seat>,
    by_worker: FxHashMap<WorkerKey, SessionKey>,
    live: FxHashMap<AttemptKey, Live>,
    /// Live attempts of each tenant's jobs.
    running: FxHashMap<TenantKey, u64>,
    job_keys: FxHashMap<JobId, (JobKey, u32)>,
    takers: Takers,
    answerable: FxHashSet<SessionKey>,
    deliveries: VecDeque<Delivery>,
    next_delivery: u64,
    grants: u64,
}

/// What comes out of a hash map, in an order that does not depend on it: whatever is decided, written
/// or told one after the other follows from the questions alone, on every machine.
pub(crate) fn sorted<T: Ord>(found: impl Iterator<Item = T>) -> Vec<T> {
    let mut found: Vec<T> = found.collect();
    found.sort_unstable();
    found
}

impl Fleet {
    pub(crate) fn new(policy: PlacementPolicy, first_delivery: u64) -> Fleet {
        Fleet {
            policy,
            seats: FxHashMap::default(),
            by_worker: FxHashMap::default(),
            live: FxHashMap::default(),
            running: FxHashMap::default(),
            job_keys: FxHashMap::default(),
            takers: Takers::default(),
            answerable: FxHashSet::default(),
            deliveries: VecDeque::new(),
            next_delivery: first_delivery,
            grants: 0,
        }
    }

    pub(crate) fn seat(&self, session: SessionKey) -> Option<&Seat> {
        self.seats.get(&session)
    }

    pub(crate) fn seat_mut(&mut self, session: SessionKey) -> Option<&mut Seat> {
        self.seats.get_mut(&session)
    }

    pub(crate) fn seats(&self) -> impl Iterator<Item = (SessionKey, &Seat)> {
        self.seats.iter().map(|(key, seat)| (*key, seat))
    }

    pub(crate) fn session_of(&self, worker: WorkerKey) -> Option<SessionKey> {
        self.by_worker.get(&worker).copied()
    }

    /// What is known of each of `workers`.
    pub(crate) fn seen(&self, workers: &[WorkerKey]) -> Vec<WorkerSeen> {
        let seat = |worker| self.by_worker.get(worker).and_then(|key| self.seats.get(key));
        workers.iter().map(|worker| seat(worker).map(|seat| self.seen_of(seat)).unwrap_or_default()).collect()
    }

    fn seen_of(&self, seat: &Seat) -> WorkerSeen {
        let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
        for live in seat.attempts.iter().filter_map(|key| self.live.get(key)) {
            match kinds.get_mut(&live.requirement.kind) {
                Some(count) => *count += 1,
                None => drop(kinds.insert(live.requirement.kind.clone(), 1)),
            }
        }
        WorkerSeen { heard_at: seat.heard_at, held: seat.held.clone(), kinds }
    }

    pub(crate) fn sessions(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn parked(&self) -> usize {
        self.seats.values().filter(|s| s.parked.is_some()).count()
    }

    /// Deliveries that wait for their acknowledgement.
    pub(crate) fn deliveries(&self) -> usize {
        self.deliveries.len()
    }

    pub(crate) fn live(&self, key: AttemptKey) -> Option<&Live> {
        self.live.get(&key)
    }

    pub(crate) fn live_mut(&mut self, key: AttemptKey) -> Option<&mut Live> {
        self.live.get_mut(&key)
    }

    pub(crate) fn lives(&self) -> impl Iterator<Item = (AttemptKey, &Live)> {
        self.live.iter().map(|(key, live)| (*key, live))
    }

    pub(crate) fn live_count(&self) -> usize {
        self.live.len()
    }

    /// Live attempts of a job.
    pub(crate) fn live_of_job(&self, id: JobId) -> u32 {
        self.job_keys.get(&id).map_or(0, |(_, live)| *live)
    }

    /// Live attempts of a tenant's jobs.
    pub(crate) fn running_of(&self, tenant: TenantKey) -> u64 {
        self.running.get(&tenant).copied().unwrap_or_default()
    }

    pub(crate) fn live_of(&self, job: JobKey) -> Vec<AttemptKey> {
        sorted(self.live.keys().filter(|k| k.task.job == job).copied())
    }

    /// Live attempts that a session has.
    pub(crate) fn attempts_of(&self, session: SessionKey) -> Vec<AttemptKey> {
        self.seats.get(&session).map(|seat| sorted(seat.attempts.iter().copied())).unwrap_or_default()
    }

    /// The store's key of a job that has live attempts.
    pub(crate) fn job_key(&self, id: JobId) -> Option<JobKey> {
        self.job_keys.get(&id).map(|(key, _)| *key)
    }

    /// The most memory that a task can be raised to after `oom`: no more than the largest of the
    /// known workers has that may run it, or it would wait for ever.
    pub(crate) fn memory_cap_bytes(&self, requirement: &Requirement, cap: u64) -> u64 {
        let able = self.seats.values().filter(|s| admits(requirement, &s.capabilities).is_ok());
        able.map(|s| s.capabilities.offer.memory_bytes).max().unwrap_or(cap).min(cap)
    }

    /// Leases that the calls that wait have room for.
    pub(crate) fn room(&self) -> usize {
        self.seats.values().filter(|s| s.is_awaited()).map(|s| s.room() as usize).sum()
    }

    pub(crate) fn has_takers(&self) -> bool {
        !self.takers.is_empty()
    }

    pub(crate) fn sit(&mut self, session: SessionKey, seat: NewSeat, now: u64) {
        self.by_worker.insert(seat.worker, session);
        let group = self.takers.sit(&seat.capabilities);
        let seat = Seat {
            home: seat.home,
            worker: seat.worker,
            tenant: seat.tenant,
            capabilities: seat.capabilities,
            held: Held::default(),
            attempts: FxHashSet::default(),
            renewed: now,
            heard_at: None,
            online: seat.online,
            duty: seat.duty,
            drain_told: false,
            stops: Vec::new(),
            revoked: Vec::new(),
            parked: None,
            taking: 0,
            granted_now: Vec::new(),
            extra: 0,
            last_granted: 0,
            group,
            rank: None,
        };
        self.seats.insert(session, seat);
    }

    /// Takes a seat away; its attempts must have been ended or moved before.
    pub(crate) fn leave(&mut self, session: SessionKey) {
        if let Some(mut seat) = self.seats.remove(&session) {
            if let Some(parked) = seat.parked.take() {
                // Told before COMMIT, and safe all the same: whoever hears it opens a new session.
                let _ = parked.reply.send(Err(Error::SessionEnded));
            }
            if let Some(rank) = seat.rank {
                self.takers.remove(seat.group, rank, session);
            }
            self.takers.leave(seat.group);
            if self.by_worker.get(&seat.worker) == Some(&session) {
                self.by_worker.remove(&seat.worker);
            }
        }
    }

    /// Parks a call; an earlier one of the same session is answered empty.
    pub(crate) fn park(&mut self, session: SessionKey, max: u32, reply: Reply<Work>) {
        let Some(seat) = self.seats.get_mut(&session) else { return };
        let drain = !seat.duty.works();
        if let Some(earlier) = seat.parked.replace(Parked { max, reply }) {
            // The caller that parked it may be gone; then nobody needs the answer.
            let _ = earlier.reply.send(Ok(Work { drain, ..Work::default() }));
        }
        if !seat.stops.is_empty() || !seat.revoked.is_empty() || (drain && !seat.drain_told) {
            self.answerable.insert(session);
        }
        self.rerank_freed(session);
    }

    /// A reports call takes up to `n` new leases with it.
    pub(crate) fn taking(&mut self, session: SessionKey, n: u32) {
        if let Some(seat) = self.seats.get_mut(&session) {
            seat.taking = n;
            self.rerank_freed(session);
        }
    }

    /// Prefers workers by another policy from now on.
    pub(crate) fn place_by(&mut self, policy: PlacementPolicy) {
        if self.policy != policy {
            self.policy = policy;
            let sessions: Vec<SessionKey> = self.seats.keys().copied().collect();
            sessions.into_iter().for_each(|session| self.rerank(session));
        }
    }

    /// Books a grant on its session.
    pub(crate) fn granted(&mut self, key: AttemptKey, live: Live, lease: GrantedLease) {
        let session = live.session;
        self.grants += 1;
        if let Some(seat) = self.seats.get_mut(&session) {
            if seat.capabilities.offer.fit(&live.requirement.resources, &seat.held).is_err() {
                seat.extra += 1;
            }
            seat.last_granted = self.grants;
            seat.granted_now.push(lease);
            self.answerable.insert(session);
        }
        self.hold(key, live);
    }

    /// Counts a live attempt in, new or from rows.
    pub(crate) fn hold(&mut self, key: AttemptKey, live: Live) {
        if let Some(seat) = self.seats.get_mut(&live.session) {
            seat.held.add(&live.requirement.resources, &live.gpus);
            seat.attempts.insert(key);
        }
        let session = live.session;
        *self.running.entry(live.tenant).or_default() += 1;
        self.job_keys.entry(live.id.task.job).or_insert((key.task.job, 0)).1 += 1;
        self.live.insert(key, live);
        self.rerank(session);
    }

    /// Counts an attempt out that is no longer live.
    pub(crate) fn ended(&mut self, key: AttemptKey) {
        let Some(live) = self.live.remove(&key) else { return };
        if let Some(running) = self.running.get_mut(&live.tenant) {
            *running -= 1;
        }
        if let Some((_, refs)) = self.job_keys.get_mut(&live.id.task.job) {
            *refs -= 1;
            if *refs == 0 {
                self.job_keys.remove(&live.id.task.job);
            }
        }
        if let Some(seat) = self.seats.get_mut(&live.session) {
            if !planted(Mutant::CapacityLeak) {
                seat.held.remove(&live.requirement.resources, &live.gpus);
            }
            seat.attempts.remove(&key);
            seat.stops.retain(|k| *k != key);
            seat.extra = seat.extra.saturating_sub(1);
        }
        self.rerank_freed(live.session);
    }

    /// Moves live attempts that a worker kept from one session to its next.
    pub(crate) fn move_attempts(&mut self, from: SessionKey, to: SessionKey) {
        let keys = match self.seats.contains_key(&from) {
            true => self.attempts_of(from),
            // Another coordinator's session that came and went between two looks.
            false => sorted(self.live.iter().filter(|(_, l)| l.session == from).map(|(key, _)| *key)),
        };
        for key in keys {
            if let Some(mut live) = self.live.remove(&key) {
                if let Some(seat) = self.seats.get_mut(&from) {
                    seat.held.remove(&live.requirement.resources, &live.gpus);
                    seat.attempts.remove(&key);
                }
                if let Some(seat) = self.seats.get_mut(&to) {
                    seat.held.add(&live.requirement.resources, &live.gpus);
                    seat.attempts.insert(key);
                    // The earlier session may have ended before the worker was told.
                    seat.stops.extend(live.stop.map(|_| key));
                }
                live.session = to;
                live.confirmed = true;
                self.live.insert(key, live);
            }
        }
    }

    /// A worker must be told to stop an attempt.
    pub(crate) fn tell_stop(&mut self, key: AttemptKey, revoke_at: Timestamp) {
        let Some(live) = self.live.get_mut(&key) else { return };
        live.stop = Some(revoke_at);
        let session = live.session;
        if let Some(seat) = self.seats.get_mut(&session) {
            if !seat.stops.contains(&key) {
                seat.stops.push(key);
            }
            self.answerable.insert(session);
        }
    }

    /// The attempt is being taken from its worker; the worker's parked call says so, where the
    /// worker knows of the attempt at all.
    pub(crate) fn tell_revoked(&mut self, key: AttemptKey) {
        let Some(live) = self.live.get(&key).filter(|live| live.confirmed) else { return };
        if let Some(seat) = self.seats.get_mut(&live.session) {
            seat.revoked.push(live.id);
            self.answerable.insert(live.session);
        }
    }

    /// What the session is to stop. Nothing of it needs to be told again by a parked call.
    pub(crate) fn stops(&mut self, session: SessionKey, wall: Timestamp) -> Vec<(AttemptId, u64)> {
        let Some(seat) = self.seats.get_mut(&session) else { return Vec::new() };
        seat.stops.clear();
        let revoked = std::mem::take(&mut seat.revoked).into_iter().map(|id| (id, 0));
        let lives = seat.attempts.iter().filter_map(|key| Some((*key, self.live.get(key)?)));
        let stopping = sorted(lives.filter_map(|(key, live)| live.stop.map(|at| (key, live.id, at))));
        stopping.into_iter().map(|(_, id, at)| (id, at.since_ms(wall))).chain(revoked).collect()
    }

    /// The worker takes new work from now on, or no longer; its parked call says so.
    pub(crate) fn set_duty(&mut self, session: SessionKey, duty: Duty) {
        if let Some(seat) = self.seats.get_mut(&session) {
            seat.duty = duty;
            seat.drain_told = false;
            self.answerable.insert(session);
            self.rerank_freed(session);
        }
    }

    /// A session was heard of.
    pub(crate) fn set_online(&mut self, session: SessionKey, online: bool) {
        if let Some(seat) = self.seats.get_mut(&session) {
            seat.online = online;
            self.rerank_freed(session);
        }
    }

    /// Deliveries that arrived.
    pub(crate) fn acknowledge(&mut self, session: SessionKey, acks: &[u64]) {
        for ack in acks {
            let found = self.deliveries.iter().position(|d| d.id == *ack && d.session == session);
            if let Some(delivery) = found.and_then(|i| self.deliveries.remove(i)) {
                for key in delivery.attempts {
                    if let Some(live) = self.live.get_mut(&key) {
                        live.confirmed = true;
                    }
                }
            }
        }
    }

    /// Attempts of deliveries that nobody acknowledged in time.
    pub(crate) fn undelivered(&mut self, now: u64) -> Vec<AttemptKey> {
        let mut out = Vec::new();
        while self.deliveries.front().is_some_and(|d| now.saturating_sub(d.sent) >= DELIVERY_MS) {
            let Some(delivery) = self.deliveries.pop_front() else { break };
            let unconfirmed = |k: &AttemptKey| self.live.get(k).is_some_and(|l| !l.confirmed);
            out.extend(delivery.attempts.into_iter().filter(unconfirmed));
        }
        out
    }

    /// Attempts of workers that talk to `home` and are alive, that run, and that have not moved for `after` ms.
    pub(crate) fn stalled(
        &self,
        home: CoordinatorKey,
        now: u64,
        after: u64,
    ) -> impl Iterator<Item = AttemptKey> {
        let stands_still = move |l: &Live| l.started && now.saturating_sub(l.moved) > after;
        let here = move |l: &Live| self.seats.get(&l.session).is_none_or(|seat| seat.home == home);
        self.live.iter().filter(move |(_, l)| stands_still(l) && here(l)).map(|(key, _)| *key)
    }

    /// Monotonic ms at which the oldest delivery is due.
    pub(crate) fn next_delivery_due(&self) -> Option<u64> {
        self.deliveries.front().map(|d| d.sent + DELIVERY_MS)
    }

    /// After a pause: nobody is late.
    pub(crate) fn forgive(&mut self, now: u64) {
        for seat in self.seats.values_mut() {
            seat.renewed = now;
        }
        for delivery in &mut self.deliveries {
            delivery.sent = now;
        }
        for live in self.live.values_mut() {
            live.moved = now;
        }
    }

    /// An attempt began; from now on it is expected to move. How long it waited for that, ms, where
    /// this process saw both its grant and its start.
    pub(crate) fn started(&mut self, key: AttemptKey, now: u64) -> Option<u64> {
        let live = self.live.get_mut(&key)?;
        live.moved = now;
        let begins = !std::mem::replace(&mut live.started, true);
        (begins && !live.restored).then(|| now.saturating_sub(live.granted))
    }

    /// What a worker says of an attempt's progress; whether the attempt is this session's.
    pub(crate) fn progress(&mut self, session: SessionKey, key: AttemptKey, progress: u64, now: u64) -> bool {
        match self.live.get_mut(&key) {
            Some(live) if live.session == session => {
                live.confirmed = true;
                live.unlisted = false;
                if live.progress != progress {
                    live.progress = progress;
                    live.moved = now;
                }
                true
            }
            _ => false,
        }
    }

    /// What a reports call takes with it: leases that were granted to it, and stops.
    pub(crate) fn collect(&mut self, session: SessionKey, now: u64, wall: Timestamp) -> Work {
        let Some(seat) = self.seats.get_mut(&session) else { return Work::default() };
        seat.taking = 0;
        let leases = std::mem::take(&mut seat.granted_now);
        let stops = std::mem::take(&mut seat.stops);
        let revoked = std::mem::take(&mut seat.revoked).into_iter().map(|id| (id, 0));
        let drain = !seat.duty.works();
        seat.drain_told = drain;
        let stop = stops
            .iter()
            .filter_map(|key| self.live.get(key))
            .map(|l| (l.id, l.stop.map_or(0, |at| at.since_ms(wall))))
            .chain(revoked)
            .collect();
        let delivery = (!leases.is_empty()).then(|| {
            self.next_delivery += 1;
            let attempts = leases.iter().map(|l| l.key).collect();
            self.deliveries.push_back(Delivery { id: self.next_delivery, sent: now, session, attempts });
            self.next_delivery
        });
        self.answerable.remove(&session);
        self.rerank_freed(session);
        Work { delivery, leases, stop, drain }
    }

    /// Answers the parked calls that have something to hear. After COMMIT only.
    pub(crate) fn answer_parked(&mut self, now: u64, wall: Timestamp) {
        for session in sorted(self.answerable.iter().copied()) {
            let Some(seat) = self.seats.get_mut(&session) else {
                self.answerable.remove(&session);
                continue;
            };
            let parked = seat.parked.take();
            if parked.is_none() && seat.granted_now.is_empty() {
                self.answerable.remove(&session);
                continue;
            }
            let work = self.collect(session, now, wall);
            // A caller that went away, now or while others were served, leaves its delivery
            // unacknowledged; it is revoked.
            if let Some(parked) = parked {
                let _ = parked.reply.send(Ok(work));
            }
        }
    }

    /// Lets every parked call go, for the end of the process.
    pub(crate) fn release_parked(&mut self) {
        for seat in self.seats.values_mut() {
            if let Some(parked) = seat.parked.take() {
                // Nobody needs the answer of a call that is gone.
                let _ = parked.reply.send(Ok(Work::default()));
            }
        }
    }
}
