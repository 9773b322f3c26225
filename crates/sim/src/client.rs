//! A client: it submits, cancels and runs again, makes a call again that was not answered, and follows
//! the events of its tenant with a cursor of its own.
//!
//! Invariant: what it reads of a job is every event, in order, none twice, across every crash.

use crate::check::Found;
use crate::plan::{Micros, SECOND};
use crate::wire::{Address, Body, Call, Message, Refused, Reply};
use ciro_core::event::JobEvent;
use ciro_core::id::{JobId, JobKey, TenantKey};
use ciro_store::{EventRow, EventSubject};
use std::collections::{BTreeMap, BTreeSet};

/// A call that is not answered by then is made again, where that is safe.
const PATIENCE: Micros = 4 * SECOND;
/// How long it waits after it was turned away.
const TURNED_AWAY: Micros = SECOND / 2;
/// How often it reads.
const READ_EVERY: Micros = 3 * SECOND;

#[derive(Debug)]
struct Sent {
    patience: Micros,
    call: Call,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Client {
    no: u8,
    calls: BTreeMap<u64, Sent>,
    next_call: u64,
    /// Calls to be made, and when.
    later: Vec<(Micros, Call)>,
    /// The job of each submitting item.
    jobs: BTreeMap<usize, JobId>,
    /// Cancels whose job has no id yet.
    early: Vec<(usize, u64)>,
    cursor: i64,
    read_at: Micros,
    events: BTreeMap<JobKey, Vec<(u32, JobEvent)>>,
    ended: BTreeSet<JobId>,
}

impl Client {
    /// A client with nothing to do yet.
    #[must_use]
    pub(crate) fn new(no: u8) -> Client {
        Client {
            no,
            calls: BTreeMap::new(),
            next_call: 0,
            later: Vec::new(),
            jobs: BTreeMap::new(),
            early: Vec::new(),
            cursor: 0,
            read_at: 0,
            events: BTreeMap::new(),
            ended: BTreeSet::new(),
        }
    }

    /// Its tenant.
    #[must_use]
    pub(crate) fn tenant(&self) -> TenantKey {
        TenantKey(1 + i64::from(self.no))
    }

    /// Wants a job.
    pub(crate) fn submit(&mut self, now: Micros, item: usize, keyed: bool) {
        let key = keyed.then_some(item as u64);
        self.later.push((now, Call::Submit { item, key, other: false, retry_of: None }));
    }

    /// Wants a job to end, as soon as it knows it.
    pub(crate) fn cancel(&mut self, now: Micros, submit: usize, grace_ms: u64) {
        match self.jobs.get(&submit) {
            Some(job) => self.later.push((now, Call::Cancel { job: *job, grace_ms })),
            None => self.early.push((submit, grace_ms)),
        }
    }

    /// Wants an ended job again.
    pub(crate) fn retry(&mut self, now: Micros, item: usize, submit: usize) {
        let Some(job) = self.jobs.get(&submit).filter(|job| self.ended.contains(job)) else { return };
        let call = Call::Submit { item: submit, key: Some(item as u64), other: false, retry_of: Some(*job) };
        self.later.push((now, call));
    }

    /// Uses the key of a job for another one.
    pub(crate) fn misuse(&mut self, now: Micros, submit: usize) {
        if self.jobs.contains_key(&submit) {
            let call = Call::Submit { item: submit, key: Some(submit as u64), other: true, retry_of: None };
            self.later.push((now, call));
        }
    }

    /// Whether it waits for nothing and has read what there is.
    #[must_use]
    pub(crate) fn is_idle(&self, position: i64) -> bool {
        let reading = |sent: &Sent| matches!(sent.call, Call::Events { .. });
        self.later.is_empty() && self.calls.values().all(reading) && self.cursor >= position
    }

    /// When it has something to do by the clock alone.
    #[must_use]
    pub(crate) fn next(&self, now: Micros) -> Micros {
        let calls = self.calls.values().map(|sent| sent.patience);
        let later = self.later.iter().map(|(at, _)| *at);
        calls.chain(later).chain([self.read_at]).min().unwrap_or(now).clamp(now + 10_000, now + READ_EVERY)
    }

    /// Does what the clock asks for.
    pub(crate) fn tend(&mut self, now: Micros, out: &mut Vec<Message>) {
        let late: Vec<u64> =
            self.calls.iter().filter(|(_, sent)| sent.patience <= now).map(|(call, _)| *call).collect();
        for sent in late.iter().filter_map(|call| self.calls.remove(call)).collect::<Vec<_>>() {
            // Without a key it may have been done or not, and doing it twice is worse.
            if !matches!(sent.call, Call::Submit { key: None, .. } | Call::Events { .. }) {
                self.later.push((now, sent.call));
            }
        }
        let due: Vec<Call> = self.later.iter().filter(|(at, _)| *at <= now).map(|(_, c)| c.clone()).collect();
        self.later.retain(|(at, _)| *at > now);
        for call in due {
            self.send(now, call, out);
        }
        if now >= self.read_at {
            self.read_at = now + READ_EVERY;
            self.send(now, Call::Events { after: self.cursor }, out);
        }
    }

    fn send(&mut self, now: Micros, call: Call, out: &mut Vec<Message>) {
        self.next_call += 1;
        self.calls.insert(self.next_call, Sent { patience: now + PATIENCE, call: call.clone() });
        let from = Address::Client(self.no);
        out.push(Message { from, to: Address::Coordinator, call: self.next_call, body: Body::Call(call) });
    }

    /// Takes an answer in.
    pub(crate) fn hear(&mut self, now: Micros, call: u64, answer: Result<Reply, Refused>, found: &mut Found) {
        let Some(sent) = self.calls.remove(&call) else { return };
        match (sent.call, answer) {
            (call, Err(Refused::Overloaded | Refused::DiskFull)) => {
                self.later.push((now + TURNED_AWAY, call))
            }
            (Call::Submit { item, other: false, retry_of: None, .. }, Ok(Reply::Submitted(ids))) => {
                if let Some(job) = ids.first() {
                    self.jobs.insert(item, *job);
                    self.cancel_early(now);
                }
            }
            (Call::Events { after }, Ok(Reply::Events(events))) => self.read(after, &events, found),
            _ => {}
        }
    }

    fn cancel_early(&mut self, now: Micros) {
        let known: Vec<(usize, u64)> =
            self.early.iter().filter(|(submit, _)| self.jobs.contains_key(submit)).copied().collect();
        self.early.retain(|(submit, _)| !self.jobs.contains_key(submit));
        known.into_iter().for_each(|(submit, grace_ms)| self.cancel(now, submit, grace_ms));
    }

    fn read(&mut self, after: i64, events: &[EventRow], found: &mut Found) {
        // An answer to an earlier question may come last; its events were read.
        if after != self.cursor {
            return;
        }
        for event in events {
            if event.position <= self.cursor || event.tenant != self.tenant() {
                let what = format!("client {} at {} was given {event:?}", self.no, self.cursor);
                found.violated("I20", what);
            }
            self.cursor = event.position;
            if let EventSubject::Job { key, id, sequence, event, .. } = &event.subject {
                let of_job = self.events.entry(*key).or_default();
                let next = of_job.last().map_or(1, |(sequence, _)| sequence + 1);
                if *sequence != next {
                    found
                        .violated("I20", format!("client {} read {sequence} of {key:?} for {next}", self.no));
                }
                of_job.push((*sequence, event.clone()));
                if event.ended().is_some() {
                    self.ended.extend(*id);
                }
            }
        }
    }

    /// What it read, at the end, is what there is.
    pub(crate) fn check(&self, rows: &BTreeMap<JobKey, &[(u32, JobEvent)]>, found: &mut Found) {
        for (key, events) in rows {
            let read = self.events.get(key).map(Vec::as_slice).unwrap_or_default();
            if read != *events {
                let (read, are) = (read.len(), events.len());
                found.violated("I20", format!("client {} read {read} of {are} events of {key:?}", self.no));
            }
        }
        if let Some(key) = self.events.keys().find(|key| !rows.contains_key(key)) {
            found.violated("I20", format!("client {} read of {key:?}, which is not there", self.no));
        }
    }
}
