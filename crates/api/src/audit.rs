//! The audit log on the wire, and the check of its chain, which needs no server: `core::audit` says how
//! a row is hashed, and a row here holds everything that its hash is over.

use crate::time::Time;
use ciro_core::audit::{AuditRow, GENESIS};
use ciro_core::id::{Hash, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Faults that a check tells one by one; the rest is counted.
const MAX_FAULTS: usize = 100;

/// One row of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Whose log it stands in.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// From 1, without gaps.
    pub position: u64,
    /// When.
    pub at: Time,
    /// The id of a key or worker, `configured` (the key of the configuration), `system`, or `console`
    /// (a command on the coordinator's machine).
    pub actor: String,
    /// The role that allowed it.
    pub role: String,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// By which request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What was done, dotted.
    #[schema(example = "worker.drain")]
    pub action: String,
    /// The id of what it was done to.
    pub object: String,
    /// What was so before; a value that was too long is its length and BLAKE3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub before: Option<serde_json::Value>,
    /// What is so since; a value that was too long is its length and BLAKE3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub after: Option<serde_json::Value>,
    /// Hash of the row before; 64 zeros before the first.
    #[schema(value_type = String)]
    pub previous: Hash,
    /// Hash of this row.
    #[schema(value_type = String)]
    pub hash: Hash,
}

/// Where an audit log ends, and where what is kept of it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditHead {
    /// Whose log.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// Position of the last row, 0 where there is none.
    pub position: u64,
    /// Its hash: keep it elsewhere, and no earlier row can be changed unseen.
    #[schema(value_type = String)]
    pub hash: Hash,
    /// Position of the last row that was let go, 0 where all are kept.
    pub cut: u64,
    /// Its hash.
    #[schema(value_type = String)]
    pub cut_hash: Hash,
}

impl From<AuditRow> for AuditRecord {
    fn from(row: AuditRow) -> AuditRecord {
        // A text that is no JSON was not written by the log: shown as it is, it does not verify.
        let value = |text: String| serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
        AuditRecord {
            tenant: row.tenant,
            position: row.position,
            at: row.at.into(),
            actor: row.actor,
            role: row.role,
            address: row.address,
            request_id: row.request_id,
            action: row.action,
            object: row.object,
            before: row.before.map(value),
            after: row.after.map(value),
            previous: row.previous,
            hash: row.hash,
        }
    }
}

impl From<&AuditRecord> for AuditRow {
    fn from(record: &AuditRecord) -> AuditRow {
        AuditRow {
            tenant: record.tenant,
            position: record.position,
            at: record.at.0,
            actor: record.actor.clone(),
            role: record.role.clone(),
            address: record.address.clone(),
            request_id: record.request_id.clone(),
            action: record.action.clone(),
            object: record.object.clone(),
            before: record.before.as_ref().map(ToString::to_string),
            after: record.after.as_ref().map(ToString::to_string),
            previous: record.previous,
            hash: record.hash,
        }
    }
}

/// What a check of a log came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ChainVerdict {
    /// Whether nothing was found.
    pub valid: bool,
    /// Rows that were looked at.
    pub rows: u64,
    /// Position of the oldest of them.
    pub first: u64,
    /// Position of the newest.
    pub last: u64,
    /// Hash of the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Hash>,
    /// What is wrong, at most 100 lines.
    pub faults: Vec<String>,
    /// All that is wrong.
    pub faulty: u64,
}

/// Follows a log from its newest row to its oldest, as `GET /v1/audit` lists it.
#[derive(Debug, Default)]
pub struct ChainCheck {
    verdict: ChainVerdict,
    /// The row that was seen last: the one that follows the next.
    newer: Option<AuditRow>,
}

impl ChainCheck {
    /// Looks at the next older row.
    pub fn see(&mut self, record: &AuditRecord) {
        let row = AuditRow::from(record);
        if !row.is_intact() {
            self.fault(format!("position {}: the row is not what was written", row.position));
        }
        match self.newer.take() {
            Some(newer) if newer.tenant != row.tenant => {
                self.fault(format!("position {}: the row is of another log", row.position));
            }
            Some(newer) if !newer.follows(row.position, row.hash) => {
                let (at, is) = (newer.position, row.position);
                self.fault(format!("position {at}: the row before it, {is}, is not the one that it names"));
            }
            Some(_) => {}
            None => {
                self.verdict.last = row.position;
                self.verdict.head = Some(row.hash);
            }
        }
        self.verdict.rows += 1;
        self.verdict.first = row.position;
        self.newer = Some(row);
    }

    /// The verdict, once every row was seen. A `head` that is known from elsewhere must be the newest
    /// row's, and the oldest row must follow what was cut.
    #[must_use]
    pub fn finish(mut self, head: Option<&AuditHead>) -> ChainVerdict {
        let (cut, cut_hash) = head.map_or((0, GENESIS), |head| (head.cut, head.cut_hash));
        if let Some(oldest) = self.newer.take()
            && (head.is_some() || oldest.position == 1)
            && !oldest.follows(cut, cut_hash)
        {
            let at = oldest.position;
            self.fault(format!("position {at}: the oldest row does not follow position {cut}"));
        }
        if let Some(head) = head
            && (self.verdict.last, self.verdict.head.unwrap_or(GENESIS)) != (head.position, head.hash)
        {
            let last = self.verdict.last;
            self.fault(format!("the log ends at position {last}, its head is {}", head.position));
        }
        self.verdict.valid = self.verdict.faulty == 0;
        self.verdict
    }

    fn fault(&mut self, words: String) {
        self.verdict.faulty += 1;
        if self.verdict.faults.len() < MAX_FAULTS {
            self.verdict.faults.push(words);
        }
    }
}
