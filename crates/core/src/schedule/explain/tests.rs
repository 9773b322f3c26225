//! The filters one by one, the words one by one, and the promise that `explain` and placement agree.

use super::*;
use crate::command::{Command, NewJob};
use crate::engine::{Context, Policy, Rows, apply};
use crate::id::{ClassKey, JobId, JobKey, TenantKey};
use crate::job::{Holds, Stop, StopCause};
use crate::resources::{Gpu, GpuRequest, Held, Offer, Resources};
use crate::schedule::admits;
use crate::spec::{OnFailure, RetryPolicy};
use crate::time::Timestamp;
use crate::worker::{Capabilities, Duty};
use proptest::prelude::*;
use uuid::Uuid;

const GIB: u64 = 1 << 30;

/// A worker that owns what a [`Candidate`] borrows.
#[derive(Debug, Clone)]
struct Owned {
    online: bool,
    duty: Duty,
    room: u32,
    of_kind: u32,
    excluded: bool,
    held_back: bool,
    capabilities: Capabilities,
    held: Held,
    ahead: u32,
}

impl Owned {
    fn seen(&self) -> Candidate<'_> {
        Candidate {
            online: self.online,
            duty: self.duty,
            room: self.room,
            of_kind: self.of_kind,
            excluded: self.excluded,
            held_back: self.held_back,
            capabilities: &self.capabilities,
            held: &self.held,
            ahead: self.ahead,
        }
    }
}

/// Four cores, 8 GiB, cheap, and asking.
fn worker() -> Owned {
    let offer = Offer { cpu_millis: 4_000, memory_bytes: 8 * GIB, disk_bytes: GIB, ..Offer::default() };
    Owned {
        online: true,
        duty: Duty::Works,
        room: 1,
        of_kind: 0,
        excluded: false,
        held_back: false,
        capabilities: Capabilities {
            offer,
            profiles: vec![Profile::Wasm1],
            labels: BTreeMap::from([("zone".into(), "a".into())]),
            price: Fri(10),
            ..Capabilities::default()
        },
        held: Held::default(),
        ahead: 0,
    }
}

fn requirement() -> Requirement {
    Requirement {
        profile: Profile::Wasm1,
        resources: Resources { cpu_millis: 1_000, memory_bytes: GIB, ..Resources::default() },
        constraints: BTreeMap::new(),
        max_price: None,
        payout: false,
        paid: false,
        kind: "k".into(),
    }
}

fn survey(requirement: &Requirement, workers: &[Owned]) -> Survey {
    let mut survey = Survey::default();
    for worker in workers {
        survey.see(requirement, &worker.seen());
    }
    survey
}

fn busy(with: Resources) -> Owned {
    let mut worker = worker();
    worker.held.add(&with, &[]);
    worker
}

#[test]
fn every_filter_counts_names_the_best_and_says_what_would_do() {
    let with = |change: &dyn Fn(&mut Requirement)| {
        let mut requirement = requirement();
        change(&mut requirement);
        requirement
    };
    let like = |change: &dyn Fn(&mut Owned)| {
        let mut worker = worker();
        change(&mut worker);
        worker
    };
    let gpu = GpuRequest { vendor: None, model: None, vram_mib: 0, count: 1 };
    let three_gib = Resources { memory_bytes: 7 * GIB, ..Resources::default() };
    let one = |most| BTreeMap::from([("k".to_owned(), most)]);
    let plain = requirement();
    // Requirement, worker, filter, best of what is missing, what would run now.
    let table: [(_, _, _, Option<u128>, _); 20] = [
        (plain.clone(), like(&|w| w.capabilities.paid_only = true), Filter::Unpaid, None, None),
        (plain.clone(), like(&|w| w.duty = Duty::Suspended), Filter::Suspended, None, None),
        (plain.clone(), like(&|w| w.held_back = true), Filter::Quota, None, None),
        (plain.clone(), like(&|w| w.online = false), Filter::Offline, None, None),
        (plain.clone(), like(&|w| w.duty = Duty::Draining), Filter::Draining, None, None),
        (
            with(&|r| r.profile = Profile::Wasm1Arch),
            worker(),
            Filter::Profile,
            None,
            Some(Relaxed::Profile(Profile::Wasm1)),
        ),
        (
            with(&|r| r.profile = Profile::Native),
            like(&|w| w.capabilities.profiles.push(Profile::Native)),
            Filter::Layer(Profile::Native.layers()[0].into()),
            None,
            None,
        ),
        (
            with(&|r| r.constraints = BTreeMap::from([("zone".into(), "b".into())])),
            worker(),
            Filter::Label("zone".into()),
            None,
            Some(Relaxed::Label("zone".into())),
        ),
        (
            with(&|r| r.max_price = Some(Fri(9))),
            worker(),
            Filter::Price,
            Some(10),
            Some(Relaxed::Price(Fri(10))),
        ),
        (with(&|r| r.payout = true), worker(), Filter::Payout, None, None),
        (
            with(&|r| r.resources.cpu_millis = 5_000),
            worker(),
            Filter::Cpu,
            Some(4_000),
            Some(Relaxed::Cpu(4_000)),
        ),
        (
            with(&|r| r.resources.memory_bytes = 16 * GIB),
            worker(),
            Filter::Memory,
            Some(u128::from(8 * GIB)),
            Some(Relaxed::Memory(8 * GIB)),
        ),
        (
            with(&|r| r.resources.disk_bytes = 2 * GIB),
            worker(),
            Filter::Disk,
            Some(u128::from(GIB)),
            Some(Relaxed::Disk(GIB)),
        ),
        (
            with(&|r| r.resources.custom = BTreeMap::from([("licence".into(), 1)])),
            worker(),
            Filter::Custom("licence".into()),
            Some(0),
            Some(Relaxed::Custom("licence".into(), 0)),
        ),
        (with(&|r| r.resources.gpus = vec![gpu.clone()]), worker(), Filter::Gpu, Some(0), Some(Relaxed::Gpu)),
        (plain.clone(), like(&|w| w.capabilities.max_by_kind = one(0)), Filter::Kind, None, None),
        (
            plain.clone(),
            like(&|w| (w.capabilities.max_by_kind, w.of_kind) = (one(2), 2)),
            Filter::Kind,
            None,
            None,
        ),
        (plain.clone(), like(&|w| w.excluded = true), Filter::Excluded, None, None),
        (
            with(&|r| r.resources.memory_bytes = 2 * GIB),
            busy(three_gib),
            Filter::Busy,
            None,
            Some(Relaxed::Memory(GIB)),
        ),
        (plain, like(&|w| w.room = 0), Filter::NotAsking, None, None),
    ];
    for (requirement, worker, filter, best, would_run) in table {
        let survey = survey(&requirement, &[worker]);
        let rejected = BTreeMap::from([(filter.clone(), Rejected { workers: 1, best })]);
        assert_eq!((survey.workers, survey.now, &survey.rejected), (1, 0, &rejected), "{filter:?}");
        assert_eq!(survey.would_run.into_values().next(), would_run, "{filter:?}");
    }
}

#[test]
fn the_best_of_all_rejected_workers_is_named() {
    let mut small = worker();
    small.capabilities.offer.memory_bytes = 2 * GIB;
    let mut dear = worker();
    dear.capabilities.price = Fri(50);
    let wants = Requirement {
        resources: Resources { memory_bytes: 16 * GIB, ..requirement().resources },
        max_price: Some(Fri(20)),
        ..requirement()
    };
    let survey = survey(&wants, &[small.clone(), worker(), dear, small]);
    let best = Some(u128::from(8 * GIB));
    assert_eq!(survey.rejected[&Filter::Memory], Rejected { workers: 3, best });
    assert_eq!(survey.rejected[&Filter::Price], Rejected { workers: 1, best: Some(50) });
    assert_eq!(survey.would_run, BTreeMap::from([(Filter::Memory, Relaxed::Memory(8 * GIB))]));
}

#[test]
fn what_is_too_large_and_busy_would_only_fit_later() {
    let wants = Requirement {
        resources: Resources { memory_bytes: 16 * GIB, ..requirement().resources },
        ..requirement()
    };
    let all = Resources { cpu_millis: 4_000, ..Resources::default() };
    let survey = survey(&wants, &[busy(all)]);
    assert_eq!((survey.able, survey.would_run.len()), (0, 0));
    assert_eq!(survey.would_fit, BTreeMap::from([(Filter::Memory, Relaxed::Memory(8 * GIB))]));
}

fn job() -> Job {
    let new = NewJob {
        key: JobKey(1),
        id: JobId(Uuid::from_u128(1)),
        tenant: TenantKey(1),
        kind: "wasm".into(),
        priority: 5,
        class: ClassKey(1),
        retry: RetryPolicy { max_attempts: 3, on_user: false, on_timeout: false },
        on_failure: OnFailure::FailFast,
        splits: false,
        has_reducer: false,
        deadline: None,
        holds: Holds::default(),
        retry_of: None,
        payment: None,
    };
    let policy = Policy::default();
    let cx = Context { now: Timestamp(0), policy: &policy, chance: 0 };
    apply(&Rows::default(), &Command::Submit(Box::new(new)), &cx).unwrap().job.unwrap()
}

#[test]
fn one_word_says_what_stands_in_the_way() {
    let ready = Waiting { ready: 1, ..Waiting::default() };
    let behind = Waiting { ready: 1, ahead: 2, ..Waiting::default() };
    let delayed = Waiting { delayed: 1, live: 1, ..Waiting::default() };
    let live = Waiting { live: 1, ..Waiting::default() };
    let free = survey(&requirement(), &[worker()]);
    let full = survey(&requirement(), &[busy(Resources { cpu_millis: 4_000, ..Resources::default() })]);
    let excluded = survey(&requirement(), &[Owned { excluded: true, ..worker() }]);
    let away = [Owned { online: false, ..worker() }, Owned { duty: Duty::Draining, ..worker() }];
    let away = survey(&requirement(), &away);
    let none = survey(&requirement(), &[]);
    let never = survey(&Requirement { profile: Profile::Wasm1Arch, ..requirement() }, &[worker()]);
    let queued = job();
    let table = [
        (ready, &none, Reason::NoWorkers),
        (ready, &away, Reason::WorkersAway),
        (ready, &never, Reason::NoWorkerFits),
        (ready, &full, Reason::Busy),
        (ready, &excluded, Reason::Excluded),
        (ready, &free, Reason::Next),
        (behind, &free, Reason::Behind),
        (behind, &full, Reason::Busy),
        (delayed, &free, Reason::Backoff),
        (delayed, &excluded, Reason::Excluded),
        (live, &full, Reason::Running),
        (Waiting::default(), &free, Reason::Blocked),
    ];
    for (tasks, survey, word) in table {
        assert_eq!(reason(&queued, &tasks, survey), word, "{tasks:?} {survey:?}");
    }
    let stop = Some(Stop { cause: StopCause::Cancel, revoke_at: Timestamp(0) });
    let jobs = [
        (Job { state: JobState::Completed, ..queued.clone() }, Reason::Ended),
        (Job { stop, ..queued.clone() }, Reason::Stopping),
        (Job { holds: Holds::USER, ..queued.clone() }, Reason::Held),
        (Job { state: JobState::AwaitingFunds, ..queued.clone() }, Reason::Held),
        (Job { state: JobState::Preparing, ..queued }, Reason::Preparing),
    ];
    for (job, word) in jobs {
        assert_eq!(reason(&job, &ready, &free), word);
    }
}

fn some_resources() -> impl Strategy<Value = Resources> {
    let gpus = prop::collection::vec((0..3_u64, 1..3_u16), 0..2).prop_map(|gpus| {
        let gpu = |(vram_mib, count)| GpuRequest { vendor: None, model: None, vram_mib, count };
        gpus.into_iter().map(gpu).collect()
    });
    let custom = prop::collection::btree_map("[ab]", 0..3_u64, 0..2);
    (0..6_u64, 0..6_u64, 0..6_u64, gpus, custom).prop_map(|(cpu, memory, disk, gpus, custom)| Resources {
        cpu_millis: cpu,
        memory_bytes: memory,
        disk_bytes: disk,
        gpus,
        custom,
    })
}

fn some_profile() -> impl Strategy<Value = Profile> {
    prop_oneof![Just(Profile::Wasm1), Just(Profile::Wasm1Arch), Just(Profile::Native)]
}

fn some_requirement() -> impl Strategy<Value = Requirement> {
    let labels = prop::collection::btree_map("[ab]", "[xy]", 0..2);
    let price = prop::option::of((0..4_u128).prop_map(Fri));
    (some_profile(), some_resources(), labels, price, 0..6_u8).prop_map(
        |(profile, resources, constraints, max_price, paid)| Requirement {
            profile,
            resources,
            constraints,
            max_price,
            payout: paid == 0,
            paid: paid < 3,
            kind: "k".into(),
        },
    )
}

fn some_worker() -> impl Strategy<Value = Owned> {
    let offer = (some_resources(), prop::collection::vec(0..3_u64, 0..3)).prop_map(|(r, gpus)| Offer {
        cpu_millis: r.cpu_millis,
        memory_bytes: r.memory_bytes,
        disk_bytes: r.disk_bytes,
        gpus: gpus
            .into_iter()
            .map(|vram_mib| Gpu { vendor: "v".into(), model: "m".into(), vram_mib })
            .collect(),
        custom: r.custom,
    });
    let labels = prop::collection::btree_map("[ab]", "[xy]", 0..3);
    let layers =
        prop_oneof![Just(0), Just(Profile::Native.layers().len() - 1), Just(Profile::Native.layers().len())];
    let payout = prop::option::of(Just("0x1234".parse().unwrap()));
    let said = (
        prop::collection::vec(some_profile(), 0..3),
        layers,
        labels,
        (0..4_u128, payout, any::<bool>()),
        0..2_u16,
    );
    let rarely = || prop::bool::weighted(0.1);
    let duty = prop_oneof![8 => Just(Duty::Works), 1 => Just(Duty::Draining), 1 => Just(Duty::Suspended)];
    let now = (prop::bool::weighted(0.9), duty, 0..3_u32, rarely(), rarely());
    let held = (prop::option::of(some_resources()), prop::option::weighted(0.3, 0..3_u32), 0..3_u32);
    (offer, said, now, held, 0..2_u32).prop_map(|(offer, said, now, (running, most, of_kind), ahead)| {
        let mut held = Held::default();
        if let Some(running) = running
            && let Ok(gpus) = offer.fit(&running, &held)
        {
            held.add(&running, &gpus);
        }
        let (profiles, layers, labels, (price, payout, paid_only), prefetch) = said;
        let sandbox = Profile::Native.layers()[..layers].iter().map(|layer| (*layer).into()).collect();
        let price = Fri(price);
        let max_by_kind = most.map(|most| ("k".to_owned(), most)).into_iter().collect();
        let capabilities = Capabilities {
            offer,
            profiles,
            sandbox,
            labels,
            price,
            payout,
            paid_only,
            prefetch,
            max_by_kind,
            ..Capabilities::default()
        };
        let (online, duty, room, excluded, held_back) = now;
        Owned { online, duty, room, of_kind, excluded, held_back, capabilities, held, ahead }
    })
}

/// The promise of placement in its own words: it may run it, it is there, and one more fits.
fn would_be_granted(requirement: &Requirement, worker: &Owned) -> bool {
    let offer = &worker.capabilities.offer;
    let fits = offer.fit(&requirement.resources, &worker.held).is_ok();
    let may_wait = worker.ahead < u32::from(worker.capabilities.prefetch)
        && requirement.resources.gpus.is_empty()
        && offer.fit(&requirement.resources, &Held::default()).is_ok();
    worker.online
        && worker.duty.works()
        && worker.room > 0
        && !worker.excluded
        && !worker.held_back
        && worker.capabilities.max_by_kind.get("k").is_none_or(|most| worker.of_kind < *most)
        && admits(requirement, &worker.capabilities).is_ok()
        && (fits || may_wait)
}

proptest! {
    #[test]
    fn explain_and_placement_agree(
        requirement in some_requirement(),
        workers in prop::collection::vec(some_worker(), 0..6),
    ) {
        let survey = survey(&requirement, &workers);
        let granted = workers.iter().filter(|w| would_be_granted(&requirement, w)).count();
        prop_assert_eq!(survey.now as usize, granted);
        let rejected: u32 = survey.rejected.values().map(|rejected| rejected.workers).sum();
        prop_assert_eq!(survey.now + rejected, survey.workers, "each worker counts once");
        for relaxed in survey.would_run.values() {
            let relaxed = relaxed.apply(&requirement);
            prop_assert!(workers.iter().any(|w| would_be_granted(&relaxed, w)), "it would not run: {relaxed:?}");
        }
        for relaxed in survey.would_fit.values() {
            let relaxed = relaxed.apply(&requirement);
            let idle = workers.iter().cloned().map(|w| {
                Owned { held: Held::default(), of_kind: 0, excluded: false, held_back: false, room: 1, ..w }
            });
            prop_assert!(idle.into_iter().any(|w| would_be_granted(&relaxed, &w)), "it would not fit: {relaxed:?}");
        }
        prop_assert_eq!(survey.price.is_some(), survey.able > 0);
    }
}
