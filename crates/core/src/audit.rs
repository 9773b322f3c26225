//! The chain of the audit log: each row names the hash of the row before it, so that a row cannot be
//! changed, left out or put in without every later hash changing too. One chain for each tenant.
//!
//! The hash of a row is the BLAKE3 of its canonical text: the JSON array (as RFC 8785 renders it) of
//! `"ciro-audit-1"`, tenant, position, time in ms, actor, role, address, request id, action, object,
//! before, after, and the hash of the row before in hex; what is absent is `null`, before and after
//! stand as the JSON texts that they are. The first row of a tenant follows 32 zero bytes.

use crate::id::{Hash, TenantId};
use crate::time::Timestamp;

/// The first word of every canonical text.
const FORMAT: &str = "ciro-audit-1";

/// What the first row of a tenant follows.
pub const GENESIS: Hash = Hash([0; 32]);

/// One row: who did what to which thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Whose log it stands in.
    pub tenant: TenantId,
    /// From 1, without gaps.
    pub position: u64,
    /// When.
    pub at: Timestamp,
    /// The id of a key or worker, `configured`, `system` or `console`.
    pub actor: String,
    /// The role that allowed it.
    pub role: String,
    /// From which address.
    pub address: Option<String>,
    /// By which request.
    pub request_id: Option<String>,
    /// What was done, dotted: `worker.drain`.
    pub action: String,
    /// To what.
    pub object: String,
    /// What was so before, as JSON.
    pub before: Option<String>,
    /// What is so since, as JSON.
    pub after: Option<String>,
    /// Hash of the row before.
    pub previous: Hash,
    /// Hash of this row, as it is kept.
    pub hash: Hash,
}

impl AuditRow {
    /// The hash that the row must have.
    ///
    /// # Errors
    /// Never for text; what the JSON writer says.
    pub fn digest(&self) -> Result<Hash, serde_json::Error> {
        let text = serde_json::to_vec(&(
            FORMAT,
            self.tenant,
            self.position,
            self.at.0,
            &self.actor,
            &self.role,
            &self.address,
            &self.request_id,
            &self.action,
            &self.object,
            &self.before,
            &self.after,
            self.previous,
        ))?;
        Ok(Hash::of(&text))
    }

    /// Whether the row has the hash that it must have.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.digest().is_ok_and(|digest| digest == self.hash)
    }

    /// Whether the row comes right behind the one with this position and hash.
    #[must_use]
    pub fn follows(&self, position: u64, hash: Hash) -> bool {
        self.position == position + 1 && self.previous == hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_text_is_what_the_documentation_says() {
        let mut row = AuditRow {
            tenant: TenantId(uuid::Uuid::from_u128(1)),
            position: 2,
            at: Timestamp(3),
            actor: "system".into(),
            role: String::new(),
            address: None,
            request_id: Some("r\u{7f}\n".into()),
            action: "worker.drain".into(),
            object: "worker_1".into(),
            before: Some(r#"{"state":"online"}"#.into()),
            after: None,
            previous: GENESIS,
            hash: GENESIS,
        };
        let text = format!(
            r#"["ciro-audit-1","tenant_00000000000000000000000001",2,3,"system","",null,"r{}\n","worker.drain","worker_1","{{\"state\":\"online\"}}",null,"{}"]"#,
            '\u{7f}',
            "0".repeat(64),
        );
        row.hash = Hash::of(text.as_bytes());
        assert!(row.is_intact() && row.follows(1, GENESIS) && !row.follows(0, GENESIS));
        row.role.push('x');
        assert!(!row.is_intact());
    }
}
