//! Intents: added once for a dedupe key, due when they may be tried, refused with a reason when the
//! chain would not have them.

use crate::error::Error;
use crate::sql::{Link, Row, params};
use crate::writer::Store;
use ciro_core::id::JobKey;
use ciro_core::time::Timestamp;

/// Intents that wait; further ones are refused.
pub const MAX_WAITING_INTENTS: u64 = 100_000;

/// Where an intent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum IntentState {
    /// No transaction carries it.
    Waiting = 0,
    /// Transactions of one nonce carry it.
    UnderWay = 1,
    /// It happened, and is as final as was asked for.
    Done = 2,
    /// The chain would not have it, however often it was tried.
    Failed = 3,
}

impl IntentState {
    pub(super) fn from_number(n: i64) -> Result<IntentState, Error> {
        let all = [IntentState::Waiting, IntentState::UnderWay, IntentState::Done, IntentState::Failed];
        all.into_iter().find(|state| *state as i64 == n).ok_or_else(|| malformed("state", n))
    }

    /// Its name outside.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            IntentState::Waiting => "waiting",
            IntentState::UnderWay => "under_way",
            IntentState::Done => "done",
            IntentState::Failed => "failed",
        }
    }
}

fn malformed(what: &str, n: i64) -> Error {
    Error::Malformed { table: "chain_intents", what: format!("{what} {n}") }
}

/// Something that is to happen on the chain, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIntent {
    /// Two intents with the same are one.
    pub dedupe: String,
    /// What sort of thing it is.
    pub kind: String,
    /// The job that it is about.
    pub job: Option<JobKey>,
    /// The calls, JSON; they stay together.
    pub calls: String,
    /// How much calldata they take, felts.
    pub felts: u32,
    /// How much they take to execute, as known from others of the kind, L2 gas.
    pub l2_gas: u64,
    /// When it is added.
    pub now: Timestamp,
}

/// An intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainIntent {
    /// The store's key.
    pub key: i64,
    /// Two intents with the same are one.
    pub dedupe: String,
    /// What sort of thing it is.
    pub kind: String,
    /// The job that it is about.
    pub job: Option<JobKey>,
    /// The calls, JSON.
    pub calls: String,
    /// How much calldata they take, felts.
    pub felts: u32,
    /// How much they take to execute, L2 gas.
    pub l2_gas: u64,
    /// Where it is.
    pub state: IntentState,
    /// How often the chain would not have it.
    pub attempts: u32,
    /// Why, the last time.
    pub error: Option<String>,
}

/// An intent that the chain would not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedIntent {
    /// Which one.
    pub key: i64,
    /// Why.
    pub reason: String,
    /// When it may be tried again; `None` where it has failed.
    pub again_at: Option<Timestamp>,
}

/// Intents at a glance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChainIntents {
    /// How many wait.
    pub waiting: u64,
    /// How many transactions carry.
    pub under_way: u64,
    /// How many failed.
    pub failed: u64,
    /// When the one was added that has waited longest.
    pub oldest_waiting_at: Option<Timestamp>,
}

const COLUMNS: &str =
    "i.key, i.dedupe, i.kind, i.job, i.calls, i.felts, i.l2_gas, i.state, i.attempts, i.error";

impl Store {
    /// Adds an intent; `false` where there is one with its dedupe key already.
    ///
    /// # Errors
    /// [`Error::Limit`] when too many wait.
    pub async fn chain_intent_add(&self, new: NewIntent) -> Result<bool, Error> {
        self.rare(move |c| add(c, &new)).await
    }

    /// Intents that may be tried now, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_intents_due(&self, now: Timestamp, limit: u32) -> Result<Vec<ChainIntent>, Error> {
        self.read(move |c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM chain_intents i WHERE i.not_before IS NOT NULL AND i.not_before <= ?1
                 ORDER BY i.not_before, i.key LIMIT ?2"
            );
            c.rows(&sql, (now.0, limit), from_row)
        })
        .await
    }

    /// An intent by its dedupe key.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_intent_get(&self, dedupe: String) -> Result<Option<ChainIntent>, Error> {
        self.read(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM chain_intents i WHERE i.dedupe = ?1");
            c.row(&sql, [dedupe], from_row)
        })
        .await
    }

    /// Writes down what the chain would not have. Those that do not wait are left as they are.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn chain_intents_refused(
        &self,
        refused: Vec<RefusedIntent>,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.rare(move |c| refused.iter().try_for_each(|one| refuse(c, one, now))).await
    }

    /// Intents at a glance.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_intents(&self) -> Result<ChainIntents, Error> {
        self.read(|c| {
            let waiting = "SELECT count(*), min(created_at) FROM chain_intents WHERE not_before IS NOT NULL";
            let under_way = "SELECT count(*) FROM chain_links l JOIN chain_nonces n ON n.key = l.nonce
                             WHERE n.ended_at IS NULL";
            let failed = "SELECT count(*) FROM chain_intents WHERE state = 3";
            let found = c.row(waiting, (), |r| Ok((r.get(0)?, r.get::<Option<i64>>(1)?)))?;
            let (waiting, oldest) = found.unwrap_or_default();
            Ok(ChainIntents {
                waiting,
                under_way: c.value(under_way, ())?,
                failed: c.value(failed, ())?,
                oldest_waiting_at: oldest.map(Timestamp),
            })
        })
        .await
    }
}

/// Adds an intent; `false` where there is one with its dedupe key already.
pub(super) fn add(c: &Link<'_>, new: &NewIntent) -> Result<bool, Error> {
    let waiting = "SELECT count(*) FROM chain_intents WHERE not_before IS NOT NULL";
    if c.value::<u64>(waiting, ())? >= MAX_WAITING_INTENTS {
        return Err(Error::Limit { what: "what waits for the chain", limit: MAX_WAITING_INTENTS });
    }
    let sql = "INSERT INTO chain_intents (dedupe, kind, job, calls, felts, l2_gas, state, not_before, \
               created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?7, ?7)
               ON CONFLICT (dedupe) DO NOTHING";
    let NewIntent { dedupe, kind, job, calls, felts, l2_gas, now } = new;
    let job = job.map(|job| job.0);
    Ok(c.run(sql, params![dedupe, kind, job, calls, felts, l2_gas, now.0])? > 0)
}

/// The calls of what a nonce carries, in their order.
pub(super) fn of_nonce(c: &Link<'_>, nonce: i64) -> Result<Vec<ChainIntent>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM chain_links l JOIN chain_intents i ON i.key = l.intent WHERE l.nonce = ?1 ORDER BY l.place"
    );
    c.rows(&sql, [nonce], from_row)
}

fn refuse(c: &Link<'_>, one: &RefusedIntent, now: Timestamp) -> Result<(), Error> {
    let RefusedIntent { key, reason, again_at } = one;
    let state = if again_at.is_some() { IntentState::Waiting } else { IntentState::Failed };
    let ended = again_at.is_none().then_some(now.0);
    let sql = "UPDATE chain_intents SET state = ?2, attempts = attempts + 1, error = ?3, not_before = ?4,
               ended_at = ?5, updated_at = ?6 WHERE key = ?1 AND state = 0";
    c.run(sql, params![key, state as u8, reason, again_at.map(|at| at.0), ended, now.0])?;
    Ok(())
}

fn from_row(r: &Row<'_>) -> Result<ChainIntent, Error> {
    Ok(ChainIntent {
        key: r.get(0)?,
        dedupe: r.get(1)?,
        kind: r.get(2)?,
        job: r.get::<Option<i64>>(3)?.map(JobKey),
        calls: r.get(4)?,
        felts: r.get(5)?,
        l2_gas: r.get(6)?,
        state: IntentState::from_number(r.get(7)?)?,
        attempts: r.get(8)?,
        error: r.get(9)?,
    })
}
