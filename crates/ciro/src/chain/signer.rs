//! Who signs: an encrypted keystore with an account file, an account of `sncast`, or on test networks
//! a plain key. The passphrase comes from a file, from the environment, or is asked for.

use super::network::felt;
use crate::error::Failure;
use crate::{environment, prompt};
use ciro_chain::Felt;
use ciro_chain::keys::{
    Account, AccountFile, Keystore, SigningKey, permit_plain, read_private, sncast_account,
};
use ciro_chain::network::ChainId;
use secrecy::{ExposeSecret, SecretString};
use std::path::{Path, PathBuf};

/// Who signs.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Account")]
pub(crate) struct SignerArgs {
    /// The account file, as starkli writes it
    #[arg(long, value_name = "FILE", env = "STARKNET_ACCOUNT")]
    pub(super) account: Option<PathBuf>,
    /// The encrypted key
    #[command(flatten)]
    pub(super) key: KeyArgs,
    /// The account's address, where there is no account file
    #[arg(long, value_name = "ADDRESS", value_parser = felt, conflicts_with = "account")]
    pub(super) address: Option<Felt>,
    /// The accounts file of sncast; its keys are plain, so test networks only
    #[arg(long, value_name = "FILE", requires = "account_name")]
    pub(super) accounts_file: Option<PathBuf>,
    /// The name of the account in that file
    #[arg(long, value_name = "NAME", requires = "accounts_file")]
    pub(super) account_name: Option<String>,
}

/// Where the key is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KeyArgs {
    /// The encrypted key; its passphrase comes from --passphrase-file, from STARKNET_KEYSTORE_PASSWORD, or is asked for
    #[arg(long, value_name = "FILE", env = "STARKNET_KEYSTORE")]
    pub(super) keystore: Option<PathBuf>,
    /// A file with the passphrase, that only you may read
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
    /// A file with a plain private key in hex; test networks only
    #[arg(long, value_name = "FILE", conflicts_with = "keystore")]
    pub(super) private_key_file: Option<PathBuf>,
}

impl SignerArgs {
    /// Unlocks the account that signs.
    pub(super) fn unlock(&self, chain: ChainId) -> Result<Account, Failure> {
        if let (Some(file), Some(name)) = (&self.accounts_file, &self.account_name) {
            warn_plain();
            return Ok(sncast_account(file, name, chain)?);
        }
        let key = self.key.unlock(chain)?;
        match (&self.account, self.address) {
            (Some(file), _) => Ok(AccountFile::read(file)?.with_key(key)?),
            (None, Some(address)) => Ok(Account { address, key }),
            (None, None) => Err(Failure::usage("no account is named")
                .hint("name its file with --account or STARKNET_ACCOUNT, or its address with --address")),
        }
    }

    /// The address of the account, without its key; `None` where none is named.
    pub(super) fn named(&self, chain: ChainId) -> Result<Option<Felt>, Failure> {
        Ok(match (&self.account, self.address, &self.accounts_file, &self.account_name) {
            (Some(file), ..) => Some(AccountFile::read(file)?.address()?),
            (_, Some(address), ..) => Some(address),
            (_, _, Some(file), Some(name)) => Some(sncast_account(file, name, chain)?.address),
            _ => None,
        })
    }
}

impl KeyArgs {
    pub(super) fn unlock(&self, chain: ChainId) -> Result<SigningKey, Failure> {
        match (&self.keystore, &self.private_key_file) {
            (Some(file), _) => {
                let keystore = Keystore::parse(read_private(file)?.expose_secret())?;
                let passphrase = passphrase(self.passphrase_file.as_deref(), "Passphrase of the keystore")?;
                Ok(keystore.decrypt(&passphrase)?)
            }
            (None, Some(file)) => {
                permit_plain(chain)?;
                warn_plain();
                Ok(SigningKey::from_hex(read_private(file)?.expose_secret())?)
            }
            (None, None) => Err(Failure::usage("no key is named")
                .hint("name a keystore with --keystore or STARKNET_KEYSTORE; `ciro chain keystore new FILE` makes one")),
        }
    }
}

#[expect(clippy::print_stderr, reason = "a warning that must not be missed, whatever is printed besides")]
fn warn_plain() {
    eprintln!(
        "warning: the key is plain: whoever reads the file owns the account; `ciro chain keystore import` encrypts it"
    );
}

/// The passphrase, from the file, from the environment, or asked for.
pub(super) fn passphrase(file: Option<&Path>, question: &str) -> Result<SecretString, Failure> {
    given(file)?.map_or_else(|| asked(question), Ok)
}

/// A new passphrase; asked for twice where somebody types it.
pub(super) fn new_passphrase(file: Option<&Path>) -> Result<SecretString, Failure> {
    if let Some(given) = given(file)? {
        return Ok(given);
    }
    let (first, second) = (asked("New passphrase")?, asked("The same again")?);
    if first.expose_secret() != second.expose_secret() {
        return Err(Failure::usage("the two are not the same"));
    }
    Ok(first)
}

fn given(file: Option<&Path>) -> Result<Option<SecretString>, Failure> {
    match file {
        Some(file) => Ok(Some(first_line(&read_private(file)?))),
        None => Ok(environment::keystore_passphrase()),
    }
}

fn asked(question: &str) -> Result<SecretString, Failure> {
    prompt::secret(question)?.ok_or_else(|| {
        Failure::usage("there is no passphrase and nobody to ask")
            .hint("give it with --passphrase-file or STARKNET_KEYSTORE_PASSWORD")
    })
}

fn first_line(text: &SecretString) -> SecretString {
    SecretString::from(text.expose_secret().lines().next().unwrap_or_default())
}
