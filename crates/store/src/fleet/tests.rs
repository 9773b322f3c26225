//! What cannot be brought about from outside, because it takes a caller that goes away between two
//! placements of one group.

use super::*;
use crate::index::{Class, ReadyIndex};
use ciro_core::amount::Fri;
use ciro_core::resources::{Offer, Resources};
use ciro_core::spec::Profile;
use ciro_core::time::Timestamp;
use std::collections::BTreeMap;
use tokio::sync::oneshot;
use uuid::Uuid;

const SESSION: SessionKey = SessionKey(1);

fn requirement() -> Arc<Requirement> {
    let resources = Resources { cpu_millis: 1_000, ..Resources::default() };
    Arc::new(Requirement {
        kind: "sleep".into(),
        profile: Profile::Wasm1,
        resources,
        constraints: BTreeMap::new(),
        max_price: None,
        payout: false,
        paid: false,
    })
}

fn class() -> Class {
    ReadyIndex::default().class(&requirement())
}

fn seat() -> NewSeat {
    let offer = Offer { cpu_millis: 4_000, ..Offer::default() };
    NewSeat {
        home: ciro_core::id::CoordinatorKey(1),
        worker: WorkerKey(1),
        tenant: TenantKey(1),
        capabilities: Capabilities { offer, profiles: vec![Profile::Wasm1], ..Capabilities::default() },
        online: true,
        duty: Duty::Works,
    }
}

#[test]
fn a_lease_whose_caller_went_away_before_the_end_of_the_group_is_taken_back() {
    let mut fleet = Fleet::new(PlacementPolicy::Balanced, 0);
    fleet.sit(SESSION, seat(), 0);
    let (reply, caller) = oneshot::channel();
    fleet.park(SESSION, 4, reply);

    let (class, requirement) = (class(), requirement());
    assert!(fleet.choose(class, &requirement, |_| false).is_some());
    let key = AttemptKey { task: ciro_core::id::TaskKey { job: JobKey(1), no: 0 }, fence: 1 };
    let id = Live::id_of(JobId(Uuid::nil()), key);
    let lease =
        GrantedLease { attempt: id, key, gpus: Vec::new(), price: Fri(0), memory_bytes: 0, ttl_ms: 1_000 };
    fleet.granted(key, Live::new(id, TenantKey(1), SESSION, Arc::clone(&requirement), Vec::new(), 0), lease);
    drop(caller);
    assert!(fleet.choose(class, &requirement, |_| false).is_none(), "nobody waits any more");

    fleet.answer_parked(0, Timestamp(0));
    assert_eq!(fleet.undelivered(DELIVERY_MS), [key]);
}

/// Parks a call of a worker with so much memory, disk and a label of its own.
fn park(fleet: &mut Fleet, no: i64, memory_bytes: u64, zone: &str) -> oneshot::Receiver<Result<Work, Error>> {
    let NewSeat { mut capabilities, .. } = seat();
    capabilities.offer.memory_bytes = memory_bytes;
    capabilities.labels = [("host".to_owned(), no.to_string()), ("zone".to_owned(), zone.to_owned())].into();
    fleet.sit(SessionKey(no), NewSeat { worker: WorkerKey(no), capabilities, ..seat() }, 0);
    let (reply, caller) = oneshot::channel();
    fleet.park(SessionKey(no), 1, reply);
    caller
}

#[test]
fn groups_pass_over_those_that_cannot_and_never_over_those_that_can() {
    let mut index = ReadyIndex::default();
    let mut fleet = Fleet::new(PlacementPolicy::Balanced, 0);
    let mut callers: Vec<_> = (1..=200).map(|no| park(&mut fleet, no, 900 + no as u64, "a")).collect();
    let mut asked = |fleet: &mut Fleet, memory_bytes: u64, zone: Option<&str>| {
        let mut wanted = requirement().as_ref().clone();
        wanted.resources.memory_bytes = memory_bytes;
        wanted.constraints = zone.map(|zone| ("zone".to_owned(), zone.to_owned())).into_iter().collect();
        fleet.choose(index.class(&wanted), &wanted, |_| false).map(|(session, _)| session.0)
    };
    // 900 to 1,023 and 1,024 to 1,100 are two groups; within the second the small are asked and cannot.
    assert_eq!(asked(&mut fleet, 1_100, None), Some(200));
    assert_eq!(asked(&mut fleet, 1_101, None), None);
    callers.push(park(&mut fleet, 201, 1_101, "b"));
    assert_eq!(asked(&mut fleet, 1_101, None), Some(201), "the group has grown");
    // A label that nobody named before tells workers apart from now on.
    assert_eq!(asked(&mut fleet, 1_000, Some("b")), Some(201));
    assert_eq!(asked(&mut fleet, 1_000, Some("c")), None);
    callers.push(park(&mut fleet, 202, 950, "b"));
    assert_eq!(asked(&mut fleet, 950, Some("b")), Some(201));
    fleet.leave(SessionKey(201));
    assert_eq!(asked(&mut fleet, 950, Some("b")), Some(202));
    assert_eq!(asked(&mut fleet, 1_000, Some("b")), None);
    (1..=202).for_each(|no| fleet.leave(SessionKey(no)));
    assert!(!fleet.has_takers());
    callers.push(park(&mut fleet, 203, 5_000, "a"));
    assert_eq!(asked(&mut fleet, 5_000, Some("a")), Some(203), "a number of a group is used again");
}
