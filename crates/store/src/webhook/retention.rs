//! Deliveries that have served their time, page by page: old ones, the oldest beyond what a webhook
//! may keep, all those of webhooks that are gone, and at last those webhooks themselves.

use crate::error::Error;
use crate::retention::{MAX_PAGE_ROWS, RetentionPolicy};
use crate::sql::{Link, Row};
use crate::writer::Store;
use ciro_core::time::Timestamp;

/// A webhook that was deleted is remembered for so long, because repeated calls may name it, ms.
const DELETED_MS: u64 = 2 * crate::account::IDEMPOTENCY_MS;

/// Lets one page of deliveries go; how many went.
///
/// # Errors
/// When the database cannot be read or written.
pub(crate) async fn trim(store: &Store, policy: RetentionPolicy, now: Timestamp) -> Result<u64, Error> {
    let due = store.read(move |c| due(c, &policy, now)).await?;
    if due.is_empty() {
        return Ok(0);
    }
    store
        .rare(move |c| {
            for step in &due {
                match step {
                    Due::Delivery(key) => c.run("DELETE FROM webhook_deliveries WHERE key = ?1", [key])?,
                    Due::Webhook(key) => c.run("DELETE FROM webhooks WHERE key = ?1", [key])?,
                };
            }
            Ok(due.len() as u64)
        })
        .await
}

/// What goes.
#[derive(Debug)]
enum Due {
    Delivery(i64),
    Webhook(i64),
}

fn due(c: &Link<'_>, policy: &RetentionPolicy, now: Timestamp) -> Result<Vec<Due>, Error> {
    let old = now.0.saturating_sub_unsigned(policy.delivery_age_ms);
    let most = u64::from(MAX_PAGE_ROWS);
    let key = |r: &Row<'_>| r.get::<i64>(0);
    let mut keys = c.rows("SELECT key FROM webhook_deliveries WHERE ended_at IS NOT NULL AND ended_at < ?1 ORDER BY ended_at LIMIT ?2",
        (old, most),
        key,
    )?;
    for webhook in c.rows("SELECT key FROM webhooks ORDER BY key", (), key)? {
        let room = most.saturating_sub(keys.len() as u64);
        if room == 0 {
            break;
        }
        keys.extend(due_of(c, webhook, policy.max_deliveries, old, room)?);
    }
    keys.sort_unstable();
    keys.dedup();
    let mut due: Vec<Due> = keys.into_iter().map(Due::Delivery).collect();
    if due.is_empty() {
        let sql = "SELECT key FROM webhooks w WHERE deleted_at < ?1
                   AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook = w.key) LIMIT ?2";
        let long_ago = now.0.saturating_sub_unsigned(DELETED_MS);
        due = c.rows(sql, (long_ago, most), key)?.into_iter().map(Due::Webhook).collect();
    }
    Ok(due)
}

/// Deliveries of one webhook: beyond the newest `max` ended ones; pending ones that are old and whose
/// webhook is disabled; all, where it was deleted.
fn due_of(c: &Link<'_>, webhook: i64, max: u64, old: i64, room: u64) -> Result<Vec<i64>, Error> {
    let newest = "SELECT key FROM webhook_deliveries WHERE webhook = ?1 AND ended_at IS NOT NULL
                  ORDER BY key DESC LIMIT 1 OFFSET ?2";
    let surplus = c.row(newest, (webhook, max), |r| r.get::<i64>(0))?.unwrap_or(0);
    let sql = "SELECT d.key FROM webhook_deliveries d JOIN webhooks w ON w.key = d.webhook
               WHERE d.webhook = ?1 AND (w.deleted_at IS NOT NULL OR (d.ended_at IS NOT NULL AND d.key <= ?2)
                                         OR (w.enabled = 0 AND d.ended_at IS NULL AND d.touched_at < ?3))
               ORDER BY d.key LIMIT ?4";
    c.rows(sql, (webhook, surplus, old, room), |r| r.get(0))
}
