//! Carries bulk actions on: a page of jobs from each in turn, one step in the writer's queue at a time,
//! so that everybody else gets in between. How far each is stands in its row; a restart goes on there.

use super::driver::{By, Failure, Next, Timing, start_on};
use crate::app::App;
use crate::batches::filter_of;
use crate::jobs;
use ciro_core::crash::crash_point;
use ciro_core::id::JobId;
use ciro_store::{Act, Batch, BatchAct, BatchAction, BatchJob, BatchStep, BatchStepped, JobFilter};
use std::time::Duration;

/// Also the time after which a batch that found no room for more jobs tries again.
const EVERY: Duration = Duration::from_secs(1);
/// Least time between two activations when several batches begin.
const WOKEN: Duration = Duration::from_millis(1);
/// Batches read at once.
const BATCHES: u32 = 32;
/// Jobs of one step.
pub(crate) const JOBS: u32 = 100;
/// Bytes of specs that end a step early.
pub(crate) const STEP_BYTES: usize = 1 << 20;

/// Starts it.
pub(super) fn spawn(app: &App) {
    start_on(
        app,
        "batches",
        Timing { every: EVERY, woken: Some(WOKEN), by: By::Leader },
        app.batches.changes(),
        carry_on,
    );
}

async fn carry_on(app: App) -> Result<Next, Failure> {
    let (mut after, mut moved) = (0, false);
    loop {
        let running = app.store.batches_running(after, BATCHES).await?;
        for batch in &running {
            moved |= !step(&app, batch).await?.full;
            app.batches.moved();
        }
        match running.last() {
            Some(last) if running.len() == BATCHES as usize => after = last.key,
            _ => return Ok(if moved { Next::Now } else { Next::Later }),
        }
    }
}

async fn step(app: &App, batch: &Batch) -> Result<BatchStepped, Failure> {
    let filter = match batch.filter.as_deref().map(|text| filter_of(batch.action, text)) {
        None => JobFilter::default(),
        Some(Ok(filter)) => filter,
        Some(Err(_)) => {
            let problem = "this version of the coordinator does not understand its filter".to_owned();
            app.store.batch_stop(batch.tenant, batch.id, Some(problem), app.now()).await?;
            return Ok(BatchStepped::default());
        }
    };
    let page = app.store.batch_page(batch, filter, JOBS).await?;
    let mut step = BatchStep {
        batch: batch.key,
        from: batch.cursor,
        acts: Vec::new(),
        reached: page.reached,
        last: page.last,
    };
    let mut bytes = 0;
    for job in page.jobs {
        if bytes > STEP_BYTES {
            step.reached = step.acts.last().map_or(batch.cursor, |act| act.job);
            step.last = false;
            break;
        }
        let act = act(app, batch, &job).await?;
        if let Act::Retry(again) = &act {
            bytes += again.text.len();
        }
        step.acts.push(BatchAct { job: job.key, act });
    }
    let stepped = app.store.batch_step(step).await?;
    crash_point("batch.stepped");
    Ok(stepped)
}

async fn act(app: &App, batch: &Batch, job: &BatchJob) -> Result<Act, Failure> {
    match batch.action {
        BatchAction::Cancel | BatchAction::CancelNow if job.ended => Ok(Act::Skip),
        BatchAction::Cancel => Ok(Act::Stop { grace_ms: jobs::CANCEL_GRACE_MS }),
        BatchAction::CancelNow => Ok(Act::Stop { grace_ms: 0 }),
        BatchAction::Retry if !job.ended => Ok(Act::Skip),
        BatchAction::Retry => {
            let Some(old) = app.store.job_get(batch.tenant, job.id).await? else {
                return Ok(Act::Skip);
            };
            let id = JobId(app.clock.uuid());
            let Ok(again) = jobs::again(old, app.now()) else {
                return Ok(Act::Fail(format!("the spec of {} cannot be read", job.id)));
            };
            Ok(match app.deposits.payment(id, &again.spec, app.hot().payments.fee_bps) {
                Ok(payment) => Act::Retry(Box::new(again.submission(id, Some(job.id), payment))),
                Err(_) => Act::Fail(format!("no deposit is taken for {} now", job.id)),
            })
        }
    }
}
