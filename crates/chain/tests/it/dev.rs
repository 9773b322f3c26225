//! `ciro dev` where a devnet is installed: a chain with the contracts and with accounts on it, which ends with
//! the network, however that ends, and is new the next time.

use crate::cli::Said;
use crate::world::LONG;
use anyhow::{Context, Result, ensure};
use ciro_testkit::{Process, program, until};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;
use tokio::net::TcpStream;

struct Dev {
    process: Process,
    folder: TempDir,
}

impl Dev {
    /// Starts one and waits until it is ready.
    async fn start(folder: TempDir) -> Result<Dev> {
        let _ = std::fs::remove_file(folder.path().join(".ciro-dev/server.json"));
        let mut command = Command::new(program("ciro")?);
        command.current_dir(folder.path());
        command.args(["dev", "--port", "0", "--workers", "1", "--price-fri", "3600"]);
        let process = Process::start(&mut command, folder.path(), "dev")?;
        let mut dev = Dev { process, folder };
        let ready = async || {
            ensure!(dev.process.ended()?.is_none(), "it ended:\n{}", dev.process.last_words());
            Ok(dev.state("server.json").exists().then_some(()))
        };
        let waited = until("the network to be ready", LONG, ready).await;
        waited.with_context(|| dev.process.last_words())?;
        Ok(dev)
    }

    fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join(".ciro-dev").join(name)
    }

    fn network(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(self.state("chain/network.json"))?)?)
    }

    fn ciro(&self, args: &[&str]) -> Result<Said> {
        let mut command = Command::new(program("ciro")?);
        command.current_dir(self.folder.path()).args(args);
        for name in ["STARKNET_ACCOUNT", "STARKNET_KEYSTORE", "STARKNET_NETWORK", "STARKNET_RPC"] {
            command.env_remove(name);
        }
        Ok(Said::of(command.output()?))
    }

    /// What `ciro chain account show` says of an account whose files it wrote, its key opened first.
    fn shown(&self, name: &str) -> Result<Value> {
        let network = self.network()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let account = &network["accounts"][name];
        let (keystore, passphrase) = (text(&account["keystore"]), text(&network["passphrase_file"]));
        self.ciro(&["chain", "keystore", "inspect", &keystore, "--passphrase-file", &passphrase])?.ok();
        let (url, file) = (text(&network["rpc_url"]), text(&account["account"]));
        Ok(self.ciro(&["chain", "account", "show", "-o", "json", "--rpc", &url, "--account", &file])?.json())
    }

    fn balance(&self) -> Result<Value> {
        Ok(self.ciro(&["pay", "balance", "-o", "json"])?.json()["available"]["strk"].take())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_has_a_chain_with_accounts_and_a_balance() -> Result<()> {
    let mut dev = Dev::start(tempfile::tempdir()?).await?;
    let said = dev.process.output();
    let network = dev.network()?;
    for part in
        ["✔ chain       devnet at http://127.0.0.1:", "1000 STRK", network["escrow"].as_str().unwrap()]
    {
        ensure!(said.contains(part), "{part}:\n{said}");
    }
    for name in ["client", "provider", "arbiter"] {
        let shown = dev.shown(name)?;
        ensure!(shown["balance"]["strk"] == "1000", "{name}: {shown}");
        ensure!(shown["address"] == network["accounts"][name]["address"], "{name}: {shown}");
    }
    ensure!(dev.balance()? == "1000");
    let status = dev.ciro(&["status", "-o", "json"])?.json();
    for component in ["chain", "chain_lane"] {
        ensure!(status["components"][component]["state"] == "ok", "{component}: {status}");
    }
    let worker = dev.ciro(&["worker", "list", "-o", "json"])?.json();
    let payout = &worker["items"][0]["payout"];
    ensure!(payout == &network["accounts"]["provider"]["address"], "{worker}");

    // Killed, it takes the devnet with it; the next one has the same people, and another chain.
    let url = network["rpc_url"].as_str().context("it is a URL")?.to_owned();
    dev.process.kill()?;
    let gone = async || {
        let asked = TcpStream::connect(url.trim_start_matches("http://")).await;
        Ok(asked.is_err().then_some(()))
    };
    until("the devnet to end", LONG, gone).await?;
    let Dev { folder, process } = dev;
    drop(process);
    let mut dev = Dev::start(folder).await?;
    let next = dev.network()?;
    ensure!(next["accounts"]["client"] == network["accounts"]["client"], "{next}");
    ensure!(next["escrow"] != network["escrow"], "{next}");
    ensure!(dev.balance()? == "1000", "what was paid in comes in once");
    dev.process.terminate()?;
    ensure!(dev.process.wait(LONG).await?.success(), "{}", dev.process.last_words());
    ensure!(!dev.state("chain/network.json").exists(), "nobody is sent to a node that is gone");
    Ok(())
}
