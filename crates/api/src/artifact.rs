//! Artifacts on the wire: bytes named by their BLAKE3 hash.

use crate::time::Time;
use ciro_core::id::Hash;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An artifact to be uploaded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewArtifact {
    /// Bytes.
    pub size: u64,
    /// Their hash.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub blake3: Hash,
}

/// Where an artifact is, or where its bytes go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// Its name.
    #[schema(value_type = String)]
    pub blake3: Hash,
    /// Bytes.
    pub size: u64,
    /// Whether all bytes are there and verified.
    pub stored: bool,
    /// Bytes received so far: the next `Upload-Offset`.
    pub offset: u64,
    /// Where to send and fetch the bytes.
    pub url: String,
    /// Until when it is kept if nothing needs it; extended by any use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}
