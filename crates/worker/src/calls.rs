//! The calls of the work channel: one of each kind at a time, each in a task of its own that comes
//! back to the agent as an event. A lane knows which call is on the way and, after a failure, when
//! the next may be made. An answer of a call that was given up meanwhile does not disturb the lane.
//!
//! A connection that a router or a dead machine forgot is silent without an end. Calls that are answered
//! at once are made again after [`PATIENCE`]. The parked call is silent for long by its nature: a
//! heartbeat asks whether the other side has it, and one that it has not is given up once its answer
//! would come too late.

use crate::agent::Event;
use crate::backoff::Backoff;
use crate::clock::Moment;
use ciro_api::client::{self, Client};
use ciro_api::work::{Heartbeat, Poll, Reports, Session};
use std::future::Future;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

/// How long a poll is parked.
const PARK_MS: u64 = 30_000;
/// A heartbeat without an answer is sent again after its interval, within these bounds.
const BEAT_PATIENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// Any other call that is answered at once, or a part of a download.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// A call that was made so long ago has arrived, unless it was lost.
const ARRIVES_WITHIN: Duration = Duration::from_secs(1);
/// What the coordinator answered a parked call, it takes back where so long nobody acknowledges it:
/// an answer that is later than that is worth nothing.
const ANSWER_LASTS: Duration = Duration::from_secs(5);

/// Which call it was, of which session, and when it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) epoch: u64,
    pub(crate) at: Moment,
    number: u64,
}

/// A call that has not come back.
#[derive(Debug)]
struct Under {
    sent: Sent,
    task: AbortHandle,
    /// It is not waited for any longer than that.
    given_up_at: Option<Moment>,
}

/// One kind of call.
#[derive(Debug)]
pub(crate) struct Lane {
    on_the_way: Option<Under>,
    not_before: Moment,
    backoff: Backoff,
}

impl Lane {
    fn new(now: Moment) -> Lane {
        Lane { on_the_way: None, not_before: now, backoff: Backoff::default() }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.on_the_way.is_some()
    }

    /// Whether a call may be made now.
    pub(crate) fn is_free(&self, now: Moment) -> bool {
        !self.is_busy() && self.not_before <= now
    }

    /// When there is something to do: a call may be made, or is given up.
    pub(crate) fn moment(&self) -> Option<Moment> {
        self.on_the_way.as_ref().map_or(Some(self.not_before), |call| call.given_up_at)
    }

    /// Whether a call is on the way that was made long enough before `moment` to have arrived by then.
    pub(crate) fn has_arrived(&self, moment: Moment) -> bool {
        self.on_the_way.as_ref().is_some_and(|call| call.sent.at.plus(ARRIVES_WITHIN) <= moment)
    }

    /// By the answer to `beat`, the other side has the call that was on the way then, or has not: its
    /// answer is waited for as long as it is worth something.
    pub(crate) fn is_there(&mut self, there: bool, beat: Sent, now: Moment) {
        if let Some(call) = self.on_the_way.as_mut().filter(|call| call.sent.number < beat.number) {
            let until = || now.plus(ANSWER_LASTS);
            call.given_up_at = if there { None } else { call.given_up_at.or_else(|| Some(until())) };
        }
    }

    /// Gives up the call whose time has come.
    pub(crate) fn give_up(&mut self, now: Moment) {
        let over = |call: &Under| call.given_up_at.is_some_and(|at| at <= now);
        if self.on_the_way.as_ref().is_some_and(over) {
            tracing::info!("the coordinator does not have the parked call; making it again");
            self.abort();
        }
    }

    /// The call came back. False when it had been given up.
    pub(crate) fn landed(&mut self, sent: Sent) -> bool {
        let current = self.on_the_way.as_ref().is_some_and(|call| call.sent.number == sent.number);
        if current {
            self.on_the_way = None;
        }
        current
    }

    /// A call succeeded: the next failure is the first again.
    pub(crate) fn works(&mut self) {
        self.backoff.succeeded();
    }

    /// A call failed; the next one waits. Answers how many failed in a row.
    pub(crate) fn failed(&mut self, now: Moment, error: &client::Error) -> u32 {
        self.not_before = now.plus(self.backoff.failed(error));
        self.backoff.failures()
    }

    /// The next call waits a little, and the one after it longer.
    pub(crate) fn pace(&mut self, now: Moment) {
        self.not_before = now.plus(self.backoff.next());
    }

    /// Gives up a call that is on the way.
    pub(crate) fn abort(&mut self) {
        if let Some(call) = self.on_the_way.take() {
            call.task.abort();
        }
    }
}

/// The four kinds.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) open: Lane,
    pub(crate) poll: Lane,
    pub(crate) beat: Lane,
    pub(crate) report: Lane,
    made: u64,
    tasks: TaskTracker,
    events: mpsc::Sender<Event>,
}

impl Calls {
    pub(crate) fn new(now: Moment, tasks: TaskTracker, events: mpsc::Sender<Event>) -> Calls {
        let lane = || Lane::new(now);
        Calls { open: lane(), poll: lane(), beat: lane(), report: lane(), made: 0, tasks, events }
    }

    /// Leases last for `ttl`.
    pub(crate) fn suit(&mut self, ttl: Duration) {
        for lane in [&mut self.open, &mut self.poll, &mut self.beat, &mut self.report] {
            lane.backoff.suit(ttl);
        }
    }

    /// The label of the next call.
    pub(crate) fn next(&mut self, epoch: u64, at: Moment) -> Sent {
        self.made += 1;
        Sent { epoch, at, number: self.made }
    }

    fn send(&self, sent: Sent, call: impl Future<Output = Event> + Send + 'static) -> Option<Under> {
        let events = self.events.clone();
        let task = self.tasks.spawn(async move {
            // Nobody hears it any more where the agent is gone.
            let _ = events.send(call.await).await;
        });
        Some(Under { sent, task: task.abort_handle(), given_up_at: None })
    }

    /// Opens a session; `call` is the whole exchange.
    pub(crate) fn open(
        &mut self,
        sent: Sent,
        call: impl Future<Output = Result<Session, client::Error>> + Send + 'static,
    ) {
        self.open.on_the_way = self.send(sent, async move {
            let result = call.await;
            Event::Opened { sent, result }
        });
    }

    pub(crate) fn poll(&mut self, sent: Sent, client: Client, max: u32, ack: Vec<u64>) {
        let poll = Poll { wait_ms: PARK_MS, max, ack };
        self.poll.on_the_way = self.send(sent, async move {
            let result = client.work_poll(&poll).await;
            Event::Polled { sent, acked: poll.ack, result }
        });
    }

    pub(crate) fn beat(&mut self, sent: Sent, client: Client, interval: Duration, beat: Heartbeat) {
        let client = client.with_patience(interval.clamp(BEAT_PATIENCE[0], BEAT_PATIENCE[1]));
        self.beat.on_the_way = self.send(sent, async move {
            let result = client.work_heartbeat(&beat).await;
            Event::Beat { sent, beat, result }
        });
    }

    pub(crate) fn report(&mut self, sent: Sent, client: Client, reports: Reports) {
        self.report.on_the_way = self.send(sent, async move {
            let result = client.work_reports(&reports).await;
            Event::Reported { sent, reports, result }
        });
    }
}
