//! How far the contract is followed: the newest blocks that were read, and one row that says which
//! contract it is, from where on, and how far the chain itself was at the last look.
//!
//! Data moves in steps, each one transaction: blocks with their events and what these make of the escrows
//! that they name ([`ChainForward`]), or the newest blocks go and take their events along
//! ([`ChainBack`]). A step names the newest block that it builds on, so that of two who follow only one
//! goes on, and whoever read an older state reads again. With a step the jobs whose escrows it names are to
//! be compared with the chain (`look_at`, `wakes`).
//!
//! Invariant: the blocks that are kept are connected, and each event and each escrow comes from a block that
//! is kept, or is older than all of them.

use super::event::{self, ChainEvent};
use super::standing;
use crate::error::Error;
use crate::sql::{Link, Row, params};
use crate::writer::Store;
use ciro_core::money::ChainEscrow;
use ciro_core::time::Timestamp;

/// The newest blocks that are kept.
pub const MAX_CHAIN_BLOCKS: u64 = 256;

/// A block that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainBlock {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// The hash of the block before it.
    pub parent: [u8; 32],
    /// When it was made, in seconds since 1970.
    pub at: u64,
}

/// How far a contract is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainCursor {
    /// Which contract.
    pub contract: [u8; 32],
    /// The number of the first block that was read.
    pub from_block: u64,
    /// The number of the newest block that the chain had at the last look.
    pub head: u64,
    /// The number of the newest block that was proved on Ethereum by then; `None` where nobody asked, or
    /// there is none.
    pub proved: Option<u64>,
    /// The newest block that was read.
    pub newest: Option<ChainBlock>,
}

impl ChainCursor {
    /// Whether everything is read that the chain had. Until then what is not there may still come: that an
    /// escrow is absent means nothing.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.newest.is_some_and(|newest| newest.number >= self.head)
    }
}

/// The next blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainForward {
    /// The hash of the newest block that was read before; `None` where there was none.
    pub after: Option<[u8; 32]>,
    /// The number of the newest block that the chain has.
    pub head: u64,
    /// The blocks, at least one, oldest first.
    pub blocks: Vec<ChainBlock>,
    /// Events in them, in the order of the chain.
    pub events: Vec<ChainEvent>,
    /// The escrows that those name, as they are now.
    pub escrows: Vec<ChainEscrow>,
}

/// Blocks that the chain has no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainBack {
    /// The hash of the newest block that was read before.
    pub after: [u8; 32],
    /// The number of the newest block that stays.
    pub to: u64,
    /// Escrows that events of the others named, as they are without these.
    pub escrows: Vec<ChainEscrow>,
    /// Escrows of which no event remains.
    pub gone: Vec<[u8; 32]>,
}

const MOVED: Error = Error::Taken { what: "newest block" };

impl Store {
    /// How far the contract is followed; `None` where none ever was.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_cursor(&self) -> Result<Option<ChainCursor>, Error> {
        self.read(cursor).await
    }

    /// The newest blocks that were read, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_blocks(&self) -> Result<Vec<ChainBlock>, Error> {
        self.read(|c| {
            let sql = "SELECT number, hash, parent, at FROM chain_blocks ORDER BY number";
            c.rows(sql, (), |r| block_from_row(r, 0))
        })
        .await
    }

    /// Begins to follow a contract from a block on. Whatever was read before is forgotten, and every job
    /// that is paid from an escrow is to be compared with the chain again.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn chain_begin(
        &self,
        contract: [u8; 32],
        from_block: u64,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.rare(move |c| {
            for table in ["chain_blocks", "chain_events", "chain_escrows", "chain_cursor"] {
                c.run(&format!("DELETE FROM {table}"), ())?;
            }
            let sql = "INSERT INTO chain_cursor (one, contract, from_block, head) VALUES (1, ?1, ?2, ?2)";
            c.run(sql, params![contract, from_block])?;
            let all = "UPDATE escrows SET look_at = ?1, wakes = wakes + 1 WHERE look_at IS NOT NULL";
            c.run(all, [now.0])?;
            Ok(())
        })
        .await
    }

    /// Notes how far the chain is, where it has nothing new for us.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn chain_noted(&self, head: u64, proved: Option<u64>) -> Result<(), Error> {
        self.rare(move |c| {
            c.run("UPDATE chain_cursor SET head = ?1, proved = ?2", params![head, proved])?;
            Ok(())
        })
        .await
    }

    /// Writes the next blocks down, with their events and what these come to.
    ///
    /// # Errors
    /// [`Error::Taken`] when another block is the newest than the one that this goes on from.
    pub async fn chain_forward(&self, step: ChainForward, now: Timestamp) -> Result<(), Error> {
        self.rare(move |c| {
            builds_on(c, step.after)?;
            for block in &step.blocks {
                let ChainBlock { number, hash, parent, at } = block;
                let sql = "INSERT INTO chain_blocks (number, hash, parent, at) VALUES (?1, ?2, ?3, ?4)";
                c.run(sql, params![number, hash, parent, at])?;
            }
            let behind_newest = step.blocks.last().map_or(0, |block| block.number.saturating_add(1));
            let oldest = behind_newest.saturating_sub(MAX_CHAIN_BLOCKS);
            c.run("DELETE FROM chain_blocks WHERE number < ?1", [oldest])?;
            step.events.iter().try_for_each(|event| event::add(c, event))?;
            step.escrows.iter().try_for_each(|escrow| standing::put(c, escrow, now))?;
            c.run("UPDATE chain_cursor SET head = ?1", [step.head])?;
            Ok(())
        })
        .await
    }

    /// Forgets the newest blocks, with their events and what these came to.
    ///
    /// # Errors
    /// [`Error::Taken`] when another block is the newest than the one that this goes back from.
    pub async fn chain_back(&self, step: ChainBack, now: Timestamp) -> Result<(), Error> {
        self.rare(move |c| {
            builds_on(c, Some(step.after))?;
            c.run("DELETE FROM chain_events WHERE block > ?1", [step.to])?;
            c.run("DELETE FROM chain_blocks WHERE number > ?1", [step.to])?;
            step.escrows.iter().try_for_each(|escrow| standing::put(c, escrow, now))?;
            step.gone.iter().try_for_each(|id| standing::remove(c, *id, now))
        })
        .await
    }
}

/// How far the contract is followed.
pub(super) fn cursor(c: &Link<'_>) -> Result<Option<ChainCursor>, Error> {
    let sql = "SELECT u.contract, u.from_block, u.head, u.proved, b.number, b.hash, b.parent, b.at
               FROM chain_cursor u LEFT JOIN chain_blocks b ON b.number = (SELECT max(number) FROM chain_blocks)";
    c.row(sql, (), |r| {
        let read = r.get::<Option<i64>>(4)?.is_some();
        Ok(ChainCursor {
            contract: r.get(0)?,
            from_block: r.get(1)?,
            head: r.get(2)?,
            proved: r.get(3)?,
            newest: if read { Some(block_from_row(r, 4)?) } else { None },
        })
    })
}

/// Whether the newest block is the one that a step builds on.
fn builds_on(c: &Link<'_>, after: Option<[u8; 32]>) -> Result<(), Error> {
    let newest = "SELECT hash FROM chain_blocks ORDER BY number DESC LIMIT 1";
    let newest: Option<[u8; 32]> = c.row(newest, (), |r| r.get(0))?;
    if newest == after { Ok(()) } else { Err(MOVED) }
}

fn block_from_row(r: &Row<'_>, at: usize) -> Result<ChainBlock, Error> {
    Ok(ChainBlock { number: r.get(at)?, hash: r.get(at + 1)?, parent: r.get(at + 2)?, at: r.get(at + 3)? })
}
