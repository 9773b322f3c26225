//! Jobs that are to be compared with the chain: what both sides say of them, and what came of it. A row of
//! `escrows` is due when its `look_at` has come; whoever changed one of the sides has set it.
//!
//! Invariant: what is to be asked of the chain becomes a row together with the word that it was looked
//! at, and only while nobody changed either side since (`wakes`).

use super::block::{self, ChainCursor};
use super::intent::{self, NewIntent};
use super::standing;
use crate::error::Error;
use crate::escrow::{escrow_columns, escrow_from_row};
use crate::rows::{JOB_COLUMNS, JOB_WIDTH, job_from_row};
use crate::sql::{Link, Row, params};
use crate::writer::Store;
use ciro_core::id::{Hash, JobKey};
use ciro_core::job::Job;
use ciro_core::money::ChainEscrow;
use ciro_core::money::decide::{Ask, Sent, SentState};
use ciro_core::time::Timestamp;

/// Columns that [`escrow_columns`] has.
const ESCROW_WIDTH: usize = 9;
/// Of the intents of one job, the newest so many are looked at.
const MAX_SENT: u32 = 64;

/// A job beside its escrow.
#[derive(Debug, Clone)]
pub struct EscrowLook {
    /// The job.
    pub job: Job,
    /// The hash of its spec.
    pub spec_hash: Hash,
    /// How often one of the sides changed.
    pub wakes: i64,
    /// What the chain says; `None` where it has no such escrow.
    pub chain: Option<ChainEscrow>,
    /// Why its money did not move at the last look.
    pub trouble: Option<String>,
    /// What was asked of the chain about it, the newest first.
    pub sent: Vec<SentIntent>,
}

impl EscrowLook {
    /// Whether the chain was asked to assign the deposit, and has not refused it for good.
    #[must_use]
    pub fn is_promised(&self) -> bool {
        let failed = |sent: &SentIntent| matches!(sent.sent.state, SentState::Failed { .. });
        self.sent.iter().any(|sent| sent.kind == Ask::Assign.kind() && !failed(sent))
    }
}

/// Jobs whose money the chain has not shared out yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenEscrows {
    /// All of them.
    pub open: u64,
    /// Those whose money does not move until somebody does something.
    pub troubled: u64,
}

/// Something that was asked of the chain about a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentIntent {
    /// What sort of thing it is.
    pub kind: String,
    /// Which one, and where it is.
    pub sent: Sent,
    /// Why the chain would not have it, the last time.
    pub error: Option<String>,
}

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The job.
    pub job: JobKey,
    /// How often one of the sides had changed.
    pub wakes: i64,
    /// When it is looked at again.
    pub look_at: Option<Timestamp>,
    /// Why its money does not move, for people.
    pub trouble: Option<String>,
    /// What is asked of the chain.
    pub intent: Option<NewIntent>,
}

impl Store {
    /// Jobs that are to be compared with the chain by `now`, the longest overdue first, and how far the
    /// chain was followed.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn escrows_due(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<(Option<ChainCursor>, Vec<EscrowLook>), Error> {
        self.read(move |c| {
            c.snapshot(|c| {
                let sql = format!(
                    "SELECT {JOB_COLUMNS}, {}, e.wakes, s.hash, e.trouble FROM escrows e JOIN jobs ON jobs.key = e.job
                     JOIN job_specs s ON s.job = e.job WHERE e.look_at IS NOT NULL AND e.look_at <= ?1
                     ORDER BY e.look_at, e.job LIMIT ?2",
                    escrow_columns!()
                );
                let mut due = c.rows(&sql, (now.0, limit), look_from_row)?;
                for look in &mut due {
                    let deposit = look.job.escrow.as_ref().and_then(|escrow| escrow.deposit);
                    look.chain = match deposit {
                        Some(deposit) => standing::get(c, deposit.id)?,
                        None => None,
                    };
                    look.sent = sent(c, look.job.key)?;
                }
                Ok((block::cursor(c)?, due))
            })
        })
        .await
    }

    /// Writes down what came of looks, with what is asked of the chain; jobs of which one side changed
    /// meanwhile are left as they are. How many intents are new.
    ///
    /// # Errors
    /// [`Error::Limit`] when too many intents wait.
    pub async fn escrows_looked(&self, looked: Vec<Looked>) -> Result<usize, Error> {
        self.rare(move |c| {
            let mut new = 0;
            for Looked { job, wakes, look_at, trouble, intent } in &looked {
                let sql = "UPDATE escrows SET look_at = ?3, trouble = ?4 WHERE job = ?1 AND wakes = ?2";
                let still = c.run(sql, params![job.0, wakes, look_at.map(|at| at.0), trouble])? > 0;
                if let (true, Some(intent)) = (still, intent) {
                    new += usize::from(intent::add(c, intent)?);
                }
            }
            Ok(new)
        })
        .await
    }

    /// Has all of them compared with the chain now, whenever that was due.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn escrows_look_now(&self, now: Timestamp) -> Result<(), Error> {
        self.rare(move |c| c.run("UPDATE escrows SET look_at = ?1 WHERE look_at > ?1", [now.0]).map(drop))
            .await
    }

    /// Jobs whose money the chain has not shared out yet, at a glance.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn escrows_open(&self) -> Result<OpenEscrows, Error> {
        self.read(|c| {
            let sql = "SELECT count(*), count(trouble) FROM escrows WHERE look_at IS NOT NULL";
            let found = c.row(sql, (), |r| Ok(OpenEscrows { open: r.get(0)?, troubled: r.get(1)? }))?;
            Ok(found.unwrap_or_default())
        })
        .await
    }

    /// What the chain says of a job's escrow, and why its money does not move.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn escrow_seen(&self, job: JobKey) -> Result<(Option<ChainEscrow>, Option<String>), Error> {
        self.read(move |c| {
            let sql = "SELECT escrow_id, trouble FROM escrows WHERE job = ?1";
            let found = c.row(sql, [job.0], |r| Ok((r.get::<Option<[u8; 32]>>(0)?, r.get(1)?)))?;
            let (id, trouble) = found.unwrap_or_default();
            let chain = id.map(|id| standing::get(c, id)).transpose()?.flatten();
            Ok((chain, trouble))
        })
        .await
    }
}

fn look_from_row(r: &Row<'_>) -> Result<EscrowLook, Error> {
    let job = Job { escrow: Some(Box::new(escrow_from_row(r, JOB_WIDTH)?)), ..job_from_row(r)? };
    Ok(EscrowLook {
        job,
        wakes: r.get(JOB_WIDTH + ESCROW_WIDTH)?,
        spec_hash: Hash(r.get(JOB_WIDTH + ESCROW_WIDTH + 1)?),
        trouble: r.get(JOB_WIDTH + ESCROW_WIDTH + 2)?,
        chain: None,
        sent: Vec::new(),
    })
}

fn sent(c: &Link<'_>, job: JobKey) -> Result<Vec<SentIntent>, Error> {
    let sql = "SELECT i.kind, i.dedupe, i.state, i.ended_at, i.error,
                 (SELECT max(t.block) FROM chain_links l JOIN chain_transactions t ON t.nonce = l.nonce
                  WHERE l.intent = i.key)
               FROM chain_intents i WHERE i.job = ?1 ORDER BY i.key DESC LIMIT ?2";
    c.rows(sql, params![job.0, MAX_SENT], |r| {
        let dedupe: String = r.get(1)?;
        let generation = dedupe.rsplit(':').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let at = Timestamp(r.get::<Option<i64>>(3)?.unwrap_or(0));
        let state = match r.get::<i64>(2)? {
            2 => SentState::Done { block: r.get::<Option<u64>>(5)?.unwrap_or(0), at },
            3 => SentState::Failed { at },
            _ => SentState::UnderWay,
        };
        Ok(SentIntent { kind: r.get(0)?, sent: Sent { generation, state }, error: r.get(4)? })
    })
}
