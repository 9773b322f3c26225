//! The coordinator's part on the chain: looking after the endpoints (each coordinator for itself), the
//! lane of transactions of the account that sends, and following the escrow contract (whoever leads).
//!
//! The [`follower`] makes rows of what happens there ([`reading`] has what an event is as a row). What is to
//! happen moves one way: intents are rows that others write; the [`lane`] takes them into a transaction,
//! whose bytes are a row before they are sent; the [`watch`]er asks what became of everything that was
//! sent, and ends it, sends it again, or stops the lane.

mod account;
mod asking;
mod bridge;
mod comparing;
mod differences;
mod follower;
mod lane;
mod looking;
mod reading;
mod reconciler;
mod sending;
mod terms;
mod watch;

use super::driver::{By, Failure, Next, Timing, start};
use crate::app::App;
use ciro_api::system::ComponentState;
use ciro_chain::rpc::{EndpointStatus, Pool};
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(15);
/// Between two activations of the lane.
const STEP: Duration = Duration::from_millis(500);
const NAME: &str = "chain";
/// The component that sends.
const LANE: &str = "chain_lane";
/// The component that follows the escrow contract.
const FOLLOWER: &str = "chain_follower";
/// The component between paid jobs and the chain.
const BRIDGE: &str = "chain_bridge";

/// The component that holds what was read against the contract.
const RECONCILER: &str = "chain_reconciler";

/// Starts what is configured; without an endpoint the component is off.
///
/// # Errors
/// When the account cannot be unlocked, or an endpoint serves another chain than the one to send to.
pub async fn spawn(app: &App) -> Result<(), Failure> {
    let config = &app.config.blockchain;
    let Some(chain) = &app.chain else {
        app.health.report(NAME, ComponentState::Off, "blockchain.rpc_url is not set", app.now());
        return Ok(());
    };
    app.health.report(NAME, ComponentState::Degraded, "not asked yet", app.now());
    let pool = Arc::clone(&chain.pool);
    if config.sends() {
        pool.refresh().await;
        refuse_others(&pool)?;
        let lane = Arc::new(lane::Lane::new(app, Arc::clone(&pool))?);
        chain.signs(Arc::clone(&lane.account));
        looking::look(app, chain).await;
        if let Some(contract) = config.contract() {
            terms::learn(app, &pool).await;
            let bridge = Arc::new(bridge::Bridge::new(app, contract, lane.account.address));
            app.health.report(BRIDGE, ComponentState::Ok, "has not begun", app.now());
            start(app, BRIDGE, Timing { every: STEP, woken: None, by: By::Leader }, move |app| {
                let bridge = Arc::clone(&bridge);
                async move { bridge.activate(&app).await }
            });
        }
        app.health.report(LANE, ComponentState::Ok, "has not begun", app.now());
        start(app, LANE, Timing { every: STEP, woken: None, by: By::Leader }, move |app| {
            let lane = Arc::clone(&lane);
            async move { lane.activate(&app).await }
        });
    }
    if let Some(contract) = config.contract() {
        let follower = Arc::new(follower::Follower::new(app, Arc::clone(&pool), contract));
        app.health.report(FOLLOWER, ComponentState::Ok, "has not begun", app.now());
        start(app, FOLLOWER, Timing { every: STEP, woken: None, by: By::Leader }, move |app| {
            let follower = Arc::clone(&follower);
            async move { follower.activate(&app).await }
        });
    }
    if let Some(contract) = config.contract() {
        let reconciler = Arc::new(reconciler::Reconciler::new(app, Arc::clone(&pool), contract));
        app.health.report(RECONCILER, ComponentState::Ok, "has not begun", app.now());
        let timing = Timing { every: reconciler.every(), woken: None, by: By::Each };
        start(app, RECONCILER, timing, move |app| {
            let reconciler = Arc::clone(&reconciler);
            async move { reconciler.activate(&app).await }
        });
    }
    start(app, NAME, Timing { every: EVERY, woken: None, by: By::Each }, move |app| async move {
        match &app.chain {
            Some(chain) => {
                terms::learn(&app, &chain.pool).await;
                Ok(looking::look(&app, chain).await)
            }
            None => Ok(Next::Later),
        }
    });
    Ok(())
}

/// An endpoint of another chain is a mistake in the settings, which nobody should find out about later.
fn refuse_others(pool: &Pool) -> Result<(), Failure> {
    let Some(wanted) = pool.meant().map(|chain| chain.to_string()) else { return Ok(()) };
    match pool
        .status()
        .into_iter()
        .find(|endpoint| endpoint.chain.as_ref().is_some_and(|chain| *chain != wanted))
    {
        Some(EndpointStatus { endpoint, chain: Some(chain), .. }) => Err(format!(
            "{endpoint} serves {chain}, and blockchain.chain_id is {wanted}: correct one of the two"
        )
        .into()),
        _ => Ok(()),
    }
}
