//! Lists, figures and the log as readers see them, and the wall between tenants.

use super::Told;
use super::world::{TENANT, World, failed, spec, succeeded};
use crate::open::Options;
use crate::{
    Condition, Error, EventSubject, JobField, JobFilter, JobOrder, JobQuery, SortKey, Span, Submit, Test,
};
use ciro_core::id::{JobId, TenantId, TenantKey};
use ciro_core::job::JobState;
use ciro_core::retry::FailureClass;
use ciro_core::spec::JobSpec;

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
    let oldest = JobQuery { order: JobOrder::OLDEST, limit: 7, ..JobQuery::default() };
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
    let base = JobQuery { order: JobOrder::OLDEST, limit: 2, ..JobQuery::default() };
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
    let one = |field: JobField, word: &str| Condition::new(field, Test::OneOf(vec![word.into()]));
    let within = |field: JobField, span: Span| Condition::new(field, Test::Within(vec![span]));
    let not = |condition: Condition<JobField>| Condition { negated: true, ..condition };
    let only = |condition: Condition<JobField>| JobFilter(vec![condition]);
    let label = || JobField::Label("n".into());
    let seconds = Span { least: start.0 + 2_000, most: start.0 + 3_999 };
    let expected = [
        (JobFilter::in_states(&[JobState::Failed]), failed.clone()),
        (JobFilter::in_states(&[JobState::Failed, JobState::Expired]), failed.clone()),
        (only(not(one(JobField::State, "failed"))), queued),
        (JobFilter::in_states(&[JobState::Completed]), vec![]),
        (only(one(JobField::Failure, "user")), failed.clone()),
        (only(within(JobField::Ended, Span::from(0))), failed.clone()),
        (only(one(JobField::Kind, "odd")), by(&|n| n % 2 == 1)),
        (only(not(one(JobField::Kind, "odd"))), by(&|n| n % 2 == 0)),
        (only(within(JobField::Priority, Span::from(8))), by(&|n| n % 10 + 1 >= 8)),
        (
            only(within(JobField::Priority, Span::to(2))).and(not(within(JobField::Priority, Span::only(1)))),
            by(&|n| n % 10 + 1 == 2),
        ),
        (
            only(Condition::new(JobField::Priority, Test::Within(vec![Span::only(3), Span::only(5)]))),
            by(&|n| [3, 5].contains(&(n % 10 + 1))),
        ),
        (only(within(JobField::Tasks, Span::from(2))), vec![]),
        (only(one(label(), "4")), vec![ids[4]]),
        (only(Condition::new(label(), Test::OneOf(vec!["4".into(), "6".into()]))), vec![ids[4], ids[6]]),
        (only(not(one(label(), "4"))), by(&|n| n != 4)),
        (only(within(JobField::Created, seconds)), vec![ids[2], ids[3]]),
    ];
    for (filter, wanted) in expected {
        assert_eq!(all(&w, TENANT, &with(filter.clone())).await?, wanted, "{filter:?}");
        let mut newest =
            all(&w, TENANT, &JobQuery { order: JobOrder::NEWEST, ..with(filter.clone()) }).await?;
        newest.reverse();
        assert_eq!(newest, wanted, "newest first: {filter:?}");
        assert_eq!(w.store.job_count(TENANT, filter.clone()).await?, wanted.len() as u64, "{filter:?}");
    }
    let kinds = w.store.job_values(TENANT, JobField::Kind).await?;
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [("even".into(), 6), ("odd".into(), 6)]);
    assert_eq!(w.store.job_values(TENANT, JobField::Failure).await?.get("user"), Some(&3));
    assert_eq!(w.store.job_values(TENANT, label()).await?.len(), 12);
    assert_eq!(w.store.job_label_names(TENANT).await?.get("n"), Some(&12));
    w.verified().await
}

/// Every order is walked in small pages, and each job met once, whatever the filter leaves out.
pub(super) async fn every_order_is_walked_to_its_end(mut w: World) -> Told {
    let worker = w.worker(1, 1).await?;
    let mut accepted = Vec::new();
    for n in 0..25_u8 {
        accepted.push(w.submit(JobSpec { priority: n % 3 * 4 + 1, ..spec() }).await?);
        if n % 4 == 0 {
            let lease = w.take_one(worker.session).await?;
            let said = if n % 8 == 0 { failed(FailureClass::User) } else { succeeded("x")? };
            w.report(worker.session, lease.attempt, said).await?;
        }
    }
    let mut rows = Vec::new();
    for id in &accepted {
        rows.push(w.job(*id).await?.job);
    }
    let without_five = Condition::not(JobField::Priority, Test::Within(vec![Span::only(5)]));
    for filter in [JobFilter::default(), JobFilter(vec![without_five])] {
        for by in [SortKey::Created, SortKey::Priority, SortKey::State] {
            for descending in [false, true] {
                let order = JobOrder { by, descending };
                let mut wanted = rows.clone();
                wanted.retain(|job| filter.0.is_empty() || job.priority != 5);
                wanted.sort_by_key(|job| {
                    let rank = match by {
                        SortKey::Created => job.key.0,
                        SortKey::Priority => i64::from(job.priority),
                        SortKey::State => job.state as i64,
                    };
                    (if descending { -rank } else { rank }, -job.key.0)
                });
                let wanted: Vec<_> = wanted.into_iter().map(|job| job.id).collect();
                let query = JobQuery { filter: filter.clone(), order, limit: 3, ..JobQuery::default() };
                assert_eq!(all(&w, TENANT, &query).await?, wanted, "{order:?}, {filter:?}");
            }
        }
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
