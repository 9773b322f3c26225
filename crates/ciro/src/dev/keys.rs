//! The keys of a network on this machine. The database keeps only their hashes, so the
//! administrator's is kept beside it, readable by its owner alone.

use crate::again::idempotency_key;
use crate::clock;
use crate::error::Failure;
use crate::private;
use ciro_api::client::Client;
use ciro_api::key::{NewKey, Role};
use ciro_api::time::Time;
use ciro_core::time::Timestamp;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const ADMIN_KEY_FILE: &str = "admin_key";
/// Workers of this process need it for a moment only.
const JOIN_TOKEN_MS: i64 = 600_000;

/// The key that an earlier run kept.
pub(super) fn kept_admin_key(state: &Path) -> Option<String> {
    let key = std::fs::read_to_string(file(state)).ok()?;
    Some(key.trim().to_owned()).filter(|key| !key.is_empty())
}

/// Keeps the key for later runs.
///
/// # Errors
/// When the disk refuses.
pub(super) fn keep_admin_key(state: &Path, key: &str) -> Result<(), Failure> {
    private::write(&file(state), key.as_bytes())
}

/// A key that nobody can guess.
pub(super) fn fresh_admin_key() -> String {
    let part = || Uuid::now_v7().simple().to_string();
    format!("dev_{}{}{}", part(), part(), part())
}

fn file(state: &Path) -> PathBuf {
    state.join(ADMIN_KEY_FILE)
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
