//! Events as readers see them: the compact ones of the log, expanded to `CloudEvents` with words
//! instead of letters. The stored form may become more compact; what is made here is the contract.

use bytes::Bytes;
use ciro_api::event::Event;
use ciro_core::event::{AttemptEnded, JobEvent};
use ciro_core::id::{AttemptId, JobId, JobKey, TaskId, TenantKey, WorkerId, WorkerKey};
use ciro_core::job::JobState;
use ciro_store::{EventRow, EventSubject};
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

/// The version of the shape of `data`.
pub const DATA_VERSION: u16 = 1;
/// What is said of a job whose row was archived: its events outlive its id.
const ARCHIVED: &str = "archived";

/// An event ready to be sent, with what streams choose by.
#[derive(Debug)]
pub struct Expanded {
    /// Its place in the log.
    pub position: i64,
    /// Whose it is.
    pub tenant: TenantKey,
    /// The job that it is about.
    pub job: Option<JobKey>,
    /// The worker that it is about, or that it says was given an attempt.
    pub worker: Option<WorkerKey>,
    /// Number within the job.
    pub sequence: u32,
    /// Whether nothing more will happen to the job.
    pub ends_job: bool,
    /// As the wire shows it.
    pub event: Event,
    frame: OnceLock<Bytes>,
}

impl Expanded {
    /// The event as a frame of Server-Sent Events; written once for all streams.
    pub fn frame(&self) -> Bytes {
        let write = || {
            let data = serde_json::to_string(&self.event).unwrap_or_default();
            Bytes::from(format!("id: {}\nevent: {}\ndata: {data}\n\n", self.event.id, self.event.type_))
        };
        self.frame.get_or_init(write).clone()
    }
}

/// Expands a stored event; `source` is the coordinator's name.
#[must_use]
pub fn expand(row: EventRow, source: &str) -> Expanded {
    let mut event = Event {
        id: row.position.to_string(),
        type_: String::new(),
        source: source.to_owned(),
        subject: String::new(),
        time: row.at.into(),
        sequence: None,
        data_version: DATA_VERSION,
        data: Value::Null,
    };
    let worker = match &row.subject {
        EventSubject::Job { event: JobEvent::Granted { worker, .. }, .. } => Some(WorkerKey(*worker)),
        EventSubject::Job { .. } => None,
        EventSubject::Worker { key, .. } => Some(*key),
    };
    let (job, sequence, ends_job) = match row.subject {
        EventSubject::Job { key, id, sequence, event: happened, worker } => {
            event.type_ = happened.type_name().to_owned();
            event.subject = subject(id, &happened, &event.type_);
            event.sequence = Some(sequence);
            event.data = Value::Object(data(id, &happened, worker));
            (Some(key), sequence, happened.ended().is_some())
        }
        EventSubject::Worker { id, event: happened, .. } => {
            event.type_ = happened.type_name().to_owned();
            event.subject = id.to_string();
            event.data = json!({ "worker": id });
            (None, 0, false)
        }
    };
    Expanded {
        position: row.position,
        tenant: row.tenant,
        job,
        worker,
        sequence,
        ends_job,
        event,
        frame: OnceLock::new(),
    }
}

fn subject(id: Option<JobId>, event: &JobEvent, type_: &str) -> String {
    let Some(job) = id else { return ARCHIVED.to_owned() };
    match attempt_of(event).filter(|_| type_.starts_with("attempt.")) {
        Some((no, fence)) => AttemptId { task: TaskId { job, no }, fence }.to_string(),
        None => job.to_string(),
    }
}

/// Task and fence of the attempt that an event is about.
fn attempt_of(event: &JobEvent) -> Option<(u32, u32)> {
    match event {
        JobEvent::Granted { task, fence, .. } | JobEvent::Started { task, fence } => Some((*task, *fence)),
        JobEvent::AttemptEnded(end) => Some((end.task, end.fence)),
        _ => None,
    }
}

fn data(id: Option<JobId>, event: &JobEvent, worker: Option<WorkerId>) -> Map<String, Value> {
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| drop(data.insert(name.to_owned(), value));
    put("job", id.map_or_else(|| json!(ARCHIVED), |id| json!(id)));
    if let (Some(job), Some((no, fence))) = (id, attempt_of(event)) {
        put("attempt", json!(AttemptId { task: TaskId { job, no }, fence }));
    }
    if let Some((task, fence)) = attempt_of(event) {
        put("task", json!(task));
        put("fence", json!(fence));
    }
    match event {
        JobEvent::Submitted { state } => put("state", json!(state)),
        JobEvent::TasksAdded { first, count } => put("tasks", json!({ "first": first, "count": count })),
        JobEvent::Queued { reducers } => {
            put("state", json!(JobState::Queued));
            if *reducers > 0 {
                put("reducers", json!(reducers));
            }
        }
        JobEvent::Granted { .. } => worker.iter().for_each(|id| put("worker", json!(id))),
        JobEvent::Started { .. } => {}
        JobEvent::AttemptEnded(end) => attempt_ended(end, &mut put),
        JobEvent::StopRequested { cause, cancelled, revoked, ended } => {
            put("cause", json!(cause));
            swept(cancelled, revoked, *ended, &mut put);
        }
        JobEvent::Funded { state } => state.iter().for_each(|state| put("state", json!(state))),
        JobEvent::FundsLost {} | JobEvent::DepositTroubleOver {} => {}
        JobEvent::DepositTrouble { code, message } => {
            put("code", json!(code));
            put("message", json!(message));
        }
        JobEvent::Disputed { open } => put("open", json!(open)),
        JobEvent::Settled { paid, fee, refunded } => {
            put("paid", json!(paid));
            put("fee", json!(fee));
            put("refunded", json!(refunded));
        }
        JobEvent::Swept { cancelled, revoked, ended } => swept(cancelled, revoked, *ended, &mut put),
    }
    data
}

fn attempt_ended(end: &AttemptEnded, put: &mut impl FnMut(&str, Value)) {
    put("outcome", json!(end.attempt));
    put("task_state", json!(end.then));
    put("attempts", json!(end.attempts));
    put("crashes", json!(end.crashes));
    end.class.iter().for_each(|class| put("class", json!(class)));
    end.failure.iter().for_each(|failure| put("task_failure", json!(failure)));
    end.not_before.iter().for_each(|at| put("not_before", json!(ciro_api::time::Time(*at))));
    end.opened.iter().for_each(|no| put("opened", json!(no)));
    if !end.dependents.is_empty() {
        put("dependents", json!(end.dependents));
    }
    end.ended.iter().for_each(|state| put("state", json!(state)));
}

fn swept(
    cancelled: &[(u32, u32)],
    revoked: &[(u32, u32)],
    ended: Option<JobState>,
    put: &mut impl FnMut(&str, Value),
) {
    let ranges = cancelled.iter().map(|(first, count)| json!({ "first": first, "count": count }));
    put("cancelled", ranges.collect());
    put("revoked", revoked.iter().map(|(task, fence)| json!({ "task": task, "fence": fence })).collect());
    ended.iter().for_each(|state| put("state", json!(state)));
}

/// Which types a reader wants: names, or names that end with `.*`; none wants all.
#[derive(Debug, Clone, Default)]
pub struct Types(Vec<String>);

/// The longest list of types, bytes.
const MAX_TYPES_BYTES: usize = 1_024;
/// The most types that one reader names.
pub(crate) const MAX_TYPES: usize = 32;

impl Types {
    /// Reads `job.*,worker.online`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Types, String> {
        if text.len() > MAX_TYPES_BYTES {
            return Err(format!("is {} bytes long, at most {MAX_TYPES_BYTES} are taken", text.len()));
        }
        let types: Vec<String> =
            text.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect();
        if types.len() > MAX_TYPES {
            return Err(format!("names {} types, at most {MAX_TYPES} are taken", types.len()));
        }
        let known = |t: &str| t.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'.' | b'_'));
        match types.iter().find(|t| !known(t.strip_suffix('*').unwrap_or(t))) {
            Some(wrong) => Err(format!("`{wrong}` is not a type such as `job.completed` or `job.*`")),
            None => Ok(Types(types)),
        }
    }

    /// Whether events of this type are wanted.
    #[must_use]
    pub fn want(&self, type_: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(prefix) => type_.starts_with(prefix),
                None => type_ == wanted,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ciro_core::attempt::AttemptState;
    use ciro_core::retry::FailureClass;
    use ciro_core::task::TaskState;
    use ciro_core::time::Timestamp;

    #[test]
    fn a_stored_event_is_told_in_words() {
        let id = JobId(uuid::Uuid::from_u128(7));
        let end = AttemptEnded {
            task: 3,
            fence: 2,
            attempt: AttemptState::Failed,
            class: Some(FailureClass::Infra),
            then: TaskState::Open,
            failure: None,
            attempts: 1,
            crashes: 0,
            not_before: Some(Timestamp(5_000)),
            opened: None,
            dependents: Vec::new(),
            ended: None,
        };
        let subject = EventSubject::Job {
            key: JobKey(1),
            id: Some(id),
            sequence: 9,
            event: JobEvent::AttemptEnded(end),
            worker: None,
        };
        let row = EventRow { position: 41, tenant: TenantKey(1), at: Timestamp(0), subject };
        let told = expand(row, "test");
        let attempt = AttemptId { task: TaskId { job: id, no: 3 }, fence: 2 };
        assert_eq!((told.event.type_.as_str(), told.event.id.as_str()), ("attempt.failed", "41"));
        assert_eq!(told.event.subject, attempt.to_string());
        assert_eq!(
            told.event.data,
            json!({ "job": id, "attempt": attempt, "task": 3, "fence": 2, "outcome": "failed", "class": "infra",
                "task_state": "open", "attempts": 1, "crashes": 0, "not_before": "1970-01-01T00:00:05.000Z" })
        );
        assert!(Types::parse(&format!("job.{}", "x".repeat(MAX_TYPES_BYTES))).is_err());
        let types = Types::parse("job.*, attempt.failed").unwrap();
        assert!(types.want("job.queued") && types.want("attempt.failed") && !types.want("attempt.lost"));
        assert!(Types::parse("job.<script>").is_err());
    }
}
