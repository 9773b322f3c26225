//! The life of a job from its door to its result, and what is refused at the door.

use super::world::{TENANT, World, spec, succeeded};
use super::{Stage, Told};
use crate::open::Options;
use crate::{Error, Heartbeat, Idempotency, Poll, ReportVerdict, Reports, Submit};
use ciro_core::amount::Fri;
use ciro_core::attempt::AttemptState;
use ciro_core::command::{Command, Refusal, Said, Verdict};
use ciro_core::event::JobEvent;
use ciro_core::id::{AttemptKey, Hash, JobId, JobKey, SessionKey, TaskKey};
use ciro_core::job::{JobState, StopCause};
use ciro_core::resources::Resources;
use ciro_core::task::TaskState;

pub(super) fn tune(options: &mut Options) {
    options.max_open_jobs = 5;
    options.max_classes = 3;
}

pub(super) async fn a_job_goes_from_submit_to_its_result<S: Stage>(mut w: World<S>) -> Told {
    let mut asked = spec();
    asked.labels.insert("team".into(), "maps".into());
    let id = w.submit(asked.clone()).await?;
    let before = w.job(id).await?;
    assert_eq!((before.job.state, before.job.seq), (JobState::Queued, 1));
    assert_eq!(before.spec_text, asked.canonical()?);
    assert_eq!(before.spec_hash, Hash::of(before.spec_text.as_bytes()));
    assert_eq!(before.labels.as_deref(), Some(r#"{"team":"maps"}"#));

    let worker = w.worker(1, 4).await?;
    let lease = w.take_one(worker.session).await?;
    assert_eq!((lease.attempt.task.job, lease.attempt.fence), (id, 1));
    let specs = w.store.job_specs(vec![lease.key.task.job, lease.key.task.job]).await?;
    assert_eq!((specs.len(), specs[0].id, &specs[0].text), (1, id, &before.spec_text));

    assert_eq!(
        w.report(worker.session, lease.attempt, Said::Started).await?,
        ReportVerdict::Engine(Verdict::Recorded)
    );
    let said = succeeded("hello")?;
    for _ in 0..2 {
        let verdict = w.report(worker.session, lease.attempt, said.clone()).await?;
        assert_eq!(
            verdict,
            ReportVerdict::Engine(Verdict::Accepted),
            "a repeated report is answered the same"
        );
    }
    let after = w.job(id).await?.job;
    assert_eq!((after.state, after.open_tasks, after.completed_tasks), (JobState::Completed, 0, 1));

    let attempts = w.store.attempt_list(TENANT, after.key, None, 10).await?;
    assert_eq!(attempts.items.len(), 1);
    assert_eq!(
        (attempts.items[0].attempt.state, attempts.items[0].worker),
        (AttemptState::Accepted, worker.worker_id)
    );
    let results = w.store.result_page(after.key, 0, 10).await?;
    assert_eq!((results.len(), Hash::of(results[0].manifest.as_bytes())), (1, results[0].hash));
    let events = w.events(after.key).await?;
    let names: Vec<_> = events.iter().map(JobEvent::type_name).collect();
    assert_eq!(names, ["job.queued", "attempt.leased", "attempt.started", "job.completed"]);
    w.verified().await
}

pub(super) async fn a_batch_is_accepted_whole_or_not_at_all<S: Stage>(mut w: World<S>) -> Told {
    let mut jobs = vec![w.submission(spec())?, w.submission(spec())?];
    let missing = Hash::of(b"nobody uploaded this");
    jobs[1].artifacts.push(missing);
    let refused = w.store.submit(Submit { tenant: TENANT, jobs, idempotency: None }).await;
    assert!(matches!(refused, Err(Error::ArtifactMissing(hash)) if hash == missing), "{refused:?}");
    assert_eq!(w.store.queue_status().await?.open_jobs, 0, "nothing of a refused batch is kept");

    let jobs = (0..3).map(|_| w.submission(spec())).collect::<Result<Vec<_>, _>>()?;
    let asked: Vec<JobId> = jobs.iter().map(|j| j.id).collect();
    let ids = w.submit_all(Submit { tenant: TENANT, jobs, idempotency: None }).await?;
    assert_eq!(ids, asked, "in the order of the request");
    w.verified().await
}

pub(super) async fn a_repeated_submit_makes_nothing_new<S: Stage>(mut w: World<S>) -> Told {
    let idempotency = Some(Idempotency { key: [7; 16], fingerprint: [1; 16] });
    let jobs = vec![w.submission(spec())?];
    let first = w.submit_all(Submit { tenant: TENANT, jobs, idempotency }).await?;
    w.reopen().await?;
    let jobs = vec![w.submission(spec())?];
    let again = w.store.submit(Submit { tenant: TENANT, jobs, idempotency }).await?;
    assert_eq!((again.ids, again.replayed), (first.clone(), true), "also after a restart");

    let (one, two) = (w.submission(spec())?, w.submission(spec())?);
    let at_once = Some(Idempotency { key: [8; 16], fingerprint: [1; 16] });
    let ask = |job| w.store.submit(Submit { tenant: TENANT, jobs: vec![job], idempotency: at_once });
    let (one, two) = tokio::join!(ask(one), ask(two));
    let (one, two) = (one?, two?);
    assert_eq!(one.ids, two.ids, "two calls at once make one job");
    assert_ne!(one.replayed, two.replayed, "one of them made it");

    let other = Some(Idempotency { key: [7; 16], fingerprint: [2; 16] });
    let jobs = vec![w.submission(spec())?];
    let refused = w.store.submit(Submit { tenant: TENANT, jobs, idempotency: other }).await;
    assert!(matches!(refused, Err(Error::IdempotencyMismatch)), "{refused:?}");
    assert_eq!(w.store.queue_status().await?.open_jobs, 2);

    w.clock.pass(24 * 3_600_000 + 1);
    w.review_due().await?;
    let jobs = vec![w.submission(spec())?];
    let new = w.submit_all(Submit { tenant: TENANT, jobs, idempotency }).await?;
    assert_ne!(new, first, "after a day the key is free again");
    w.verified().await
}

pub(super) async fn limits_refuse_before_anything_is_written<S: Stage>(mut w: World<S>) -> Told {
    for cpu_millis in [1_000, 2_000, 3_000] {
        let mut asked = spec();
        asked.resources = Resources { cpu_millis, ..asked.resources };
        w.submit(asked).await?;
    }
    let mut fourth = spec();
    fourth.resources.cpu_millis = 4_000;
    let jobs = vec![w.submission(fourth)?];
    let refused = w.store.submit(Submit { tenant: TENANT, jobs, idempotency: None }).await;
    assert!(matches!(refused, Err(Error::Limit { limit: 3, .. })), "requirement classes: {refused:?}");

    let jobs = (0..3).map(|_| w.submission(spec())).collect::<Result<Vec<_>, _>>()?;
    let refused = w.store.submit(Submit { tenant: TENANT, jobs, idempotency: None }).await;
    assert!(matches!(refused, Err(Error::Limit { limit: 5, .. })), "open jobs: {refused:?}");
    assert_eq!(w.store.queue_status().await?.open_jobs, 3);
    w.verified().await
}

pub(super) async fn an_accepted_job_and_its_lease_survive_a_restart<S: Stage>(mut w: World<S>) -> Told {
    let (first, second) = (w.submit(spec()).await?, w.submit(spec()).await?);
    let worker = w.worker(1, 4).await?;
    let lease = w.take_one(worker.session).await?;
    let rows = (w.job(first).await?, w.job(second).await?);
    w.reopen().await?;
    assert_eq!((w.job(first).await?, w.job(second).await?), rows, "the same rows");
    let status = w.store.queue_status().await?;
    assert_eq!(
        (status.ready_tasks, status.live_attempts, status.open_jobs),
        (1, 1, 2),
        "the index is rebuilt"
    );

    let beat = Heartbeat { session: worker.session, held: vec![(lease.attempt, 1)] };
    let answer = w.store.heartbeat(beat, Vec::new()).await?;
    assert!(answer.unknown.is_empty() && answer.stop.is_empty(), "the worker still has it");
    let verdict = w.report(worker.session, lease.attempt, succeeded("x")?).await?;
    assert_eq!(verdict, ReportVerdict::Engine(Verdict::Accepted));
    let next = w.take_one(worker.session).await?;
    assert_eq!(next.attempt.task.job, second);
    w.report(worker.session, next.attempt, succeeded("y")?).await?;
    assert_eq!(w.job(second).await?.job.state, JobState::Completed);
    w.verified().await
}

pub(super) async fn what_has_no_place_is_refused<S: Stage>(mut w: World<S>) -> Told {
    let nobody = SessionKey(999);
    let gone = w
        .store
        .reports(Reports { session: nobody, reports: Vec::new(), signed: None, take: 1 }, Vec::new())
        .await;
    assert!(matches!(gone, Err(Error::SessionEnded)), "{gone:?}");
    let gone = w.store.heartbeat(Heartbeat { session: nobody, held: Vec::new() }, Vec::new()).await;
    assert!(matches!(gone, Err(Error::SessionEnded)), "{gone:?}");
    let parked = w.store.poll(Poll { session: nobody, max: 1 }, Vec::new())?.await?;
    assert!(matches!(parked, Err(Error::SessionEnded)), "{parked:?}");

    let id = w.submit(spec()).await?;
    let key = w.key(id).await?;
    let (owner, other) = (w.worker(1, 1).await?, w.worker(2, 1).await?);
    let lease = w.take_one(owner.session).await?;
    let stolen = w.report(other.session, lease.attempt, succeeded("mine")?).await?;
    assert_eq!(stolen, ReportVerdict::Engine(Verdict::LeaseLost), "another worker's attempt");
    let mut ahead = lease.attempt;
    ahead.fence += 1;
    let ahead = w.report(owner.session, ahead, succeeded("early")?).await?;
    assert_eq!(ahead, ReportVerdict::Engine(Verdict::LeaseLost), "a fence that was never handed out");

    let refused = [
        (Command::AddTasks { job: key, first: 0, inputs: vec![None] }, Refusal::OutOfOrder),
        (Command::Prepared { job: key }, Refusal::OutOfOrder),
        (Command::Prepared { job: JobKey(12_345) }, Refusal::NotFound),
        (
            Command::Grant {
                task: lease.key.task,
                worker: owner.worker,
                session: owner.session,
                gpus: vec![],
                price: Fri(0),
                tenant: TENANT,
                payout: None,
            },
            Refusal::NoFreeSlot,
        ),
        (
            Command::Grant {
                task: TaskKey { job: key, no: 7 },
                worker: owner.worker,
                session: owner.session,
                gpus: vec![],
                price: Fri(0),
                tenant: TENANT,
                payout: None,
            },
            Refusal::NotFound,
        ),
        (
            Command::Revoke {
                attempt: AttemptKey { task: lease.key.task, fence: 9 },
                why: ciro_core::command::Revocation::Expired,
            },
            Refusal::NotFound,
        ),
    ];
    for (command, why) in refused {
        let shown = format!("{command:?}");
        let said = w.store.command(command).await;
        assert!(matches!(said, Err(Error::Refused(r)) if r == why), "{shown}: {said:?}, expected {why:?}");
    }
    w.report(owner.session, lease.attempt, succeeded("done")?).await?;
    let late = w.store.command(Command::Stop { job: key, cause: StopCause::Cancel, grace_ms: 0 }).await;
    assert!(matches!(late, Err(Error::Refused(Refusal::AlreadyEnded))), "{late:?}");
    let tasks = w.store.task_page(key, 0, 10).await?;
    assert_eq!(
        (tasks.len(), tasks[0].state, tasks[0].fence),
        (1, TaskState::Completed, 1),
        "refusals changed nothing"
    );
    w.verified().await
}
