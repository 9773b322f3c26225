//! Nonces of an account: what each carries, and the transactions that were signed for it, of which at
//! most one lands. All transactions of a nonce make the same calls.

use super::intent::{self, ChainIntent};
use crate::error::Error;
use crate::sql::{Link, Row, params};
use crate::writer::Store;
use ciro_core::amount::Fri;
use ciro_core::time::Timestamp;

/// The most transactions that are signed for one nonce.
pub const MAX_CANDIDATES: u64 = 32;
/// The most nonces that are looked at together.
const MAX_WATCHED: u32 = 256;

/// Where a nonce is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NonceState {
    /// It is not as final as was asked for what became of it.
    Open = 0,
    /// What it carries happened.
    Done = 1,
    /// It was used up without effect; what it carried waits again.
    GivenBack = 2,
}

/// A signed transaction that is not sent yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTransaction {
    /// Its hash.
    pub hash: [u8; 32],
    /// JSON with the very bytes that are sent.
    pub signed: String,
    /// The most that it can cost.
    pub max_fee: Fri,
}

/// A nonce that is taken into use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNonce {
    /// Whose.
    pub account: [u8; 32],
    /// Which one.
    pub nonce: u64,
    /// The intents that it carries, in the order of their calls.
    pub intents: Vec<i64>,
    /// The first transaction for it.
    pub transaction: NewTransaction,
}

/// A nonce with its transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainNonce {
    /// The store's key.
    pub key: i64,
    /// Which one.
    pub nonce: u64,
    /// Where it is.
    pub state: NonceState,
    /// All that were signed for it, the oldest first.
    pub transactions: Vec<ChainTransaction>,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainTransaction {
    /// The store's key.
    pub key: i64,
    /// Its hash.
    pub hash: [u8; 32],
    /// JSON with the very bytes that are sent.
    pub signed: String,
    /// Where it is, in the words of the chain's table.
    pub state: String,
    /// How often it was sent.
    pub sends: u32,
    /// When it was signed.
    pub created_at: Timestamp,
    /// Where it landed.
    pub landing: Option<Landing>,
}

/// Where a transaction landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landing {
    /// The number of its block.
    pub block: u64,
    /// The hash of its block, once it is made.
    pub block_hash: Option<[u8; 32]>,
    /// What it cost.
    pub fee: Fri,
    /// Why it reverted, if it did.
    pub reverted: Option<String>,
}

/// What was seen of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighted {
    /// Which one.
    pub transaction: i64,
    /// Where it is now.
    pub state: String,
    /// Where it landed; `None` where the chain does not have it.
    pub landing: Option<Landing>,
    /// Whether it was just sent.
    pub sent: bool,
}

impl Store {
    /// Takes a nonce into use: the nonce, what it carries, and its first transaction. Of all its
    /// intents none may be in another one.
    ///
    /// # Errors
    /// [`Error::Taken`] when the nonce is in use, or one of the intents does not wait.
    pub async fn chain_nonce_open(&self, new: NewNonce, now: Timestamp) -> Result<(), Error> {
        self.rare(move |c| {
            let sql = "INSERT INTO chain_nonces (account, nonce, state, created_at) VALUES (?1, ?2, 0, ?3)
                       ON CONFLICT (account, nonce) DO NOTHING RETURNING key";
            let key = c.row(sql, params![new.account, new.nonce, now.0], |r| r.get::<i64>(0))?;
            let key = key.ok_or(Error::Taken { what: "nonce" })?;
            for (place, intent) in new.intents.iter().enumerate() {
                let sql = "UPDATE chain_intents SET state = 1, not_before = NULL, updated_at = ?2
                           WHERE key = ?1 AND state = 0";
                if c.run(sql, (intent, now.0))? != 1 {
                    return Err(Error::Taken { what: "intent" });
                }
                c.run(
                    "INSERT INTO chain_links (nonce, place, intent) VALUES (?1, ?2, ?3)",
                    (key, place, intent),
                )?;
            }
            add(c, key, &new.transaction, now)
        })
        .await
    }

    /// Adds a transaction for a nonce, to be sent in place of the others.
    ///
    /// # Errors
    /// [`Error::Limit`] when there are too many, [`Error::NotFound`] when the nonce is not open.
    pub async fn chain_candidate_add(
        &self,
        nonce: i64,
        new: NewTransaction,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.rare(move |c| {
            if !c.exists("SELECT 1 FROM chain_nonces WHERE key = ?1 AND state = 0", [nonce])? {
                return Err(Error::NotFound);
            }
            let there: u64 = c.value("SELECT count(*) FROM chain_transactions WHERE nonce = ?1", [nonce])?;
            if there >= MAX_CANDIDATES {
                return Err(Error::Limit { what: "transactions for one nonce", limit: MAX_CANDIDATES });
            }
            add(c, nonce, &new, now)
        })
        .await
    }

    /// Nonces of an account that are open, and those from `next` on, which the chain has not used,
    /// whatever was thought of them; in their order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_nonces_watched(&self, account: [u8; 32], next: u64) -> Result<Vec<ChainNonce>, Error> {
        self.read(move |c| {
            let sql = "SELECT key, nonce, state FROM chain_nonces WHERE account = ?1 AND (ended_at IS NULL OR nonce >= ?2)
                       ORDER BY nonce LIMIT ?3";
            let mut nonces = c.rows(sql, params![account, next, MAX_WATCHED], nonce_from_row)?;
            for nonce in &mut nonces {
                nonce.transactions = transactions(c, nonce.key)?;
            }
            Ok(nonces)
        })
        .await
    }

    /// The highest nonce of an account that was ever taken into use.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_nonce_newest(&self, account: [u8; 32]) -> Result<Option<u64>, Error> {
        self.read(move |c| {
            let sql = "SELECT nonce FROM chain_nonces WHERE account = ?1 ORDER BY nonce DESC LIMIT 1";
            c.row(sql, [account], |r| r.get(0))
        })
        .await
    }

    /// What a nonce carries, in the order of the calls.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_carried(&self, nonce: i64) -> Result<Vec<ChainIntent>, Error> {
        self.read(move |c| intent::of_nonce(c, nonce)).await
    }

    /// What transactions of an account cost that were begun since then: what landed at its fee, the
    /// rest at the most that it can cost. The nonce `but` is left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_spent(
        &self,
        account: [u8; 32],
        since: Timestamp,
        but: Option<i64>,
    ) -> Result<Fri, Error> {
        self.read(move |c| {
            let sql = "SELECT coalesce(max(t.fee), max(t.max_fee)) FROM chain_nonces n
                       JOIN chain_transactions t ON t.nonce = n.key
                       WHERE n.account = ?1 AND n.created_at >= ?2 AND n.key <> ?3 GROUP BY n.key";
            let each = c.rows(sql, params![account, since.0, but.unwrap_or(0)], |r| amount(r.get(0)?))?;
            Ok(Fri(each.into_iter().fold(0, |sum, fee| sum.saturating_add(fee.0))))
        })
        .await
    }

    /// Writes down what was seen of transactions.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn chain_sighted(&self, sighted: Vec<Sighted>, now: Timestamp) -> Result<(), Error> {
        self.rare(move |c| sighted.iter().try_for_each(|one| sight(c, one, now))).await
    }

    /// Ends a nonce. With `again_at` what it carried waits again until then at least, one attempt
    /// richer; without it has happened. One that was ended is left as it is.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn chain_nonce_end(
        &self,
        nonce: i64,
        given_back: Option<(String, Timestamp)>,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.rare(move |c| {
            let state = if given_back.is_some() { NonceState::GivenBack } else { NonceState::Done };
            let sql = "UPDATE chain_nonces SET state = ?2, ended_at = ?3 WHERE key = ?1 AND state = 0";
            if c.run(sql, params![nonce, state as u8, now.0])? == 0 {
                return Ok(());
            }
            let carried = "key IN (SELECT intent FROM chain_links WHERE nonce = ?1) AND state = 1";
            match &given_back {
                None => {
                    let sql = format!(
                        "UPDATE chain_intents SET state = 2, error = NULL, ended_at = ?2, updated_at = ?2 WHERE {carried}"
                    );
                    c.run(&sql, (nonce, now.0))?;
                }
                Some((reason, again_at)) => {
                    let sql = format!(
                        "UPDATE chain_intents SET state = 0, attempts = attempts + 1, error = ?3, not_before = ?4,
                         updated_at = ?2 WHERE {carried}"
                    );
                    c.run(&sql, params![nonce, now.0, reason, again_at.0])?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Opens a nonce again that was done: a reorganisation took it away, and it must land once more.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn chain_nonce_reopen(&self, nonce: i64, now: Timestamp) -> Result<(), Error> {
        self.rare(move |c| {
            let sql = "UPDATE chain_nonces SET state = 0, ended_at = NULL WHERE key = ?1 AND state = 1";
            if c.run(sql, [nonce])? == 1 {
                let sql = "UPDATE chain_intents SET state = 1, ended_at = NULL, updated_at = ?2
                           WHERE key IN (SELECT intent FROM chain_links WHERE nonce = ?1) AND state = 2";
                c.run(sql, (nonce, now.0))?;
            }
            Ok(())
        })
        .await
    }
}

fn add(c: &Link<'_>, nonce: i64, new: &NewTransaction, now: Timestamp) -> Result<(), Error> {
    let sql = "INSERT INTO chain_transactions (hash, nonce, signed, max_fee, state, created_at, updated_at)
               VALUES (?1, ?2, ?3, ?4, 'signed', ?5, ?5)";
    c.run(sql, params![new.hash, nonce, new.signed, new.max_fee.padded(), now.0])?;
    Ok(())
}

fn sight(c: &Link<'_>, one: &Sighted, now: Timestamp) -> Result<(), Error> {
    let (block, block_hash, fee, reverted) = match &one.landing {
        None => (None, None, None, None),
        Some(landing) => {
            let Landing { block, block_hash, fee, reverted } = landing;
            (Some(*block), block_hash.map(|hash| hash.to_vec()), Some(fee.padded()), reverted.as_ref())
        }
    };
    let (more, sent_at) = (u8::from(one.sent), one.sent.then_some(now.0));
    let sql = "UPDATE chain_transactions SET state = ?2, block = ?3, block_hash = ?4, fee = ?5, reverted = ?6,
               sends = sends + ?7, sent_at = coalesce(CAST(?8 AS BIGINT), sent_at), updated_at = ?9 WHERE key = ?1";
    c.run(sql, params![one.transaction, one.state, block, block_hash, fee, reverted, more, sent_at, now.0])?;
    Ok(())
}

fn transactions(c: &Link<'_>, nonce: i64) -> Result<Vec<ChainTransaction>, Error> {
    let sql = "SELECT key, hash, signed, state, sends, created_at, block, block_hash, fee, reverted
               FROM chain_transactions WHERE nonce = ?1 ORDER BY key";
    c.rows(sql, [nonce], |r| {
        Ok(ChainTransaction {
            key: r.get(0)?,
            hash: r.get(1)?,
            signed: r.get(2)?,
            state: r.get(3)?,
            sends: r.get(4)?,
            created_at: Timestamp(r.get(5)?),
            landing: landing(r, 6)?,
        })
    })
}

fn nonce_from_row(r: &Row<'_>) -> Result<ChainNonce, Error> {
    let state: i64 = r.get(2)?;
    let all = [NonceState::Open, NonceState::Done, NonceState::GivenBack];
    let found = all.into_iter().find(|known| *known as i64 == state);
    let state =
        found.ok_or_else(|| Error::Malformed { table: "chain_nonces", what: format!("state {state}") })?;
    Ok(ChainNonce { key: r.get(0)?, nonce: r.get(1)?, state, transactions: Vec::new() })
}

/// Reads block, its hash, the fee and why it reverted, from column `at` on.
pub(super) fn landing(r: &Row<'_>, at: usize) -> Result<Option<Landing>, Error> {
    let (block, fee) = (r.get::<Option<u64>>(at)?, r.get::<Option<&str>>(at + 2)?);
    let Some((block, fee)) = block.zip(fee) else { return Ok(None) };
    let (block_hash, reverted) = (r.get(at + 1)?, r.get(at + 3)?);
    Ok(Some(Landing { block, block_hash, fee: amount(fee)?, reverted }))
}

pub(super) fn amount(text: &str) -> Result<Fri, Error> {
    text.parse()
        .map_err(|_| Error::Malformed { table: "chain_transactions", what: format!("the fee {text}") })
}
