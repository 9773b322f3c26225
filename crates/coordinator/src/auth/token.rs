//! The text of tokens: `ciro_<kid>_<secret>` for keys, `ciros_<secret>` for the sessions of workers.
//! `kid` finds the row of a key, the secret is 256 random bits in hex.
//! Only a keyed hash of the whole text is stored.

use ciro_core::id::KeyId;

const KEY_PREFIX: &str = "ciro_";
const SESSION_PREFIX: &str = "ciros_";
const SECRET_LEN: usize = 64;

/// The text of a new key.
#[must_use]
pub fn mint_key(id: KeyId, secret: [u8; 32]) -> String {
    let id = id.to_string();
    let kid = id.trim_start_matches(KeyId::PREFIX).trim_start_matches('_');
    format!("{KEY_PREFIX}{kid}_{}", blake3::Hash::from_bytes(secret).to_hex())
}

/// The text of a new session's token.
#[must_use]
pub fn mint_session(secret: [u8; 32]) -> String {
    format!("{SESSION_PREFIX}{}", blake3::Hash::from_bytes(secret).to_hex())
}

/// What a token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// An API key or join token.
    Key(KeyId),
    /// A worker's session.
    Session,
}

/// What `token` claims to speak for; `None` when it has not the shape of one.
pub(super) fn parse(token: &str) -> Option<Claim> {
    if let Some(secret) = token.strip_prefix(SESSION_PREFIX) {
        return is_secret(secret).then_some(Claim::Session);
    }
    let (kid, secret) = token.strip_prefix(KEY_PREFIX)?.split_once('_')?;
    let id = format!("{}_{kid}", KeyId::PREFIX).parse().ok()?;
    is_secret(secret).then_some(Claim::Key(id))
}

fn is_secret(text: &str) -> bool {
    text.len() == SECRET_LEN && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_what_they_speak_for_and_nothing_else_does() {
        let id = KeyId(uuid::Uuid::from_u128(0x0192_7a3b_4c5d_7e6f_8a9b_acbd_cedf_e0f1));
        let key = mint_key(id, [0xab; 32]);
        assert_eq!(parse(&key), Some(Claim::Key(id)), "{key}");
        assert_eq!(parse(&mint_session([7; 32])), Some(Claim::Session));
        for bad in [&key[1..], &key[..key.len() - 1], &key.to_uppercase(), "", "ciro__", "ciro_a_b", "ciros_"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
