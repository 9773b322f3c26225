//! Work that no worker takes as things stand, while others wait in vain: it is set aside, and must be
//! given out as soon as anything changes that lets it run.

use super::world::{World, spec};
use super::{Stage, Told};
use crate::open::Options;
use crate::{Error, Poll, Work, WorkerOrder};
use ciro_core::command::Command;
use ciro_core::id::{AttemptId, JobId, SessionKey};
use ciro_core::job::StopCause;
use ciro_core::resources::Resources;
use ciro_core::spec::JobSpec;
use std::collections::BTreeMap;
use tokio::sync::oneshot::Receiver;

pub(super) fn tune(_: &mut Options) {}

type Parked = Receiver<Result<Work, Error>>;

fn of_cores(cores: u64) -> JobSpec {
    JobSpec { resources: Resources { cpu_millis: cores * 1_000, ..spec().resources }, ..spec() }
}

/// Parks a call that stays parked until there is work.
async fn park<S: Stage>(w: &World<S>, session: SessionKey) -> Result<Parked, Error> {
    let parked = w.store.poll(Poll { session, max: 8 }, Vec::new())?;
    w.settle().await?;
    Ok(parked)
}

/// The attempts that a parked call was given.
async fn given<S: Stage>(
    w: &World<S>,
    session: SessionKey,
    parked: &mut Parked,
) -> Result<Vec<AttemptId>, Error> {
    w.settle().await?;
    let work = parked.try_recv().unwrap_or_else(|_| Ok(Work::default()))?;
    if let Some(delivery) = work.delivery {
        w.acknowledge(session, delivery).await?;
    }
    Ok(work.leases.iter().map(|lease| lease.attempt).collect())
}

pub(super) async fn work_for_nobody_goes_to_the_first_worker_that_can<S: Stage>(mut w: World<S>) -> Told {
    let small = w.worker(1, 1).await?;
    let mut idle = park(&w, small.session).await?;
    let mut waiting = Vec::new();
    for cores in [8, 4, 2] {
        waiting.push(w.submit(of_cores(cores)).await?);
    }
    assert!(given(&w, small.session, &mut idle).await?.is_empty());

    // Larger than any before, of the same power of two, and one of its own label.
    let four = w.worker(2, 4).await?;
    let mut parked = park(&w, four.session).await?;
    let got = given(&w, four.session, &mut parked).await?;
    assert_eq!(got.iter().map(|a| a.task.job).collect::<Vec<_>>(), [waiting[1]]);
    let seven = w.worker(3, 7).await?;
    let mut parked = park(&w, seven.session).await?;
    let got = given(&w, seven.session, &mut parked).await?;
    assert_eq!(got.iter().map(|a| a.task.job).collect::<Vec<_>>(), [waiting[2]]);
    let eight = w.worker(4, 8).await?;
    let mut parked = park(&w, eight.session).await?;
    let got = given(&w, eight.session, &mut parked).await?;
    assert_eq!(got.iter().map(|a| a.task.job).collect::<Vec<_>>(), [waiting[0]]);
    assert!(given(&w, small.session, &mut idle).await?.is_empty());
    w.verified().await
}

pub(super) async fn work_for_a_full_worker_goes_to_it_when_it_has_room<S: Stage>(mut w: World<S>) -> Told {
    let (small, large) = (w.worker(1, 1).await?, w.worker(2, 8).await?);
    let mut idle = park(&w, small.session).await?;
    let first = w.submit(of_cores(8)).await?;
    w.take_one(large.session).await?;
    // It asks for more, and is full.
    let mut parked = park(&w, large.session).await?;
    let waiting = [w.submit(of_cores(8)).await?, w.submit(of_cores(7)).await?];
    assert!(given(&w, large.session, &mut parked).await?.is_empty());
    cancel_now(&w, first).await?;
    let second = given(&w, large.session, &mut parked).await?;
    assert_eq!(second.iter().map(|a| a.task.job).collect::<Vec<_>>(), [waiting[0]]);

    // While it drains nothing is given to it; afterwards it is asked again.
    w.store.worker_order(large.worker, WorkerOrder::Drain).await?;
    cancel_now(&w, waiting[0]).await?;
    assert!(w.take(large.session, 8).await?.leases.is_empty());
    let mut parked = park(&w, large.session).await?;
    w.store.worker_order(large.worker, WorkerOrder::Undrain).await?;
    let third = given(&w, large.session, &mut parked).await?;
    assert_eq!(third.iter().map(|a| a.task.job).collect::<Vec<_>>(), [waiting[1]]);
    assert!(given(&w, small.session, &mut idle).await?.is_empty());
    w.verified().await
}

/// Takes what runs of a job away from its worker.
async fn cancel_now<S: Stage>(w: &World<S>, id: JobId) -> Result<(), Error> {
    let (job, cause) = (w.key(id).await?, StopCause::Cancel);
    w.store.command(Command::Stop { job, cause, grace_ms: 0 }).await
}

pub(super) async fn a_label_that_no_job_named_before_tells_workers_apart<S: Stage>(mut w: World<S>) -> Told {
    let (plain, labelled) = (w.worker(1, 2).await?, w.labelled(2, 2, "zone", "b").await?);
    let (mut one, mut other) = (park(&w, plain.session).await?, park(&w, labelled.session).await?);
    let in_zone = |zone: &str| JobSpec {
        constraints: BTreeMap::from([("zone".to_owned(), zone.to_owned())]),
        ..spec()
    };
    let nowhere = w.submit(in_zone("c")).await?;
    let there = w.submit(in_zone("b")).await?;
    assert!(given(&w, plain.session, &mut one).await?.is_empty());
    let got = given(&w, labelled.session, &mut other).await?;
    assert_eq!(got.iter().map(|a| a.task.job).collect::<Vec<_>>(), [there]);
    let late = w.labelled(3, 2, "zone", "c").await?;
    let mut parked = park(&w, late.session).await?;
    let got = given(&w, late.session, &mut parked).await?;
    assert_eq!(got.iter().map(|a| a.task.job).collect::<Vec<_>>(), [nowhere]);
    w.verified().await
}
