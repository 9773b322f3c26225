//! Looks at the endpoints, and through them at account and contract; says how they are.

use super::NAME;
use crate::app::App;
use crate::background::driver::Next;
use crate::chain::Chain;
use ciro_api::system::ComponentState;
use ciro_chain::rpc::EndpointStatus;
use ciro_core::amount::Fri;
use std::time::Duration;

/// Time between two looks while an endpoint is not as it should be.
const SOON: Duration = Duration::from_secs(1);
const MICROS: u128 = 1_000_000_000_000;

/// Looks, and reports.
pub(super) async fn look(app: &App, chain: &Chain) -> Next {
    chain.pool.refresh().await;
    let now = app.now();
    let all = chain.pool.status();
    let (good, bad): (Vec<_>, Vec<_>) = all.iter().partition(|endpoint| endpoint.standing == "good");
    if !good.is_empty() {
        chain.look(now).await;
    }
    let seen = chain.seen();
    let figures = &app.metrics.chain;
    figures.findings.set(seen.findings.len() as u64);
    if let Some(account) = seen.account {
        figures.balance_micros.set(micros(account.balance));
    }
    match app.store.chain_exposure().await {
        Ok(exposure) => figures.at_risk_micros.set(micros(exposure.amount)),
        Err(error) => tracing::warn!(error = %error, "what is at risk cannot be counted"),
    }
    let mut troubles: Vec<String> = bad.iter().map(|endpoint| trouble(endpoint)).collect();
    if !good.is_empty() {
        troubles.extend(seen.findings.iter().map(ToString::to_string).chain(seen.error));
    }
    let troubles = troubles.join("; ");
    let name = chain.pool.chain().map(|chain| chain.to_string()).unwrap_or_default();
    let (state, words) = match (good.is_empty(), troubles.is_empty()) {
        (true, _) => (ComponentState::Degraded, troubles.clone()),
        (false, false) => (ComponentState::Degraded, format!("{name}, but {troubles}")),
        (false, true) => (ComponentState::Ok, name),
    };
    app.health.report(NAME, state, words, now);
    app.health.update(NAME, now, |component| {
        component.breaker = all.first().map(|first| first.breaker.to_owned());
        if !troubles.is_empty() {
            component.last_error = Some(troubles);
        }
    });
    if bad.is_empty() { Next::Later } else { Next::After(SOON) }
}

/// In millionths of a STRK.
fn micros(amount: Fri) -> u64 {
    u64::try_from(amount.0 / MICROS).unwrap_or(u64::MAX)
}

fn trouble(endpoint: &EndpointStatus) -> String {
    format!("{}: {}", endpoint.endpoint, endpoint.reason.as_deref().unwrap_or("is not good"))
}
