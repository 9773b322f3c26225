//! API keys on the wire. A join token is a key whose only scope is `work:join`.

use crate::time::Time;
use ciro_core::id::{KeyId, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a key may do; each role is a bundle of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees jobs and workers of its tenant.
    Viewer,
    /// Submits jobs.
    Client,
    /// Sees and removes its workers, creates join tokens.
    Provider,
    /// Everything except keys.
    Operator,
    /// Everything.
    Admin,
    /// Lets a worker register, nothing else.
    Join,
}

/// A key to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// For people.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Past it the key is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Whose key: your own tenant's unless said, which only the operator may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
}

/// A key that was made; the secret is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// Its id.
    #[schema(value_type = String)]
    pub id: KeyId,
    /// The key itself: `ciro_<kid>_<secret>`.
    pub key: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Time,
}

impl std::fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedKey").field("id", &self.id).field("key", &"***").finish_non_exhaustive()
    }
}

/// How a key is replaced.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RotateKey {
    /// How long the old key goes on, ms, at most 30 days; 0 ends it at once.
    pub overlap_ms: u64,
}

impl Default for RotateKey {
    fn default() -> RotateKey {
        RotateKey { overlap_ms: 86_400_000 }
    }
}

/// The longest overlap of a key with the one that takes its place, ms.
pub const MAX_OVERLAP_MS: u64 = 30 * 86_400_000;

/// A key that takes the place of another one; the secret is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct RotatedKey {
    /// Its id.
    #[schema(value_type = String)]
    pub id: KeyId,
    /// The key itself: `ciro_<kid>_<secret>`.
    pub key: String,
    /// What it may do, as the old one.
    pub role: Role,
    /// When it was made.
    pub created_at: Time,
    /// The old key.
    #[schema(value_type = String)]
    pub replaces: KeyId,
    /// When the old key ends.
    pub old_ends_at: Time,
}

impl std::fmt::Debug for RotatedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RotatedKey").field("id", &self.id).field("key", &"***").finish_non_exhaustive()
    }
}

/// A key as lists show it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Its id.
    #[schema(value_type = String)]
    pub id: KeyId,
    /// For people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Time,
    /// Past it the key is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Time>,
    /// The key whose place it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub replaces: Option<KeyId>,
    /// When it was last used, to within some seconds; absent when it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Time>,
}
