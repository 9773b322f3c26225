//! Signatures of webhooks, as Standard Webhooks has them: `v1,` and the Base64 of the HMAC-SHA256 of
//! `id.timestamp.body` under the bytes behind `whsec_`. A message may carry several, separated by
//! spaces; one that is right is enough, so that a secret can be replaced without a break.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use std::fmt;
use std::str::FromStr;

/// The header with the id of a message; equal for every attempt.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the time of an attempt, seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// How far the timestamp may be from the receiver's clock, seconds: older ones are replays.
pub const TOLERANCE_S: u64 = 300;

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";
const MIN_BYTES: usize = 24;
const MAX_BYTES: usize = 64;

/// What a webhook's messages are signed with. Shown by nothing but its text.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    /// A secret of these bytes.
    #[must_use]
    pub fn of(bytes: [u8; 32]) -> WebhookSecret {
        WebhookSecret(bytes.to_vec())
    }

    /// The text that is shown once: `whsec_…`.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// The signature of a message: `v1,…`.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let tag = hmac::sign(&self.key(), &message(id, &timestamp_s.to_string(), body));
        format!("{VERSION}{}", STANDARD.encode(tag))
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a text is not a secret of webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret of webhooks is `whsec_` and the Base64 of 24 to 64 bytes")]
pub struct NotASecret;

impl FromStr for WebhookSecret {
    type Err = NotASecret;
    fn from_str(text: &str) -> Result<WebhookSecret, NotASecret> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(NotASecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| NotASecret)?;
        if (MIN_BYTES..=MAX_BYTES).contains(&bytes.len()) {
            Ok(WebhookSecret(bytes))
        } else {
            Err(NotASecret)
        }
    }
}

/// A message as its receiver has it.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The header `webhook-id`.
    pub id: &'a str,
    /// The header `webhook-timestamp`.
    pub timestamp: &'a str,
    /// The header `webhook-signature`.
    pub signatures: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// Why a message is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotBelieved {
    /// The timestamp is no number.
    #[error("webhook-timestamp is `{0}`, which is not a number of seconds")]
    Timestamp(String),
    /// The message is older or newer than is tolerated.
    #[error(
        "webhook-timestamp is {off_s} s from this clock, and {tolerance_s} s are tolerated: a replay, or a wrong clock"
    )]
    Time {
        /// How far it is away.
        off_s: u64,
        /// How far it may be.
        tolerance_s: u64,
    },
    /// There is no signature of a kind that is understood.
    #[error("webhook-signature holds no `v1,…` signature")]
    Unsigned,
    /// No signature fits: another secret, or something was changed.
    #[error(
        "no signature fits: the secret is another webhook's or an older one, or the body, its id or its time was changed on the way (a body that was parsed and written again is changed)"
    )]
    Wrong,
}

/// Checks a message against the secrets that a receiver has. `now_s` is its clock; no `tolerance_s`
/// takes any time.
///
/// # Errors
/// Why it is not to be believed.
pub fn verify(
    secrets: &[WebhookSecret],
    signed: Signed<'_>,
    now_s: i64,
    tolerance_s: Option<u64>,
) -> Result<(), NotBelieved> {
    let timestamp: i64 =
        signed.timestamp.trim().parse().map_err(|_| NotBelieved::Timestamp(signed.timestamp.to_owned()))?;
    let off_s = now_s.abs_diff(timestamp);
    if let Some(tolerance_s) = tolerance_s.filter(|tolerance_s| off_s > *tolerance_s) {
        return Err(NotBelieved::Time { off_s, tolerance_s });
    }
    let tags: Vec<_> =
        signed.signatures.split_whitespace().filter_map(|one| one.strip_prefix(VERSION)).collect();
    if tags.is_empty() {
        return Err(NotBelieved::Unsigned);
    }
    let message = message(signed.id.trim(), signed.timestamp.trim(), signed.body);
    let fits = |secret: &WebhookSecret| {
        let key = secret.key();
        tags.iter()
            .any(|tag| STANDARD.decode(tag).is_ok_and(|tag| hmac::verify(&key, &message, &tag).is_ok()))
    };
    if secrets.iter().any(fits) { Ok(()) } else { Err(NotBelieved::Wrong) }
}

fn message(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(id.len() + timestamp.len() + body.len() + 2);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b"."] {
        message.extend_from_slice(part);
    }
    message.extend_from_slice(body);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> WebhookSecret {
        WebhookSecret::of([byte; 32])
    }

    /// The tag was computed with OpenSSL, by the commands of docs/webhooks.md.
    #[test]
    fn a_signature_is_the_one_that_others_compute() {
        let secret: WebhookSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".parse().unwrap();
        assert_eq!(secret.reveal(), "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
        let signed = secret.sign("delivery_1", 1_700_000_000, br#"{"a":1}"#);
        assert_eq!(signed, "v1,aapvXEQPCafCH3fu8nms4N6P05FK/VWLlh0tfW+nbPU=");
        assert_eq!(format!("{secret:?}"), "***");
        for bad in ["", "whsec_", "whsec_AAAA", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "whsec_%%%"] {
            assert!(bad.parse::<WebhookSecret>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_changed_replayed_or_signed_by_another_is_not_believed() {
        let body = br#"{"type":"job.completed"}"#;
        let (old, new) = (secret(1), secret(2));
        let both = format!("{} {}", new.sign("delivery_1", 1_000, body), old.sign("delivery_1", 1_000, body));
        let signed = Signed { id: "delivery_1", timestamp: "1000", signatures: &both, body };
        for known in [&old, &new] {
            assert_eq!(verify(std::slice::from_ref(known), signed, 1_299, Some(TOLERANCE_S)), Ok(()));
        }
        let check = |signed, now_s| verify(std::slice::from_ref(&old), signed, now_s, Some(TOLERANCE_S));
        assert_eq!(check(signed, 1_301), Err(NotBelieved::Time { off_s: 301, tolerance_s: 300 }));
        assert_eq!(check(signed, 600), Err(NotBelieved::Time { off_s: 400, tolerance_s: 300 }));
        assert_eq!(verify(std::slice::from_ref(&old), signed, 0, None), Ok(()), "a message of the archive");
        assert_eq!(verify(&[secret(3)], signed, 1_000, None), Err(NotBelieved::Wrong));
        for changed in [
            Signed { id: "delivery_2", ..signed },
            Signed { timestamp: "1001", ..signed },
            Signed { body: br#"{"type":"job.failed"}"#, ..signed },
            Signed { signatures: &both[..both.len() - 8], ..signed },
        ] {
            assert_eq!(check(changed, 1_000), Err(NotBelieved::Wrong), "{changed:?}");
        }
        assert_eq!(check(Signed { signatures: "v1a,AAAA", ..signed }, 1_000), Err(NotBelieved::Unsigned));
        assert_eq!(check(Signed { signatures: "v1,AAAA v1,%", ..signed }, 1_000), Err(NotBelieved::Wrong));
        assert!(matches!(
            check(Signed { timestamp: "soon", ..signed }, 1_000),
            Err(NotBelieved::Timestamp(_))
        ));
    }
}
