//! What goes over the simulated network: calls and their answers, and who they are from and for.

use ciro_core::command::{Refusal, Said};
use ciro_core::id::{AttemptId, JobId, SessionKey, WorkerKey};
use ciro_store::{EventRow, HeartbeatAnswer, OpenedSession, ReportVerdict, Work, WorkerOrder};
use std::sync::Arc;

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Address {
    /// The coordinator.
    Coordinator,
    /// A client.
    Client(u8),
    /// A worker.
    Worker(u8),
    /// Whoever runs the coordinator: its chores, and orders to workers.
    Operator,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Coordinator => f.write_str("coordinator"),
            Address::Client(n) => write!(f, "client {n}"),
            Address::Worker(n) => write!(f, "worker {n}"),
            Address::Operator => f.write_str("operator"),
        }
    }
}

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Sender.
    pub(crate) from: Address,
    /// Receiver.
    pub(crate) to: Address,
    /// Number of the call, its sender's own; an answer has that of its call.
    pub(crate) call: u64,
    /// What it says.
    pub(crate) body: Body,
}

/// What a message says.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Something is asked.
    Call(Call),
    /// Something is answered.
    Answer(Result<Reply, Refused>),
}

/// What is asked of the coordinator.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    /// Accept a job.
    Submit {
        /// Number of the item that describes it.
        item: usize,
        /// What names the call.
        key: Option<u64>,
        /// Another body under the same name.
        other: bool,
        /// The ended job that it runs again.
        retry_of: Option<JobId>,
    },
    /// End a job early.
    Cancel {
        /// The job.
        job: JobId,
        /// Grace, ms.
        grace_ms: u64,
    },
    /// Events behind a position.
    Events {
        /// The position.
        after: i64,
    },
    /// Open a session.
    Open {
        /// Attempts that the worker still holds.
        held: Vec<AttemptId>,
    },
    /// A parked call.
    Poll {
        /// Under which session.
        session: SessionKey,
        /// Leases wanted.
        max: u32,
        /// Deliveries that arrived.
        acks: Vec<u64>,
    },
    /// Reports.
    Reports {
        /// Under which session.
        session: SessionKey,
        /// What is said of which attempt.
        lines: Vec<(AttemptId, Said)>,
        /// Leases wanted with the answer.
        take: u32,
        /// Deliveries that arrived.
        acks: Vec<u64>,
    },
    /// A heartbeat.
    Beat {
        /// Under which session.
        session: SessionKey,
        /// Held attempts and how far they are.
        held: Vec<(AttemptId, u64)>,
        /// Deliveries that arrived.
        acks: Vec<u64>,
    },
    /// An order to a worker.
    Order {
        /// The worker.
        worker: WorkerKey,
        /// What it is to do.
        order: WorkerOrder,
    },
}

impl Call {
    /// For traces.
    #[must_use]
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Call::Submit { .. } => "submit",
            Call::Cancel { .. } => "cancel",
            Call::Events { .. } => "events",
            Call::Open { .. } => "open session",
            Call::Poll { .. } => "poll",
            Call::Reports { .. } => "reports",
            Call::Beat { .. } => "heartbeat",
            Call::Order { .. } => "order",
        }
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Jobs that were accepted.
    Submitted(Vec<JobId>),
    /// It was done.
    Done,
    /// Events, and how far the log goes.
    Events(Arc<Vec<EventRow>>),
    /// A session.
    Opened(OpenedSession),
    /// Leases and stops.
    Work(Work),
    /// Verdicts, leases and stops.
    Reported(Vec<ReportVerdict>, Work),
    /// Stops, and what is not the worker's.
    Beat(HeartbeatAnswer),
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Come back later.
    Overloaded,
    /// The disk is full, nothing was written: come back later.
    DiskFull,
    /// The session has ended.
    SessionEnded,
    /// Nothing of that name.
    NotFound,
    /// The key was used for something else.
    Mismatch,
    /// The tenant's balance does not cover it.
    Poor,
    /// The engine refuses.
    Engine(Refusal),
}
