//! Holds what was read of the contract against the contract itself, and jobs against what was read, every few
//! minutes ([`comparing`](super::comparing) has how). Reads only, but for the audit log; a difference is an error in
//! the log, degrades the component, and is a figure. So does it when nothing could be compared for long. Every
//! coordinator does it for itself, so that each can say how it went.

use super::comparing::{Compared, Comparing, Turn};
use super::differences::Differences;
use super::lane::Held;
use super::{RECONCILER, STEP};
use crate::app::App;
use crate::background::driver::{Failure, Next};
use crate::chain::Reconciled;
use ciro_api::system::ComponentState;
use ciro_api::time::Time;
use ciro_chain::Felt;
use ciro_chain::rpc::Pool;
use ciro_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// So many of its times may pass without a comparison.
const OVERDUE: u64 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Reconciler {
    pool: Arc<Pool>,
    contract: Felt,
    every_ms: u64,
    state: Mutex<State>,
}

/// What is kept between two activations.
#[derive(Debug)]
struct State {
    turn: Turn,
    /// `None` before the log was looked at.
    found: Option<Differences>,
    /// When everything was compared last; at first when this coordinator started.
    compared_at: Timestamp,
}

impl Reconciler {
    pub(super) fn new(app: &App, pool: Arc<Pool>, contract: Felt) -> Reconciler {
        let state = State { turn: Turn::default(), found: None, compared_at: app.now() };
        let every_ms = app.config.blockchain.reconcile_every_ms;
        Reconciler { pool, contract, every_ms, state: Mutex::new(state) }
    }

    /// The usual time between two comparisons.
    pub(super) fn every(&self) -> Duration {
        Duration::from_millis(self.every_ms)
    }

    /// One comparison, and a word on how it went.
    pub(super) async fn activate(&self, app: &App) -> Result<Next, Failure> {
        let mut state = self.state.lock().await;
        match self.compare(app, &mut state).await {
            Ok(compared) => {
                self.compared(app, &mut state, compared).await;
                Ok(Next::Later)
            }
            Err(Held::Waits(why) | Held::Halted(why)) => {
                self.waits(app, &state, &why);
                Ok(Next::After(STEP * 4))
            }
            Err(Held::Failed(error)) => {
                self.waits(app, &state, &error.to_string());
                Err(error)
            }
        }
    }

    async fn compare(&self, app: &App, state: &mut State) -> Result<Compared, Held> {
        if state.found.is_none() {
            state.found = Some(Differences::of_log(app).await?);
        }
        let found = state.found.get_or_insert_default();
        let (pool, contract, turn) = (&*self.pool, self.contract, &mut state.turn);
        Comparing { app, pool, contract, turn, found }.all().await
    }

    /// Says how a comparison went that came to its end.
    async fn compared(&self, app: &App, state: &mut State, compared: Compared) {
        let Compared { sums, block, totals, balance, escrows, jobs } = compared;
        let found = state.found.get_or_insert_default();
        found.log(app, block).await;
        let (findings, differences, at) = (found.told(), found.count(), app.now());
        for finding in &findings {
            tracing::error!(block, "books and contract differ: {finding}");
        }
        state.compared_at = at;
        app.metrics.chain.compared_ms.set(u64::try_from(at.0).unwrap_or(0));
        app.metrics.chain.differences.set(differences);
        let (component, words) = match findings.first() {
            None => (ComponentState::Ok, format!("rows and contract agree at block {block}")),
            Some(first) => {
                (ComponentState::Degraded, format!("{differences} differences at block {block}: {first}"))
            }
        };
        app.health.report(RECONCILER, component, words, at);
        if let Some(chain) = &app.chain {
            let (open, foreign) = (sums.open.escrows, sums.foreign);
            chain.reconciled(Reconciled {
                at,
                block,
                escrows,
                open,
                foreign,
                jobs,
                totals,
                balance,
                differences,
                findings,
            });
        }
    }

    /// Says since when nothing was compared, once that is too long; and what was found before it stopped.
    fn waits(&self, app: &App, state: &State, why: &str) {
        let since = state.compared_at;
        let overdue = app.now().since_ms(since) >= self.every_ms.saturating_mul(OVERDUE);
        let found = state.found.as_ref().filter(|found| found.count() > 0);
        if let Some(found) = found {
            app.metrics.chain.differences.set(found.count());
        }
        let mut words = Vec::new();
        if overdue {
            let late = format!("nothing was compared since {}: {why}", Time(since));
            if let Some(chain) = &app.chain {
                chain.overdue(late.clone());
            }
            words.push(late);
        }
        if let Some((found, first)) = found.and_then(|found| Some((found, found.told().into_iter().next()?)))
        {
            words.push(format!("{} differences: {first}", found.count()));
        }
        if !words.is_empty() {
            app.health.report(RECONCILER, ComponentState::Degraded, words.join("; "), app.now());
        }
    }
}
