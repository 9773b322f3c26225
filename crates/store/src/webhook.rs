//! Webhooks: the rows that say who is told what. Their secrets are derived by the shell from the
//! installation's own and are not here; a row has only the number of the present one.
//! What is on its way to them: `delivery` as its tenant sees it, `work` as reader and sender do.

mod delivery;
mod retention;
mod work;

pub use delivery::{Delivery, DeliveryAttempt, DeliveryDetail, DeliveryState, TestDelivery};
pub(crate) use retention::trim;
pub(crate) use work::needed_behind;
pub use work::{Backlog, DueDelivery, Gap, LoggedJob, NewDelivery, Outcome, ReadPage, WaitingWebhook};

use crate::account::{Created, remember, replayed};
use crate::audit::Noted;
use crate::error::Error;
use crate::read::MAX_PAGE;
use crate::request::Idempotency;
use crate::sql::{Link, Row, params};
use crate::writer::Store;
use ciro_core::id::{TenantKey, WebhookId, WebhookKey};
use ciro_core::time::Timestamp;
use ciro_core::webhook::Wants;
use uuid::Uuid;

/// A webhook to be made.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Minted at the edge.
    pub id: WebhookId,
    /// Whose it is.
    pub tenant: TenantKey,
    /// Where its deliveries go.
    pub url: String,
    /// For people.
    pub name: String,
    /// Which events it wants.
    pub wants: Wants,
    /// Deliveries on their way at once.
    pub concurrency: u32,
    /// When it is made.
    pub now: Timestamp,
}

/// What is changed of a webhook; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct WebhookUpdate {
    /// Where its deliveries go.
    pub url: Option<String>,
    /// For people.
    pub name: Option<String>,
    /// Which events it wants.
    pub wants: Option<Wants>,
    /// Deliveries on their way at once.
    pub concurrency: Option<u32>,
    /// Whether it is told anything.
    pub enabled: Option<bool>,
}

/// Why a webhook is told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Disabled {
    /// Its tenant asked for it.
    Asked = 1,
    /// Its receiver said that it is gone.
    Gone = 2,
    /// It failed for too long.
    Failing = 3,
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The store's key.
    pub key: WebhookKey,
    /// The public id.
    pub id: WebhookId,
    /// Whose it is.
    pub tenant: TenantKey,
    /// Where its deliveries go.
    pub url: String,
    /// For people.
    pub name: String,
    /// Which events it wants.
    pub wants: Wants,
    /// Deliveries on their way at once.
    pub concurrency: u32,
    /// Number of the present secret.
    pub generation: u32,
    /// Until then the secret before it signs as well.
    pub previous_until: Option<Timestamp>,
    /// Why and since when it is told nothing.
    pub disabled: Option<(Disabled, Timestamp)>,
    /// Since when every attempt failed.
    pub failing_since: Option<Timestamp>,
    /// Events behind this position concern it.
    pub since_position: i64,
    /// Events that were not copied, until it is told so.
    pub gap: Option<Gap>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Webhook {
    /// What the audit log says of it.
    fn told(&self) -> serde_json::Value {
        serde_json::json!({
            "url": self.url, "name": self.name, "wants": self.wants, "concurrency": self.concurrency,
            "enabled": self.disabled.is_none(),
        })
    }
}

const COLUMNS: &str = "w.key, w.uid, w.tenant, w.url, w.name, w.wants, w.concurrency, w.generation, w.previous_until,
    w.disabled_reason, w.disabled_at, w.failing_since, w.since_position, w.gap_first, w.gap_last, w.gap_events,
    w.created_at, w.updated_at";

impl Store {
    /// Makes a webhook, at most `most` of a tenant; an identical call within 24 h gets the id of the
    /// first.
    ///
    /// # Errors
    /// [`Error::Limit`] when the tenant has too many, [`Error::IdempotencyMismatch`] when the
    /// idempotency key was used for something else.
    pub async fn webhook_create(
        &self,
        new: NewWebhook,
        most: u64,
        idempotency: Option<Idempotency>,
    ) -> Result<Created<WebhookId>, Error> {
        let wants = wants_text(&new.wants)?;
        self.rare(move |c| {
            if let Some(ids) = replayed(c, new.tenant, idempotency, new.now)? {
                let first = ids.first().copied().ok_or(Error::NotFound)?;
                c.note(Noted::Unchanged);
                return Ok(Created::Replayed(WebhookId(first)));
            }
            let held = "SELECT count(*) FROM webhooks WHERE tenant = ?1 AND deleted_at IS NULL";
            let held: u64 = c.value(held, [new.tenant.0])?;
            if held >= most {
                return Err(Error::Limit { what: "the tenant's webhooks", limit: most });
            }
            begin_reading(c)?;
            let sql = format!(
                "INSERT INTO webhooks (uid, tenant, url, name, wants, concurrency, enabled, since_position, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, {LAST_POSITION}, ?7, ?7)"
            );
            c.run(&sql, params![
                new.id.0.as_bytes(),
                new.tenant.0,
                new.url,
                new.name,
                wants,
                new.concurrency,
                new.now.0,
            ])?;
            remember(c, new.tenant, idempotency, &[new.id.0], new.now)?;
            Ok(Created::New(new.id))
        })
        .await
    }

    /// This tenant's webhooks with what is pending of each, oldest first, beyond `after`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn webhook_list(
        &self,
        tenant: TenantKey,
        after: Option<WebhookKey>,
        limit: u32,
    ) -> Result<Vec<(Webhook, u64)>, Error> {
        self.read(move |c| {
            let sql = format!(
                "SELECT {COLUMNS}, {PENDING} FROM webhooks w
                 WHERE w.tenant = ?1 AND w.key > ?2 AND w.deleted_at IS NULL ORDER BY w.key LIMIT ?3"
            );
            let after = after.map_or(0, |key| key.0);
            c.rows(&sql, (tenant.0, after, limit.clamp(1, MAX_PAGE)), with_pending)
        })
        .await
    }

    /// A webhook of this tenant with what is pending of it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn webhook_get(
        &self,
        tenant: TenantKey,
        id: WebhookId,
    ) -> Result<Option<(Webhook, u64)>, Error> {
        self.read(move |c| {
            let sql = format!("SELECT {COLUMNS}, {PENDING} FROM webhooks w WHERE {OF_TENANT}");
            c.row(&sql, (id.0.as_bytes(), tenant.0), with_pending)
        })
        .await
    }

    /// Changes a webhook. One that is enabled again begins with what happens from now on.
    ///
    /// # Errors
    /// [`Error::NotFound`] when this tenant has no such webhook.
    pub async fn webhook_update(
        &self,
        tenant: TenantKey,
        id: WebhookId,
        update: WebhookUpdate,
        now: Timestamp,
    ) -> Result<(), Error> {
        let wants = update.wants.as_ref().map(wants_text).transpose()?;
        self.rare(move |c| {
            let found = of_tenant(c, tenant, id)?.ok_or(Error::NotFound)?;
            let sql = "UPDATE webhooks SET url = coalesce(?2, url), name = coalesce(?3, name),
                       wants = coalesce(?4, wants), concurrency = coalesce(?5, concurrency), updated_at = ?6
                       WHERE key = ?1";
            c.run(sql, params![found.key.0, update.url, update.name, wants, update.concurrency, now.0])?;
            match (update.enabled, &found.disabled) {
                (Some(false), None) => disable(c, found.key, Disabled::Asked, now)?,
                (Some(true), Some(_)) => enable(c, found.key)?,
                _ => {}
            }
            let changed = of_tenant(c, tenant, id)?.ok_or(Error::NotFound)?;
            let (before, after) = (found.told(), changed.told());
            c.note(if before == after {
                Noted::Unchanged
            } else {
                Noted::Changed { before: Some(before), after: Some(after) }
            });
            Ok(())
        })
        .await
    }

    /// Takes a webhook away with what waits for it; the rows go with the next retention.
    ///
    /// # Errors
    /// [`Error::NotFound`] when this tenant has no such webhook.
    pub async fn webhook_delete(
        &self,
        tenant: TenantKey,
        id: WebhookId,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.rare(move |c| {
            let found = of_tenant(c, tenant, id)?.ok_or(Error::NotFound)?;
            if found.disabled.is_none() {
                disable(c, found.key, Disabled::Asked, now)?;
            }
            let sql = "UPDATE webhooks SET deleted_at = ?2, updated_at = ?2 WHERE key = ?1";
            c.run(sql, (found.key.0, now.0))?;
            c.note(Noted::Changed { before: Some(found.told()), after: None });
            Ok(())
        })
        .await
    }

    /// Tells a webhook nothing any more, because of its receiver. One that was found to fail since
    /// `failing_since` and answered meanwhile is left alone.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn webhook_disable(
        &self,
        key: WebhookKey,
        why: Disabled,
        failing_since: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.rare(move |c| {
            let sql =
                "SELECT 1 FROM webhooks WHERE key = ?1 AND enabled = 1 AND (?2 <> 3 OR failing_since = ?3)";
            if c.exists(sql, (key.0, why as u8, failing_since.0))? {
                disable(c, key, why, now)
            } else {
                c.note(Noted::Unchanged);
                Ok(())
            }
        })
        .await
    }

    /// Moves on to another secret; the one before signs as well until `previous_until`. `rotation`
    /// names this act for a repeated call. Gives the number of the new secret.
    ///
    /// # Errors
    /// [`Error::NotFound`] when this tenant has no such webhook, [`Error::IdempotencyMismatch`].
    pub async fn webhook_rotate(
        &self,
        tenant: TenantKey,
        id: WebhookId,
        rotation: Uuid,
        previous_until: Timestamp,
        idempotency: Option<Idempotency>,
        now: Timestamp,
    ) -> Result<Created<u32>, Error> {
        self.rare(move |c| {
            let found = of_tenant(c, tenant, id)?.ok_or(Error::NotFound)?;
            if replayed(c, tenant, idempotency, now)?.is_some() {
                c.note(Noted::Unchanged);
                return Ok(Created::Replayed(found.generation));
            }
            let sql = "UPDATE webhooks SET generation = generation + 1, previous_until = ?2, updated_at = ?3 WHERE key = ?1";
            c.run(sql, (found.key.0, previous_until.0, now.0))?;
            remember(c, tenant, idempotency, &[id.0, rotation], now)?;
            Ok(Created::New(found.generation + 1))
        })
        .await
    }
}

/// Condition of the webhook with the public id ?1 of the tenant ?2.
const OF_TENANT: &str = "w.uid = ?1 AND w.tenant = ?2 AND w.deleted_at IS NULL";
const PENDING: &str =
    "(SELECT count(*) FROM webhook_deliveries d WHERE d.webhook = w.key AND d.next_at IS NOT NULL)";
const LAST_POSITION: &str = "(SELECT coalesce(max(position), 0) FROM events)";

fn of_tenant(c: &Link<'_>, tenant: TenantKey, id: WebhookId) -> Result<Option<Webhook>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM webhooks w WHERE {OF_TENANT}");
    c.row(&sql, (id.0.as_bytes(), tenant.0), from_row)
}

/// While nobody is told anything nothing is read: the first to be told begins at the end of the log.
fn begin_reading(c: &Link<'_>) -> Result<(), Error> {
    let sql = format!(
        "UPDATE webhook_reader SET position = {LAST_POSITION}
         WHERE NOT EXISTS (SELECT 1 FROM webhooks WHERE enabled = 1)"
    );
    c.run(&sql, ())?;
    Ok(())
}

fn enable(c: &Link<'_>, key: WebhookKey) -> Result<(), Error> {
    begin_reading(c)?;
    let sql = format!(
        "UPDATE webhooks SET enabled = 1, disabled_reason = NULL, disabled_at = NULL, failing_since = NULL,
         gap_first = NULL, gap_last = NULL, gap_events = NULL, since_position = {LAST_POSITION} WHERE key = ?1"
    );
    c.run(&sql, [key.0])?;
    Ok(())
}

fn disable(c: &Link<'_>, key: WebhookKey, why: Disabled, now: Timestamp) -> Result<(), Error> {
    let sql = "UPDATE webhooks SET enabled = 0, disabled_reason = ?2, disabled_at = ?3 WHERE key = ?1 AND enabled = 1";
    c.run(sql, (key.0, why as u8, now.0))?;
    Ok(())
}

fn wants_text(wants: &Wants) -> Result<String, Error> {
    serde_json::to_string(wants).map_err(malformed)
}

fn malformed(error: serde_json::Error) -> Error {
    Error::Malformed { table: "webhooks", what: error.to_string() }
}

fn with_pending(r: &Row<'_>) -> Result<(Webhook, u64), Error> {
    Ok((from_row(r)?, r.get(18)?))
}

fn from_row(r: &Row<'_>) -> Result<Webhook, Error> {
    let disabled = match (r.get::<Option<i64>>(9)?, r.get::<Option<i64>>(10)?) {
        (Some(why), Some(at)) => {
            let why =
                [Disabled::Asked, Disabled::Gone, Disabled::Failing].into_iter().find(|w| *w as i64 == why);
            Some((why.unwrap_or(Disabled::Asked), Timestamp(at)))
        }
        _ => None,
    };
    let gap = match (r.get(13)?, r.get(14)?, r.get(15)?) {
        (Some(first), Some(last), Some(events)) => Some(Gap { first, last, events }),
        _ => None,
    };
    Ok(Webhook {
        key: WebhookKey(r.get(0)?),
        id: WebhookId(Uuid::from_bytes(r.get(1)?)),
        tenant: TenantKey(r.get(2)?),
        url: r.get(3)?,
        name: r.get(4)?,
        wants: serde_json::from_str(r.get(5)?).map_err(malformed)?,
        concurrency: r.get(6)?,
        generation: r.get(7)?,
        previous_until: r.get::<Option<i64>>(8)?.map(Timestamp),
        disabled,
        failing_since: r.get::<Option<i64>>(11)?.map(Timestamp),
        since_position: r.get(12)?,
        gap,
        created_at: Timestamp(r.get(16)?),
        updated_at: Timestamp(r.get(17)?),
    })
}
