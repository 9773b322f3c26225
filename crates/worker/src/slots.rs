//! What a worker holds: every attempt from its lease to the verdict on its report, what it may use,
//! and until when the lease is trusted. Pure bookkeeping; the agent acts on it.
//! Free capacity is the offer minus what unfinished attempts hold, computed, never counted.

use crate::clock::Moment;
use crate::process::ProcessHandle;
use crate::runner::Sealed;
use ciro_api::work::{Lease, MAX_LEASES, Progress};
use ciro_core::amount::Fri;
use ciro_core::id::AttemptId;
use ciro_core::resources::{Held, Lack, Offer, Resources};
use ciro_core::spec::Profile;
use ciro_core::worker::Capabilities;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The smallest share of a core that leases are asked for with.
const LEASE_CPU_MILLIS: u64 = 100;
/// Leases that may wait beyond the prefetch: an attempt that was revoked may still be ending here
/// while its successor has already been granted.
const WAITING_SLACK: usize = 8;

/// An attempt that runs longer is reported as begun; a shorter one says so with its end.
pub(crate) const TELL_AFTER: Duration = Duration::from_millis(200);

/// One held attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) lease: Arc<Lease>,
    pub(crate) stage: Stage,
    /// Past it the lease may have been given to another worker.
    pub(crate) trusted_until: Moment,
    /// When it has to be over.
    pub(crate) stop_at: Option<Moment>,
    /// What is said of it when it was ended from here.
    pub(crate) farewell: Farewell,
}

/// Where an attempt is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// For free resources.
    Waiting,
    /// Files are fetched, or the program runs.
    Running(Run),
    /// The program is over; its outputs go up.
    Sealing(Controls),
    /// All that is left is the verdict.
    Reported(Option<Sealed>),
}

/// A run as the agent sees it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) controls: Controls,
    pub(crate) since: Moment,
    /// Whether the coordinator was told that it began.
    pub(crate) told: bool,
    /// Since when its program does not go on, because the lease is not trusted.
    pub(crate) suspended: Option<Moment>,
}

/// How the agent reaches into an attempt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Controls {
    /// Ends the program.
    pub(crate) kill: CancellationToken,
    /// Ends the upload: the result is reported as it is.
    pub(crate) hurry: CancellationToken,
    pub(crate) process: ProcessHandle,
}

/// What is said of an attempt that was ended from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// It is handed back.
    Release,
    /// Nothing: it is not ours any more.
    Silence,
}

/// All held attempts.
#[derive(Debug)]
pub(crate) struct Slots {
    offer: Offer,
    profiles: Vec<Profile>,
    price: Fri,
    prefetch: usize,
    max_by_kind: BTreeMap<String, u32>,
    attempts: BTreeMap<AttemptId, Attempt>,
    waiting: VecDeque<AttemptId>,
}

/// What a lease holds here. Disk is the coordinator's to count: leases do not name it.
fn resources(lease: &Lease) -> Resources {
    Resources { cpu_millis: lease.cpu_millis, memory_bytes: lease.memory_bytes, ..Resources::default() }
}

impl Slots {
    pub(crate) fn new(capabilities: &Capabilities) -> Slots {
        Slots {
            offer: capabilities.offer.clone(),
            profiles: capabilities.profiles.clone(),
            price: capabilities.price,
            prefetch: usize::from(capabilities.prefetch),
            max_by_kind: capabilities.max_by_kind.clone(),
            attempts: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    pub(crate) fn ids(&self) -> Vec<AttemptId> {
        self.attempts.keys().copied().collect()
    }

    pub(crate) fn get(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.attempts.get_mut(&id)
    }

    pub(crate) fn iter(&mut self) -> impl Iterator<Item = (&AttemptId, &mut Attempt)> {
        self.attempts.iter_mut()
    }

    /// What waits, the oldest first.
    pub(crate) fn waiting(&self) -> Vec<AttemptId> {
        self.waiting.iter().copied().collect()
    }

    /// Takes an attempt out of the queue; nothing where it does not wait.
    pub(crate) fn unqueue(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.waiting.retain(|waiting| *waiting != id);
        self.attempts.get_mut(&id).filter(|attempt| matches!(attempt.stage, Stage::Waiting))
    }

    pub(crate) fn remove(&mut self, id: AttemptId) -> Option<Attempt> {
        self.waiting.retain(|waiting| *waiting != id);
        self.attempts.remove(&id)
    }

    /// Everything held, for a heartbeat.
    pub(crate) fn progress(&self) -> Vec<Progress> {
        let cpu_ms = |attempt: &Attempt| match &attempt.stage {
            Stage::Running(run) => run.controls.process.cpu_time().map_or(0, |time| time.as_millis() as u64),
            _ => 0,
        };
        let line = |(id, attempt): (&AttemptId, &Attempt)| Progress {
            attempt: *id,
            cpu_ms: cpu_ms(attempt),
            done_permille: None,
        };
        self.attempts.iter().map(line).collect()
    }

    /// Takes a lease into the queue. A lease that is already here stays as it is: the delivery was
    /// repeated.
    ///
    /// # Errors
    /// Why this worker can never run it.
    pub(crate) fn admit(&mut self, lease: Lease, trusted_until: Moment) -> Result<(), String> {
        if !self.profiles.contains(&lease.profile()) {
            return Err(format!("this worker does not run the profile {}", lease.profile().name()));
        }
        if lease.price < self.price {
            let (pays, asks) = (lease.price, self.price);
            return Err(format!("it pays {pays} FRI an hour, this worker asks {asks}"));
        }
        if let Some(id) = lease.gpus.iter().find(|id| usize::from(**id) >= self.offer.gpus.len()) {
            return Err(format!("this worker has no GPU {id}"));
        }
        if let Err(lack) = self.offer.fit(&resources(&lease), &Held::default()) {
            return Err(describe(&lack));
        }
        let id = lease.attempt;
        if !self.attempts.contains_key(&id) {
            self.waiting.push_back(id);
            let attempt = Attempt {
                lease: Arc::new(lease),
                stage: Stage::Waiting,
                trusted_until,
                stop_at: None,
                farewell: Farewell::Release,
            };
            self.attempts.insert(id, attempt);
        }
        Ok(())
    }

    /// The first lease in the queue, if it is trusted and what it needs is free. A large one is not
    /// overtaken by small ones, or it might wait for ever.
    pub(crate) fn next_to_start(&mut self, now: Moment) -> Option<Arc<Lease>> {
        let id = *self.waiting.front()?;
        let first = self.attempts.get(&id)?;
        let lease = Arc::clone(&first.lease);
        let held = self.held(|stage| matches!(stage, Stage::Running(_)));
        let gpu_taken = self.running().any(|other| other.gpus.iter().any(|gpu| lease.gpus.contains(gpu)));
        // The coordinator counts too; here a revoked attempt may still be ending.
        let full = self.max_by_kind.get(&lease.kind).is_some_and(|most| {
            self.running().filter(|other| other.kind == lease.kind).count() >= *most as usize
        });
        let fits = first.trusted_until > now
            && !gpu_taken
            && !full
            && self.offer.fit(&resources(&lease), &held).is_ok();
        if !fits {
            return None;
        }
        self.waiting.pop_front();
        Some(lease)
    }

    /// Leases that wait though there is no room for them, the youngest: more than was asked for.
    pub(crate) fn surplus(&self) -> Vec<AttemptId> {
        let room = self.prefetch + WAITING_SLACK;
        self.waiting.iter().skip(room).copied().collect()
    }

    /// How many leases there is room for. How large they are is not known before they come, and the
    /// coordinator grants only what fits beside what it granted before.
    pub(crate) fn wanted(&self) -> u32 {
        let held = self.held(|stage| matches!(stage, Stage::Waiting | Stage::Running(_)));
        let smallest = Resources { cpu_millis: 1, memory_bytes: 1, ..Resources::default() };
        let free = match self.offer.fit(&smallest, &held) {
            Ok(_) => self.free_cpu_millis().div_ceil(LEASE_CPU_MILLIS),
            Err(_) => 0,
        };
        let ahead = self.prefetch.saturating_sub(self.waiting.len()) as u64;
        u32::try_from(free + ahead).unwrap_or(MAX_LEASES).min(MAX_LEASES)
    }

    fn free_cpu_millis(&self) -> u64 {
        let unfinished =
            self.attempts.values().filter(|a| matches!(a.stage, Stage::Waiting | Stage::Running(_)));
        let used: u64 = unfinished.map(|attempt| attempt.lease.cpu_millis).sum();
        self.offer.cpu_millis.saturating_sub(used)
    }

    fn running(&self) -> impl Iterator<Item = &Lease> {
        let running = self.attempts.values().filter(|attempt| matches!(attempt.stage, Stage::Running(_)));
        running.map(|attempt| &*attempt.lease)
    }

    fn held(&self, counts: impl Fn(&Stage) -> bool) -> Held {
        let mut held = Held::default();
        for attempt in self.attempts.values().filter(|attempt| counts(&attempt.stage)) {
            held.add(&resources(&attempt.lease), &attempt.lease.gpus);
        }
        held
    }
}

impl Attempt {
    /// Whether it still needs the worker's resources.
    pub(crate) fn is_unfinished(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Running(_))
    }

    /// When its lease counts as lost, given the length of leases: that long after the worker ceased
    /// to trust it. For a program it begins when the worker acted on it: one that ended while the
    /// worker itself was stopped is still heard.
    pub(crate) fn lost_at(&self, ttl: Duration) -> Option<Moment> {
        match &self.stage {
            Stage::Waiting => Some(self.trusted_until.plus(ttl)),
            Stage::Running(run) => run.suspended.map(|since| since.plus(ttl)),
            Stage::Sealing(_) | Stage::Reported(_) => None,
        }
    }

    /// When something is to be done about it, given the length of leases.
    pub(crate) fn moments(&self, ttl: Duration) -> [Option<Moment>; 4] {
        let tell_at = match &self.stage {
            Stage::Running(run) if !run.told => Some(run.since.plus(TELL_AFTER)),
            Stage::Waiting | Stage::Running(_) => None,
            Stage::Sealing(_) | Stage::Reported(_) => return [None; 4],
        };
        [Some(self.trusted_until), self.lost_at(ttl), self.stop_at, tell_at]
    }

    /// It has to be over at `at`, or earlier where that was said before.
    pub(crate) fn stop_by(&mut self, at: Moment) {
        self.stop_at = Some(self.stop_at.map_or(at, |before| before.min(at)));
    }

    /// The lease is trusted for `span` from `from`.
    pub(crate) fn renew(&mut self, from: Moment, span: Duration) {
        self.trusted_until = self.trusted_until.max(from.plus(span));
    }
}

fn describe(lack: &Lack) -> String {
    match lack {
        Lack::Cpu { wanted, free } => {
            format!("it needs {wanted} thousandths of a core, this worker offers {free}")
        }
        Lack::Memory { wanted, free } => {
            format!("it needs {wanted} bytes of memory, this worker offers {free}")
        }
        Lack::Disk { wanted, free } => format!("it needs {wanted} bytes of disk, this worker offers {free}"),
        Lack::Gpu => "this worker has no such GPU".to_owned(),
        Lack::Custom { name, wanted, free } => {
            format!("it needs {wanted} of `{name}`, this worker offers {free}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ciro_core::id::{Hash, JobId, TaskId};
    use ciro_core::spec::{Limits, Runtime};
    use uuid::Uuid;

    fn lease(no: u32, cpu_millis: u64) -> Lease {
        let task = TaskId { job: JobId(Uuid::from_u128(7)), no };
        Lease {
            attempt: AttemptId { task, fence: 1 },
            kind: "wasm".into(),
            runtime: Runtime::Wasm { module: Hash::of(b""), profile: Profile::Wasm1 },
            args: vec![],
            env: BTreeMap::new(),
            inputs: vec![],
            stdin: None,
            limits: Limits {
                wall_ms: 1,
                cpu_ms: 1,
                fuel: None,
                output_bytes: 0,
                log_bytes: 0,
                processes: None,
                open_files: None,
            },
            memory_bytes: 1 << 20,
            cpu_millis,
            gpus: vec![],
            spec_hash: Hash::of(b""),
            seed: String::new(),
            ttl_ms: 1_000,
            price: Fri(0),
        }
    }

    fn slots(offer: Offer, prefetch: u16) -> Slots {
        let max_by_kind = BTreeMap::from([("render".to_owned(), 1)]);
        let profiles = vec![Profile::Wasm1];
        Slots::new(&Capabilities { offer, profiles, prefetch, max_by_kind, ..Capabilities::default() })
    }

    #[test]
    fn no_more_of_a_kind_start_than_its_bound_says() {
        let offer = Offer { cpu_millis: 8_000, memory_bytes: 8 << 20, ..Offer::default() };
        let mut slots = slots(offer, 0);
        let now = Moment::now();
        let later = now.plus(Duration::from_secs(9));
        let render = |no| Lease { kind: "render".into(), ..lease(no, 100) };
        for lease in [render(0), lease(1, 100), render(2), lease(3, 100)] {
            slots.admit(lease, later).unwrap();
        }
        assert_eq!(start(&mut slots, now), [0, 1]);
        slots.remove(render(0).attempt);
        assert_eq!(start(&mut slots, now), [2, 3]);
    }

    fn start(slots: &mut Slots, now: Moment) -> Vec<u32> {
        let mut started = Vec::new();
        while let Some(lease) = slots.next_to_start(now) {
            let run = Run { controls: Controls::default(), since: now, told: false, suspended: None };
            slots.get(lease.attempt).unwrap().stage = Stage::Running(run);
            started.push(lease.attempt.task.no);
        }
        started
    }

    #[test]
    fn nothing_starts_without_free_resources_and_a_large_one_is_not_overtaken() {
        let offer = Offer { cpu_millis: 2_000, memory_bytes: 8 << 20, ..Offer::default() };
        let mut slots = slots(offer, 1);
        let now = Moment::now();
        let later = now.plus(Duration::from_secs(9));
        assert_eq!(slots.wanted(), 21);
        for (no, cpu_millis) in [(0, 1_000), (1, 2_000), (2, 500)] {
            slots.admit(lease(no, cpu_millis), later).unwrap();
        }
        assert_eq!(start(&mut slots, now), [0]);
        assert_eq!(slots.wanted(), 0);
        assert_eq!(slots.progress().len(), 3);
        slots.remove(lease(0, 0).attempt);
        assert_eq!(start(&mut slots, now), [1]);
        slots.remove(lease(1, 0).attempt);
        assert_eq!(start(&mut slots, later), [] as [u32; 0], "the lease is not trusted any more");
        assert_eq!(start(&mut slots, now), [2]);
        assert_eq!(slots.wanted(), 16);
    }

    #[test]
    fn what_can_never_run_here_is_refused_with_a_reason_and_the_queue_is_bounded() {
        let offer = Offer { cpu_millis: 1_000, memory_bytes: 8 << 20, ..Offer::default() };
        let mut slots = slots(offer, 0);
        let now = Moment::now();
        let refuse = |slots: &mut Slots, lease: Lease| slots.admit(lease, now).unwrap_err();
        assert!(refuse(&mut slots, lease(0, 1_001)).contains("offers 1000"));
        let arch = Lease {
            runtime: Runtime::Wasm { module: Hash::of(b""), profile: Profile::Wasm1Arch },
            ..lease(0, 1)
        };
        assert!(refuse(&mut slots, arch).contains("wasm-1-arch"));
        let gpu = Lease { gpus: vec![0], ..lease(0, 1) };
        assert!(refuse(&mut slots, gpu).contains("GPU 0"));
        for no in 0..12 {
            slots.admit(lease(no, 1_000), now).unwrap();
            slots.admit(lease(no, 1_000), now).unwrap();
        }
        let surplus: Vec<u32> = slots.surplus().iter().map(|id| id.task.no).collect();
        assert_eq!(surplus, [8, 9, 10, 11]);
    }
}
