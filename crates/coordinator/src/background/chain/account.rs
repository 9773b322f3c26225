//! The account that sends, unlocked once, when the program starts.

use crate::background::driver::Failure;
use crate::config::Blockchain;
use ciro_chain::Felt;
use ciro_chain::keys::{
    Account, AccountFile, KeyError, Keystore, SigningKey, keep_memory_private, permit_plain, read_private,
};
use ciro_chain::network::ChainId;
use secrecy::{ExposeSecret, SecretString};

/// Unlocks it. From then on this process leaves no core dumps.
pub(super) fn unlock(config: &Blockchain, chain: ChainId) -> Result<Account, Failure> {
    keep_memory_private()?;
    let key = key(config, chain).map_err(|error| format!("blockchain: the account's key: {error}"))?;
    let account = match (&config.account, &config.account_address) {
        (Some(file), _) => AccountFile::read(file).and_then(|file| file.with_key(key)),
        (None, Some(address)) => Ok(Account { address: Felt::from_hex(address)?, key }),
        (None, None) => return Err("blockchain.account is not set".into()),
    };
    Ok(account.map_err(|error| format!("blockchain.account: {error}"))?)
}

fn key(config: &Blockchain, chain: ChainId) -> Result<SigningKey, KeyError> {
    match (&config.keystore, &config.passphrase_file, &config.private_key) {
        (Some(keystore), Some(passphrase), _) => {
            let keystore = Keystore::parse(read_private(keystore)?.expose_secret())?;
            let text = read_private(passphrase)?;
            let line = text.expose_secret().lines().next().unwrap_or_default();
            keystore.decrypt(&SecretString::from(line))
        }
        (_, _, Some(plain)) => {
            permit_plain(chain)?;
            SigningKey::from_hex(plain.expose())
        }
        _ => Err(KeyError::NotAKey),
    }
}
