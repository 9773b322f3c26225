//! Encrypted keys in files: Web3 Secret Storage, version 3, with scrypt, as `starkli` and other tools
//! write and read them. The key is encrypted with AES-128-CTR under the first half of what scrypt
//! makes of the passphrase; Keccak-256 over the second half and the ciphertext tells whether the
//! passphrase is right.
//! <https://ethereum.org/en/developers/docs/data-structures-and-encoding/web3-secret-storage/>

use super::KeyError;
use super::signing::SigningKey;
use aes::cipher::{KeyIvInit, StreamCipher};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha3::{Digest, Keccak256};
use std::fmt::Write;
use subtle::ConstantTimeEq;

/// The fewest characters of a passphrase for a new keystore.
pub const SHORTEST_PASSPHRASE: usize = 16;
/// The work of a new keystore: 2^17 rounds over 128 MiB.
const LOG_N: u8 = 17;
const BLOCK_SIZE: u32 = 8;
/// The most memory that a keystore of others may make scrypt take, bytes.
const MOST_MEMORY: u64 = 512 << 20;
const KEY_LENGTH: usize = 32;

type Cipher = ctr::Ctr128BE<aes::Aes128>;

/// A keystore as it lies in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keystore {
    crypto: Crypto,
    /// Its own id, for people.
    id: String,
    version: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    kdf: String,
    kdfparams: KdfParams,
    mac: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KdfParams {
    dklen: u32,
    n: u64,
    p: u32,
    r: u32,
    salt: String,
}

impl Keystore {
    /// Encrypts a key; its iv, salt and id come from the system's source of chance.
    ///
    /// # Errors
    /// When the passphrase is shorter than [`SHORTEST_PASSPHRASE`], or there is no chance.
    pub fn encrypt(key: &SigningKey, passphrase: &SecretString) -> Result<Keystore, KeyError> {
        if passphrase.expose_secret().chars().count() < SHORTEST_PASSPHRASE {
            return Err(KeyError::ShortPassphrase);
        }
        let (iv, salt, id) = (chance::<16>()?, chance::<32>()?, chance::<16>()?);
        let params = KdfParams { dklen: 32, n: 1 << LOG_N, p: 1, r: BLOCK_SIZE, salt: hex(&salt) };
        let derived = derive(&params, passphrase)?;
        let mut text = Zeroizing::new(*key.bytes());
        cipher(&derived, &iv)?.apply_keystream(text.as_mut_slice());
        let crypto = Crypto {
            cipher: "aes-128-ctr".into(),
            cipherparams: CipherParams { iv: hex(&iv) },
            ciphertext: hex(text.as_slice()),
            kdf: "scrypt".into(),
            kdfparams: params,
            mac: hex(&mac(&derived, text.as_slice())),
        };
        Ok(Keystore { crypto, id: uuid_text(id), version: 3 })
    }

    /// Reads a keystore.
    ///
    /// # Errors
    /// When it is not one, or of a kind that is not read here.
    pub fn parse(text: &str) -> Result<Keystore, KeyError> {
        let store: Keystore = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        let crypto = &store.crypto;
        match (store.version, crypto.cipher.as_str(), crypto.kdf.as_str()) {
            (3, "aes-128-ctr", "scrypt") => Ok(store),
            (3, "aes-128-ctr", other) => {
                Err(malformed(format!("its key derivation is {other}, and scrypt is needed")))
            }
            (3, other, _) => Err(malformed(format!("its cipher is {other}, and aes-128-ctr is needed"))),
            (other, ..) => Err(malformed(format!("its version is {other}, and 3 is needed"))),
        }
    }

    /// Its text, for the file.
    ///
    /// # Errors
    /// Never in practice.
    pub fn text(&self) -> Result<String, KeyError> {
        serde_json::to_string_pretty(self).map_err(|error| malformed(error.to_string()))
    }

    /// Decrypts the key.
    ///
    /// # Errors
    /// When the passphrase is not the right one, or what is inside is no key.
    pub fn decrypt(&self, passphrase: &SecretString) -> Result<SigningKey, KeyError> {
        let (iv, cipher_text) = (unhex(&self.crypto.cipherparams.iv)?, unhex(&self.crypto.ciphertext)?);
        let derived = derive(&self.crypto.kdfparams, passphrase)?;
        let right = mac(&derived, &cipher_text).ct_eq(&unhex(&self.crypto.mac)?);
        if !bool::from(right) {
            return Err(KeyError::WrongPassphrase);
        }
        let mut text = Zeroizing::new([0_u8; KEY_LENGTH]);
        // Some tools leave out leading zeros.
        let start = KEY_LENGTH
            .checked_sub(cipher_text.len())
            .ok_or_else(|| malformed("its ciphertext is longer than a key"))?;
        let mut clear = Zeroizing::new(cipher_text);
        cipher(&derived, &iv)?.apply_keystream(&mut clear);
        text.get_mut(start..)
            .ok_or_else(|| malformed("its ciphertext has no place"))?
            .copy_from_slice(&clear);
        SigningKey::from_bytes(*text)
    }

    /// How much work a guess at the passphrase is: rounds of scrypt.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.crypto.kdfparams.n
    }

    /// Whether guesses are cheaper than at a new keystore.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.rounds() < 1 << LOG_N
    }
}

fn derive(params: &KdfParams, passphrase: &SecretString) -> Result<Zeroizing<[u8; KEY_LENGTH]>, KeyError> {
    let memory = params.n.saturating_mul(128).saturating_mul(u64::from(params.r));
    if !params.n.is_power_of_two() || params.n < 2 || memory > MOST_MEMORY || params.p > 16 {
        return Err(malformed("its scrypt parameters are out of bounds"));
    }
    if params.dklen != 32 {
        return Err(malformed("its derived key is not 32 bytes"));
    }
    let log_n = u8::try_from(params.n.trailing_zeros()).map_err(|_| malformed("n"))?;
    let scrypt_params = scrypt::Params::new(log_n, params.r, params.p)
        .map_err(|error| malformed(format!("its scrypt parameters: {error}")))?;
    let mut derived = Zeroizing::new([0_u8; KEY_LENGTH]);
    scrypt::scrypt(
        passphrase.expose_secret().as_bytes(),
        &unhex(&params.salt)?,
        &scrypt_params,
        derived.as_mut_slice(),
    )
    .map_err(|error| malformed(error.to_string()))?;
    Ok(derived)
}

fn cipher(derived: &[u8; KEY_LENGTH], iv: &[u8]) -> Result<Cipher, KeyError> {
    Cipher::new_from_slices(&derived[..16], iv).map_err(|_| malformed("its iv is not 16 bytes"))
}

fn mac(derived: &[u8; KEY_LENGTH], cipher_text: &[u8]) -> [u8; 32] {
    let mut hasher = Keccak256::new();
    hasher.update(&derived[16..]);
    hasher.update(cipher_text);
    hasher.finalize().into()
}

fn chance<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Sign(error.to_string()))?;
    Ok(bytes)
}

fn malformed(words: impl Into<String>) -> KeyError {
    KeyError::Malformed { what: "the keystore", words: words.into() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Result<Vec<u8>, KeyError> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    let digit = |c: &u8| char::from(*c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().ok_or_else(|| malformed("a member is not in hex"))
}

/// The text of a random UUID (version 4).
fn uuid_text(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the Web3 Secret Storage definition for scrypt; its secret is below the order.
    const PUBLISHED: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},"ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt","kdfparams":{"dklen":32,"n":262144,"p":8,"r":1,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},"mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

    fn words(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn the_published_example_opens() {
        let store = Keystore::parse(PUBLISHED).expect("a keystore");
        // Its key, 7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d, is one of another
        // curve and beyond the order of this one: it is decrypted, and refused.
        assert!(matches!(store.decrypt(&words("testpassword")), Err(KeyError::NotAKey)));
        assert!(matches!(store.decrypt(&words("testpasswords")), Err(KeyError::WrongPassphrase)));
    }

    #[test]
    fn what_was_encrypted_comes_back_with_its_passphrase_only() {
        let key = SigningKey::random().expect("chance");
        let pass = words("correct horse battery staple");
        let store = Keystore::encrypt(&key, &pass).expect("encrypted");
        let read = Keystore::parse(&store.text().expect("text")).expect("read back");
        assert_eq!(read, store);
        assert_eq!(read.decrypt(&pass).expect("opens").public(), key.public());
        assert!(matches!(
            read.decrypt(&words("correct horse battery stable")),
            Err(KeyError::WrongPassphrase)
        ));
        assert!(matches!(Keystore::encrypt(&key, &words("fifteen letters")), Err(KeyError::ShortPassphrase)));
    }

    #[test]
    fn a_file_that_asks_for_too_much_is_refused() {
        for (from, to) in [
            (r#""n":262144"#, r#""n":1073741824"#),
            (r#""n":262144"#, r#""n":3"#),
            (r#""p":8"#, r#""p":4000000000"#),
            (r#""dklen":32"#, r#""dklen":4294967295"#),
            ("83dbcc02d8ccb40e466191a123791e0e", "83db"),
            ("d172bf74", "d172bf7"),
        ] {
            let store = Keystore::parse(&PUBLISHED.replace(from, to)).expect("its shape is right");
            assert!(store.decrypt(&words("testpassword")).is_err(), "{to}");
        }
        for (from, to) in
            [("scrypt", "pbkdf2"), ("aes-128-ctr", "aes-256-gcm"), (r#""version":3"#, r#""version":1"#)]
        {
            assert!(Keystore::parse(&PUBLISHED.replace(from, to)).is_err(), "{to}");
        }
    }
}
