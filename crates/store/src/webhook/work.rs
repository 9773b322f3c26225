//! The work of webhooks: the reader copies events into deliveries, a page and its own place in the
//! log in one write; the sender takes what is due and writes down how it went.
//!
//! Invariant: an event behind the reader's place either has its deliveries, or lies in a gap that its
//! webhook will be told of. Nothing else is remembered, so a crash loses nothing and copies nothing
//! twice.

use super::{COLUMNS, Webhook, from_row};
use crate::error::Error;
use crate::sql::{Link, params};
use crate::webhook::DeliveryAttempt;
use crate::writer::Store;
use ciro_core::id::{DeliveryId, DeliveryKey, JobKey, WebhookKey};
use ciro_core::time::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Attempts that a delivery remembers.
const MAX_HISTORY: usize = 16;
/// Webhooks that wait at once and are looked at in one turn of the sender.
const MAX_WAITING: u32 = 10_000;

/// Events that a webhook wanted and was not sent one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Position of the first.
    pub first: i64,
    /// Position of the last.
    pub last: i64,
    /// How many there were; 0 where nobody can say, because they are no longer kept.
    pub events: i64,
}

impl Gap {
    /// Both gaps as one.
    #[must_use]
    pub fn joined(earlier: Option<Gap>, later: Gap) -> Gap {
        earlier.map_or(later, |gap| Gap {
            first: gap.first,
            last: later.last,
            events: gap.events + later.events,
        })
    }
}

/// A delivery to be made.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Minted at the edge.
    pub id: DeliveryId,
    /// To whom.
    pub webhook: WebhookKey,
    /// Of which event; a gap has none.
    pub position: Option<i64>,
    /// Type of the event.
    pub type_: String,
    /// What is sent.
    pub body: String,
}

/// One page of the log, as the reader took it.
#[derive(Debug, Clone, Default)]
pub struct ReadPage {
    /// The reader's place behind it.
    pub position: i64,
    /// In the order in which they are to be sent.
    pub deliveries: Vec<NewDelivery>,
    /// What each webhook's gap is from now on, where it changed.
    pub gaps: Vec<(WebhookKey, Option<Gap>)>,
}

/// What webhooks may ask of a job.
#[derive(Debug, Clone)]
pub struct LoggedJob {
    /// Its kind.
    pub kind: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A webhook that something waits for.
#[derive(Debug, Clone)]
pub struct WaitingWebhook {
    /// The webhook.
    pub webhook: Webhook,
    /// When the first delivery is due.
    pub due_at: Timestamp,
}

/// A delivery whose time has come.
#[derive(Debug, Clone)]
pub struct DueDelivery {
    /// The store's key.
    pub key: DeliveryKey,
    /// The public id.
    pub id: DeliveryId,
    /// What is sent.
    pub body: String,
    /// Attempts so far.
    pub attempts: u32,
}

/// How an attempt went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Of which delivery.
    pub delivery: DeliveryKey,
    /// To which webhook.
    pub webhook: WebhookKey,
    /// The attempt itself.
    pub attempt: DeliveryAttempt,
    /// Whether the receiver has it.
    pub delivered: bool,
    /// When it is tried again; `None` ends it.
    pub next_at: Option<Timestamp>,
    /// When that was.
    pub now: Timestamp,
}

/// What waits, over all webhooks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries to webhooks that are enabled.
    pub pending: u64,
    /// When the oldest of them was made.
    pub oldest: Option<Timestamp>,
}

impl Store {
    /// The webhooks that are told something, of all tenants, and the reader's place.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn webhooks_read(&self) -> Result<(Vec<Webhook>, i64), Error> {
        self.read(|c| {
            let sql = format!("SELECT {COLUMNS} FROM webhooks w WHERE w.enabled = 1 ORDER BY w.key");
            Ok((c.rows(&sql, (), from_row)?, reader_position(c)?))
        })
        .await
    }

    /// How many deliveries wait for each of `webhooks`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn webhooks_pending(
        &self,
        webhooks: Vec<WebhookKey>,
    ) -> Result<BTreeMap<WebhookKey, u64>, Error> {
        self.read(move |c| webhooks.iter().map(|key| Ok((*key, pending(c, *key)?))).collect()).await
    }

    /// What webhooks may ask of these jobs; those that were archived are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn webhooks_jobs(&self, jobs: Vec<JobKey>) -> Result<BTreeMap<JobKey, LoggedJob>, Error> {
        self.read(move |c| {
            let sql = "SELECT kind, labels FROM jobs WHERE key = ?1";
            let mut found = BTreeMap::new();
            for key in jobs {
                let job = c.row(sql, [key.0], |r| {
                    let labels = r.get::<Option<&str>>(1)?.unwrap_or("{}");
                    let labels = serde_json::from_str(labels)
                        .map_err(|error| Error::Malformed { table: "jobs", what: error.to_string() })?;
                    Ok(LoggedJob { kind: r.get(0)?, labels })
                })?;
                found.extend(job.map(|job| (key, job)));
            }
            Ok(found)
        })
        .await
    }

    /// Writes what the reader took of a page, and its place behind it. A page that was written
    /// before changes nothing; what a webhook is not told any more is left out.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn webhooks_copy(&self, page: ReadPage, now: Timestamp) -> Result<(), Error> {
        self.rare(move |c| {
            if page.position < reader_position(c)? {
                return Ok(());
            }
            for (key, gap) in &page.gaps {
                let sql = "UPDATE webhooks SET gap_first = ?2, gap_last = ?3, gap_events = ?4 WHERE key = ?1 AND enabled = 1";
                let (first, last, events) = (gap.map(|g| g.first), gap.map(|g| g.last), gap.map(|g| g.events));
                c.run(sql, params![key.0, first, last, events])?;
            }
            for new in &page.deliveries {
                let told = "SELECT 1 FROM webhooks WHERE key = ?1 AND enabled = 1 AND (CAST(?2 AS BIGINT) IS NULL OR since_position < ?2)";
                if c.exists(told, (new.webhook.0, new.position))? {
                    insert(c, new.webhook, new.id, new.position, &new.type_, &new.body, now)?;
                }
            }
            c.run("UPDATE webhook_reader SET position = ?1", [page.position])?;
            Ok(())
        })
        .await
    }

    /// Webhooks that something waits for, with when it is due.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn webhooks_waiting(&self) -> Result<Vec<WaitingWebhook>, Error> {
        self.read(|c| {
            let sql = format!(
                "SELECT * FROM (SELECT {COLUMNS}, (SELECT min(d.next_at) FROM webhook_deliveries d
                                                  WHERE d.webhook = w.key AND d.next_at IS NOT NULL) AS due
                                FROM webhooks w WHERE w.enabled = 1) AS waiting
                 WHERE due IS NOT NULL LIMIT {MAX_WAITING}"
            );
            c.rows(&sql, (), |r| Ok(WaitingWebhook { webhook: from_row(r)?, due_at: Timestamp(r.get(18)?) }))
        })
        .await
    }

    /// The deliveries of a webhook whose time has come, the longest due first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn deliveries_due(
        &self,
        webhook: WebhookKey,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueDelivery>, Error> {
        self.read(move |c| {
            let sql = "SELECT key, uid, body, attempts FROM webhook_deliveries
                       WHERE webhook = ?1 AND next_at IS NOT NULL AND next_at <= ?2 ORDER BY next_at, created_at, key LIMIT ?3";
            c.rows(sql, (webhook.0, now.0, limit), |r| {
                Ok(DueDelivery {
                    key: DeliveryKey(r.get(0)?),
                    id: DeliveryId(Uuid::from_bytes(r.get(1)?)),
                    body: r.get(2)?,
                    attempts: r.get(3)?,
                })
            })
        })
        .await
    }

    /// Writes down how attempts went.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn deliveries_noted(&self, outcomes: Vec<Outcome>) -> Result<(), Error> {
        self.rare(move |c| outcomes.iter().try_for_each(|outcome| note(c, outcome))).await
    }

    /// What waits, over all webhooks that are enabled.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn webhooks_backlog(&self) -> Result<Backlog, Error> {
        self.read(|c| {
            let sql = "SELECT count(*), min(d.created_at) FROM webhooks w CROSS JOIN webhook_deliveries d
                       WHERE d.webhook = w.key AND d.next_at IS NOT NULL AND w.enabled = 1";
            let found = c.row(sql, (), |r| {
                Ok(Backlog { pending: r.get(0)?, oldest: r.get::<Option<i64>>(1)?.map(Timestamp) })
            })?;
            Ok(found.unwrap_or_default())
        })
        .await
    }
}

/// The reader's place while anybody is told anything: events behind it are still needed.
pub(crate) fn needed_behind(c: &Link<'_>) -> Result<Option<i64>, Error> {
    let any = c.exists("SELECT 1 FROM webhooks WHERE enabled = 1", ())?;
    if any { reader_position(c).map(Some) } else { Ok(None) }
}

fn reader_position(c: &Link<'_>) -> Result<i64, Error> {
    c.value("SELECT position FROM webhook_reader", ())
}

pub(super) fn pending(c: &Link<'_>, webhook: WebhookKey) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM webhook_deliveries WHERE webhook = ?1 AND next_at IS NOT NULL";
    c.value(sql, [webhook.0])
}

pub(super) fn insert(
    c: &Link<'_>,
    webhook: WebhookKey,
    id: DeliveryId,
    position: Option<i64>,
    type_: &str,
    body: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let sql = "INSERT INTO webhook_deliveries
               (uid, webhook, position, type, body, state, attempts, next_at, created_at, touched_at, history)
               VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, ?6, ?6, ?6, '[]')
               ON CONFLICT (webhook, position) WHERE position IS NOT NULL DO NOTHING";
    c.run(sql, params![id.0.as_bytes(), webhook.0, position, type_, body, now.0])?;
    Ok(())
}

fn note(c: &Link<'_>, outcome: &Outcome) -> Result<(), Error> {
    let sql = "SELECT history FROM webhook_deliveries WHERE key = ?1 AND next_at IS NOT NULL";
    let Some(history) = c.row(sql, [outcome.delivery.0], |r| r.get::<String>(0))? else {
        // Its webhook was deleted meanwhile.
        return Ok(());
    };
    let state = if outcome.next_at.is_some() {
        0
    } else if outcome.delivered {
        1
    } else {
        2
    };
    let ended_at = outcome.next_at.is_none().then_some(outcome.now.0);
    let sql = "UPDATE webhook_deliveries SET state = ?2, attempts = attempts + 1, next_at = ?3, touched_at = ?4, ended_at = ?5,
               status = ?6, error = ?7, history = ?8 WHERE key = ?1";
    c.run(
        sql,
        params![
            outcome.delivery.0,
            state,
            outcome.next_at.map(|at| at.0),
            outcome.now.0,
            ended_at,
            outcome.attempt.status,
            outcome.attempt.error,
            longer(&history, &outcome.attempt)?,
        ],
    )?;
    note_webhook(c, outcome)
}

fn note_webhook(c: &Link<'_>, outcome: &Outcome) -> Result<(), Error> {
    let key = outcome.webhook.0;
    if outcome.delivered {
        c.run(
            "UPDATE webhooks SET failing_since = NULL WHERE key = ?1 AND failing_since IS NOT NULL",
            [key],
        )?;
    } else {
        let sql = "UPDATE webhooks SET failing_since = ?2 WHERE key = ?1 AND failing_since IS NULL";
        c.run(sql, (key, outcome.attempt.at.0))?;
    }
    Ok(())
}

fn longer(history: &str, attempt: &DeliveryAttempt) -> Result<String, Error> {
    let malformed =
        |error: serde_json::Error| Error::Malformed { table: "webhook_deliveries", what: error.to_string() };
    let mut attempts: Vec<DeliveryAttempt> = serde_json::from_str(history).map_err(malformed)?;
    attempts.push(attempt.clone());
    let surplus = attempts.len().saturating_sub(MAX_HISTORY);
    serde_json::to_string(&attempts[surplus..]).map_err(malformed)
}
