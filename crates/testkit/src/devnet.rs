//! A Starknet devnet as a process of the test: a real chain with funded accounts, whose blocks, time
//! and history the test controls. `cargo xtask setup` installs the program into the cache folder.

use crate::process::Process;
use crate::wait::until;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use tokio::time::timeout;

const VERSION: &str = "0.10.1";
/// It starts in a second, on a machine that has nothing else to do.
const START: Duration = Duration::from_secs(60);

/// How a devnet is started.
#[derive(Debug, Clone, Copy)]
pub struct DevnetOptions {
    /// `TESTNET` or `MAINNET`: whose id it claims.
    pub chain: &'static str,
    /// Whether each transaction makes a block, or only [`Devnet::block`] does.
    pub block_for_each: bool,
    /// The second since 1970 in which it begins; `None` is now. With the same one the first block, too, is the
    /// same.
    pub start_time: Option<u64>,
}

impl Default for DevnetOptions {
    fn default() -> DevnetOptions {
        DevnetOptions { chain: "TESTNET", block_for_each: true, start_time: Some(1_790_000_000) }
    }
}

/// A running devnet. It ends with this value.
#[derive(Debug)]
pub struct Devnet {
    /// The process, to be paused or killed.
    pub process: Process,
    url: String,
    client: reqwest::Client,
    _folder: TempDir,
}

/// An account that exists from the first block on.
#[derive(Debug, Clone, Deserialize)]
pub struct DevnetAccount {
    /// Its address, in hex.
    pub address: String,
    /// Its private key, in hex.
    pub private_key: String,
    /// Its public key, in hex.
    pub public_key: String,
}

impl Devnet {
    /// Starts one; every one of them begins with the same block and the same accounts.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub async fn start(options: DevnetOptions) -> Result<Devnet> {
        let folder = TempDir::new().context("cannot make a folder")?;
        let socket = folder.path().join("port");
        let listener = UnixListener::bind(&socket).context("cannot listen for the port")?;
        let mut command = Command::new(program()?);
        command.args(["--seed", "42", "--accounts", "5", "--port", "0", "--state-archive-capacity", "full"]);
        command.args(["--chain-id", options.chain]);
        command.args(options.start_time.iter().flat_map(|at| ["--start-time".to_owned(), at.to_string()]));
        command
            .args(["--block-generation-on", if options.block_for_each { "transaction" } else { "demand" }]);
        command.env("UNIX_SOCKET", &socket);
        let process = Process::start(&mut command, folder.path(), "devnet")?;
        let told = timeout(START, async {
            let (mut stream, _) = listener.accept().await?;
            let mut port = [0_u8; 2];
            stream.read_exact(&mut port).await?;
            std::io::Result::Ok(u16::from_be_bytes(port))
        });
        let Ok(port) = told.await else {
            bail!(
                "the devnet did not start within {} s; it said:\n{}",
                START.as_secs(),
                process.last_words()
            );
        };
        let url = format!("http://127.0.0.1:{}", port.context("the devnet did not tell its port")?);
        // A second installation is refused and changes nothing: the provider is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let devnet = Devnet { process, url, client: reqwest::Client::new(), _folder: folder };
        until("the devnet to answer", START, async || {
            Ok(devnet.rpc("starknet_chainId", json!([])).await.ok())
        })
        .await?;
        Ok(devnet)
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls any of its methods.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn rpc(&self, method: &str, params: Value) -> Result<Value> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut answer: Value = self.client.post(&self.url).json(&call).send().await?.json().await?;
        ensure!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
        Ok(answer["result"].take())
    }

    /// The accounts that exist from the first block on.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn accounts(&self) -> Result<Vec<DevnetAccount>> {
        let accounts = self.rpc("devnet_getPredeployedAccounts", json!({})).await?;
        serde_json::from_value(accounts).context("accounts are not as expected")
    }

    /// Makes a block.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn block(&self) -> Result<()> {
        self.rpc("devnet_createBlock", json!({})).await.map(drop)
    }

    /// Takes blocks away from `first` on, as a reorganisation does.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn abort_from(&self, first: u64) -> Result<()> {
        let params = json!({ "starting_block_id": { "block_number": first } });
        self.rpc("devnet_abortBlocks", params).await.map(drop)
    }

    /// Sets the prices of gas, FRI for a unit, from now on.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn gas_prices(&self, fri: u128) -> Result<()> {
        let price = u64::try_from(fri)?;
        let params = json!({
            "gas_price_fri": price, "data_gas_price_fri": price, "l2_gas_price_fri": price, "generate_block": true,
        });
        self.rpc("devnet_setGasPrice", params).await.map(drop)
    }

    /// Gives an address FRI.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn mint(&self, address: &str, fri: u64) -> Result<()> {
        let params = json!({ "address": address, "amount": fri, "unit": "FRI" });
        self.rpc("devnet_mint", params).await.map(drop)
    }
}

fn program() -> Result<PathBuf> {
    let folder = environment("CIRO_CACHE")
        .or_else(|| environment("HOME").map(|home| home.join(".cache/ciro")))
        .context("neither CIRO_CACHE nor HOME is set")?;
    let program = folder.join(format!("starknet-devnet-{VERSION}/bin/starknet-devnet"));
    ensure!(program.is_file(), "{} is not there; `cargo xtask setup` installs it", program.display());
    Ok(program)
}

#[expect(clippy::disallowed_methods, reason = "where tools are kept is said in the environment")]
fn environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
