//! Typed identifiers. Public ids are `TypeID` text (a prefix and 26 characters of Crockford
//! base 32 over a `UUIDv7`); the store's own integer keys never leave the process.
//! Task and attempt ids are derived from their job's id, so they cost no storage of their own.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 26;

/// Why a text is not the id that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The prefix is missing or names another kind of thing.
    #[error("expected an id that begins with `{expected}_`")]
    Prefix {
        /// The prefix that was expected.
        expected: &'static str,
    },
    /// The part behind the prefix is not 26 base-32 characters, or a number is malformed.
    #[error("not a well-formed `{expected}_…` id")]
    Malformed {
        /// The prefix that was expected.
        expected: &'static str,
    },
}

fn encode(id: Uuid, out: &mut String) {
    let bits = id.as_u128();
    for i in (0..TEXT_LEN).rev() {
        out.push(char::from(BASE32[((bits >> (i * 5)) & 31) as usize]));
    }
}

fn decode(text: &str) -> Option<Uuid> {
    if text.len() != TEXT_LEN {
        return None;
    }
    let mut bits: u128 = 0;
    for (i, c) in text.bytes().enumerate() {
        let digit = BASE32.iter().position(|b| *b == c)? as u128;
        if i == 0 && digit > 7 {
            return None; // 26 digits hold 130 bits; the first may only use 3
        }
        bits = (bits << 5) | digit;
    }
    Some(Uuid::from_u128(bits))
}

fn body_of<'t>(text: &'t str, prefix: &'static str) -> Result<&'t str, IdError> {
    text.strip_prefix(prefix).and_then(|t| t.strip_prefix('_')).ok_or(IdError::Prefix { expected: prefix })
}

macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// What the text form begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = String::with_capacity($prefix.len() + 1 + TEXT_LEN);
                text.push_str(concat!($prefix, "_"));
                encode(self.0, &mut text);
                f.write_str(&text)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let body = body_of(text, $prefix)?;
                decode(body).map($name).ok_or(IdError::Malformed { expected: $prefix })
            }
        }
        text_serde!($name);
    };
}

typed_id!(/** What is submitted and paid for. */ JobId, "job");
typed_id!(/** A running agent of a provider. */ WorkerId, "worker");
typed_id!(/** One proof of a worker's key, until the next. */ SessionId, "session");
typed_id!(/** An API key or join token (never the secret). */ KeyId, "key");
typed_id!(/** The unit of isolation, quota and fair share. */ TenantId, "tenant");
typed_id!(/** A bulk action on many jobs. */ BatchId, "batch");
typed_id!(/** A URL that is told what happens. */ WebhookId, "webhook");
typed_id!(/** One event on its way to one webhook; the `webhook-id` that its receiver sees. */ DeliveryId, "delivery");
typed_id!(/** A request, as logs and problems name it. */ RequestId, "req");
typed_id!(/** A deposit or a withdrawal: money that came from outside or went there. */ TransferId, "transfer");
typed_id!(/** A copy of the database and of what belongs to it. */ BackupId, "backup");

macro_rules! integer_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);
    };
}

integer_key!(/** The store's key of a job row. */ JobKey);
integer_key!(/** The store's key of a tenant row. */ TenantKey);
integer_key!(/** The store's key of a worker row. */ WorkerKey);
integer_key!(/** The store's key of a session row. */ SessionKey);
integer_key!(/** The store's key of an interned requirement. */ ClassKey);
integer_key!(/** The store's key of a signed list of receipts. */ ReceiptListKey);
integer_key!(/** The store's key of a webhook row. */ WebhookKey);
integer_key!(/** The store's key of a delivery row. */ DeliveryKey);
integer_key!(/** The store's key of a coordinator that writes to it. */ CoordinatorKey);

/// A task inside the store: its job's key and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// The job.
    pub job: JobKey,
    /// The task's number within the job, from 0.
    pub no: u32,
}

/// An attempt inside the store: fences are unique per task, so the fence names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// The task.
    pub task: TaskKey,
    /// The fence its grant took.
    pub fence: u32,
}

/// A task outside: `task_<job>_<no>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The job.
    pub job: JobId,
    /// The task's number within the job, from 0.
    pub no: u32,
}

/// An attempt outside: `attempt_<job>_<no>_<fence>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The task.
    pub task: TaskId,
    /// The fence its grant took.
    pub fence: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = String::with_capacity(TEXT_LEN);
        encode(self.job.0, &mut body);
        write!(f, "task_{body}_{}", self.no)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = String::with_capacity(TEXT_LEN);
        encode(self.task.job.0, &mut body);
        write!(f, "attempt_{body}_{}_{}", self.task.no, self.fence)
    }
}

/// Numbers in ids have one spelling: no sign, no leading zero.
fn number(text: &str) -> Option<u32> {
    let canonical = text == "0" || !text.starts_with(['0', '+']);
    if canonical { text.parse().ok() } else { None }
}

impl FromStr for TaskId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let malformed = IdError::Malformed { expected: "task" };
        let (job, no) = body_of(text, "task")?.split_once('_').ok_or_else(|| malformed.clone())?;
        match (decode(job), number(no)) {
            (Some(job), Some(no)) => Ok(TaskId { job: JobId(job), no }),
            _ => Err(malformed),
        }
    }
}

impl FromStr for AttemptId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let malformed = IdError::Malformed { expected: "attempt" };
        let mut parts = body_of(text, "attempt")?.split('_');
        let (job, no, fence) = (parts.next(), parts.next(), parts.next());
        match (job.and_then(decode), no.and_then(number), fence.and_then(number), parts.next()) {
            (Some(job), Some(no), Some(fence), None) => {
                Ok(AttemptId { task: TaskId { job: JobId(job), no }, fence })
            }
            _ => Err(malformed),
        }
    }
}

text_serde!(TaskId);
text_serde!(AttemptId);

/// A BLAKE3 hash: the name of an artifact, a module, a manifest, a spec. Text is 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let lower =
            text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let parsed = if lower { blake3::Hash::from_hex(text).ok() } else { None };
        parsed.map(|h| Hash(*h.as_bytes())).ok_or(IdError::Malformed { expected: "blake3 hex" })
    }
}

text_serde!(Hash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print_and_refuse_the_rest() {
        let job = JobId(Uuid::from_u128(0x0192_7a3b_4c5d_7e6f_8a9b_acbd_cedf_e0f1));
        let text = job.to_string();
        assert!(text.starts_with("job_") && text.len() == 30, "{text}");
        assert_eq!(text.parse(), Ok(job));
        let attempt = AttemptId { task: TaskId { job, no: 17 }, fence: 3 };
        assert_eq!(attempt.to_string().parse(), Ok(attempt));
        assert_eq!(attempt.task.to_string().parse(), Ok(attempt.task));
        for bad in ["", "job_", "worker_01", "job_zzzzzzzzzzzzzzzzzzzzzzzzzz", "job_0192"] {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
        for bad in
            [format!("{}_017_3", &text), format!("attempt_{}_1_2_3", &text[4..]), "attempt__1_2".into()]
        {
            assert!(bad.parse::<AttemptId>().is_err(), "{bad}");
        }
    }
}
