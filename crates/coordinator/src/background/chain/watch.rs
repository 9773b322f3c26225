//! Looks at every nonce that is not final, and at those that the chain has not used although they
//! count as done: what landed is written down, what is final ends, what is missing is sent again.
//!
//! Invariant: what a nonce carries leaves it only behind a revert that is final, or behind somebody
//! else's use of the nonce that an operator knows of. Until then it can still land, and must not be
//! sent with another nonce.

use super::lane::{Held, Lane, again_at};
use super::sending::{self, name_of, state_of};
use crate::app::App;
use ciro_chain::Felt;
use ciro_chain::rpc::read;
use ciro_chain::tx::outcome::{Finality, Landed, NonceUse, nonce_use};
use ciro_chain::tx::send;
use ciro_chain::tx::state::{Seen, State, step};
use ciro_core::crash::crash_point;
use ciro_store::{ChainNonce, ChainTransaction, Landing, NonceState, Sighted};
use std::time::{Duration, Instant};

/// A nonce must look like somebody else's for so long: of two nodes one may be a little behind.
const SURE_AFTER: Duration = Duration::from_secs(10);

/// What a look brought.
#[derive(Debug)]
pub(super) struct Watched {
    /// The account's next nonce.
    pub(super) next: u64,
    /// Nonces that are not final.
    pub(super) open: usize,
    /// Whether the sequencer has run everything that was sent.
    pub(super) all_run: bool,
}

/// Looks at all of them.
pub(super) async fn all(lane: &Lane, app: &App) -> Result<Watched, Held> {
    // First the nonce, then the transactions: in the other order, one that lands in between looks like
    // somebody else's.
    let next = read::nonce(&lane.pool, lane.account.address).await?.ok_or_else(|| {
        Held::Waits(format!("the account {:#x} is not on the chain: deploy it", lane.account.address))
    })?;
    let head = read::head(&lane.pool).await?.number;
    let nonces = app.store.chain_nonces_watched(lane.address(), next).await?;
    for nonce in &nonces {
        one(lane, app, nonce, (next, head)).await?;
    }
    let newest = app.store.chain_nonce_newest(lane.address()).await?;
    let ours = newest.map_or(next, |newest| newest.saturating_add(1));
    if next > ours.max(lane.resume_from) {
        return Err(suspect(lane, next - 1));
    }
    *lane.suspected.lock() = None;
    let all_run = nonces.iter().all(|nonce| nonce.nonce < next);
    Ok(Watched { next, open: nonces.len(), all_run })
}

async fn one(lane: &Lane, app: &App, nonce: &ChainNonce, (next, head): (u64, u64)) -> Result<(), Held> {
    for transaction in nonce.transactions.iter().rev() {
        let hash = Felt::from_bytes_be(&transaction.hash);
        if let Some(landed) = send::look(&lane.pool, hash).await? {
            return has_landed(lane, app, nonce, (transaction, landed), head).await;
        }
    }
    match nonce_use(nonce.nonce, next, &[]) {
        _ if nonce.state == NonceState::GivenBack && nonce.nonce >= next => Err(Held::Halted(format!(
            "a reorganisation took away nonce {}, whose revert counted as final and whose calls were given back: \
             wait until the chain has the transaction again, or use the nonce for something harmless",
            nonce.nonce
        ))),
        NonceUse::Foreign if nonce.nonce < lane.resume_from => give_up(lane, app, nonce).await,
        NonceUse::Foreign => Err(suspect(lane, nonce.nonce)),
        NonceUse::Next => missing(lane, app, nonce).await,
        NonceUse::Ahead | NonceUse::Ours(_) => Ok(()),
    }
}

/// Writes down where one of a nonce's transactions is; ends the nonce where that is final.
async fn has_landed(
    lane: &Lane,
    app: &App,
    nonce: &ChainNonce,
    (transaction, landed): (&ChainTransaction, Landed),
    head: u64,
) -> Result<(), Held> {
    if nonce.state == NonceState::GivenBack {
        return Ok(());
    }
    let seen = match landed.reverted {
        None => Seen::Landed(landed.finality),
        Some(_) => Seen::Reverted(landed.finality),
    };
    let landing = Landing {
        block: landed.block,
        block_hash: landed.block_hash.map(|hash| hash.to_bytes_be()),
        fee: landed.fee,
        reverted: landed.reverted.clone(),
    };
    let mut sighted = Vec::new();
    for one in &nonce.transactions {
        let (seen, landing) =
            if one.key == transaction.key { (seen, Some(landing.clone())) } else { (Seen::Replaced, None) };
        sighted.extend(changed(one, seen, landing)?);
    }
    if !sighted.is_empty() {
        app.store.chain_sighted(sighted, app.now()).await?;
        crash_point("chain.landed");
    }
    if nonce.state == NonceState::Done && landed.reverted.is_some() {
        app.store.chain_nonce_reopen(nonce.key, app.now()).await?;
    } else if is_final(lane, &landed, head) {
        let given_back = landed.reverted.map(|reason| (reason, again_at(0, app.now())));
        app.store.chain_nonce_end(nonce.key, given_back, app.now()).await?;
        crash_point("chain.ended");
    }
    Ok(())
}

fn is_final(lane: &Lane, landed: &Landed, head: u64) -> bool {
    match lane.finality {
        Finality::L1 => landed.finality == Finality::L1,
        _ => landed.finality >= Finality::L2 && landed.block.saturating_add(lane.depth) <= head,
    }
}

/// What is to be written of a transaction; `None` where that is what stands there.
fn changed(one: &ChainTransaction, seen: Seen, landing: Option<Landing>) -> Result<Option<Sighted>, Held> {
    let (state, _) = step(state_of(one)?, seen).map_err(|contradiction| {
        let hash = Felt::from_bytes_be(&one.hash);
        Held::Halted(format!("{hash:#x}: {contradiction}"))
    })?;
    let state = name_of(state)?;
    let same = state == one.state && landing == one.landing;
    Ok((!same).then_some(Sighted { transaction: one.key, state, landing, sent: false }))
}

/// The chain has none of a nonce's transactions, and it is the account's next one: sends the newest
/// again, or a dearer one after a while.
async fn missing(lane: &Lane, app: &App, nonce: &ChainNonce) -> Result<(), Held> {
    if nonce.state == NonceState::Done {
        app.store.chain_nonce_reopen(nonce.key, app.now()).await?;
    }
    let mut sighted = Vec::new();
    for one in &nonce.transactions {
        sighted.extend(changed(one, Seen::Missing, None)?);
    }
    if !sighted.is_empty() {
        tracing::warn!(nonce = nonce.nonce, "the chain has a transaction no longer: it is sent again");
        app.store.chain_sighted(sighted, app.now()).await?;
    }
    let late = nonce
        .transactions
        .last()
        .is_some_and(|newest| newest.sends > 0 && app.now() >= newest.created_at.plus_ms(lane.bump_after_ms));
    if late { sending::raise(lane, app, nonce).await } else { sending::send(lane, app, nonce).await }
}

/// Gives back what a nonce carries that somebody else used, as the operator said.
async fn give_up(lane: &Lane, app: &App, nonce: &ChainNonce) -> Result<(), Held> {
    let dropped = nonce.transactions.iter().map(|one| {
        let state = name_of(State::Dropped)?;
        Ok(Sighted { transaction: one.key, state, landing: None, sent: false })
    });
    app.store.chain_sighted(dropped.collect::<Result<_, Held>>()?, app.now()).await?;
    let words = format!("nonce {} of {:#x} was used by somebody else", nonce.nonce, lane.account.address);
    app.store.chain_nonce_end(nonce.key, Some((words, app.now())), app.now()).await?;
    Ok(())
}

/// Somebody else used a nonce, as it seems; for sure, when it has seemed so for a while.
fn suspect(lane: &Lane, nonce: u64) -> Held {
    let since = *lane.suspected.lock().get_or_insert_with(Instant::now);
    if since.elapsed() < SURE_AFTER {
        return Held::Waits(format!("nonce {nonce} looks like somebody else's: looking again"));
    }
    Held::Halted(format!(
        "somebody else used nonce {nonce} of the account {:#x}, or this database is older than that: a restored \
         backup. Find out who has its key; then set blockchain.resume_from_nonce to {} and start again",
        lane.account.address,
        nonce + 1
    ))
}
