//! What time asks of the writer: leases that ran out, deliveries that nobody acknowledged,
//! backoffs that are over; and the frame of a group: its clock, its COMMIT.
//!
//! Invariant: a lease ends by one party, here, by compare-and-set on the attempt. After a pause
//! of this process nobody is late: every live attempt gets one fresh term.

use crate::audit::Noted;
use crate::database::{Database, Joining, Left, Writes};
use crate::figures::{Figures, Tally};
use crate::fleet::{DELIVERY_MS, Fleet, Seat, sorted};
use crate::index::ReadyIndex;
use crate::news::LOOK_EVERY_MS;
use crate::open::Options;
use crate::quota::TenantBook;
use crate::state::State;
use crate::told::{Record, Told};
use crate::working::WorkingSet;
use crate::{Clock, Error};
use ciro_core::command::{Command, Revocation};
use ciro_core::crash::crash_point;
use ciro_core::event::WorkerEvent;
use ciro_core::id::AttemptKey;
use ciro_core::mutant::{Mutant, planted};
use ciro_core::time::Timestamp;
use ciro_core::worker::WorkerState;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// The longest that the writer sleeps, ms.
const LONGEST_WAIT_MS: u64 = 1_000;
/// The session of a worker that was not heard of for so long is ended.
const ABANDONED_MS: u64 = 24 * 3_600_000;
/// Attempts that one group revokes at the most.
pub const MAX_REVOKED: usize = 256;

impl<D: Database> State<D> {
    /// The writer's state over a freshly opened database.
    pub(crate) fn open(
        mut db: D,
        mut options: Options,
        clock: Arc<dyn Clock>,
        figures: Arc<Figures>,
    ) -> Result<State<D>, Error> {
        let (now, mono_us) = (clock.now(), clock.monotonic_us());
        let who = Joining {
            uid: u128::from(clock.chance()).to_be_bytes(),
            name: options.coordinator.clone(),
            address: options.address.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let me = db.join(&who, now)?;
        // Whoever begins a new epoch does so before this one joins, or finds it there.
        options.policy.fence_floor = db.fence_floor()?;
        let mono = mono_us / 1_000;
        let mut state = State {
            db,
            me,
            seen: 0,
            record: Record::default(),
            leads: (!D::SHARED).then_some(1),
            ahead: FxHashSet::default(),
            noticed: false,
            next_look: mono + LOOK_EVERY_MS,
            next_beat: mono,
            fleet: Fleet::new(options.placement, mono),
            options,
            clock,
            figures,
            tally: Tally::default(),
            set: WorkingSet::default(),
            index: ReadyIndex::default(),
            next_job: 1,
            position: 0,
            open_tasks: 0,
            tenants: TenantBook::default(),
            now,
            mono,
            mono_us,
            begun: false,
            sweeps: Vec::new(),
            swept: FxHashMap::default(),
            rows: 0,
            unfinished: false,
            last_turn: (now, mono),
            next_reap: mono,
            full_until: 0,
        };
        state.rebuild()?;
        Ok(state)
    }

    /// How long the writer may sleep when nothing is queued, ms.
    pub(crate) fn wait_ms(&self) -> u64 {
        let work = self.work_wait_ms();
        if !D::SHARED {
            return work;
        }
        let around = self.next_look.min(self.next_beat).saturating_sub(self.clock.monotonic_ms());
        work.min(around.max(1))
    }

    /// How long until something is to be done for jobs and workers, ms.
    pub(crate) fn work_wait_ms(&self) -> u64 {
        let (now, mono) = (self.clock.now(), self.clock.monotonic_ms());
        if self.is_full(mono) {
            return (self.full_until - mono).min(LONGEST_WAIT_MS);
        }
        if self.unfinished || !self.sweeps.is_empty() {
            return 0;
        }
        let promotion = self.index.next_promotion().map(|at| at.since_ms(now));
        let delivery = self.fleet.next_delivery_due().map(|at| at.saturating_sub(mono));
        let reap = self.next_reap.saturating_sub(mono);
        [promotion, delivery, Some(reap)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(LONGEST_WAIT_MS)
            .clamp(1, LONGEST_WAIT_MS)
    }

    /// One clock reading for the whole group.
    pub(crate) fn begin_group(&mut self) {
        self.now = self.clock.now();
        self.mono_us = self.clock.monotonic_us();
        self.mono = self.mono_us / 1_000;
        self.tally.forget();
        self.record.forget();
        self.set.books.forget();
        self.ahead.clear();
        self.begun = false;
        self.rows = 0;
    }

    /// Does what time asks for.
    pub(crate) fn turn(&mut self) -> Result<(), Error> {
        self.notice_pause();
        self.look_around()?;
        self.index.promote(self.now);
        if self.is_full(self.mono) {
            return Ok(());
        }
        for key in self.fleet.undelivered(self.mono) {
            if planted(Mutant::LostDelivery) {
                continue;
            }
            self.revoke(key, Revocation::Undelivered)?;
        }
        self.sweep()?;
        if self.mono >= self.next_reap {
            self.index.forget_exclusions(self.now);
            // Set before, so that a disk that takes nothing is asked again later, not at once.
            self.next_reap = self.mono + self.reap_every_ms();
            if self.reap()? {
                self.next_reap = self.mono;
            }
        }
        Ok(())
    }

    /// One page of each stop that goes on, as many as the group has room for; the others are first
    /// in the next.
    fn sweep(&mut self) -> Result<(), Error> {
        let mut due = std::mem::take(&mut self.sweeps).into_iter();
        while self.has_room()
            && let Some(job) = due.next()
        {
            match self.apply(&Command::Review { job }) {
                Ok(_) | Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.sweeps.splice(0..0, due);
        Ok(())
    }

    /// Every 5 s, and oftener where leases are short.
    fn reap_every_ms(&self) -> u64 {
        (self.options.policy.lease_ttl_ms / 6).clamp(10, LONGEST_WAIT_MS)
    }

    /// A gap on either clock means that this process, or its clock, was away.
    fn notice_pause(&mut self) {
        let (wall, mono) = self.last_turn;
        self.last_turn = (self.now, self.mono);
        let away = (self.options.policy.lease_ttl_ms / 3).min(DELIVERY_MS / 2);
        let gap = self.mono.saturating_sub(mono);
        let step = (self.now.0 - wall.0).unsigned_abs().abs_diff(gap);
        if gap > away || step > away {
            tracing::warn!(
                gap_ms = gap,
                step_ms = step,
                "time passed unnoticed: every lease gets a fresh term"
            );
            self.fleet.forgive(self.mono);
        }
    }

    /// Revokes what ran out; whether there is more than one group should take.
    fn reap(&mut self) -> Result<bool, Error> {
        let ttl = self.ttl_ms();
        let here = |seat: &Seat| seat.home == self.me;
        let late = self.fleet.seats().filter(|(_, s)| here(s) && self.mono.saturating_sub(s.renewed) > ttl);
        let late = sorted(late.map(|(key, _)| key));
        let mut revoked = 0;
        for session in late {
            let Some(seat) = self.fleet.seat(session) else { continue };
            let (online, duty, tenant, worker) = (seat.online, seat.duty, seat.tenant, seat.worker);
            let expired = sorted(seat.attempts.iter().filter(|k| self.is_expired(**k, ttl)).copied());
            for key in expired {
                if revoked == MAX_REVOKED {
                    return Ok(true);
                }
                if !planted(Mutant::LeaseNeverExpires) {
                    self.revoke(key, Revocation::Expired)?;
                }
                revoked += 1;
            }
            if !online
                && self.mono.saturating_sub(self.fleet.seat(session).map_or(self.mono, |s| s.renewed))
                    > ABANDONED_MS
            {
                self.end_session(session)?;
            }
            if online {
                self.fleet.set_online(session, false);
                self.record.note(|| Told::Online(session, false));
                if duty.works() {
                    self.worker_state(worker, WorkerState::Offline)?;
                }
                self.worker_event(tenant, worker, WorkerEvent::Offline)?;
            }
        }
        self.revoke_stalled()?;
        Ok(false)
    }

    fn is_expired(&self, key: AttemptKey, ttl: u64) -> bool {
        self.fleet.live(key).is_some_and(|l| self.mono.saturating_sub(l.granted) > ttl)
    }

    /// Attempts whose workers are alive and whose work stands still.
    fn revoke_stalled(&mut self) -> Result<(), Error> {
        let after = self.options.stall_after_ms;
        for key in sorted(self.fleet.stalled(self.me, self.mono, after)).into_iter().take(MAX_REVOKED) {
            self.revoke(key, Revocation::Stalled)?;
        }
        Ok(())
    }

    /// A rare write: its failure is its caller's alone.
    pub(crate) fn rare(&mut self, write: &mut <D::Writes as Writes>::Rare) -> Result<Noted, Error> {
        self.begin()?;
        // It may read what this group changed.
        self.set.flush(&mut self.db, &mut self.position)?;
        let (noted, tenants) = self.db.rare(write)?;
        if tenants {
            self.load_tenants()?;
            self.record.note(|| Told::Tenants);
        }
        Ok(noted)
    }

    /// Writes a change that was just made into the audit log.
    pub(crate) fn audit(&mut self, entry: &<D::Writes as Writes>::Entry, noted: Noted) -> Result<(), Error> {
        if noted == Noted::Unchanged {
            return Ok(());
        }
        self.begin()?;
        self.rows += 1;
        self.db.note(entry, noted, self.now)
    }

    /// Writes the rows and events of the group.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        if self.set.is_dirty() {
            self.begin()?;
            let late = planted(Mutant::EventOutsideTransaction).then(|| self.set.hold_events(self.now));
            self.set.flush(&mut self.db, &mut self.position)?;
            self.set.give_back(late);
        }
        Ok(())
    }

    /// Writes the group and makes it durable.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        let from = self.clock.monotonic_us();
        self.write()?;
        if self.begun {
            let flushed = self.clock.monotonic_us();
            crash_point("writer.before_commit");
            self.commit()?;
            crash_point("writer.committed");
            let committed = self.clock.monotonic_us();
            self.figures.flush_us.observe(flushed.saturating_sub(from));
            self.figures.commit_us.observe(committed.saturating_sub(flushed));
            self.set.settle();
        }
        self.tally.count(&self.figures);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Error> {
        let told = self.record.encode()?;
        let (position, last_job) = (self.position, self.next_job - 1);
        let left = Left { by: self.me, position, last_job, told: told.as_deref() };
        match self.db.commit(&left) {
            Ok(no) => {
                self.seen = no;
                Ok(())
            }
            Err(error @ Error::Database(_)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "COMMIT failed: stopping");
                std::process::abort();
            }
            Err(error) => Err(error),
        }
    }

    /// The end of the process: parked calls are let go.
    pub(crate) fn close(&mut self) {
        self.fleet.release_parked();
        if let Err(error) = self.db.part(self.me) {
            tracing::warn!(error = &error as &dyn std::error::Error, "the others were not told of the end");
        }
        self.db.close();
    }
}

/// The instant of the last turn on both clocks.
pub(crate) type Turn = (Timestamp, u64);
