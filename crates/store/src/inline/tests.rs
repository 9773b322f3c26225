//! What outlives a crash at each point of a group, and that the same questions give the same.

use super::*;
use crate::conformance::ManualClock;
use crate::conformance::world::{PRICE, capabilities, spec, succeeded};
use crate::{Report, Submission};
use ciro_core::command::{Said, Verdict};
use ciro_core::id::{AttemptId, Hash, SessionId, SessionKey, WorkerId};
use ciro_core::invariant::check_job;
use ciro_core::job::JobState;
use ciro_core::spec::{Profile, Split};
use uuid::Uuid;

const TENANT: TenantKey = TenantKey(1);

struct Room {
    store: Inline,
    clock: Arc<ManualClock>,
    ids: u128,
}

fn start(disk: Memory, clock: &Arc<ManualClock>) -> Inline {
    Inline::start(disk, Options::new(""), clock.clone()).unwrap()
}

/// One job of so many tasks.
fn submit(id: Uuid, tasks: u32) -> Submit {
    let split = (tasks > 1).then_some(Split::Array { count: tasks });
    let spec = ciro_core::spec::JobSpec { split, ..spec() };
    let text = spec.canonical().unwrap();
    let job = Submission {
        id: JobId(id),
        hash: Hash::of(text.as_bytes()),
        requirement: spec.requirement(),
        text,
        artifacts: Vec::new(),
        labels: None,
        retry_of: None,
        payment: None,
        spec: Arc::new(spec),
    };
    Submit { tenant: TENANT, jobs: vec![job], idempotency: None }
}

/// A session of the one worker.
fn opening(worker: Uuid, session: Uuid, held: Vec<AttemptId>) -> OpenSession {
    OpenSession {
        public_key: [7; 32],
        tenant: Some(TENANT),
        name: "w".into(),
        capabilities: capabilities(4),
        worker_id: WorkerId(worker),
        session_id: SessionId(session),
        token_hash: *blake3::hash(session.as_bytes()).as_bytes(),
        held,
    }
}

impl Room {
    fn new() -> Room {
        let clock = Arc::new(ManualClock::new());
        let disk = Memory::new(&[MemoryTenant::default()]).unwrap();
        Room { store: start(disk, &clock), clock, ids: 0 }
    }

    fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    fn ask_submit(&mut self, tasks: u32) -> (JobId, Answer<Submitted>) {
        let id = self.id();
        (JobId(id), self.store.submit(submit(id, tasks)).unwrap())
    }

    fn session(&mut self) -> SessionKey {
        let open = opening(self.id(), self.id(), Vec::new());
        let mut answer = self.store.open_session(open).unwrap();
        self.store.turn();
        answer.take().unwrap().unwrap().session
    }

    fn ask_report(&self, session: SessionKey, attempt: AttemptId, said: Said) -> Answer<Reported> {
        let report = Report {
            attempt,
            said,
            artifacts: Vec::new(),
            profile: Profile::Wasm1,
            input: None,
            layers: "".into(),
            price: PRICE,
        };
        let reports = Reports { session, reports: vec![report], signed: None, take: 0 };
        self.store.reports(reports, Vec::new()).unwrap()
    }

    fn crash_at(self, point: Point) -> Room {
        let Room { store, clock, ids } = self;
        let store = start(store.crash_at(point).unwrap(), &clock);
        Room { store, clock, ids }
    }

    fn state(&self, id: JobId) -> Option<JobState> {
        let key = self.store.job_key(id).unwrap()?;
        let job = self.store.job(key).unwrap()?;
        assert_eq!(check_job(&job.history()), []);
        Some(job.job.state)
    }
}

#[test]
fn what_was_committed_outlives_a_crash_and_nothing_else_does() {
    for point in Point::ALL {
        let mut room = Room::new();
        let (first, mut answer) = room.ask_submit(1);
        assert!(answer.take().is_none(), "nothing is answered before its turn");
        assert_eq!(room.store.turn(), 1);
        assert_eq!(answer.take().unwrap().unwrap().ids, [first]);
        let (second, mut lost) = room.ask_submit(1);
        room = room.crash_at(point);
        assert!(matches!(lost.take(), Some(Err(Error::Stopped))), "nobody was told at {point:?}");
        assert_eq!(room.state(first), Some(JobState::Queued));
        assert_eq!(room.state(second).is_some(), point == Point::Committed);
        assert_eq!(room.store.status().ready_tasks, 1 + u64::from(point == Point::Committed));
    }
}

#[test]
fn a_result_is_accepted_once_whatever_its_worker_was_told() {
    for point in Point::ALL {
        let mut room = Room::new();
        let (job, _) = room.ask_submit(1);
        let session = room.session();
        let mut polled = room.store.poll(Poll { session, max: 1 }, Vec::new()).unwrap();
        room.store.turn();
        let work = polled.take().unwrap().unwrap();
        let attempt = work.leases[0].attempt;
        drop(room.ask_report(session, attempt, succeeded("yes").unwrap()));
        room = room.crash_at(point);
        let mut again = room.ask_report(session, attempt, succeeded("yes").unwrap());
        room.store.turn();
        let verdicts = again.take().unwrap().unwrap().verdicts;
        let accepted = crate::ReportVerdict::Engine(Verdict::Accepted);
        assert_eq!(verdicts, [accepted], "the same answer whether it was on disk or not, at {point:?}");
        assert_eq!(room.state(job), Some(JobState::Completed));
    }
}

/// Submits, splits, grants, loses workers and restarts; what was seen of it.
fn history() -> (Vec<EventRow>, Vec<JobRows>) {
    let mut room = Room::new();
    let jobs: Vec<JobId> = (0..20).map(|n| room.ask_submit(n % 3 * 20 + 1).0).collect();
    room.store.turn();
    for job in room.store.jobs_preparing(None, 100).unwrap() {
        let count = match serde_json::from_str::<ciro_core::spec::JobSpec>(&job.spec_text).unwrap().split {
            Some(Split::Array { count }) => count,
            _ => 1,
        };
        let add = Command::AddTasks { job: job.job, first: 0, inputs: vec![None; count as usize] };
        drop(room.store.command(add).unwrap());
        drop(room.store.command(Command::Prepared { job: job.job }).unwrap());
    }
    for _ in 0..4 {
        let session = room.session();
        let _polled = room.store.poll(Poll { session, max: 9 }, Vec::new()).unwrap();
        room.store.turn();
        room.clock.pass(60_000);
        while room.store.wait_ms() == 0 || room.store.turn() > 0 {}
        room.clock.pass(60_000);
        room.store.turn();
        room = room.crash_at(Point::Decided);
    }
    let events = room.store.events_after(None, 0, 1_000).unwrap();
    let rows = jobs.iter().map(|id| room.store.job_key(*id).unwrap().unwrap());
    (events, rows.map(|key| room.store.job(key).unwrap().unwrap()).collect())
}

#[test]
fn the_same_questions_give_the_same_rows_and_events() {
    let first = history();
    assert!(first.0.len() > 60 && first == history(), "{}", first.0.len());
}

/// Two coordinators that share a disk, and which of them has it.
struct Pair {
    disk: Memory,
    members: [Inline; 2],
    clock: Arc<ManualClock>,
}

impl Pair {
    fn new() -> Pair {
        let clock = Arc::new(ManualClock::new());
        let mut disk = Memory::new(&[MemoryTenant::default()]).unwrap();
        let members = ["a", "b"].map(|name| {
            let options = Options { coordinator: name.into(), ..Options::new("") };
            let mut member = Inline::start(std::mem::take(&mut disk), options, clock.clone()).unwrap();
            member.swap_disk(&mut disk);
            member
        });
        Pair { disk, members, clock }
    }

    fn turn(&mut self, no: usize) {
        let member = &mut self.members[no];
        member.swap_disk(&mut self.disk);
        member.turn();
        member.swap_disk(&mut self.disk);
    }
}

#[test]
fn who_was_away_leads_no_longer_and_its_late_write_is_refused() {
    let mut pair = Pair::new();
    pair.turn(0);
    pair.turn(1);
    assert_eq!(pair.members.each_ref().map(Inline::leads), [Some(1), None], "the first that asks");
    for _ in 0..5 {
        pair.clock.pass(2_000);
        pair.turn(1);
    }
    assert_eq!(pair.members[1].leads(), Some(2), "nothing was heard of the other");
    assert_eq!(pair.members[0].leads(), Some(1), "which does not know it yet");
    let review = Command::Review { job: JobKey(1) };
    let mut late = pair.members[0].command_in(1, review).unwrap();
    pair.turn(0);
    assert!(matches!(late.take(), Some(Err(Error::NotLeading))));
    assert_eq!(pair.members[0].leads(), None);
}

/// The other coordinator hears of both sessions, and of what was granted to the first, at once.
#[test]
fn a_session_that_came_and_went_unseen_leaves_what_it_held_to_the_next() {
    let mut pair = Pair::new();
    pair.turn(0);
    pair.turn(1);
    let id = |n: u128| Uuid::from_u128(n);
    let mut opened = pair.members[0].open_session(opening(id(1), id(2), Vec::new())).unwrap();
    pair.turn(0);
    let first = opened.take().unwrap().unwrap().session;
    let mut work = pair.members[0].poll(Poll { session: first, max: 1 }, Vec::new()).unwrap();
    drop(pair.members[0].submit(submit(id(3), 1)).unwrap());
    pair.turn(0);
    pair.members[0].command(Command::Prepared { job: JobKey(1) }).unwrap();
    pair.turn(0);
    let leased = work.take().unwrap().unwrap().leases[0].attempt;
    let mut again = pair.members[0].open_session(opening(id(1), id(4), vec![leased])).unwrap();
    pair.turn(0);
    let second = again.take().unwrap().unwrap();
    assert_eq!(second.unknown, []);
    let beat = Heartbeat { session: second.session, held: vec![(leased, 1)] };
    let mut beat = pair.members[1].heartbeat(beat, Vec::new()).unwrap();
    pair.turn(1);
    assert_eq!(beat.take().unwrap().unwrap().unknown, [], "the worker may go on with it");
}

#[test]
fn a_full_disk_refuses_what_writes_loses_nothing_and_goes_on_when_there_is_room() {
    let mut room = Room::new();
    let (first, _) = room.ask_submit(1);
    let session = room.session();
    // Enough for one of them.
    room.store.set_room(Some(10));
    let (small, mut taken) = room.ask_submit(1);
    let (other, mut refused) = room.ask_submit(1);
    let mut beat = room.store.heartbeat(Heartbeat { session, held: Vec::new() }, Vec::new()).unwrap();
    room.store.turn();
    assert_eq!(taken.take().unwrap().unwrap().ids, [small]);
    assert!(matches!(refused.take(), Some(Err(Error::DiskFull))));
    assert!(matches!(beat.take(), Some(Ok(_))), "a sign of life writes nothing");
    assert_eq!(room.store.rolled_back(), 1);
    assert!(room.store.disagreements().unwrap().is_empty());
    room = room.crash_at(Point::Committed);
    let states = |room: &Room| [first, small, other].map(|id| room.state(id));
    assert_eq!(states(&room), [Some(JobState::Queued), Some(JobState::Queued), None]);
    room.store.set_room(None);
    let (later, mut answer) = room.ask_submit(1);
    room.store.turn();
    assert_eq!(answer.take().unwrap().unwrap().ids, [later]);
}
