//! The chain of `ciro dev`: where a devnet is installed, one with the contracts on it and with accounts to try
//! them, else none, and jobs are paid from balances. The chain is new at each start, and so are the
//! account that sends for the coordinator and the escrow: nothing of an earlier one is taken for it.
//!
//! `DIR/chain` keeps the accounts' files, the passphrase of their keys, and while the network runs
//! `network.json` and `network.sh`: the node, the contracts and the accounts, for programs and for shells.

use super::devnet::{self, Devnet};
use super::keys;
use crate::chain::{Files, OPERATOR, Own, Person};
use crate::environment;
use crate::error::Failure;
use crate::private;
use ciro_chain::Felt;
use ciro_coordinator::config::{Blockchain, ChainFinality};
use ciro_core::payout::PayoutAddress;
use secrecy::SecretString;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// Who is given an account, with 1,000 STRK.
const PEOPLE: [&str; 3] = ["client", "provider", "arbiter"];
/// How long a client may dispute a result, s.
const WINDOW: &str = "20";
/// How long after its deadline a job still takes a result, s.
const GRACE: &str = "60";
const FOLDER: &str = "chain";
const NETWORK_FILE: &str = "network.json";
const SHELL_FILE: &str = "network.sh";
const PASSPHRASE_FILE: &str = "passphrase";

/// When a devnet is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WhenChain {
    /// Where starknet-devnet is installed and the settings name no other chain
    Auto,
    /// Never
    Off,
}

/// What there is.
#[derive(Debug)]
pub(super) enum Chain {
    /// What `CIRO__BLOCKCHAIN__…` says, or nothing, as was asked for.
    AsSet,
    /// No devnet; why, and what to do about it.
    Missing(String),
    /// A devnet with everything on it.
    Running(Box<Running>),
}

/// A devnet with everything on it.
#[derive(Debug)]
pub(super) struct Running {
    devnet: Devnet,
    own: Own,
    pub(super) people: Vec<(&'static str, Person)>,
    files: Files,
    /// From the beginning to the last contract.
    pub(super) took: Duration,
}

impl Chain {
    /// Starts what is there. A devnet that does not do is no reason to have no network.
    pub(super) async fn start(when: WhenChain, state: &Path) -> Chain {
        let set = environment::settings().iter().any(|(name, _)| name.starts_with("CIRO__BLOCKCHAIN__"));
        if when == WhenChain::Off || set {
            return Chain::AsSet;
        }
        let Some(program) = devnet::found() else {
            return Chain::Missing(format!("no devnet; `{}` gets one", devnet::how_to_get()));
        };
        match Running::start(&program, state).await {
            Ok(running) => Chain::Running(Box::new(running)),
            Err(failure) => Chain::Missing(format!("{} did not do: {}", program.display(), failure.message)),
        }
    }

    /// The coordinator's settings, where they follow from it.
    pub(super) fn settings(&self) -> Option<Blockchain> {
        match self {
            Chain::Running(running) => Some(running.settings()),
            _ => None,
        }
    }

    /// Whom the work of this network's workers is paid to.
    pub(super) fn payout(&self) -> Option<PayoutAddress> {
        let Chain::Running(running) = self else { return None };
        PayoutAddress::new(running.person("provider")?.to_bytes_be())
    }
}

impl Running {
    async fn start(program: &Path, state: &Path) -> Result<Running, Failure> {
        let began = Instant::now();
        let folder = state.join(FOLDER);
        private::make_folder(&folder)?;
        let passphrase = SecretString::from(keys::kept(&folder.join(PASSPHRASE_FILE))?);
        let files = Files { folder, passphrase };
        let devnet = Devnet::start(program, PEOPLE.len(), &files.folder.join("devnet.log")).await?;
        let people: Vec<_> = PEOPLE.into_iter().zip(Person::all(&devnet.url).await?).collect();
        let arbiter = people.iter().find(|(name, _)| *name == "arbiter").map(|(_, person)| person.address);
        let flags = ["--window", WINDOW, "--grace", GRACE, "--arbiter"].map(str::to_owned);
        let flags = [&flags[..], &[format!("{:#x}", arbiter.unwrap_or_default())]].concat();
        let own = Own::set_up(&devnet.url, &files, &flags).await?;
        for (name, person) in &people {
            own.write(person, name, &files).await?;
        }
        let running = Running { devnet, own, people, files, took: began.elapsed() };
        private::write(&running.folder().join(NETWORK_FILE), running.described().to_string().as_bytes())?;
        private::write(&running.folder().join(SHELL_FILE), running.variables().as_bytes())?;
        Ok(running)
    }

    fn settings(&self) -> Blockchain {
        Blockchain {
            rpc_url: Some(self.devnet.url.clone()),
            chain_id: Some(self.own.chain()),
            contract_address: Some(text(self.own.escrow)),
            account: Some(self.files.account(OPERATOR)),
            keystore: Some(self.files.keystore(OPERATOR)),
            passphrase_file: Some(self.folder().join(PASSPHRASE_FILE)),
            finality: ChainFinality::L2,
            depth: 0,
            // There is nothing old, and this node keeps no state to look for the deployment in.
            from_block: Some(0),
            ..Blockchain::default()
        }
    }

    fn person(&self, name: &str) -> Option<Felt> {
        self.people.iter().find(|(known, _)| *known == name).map(|(_, person)| person.address)
    }

    /// For shells: the node as `ciro chain` looks for it, the contracts and whose accounts there are.
    fn variables(&self) -> String {
        let own = &self.own;
        let people = self.people.iter().map(|(name, person)| (name.to_uppercase(), person.address));
        let contracts = [("ESCROW", own.escrow), ("TOKEN", own.token()), ("TREASURY", own.operator)];
        let all = contracts.map(|(name, address)| (name.to_owned(), address)).into_iter().chain(people);
        let node = format!("export STARKNET_RPC={}\n", self.devnet.url);
        all.fold(node, |text, (name, address)| text + &format!("{name}={}\n", self::text(address)))
    }

    /// For programs.
    fn described(&self) -> serde_json::Value {
        let accounts = self.people.iter().map(|(name, person)| {
            let known = json!({
                "address": text(person.address),
                "account": self.files.account(name),
                "keystore": self.files.keystore(name),
            });
            ((*name).to_owned(), known)
        });
        json!({
            "rpc_url": self.devnet.url,
            "chain_id": self.own.chain(),
            "escrow": text(self.own.escrow),
            "token": text(self.own.token()),
            "operator": text(self.own.operator),
            "accounts": accounts.collect::<serde_json::Map<_, _>>(),
            "passphrase_file": self.folder().join(PASSPHRASE_FILE),
        })
    }

    /// Where it listens and what is on it, in one line.
    pub(super) fn words(&self) -> String {
        format!("devnet at {}, new at each start", self.devnet.url)
    }

    /// Where the escrow is.
    pub(super) fn escrow(&self) -> String {
        text(self.own.escrow)
    }

    /// Where the accounts' files are.
    pub(super) fn folder(&self) -> &Path {
        &self.files.folder
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nobody is to ask a node that is gone.
        for file in [NETWORK_FILE, SHELL_FILE] {
            let _ = std::fs::remove_file(self.folder().join(file));
        }
    }
}

/// An address as other programs print it.
pub(super) fn text(address: Felt) -> String {
    format!("{address:#066x}")
}
