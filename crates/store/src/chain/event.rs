//! Events of the contract that is followed, as rows: each by its block and its place among the contract's
//! events there, with its members as JSON. What they mean is for whoever follows.

use crate::error::Error;
use crate::sql::{Link, Row, params};
use crate::writer::Store;
use ciro_core::amount::Fri;

/// The events that say no more than that a call was left out. Anybody can bring them about, as many as it
/// pays for; of one escrow only the newest of them counts.
const SKIPPED: &str = "JobSkipped";

/// An event that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEvent {
    /// The number of its block.
    pub block: u64,
    /// The hash of its block.
    pub block_hash: [u8; 32],
    /// Its place among the contract's events of its block, from 0.
    pub place: u64,
    /// The hash of its transaction.
    pub tx: [u8; 32],
    /// When its block was made, in seconds since 1970.
    pub at: u64,
    /// Its name in the contract; the number of the name in hex where this version does not know it.
    pub name: String,
    /// The escrow that it is about.
    pub escrow: Option<[u8; 32]>,
    /// Whom it credits, and with how much.
    pub credit: Option<([u8; 32], Fri)>,
    /// Its members, a JSON object.
    pub body: String,
}

pub(super) const COLUMNS: &str = "block, block_hash, place, tx, at, name, escrow, account, amount, body";

impl Store {
    /// The escrows that events behind a block name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_named_behind(&self, block: u64) -> Result<Vec<[u8; 32]>, Error> {
        self.read(move |c| {
            let sql = "SELECT DISTINCT escrow FROM chain_events WHERE block > ?1 AND escrow IS NOT NULL";
            c.rows(sql, [block], |r| r.get(0))
        })
        .await
    }

    /// The events of an escrow up to a block, in the order of the chain; of calls that were left out only
    /// the newest.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_events_of(&self, escrow: [u8; 32], upto: u64) -> Result<Vec<ChainEvent>, Error> {
        self.read(move |c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM chain_events WHERE escrow = ?1 AND block <= ?2 AND name <> ?3
                 ORDER BY block, place"
            );
            let mut events = c.rows(&sql, params![escrow, upto, SKIPPED], event_from_row)?;
            let newest = format!(
                "SELECT {COLUMNS} FROM chain_events WHERE escrow = ?1 AND block <= ?2 AND name = ?3
                 ORDER BY block DESC, place DESC LIMIT 1"
            );
            events.extend(c.row(&newest, params![escrow, upto, SKIPPED], event_from_row)?);
            events.sort_by_key(|event| (event.block, event.place));
            Ok(events)
        })
        .await
    }

    /// How many events there are behind a block, block by block, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_event_counts_behind(&self, block: u64) -> Result<Vec<(u64, u64)>, Error> {
        self.read(move |c| {
            let sql = "SELECT block, count(*) FROM chain_events WHERE block > ?1 GROUP BY block ORDER BY block DESC";
            c.rows(sql, [block], |r| Ok((r.get(0)?, r.get(1)?)))
        })
        .await
    }
}

pub(super) fn add(c: &Link<'_>, event: &ChainEvent) -> Result<(), Error> {
    let ChainEvent { block, block_hash, place, tx, at, name, escrow, credit, body } = event;
    let (account, amount) = (credit.map(|(account, _)| account), credit.map(|(_, amount)| amount.padded()));
    let sql =
        format!("INSERT INTO chain_events ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
    c.run(&sql, params![block, block_hash, place, tx, at, name, escrow, account, amount, body])?;
    Ok(())
}

pub(super) fn event_from_row(r: &Row<'_>) -> Result<ChainEvent, Error> {
    let amount: Option<&str> = r.get(8)?;
    let amount = amount.map(str::parse::<Fri>).transpose();
    let amount = amount.map_err(|_| Error::Malformed { table: "chain_events", what: "an amount".into() })?;
    Ok(ChainEvent {
        block: r.get(0)?,
        block_hash: r.get(1)?,
        place: r.get(2)?,
        tx: r.get(3)?,
        at: r.get(4)?,
        name: r.get(5)?,
        escrow: r.get(6)?,
        credit: r.get::<Option<[u8; 32]>>(7)?.zip(amount),
        body: r.get(9)?,
    })
}
