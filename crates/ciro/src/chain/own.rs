//! A chain of one's own, as `ciro dev` has it: an account is made that sends for the coordinator, funded and
//! put on the chain, and deploys the contracts; accounts that the chain came with get the files that
//! `ciro chain` takes.

use super::account::OPEN_ZEPPELIN;
use super::deploy::{ContractArgs, on_own};
use super::network::{Network, NetworkArgs, felt};
use super::submit::{FeeArgs, submit};
use crate::error::Failure;
use crate::private;
use ciro_chain::Felt;
use ciro_chain::keys::{AccountFile, Keystore, SigningKey, read_private};
use ciro_chain::network::STRK;
use ciro_chain::rpc::{Endpoint, Patience, read};
use ciro_chain::tx::Unsigned;
use clap::Parser;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::path::PathBuf;
use uuid::Uuid;

/// What a new account is given, FRI: 1,000 STRK.
const FUNDS: &str = "1000000000000000000000";
/// Who sends for the coordinator.
pub(crate) const OPERATOR: &str = "operator";

/// A devnet with the contracts on it.
#[derive(Debug)]
pub(crate) struct Own {
    network: Network,
    /// Who sends for the coordinator, and owns the contracts.
    pub(crate) operator: Felt,
    /// Where the escrow is.
    pub(crate) escrow: Felt,
}

/// An account that a devnet came with; its key is known to everybody.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Person {
    /// Its address.
    pub(crate) address: Felt,
    private_key: String,
}

/// Where accounts and keys are kept.
#[derive(Debug)]
pub(crate) struct Files {
    /// The folder of all of them.
    pub(crate) folder: PathBuf,
    /// What every key is encrypted with.
    pub(crate) passphrase: SecretString,
}

impl Files {
    /// The account file of somebody.
    pub(crate) fn account(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// The encrypted key of somebody.
    pub(crate) fn keystore(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key.json"))
    }

    fn operator_key(&self) -> Result<SigningKey, Failure> {
        let keystore = self.keystore(OPERATOR);
        if keystore.exists() {
            return Ok(Keystore::parse(read_private(&keystore)?.expose_secret())?.decrypt(&self.passphrase)?);
        }
        let key = SigningKey::random()?;
        self.write_key(OPERATOR, &key)?;
        Ok(key)
    }

    fn write_key(&self, name: &str, key: &SigningKey) -> Result<(), Failure> {
        let text = Keystore::encrypt(key, &self.passphrase)?.text()?;
        private::write(&self.keystore(name), text.as_bytes())
    }
}

/// The flags of `ciro chain deploy`, with its defaults.
#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    contracts: ContractArgs,
}

impl Person {
    /// Those that a devnet came with.
    pub(crate) async fn all(url: &str) -> Result<Vec<Person>, Failure> {
        let endpoint = Endpoint::new(url, Patience::default())?;
        Ok(endpoint.call("devnet_getPredeployedAccounts", &serde_json::json!({})).await?)
    }
}

impl Own {
    /// Makes a new account of the operator's key, and has it deploy the contracts with these flags of
    /// `ciro chain deploy`. Writes `operator.json`, and at the first time the key.
    pub(crate) async fn set_up(url: &str, files: &Files, flags: &[String]) -> Result<Own, Failure> {
        let network = NetworkArgs { urls: vec![url.to_owned()], network: None }.connect().await?;
        let key = files.operator_key()?;
        let (class, public) = (felt(OPEN_ZEPPELIN).map_err(Failure::usage)?, key.public());
        let salt = Felt::from(Uuid::now_v7().as_u128());
        let account = AccountFile::new(public, class, salt).with_key(key)?;
        let funds = format!(r#"{{"address":"{:#x}","amount":{FUNDS},"unit":"FRI"}}"#, account.address);
        Endpoint::new(url, Patience::default())?.call_raw("devnet_mint", &funds).await?;
        let deploy = Unsigned::DeployAccount { class, salt, constructor: vec![public] };
        submit(&network, &account, 0, FeeArgs::default().policy(), &deploy).await?;
        let file = AccountFile::deployed(public, class, account.address);
        private::write(&files.account(OPERATOR), file.text()?.as_bytes())?;
        let flags = Flags::try_parse_from(std::iter::once("deploy").chain(flags.iter().map(String::as_str)));
        let flags = flags.map_err(|error| Failure::usage(error.to_string()))?;
        let escrow = on_own(&flags.contracts, &network, &account, 1).await?;
        Ok(Own { network, operator: account.address, escrow })
    }

    /// The name of its chain.
    pub(crate) fn chain(&self) -> String {
        self.network.chain.to_string()
    }

    /// The token that is paid with.
    pub(crate) fn token(&self) -> Felt {
        STRK
    }

    /// Writes the files of an account that the chain came with, unless an earlier start did.
    pub(crate) async fn write(&self, person: &Person, name: &str, files: &Files) -> Result<(), Failure> {
        if files.account(name).exists() && files.keystore(name).exists() {
            return Ok(());
        }
        let key = SigningKey::from_hex(&person.private_key)?;
        let class = read::class_at(&self.network.pool, person.address).await?.unwrap_or_default();
        let file = AccountFile::deployed(key.public(), class, person.address);
        private::write(&files.account(name), file.text()?.as_bytes())?;
        files.write_key(name, &key)
    }
}
