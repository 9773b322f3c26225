//! Nonces that workers sign to prove their key: made without being stored, good once, for a
//! minute. A nonce is its own time and a random part, sealed with the installation's secret.

use ciro_core::time::Timestamp;
use moka::sync::Cache;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// How long a nonce is good for, ms.
pub const CHALLENGE_MS: u64 = 60_000;
/// Nonces that are remembered as used; more cannot be used in their lifetime.
pub const MAX_USED: u64 = 100_000;

const TIME: usize = 8;
const CHANCE: usize = 16;
const SEAL: usize = 16;

/// The nonces of one installation.
#[derive(Debug)]
pub struct Challenges {
    used: Cache<[u8; CHANCE], ()>,
}

impl Default for Challenges {
    fn default() -> Self {
        let used = Cache::builder()
            .max_capacity(MAX_USED)
            .time_to_live(Duration::from_millis(2 * CHALLENGE_MS))
            .build();
        Challenges { used }
    }
}

impl Challenges {
    /// Nonces that are remembered as used, about.
    #[must_use]
    pub fn remembered(&self) -> u64 {
        self.used.entry_count()
    }

    /// A nonce of `now`, in hex. `seal` is keyed with the installation's secret.
    #[must_use]
    pub fn mint(&self, now: Timestamp, chance: [u8; CHANCE], seal: impl Fn(&[u8]) -> blake3::Hash) -> String {
        let mut bytes = Vec::with_capacity(TIME + CHANCE + SEAL);
        bytes.extend_from_slice(&now.0.to_be_bytes());
        bytes.extend_from_slice(&chance);
        let mac = seal(&bytes);
        bytes.extend_from_slice(&mac.as_bytes()[..SEAL]);
        hex(&bytes)
    }

    /// The bytes of a nonce that was made here in the last minute and is shown for the first time.
    #[must_use]
    pub fn redeem(
        &self,
        nonce: &str,
        now: Timestamp,
        seal: impl Fn(&[u8]) -> blake3::Hash,
    ) -> Option<Vec<u8>> {
        let bytes = unhex(nonce).filter(|b| b.len() == TIME + CHANCE + SEAL)?;
        let (body, mac) = bytes.split_at(TIME + CHANCE);
        let ours: bool = seal(body).as_bytes()[..SEAL].ct_eq(mac).into();
        let made = Timestamp(i64::from_be_bytes(body[..TIME].try_into().ok()?));
        let fresh = now.since_ms(made) <= CHALLENGE_MS && made <= now.plus_ms(CHALLENGE_MS);
        if !(ours && fresh) {
            return None;
        }
        let chance: [u8; CHANCE] = body[TIME..].try_into().ok()?;
        let first = self.used.entry(chance).or_insert(()).is_fresh();
        first.then_some(bytes)
    }
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
    digits.map(char::from).collect()
}

/// The bytes of lower- or upper-case hex.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_once_for_a_minute_and_only_here() {
        let challenges = Challenges::default();
        let seal = |bytes: &[u8]| blake3::keyed_hash(&[7; 32], bytes);
        let now = Timestamp(1_000_000);
        let nonce = challenges.mint(now, [1; CHANCE], seal);
        let foreign = |bytes: &[u8]| blake3::keyed_hash(&[8; 32], bytes);
        assert!(challenges.redeem(&nonce, now, foreign).is_none());
        assert!(challenges.redeem(&nonce, now.plus_ms(CHALLENGE_MS + 1), seal).is_none());
        assert!(challenges.redeem(&nonce, now.plus_ms(CHALLENGE_MS), seal).is_some());
        assert!(challenges.redeem(&nonce, now, seal).is_none(), "used twice");
        assert!(challenges.redeem("zz", now, seal).is_none());
    }
}
