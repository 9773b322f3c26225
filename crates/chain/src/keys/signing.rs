//! A private key in memory: signs, never tells. ECDSA on the STARK curve with the deterministic
//! nonce of RFC 6979, as accounts of Starknet verify it. Not constant in time: whoever can measure
//! this process may learn something, so that it belongs on a machine of its own.

use super::KeyError;
use secrecy::{ExposeSecret, SecretBox};
use starknet_rust_core::crypto::ecdsa_sign;
use starknet_rust_core::types::Felt;
use starknet_rust_crypto::get_public_key;
use std::fmt;

/// The order of the STARK curve's generator.
const ORDER: Felt =
    Felt::from_hex_unchecked("0x800000000000010ffffffffffffffffb781126dcae7b2321e66a241adc64d2f");

/// A private key.
pub struct SigningKey {
    secret: SecretBox<[u8; 32]>,
    public: Felt,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:#x}, ***)", self.public)
    }
}

/// Two numbers that show that whoever has the key has seen a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// The first.
    pub r: Felt,
    /// The second.
    pub s: Felt,
}

impl SigningKey {
    /// A new key from the system's source of chance.
    ///
    /// # Errors
    /// When the system has none.
    pub fn random() -> Result<SigningKey, KeyError> {
        loop {
            let mut bytes = [0_u8; 32];
            getrandom::fill(&mut bytes).map_err(|error| KeyError::Sign(error.to_string()))?;
            // 251 bits: all of them are below the order, and nearly all that is below is reached.
            bytes[0] &= 0x07;
            if let Ok(key) = SigningKey::from_bytes(bytes) {
                return Ok(key);
            }
        }
    }

    /// The key with this number.
    ///
    /// # Errors
    /// When it is zero or not below the curve's order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<SigningKey, KeyError> {
        let secret = SecretBox::new(Box::new(bytes));
        let scalar = Felt::from_bytes_be(secret.expose_secret());
        // A number that is not below the field's prime comes back as another one.
        let same = scalar.to_bytes_be() == *secret.expose_secret();
        if !same || scalar == Felt::ZERO || scalar >= ORDER {
            return Err(KeyError::NotAKey);
        }
        Ok(SigningKey { secret, public: get_public_key(&scalar) })
    }

    /// The key that a text in hex says.
    ///
    /// # Errors
    /// When it is no number, or not one of a key.
    pub fn from_hex(text: &str) -> Result<SigningKey, KeyError> {
        let scalar = Felt::from_hex(text.trim()).map_err(|_| KeyError::NotAKey)?;
        SigningKey::from_bytes(scalar.to_bytes_be())
    }

    /// What others know it by.
    #[must_use]
    pub fn public(&self) -> Felt {
        self.public
    }

    /// Signs a hash.
    ///
    /// # Errors
    /// When the hash is beyond what can be signed.
    pub fn sign(&self, hash: Felt) -> Result<Signature, KeyError> {
        let scalar = Felt::from_bytes_be(self.secret.expose_secret());
        let signed = ecdsa_sign(&scalar, &hash).map_err(|error| KeyError::Sign(error.to_string()))?;
        Ok(Signature { r: signed.r, s: signed.s })
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        self.secret.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starknet_rust_core::crypto::{Signature as Checked, ecdsa_verify};

    #[test]
    fn a_key_signs_what_others_can_verify_and_does_not_tell() {
        let key = SigningKey::random().expect("chance");
        let hash = Felt::from(0x1234_u32);
        let Signature { r, s } = key.sign(hash).expect("a signature");
        assert!(ecdsa_verify(&key.public(), &hash, &Checked { r, s }).expect("in range"));
        assert_eq!(key.sign(hash).expect("again").r, r, "the same hash is signed the same way");
        let told: String = key.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!format!("{key:?}").contains(told.trim_start_matches('0')));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let order = format!("{ORDER:#x}");
        for text in [
            "0x0",
            "",
            "0xzz",
            order.as_str(),
            "0x800000000000011000000000000000000000000000000000000000000000001",
        ] {
            assert!(matches!(SigningKey::from_hex(text), Err(KeyError::NotAKey)), "{text}");
        }
        assert!(SigningKey::from_bytes([0xff; 32]).is_err());
        assert!(SigningKey::from_hex("0x1").is_ok());
    }
}
