//! What is over for long on the chain is let go: nonces with their transactions, then intents that no
//! nonce names. The newest nonce of an account stays: what the next one is follows from it.

use crate::error::Error;
use crate::retention::{MAX_PAGE_ROWS, RetentionPolicy};
use crate::writer::Store;
use ciro_core::time::Timestamp;

/// Lets one page go; how many nonces and intents went.
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
    let (nonces, intents) = store
        .read(move |c| {
            let key = |sql| c.rows(sql, page, |r| r.get::<i64>(0));
            Ok((key(old)?, key(orphans)?))
        })
        .await?;
    if nonces.is_empty() && intents.is_empty() {
        return Ok(0);
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
            Ok(nonces.len().max(intents.len()) as u64)
        })
        .await
}
