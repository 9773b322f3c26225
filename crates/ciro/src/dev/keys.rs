//! The keys of a network on this machine. The administrator's is in a file beside the database, readable
//! by its owner alone, and a setting of each start.

use crate::again::idempotency_key;
use crate::clock;
use crate::error::Failure;
use crate::private;
use ciro_api::client::Client;
use ciro_api::key::{NewKey, Role};
use ciro_api::time::Time;
use ciro_core::time::Timestamp;
use std::path::Path;
use uuid::Uuid;

const ADMIN_KEY_FILE: &str = "admin_key";
/// Workers of this process need it for a moment only.
const JOIN_TOKEN_MS: i64 = 600_000;

/// The key that an earlier run kept; where there is none, one that nobody can guess, which is kept for
/// later runs.
///
/// # Errors
/// When the disk refuses.
pub(super) fn own_admin_key(state: &Path) -> Result<String, Failure> {
    kept(&state.join(ADMIN_KEY_FILE))
}

/// The secret that a file keeps; where there is none, one that nobody can guess, which it keeps from now on.
///
/// # Errors
/// When the disk refuses.
pub(super) fn kept(file: &Path) -> Result<String, Failure> {
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    if !kept.trim().is_empty() {
        return Ok(kept.trim().to_owned());
    }
    let part = || Uuid::now_v7().simple().to_string();
    let fresh = format!("dev_{}{}{}", part(), part(), part());
    private::write(file, fresh.as_bytes())?;
    Ok(fresh)
}

/// A token for workers that are not known yet.
///
/// # Errors
/// The server's problem, or why it could not be asked.
pub(super) async fn join_token(client: &Client) -> Result<String, Failure> {
    let expires_at = Time(Timestamp(clock::now().0 + JOIN_TOKEN_MS));
    let new = NewKey {
        name: "workers of ciro dev".into(),
        role: Role::Join,
        expires_at: Some(expires_at),
        tenant: None,
    };
    Ok(client.key_create(&new, Some(&idempotency_key())).await?.key)
}
