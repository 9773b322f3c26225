//! Lists, figures and the log as readers see them, and the wall between tenants.

use super::Told;
use super::world::{TENANT, World, failed, spec, succeeded};
use crate::open::Options;
use crate::{Error, EventSubject, JobFilter, JobOrder, JobQuery, Submit};
use ciro_core::id::{JobId, TenantId, TenantKey};
use ciro_core::job::JobState;
use ciro_core::retry::FailureClass;
use ciro_core::spec::JobSpec;
use ciro_core::time::Timestamp;

pub(super) fn tune(_: &mut Options) {}

/// Follows a list to its end.
async fn all(w: &World, tenant: TenantKey, query: &JobQuery) -> Result<Vec<JobId>, Error> {
    let (mut ids, mut query) = (Vec::new(), query.clone());
    loop {
        let page = w.store.job_list(tenant, query.clone()).await?;
        assert!(page.items.len() <= query.limit as usize);
        ids.extend(page.items.iter().map(|i| i.job.id));
        query.after = page.next;
        if page.next.is_none() {
            return Ok(ids);
        }
    }
}

pub(super) async fn lists_are_complete_and_in_order_while_jobs_arrive(mut w: World) -> Told {
    let mut accepted = Vec::new();
    for _ in 0..30 {
        accepted.push(w.submit(spec()).await?);
    }
    let oldest = JobQuery { order: JobOrder::Oldest, limit: 7, ..JobQuery::default() };
    let mut query = oldest.clone();
    let mut seen = Vec::new();
    loop {
        let page = w.store.job_list(TENANT, query.clone()).await?;
        seen.extend(page.items.iter().map(|i| i.job.id));
        if accepted.len() < 40 {
            accepted.push(w.submit(spec()).await?);
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen[..], accepted[..seen.len()], "neither skipped nor repeated");
    assert!(seen.len() >= 30, "everything that was there at the start");
    let mut newest = all(&w, TENANT, &JobQuery { limit: 7, ..JobQuery::default() }).await?;
    newest.reverse();
    assert_eq!(newest, accepted);
    w.verified().await
}

pub(super) async fn filters_find_what_they_say(mut w: World) -> Told {
    let worker = w.worker(1, 1).await?;
    let mut ids = Vec::new();
    for n in 0..12u8 {
        let mut asked = JobSpec {
            kind: if n % 2 == 0 { "even".into() } else { "odd".into() },
            priority: n % 10 + 1,
            ..spec()
        };
        asked.labels.insert("n".into(), n.to_string());
        ids.push(w.submit(asked).await?);
        w.clock.pass(1_000);
    }
    for _ in 0..3 {
        let lease = w.take_one(worker.session).await?;
        w.report(worker.session, lease.attempt, failed(FailureClass::User)).await?;
    }
    let base = JobQuery { order: JobOrder::Oldest, limit: 2, ..JobQuery::default() };
    let with = |filter: JobFilter| JobQuery { filter, ..base.clone() };
    let by = |keep: &dyn Fn(usize) -> bool| {
        ids.iter().enumerate().filter(|(n, _)| keep(*n)).map(|(_, id)| *id).collect::<Vec<_>>()
    };
    let mut failed = Vec::new();
    let mut queued = Vec::new();
    for id in &ids {
        match w.job(*id).await?.job.state {
            JobState::Failed => failed.push(*id),
            _ => queued.push(*id),
        }
    }
    assert_eq!(failed.len(), 3);
    let start = w.job(ids[0]).await?.job.created_at;
    let expected = [
        (JobFilter { states: vec![JobState::Failed], ..JobFilter::default() }, failed.clone()),
        (
            JobFilter { states: vec![JobState::Failed, JobState::Expired], ..JobFilter::default() },
            failed.clone(),
        ),
        (JobFilter { not_states: vec![JobState::Failed], ..JobFilter::default() }, queued),
        (JobFilter { states: vec![JobState::Completed], ..JobFilter::default() }, vec![]),
        (JobFilter { kinds: vec!["odd".into()], ..JobFilter::default() }, by(&|n| n % 2 == 1)),
        (JobFilter { not_kinds: vec!["odd".into()], ..JobFilter::default() }, by(&|n| n % 2 == 0)),
        (JobFilter { priority_min: Some(8), ..JobFilter::default() }, by(&|n| n % 10 + 1 >= 8)),
        (
            JobFilter { priority_max: Some(2), not_priorities: vec![1], ..JobFilter::default() },
            by(&|n| n % 10 + 1 == 2),
        ),
        (JobFilter { labels: vec![("n".into(), "4".into())], ..JobFilter::default() }, vec![ids[4]]),
        (JobFilter { not_labels: vec![("n".into(), "4".into())], ..JobFilter::default() }, by(&|n| n != 4)),
        (
            JobFilter {
                created_from: Some(Timestamp(start.0 + 2_000)),
                created_before: Some(Timestamp(start.0 + 4_000)),
                ..JobFilter::default()
            },
            vec![ids[2], ids[3]],
        ),
    ];
    for (filter, wanted) in expected {
        assert_eq!(all(&w, TENANT, &with(filter.clone())).await?, wanted, "{filter:?}");
        let mut newest =
            all(&w, TENANT, &JobQuery { order: JobOrder::Newest, ..with(filter.clone()) }).await?;
        newest.reverse();
        assert_eq!(newest, wanted, "newest first: {filter:?}");
    }
    w.verified().await
}

pub(super) async fn positions_are_dense_and_sequences_have_no_gap(mut w: World) -> Told {
    let worker = w.worker(1, 8).await?;
    let mut keys = Vec::new();
    for _ in 0..5 {
        let id = w.submit(spec()).await?;
        keys.push(w.key(id).await?);
    }
    for lease in w.take(worker.session, 5).await?.leases {
        w.report(worker.session, lease.attempt, succeeded("x")?).await?;
    }
    let bounds = w.store.log_bounds().await?;
    assert_eq!(bounds.oldest, 1);
    let (mut position, mut seen) = (0, Vec::new());
    loop {
        let page = w.store.events_after(Some(TENANT), position, 4).await?;
        let Some(last) = page.last() else { break };
        position = last.position;
        seen.extend(page);
    }
    let positions: Vec<i64> = seen.iter().map(|e| e.position).collect();
    assert_eq!(positions, (1..=bounds.last).collect::<Vec<_>>());
    for key in keys {
        let of_job = w.store.events_of_job(TENANT, key, 0, 100).await?;
        let numbers: Vec<u32> = of_job
            .iter()
            .filter_map(|e| match &e.subject {
                EventSubject::Job { sequence, .. } => Some(*sequence),
                EventSubject::Worker { .. } => None,
            })
            .collect();
        assert_eq!(numbers, [1, 2, 3]);
        let rest = w.store.events_of_job(TENANT, key, 2, 100).await?;
        assert_eq!(rest, of_job[2..], "after a sequence");
        let granted = of_job.iter().any(
            |e| matches!(&e.subject, EventSubject::Job { worker: Some(id), .. } if *id == worker.worker_id),
        );
        assert!(granted, "a grant names its worker");
    }
    let last = bounds.last;
    w.reopen().await?;
    w.submit(spec()).await?;
    assert_eq!(w.store.log_bounds().await?.last, last + 1, "positions go on after a restart");
    w.verified().await
}

pub(super) async fn a_tenant_sees_nothing_of_another(mut w: World) -> Told {
    let id = TenantId(w.id());
    let other = w.store.tenant_ensure(id, "other".into(), w.now()).await?;
    let mine = w.submit(spec()).await?;
    let jobs = vec![w.submission(spec())?];
    let theirs = w.submit_all(Submit { tenant: other.key, jobs, idempotency: None }).await?[0];
    let worker = w.worker(1, 1).await?;
    let key = w.key(mine).await?;

    assert_eq!(all(&w, TENANT, &JobQuery { limit: 10, ..JobQuery::default() }).await?, [mine]);
    assert_eq!(all(&w, other.key, &JobQuery { limit: 10, ..JobQuery::default() }).await?, [theirs]);
    assert!(w.store.job_get(other.key, mine).await?.is_none());
    assert!(w.store.job_key(other.key, mine).await?.is_none());
    assert!(w.store.job_row(other.key, key).await?.is_none());
    assert!(w.store.attempt_list(other.key, key, None, 10).await?.items.is_empty());
    assert!(w.store.events_of_job(other.key, key, 0, 10).await?.is_empty());
    assert!(w.store.worker_get(other.key, worker.worker_id).await?.is_none());
    assert!(w.store.worker_list(other.key, None, 10).await?.is_empty());
    let seen = w.store.events_after(Some(other.key), 0, 100).await?;
    assert!(!seen.is_empty() && seen.iter().all(|e| e.tenant == other.key));
    assert_eq!(
        (w.store.job_stats(TENANT).await?.total(), w.store.job_stats(other.key).await?.total()),
        (1, 1)
    );
    w.verified().await
}

pub(super) async fn figures_are_those_of_the_rows(mut w: World) -> Told {
    let worker = w.worker(1, 2).await?;
    for n in 0..6 {
        w.submit(JobSpec { kind: if n < 4 { "often".into() } else { "seldom".into() }, ..spec() }).await?;
    }
    let work = w.take(worker.session, 2).await?;
    w.report(worker.session, work.leases[0].attempt, succeeded("x")?).await?;
    let stats = w.store.job_stats(TENANT).await?;
    let states: Vec<_> = stats.by_state.iter().map(|(s, n)| (*s, *n)).collect();
    assert_eq!(states, [(JobState::Queued, 4), (JobState::Running, 1), (JobState::Completed, 1)]);
    assert_eq!((stats.total(), stats.active(), stats.success_rate()), (6, 5, Some(1.0)));
    assert_eq!(stats.by_kind.get("often"), Some(&4));
    let workers = w.store.worker_stats(TENANT).await?;
    assert_eq!((workers.attempts, workers.capacity.cpu_millis), (1, 2_000));
    w.verified().await
}
