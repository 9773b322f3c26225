//! Holds what was read of the contract against the contract itself, and jobs against what was read: at one block,
//! every few minutes. Reads only; a difference is an error in the log, degrades the component, and is a figure.
//! Every coordinator does it for itself, so that each can say how it went.

use super::{RECONCILER, STEP};
use crate::app::App;
use crate::background::driver::{Failure, Next};
use crate::chain::Reconciled;
use ciro_api::system::ComponentState;
use ciro_chain::Felt;
use ciro_chain::audit::differs;
use ciro_chain::contract::escrow::{GetJobs, GetTotals, Token};
use ciro_chain::contract::{ViewError, view};
use ciro_chain::rpc::read::{self, At};
use ciro_chain::rpc::{Pool, RpcError};
use ciro_store::{ChainBlock, ChainSample};
use parking_lot::Mutex;
use std::sync::Arc;

/// Escrows that are held against the contract each time; the next ones the next time.
const PAGE: u32 = 200;
/// Differences that are told one by one.
const MAX_TOLD: usize = 100;

/// See the module.
#[derive(Debug)]
pub(super) struct Reconciler {
    pool: Arc<Pool>,
    contract: Felt,
    /// The last escrow that was looked at.
    after: Mutex<[u8; 32]>,
}

impl Reconciler {
    pub(super) fn new(pool: Arc<Pool>, contract: Felt) -> Reconciler {
        Reconciler { pool, contract, after: Mutex::new([0; 32]) }
    }

    /// One comparison, and a word on how it went.
    pub(super) async fn activate(&self, app: &App) -> Result<Next, Failure> {
        let after = *self.after.lock();
        let sample = app.store.chain_sample(after, PAGE).await?;
        // What was read before the settings were changed is about to be forgotten.
        let from_block = app.config.blockchain.from_block;
        let sample = sample.filter(|sample| {
            Felt::from_bytes_be(&sample.cursor.contract) == self.contract
                && from_block.is_none_or(|from| from == sample.cursor.from_block)
        });
        let Some(sample) = sample else { return Ok(Next::After(STEP * 4)) };
        let last = sample.escrows.last().map(|escrow| escrow.id);
        let done = match self.compare(app, sample).await {
            Ok(Some(done)) => done,
            // The chain has gone on, and the node keeps the state at its newest block alone.
            Ok(None) | Err(ViewError::Rpc(RpcError::Fault(_))) => return Ok(Next::After(STEP)),
            Err(error) => return Err(error.into()),
        };
        *self.after.lock() = last.unwrap_or([0; 32]);
        app.metrics.chain.differences.set(done.findings.len() as u64);
        let state = if done.findings.is_empty() { ComponentState::Ok } else { ComponentState::Degraded };
        let words = match done.findings.first() {
            None => format!("rows and contract agree at block {}", done.block),
            Some(first) => format!("{} differences at block {}: {first}", done.findings.len(), done.block),
        };
        for finding in &done.findings {
            tracing::error!(block = done.block, "books and contract differ: {finding}");
        }
        app.health.report(RECONCILER, state, words, app.now());
        if let Some(chain) = &app.chain {
            chain.reconciled(done);
        }
        Ok(Next::Later)
    }

    /// Whether the chain has this block.
    async fn is_there(&self, block: &ChainBlock) -> Result<bool, RpcError> {
        let header = read::header(&self.pool, block.number).await?;
        Ok(header.is_some_and(|header| header.hash.to_bytes_be() == block.hash))
    }

    /// Compares; `None` where the chain is not the one any more that was read.
    async fn compare(&self, app: &App, sample: ChainSample) -> Result<Option<Reconciled>, ViewError> {
        let Some(newest) = sample.cursor.newest else { return Ok(None) };
        if !self.is_there(&newest).await? {
            return Ok(None);
        }
        let (pool, contract, block) = (&*self.pool, self.contract, At::Number(newest.number));
        let totals = view(pool, contract, &GetTotals {}, block).await?;
        let token = view(pool, contract, &Token {}, block).await?;
        let balance = read::balance(pool, token, contract, block).await?;
        let mut findings = Vec::new();
        if sample.locked.0 != totals.locked {
            let rows = sample.locked;
            findings.push(format!(
                "{rows} FRI are locked by what was read, {} FRI by the contract",
                totals.locked
            ));
        }
        let owed = totals.locked.saturating_add(totals.credited).saturating_add(totals.bonded);
        if balance < owed {
            findings.push(format!("the contract has {balance} FRI and owes {owed} FRI"));
        }
        let job_ids: Vec<Felt> =
            sample.escrows.iter().map(|escrow| Felt::from_bytes_be(&escrow.id)).collect();
        if !job_ids.is_empty() {
            let jobs = view(pool, contract, &GetJobs { job_ids }, block).await?;
            let apart = sample.escrows.iter().zip(&jobs).filter_map(|(escrow, job)| {
                let what = differs(escrow, job)?;
                Some(format!("escrow {:#066x}: {what}", Felt::from_bytes_be(&escrow.id)))
            });
            findings.extend(apart);
        }
        findings.extend(
            sample.apart.iter().map(|job| format!("{job} was settled otherwise than the chain says")),
        );
        findings.truncate(MAX_TOLD);
        // What was asked by its number may have been another block meanwhile.
        if !self.is_there(&newest).await? {
            return Ok(None);
        }
        let escrows = sample.escrows.len() as u64;
        Ok(Some(Reconciled { at: app.now(), block: newest.number, escrows, totals, balance, findings }))
    }
}
