//! What was sent to the chain and what is to be, as people look at it: transactions with what they carry,
//! and intents that are in trouble. Only reads.

use super::intent::IntentState;
use super::nonce::{Landing, amount, landing};
use crate::error::Error;
use crate::read::{MAX_LOOKED_AT, MAX_PAGE};
use crate::sql::{Link, Row, Snapshot, params};
use crate::writer::Store;
use ciro_core::amount::Fri;
use ciro_core::id::JobId;
use ciro_core::time::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Intents in trouble that are shown together.
pub const MAX_TROUBLES: u32 = 20;

/// A transaction as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionListed {
    /// The store's key: the newest has the greatest.
    pub key: i64,
    /// Its hash.
    pub hash: [u8; 32],
    /// Where it is, in the words of the chain's table.
    pub state: String,
    /// The account that sends it.
    pub account: [u8; 32],
    /// Its nonce.
    pub nonce: u64,
    /// How many intents it carries, by kind.
    pub carries: BTreeMap<String, u64>,
    /// The most that it can cost.
    pub max_fee: Fri,
    /// How often it was sent.
    pub sends: u32,
    /// When it was sent last.
    pub sent_at: Option<Timestamp>,
    /// When it was signed.
    pub created_at: Timestamp,
    /// Where it landed.
    pub landing: Option<Landing>,
}

/// Which transactions are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionQuery {
    /// Only those before this key.
    pub before: Option<i64>,
    /// In one of these states; all where none is named.
    pub states: Vec<String>,
    /// About this job only.
    pub job: Option<JobId>,
    /// At most [`MAX_PAGE`] items.
    pub limit: u32,
}

/// A page of transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionPage {
    /// The items, the newest first.
    pub items: Vec<TransactionListed>,
    /// Before which key the next page begins, where there is one.
    pub next: Option<i64>,
}

/// An intent as people look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentListed {
    /// Two intents with the same are one.
    pub dedupe: String,
    /// What sort of thing it is.
    pub kind: String,
    /// The job that it is about, where that is still there.
    pub job: Option<JobId>,
    /// Where it is.
    pub state: IntentState,
    /// How often the chain would not have it.
    pub attempts: u32,
    /// Why, the last time.
    pub error: Option<String>,
}

impl Store {
    /// A page of the transactions that were signed, the newest first. A call looks at a bounded number of
    /// rows; a page may be shorter than asked and still have a successor.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_transactions(&self, query: TransactionQuery) -> Result<TransactionPage, Error> {
        self.read(move |c| c.snapshot(|c| page(c, &query))).await
    }

    /// A transaction by its hash, with what it carries in the order of its calls.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_transaction(
        &self,
        hash: [u8; 32],
    ) -> Result<Option<(TransactionListed, Vec<IntentListed>)>, Error> {
        self.read(move |c| {
            c.snapshot(|c| {
                let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE t.hash = ?1");
                let Some((mut found, nonce)) = c.row(&sql, [hash], from_row)? else { return Ok(None) };
                found.carries = carries(c, nonce)?;
                let sql = format!(
                    "SELECT {INTENT} FROM chain_links l JOIN chain_intents i ON i.key = l.intent {JOB}
                     WHERE l.nonce = ?1 ORDER BY l.place"
                );
                Ok(Some((found, c.rows(&sql, [nonce], intent_from_row)?)))
            })
        })
        .await
    }

    /// Intents that failed, and those that wait because the chain would not have them; the newest of either
    /// first, at most [`MAX_TROUBLES`] of each.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_troubles(&self) -> Result<Vec<IntentListed>, Error> {
        self.read(|c| {
            let mut found = Vec::new();
            for wanted in ["i.state = 3", "i.not_before IS NOT NULL AND i.error IS NOT NULL"] {
                let sql = format!(
                    "SELECT {INTENT} FROM chain_intents i {JOB} WHERE {wanted} ORDER BY i.key DESC LIMIT ?1"
                );
                found.extend(c.rows(&sql, [MAX_TROUBLES], intent_from_row)?);
            }
            Ok(found)
        })
        .await
    }
}

const TABLES: &str = "chain_transactions t JOIN chain_nonces n ON n.key = t.nonce";
const COLUMNS: &str = "t.key, t.hash, t.state, n.account, n.nonce, t.max_fee, t.sends, t.sent_at, t.created_at, \
                       t.block, t.block_hash, t.fee, t.reverted, t.nonce";
const JOB: &str = "LEFT JOIN jobs j ON j.key = i.job";
const INTENT: &str = "i.dedupe, i.kind, j.uid, i.state, i.attempts, i.error";

fn page(c: &Snapshot<'_>, query: &TransactionQuery) -> Result<TransactionPage, Error> {
    let (mut page, mut found, mut last) = (TransactionPage::default(), Vec::new(), None);
    let limit = query.limit.clamp(1, MAX_PAGE) as usize;
    let only = match query.job {
        None => "",
        Some(_) => {
            "AND EXISTS (SELECT 1 FROM chain_links l JOIN chain_intents i ON i.key = l.intent JOIN jobs j ON j.key = i.job
             WHERE l.nonce = t.nonce AND j.uid = ?2)"
        }
    };
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE t.key < ?1 {only} ORDER BY t.key DESC");
    let before = query.before.unwrap_or(i64::MAX);
    let job = query.job.map(|job| job.0.into_bytes());
    {
        let mut statement = c.prepare(&sql)?;
        let mut rows = match &job {
            None => statement.query([before])?,
            Some(job) => statement.query(params![before, job])?,
        };
        for looked_at in 0.. {
            let Some(row) = rows.next()? else { break };
            if looked_at == MAX_LOOKED_AT || found.len() == limit {
                page.next = last;
                break;
            }
            last = Some(row.get(0)?);
            let state: &str = row.get(2)?;
            if query.states.is_empty() || query.states.iter().any(|wanted| wanted == state) {
                found.push(from_row(&row)?);
            }
        }
    }
    for (mut transaction, nonce) in found {
        transaction.carries = carries(c, nonce)?;
        page.items.push(transaction);
    }
    Ok(page)
}

fn carries(c: &Link<'_>, nonce: i64) -> Result<BTreeMap<String, u64>, Error> {
    let sql = "SELECT i.kind, count(*) FROM chain_links l JOIN chain_intents i ON i.key = l.intent
               WHERE l.nonce = ?1 GROUP BY i.kind";
    Ok(c.rows(sql, [nonce], |r| Ok((r.get(0)?, r.get(1)?)))?.into_iter().collect())
}

/// A transaction, and the key of its nonce.
fn from_row(r: &Row<'_>) -> Result<(TransactionListed, i64), Error> {
    let listed = TransactionListed {
        key: r.get(0)?,
        hash: r.get(1)?,
        state: r.get(2)?,
        account: r.get(3)?,
        nonce: r.get(4)?,
        carries: BTreeMap::new(),
        max_fee: amount(r.get(5)?)?,
        sends: r.get(6)?,
        sent_at: r.get::<Option<i64>>(7)?.map(Timestamp),
        created_at: Timestamp(r.get(8)?),
        landing: landing(r, 9)?,
    };
    Ok((listed, r.get(13)?))
}

fn intent_from_row(r: &Row<'_>) -> Result<IntentListed, Error> {
    Ok(IntentListed {
        dedupe: r.get(0)?,
        kind: r.get(1)?,
        job: r.get::<Option<[u8; 16]>>(2)?.map(|id| JobId(Uuid::from_bytes(id))),
        state: IntentState::from_number(r.get(3)?)?,
        attempts: r.get(4)?,
        error: r.get(5)?,
    })
}
