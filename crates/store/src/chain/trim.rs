//! What is over for long on the chain is let go: nonces with their transactions, then intents that no
//! nonce names, then escrows that ended with their events, then events of no escrow. The newest nonce of an
//! account stays: what the next one is follows from it. An escrow stays as long as its job does.

use crate::error::Error;
use crate::retention::{MAX_PAGE_ROWS, RetentionPolicy};
use crate::writer::Store;
use ciro_core::time::Timestamp;

/// Lets one page go; how many rows of the kind that most went of.
///
/// # Errors
/// When the database cannot be read or written.
pub(crate) async fn trim(store: &Store, policy: RetentionPolicy, now: Timestamp) -> Result<u64, Error> {
    let before = now.0.saturating_sub_unsigned(policy.chain_age_ms);
    let old = "SELECT key FROM chain_nonces n WHERE created_at < ?1 AND ended_at < ?1
               AND nonce < (SELECT max(nonce) FROM chain_nonces m WHERE m.account = n.account) LIMIT ?2";
    let orphans = "SELECT key FROM chain_intents i WHERE ended_at < ?1
                   AND NOT EXISTS (SELECT 1 FROM chain_links l WHERE l.intent = i.key) LIMIT ?2";
    let page = (before, MAX_PAGE_ROWS);
    let followed = follow(store, before).await?;
    let (nonces, intents) = store
        .read(move |c| {
            let key = |sql| c.rows(sql, page, |r| r.get::<i64>(0));
            Ok((key(old)?, key(orphans)?))
        })
        .await?;
    if nonces.is_empty() && intents.is_empty() {
        return Ok(followed);
    }
    store
        .rare(move |c| {
            for key in &nonces {
                c.run("DELETE FROM chain_links WHERE nonce = ?1", [key])?;
                c.run("DELETE FROM chain_transactions WHERE nonce = ?1", [key])?;
                c.run("DELETE FROM chain_nonces WHERE key = ?1", [key])?;
            }
            for key in &intents {
                c.run("DELETE FROM chain_intents WHERE key = ?1", [key])?;
            }
            Ok(followed.max(nonces.len().max(intents.len()) as u64))
        })
        .await
}

/// One page of escrows that ended before `before`, ms, and of events of no escrow that is kept.
async fn follow(store: &Store, before: i64) -> Result<u64, Error> {
    let page = (before / 1_000, MAX_PAGE_ROWS);
    let ended = "SELECT x.id FROM chain_escrows x WHERE x.state >= 5 AND x.state_at < ?1
                 AND NOT EXISTS (SELECT 1 FROM escrows s WHERE s.escrow_id = x.id) LIMIT ?2";
    let loose = "SELECT e.key FROM chain_events e WHERE e.at < ?1
                 AND NOT EXISTS (SELECT 1 FROM chain_escrows x WHERE x.id = e.escrow) LIMIT ?2";
    let (ended, loose) = store
        .read(move |c| {
            let ended = c.rows(ended, page, |r| r.get::<[u8; 32]>(0))?;
            Ok((ended, c.rows(loose, page, |r| r.get::<i64>(0))?))
        })
        .await?;
    if ended.is_empty() && loose.is_empty() {
        return Ok(0);
    }
    store
        .rare(move |c| {
            for id in &ended {
                c.run("DELETE FROM chain_events WHERE escrow = ?1", [id])?;
                c.run("DELETE FROM chain_escrows WHERE id = ?1", [id])?;
            }
            for key in &loose {
                c.run("DELETE FROM chain_events WHERE key = ?1", [key])?;
            }
            Ok(ended.len().max(loose.len()) as u64)
        })
        .await
}
