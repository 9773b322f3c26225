//! What an account is: its address, its class, the key that it obeys. Read from the account file of
//! `starkli` (no secrets inside) or from the accounts file of `sncast` (plain keys inside).

use super::signing::SigningKey;
use super::{KeyError, file, permit_plain};
use crate::network::ChainId;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use starknet_rust_core::types::Felt;
use starknet_rust_core::utils::get_contract_address;
use std::collections::BTreeMap;
use std::path::Path;

/// An account that can send transactions.
#[derive(Debug)]
pub struct Account {
    /// Its address.
    pub address: Felt,
    /// What signs for it.
    pub key: SigningKey,
}

/// The file that `starkli` keeps of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFile {
    version: u32,
    variant: Variant,
    deployment: Deployment,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Variant {
    OpenZeppelin {
        version: u32,
        public_key: Felt,
        #[serde(default)]
        legacy: bool,
    },
    /// Accounts of wallets: they can be used once they are deployed.
    #[serde(untagged)]
    Other(serde_json::Value),
}

/// Whether an account is on the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Deployment {
    /// Not yet; its address follows from class, salt and key.
    Undeployed {
        /// The class that it will have.
        class_hash: Felt,
        /// What sets its address apart from others of the key.
        salt: Felt,
    },
    /// It is there.
    Deployed {
        /// The class that it had then.
        class_hash: Felt,
        /// Its address.
        address: Felt,
    },
}

impl AccountFile {
    /// A new account of the class by OpenZeppelin, not deployed yet.
    #[must_use]
    pub fn new(public_key: Felt, class_hash: Felt, salt: Felt) -> AccountFile {
        let variant = Variant::OpenZeppelin { version: 1, public_key, legacy: false };
        AccountFile { version: 1, variant, deployment: Deployment::Undeployed { class_hash, salt } }
    }

    /// An account that is deployed.
    #[must_use]
    pub fn deployed(public_key: Felt, class_hash: Felt, address: Felt) -> AccountFile {
        AccountFile::new(public_key, class_hash, Felt::ZERO).deployed_at(address)
    }

    /// The same account, now on the chain.
    #[must_use]
    pub fn deployed_at(self, address: Felt) -> AccountFile {
        let (Deployment::Undeployed { class_hash, .. } | Deployment::Deployed { class_hash, .. }) =
            self.deployment;
        AccountFile { deployment: Deployment::Deployed { class_hash, address }, ..self }
    }

    /// Reads an account file.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn read(path: &Path) -> Result<AccountFile, KeyError> {
        let text = file::read(path)?;
        let found: AccountFile = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if found.version != 1 {
            return Err(malformed(format!("its version is {}, and 1 is needed", found.version)));
        }
        Ok(found)
    }

    /// Its text, for the file.
    ///
    /// # Errors
    /// Never in practice.
    pub fn text(&self) -> Result<String, KeyError> {
        serde_json::to_string_pretty(self).map_err(|error| malformed(error.to_string()))
    }

    /// Whether it is on the chain, as the file has it.
    #[must_use]
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Its address; that of an account that is not deployed follows from class, salt and key.
    ///
    /// # Errors
    /// When it is an account of a wallet that is not deployed.
    pub fn address(&self) -> Result<Felt, KeyError> {
        match (&self.deployment, self.public_key()) {
            (Deployment::Deployed { address, .. }, _) => Ok(*address),
            (Deployment::Undeployed { class_hash, salt }, Some(public_key)) => {
                Ok(get_contract_address(*salt, *class_hash, &[public_key], Felt::ZERO))
            }
            (Deployment::Undeployed { .. }, None) => {
                Err(malformed("it is an account of a wallet and not deployed: have the wallet deploy it"))
            }
        }
    }

    /// The key that it obeys, where the file says.
    #[must_use]
    pub fn public_key(&self) -> Option<Felt> {
        match &self.variant {
            Variant::OpenZeppelin { public_key, .. } => Some(*public_key),
            Variant::Other(_) => None,
        }
    }

    /// Puts it together with its key.
    ///
    /// # Errors
    /// When it obeys another key.
    pub fn with_key(&self, key: SigningKey) -> Result<Account, KeyError> {
        if let Some(wanted) = self.public_key().filter(|wanted| *wanted != key.public()) {
            return Err(malformed(format!(
                "it obeys the key {wanted:#x}, and the signer has {:#x}",
                key.public()
            )));
        }
        Ok(Account { address: self.address()?, key })
    }
}

fn malformed(words: impl Into<String>) -> KeyError {
    KeyError::Malformed { what: "the account file", words: words.into() }
}

#[derive(Deserialize)]
struct SncastAccount {
    address: Felt,
    private_key: Option<String>,
    public_key: Option<Felt>,
}

/// An account of the accounts file of `sncast`, with its key, which stands there in plain text.
///
/// # Errors
/// When the file cannot be read or may be read by others; when there is no such account for the
/// chain; on the main network.
pub fn sncast_account(path: &Path, name: &str, chain: ChainId) -> Result<Account, KeyError> {
    permit_plain(chain)?;
    let text = file::read_private(path)?;
    let parsed: Result<BTreeMap<String, BTreeMap<String, SncastAccount>>, _> =
        serde_json::from_str(text.expose_secret());
    // The parser's words may quote the file, and the file has keys.
    let mut all =
        parsed.map_err(|error| malformed(format!("line {}, column {}", error.line(), error.column())))?;
    let network = match chain {
        chain if chain == ChainId::SEPOLIA => "alpha-sepolia".to_owned(),
        chain => chain.to_string(),
    };
    let mut accounts = all.remove(&network).unwrap_or_default();
    let Some(found) = accounts.remove(name) else {
        let known: Vec<String> = accounts.into_keys().collect();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        return Err(KeyError::NoSuchAccount { name: name.into(), chain, known });
    };
    let key = found.private_key.ok_or_else(|| malformed("its key is not in the file"))?;
    let key = SigningKey::from_hex(&key)?;
    if found.public_key.is_some_and(|public| public != key.public()) {
        return Err(malformed("its private key and its public key do not belong together"));
    }
    Ok(Account { address: found.address, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_file_reads_as_starkli_writes_it() {
        let text = r#"{"version":1,"variant":{"type":"open_zeppelin","version":1,"public_key":"0x39d9e6ce352ad4530a0ef5d5a18fd3303c3606a7fa6ac5b620020ad681cc33b","legacy":false},
            "deployment":{"status":"undeployed","class_hash":"0x5b4b537eaa2399e3aa99c4e2e0208ebd6c71bc1467938cd52c798c601e43564","salt":"0x7"}}"#;
        let found: AccountFile = serde_json::from_str(text).expect("an account file");
        let address = found.address().expect("it follows");
        let deployed = found.clone().deployed_at(address);
        assert_eq!(deployed.address().ok(), Some(address));
        assert_eq!(serde_json::from_str::<AccountFile>(&deployed.text().expect("text")).ok(), Some(deployed));
        let other = SigningKey::from_hex("0x7").expect("a key");
        assert!(found.with_key(other).expect_err("another key").to_string().contains("obeys the key"));
    }

    #[test]
    fn an_account_of_a_wallet_is_used_once_it_is_deployed() {
        let text = |deployment: &str| {
            format!(
                r#"{{"version":1,"variant":{{"type":"argent","version":1,"owner":"0x1","guardian":"0x0"}},"deployment":{deployment}}}"#
            )
        };
        let found =
            |deployment| serde_json::from_str::<AccountFile>(&text(deployment)).expect("an account file");
        let deployed = found(r#"{"status":"deployed","class_hash":"0x1","address":"0x2"}"#);
        assert_eq!(deployed.address().ok(), Some(Felt::TWO));
        assert!(found(r#"{"status":"undeployed","class_hash":"0x1","salt":"0x2"}"#).address().is_err());
    }
}
