//! Deliveries as their tenant sees them: lists, one with its attempts, a test, and another try.

use super::{of_tenant, work};
use crate::account::{Created, remember, replayed};
use crate::error::Error;
use crate::read::MAX_PAGE;
use crate::request::Idempotency;
use crate::sql::{Link, Row};
use crate::writer::Store;
use ciro_core::id::{DeliveryId, DeliveryKey, TenantKey, WebhookId, WebhookKey};
use ciro_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DeliveryState {
    /// It waits for an attempt.
    Pending = 0,
    /// The receiver has it.
    Delivered = 1,
    /// It was given up.
    Failed = 2,
}

/// One message to one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The store's key.
    pub key: DeliveryKey,
    /// The public id.
    pub id: DeliveryId,
    /// The event's place in the log.
    pub position: Option<i64>,
    /// Type of the event.
    pub type_: String,
    /// How far it is.
    pub state: DeliveryState,
    /// Attempts since it was made or last asked for.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was delivered or given up.
    pub ended_at: Option<Timestamp>,
    /// HTTP status of the last attempt.
    pub status: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// A delivery with what was sent and what came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryDetail {
    /// How it stands.
    pub delivery: Delivery,
    /// The body of every attempt.
    pub body: String,
    /// The last attempts, the newest last.
    pub history: Vec<DeliveryAttempt>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryAttempt {
    /// When it began.
    #[serde(rename = "t")]
    pub at: Timestamp,
    /// How long it took, ms.
    #[serde(rename = "d")]
    pub duration_ms: u64,
    /// HTTP status.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The beginning of the answer's body.
    #[serde(rename = "r", default, skip_serializing_if = "String::is_empty")]
    pub reply: String,
}

/// A message that is about nothing.
#[derive(Debug, Clone)]
pub struct TestDelivery {
    /// Minted at the edge.
    pub id: DeliveryId,
    /// Its type.
    pub type_: &'static str,
    /// What is sent.
    pub body: String,
}

const COLUMNS: &str =
    "d.key, d.uid, d.position, d.type, d.state, d.attempts, d.next_at, d.created_at, d.ended_at,
    d.status, d.error";

impl Store {
    /// Deliveries of a webhook, the newest first, below `before`, in one of `states`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn delivery_list(
        &self,
        webhook: WebhookKey,
        states: Vec<DeliveryState>,
        before: Option<DeliveryKey>,
        limit: u32,
    ) -> Result<Vec<Delivery>, Error> {
        self.read(move |c| {
            let wanted: Vec<String> = states.iter().map(|state| (*state as u8).to_string()).collect();
            if wanted.is_empty() {
                return Ok(Vec::new());
            }
            let sql = format!(
                "SELECT {COLUMNS} FROM webhook_deliveries d
                 WHERE d.webhook = ?1 AND d.key < ?2 AND d.state IN ({}) ORDER BY d.key DESC LIMIT ?3",
                wanted.join(", ")
            );
            let before = before.map_or(i64::MAX, |key| key.0);
            c.rows(&sql, (webhook.0, before, limit.clamp(1, MAX_PAGE)), from_delivery_row)
        })
        .await
    }

    /// A delivery of a webhook, with what was sent and what came back.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn delivery_get(
        &self,
        webhook: WebhookKey,
        id: DeliveryId,
    ) -> Result<Option<DeliveryDetail>, Error> {
        self.read(move |c| {
            let sql = format!(
                "SELECT {COLUMNS}, d.body, d.history FROM webhook_deliveries d WHERE d.uid = ?1 AND d.webhook = ?2"
            );
            c.row(&sql, (id.0.as_bytes(), webhook.0), |r| {
                let history = serde_json::from_str(r.get(12)?).map_err(|error| {
                    Error::Malformed { table: "webhook_deliveries", what: error.to_string() }
                })?;
                Ok(DeliveryDetail { delivery: from_delivery_row(r)?, body: r.get(11)?, history })
            })
        })
        .await
    }

    /// Adds a test message to what waits for a webhook; a repeated call makes no second one.
    ///
    /// # Errors
    /// [`Error::NotFound`] when this tenant has no such webhook or it is disabled, [`Error::Limit`]
    /// when `most` deliveries of it wait already, [`Error::IdempotencyMismatch`].
    pub async fn delivery_test(
        &self,
        tenant: TenantKey,
        webhook: WebhookId,
        test: TestDelivery,
        most: u64,
        idempotency: Option<Idempotency>,
        now: Timestamp,
    ) -> Result<Created<DeliveryId>, Error> {
        self.rare(move |c| {
            if let Some(ids) = replayed(c, tenant, idempotency, now)? {
                let second = ids.get(1).copied().ok_or(Error::NotFound)?;
                return Ok(Created::Replayed(DeliveryId(second)));
            }
            let key = enabled_of_tenant(c, tenant, webhook)?;
            let pending = work::pending(c, key)?;
            if pending >= most {
                return Err(Error::Limit { what: "what waits for this webhook", limit: most });
            }
            work::insert(c, key, test.id, None, test.type_, &test.body, now)?;
            remember(c, tenant, idempotency, &[webhook.0, test.id.0], now)?;
            Ok(Created::New(test.id))
        })
        .await
    }

    /// Has a delivery tried again at once, whatever became of it, from the beginning of the schedule.
    ///
    /// # Errors
    /// [`Error::NotFound`] when this tenant has no such webhook, it is disabled, or it has no such
    /// delivery.
    pub async fn delivery_again(
        &self,
        tenant: TenantKey,
        webhook: WebhookId,
        id: DeliveryId,
        now: Timestamp,
    ) -> Result<Delivery, Error> {
        self.rare(move |c| {
            let key = enabled_of_tenant(c, tenant, webhook)?;
            let sql = "UPDATE webhook_deliveries SET state = 0, attempts = 0, next_at = ?3, touched_at = ?3, ended_at = NULL
                       WHERE uid = ?1 AND webhook = ?2";
            if c.run(sql, (id.0.as_bytes(), key.0, now.0))? == 0 {
                return Err(Error::NotFound);
            }
            let sql = format!("SELECT {COLUMNS} FROM webhook_deliveries d WHERE d.uid = ?1");
            c.row(&sql, [id.0.as_bytes()], from_delivery_row)?.ok_or(Error::NotFound)
        })
        .await
    }
}

fn enabled_of_tenant(c: &Link<'_>, tenant: TenantKey, id: WebhookId) -> Result<WebhookKey, Error> {
    let found = of_tenant(c, tenant, id)?.filter(|webhook| webhook.disabled.is_none());
    found.map(|webhook| webhook.key).ok_or(Error::NotFound)
}

fn from_delivery_row(r: &Row<'_>) -> Result<Delivery, Error> {
    let state = match r.get::<i64>(4)? {
        0 => DeliveryState::Pending,
        1 => DeliveryState::Delivered,
        _ => DeliveryState::Failed,
    };
    Ok(Delivery {
        key: DeliveryKey(r.get(0)?),
        id: DeliveryId(Uuid::from_bytes(r.get(1)?)),
        position: r.get(2)?,
        type_: r.get(3)?,
        state,
        attempts: r.get(5)?,
        next_at: r.get::<Option<i64>>(6)?.map(Timestamp),
        created_at: Timestamp(r.get(7)?),
        ended_at: r.get::<Option<i64>>(8)?.map(Timestamp),
        status: r.get(9)?,
        error: r.get(10)?,
    })
}
