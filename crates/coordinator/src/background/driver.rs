//! What drives background tasks: an activation takes no input, may be repeated at any time, and
//! says when it wants to run next. Each is timed, and those that ask for it are also woken by
//! whatever was committed.

use crate::app::App;
use crate::metrics::TaskFigures;
use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Why an activation did not do what it should.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Rest after an activation that failed, at first; doubled each time up to [`LONGEST_REST`].
const REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// When an activation wants to run next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once: there is more to do.
    Now,
    /// After its usual time.
    Later,
    /// After this time.
    After(Duration),
}

/// When a task runs.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Its usual time between two activations.
    pub every: Duration,
    /// Whether it is woken, and the least time between two activations if so.
    pub woken: Option<Duration>,
    /// Of several coordinators that share a database, who runs it.
    pub by: By,
}

/// Who runs a task where several coordinators share a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Each of them: it is about the coordinator itself.
    Each,
    /// Whoever leads; what it writes is refused from the moment on that another does.
    Leader,
}

/// Starts a task that runs until the program drains; one that is woken is woken by commits.
pub fn start<F, Fut>(app: &App, name: &'static str, timing: Timing, activate: F)
where
    F: Fn(App) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Next, Failure>> + Send,
{
    start_on(app, name, timing, app.store.changes(), activate);
}

/// The same, woken by `changes`.
pub fn start_on<F, Fut>(
    app: &App,
    name: &'static str,
    timing: Timing,
    changes: watch::Receiver<i64>,
    activate: F,
) where
    F: Fn(App) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Next, Failure>> + Send,
{
    let app = app.clone();
    let figures = app.metrics.tasks.add(name);
    app.tasks.clone().spawn(async move {
        tokio::select! {
            () = app.tasks.draining() => {}
            () = drive(&app, &figures, timing, changes, activate) => {}
        }
    });
}

async fn drive<F, Fut>(
    app: &App,
    figures: &TaskFigures,
    timing: Timing,
    mut changes: watch::Receiver<i64>,
    activate: F,
) where
    F: Fn(App) -> Fut,
    Fut: Future<Output = Result<Next, Failure>>,
{
    let mut failures = 0_u32;
    let mut leads = app.store.leads();
    loop {
        let app = match timing.by {
            By::Each => app.clone(),
            By::Leader => match leads.wait_for(Option::is_some).await.map(|term| *term) {
                Ok(Some(term)) => app.in_term(term),
                _ => return,
            },
        };
        changes.borrow_and_update();
        let begun = Instant::now();
        let done = activate(app.clone()).await;
        if done.as_ref().is_err_and(|error| is_not_leading(error.as_ref())) {
            // Whoever leads now goes on with it; the word of it comes with the writer's next turn.
            tokio::time::sleep(REST).await;
            continue;
        }
        figures.ran(begun.elapsed(), done.is_err(), app.now());
        let pause = match done {
            Ok(next) => {
                failures = 0;
                match next {
                    Next::Now => continue,
                    Next::Later => timing.every,
                    Next::After(time) => time.min(timing.every),
                }
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(task = figures.name, error = %error, failures, "a background task failed; it will be tried again");
                tokio::time::sleep(LONGEST_REST.min(REST * 2_u32.saturating_pow(failures.min(8) - 1))).await;
                continue;
            }
        };
        match timing.woken {
            None => tokio::time::sleep(pause).await,
            Some(least) => tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(least).await;
                }
            },
        }
    }
}

fn is_not_leading(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(ciro_store::Error::NotLeading))
}
