//! The agent: owns everything that a worker holds and decides what it does next. It waits for one
//! event at a time (an answer, an attempt's news, a moment that has come), changes its books
//! (`attempts`, `answers`), and then sends what there is to send (`sending`). Nothing else writes
//! the books, and the agent never waits for a call.
//!
//! Leases: every attempt is trusted until the last good heartbeat that named it, or its grant, plus
//! the lease's length less a margin. Past that its program is suspended, so that no work is done
//! which may be another's by now; a coordinator that was away and finds the lease untouched lets it
//! go on, one that gave it away has it killed, and one that stays away for as long again loses it.

mod answers;
mod attempts;
mod sending;

use crate::calls::{Calls, Sent};
use crate::clock::Moment;
use crate::error::Error;
use crate::link::Channel;
use crate::outbox::Outbox;
use crate::runner::{Finish, Runner};
use crate::session::Introduction;
use crate::slots::{Run, Slots, Stage};
use ciro_api::client::{self, Client};
use ciro_api::work::{Heartbeat, HeartbeatAnswer, Reports, ReportsAnswer, Session, Work};
use ciro_core::id::AttemptId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The longest sleep: after it the clock is looked at, which may have jumped.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How long the last reports of a draining worker may take.
const FLUSH: Duration = Duration::from_secs(5);
/// The most that is taken off a lease's length.
const MAX_MARGIN: Duration = Duration::from_secs(2);

/// What the agent waits for.
#[derive(Debug)]
pub(crate) enum Event {
    Opened {
        sent: Sent,
        result: Result<Session, client::Error>,
    },
    Polled {
        sent: Sent,
        acked: Vec<u64>,
        result: Result<Work, client::Error>,
    },
    Beat {
        sent: Sent,
        beat: Heartbeat,
        result: Result<HeartbeatAnswer, client::Error>,
    },
    Reported {
        sent: Sent,
        reports: Reports,
        result: Result<ReportsAnswer, client::Error>,
    },
    /// The program of an attempt is over, or never began.
    Ran(AttemptId),
    /// The report of an attempt is ready, or there is none.
    Ended {
        attempt: AttemptId,
        finish: Box<Finish>,
    },
}

/// The present session.
#[derive(Debug)]
struct Open {
    client: Client,
    session: Session,
}

/// A worker on its way out.
#[derive(Debug)]
struct Drain {
    /// Running attempts end by then.
    by: Moment,
    /// The last reports are sent by then; known when nothing runs any more.
    flush_by: Option<Moment>,
}

/// The books of a worker.
#[derive(Debug)]
pub(crate) struct Agent {
    introduction: Arc<Introduction>,
    client: Client,
    runner: Arc<Runner>,
    slots: Slots,
    outbox: Outbox,
    /// Deliveries that the coordinator does not know to have arrived.
    acks: Vec<u64>,
    session: Option<Open>,
    /// Sessions so far.
    epoch: u64,
    /// Length of a lease.
    ttl: Duration,
    beat_at: Moment,
    /// Leases that the parked call asks for.
    parked_max: u32,
    calls: Calls,
    publish: watch::Sender<Option<Channel>>,
    drain: Option<Drain>,
    /// The coordinator wants it to take nothing new.
    resting: bool,
    tasks: TaskTracker,
    events: mpsc::Sender<Event>,
}

/// What an agent is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) introduction: Introduction,
    pub(crate) client: Client,
    pub(crate) runner: Runner,
    pub(crate) publish: watch::Sender<Option<Channel>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) events: mpsc::Sender<Event>,
}

/// A span that the coordinator counts, less a margin: the worker is done before the coordinator is.
fn within(span: Duration) -> Duration {
    span - (span / 10).min(MAX_MARGIN)
}

impl Agent {
    pub(crate) fn new(parts: Parts) -> Agent {
        let now = Moment::now();
        let capabilities = &parts.introduction.capabilities;
        Agent {
            slots: Slots::new(capabilities),
            introduction: Arc::new(parts.introduction),
            client: parts.client,
            runner: Arc::new(parts.runner),
            outbox: Outbox::default(),
            acks: Vec::new(),
            session: None,
            epoch: 0,
            ttl: Duration::ZERO,
            beat_at: now,
            parked_max: 0,
            calls: Calls::new(now, parts.tasks.clone(), parts.events.clone()),
            publish: parts.publish,
            drain: None,
            resting: false,
            tasks: parts.tasks,
            events: parts.events,
        }
    }

    /// Works until it was asked to end and has ended everything.
    pub(crate) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Event>,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let ended = loop {
            let now = Moment::now();
            self.tend(now);
            self.call(now);
            if self.is_done(now) {
                break Ok(());
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if self.drain.is_none() => self.begin_drain(Moment::now()),
                Some(event) = inbox.recv() => {
                    if let Err(error) = self.hear(event) {
                        break Err(error);
                    }
                }
                () = tokio::time::sleep(self.sleep(now)) => {}
            }
        };
        self.end(inbox).await;
        ended
    }

    fn hear(&mut self, event: Event) -> Result<(), Error> {
        let now = Moment::now();
        match event {
            Event::Opened { sent, result } => return self.on_opened(sent, result, now),
            Event::Polled { sent, acked, result } => self.on_polled(sent, &acked, result, now),
            Event::Beat { sent, beat, result } => self.on_beat(sent, &beat, result, now),
            Event::Reported { sent, reports, result } => self.on_reported(sent, reports, result, now),
            Event::Ran(attempt) => self.on_ran(attempt),
            Event::Ended { attempt, finish } => self.on_ended(attempt, *finish),
        }
        Ok(())
    }

    /// Until the next moment at which something has to be done.
    fn sleep(&mut self, now: Moment) -> Duration {
        let mut next = now.plus(LONGEST_SLEEP);
        let mut consider = |moment: Moment| {
            if moment > now {
                next = next.min(moment);
            }
        };
        for (_, attempt) in self.slots.iter() {
            attempt.moments(self.ttl).into_iter().flatten().for_each(&mut consider);
        }
        if self.session.is_some() {
            consider(self.beat_at);
        }
        let calls = &self.calls;
        let lanes = [&calls.open, &calls.poll, &calls.beat, &calls.report];
        lanes.into_iter().filter_map(|lane| lane.moment()).for_each(&mut consider);
        if let Some(drain) = &self.drain {
            consider(drain.flush_by.unwrap_or(drain.by.plus(FLUSH)));
        }
        next.since(now)
    }

    /// Takes nothing new until the coordinator wants it to, and hands back what has not begun.
    fn rest(&mut self) {
        if self.resting {
            return;
        }
        self.resting = true;
        tracing::info!(
            attempts = self.slots.ids().len(),
            "the coordinator drains this worker: it finishes what runs and takes nothing new"
        );
        for id in self.slots.waiting() {
            self.hand_back(id);
        }
    }

    /// The coordinator has work for it again.
    fn rise(&mut self) {
        if std::mem::take(&mut self.resting) {
            tracing::info!("the coordinator gives this worker work again");
        }
    }

    /// Takes nothing new, hands back what has not begun, and gives the rest its grace.
    fn begin_drain(&mut self, now: Moment) {
        if self.drain.is_some() {
            return;
        }
        let grace = Duration::from_millis(self.introduction.config.drain_grace_ms);
        let by = now.plus(grace);
        tracing::info!(
            attempts = self.slots.ids().len(),
            grace_ms = grace.as_millis() as u64,
            "worker drains"
        );
        for (_, attempt) in self.slots.iter() {
            attempt.stop_by(by);
        }
        for id in self.slots.waiting() {
            self.hand_back(id);
        }
        self.drain = Some(Drain { by, flush_by: None });
        // The parked call asks for leases; the next one does not.
        self.calls.poll.abort();
    }

    fn is_done(&mut self, now: Moment) -> bool {
        let busy = self.slots.iter().any(|(_, attempt)| !matches!(attempt.stage, Stage::Reported(_)));
        let all_said = self.slots.is_empty() && self.outbox.is_empty() && !self.calls.report.is_busy();
        let Some(drain) = &mut self.drain else {
            return false;
        };
        if !busy && drain.flush_by.is_none() {
            drain.flush_by = Some(now.plus(FLUSH));
        }
        all_said || drain.flush_by.unwrap_or(drain.by.plus(FLUSH)) <= now
    }

    /// Whatever still runs is ended, and its folder goes with it.
    async fn end(mut self, inbox: mpsc::Receiver<Event>) {
        drop(inbox);
        let cached = self.runner.cached();
        tracing::info!(
            hits = cached.hits,
            misses = cached.misses,
            evicted = cached.evicted,
            damaged = cached.damaged,
            entries = cached.entries,
            bytes = cached.bytes,
            "the cache of artifacts in this worker's life"
        );
        let unsaid = self.slots.ids().len();
        if unsaid > 0 {
            tracing::warn!(attempts = unsaid, "ends without the coordinator's answer about some attempts");
        }
        for (_, attempt) in self.slots.iter() {
            if let Stage::Running(Run { controls, .. }) | Stage::Sealing(controls) = &attempt.stage {
                controls.kill.cancel();
                controls.hurry.cancel();
            }
        }
        let calls = &mut self.calls;
        for lane in [&mut calls.open, &mut calls.poll, &mut calls.beat, &mut calls.report] {
            lane.abort();
        }
        let tasks = self.tasks.clone();
        drop(self);
        tasks.close();
        // Attempts that wait for the coordinator's answer to something end with the runtime.
        let _ = tokio::time::timeout(FLUSH, tasks.wait()).await;
    }
}
