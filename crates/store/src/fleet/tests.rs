//! What cannot be brought about from outside, because it takes a caller that goes away between two
//! placements of one group.

use super::*;
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
    })
}

fn seat() -> NewSeat {
    let offer = Offer { cpu_millis: 4_000, ..Offer::default() };
    NewSeat {
        worker: WorkerKey(1),
        tenant: TenantKey(1),
        capabilities: Capabilities { offer, profiles: vec![Profile::Wasm1], ..Capabilities::default() },
        online: true,
        draining: false,
    }
}

#[test]
fn a_lease_whose_caller_went_away_before_the_end_of_the_group_is_taken_back() {
    let mut fleet = Fleet::new(PlacementPolicy::Balanced, 0);
    fleet.sit(SESSION, seat(), 0);
    let (reply, caller) = oneshot::channel();
    fleet.park(SESSION, 4, reply);

    let requirement = requirement();
    assert!(fleet.choose(&requirement, |_| false).is_some());
    let key = AttemptKey { task: ciro_core::id::TaskKey { job: JobKey(1), no: 0 }, fence: 1 };
    let id = Live::id_of(JobId(Uuid::nil()), key);
    let lease = GrantedLease { attempt: id, key, gpus: Vec::new(), memory_bytes: 0, ttl_ms: 1_000 };
    fleet.granted(key, Live::new(id, SESSION, Arc::clone(&requirement), Vec::new(), 0), lease);
    drop(caller);
    assert!(fleet.choose(&requirement, |_| false).is_none(), "nobody waits any more");

    fleet.answer_parked(0, Timestamp(0));
    assert_eq!(fleet.undelivered(DELIVERY_MS), [key]);
}
