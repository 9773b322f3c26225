//! What the writer does with each question. Handlers here may be run twice when their group has
//! to be rolled back, so they keep nothing but rows, index and fleet, which are rebuilt then.

use crate::Error;
use crate::audit::Noted;
use crate::database::{Database, NewJobRow, Role, WorkerRow};
use crate::figures::Observed;
use crate::fleet::{NewSeat, sorted};
use crate::request::{
    Heartbeat, HeartbeatAnswer, Idempotency, OpenSession, OpenedSession, Poll, QueueStatus, Report,
    ReportVerdict, Reports, Submission, Submit, Submitted, WorkerOrder,
};
use crate::state::State;
use crate::tenant::TenantUsage;
use crate::told::{Told, number};
use ciro_core::amount::Fri;
use ciro_core::attempt::Signed;
use ciro_core::command::{Command, NewJob, Refusal, Revocation, Said, Verdict};
use ciro_core::engine::{self, Context, Rows};
use ciro_core::event::WorkerEvent;
use ciro_core::id::{
    AttemptId, AttemptKey, ClassKey, Hash, JobId, JobKey, ReceiptListKey, SessionKey, TaskKey, TenantKey,
    WorkerId, WorkerKey,
};
use ciro_core::job::Holds;
use ciro_core::money::{Account, AccountKind, Deposit};
use ciro_core::mutant::{Mutant, planted};
use ciro_core::time::Timestamp;
use ciro_core::worker::{Duty, WorkerState};
use serde_json::json;
use std::sync::Arc;

/// An artifact that is used is kept at least so much longer, ms.
const GRANT_MS: u64 = 24 * 3_600_000;
/// How long a creating call can be repeated, ms.
const IDEMPOTENCY_MS: u64 = 24 * 3_600_000;
/// A worker whose row is made or renewed.
struct Registered {
    worker: WorkerKey,
    worker_id: WorkerId,
    tenant: TenantKey,
    duty: Duty,
}

impl<D: Database> State<D> {
    pub(crate) fn submit(&mut self, submit: &Submit) -> Result<Submitted, Error> {
        self.alone()?;
        if let Some(idempotency) = &submit.idempotency
            && let Some(ids) = self.replay(submit.tenant, idempotency)?
        {
            return Ok(Submitted { ids, replayed: true });
        }
        self.check_room(submit.tenant, submit.jobs.len())?;
        for job in &submit.jobs {
            self.check_artifacts(submit.tenant, &job.artifacts)?;
        }
        self.check_payments(submit.tenant, &submit.jobs)?;
        let classes =
            submit.jobs.iter().map(|j| self.intern(&j.requirement)).collect::<Result<Vec<_>, _>>()?;
        for (job, class) in submit.jobs.iter().zip(classes) {
            self.accept(submit.tenant, job, class)?;
        }
        self.tally.note(Observed::Accepted(submit.jobs.len() as u32));
        let ids: Vec<JobId> = submit.jobs.iter().map(|j| j.id).collect();
        if let Some(idempotency) = &submit.idempotency {
            self.remember(submit.tenant, idempotency, &ids)?;
        }
        Ok(Submitted { ids, replayed: false })
    }

    /// Accepts one job, without an idempotency key.
    pub(crate) fn accept_one(&mut self, tenant: TenantKey, job: &Submission) -> Result<(), Error> {
        self.check_room(tenant, 1)?;
        self.check_artifacts(tenant, &job.artifacts)?;
        self.check_payments(tenant, std::slice::from_ref(job))?;
        let class = self.intern(&job.requirement)?;
        self.accept(tenant, job, class)?;
        self.tally.note(Observed::Accepted(1));
        Ok(())
    }

    /// Whether so many more jobs may be open.
    fn check_room(&self, tenant: TenantKey, jobs: usize) -> Result<(), Error> {
        let limit = self.options.max_open_jobs;
        if self.tenants.total() + jobs as u64 > limit {
            return Err(Error::Limit { what: "the number of open jobs", limit });
        }
        self.tenants.admit(tenant, jobs as u64)
    }

    fn replay(&mut self, tenant: TenantKey, call: &Idempotency) -> Result<Option<Vec<JobId>>, Error> {
        match self.db.remembered(tenant, &call.key, self.now)? {
            Some(first) if first.fingerprint != call.fingerprint => Err(Error::IdempotencyMismatch),
            first => Ok(first.map(|first| first.ids)),
        }
    }

    fn remember(&mut self, tenant: TenantKey, call: &Idempotency, ids: &[JobId]) -> Result<(), Error> {
        if planted(Mutant::CallForgotten) {
            return Ok(());
        }
        self.begin()?;
        self.db.remember(tenant, call, ids, self.now.plus_ms(IDEMPOTENCY_MS))
    }

    fn check_artifacts(&mut self, tenant: TenantKey, artifacts: &[Hash]) -> Result<(), Error> {
        for hash in artifacts {
            if !self.db.is_granted(tenant, *hash, self.now)? {
                return Err(Error::ArtifactMissing(*hash));
            }
        }
        Ok(())
    }

    /// Whether jobs can be paid as they say: together from the tenant's balance, and each from a deposit
    /// that pays for no other.
    fn check_payments(&mut self, tenant: TenantKey, jobs: &[Submission]) -> Result<(), Error> {
        let mut from_balance = 0_u128;
        for (at, payment) in jobs.iter().enumerate().filter_map(|(at, job)| Some((at, job.payment?))) {
            payment.check()?;
            let Some(deposit) = &payment.deposit else {
                from_balance = from_balance.saturating_add(payment.amount.0);
                continue;
            };
            let same = |other: &Deposit| (other.client, other.salt) == (deposit.client, deposit.salt);
            let mut before = jobs[..at].iter().filter_map(|job| job.payment?.deposit);
            if before.any(|other| same(&other)) || self.has_deposit(deposit)? {
                return Err(Error::Taken { what: "deposit" });
            }
        }
        if from_balance == 0 {
            return Ok(());
        }
        let available = Account::of(tenant, AccountKind::Available);
        self.set.books.check(&self.db, available, Fri(from_balance))
    }

    /// Whether a job is paid from a deposit, those of this group included.
    fn has_deposit(&mut self, deposit: &Deposit) -> Result<bool, Error> {
        self.begin()?;
        self.set.flush(&mut self.db, &mut self.position)?;
        self.db.has_deposit(deposit)
    }

    /// The stored class of a requirement, made if it is new.
    fn intern(&mut self, requirement: &ciro_core::spec::Requirement) -> Result<ClassKey, Error> {
        if let Some(key) = self.index.key_of(requirement) {
            return Ok(key);
        }
        let limit = u64::from(self.options.max_classes);
        if self.index.classes() as u64 >= limit {
            return Err(Error::Limit { what: "the number of different requirements", limit });
        }
        self.begin()?;
        let key = self.db.insert_class(requirement)?;
        self.index.bind(key, requirement);
        self.record.note(|| Told::Class(key));
        Ok(key)
    }

    fn accept(&mut self, tenant: TenantKey, job: &Submission, class: ClassKey) -> Result<(), Error> {
        let key = JobKey(self.next_job);
        let spec = &job.spec;
        let new = NewJob {
            key,
            id: job.id,
            tenant,
            kind: spec.kind.clone(),
            priority: spec.priority,
            class,
            retry: spec.retry,
            on_failure: spec.on_failure,
            splits: spec.split.is_some(),
            has_reducer: spec.has_reducer(),
            deadline: spec.deadline,
            holds: Holds::default(),
            retry_of: job.retry_of,
            payment: job.payment,
        };
        let policy = self.options.policy;
        let cx = Context { now: self.now, policy: &policy, chance: 0 };
        let change = engine::apply(&Rows::default(), &Command::Submit(Box::new(new)), &cx)?;
        self.post(&change.transfers)?;
        if let Some(row) = &change.job {
            for task in &change.tasks {
                self.ready(row, task.key, 0, task.not_before)?;
            }
            self.open_tasks += u64::from(row.open_tasks);
            self.record.open_tasks(0, u64::from(row.open_tasks));
        }
        self.rows += 3 + change.tasks.len();
        let row = NewJobRow { labels: job.labels.clone(), spec: job.text.clone(), spec_hash: job.hash };
        self.set.insert_job(change, row, self.now);
        self.next_job += 1;
        self.tenants.moved(tenant, 1);
        self.record.open(tenant, 1);
        self.reference(tenant, key, &job.artifacts, Role::Input)
    }

    /// Binds artifacts to a job, and keeps the tenant's sight of them.
    fn reference(
        &mut self,
        tenant: TenantKey,
        job: JobKey,
        artifacts: &[Hash],
        role: Role,
    ) -> Result<(), Error> {
        for hash in artifacts {
            self.begin()?;
            self.db.refer((tenant, job), *hash, role, self.now.plus_ms(GRANT_MS))?;
        }
        Ok(())
    }

    pub(crate) fn open_session(&mut self, open: &OpenSession) -> Result<OpenedSession, Error> {
        self.begin()?;
        self.set.flush(&mut self.db, &mut self.position)?;
        let Registered { worker, worker_id, tenant, duty } = self.register(open)?;
        let before = self.fleet.session_of(worker);
        let session = self.db.insert_session(worker, open, self.me, self.now)?;
        let capabilities = open.capabilities.clone();
        let seat = NewSeat { home: self.me, worker, tenant, capabilities, online: true, duty };
        self.fleet.sit(session, seat, self.mono);
        self.record.note(|| Told::Sat(session));
        self.hear(session, &[])?;
        let unknown = match before {
            Some(before) => self.hand_over(before, session, &open.held)?,
            None => open.held.clone(),
        };
        self.worker_event(tenant, worker, WorkerEvent::Online)?;
        Ok(OpenedSession { session, worker, worker_id, tenant, unknown, ttl_ms: self.ttl_ms() })
    }

    /// The worker's row, made or renewed.
    fn register(&mut self, open: &OpenSession) -> Result<Registered, Error> {
        let Some(known) = self.db.worker_of(&open.public_key)? else {
            let tenant = open.tenant.ok_or(Error::NotFound)?;
            let worker = self.db.insert_worker(tenant, open, self.now)?;
            self.worker_event(tenant, worker, WorkerEvent::Registered)?;
            return Ok(Registered { worker, worker_id: open.worker_id, tenant, duty: Duty::Works });
        };
        let WorkerRow { key, id, tenant, state, removed } = known;
        if state == Some(WorkerState::Banned) || (removed && open.tenant.is_none()) {
            return Err(Error::NotFound);
        }
        // A removed worker may come back with a join token; it then belongs to that token's tenant.
        let tenant = open.tenant.filter(|_| removed).unwrap_or(tenant);
        // Who drains it decides when it works again, not its next connection.
        // What the operator decided outlives even its removal.
        let duty = match state.map_or(Duty::Works, Duty::of) {
            Duty::Draining if removed => Duty::Works,
            duty => duty,
        };
        let row = WorkerRow { key, id, tenant, state: Some(duty.state()), removed: false };
        self.db.renew_worker(&row, open, self.now)?;
        Ok(Registered { worker: key, worker_id: id, tenant, duty })
    }

    /// Attempts of the earlier session that the worker still holds move to the new one; the rest
    /// is taken from it. Returns what it holds and must not.
    fn hand_over(
        &mut self,
        before: SessionKey,
        after: SessionKey,
        held: &[AttemptId],
    ) -> Result<Vec<AttemptId>, Error> {
        let keys = self.fleet.attempts_of(before);
        let mut kept = Vec::new();
        for key in keys {
            let Some(live) = self.fleet.live(key) else { continue };
            if held.contains(&live.id) {
                kept.push(live.id);
            } else {
                let why = if live.confirmed { Revocation::Forgotten } else { Revocation::Undelivered };
                self.revoke(key, why)?;
            }
        }
        self.fleet.move_attempts(before, after);
        self.record.note(|| Told::HandedOver { from: before, to: after });
        self.fleet.leave(before);
        self.record.note(|| Told::Gone(before));
        Ok(held.iter().filter(|id| !kept.contains(id)).copied().collect())
    }

    /// A call of a session counts as a sign of life; whether the session is known.
    pub(crate) fn hear(&mut self, session: SessionKey, acks: &[u64]) -> Result<(), Error> {
        if !self.is_here(session)? {
            return Err(Error::SessionEnded);
        }
        let seat = self.fleet.seat_mut(session).ok_or(Error::SessionEnded)?;
        seat.heard_at = Some(self.now);
        let (online, duty, tenant, worker) = (seat.online, seat.duty, seat.tenant, seat.worker);
        self.fleet.acknowledge(session, acks);
        if !online {
            // Others may have ended it meanwhile.
            self.alone()?;
            self.fleet.set_online(session, true);
            self.record.note(|| Told::Online(session, true));
            if let Some(seat) = self.fleet.seat_mut(session) {
                seat.renewed = self.mono;
            }
            if duty.works() {
                self.worker_state(worker, WorkerState::Online)?;
            }
            self.worker_event(tenant, worker, WorkerEvent::Online)?;
        }
        Ok(())
    }

    pub(crate) fn poll(
        &mut self,
        poll: &Poll,
        acks: &[u64],
        reply: crate::request::Reply<crate::request::Work>,
    ) {
        match self.hear(poll.session, acks) {
            Ok(()) => self.fleet.park(poll.session, poll.max, reply),
            // A caller that went away needs no answer.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    pub(crate) fn heartbeat(&mut self, beat: &Heartbeat, acks: &[u64]) -> Result<HeartbeatAnswer, Error> {
        self.hear(beat.session, acks)?;
        self.tally.note(Observed::Heartbeat);
        let mut unknown = Vec::new();
        let mut held = Vec::with_capacity(beat.held.len());
        for (id, progress) in &beat.held {
            match self.attempt_key(*id)? {
                Some(key) if self.fleet.progress(beat.session, key, *progress, self.mono) => held.push(key),
                _ => unknown.push(*id),
            }
        }
        self.forgotten(beat.session, &held)?;
        let Some(seat) = self.fleet.seat_mut(beat.session) else { return Err(Error::SessionEnded) };
        seat.renewed = self.mono;
        let (drain, parked) = (!seat.duty.works(), seat.parked());
        // Said again with every heartbeat: an earlier answer may be lost.
        let stop = self.fleet.stops(beat.session, self.now);
        Ok(HeartbeatAnswer { stop, unknown, drain, parked, ttl_ms: self.ttl_ms() })
    }

    /// Attempts that a worker had, or could only have from before a restart, and does not list.
    /// A list may be older than an acknowledgement that overtook it, so what was acknowledged is
    /// gone only when the next list lacks it too.
    fn forgotten(&mut self, session: SessionKey, held: &[AttemptKey]) -> Result<(), Error> {
        let Some(seat) = self.fleet.seat(session) else { return Ok(()) };
        let missing = sorted(seat.attempts.iter().filter(|k| !held.contains(k)).copied());
        for key in missing {
            let Some(live) = self.fleet.live_mut(key) else { continue };
            if live.confirmed && !std::mem::replace(&mut live.unlisted, true) {
                continue;
            }
            match (live.confirmed, live.restored) {
                (true, _) => self.revoke(key, Revocation::Forgotten)?,
                (false, true) => self.revoke(key, Revocation::Undelivered)?,
                (false, false) => {}
            }
        }
        Ok(())
    }

    /// The verdicts of a reports call; its new leases are collected when the group is placed.
    pub(crate) fn reports(&mut self, call: &Reports, acks: &[u64]) -> Result<Vec<ReportVerdict>, Error> {
        self.hear(call.session, acks)?;
        if !call.reports.is_empty() {
            self.alone()?;
        }
        let worker = self.fleet.seat(call.session).map(|s| s.worker).ok_or(Error::SessionEnded)?;
        let list = self.keep_list(call)?;
        let mut verdicts = Vec::with_capacity(call.reports.len());
        for report in &call.reports {
            verdicts.push(self.report(worker, report, list)?);
        }
        self.fleet.taking(call.session, call.take);
        Ok(verdicts)
    }

    /// Keeps the signed list of a call, unless nothing in it is an attempt's end: no receipt of what
    /// only began is ever asked for.
    fn keep_list(&mut self, call: &Reports) -> Result<Option<ReceiptListKey>, Error> {
        let Some(signed) = &call.signed else { return Ok(None) };
        if call.reports.iter().all(|report| report.said == Said::Started) {
            return Ok(None);
        }
        self.begin()?;
        self.db.insert_list(call.session, signed, self.now).map(Some)
    }

    fn report(
        &mut self,
        worker: WorkerKey,
        report: &Report,
        list: Option<ReceiptListKey>,
    ) -> Result<ReportVerdict, Error> {
        let Some(attempt) = self.attempt_key(report.attempt)? else {
            return Ok(ReportVerdict::Engine(Verdict::LeaseLost));
        };
        for hash in &report.artifacts {
            if !self.db.is_stored(*hash)? {
                return Ok(ReportVerdict::ArtifactMissing(*hash));
            }
        }
        if self.fleet.live(attempt).is_some_and(|live| live.requirement.profile != report.profile) {
            return Ok(ReportVerdict::WrongProfile);
        }
        let signed =
            list.map(|list| Signed { list, input: report.input, layers: Arc::clone(&report.layers) });
        let (said, price) = (report.said.clone(), report.price);
        let command = Command::Report { attempt, worker, said, price, signed };
        let verdict = match self.apply(&command) {
            Ok(verdict) => verdict.unwrap_or(Verdict::Recorded),
            Err(Error::Refused(Refusal::WrongPrice)) => return Ok(ReportVerdict::WrongPrice),
            Err(Error::Refused(_)) => Verdict::LeaseLost,
            Err(error) => return Err(error),
        };
        if verdict == Verdict::Accepted && !report.artifacts.is_empty() {
            let tenant = self.set.job(&self.db, attempt.task.job)?.map(|j| j.tenant);
            if let Some(tenant) = tenant {
                self.reference(tenant, attempt.task.job, &report.artifacts, Role::Result)?;
            }
        }
        Ok(ReportVerdict::Engine(verdict))
    }

    /// The store's key of an attempt, live or not.
    fn attempt_key(&self, id: AttemptId) -> Result<Option<AttemptKey>, Error> {
        let job = match self.fleet.job_key(id.task.job) {
            Some(key) => Some(key),
            None => self.db.job_key(id.task.job)?,
        };
        Ok(job.map(|job| AttemptKey { task: TaskKey { job, no: id.task.no }, fence: id.fence }))
    }

    pub(crate) fn order_worker(&mut self, worker: WorkerKey, order: WorkerOrder) -> Result<Noted, Error> {
        self.alone()?;
        let found = self.db.worker(worker)?.filter(|row| !row.removed);
        let WorkerRow { tenant, state, .. } = found.ok_or(Error::NotFound)?;
        let barred = matches!(state, Some(WorkerState::Suspended | WorkerState::Banned));
        match order {
            WorkerOrder::Drain if !barred && state != Some(WorkerState::Draining) => {
                self.set_duty(worker, tenant, Duty::Draining, WorkerEvent::Draining)?;
            }
            WorkerOrder::Undrain if state == Some(WorkerState::Draining) => {
                self.set_duty(worker, tenant, Duty::Works, WorkerEvent::Undrained)?;
            }
            WorkerOrder::Suspend { revoke } if !barred || revoke => {
                if !barred {
                    self.set_duty(worker, tenant, Duty::Suspended, WorkerEvent::Suspended)?;
                }
                if let Some(session) = self.fleet.session_of(worker).filter(|_| revoke) {
                    self.revoke_all(session)?;
                }
            }
            WorkerOrder::Resume if state == Some(WorkerState::Suspended) => {
                self.set_duty(worker, tenant, Duty::Works, WorkerEvent::Resumed)?;
            }
            WorkerOrder::Remove => {
                if let Some(session) = self.fleet.session_of(worker) {
                    self.end_session(session)?;
                }
                self.begin()?;
                let left = state.filter(|_| barred).unwrap_or(WorkerState::Offline);
                self.db.remove_worker(worker, left, self.now)?;
                self.worker_event(tenant, worker, WorkerEvent::Removed)?;
            }
            // Already so; and what the operator stopped takes nothing and stays stopped.
            _ => return Ok(Noted::Unchanged),
        }
        let before = state.map(|state| json!({ "state": state.name() }));
        Ok(Noted::Changed { before, after: None })
    }

    /// Whether a worker takes new work, in its row, in the log and in the fleet.
    fn set_duty(
        &mut self,
        worker: WorkerKey,
        tenant: TenantKey,
        duty: Duty,
        event: WorkerEvent,
    ) -> Result<(), Error> {
        let session = self.fleet.session_of(worker);
        let online = session.and_then(|s| self.fleet.seat(s)).is_some_and(|seat| seat.online);
        let away = duty.works() && !online;
        self.worker_state(worker, if away { WorkerState::Offline } else { duty.state() })?;
        self.worker_event(tenant, worker, event)?;
        if let Some(session) = session {
            self.fleet.set_duty(session, duty);
            self.record.note(|| Told::Duty(session, number(duty)));
        }
        Ok(())
    }

    /// Takes everything from a session that it has, without penalty.
    fn revoke_all(&mut self, session: SessionKey) -> Result<(), Error> {
        self.fleet.attempts_of(session).into_iter().try_for_each(|key| self.revoke(key, Revocation::Removed))
    }

    pub(crate) fn end_session(&mut self, session: SessionKey) -> Result<(), Error> {
        self.revoke_all(session)?;
        self.begin()?;
        self.db.end_session(session, self.now)?;
        self.fleet.leave(session);
        self.record.note(|| Told::Gone(session));
        Ok(())
    }

    /// Length of a lease: the configured one, stretched so that heartbeats stay under their cap.
    pub(crate) fn ttl_ms(&self) -> u64 {
        let cap = u64::from(self.options.heartbeat_cap.max(1));
        let stretched = (self.fleet.sessions() as u64).saturating_mul(3_000) / cap;
        self.options.policy.lease_ttl_ms.max(stretched)
    }

    /// When the job was accepted whose tasks wait longest of those that come next.
    fn oldest_ready(&self) -> Option<Timestamp> {
        let job = self.index.oldest_head()?;
        // Figures are no reason to fail; whoever needs the row next finds out what is wrong with it.
        self.db.job(job).ok().flatten().map(|job| job.created_at)
    }

    pub(crate) fn usage(&self, tenant: TenantKey) -> TenantUsage {
        TenantUsage { open_jobs: self.tenants.open_jobs(tenant), running: self.fleet.running_of(tenant) }
    }

    pub(crate) fn status(&self) -> QueueStatus {
        QueueStatus {
            ready_tasks: self.index.ready(),
            delayed_tasks: self.index.delayed(),
            open_tasks: self.open_tasks,
            classes: self.index.classes() as u64,
            oldest_ready_at: self.oldest_ready(),
            deliveries: self.fleet.deliveries() as u64,
            kept_jobs: self.set.kept_jobs() as u64,
            live_attempts: self.fleet.live_count() as u64,
            sessions: self.fleet.sessions() as u64,
            parked_polls: self.fleet.parked() as u64,
            open_jobs: self.tenants.total(),
            lease_ttl_ms: self.ttl_ms(),
            groups: 0,
            commands: 0,
            longest_group_ms: 0,
            last_position: self.position,
        }
    }
}
