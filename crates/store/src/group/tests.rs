//! Bounds of a group, which nobody sees from outside.

use super::*;
use crate::Clock;
use crate::figures::Figures;
use crate::fleet::NewSeat;
use crate::open::{FileLock, Options, open_writer};
use crate::request::{Asked, Heartbeat, OpenSession, Poll, Submission, Submit, Work};
use crate::sql::Linked;
use crate::sqlite::Sqlite;
use ciro_core::command::Command;
use ciro_core::engine::MAX_PAGE;
use ciro_core::id::{Hash, JobId, JobKey, SessionId, SessionKey, TaskKey, TenantKey, WorkerId, WorkerKey};
use ciro_core::job::StopCause;
use ciro_core::resources::Offer;
use ciro_core::spec::{JobSpec, Profile};
use ciro_core::time::Timestamp;
use ciro_core::worker::Capabilities;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use tokio::sync::oneshot;
use uuid::Uuid;

/// A clock that stands until it is moved, and counts how often it is looked at: once a group.
#[derive(Debug, Default)]
struct Still {
    looks: AtomicU32,
    moved_us: AtomicU64,
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Timestamp(1_000_000)
    }
    fn monotonic_us(&self) -> u64 {
        1_000_000 + self.moved_us.load(Ordering::SeqCst)
    }
    fn chance(&self) -> u64 {
        7
    }
}

struct Room {
    state: State<Sqlite>,
    group: Group<Sqlite>,
    changed: watch::Sender<i64>,
    clock: Arc<Still>,
    _lock: FileLock,
    _folder: tempfile::TempDir,
}

fn room(max_pages: u32) -> Room {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { max_pages, ..Options::new(folder.path().join("ciro.db")) };
    let clock = Arc::new(Still::default());
    let (shared, figures): (Arc<dyn Clock>, _) = (clock.clone(), Arc::new(Figures::default()));
    let opened = open_writer(&options, &shared, &figures).unwrap();
    let state = State::open(Sqlite::new(opened.connection), options, shared, figures).unwrap();
    let (group, changed) = (Group::default(), watch::channel(0).0);
    Room { state, group, changed, clock, _lock: opened.lock, _folder: folder }
}

impl Room {
    /// Asks everything at once; how many groups it took.
    fn run(&mut self, asks: Vec<Ask<Linked>>) -> u64 {
        let before = self.group.groups;
        let (sender, queue) = sync_channel(asks.len());
        asks.into_iter().for_each(|ask| sender.try_send(Asked { at_us: 0, ask }).unwrap());
        while let Ok(first) = queue.try_recv() {
            assert!(!self.group.fill(first.ask, || queue.try_recv().ok().map(|asked| asked.ask), 256));
            self.group.run(&mut self.state, || None, &self.changed);
        }
        self.group.groups - before
    }

    /// A worker opens a session.
    fn joined(&mut self) -> SessionKey {
        let (reply, mut answer) = oneshot::channel();
        let open = OpenSession {
            public_key: [1; 32],
            tenant: Some(TenantKey(1)),
            name: "w".into(),
            capabilities: capabilities(),
            worker_id: WorkerId(Uuid::from_u128(8)),
            session_id: SessionId(Uuid::from_u128(9)),
            token_hash: [2; 32],
            held: Vec::new(),
        };
        self.run(vec![Ask::OpenSession(Box::new(open), reply)]);
        answer.try_recv().unwrap().unwrap().session
    }

    /// Says how large the file may become; never less than it is.
    fn pages(&self, pragma: &str) {
        self.state.db.conn.query_row(pragma, [], |_| Ok(())).unwrap();
    }

    fn passes(&self, us: u64) {
        self.clock.moved_us.fetch_add(us, Ordering::SeqCst);
    }
}

fn submission(number: u128, seed: &str) -> Submission {
    let text = format!(
        r#"{{"spec_version":1,"kind":"sleep","runtime":{{"type":"wasm","module":"{}","profile":"wasm-1"}},
        "split":{{"type":"array","count":6000}},"resources":{{"cpu_millis":1,"memory_bytes":1,"disk_bytes":1}},
        "limits":{{"wall_ms":1,"cpu_ms":1,"output_bytes":1,"log_bytes":1}},"priority":5,
        "retry":{{"max_attempts":3}},"seed":"{seed}"}}"#,
        Hash::of(b"module"),
    );
    let spec: JobSpec = serde_json::from_str(&text).unwrap();
    Submission {
        id: JobId(Uuid::from_u128(number)),
        hash: Hash::of(text.as_bytes()),
        requirement: spec.requirement(),
        spec: Arc::new(spec),
        text,
        artifacts: Vec::new(),
        labels: None,
        retry_of: None,
        payment: None,
    }
}

fn submit(jobs: Vec<Submission>) -> Ask<Linked> {
    let submit = Submit { tenant: TenantKey(1), jobs, idempotency: None };
    Ask::Submit(submit, oneshot::channel().0)
}

fn command(command: Command) -> (Ask<Linked>, oneshot::Receiver<Result<(), Error>>) {
    let (reply, answer) = oneshot::channel();
    (Ask::Command(command, reply), answer)
}

/// What a worker offers that takes thousands of tasks.
fn capabilities() -> Capabilities {
    let offer = Offer { cpu_millis: 9_000, memory_bytes: 9_000, disk_bytes: 9_000, ..Offer::default() };
    Capabilities { offer, profiles: vec![Profile::Wasm1], ..Capabilities::default() }
}

fn poll(session: SessionKey) -> (Ask<Linked>, oneshot::Receiver<Result<Work, Error>>) {
    let (reply, answer) = oneshot::channel();
    (Ask::Poll(Poll { session, max: 256 }, Vec::new(), reply), answer)
}

type Told = oneshot::Receiver<Result<(), Error>>;

/// Pages of the first job.
fn pages(count: u32) -> (Vec<Ask<Linked>>, Vec<Told>) {
    let page = |page| Command::AddTasks {
        job: JobKey(1),
        first: page * MAX_PAGE as u32,
        inputs: vec![None; MAX_PAGE],
    };
    (0..count).map(|n| command(page(n))).unzip()
}

#[test]
fn a_group_ends_when_its_rows_are_many_and_what_is_left_is_done_in_the_next() {
    let mut room = room(0);
    room.run(vec![submit(vec![submission(1, "")])]);
    let (pages, answers) = pages(6);
    assert_eq!(room.run(pages), 2);
    assert!(answers.into_iter().all(|mut answer| matches!(answer.try_recv(), Ok(Ok(())))));
}

#[test]
fn a_stop_goes_on_once_a_group_however_often_its_job_was_looked_at() {
    let mut room = room(0);
    room.run(vec![submit(vec![submission(1, "")])]);
    room.run(pages(6).0);
    let job = JobKey(1);
    let stop = Command::Stop { job, cause: StopCause::Cancel, grace_ms: 10_000 };
    let looks = [stop, Command::Review { job }, Command::Review { job }].map(|c| command(c).0);
    assert_eq!(room.run(looks.into()), 1);
    assert_eq!(room.state.sweeps, [job]);
    while !room.state.sweeps.is_empty() {
        room.group.run(&mut room.state, || None, &room.changed);
    }
    assert_eq!(room.state.tenants.total(), 0);
}

#[test]
fn a_group_takes_no_more_questions_when_their_texts_are_long() {
    let mut room = room(0);
    let long = "x".repeat(1 << 20);
    let asks = (1..=8).map(|number| submit(vec![submission(number, &long)])).collect();
    assert_eq!(room.run(asks), 2);
}

#[test]
fn a_full_disk_is_tried_once_for_a_group_and_signs_of_life_are_still_answered() {
    let mut room = room(200);
    let large = "x".repeat(1 << 20);
    let (mut asks, mut refused) = (Vec::new(), Vec::new());
    for number in 1..=100 {
        let (reply, answer) = oneshot::channel();
        let jobs = vec![submission(number, if number == 1 { &large } else { "" })];
        asks.push(Ask::Submit(Submit { tenant: TenantKey(1), jobs, idempotency: None }, reply));
        refused.push(answer);
    }
    let (reply, mut status) = oneshot::channel();
    asks.push(Ask::Status(reply));
    let before = room.clock.looks.load(Ordering::SeqCst);
    room.run(asks);
    assert_eq!(room.clock.looks.load(Ordering::SeqCst) - before, 3, "the group, the first of it, the status");
    assert!(refused.into_iter().all(|mut answer| matches!(answer.try_recv(), Ok(Err(Error::DiskFull)))));
    assert!(matches!(status.try_recv(), Ok(Ok(QueueStatus { open_jobs: 0, .. }))));
}

#[test]
fn work_that_a_full_disk_does_not_let_go_is_tried_now_and_then_however_many_ask_for_it() {
    let mut room = room(0);
    room.run(vec![submit(vec![submission(1, "")])]);
    room.run(pages(6).0);
    room.run(vec![command(Command::Prepared { job: JobKey(1) }).0]);
    let session = room.joined();
    room.pages("PRAGMA max_page_count = 1");

    // The call that the first failure let go comes back, and others with it.
    let rolled_back = |room: &Room| room.state.figures.rolled_back.get();
    let (first, mut let_go) = poll(session);
    room.run(vec![first]);
    assert!(matches!(let_go.try_recv(), Ok(Ok(Work { delivery: None, .. }))));
    let mut parked = Vec::new();
    for _ in 0..10 {
        let (again, mut waits) = poll(session);
        let (beat, mut lives) = oneshot::channel();
        let (reply, mut refused) = oneshot::channel();
        let jobs = vec![submission(2, "")];
        let submit = Ask::Submit(Submit { tenant: TenantKey(1), jobs, idempotency: None }, reply);
        let beat = Ask::Heartbeat(Heartbeat { session, held: Vec::new() }, Vec::new(), beat);
        room.run(vec![again, beat, submit]);
        assert!(waits.try_recv().is_err(), "it waits");
        parked.push(waits);
        assert!(matches!(lives.try_recv(), Ok(Ok(_))));
        assert!(matches!(refused.try_recv(), Ok(Err(Error::DiskFull))));
    }
    assert_eq!(rolled_back(&room), 1, "and the disk is left alone");

    room.passes(FULL_MS.end() * 1_000);
    room.group.run(&mut room.state, || None, &room.changed);
    assert_eq!(rolled_back(&room), 2, "until it is tried again");
    room.pages("PRAGMA max_page_count = 1000000");
    let (last, mut answer) = poll(session);
    room.run(vec![last]);
    room.passes(FULL_MS.end() * 1_000);
    room.group.run(&mut room.state, || None, &room.changed);
    let work = answer.try_recv().unwrap().unwrap();
    assert_eq!((rolled_back(&room), work.leases.len()), (2, 256), "and now there is room");
}

#[test]
fn tasks_that_nobody_may_be_asked_for_do_not_hold_up_the_writer() {
    let mut room = room(0);
    let job = JobKey(1);
    room.run(vec![submit(vec![submission(1, "")])]);
    room.run(pages(6).0);
    room.run(vec![command(Command::Prepared { job }).0]);
    let (session, worker, capabilities) = (SessionKey(1), WorkerKey(1), capabilities());
    let seat = NewSeat {
        home: ciro_core::id::CoordinatorKey(1),
        worker,
        tenant: TenantKey(1),
        capabilities,
        online: true,
        duty: ciro_core::worker::Duty::Works,
    };
    room.state.fleet.sit(session, seat, 1_000);
    for no in 0..6_000 {
        room.state.index.exclude(TaskKey { job, no }, worker, Timestamp(2_000_000));
    }
    let (reply, mut answer) = oneshot::channel();
    room.run(vec![Ask::Poll(Poll { session, max: 1 }, Vec::new(), reply)]);
    assert_eq!(
        (room.state.index.delayed(), room.state.wait_ms()),
        (4_096, 0),
        "the rest at once, in the next"
    );
    room.run(vec![Ask::Status(oneshot::channel().0)]);
    assert_eq!((room.state.index.delayed(), room.state.unfinished), (6_000, false));
    assert!(answer.try_recv().is_err(), "the call waits on");
}
