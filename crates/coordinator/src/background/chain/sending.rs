//! Sending the newest transaction of a nonce, and putting a dearer one in its place. What is sent is a
//! row already; what came of it becomes one.

use super::lane::{Held, Lane, transaction};
use crate::app::App;
use ciro_chain::tx::outcome::Sent;
use ciro_chain::tx::state::State;
use ciro_chain::tx::{Bounds, Signed, Unsigned, send};
use ciro_core::crash::crash_point;
use ciro_store::{ChainNonce, ChainTransaction, MAX_CANDIDATES, NewTransaction, Sighted};

/// A signed transaction as its row.
pub(super) fn new_transaction(signed: &Signed) -> Result<NewTransaction, Held> {
    Ok(NewTransaction {
        hash: signed.hash.to_bytes_be(),
        signed: serde_json::to_string(signed)?,
        max_fee: signed.bounds.most(),
    })
}

/// The name of a state in its row.
pub(super) fn name_of(state: State) -> Result<String, Held> {
    Ok(serde_json::from_value(serde_json::to_value(state)?)?)
}

/// The state of a row.
pub(super) fn state_of(transaction: &ChainTransaction) -> Result<State, Held> {
    Ok(serde_json::from_value(serde_json::Value::from(transaction.state.as_str()))?)
}

/// Sends the newest transaction of a nonce, the very bytes of its row.
pub(super) async fn send(lane: &Lane, app: &App, nonce: &ChainNonce) -> Result<(), Held> {
    let Some(newest) = nonce.transactions.last() else { return Ok(()) };
    let signed: Signed = serde_json::from_str(&newest.signed)?;
    let sent = send::send(&lane.pool, &signed).await;
    crash_point("chain.sent");
    app.metrics.chain.sends.inc();
    let state = match sent {
        Sent::Accepted | Sent::Known => State::Broadcast,
        _ => state_of(newest)?,
    };
    let sighted = Sighted { transaction: newest.key, state: name_of(state)?, landing: None, sent: true };
    app.store.chain_sighted(vec![sighted], app.now()).await?;
    crash_point("chain.taken");
    match sent {
        // The next look tells.
        Sent::Accepted | Sent::Known | Sent::Underpriced | Sent::NonceTooLow { .. } => Ok(()),
        Sent::NonceGap { next } => {
            Err(Held::Waits(format!("the node has the account at nonce {next}, and {} is sent", nonce.nonce)))
        }
        Sent::BoundsTooLow(_) => raise(lane, app, nonce).await,
        Sent::CannotPay(words) => {
            Err(Held::Waits(format!("the account {:#x} cannot pay: fund it ({words})", lane.account.address)))
        }
        Sent::Refused(words) => Err(Held::Waits(format!("the node refuses {:#x}: {words}", signed.hash))),
        Sent::NotReached(words) | Sent::Unknown(words) => Err(Held::Waits(words)),
    }
}

/// Has a transaction with the same calls, the same nonce and higher prices written down; the next
/// activation sends it. Prices are those of a transaction that does nothing: it cannot revert.
pub(super) async fn raise(lane: &Lane, app: &App, nonce: &ChainNonce) -> Result<(), Held> {
    let Some(newest) = nonce.transactions.last() else { return Ok(()) };
    if nonce.transactions.len() as u64 >= MAX_CANDIDATES {
        return Err(Held::Waits(format!("nonce {} has been signed {MAX_CANDIDATES} times", nonce.nonce)));
    }
    let old: Signed = serde_json::from_str(&newest.signed)?;
    let nothing = Unsigned::Invoke(Vec::new());
    let terms = lane.terms(nonce.nonce, Bounds::default());
    let market = send::estimate(&lane.pool, &nothing, terms).await?;
    let bounds = lane.policy.bump(&old.bounds, &market, lane.spent(app, Some(nonce.key)).await?)?;
    let mut calls = Vec::new();
    for intent in app.store.chain_carried(nonce.key).await? {
        calls.extend(serde_json::from_str::<Vec<_>>(&intent.calls)?);
    }
    let signed = transaction(calls).sign(lane.terms(nonce.nonce, bounds))?;
    app.store.chain_candidate_add(nonce.key, new_transaction(&signed)?, app.now()).await?;
    crash_point("chain.raised");
    app.metrics.chain.raised.inc();
    Ok(())
}
