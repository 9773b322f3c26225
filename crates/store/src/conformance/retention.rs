//! Old rows go page by page, and what stays is whole.

use super::Told;
use super::world::{TENANT, World, spec};
use crate::open::Options;
use crate::{Retained, RetentionPolicy};
use ciro_core::command::Command;
use ciro_core::job::JobState;
use ciro_core::spec::{JobSpec, OnFailure, Split};

pub(super) fn tune(_: &mut Options) {}

const DAY_MS: u64 = 24 * 3_600_000;

pub(super) async fn old_rows_go_page_by_page(mut w: World) -> Told {
    let worker = w.worker(1, 1_000).await?;
    let large = w
        .submit(JobSpec {
            split: Some(Split::Array { count: 900 }),
            on_failure: OnFailure::KeepGoing,
            ..spec()
        })
        .await?;
    let job = w.key(large).await?;
    w.store.command(Command::AddTasks { job, first: 0, inputs: vec![None; 900] }).await?;
    w.store.command(Command::Prepared { job }).await?;
    let mut small = Vec::new();
    for _ in 0..5 {
        small.push(w.submit(spec()).await?);
    }
    loop {
        let work = w.take(worker.session, 1_000).await?;
        if work.leases.is_empty() {
            break;
        }
        w.succeed_all(worker.session, &work.leases).await?;
    }
    let last = w.store.log_bounds().await?.last;
    let young = w.store.retain_page(RetentionPolicy::default(), w.now()).await?;
    assert_eq!(young, Retained::default(), "nothing is old");

    let later = w.now().plus_ms(31 * DAY_MS);
    w.clock.pass(31 * DAY_MS);
    w.settle().await?;
    let waiting = w.submit(spec()).await?;
    let (mut pages, mut jobs, mut events) = (0, 0, 0);
    loop {
        let page = w.store.retain_page(RetentionPolicy::default(), later).await?;
        assert!(page.job_parts <= 500 && page.events <= 500, "{page:?}");
        (pages, jobs, events) = (pages + 1, jobs + page.jobs, events + page.events);
        if !page.is_full() {
            break;
        }
    }
    assert_eq!(jobs, 6);
    assert!(pages > 4, "a large job goes in several pages");
    for id in small.iter().chain([&large]) {
        assert!(w.store.job_get(TENANT, *id).await?.is_none());
        let kept = w.store.job_archived(TENANT, *id).await?;
        assert_eq!(kept.ok_or(crate::Error::NotFound)?.document.state, JobState::Completed);
    }
    assert_eq!(w.store.job_stats(TENANT).await?.total(), 1, "only the one that waits");
    let bounds = w.store.log_bounds().await?;
    assert_eq!((bounds.oldest, bounds.last), (events as i64 + 1, last + 1), "a prefix of the log went");
    w.reopen().await?;
    let next = w.submit(spec()).await?;
    assert!(w.key(next).await? > w.key(waiting).await?, "keys are not used twice");
    w.verified().await
}
