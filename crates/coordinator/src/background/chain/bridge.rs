//! Between the jobs that are paid from a deposit and the chain: whoever leads takes those of which one side
//! changed, has [`decide`] compare the two, and does what it says. A job is told what happened to its money,
//! the chain is asked to pay by an intent, which the lane sends.
//!
//! An activation goes by the rows alone, and everything that it does may be done twice: commands change
//! nothing the second time, and an intent has the same dedupe key until the chain has answered it. So it
//! does not matter where it is cut off.

use super::asking::{self, Asker};
use super::{BRIDGE, STEP};
use crate::app::App;
use crate::background::driver::{Failure, Next};
use crate::results;
use ciro_api::system::ComponentState;
use ciro_chain::Felt;
use ciro_core::command::Command;
use ciro_core::crash::crash_point;
use ciro_core::id::{Hash, JobKey};
use ciro_core::job::Job;
use ciro_core::money::decide::{Act, Ask, Decision, SentState, decide, next_generation};
use ciro_core::money::exposure::Bound;
use ciro_core::money::{Finality, Horizon};
use ciro_store::{ChainCursor, Error as StoreError, EscrowLook, Exposure, Looked, NewIntent, SentIntent};
use futures_util::future::join_all;
use parking_lot::Mutex;
use std::time::Instant;

/// Jobs that are looked at together.
const PAGE: u32 = 200;
/// A clock of the chain that is so much further than it was thought to be was set, seconds.
const JUMP_S: u64 = 30;

/// See the module.
#[derive(Debug)]
pub(super) struct Bridge {
    asker: Asker,
    finality: Finality,
    seen: Mutex<Option<Seen>>,
}

/// The newest block as this process saw it first.
#[derive(Debug, Clone, Copy)]
struct Seen {
    block: u64,
    at: Instant,
    /// The newest block that Ethereum had proof of.
    proven: Option<u64>,
    /// The clock of the chain then, and what it was thought to be.
    time: u64,
    thought: u64,
}

impl Seen {
    /// What the clock of the chain says by now.
    fn now(&self) -> u64 {
        self.time.saturating_add(self.at.elapsed().as_secs())
    }
}

impl Bridge {
    /// For the escrow contract, with what `account` sends.
    pub(super) fn new(app: &App, contract: Felt, account: Felt) -> Bridge {
        let config = &app.config.blockchain;
        Bridge { asker: Asker { contract, account }, finality: config.counts(), seen: Mutex::new(None) }
    }

    /// One page of jobs, and a word on how it went.
    pub(super) async fn activate(&self, app: &App) -> Result<Next, Failure> {
        let (cursor, due) = app.store.escrows_due(app.now(), PAGE).await?;
        let Some(Sight { is: horizon, stale }) = self.horizon(app, cursor) else {
            let words = "the chain is not read up to its newest block: deposits and payments wait for that";
            app.health.report(BRIDGE, ComponentState::Degraded, words, app.now());
            return Ok(Next::Later);
        };
        if stale {
            app.store.escrows_look_now(app.now()).await?;
            return Ok(Next::Now);
        }
        if !due.is_empty() {
            self.page(app, &due, &horizon).await?;
        }
        let counts = app.store.escrows_open().await?;
        app.metrics.chain.deposits.set(counts.open);
        app.metrics.chain.troubled.set(counts.troubled);
        let mut words = format!("{} deposits are looked after, {} in trouble", counts.open, counts.troubled);
        if let Some(most) = app.config.blockchain.max_exposure {
            let Exposure { amount, promised, .. } = app.store.chain_exposure().await?;
            let (is, more) = (amount.strk(), promised.strk());
            words.push_str(&format!(
                "; {is} STRK of at most {} are at risk, {more} are assigned",
                most.strk()
            ));
        }
        app.health.report(BRIDGE, ComponentState::Ok, words, app.now());
        Ok(if due.len() == PAGE as usize { Next::Now } else { Next::After(STEP) })
    }

    /// How far the chain was read; `None` while what is not there may still come.
    fn horizon(&self, app: &App, cursor: Option<ChainCursor>) -> Option<Sight> {
        let cursor = cursor.filter(ChainCursor::is_current)?;
        let block = cursor.newest?;
        let mut seen = self.seen.lock();
        let before = *seen;
        let same = before.filter(|seen| seen.block == block.number && seen.time == block.at);
        let thought = before.map_or(block.at, |seen| seen.now());
        let proven = cursor.proved;
        let fresh = || Seen { block: block.number, at: Instant::now(), proven, time: block.at, thought };
        let newest = Seen { proven, ..same.unwrap_or_else(fresh) };
        *seen = Some(newest);
        let jumped = same.is_none() && newest.time > newest.thought.saturating_add(JUMP_S);
        let proved = before.is_some_and(|before| before.proven != proven);
        let is = Horizon {
            block: block.number,
            proven,
            finality: self.finality,
            time: newest.now(),
            now: app.now(),
        };
        Some(Sight { is, stale: jumped || proved })
    }

    /// Tells the jobs first: should the rest be cut off, they are looked at again and have changed.
    async fn page(&self, app: &App, due: &[EscrowLook], horizon: &Horizon) -> Result<(), Failure> {
        let decided = due
            .iter()
            .map(|look| (look, decide(&look.job, &look.spec_hash, look.chain.as_ref(), horizon)))
            .collect();
        let decided = within_bounds(app, decided).await?;
        let commands = decided.iter().filter_map(|(look, decision)| command(look.job.key, &decision.act));
        let commands: Vec<Command> = commands.collect();
        if !commands.is_empty() {
            crash_point("bridge.decided");
            for told in join_all(commands.into_iter().map(|command| app.store.command(command))).await {
                match told {
                    // It ended, or is being stopped, since it was read: it is looked at again for that.
                    Ok(()) | Err(StoreError::Refused(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            crash_point("bridge.told");
        }
        let mut looked = Vec::with_capacity(decided.len());
        for (look, decision) in decided {
            looked.push(self.looked(app, look, decision, horizon).await?);
        }
        let asks = looked.iter().any(|looked| looked.intent.is_some());
        if asks {
            crash_point("bridge.asking");
        }
        app.store.escrows_looked(looked).await?;
        if asks {
            crash_point("bridge.asked");
        }
        Ok(())
    }

    async fn looked(
        &self,
        app: &App,
        look: &EscrowLook,
        decision: Decision,
        horizon: &Horizon,
    ) -> Result<Looked, Failure> {
        let Decision { act, mut look_at, trouble } = decision;
        let mut trouble = trouble.map(|trouble| trouble.to_string());
        let mut intent = None;
        if let Act::Send(ask) = &act {
            let newest = look.sent.iter().find(|sent| sent.kind == ask.kind());
            trouble = trouble.or_else(|| newest.and_then(|sent| refused(sent, look)));
            match next_generation(newest.map(|sent| sent.sent), horizon) {
                Ok(generation) => intent = Some(self.intent(app, look, ask, generation).await?),
                Err(again_at) => look_at = look_at.map(|at| at.min(again_at)),
            }
        }
        if let (Some(words), false) = (&trouble, look.trouble == trouble) {
            tracing::warn!(job = %look.job.id, "the money of a job does not move: {words}");
        }
        Ok(Looked { job: look.job.key, wakes: look.wakes, look_at, trouble, intent })
    }

    async fn intent(
        &self,
        app: &App,
        look: &EscrowLook,
        ask: &Ask,
        generation: u32,
    ) -> Result<NewIntent, Failure> {
        let result = match ask {
            Ask::Result(_) => result_hash(app, &look.job).await,
            _ => None,
        };
        let deposit = look.job.escrow.as_ref().and_then(|escrow| escrow.deposit);
        let deposit = deposit.ok_or("a job without a deposit was looked at")?;
        let call = self.asker.call(&deposit, ask, result)?;
        Ok(NewIntent {
            dedupe: format!("{}:{:#x}:{generation}", ask.kind(), Felt::from_bytes_be(&deposit.id)),
            kind: ask.kind().to_owned(),
            job: Some(look.job.key),
            felts: u32::try_from(call.felts())?,
            l2_gas: asking::l2_gas(ask),
            calls: serde_json::to_string(&[call])?,
            now: app.now(),
        })
    }
}

/// How far the chain was read.
struct Sight {
    is: Horizon,
    /// Its clock was set, or Ethereum has proof of more: what waits for either is due at another time.
    stale: bool,
}

/// The same without the work that puts more at risk than the operator stands for.
async fn within_bounds<'a>(
    app: &App,
    decided: Vec<(&'a EscrowLook, Decision)>,
) -> Result<Vec<(&'a EscrowLook, Decision)>, Failure> {
    let Some(most) = app.config.blockchain.max_exposure else { return Ok(decided) };
    let Exposure { amount, promised, .. } = app.store.chain_exposure().await?;
    let mut bound = Bound { most, at_risk: amount, promised };
    let hold = |(look, decision): (&'a EscrowLook, Decision)| {
        (look, bound.hold(decision, &look.job, look.is_promised(), app.now()))
    };
    Ok(decided.into_iter().map(hold).collect())
}

/// What a job is told.
fn command(job: JobKey, act: &Act) -> Option<Command> {
    match act {
        Act::Wait | Act::Send(_) => None,
        Act::Misfit(trouble) => Some(Command::DepositTrouble { job, trouble: trouble.clone() }),
        Act::Fund => Some(Command::Fund { job }),
        Act::Lost => Some(Command::FundsLost { job }),
        Act::Gone => Some(Command::FundsGone { job }),
        Act::Disputed(open) => Some(Command::Disputed { job, open: *open }),
        Act::Settled([paid, fee, refunded]) => {
            Some(Command::Settled { job, paid: *paid, fee: *fee, refunded: *refunded })
        }
    }
}

/// Why the chain did not do what it was asked for.
fn refused(sent: &SentIntent, look: &EscrowLook) -> Option<String> {
    match sent.sent.state {
        SentState::Failed { .. } => {
            let why = sent.error.as_deref().unwrap_or("it did not say why");
            Some(format!("the chain refuses `{}`: {why}", sent.kind))
        }
        SentState::Done { block, .. } => {
            let skipped = look.chain.as_ref()?.skipped.as_ref().filter(|skipped| skipped.block == block)?;
            Some(format!("the contract left `{}` out: {}", sent.kind, skipped.reason))
        }
        SentState::UnderWay => None,
    }
}

/// The hash of a job's result; `None` where it has none, or it is not kept any more.
async fn result_hash(app: &App, job: &Job) -> Option<Hash> {
    match results::get(app, job.tenant, job.id).await {
        Ok(result) => Some(result.hash),
        Err(error) => {
            tracing::warn!(job = %job.id, ?error, "the result of a paid job cannot be read: it is reported without");
            None
        }
    }
}
