//! Follows the escrow contract: block by block its events become rows, and what they make of each escrow
//! with them; where the chain parted from what was read, those rows go first. Whoever leads does it, and
//! each activation goes by the rows and by the chain alone.
//!
//! Invariant: what is written down is what the chain had at one block, whole. A step is one transaction
//! that names the block it builds on; a long one is several, each of whole blocks.

use super::lane::Held;
use super::{FOLLOWER, STEP, reading};
use crate::app::App;
use crate::background::driver::{Failure, Next};
use ciro_api::system::ComponentState;
use ciro_chain::Felt;
use ciro_chain::follow::{self, FollowError, Ring, Step, Unconnected, advance};
use ciro_chain::rpc::read::{self, Event, Header};
use ciro_chain::rpc::{Pool, RpcError};
use ciro_core::money::ChainEscrow;
use ciro_store::{ChainBack, ChainBlock, ChainCursor, ChainForward, MAX_CHAIN_BLOCKS};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

const _: () = assert!(Ring::LENGTH as u64 == MAX_CHAIN_BLOCKS, "rows and ring keep the same blocks");

/// Events that one transaction takes, and those of the block that goes beyond.
const EVENTS: u64 = 200;
/// Between two questions how far blocks are proved on Ethereum: that moves by hours.
const PROVED_EVERY: Duration = Duration::from_secs(10);

/// Who follows one contract.
#[derive(Debug)]
pub(super) struct Follower {
    pool: Arc<Pool>,
    contract: Felt,
    /// Where its history begins, as the operator says.
    from_block: Option<u64>,
    asks_for_proofs: bool,
    known: Mutex<Known>,
}

/// What is kept between two activations.
#[derive(Debug, Default)]
struct Known {
    /// The blocks that were read; `None` where the rows are to be read first.
    ring: Option<Ring>,
    proved: Option<u64>,
    asked: Option<Instant>,
}

impl Follower {
    pub(super) fn new(app: &App, pool: Arc<Pool>, contract: Felt) -> Follower {
        let config = &app.config.blockchain;
        Follower {
            pool,
            contract,
            from_block: config.from_block,
            asks_for_proofs: config.counts_proofs(),
            known: Mutex::new(Known::default()),
        }
    }

    /// One step, and a word on how it went.
    pub(super) async fn activate(&self, app: &App) -> Result<Next, Failure> {
        let mut known = self.known.lock().await;
        let done = self.step(app, &mut known).await;
        if done.is_err() {
            known.ring = None;
        }
        let (state, words) = match &done {
            Ok((_, cursor)) => (ComponentState::Ok, told(app, cursor)),
            Err(Held::Waits(words) | Held::Halted(words)) => (ComponentState::Degraded, words.clone()),
            Err(Held::Failed(error)) => (ComponentState::Degraded, error.to_string()),
        };
        app.health.report(FOLLOWER, state, words, app.now());
        match done {
            Ok((next, _)) => Ok(next),
            Err(Held::Waits(_) | Held::Halted(_)) => Ok(Next::After(STEP * 2)),
            Err(Held::Failed(error)) => Err(error),
        }
    }

    async fn step(&self, app: &App, known: &mut Known) -> Result<(Next, Option<ChainCursor>), Held> {
        let Some(cursor) = self.cursor(app, known).await? else { return Ok((Next::Now, None)) };
        self.ask_for_proofs(known).await?;
        let mut ring = match known.ring.take() {
            Some(ring) => ring,
            None => Ring::of(app.store.chain_blocks().await?.into_iter().map(header_of))?,
        };
        let next = match advance(&self.pool, &mut ring, self.contract, cursor.from_block).await? {
            Step::Current => {
                let head = ring.newest().map_or(cursor.head, |newest| newest.number);
                if (head, known.proved) != (cursor.head, cursor.proved) {
                    app.store.chain_noted(head, known.proved).await?;
                }
                Next::Later
            }
            Step::Moved => Next::After(STEP / 5),
            Step::Forward { blocks, events, head } => {
                forward(app, &cursor, &blocks, &events, head).await?;
                Next::Now
            }
            Step::Back { orphaned } => {
                back(app, &orphaned).await?;
                Next::Now
            }
            Step::Deeper { orphaned } => {
                reorganised(app, &orphaned);
                app.store.chain_begin(cursor.contract, cursor.from_block, app.now()).await?;
                Next::Now
            }
        };
        known.ring = Some(ring);
        Ok((next, app.store.chain_cursor().await?))
    }

    /// How far this contract is followed; `None` where that has just begun.
    async fn cursor(&self, app: &App, known: &mut Known) -> Result<Option<ChainCursor>, Held> {
        let found = app.store.chain_cursor().await?;
        let ours = found.filter(|cursor| {
            Felt::from_bytes_be(&cursor.contract) == self.contract
                && self.from_block.is_none_or(|from| from == cursor.from_block)
        });
        if ours.is_some() {
            return Ok(ours);
        }
        let from = match self.from_block {
            Some(from) => from,
            None => self.origin().await?,
        };
        tracing::info!(contract = %format!("{:#x}", self.contract), from, "begins to follow the escrow contract");
        app.store.chain_begin(self.contract.to_bytes_be(), from, app.now()).await?;
        known.ring = Some(Ring::default());
        Ok(None)
    }

    async fn origin(&self) -> Result<u64, Held> {
        match follow::origin(&self.pool, self.contract).await {
            Ok(Some(block)) => Ok(block),
            Ok(None) => Err(Held::Waits(format!(
                "there is no contract at {:#x}: correct blockchain.contract_address, or wait until it is deployed",
                self.contract
            ))),
            Err(error @ RpcError::Fault(_)) => {
                tracing::warn!(
                    "no node keeps the state at old blocks ({error}): reading from block 0; \
                     blockchain.from_block names the block of the deployment"
                );
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn ask_for_proofs(&self, known: &mut Known) -> Result<(), Held> {
        let due = known.asked.is_none_or(|asked| asked.elapsed() >= PROVED_EVERY);
        if self.asks_for_proofs && due {
            known.proved = read::proved(&self.pool).await?;
            known.asked = Some(Instant::now());
        }
        Ok(())
    }
}

/// Says how far it is.
fn told(app: &App, cursor: &Option<ChainCursor>) -> String {
    let Some(ChainCursor { newest: Some(newest), head, .. }) = cursor else { return "begins".to_owned() };
    let behind = head.saturating_sub(newest.number);
    app.metrics.chain.followed.set(newest.number);
    app.metrics.chain.behind.set(behind);
    match behind {
        0 => format!("at block {}", newest.number),
        _ => format!("at block {}, {behind} behind the chain", newest.number),
    }
}

/// Writes the next blocks down, as many at once as one transaction takes.
async fn forward(
    app: &App,
    cursor: &ChainCursor,
    blocks: &[Header],
    events: &[Event],
    head: u64,
) -> Result<(), Held> {
    let mut after = cursor.newest.map(|newest| newest.hash);
    let mut events = events.iter().peekable();
    let mut step = ChainForward { after, head, blocks: Vec::new(), events: Vec::new(), escrows: Vec::new() };
    let mut counted: BTreeMap<Felt, Option<ChainEscrow>> = BTreeMap::new();
    for block in blocks {
        let mut place = 0;
        while let Some(event) = events.next_if(|event| event.block_hash == Some(block.hash)) {
            let (row, read) = reading::row(event, block, place)?;
            step.events.push(row);
            place += 1;
            let Some((subject, read)) = read else { continue };
            let before = match counted.remove(&subject) {
                Some(before) => before,
                None => app.store.chain_escrow(subject.to_bytes_be()).await?,
            };
            counted.insert(subject, follow::after(before, &read, reading::moment(block))?);
        }
        step.blocks.push(block_of(block));
        if step.events.len() as u64 >= EVENTS || blocks.last() == Some(block) {
            step.escrows = std::mem::take(&mut counted).into_values().flatten().collect();
            app.metrics.chain.events.add(step.events.len() as u64);
            after = Some(block.hash.to_bytes_be());
            let rest =
                ChainForward { after, head, blocks: Vec::new(), events: Vec::new(), escrows: Vec::new() };
            app.store.chain_forward(std::mem::replace(&mut step, rest), app.now()).await?;
        }
    }
    match events.next() {
        None => Ok(()),
        Some(event) => {
            Err(Held::Waits(format!("the node lists an event of {:#x} out of order", event.transaction_hash)))
        }
    }
}

/// Forgets what came from blocks that the chain has no more, as much at once as one transaction takes.
async fn back(app: &App, orphaned: &[Header]) -> Result<(), Held> {
    reorganised(app, orphaned);
    let Some(ancestor) = orphaned.last().and_then(|oldest| oldest.number.checked_sub(1)) else {
        return Ok(());
    };
    let mut cuts = Vec::new();
    let mut events = 0;
    for (block, count) in app.store.chain_event_counts_behind(ancestor).await? {
        events += count;
        if events >= EVENTS {
            cuts.push(block - 1);
            events = 0;
        }
    }
    if cuts.last() != Some(&ancestor) {
        cuts.push(ancestor);
    }
    for to in cuts {
        let newest = app.store.chain_cursor().await?.and_then(|cursor| cursor.newest);
        let Some(newest) = newest.filter(|newest| newest.number > to) else { continue };
        let mut step = ChainBack { after: newest.hash, to, escrows: Vec::new(), gone: Vec::new() };
        for id in app.store.chain_named_behind(to).await? {
            let events = app.store.chain_events_of(id, to).await?;
            match reading::fold(&events)? {
                Some(escrow) => step.escrows.push(escrow),
                None => step.gone.push(id),
            }
        }
        app.store.chain_back(step, app.now()).await?;
    }
    Ok(())
}

fn reorganised(app: &App, orphaned: &[Header]) {
    app.metrics.chain.reorganisations.inc();
    app.metrics.chain.orphaned.add(orphaned.len() as u64);
    if let (Some(newest), Some(oldest)) = (orphaned.first(), orphaned.last()) {
        tracing::warn!(from = oldest.number, to = newest.number, "a reorganisation took blocks away");
    }
}

fn block_of(header: &Header) -> ChainBlock {
    ChainBlock {
        number: header.number,
        hash: header.hash.to_bytes_be(),
        parent: header.parent.to_bytes_be(),
        at: header.timestamp,
    }
}

fn header_of(block: ChainBlock) -> Header {
    Header {
        number: block.number,
        hash: Felt::from_bytes_be(&block.hash),
        parent: Felt::from_bytes_be(&block.parent),
        timestamp: block.at,
    }
}

impl From<FollowError> for Held {
    fn from(error: FollowError) -> Held {
        Held::Waits(error.to_string())
    }
}

impl From<Unconnected> for Held {
    fn from(error: Unconnected) -> Held {
        Held::Failed(error.into())
    }
}
