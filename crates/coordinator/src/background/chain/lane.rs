//! The lane of one account: one nonce behind the other, each with as many intents as go together. It is
//! activated again and again, and each activation goes by the rows and by the chain alone, so that it
//! does not matter where the one before was cut off.
//!
//! Before anything new is planned, everything that was sent has at least been run by the sequencer: the
//! estimate of the next transaction then knows the effects of those before it, and its nonce is the one
//! that the chain names.

use super::account::unlock;
use super::sending::{self, new_transaction};
use super::watch::{self, Watched};
use super::{LANE, STEP};
use crate::app::App;
use crate::background::driver::{Failure, Next};
use crate::config::ChainFinality;
use ciro_api::system::ComponentState;
use ciro_chain::contract::together;
use ciro_chain::keys::{Account, KeyError};
use ciro_chain::network::ChainId;
use ciro_chain::rpc::{Pool, RpcError};
use ciro_chain::tx::fee::{Estimate, FeePolicy, FeeRefusal};
use ciro_chain::tx::outcome::Finality;
use ciro_chain::tx::plan::{Limits, Weight, plan};
use ciro_chain::tx::send::EstimateError;
use ciro_chain::tx::sign::Terms;
use ciro_chain::tx::{Bounds, Call, Signed, Unsigned, send};
use ciro_core::amount::Fri;
use ciro_core::crash::crash_point;
use ciro_core::time::Timestamp;
use ciro_store::{ChainIntent, NewNonce, RefusedIntent};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nonces that are not final; nothing new is planned beyond.
const MAX_OPEN: usize = 64;
/// Intents that are looked at for one transaction.
const MAX_DUE: u32 = 200;
/// An intent that the chain would not have so often has failed.
const MAX_ATTEMPTS: u32 = 8;
/// The wait after the first time, ms; doubled each time up to [`LONGEST_WAIT_MS`].
const WAIT_MS: u64 = 5_000;
const LONGEST_WAIT_MS: u64 = 600_000;
const DAY_MS: u64 = 24 * 3_600_000;
/// Until a transaction that was just sent is looked for: where it was run by then, the next one follows.
const SOON: Duration = Duration::from_millis(STEP.as_millis() as u64 / 5);

/// The lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) pool: Arc<Pool>,
    pub(super) chain: ChainId,
    pub(super) account: Arc<Account>,
    pub(super) policy: FeePolicy,
    pub(super) finality: Finality,
    pub(super) depth: u64,
    pub(super) bump_after_ms: u64,
    /// Nonces below it may be somebody else's: the operator has seen to it.
    pub(super) resume_from: u64,
    /// Since when a nonce looks as if it were somebody else's.
    pub(super) suspected: Mutex<Option<Instant>>,
}

/// Why an activation does not go on.
#[derive(Debug)]
pub(super) enum Held {
    /// It goes on by itself when this is over.
    Waits(String),
    /// Somebody has to look first.
    Halted(String),
    /// It did not work.
    Failed(Failure),
}

impl From<RpcError> for Held {
    fn from(error: RpcError) -> Held {
        Held::Waits(error.to_string())
    }
}

impl From<ciro_store::Error> for Held {
    fn from(error: ciro_store::Error) -> Held {
        Held::Failed(error.into())
    }
}

impl From<KeyError> for Held {
    fn from(error: KeyError) -> Held {
        Held::Failed(error.into())
    }
}

impl From<serde_json::Error> for Held {
    fn from(error: serde_json::Error) -> Held {
        Held::Failed(error.into())
    }
}

impl From<FeeRefusal> for Held {
    fn from(refusal: FeeRefusal) -> Held {
        Held::Waits(format!("the next transaction waits for lower prices: {refusal}"))
    }
}

impl From<EstimateError> for Held {
    fn from(error: EstimateError) -> Held {
        match error {
            EstimateError::Rpc(error) => error.into(),
            EstimateError::Key(error) => error.into(),
            EstimateError::Reverts(words) => Held::Waits(words),
        }
    }
}

impl Lane {
    pub(super) fn new(app: &App, pool: Arc<Pool>) -> Result<Lane, Failure> {
        let config = &app.config.blockchain;
        let chain = config.chain().ok_or("blockchain.chain_id is not set")?;
        let policy = FeePolicy {
            most_each: config.max_fee,
            most_a_day: config.max_fee_per_day,
            ..FeePolicy::default()
        };
        Ok(Lane {
            account: Arc::new(unlock(config, chain)?),
            pool,
            chain,
            policy,
            finality: match config.finality {
                ChainFinality::L2 => Finality::L2,
                ChainFinality::L1 => Finality::L1,
            },
            depth: config.depth,
            bump_after_ms: config.bump_after_ms,
            resume_from: config.resume_from_nonce.unwrap_or(0),
            suspected: Mutex::new(None),
        })
    }

    pub(super) fn address(&self) -> [u8; 32] {
        self.account.address.to_bytes_be()
    }

    pub(super) fn terms(&self, nonce: u64, bounds: Bounds) -> Terms<'_> {
        Terms { chain: self.chain, account: &self.account, nonce, bounds }
    }

    /// What transactions of the last day cost, that of the nonce `but` left out.
    pub(super) async fn spent(&self, app: &App, but: Option<i64>) -> Result<Fri, Held> {
        let since = Timestamp(app.now().0.saturating_sub_unsigned(DAY_MS));
        Ok(app.store.chain_spent(self.address(), since, but).await?)
    }

    /// One step, and a word on how it went.
    pub(super) async fn activate(&self, app: &App) -> Result<Next, Failure> {
        let done = self.step(app).await;
        let counts = app.store.chain_intents().await?;
        let figures = &app.metrics.chain;
        figures.waiting.set(counts.waiting);
        figures.under_way.set(counts.under_way);
        figures.failed.set(counts.failed);
        figures.halted.set(u64::from(matches!(done, Err(Held::Halted(_)))));
        let (state, words) = match &done {
            Ok(_) => (
                ComponentState::Ok,
                format!(
                    "{} wait, {} are under way, {} have failed",
                    counts.waiting, counts.under_way, counts.failed
                ),
            ),
            Err(Held::Waits(words)) => (ComponentState::Degraded, words.clone()),
            Err(Held::Halted(words)) => {
                tracing::error!(account = %format!("{:#x}", self.account.address), "nothing is sent to the chain any more: {words}");
                (ComponentState::Degraded, format!("stopped: {words}"))
            }
            Err(Held::Failed(error)) => (ComponentState::Degraded, error.to_string()),
        };
        app.health.report(LANE, state, words, app.now());
        match done {
            Ok(next) => Ok(next),
            Err(Held::Waits(_)) => Ok(Next::Later),
            Err(Held::Halted(_)) => Ok(Next::After(STEP * 4)),
            Err(Held::Failed(error)) => Err(error),
        }
    }

    async fn step(&self, app: &App) -> Result<Next, Held> {
        let Watched { next, open, all_run } = watch::all(self, app).await?;
        if !all_run || open >= MAX_OPEN {
            return Ok(Next::Later);
        }
        let due = app.store.chain_intents_due(app.now(), MAX_DUE).await?;
        // One that was refused before goes by itself: the others need not suffer with it.
        let apart = match due.iter().position(|intent| intent.attempts > 0) {
            None => due.as_slice(),
            Some(0) => due.get(..1).unwrap_or_default(),
            Some(first) => due.get(..first).unwrap_or_default(),
        };
        let due = apart.get(..of_their_own(apart)).unwrap_or_default();
        if due.is_empty() { Ok(Next::Later) } else { self.take(app, due, next).await }
    }

    /// Takes intents into the next nonce: as many as go together, without those that would revert.
    async fn take(&self, app: &App, due: &[ChainIntent], nonce: u64) -> Result<Next, Held> {
        let weights: Vec<Weight> = due
            .iter()
            .map(|intent| Weight { l2_gas: intent.l2_gas, calldata: intent.felts as usize })
            .collect();
        let planned = plan(&weights, &Limits::default());
        let too_large = planned.too_large.iter().filter_map(|i| due.get(*i)).map(|intent| RefusedIntent {
            key: intent.key,
            reason: "it is larger than a transaction may be".to_owned(),
            again_at: None,
        });
        let too_large: Vec<_> = too_large.collect();
        if !too_large.is_empty() {
            app.store.chain_intents_refused(too_large, app.now()).await?;
        }
        let Some(batch) = planned.batches.first().and_then(|range| due.get(range.clone())) else {
            return Ok(Next::Now);
        };
        let batch = &sorted(batch);
        let calls = batch
            .iter()
            .map(|intent| serde_json::from_str::<Vec<Call>>(&intent.calls))
            .collect::<Result<Vec<_>, _>>()?;
        let terms = self.terms(nonce, Bounds::default());
        let checked = send::check(&self.pool, &calls, transaction, terms).await?;
        let refused = checked.sorted.poison.iter().filter_map(|poison| {
            let intent = batch.get(poison.entry)?;
            Some(refused(intent, &poison.reason, app.now()))
        });
        let refused: Vec<_> = refused.collect();
        if !refused.is_empty() {
            app.store.chain_intents_refused(refused, app.now()).await?;
        }
        let Some(estimate) = checked.estimate else { return Ok(Next::Now) };
        self.sign(app, (batch, &calls), checked.sorted.passing, estimate, nonce).await
    }

    /// Signs what passed, has it written down, and sends it. Where the cap of one transaction is too low
    /// for all of it, for half of it.
    async fn sign(
        &self,
        app: &App,
        (batch, calls): (&[ChainIntent], &[Vec<Call>]),
        mut passing: Vec<usize>,
        mut estimate: Estimate,
        nonce: u64,
    ) -> Result<Next, Held> {
        let spent = self.spent(app, None).await?;
        let bounds = loop {
            match self.policy.bounds(&estimate, spent) {
                Err(FeeRefusal::Each { .. }) if passing.len() > 1 => {
                    passing.truncate(passing.len() / 2);
                    let terms = self.terms(nonce, Bounds::default());
                    estimate = send::estimate(&self.pool, &these(calls, &passing), terms).await?;
                }
                bounds => break bounds?,
            }
        };
        let signed: Signed = these(calls, &passing).sign(self.terms(nonce, bounds))?;
        let new = NewNonce {
            account: self.address(),
            nonce,
            intents: passing.iter().filter_map(|i| batch.get(*i)).map(|intent| intent.key).collect(),
            transaction: new_transaction(&signed)?,
        };
        crash_point("chain.planned");
        app.store.chain_nonce_open(new, app.now()).await?;
        crash_point("chain.stored");
        let watched = app.store.chain_nonces_watched(self.address(), nonce).await?;
        match watched.iter().find(|stored| stored.nonce == nonce) {
            Some(stored) => sending::send(self, app, stored).await.map(|()| Next::After(SOON)),
            None => Ok(Next::Now),
        }
    }
}

/// A transaction with the calls of these entries.
fn these(calls: &[Vec<Call>], entries: &[usize]) -> Unsigned {
    transaction(entries.iter().filter_map(|i| calls.get(*i)).flatten().cloned().collect())
}

/// A transaction with these calls.
pub(super) fn transaction(calls: Vec<Call>) -> Unsigned {
    Unsigned::Invoke(together(calls))
}

/// How many of the first of them are about jobs of their own: what is asked about a job keeps its order.
fn of_their_own(due: &[ChainIntent]) -> usize {
    let mut jobs = HashSet::new();
    due.iter().take_while(|intent| intent.job.is_none_or(|job| jobs.insert(job))).count()
}

/// A batch with those of one kind behind each other, so that they become one call.
fn sorted(batch: &[ChainIntent]) -> Vec<ChainIntent> {
    let mut batch = batch.to_vec();
    batch.sort_by(|a, b| a.kind.cmp(&b.kind));
    batch
}

/// What becomes of an intent that the chain would not have.
fn refused(intent: &ChainIntent, reason: &str, now: Timestamp) -> RefusedIntent {
    let again_at = (intent.attempts + 1 < MAX_ATTEMPTS).then(|| again_at(intent.attempts, now));
    RefusedIntent { key: intent.key, reason: reason.to_owned(), again_at }
}

/// When something that was tried so often before is tried again.
pub(super) fn again_at(attempts: u32, now: Timestamp) -> Timestamp {
    let doubled = WAIT_MS.saturating_mul(1 << attempts.min(10));
    now.plus_ms(doubled.min(LONGEST_WAIT_MS))
}
