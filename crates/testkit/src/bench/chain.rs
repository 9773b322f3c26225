//! A devnet with the contracts on it, and accounts that call them without a coordinator: clients pay in
//! through it, and it is what a coordinator is measured against.

use anyhow::{Context, Result, bail, ensure};
use ciro_chain::Felt;
use ciro_chain::contract::escrow::{Limits, Order, SubmitJobs};
use ciro_chain::contract::token::Approve;
use ciro_chain::contract::{Function, view};
use ciro_chain::keys::{Account, SigningKey};
use ciro_chain::network::{ChainId, STRK};
use ciro_chain::rpc::read::{self, At};
use ciro_chain::rpc::{Pool, PoolOptions};
use ciro_chain::tx::fee::FeePolicy;
use ciro_chain::tx::outcome::{Landed, Sent};
use ciro_chain::tx::sign::Terms;
use ciro_chain::tx::{Bounds, Call, Unsigned, send};
use ciro_core::amount::Fri;
use ciro_testkit::{Devnet, DevnetAccount, DevnetOptions, program, until};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Seconds in which a client may disagree.
const WINDOW: u32 = 600;
const LANDS_WITHIN: Duration = Duration::from_secs(60);

/// Whose account it is: the devnet's in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The coordinator, which nobody else sends for.
    Coordinator,
    /// Who pays for jobs.
    Client,
    /// Whom work is paid to.
    Provider,
    /// An operator that is a few lines of this program.
    Rival,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Chain {
    devnet: Devnet,
    pool: Pool,
    people: Vec<DevnetAccount>,
    accounts: Vec<Account>,
    /// The escrow contract.
    pub(crate) escrow: Felt,
}

/// What transactions took for each of the jobs in them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    /// L2 gas.
    pub(crate) l2_gas: f64,
    /// L1 data gas.
    pub(crate) l1_data_gas: f64,
    /// Fee, FRI.
    pub(crate) fee: f64,
}

impl Taken {
    /// What one transaction took for each of `jobs`.
    #[must_use]
    pub(crate) fn of(landed: &Landed, jobs: usize) -> Taken {
        let each = |whole: f64| whole / jobs as f64;
        Taken {
            l2_gas: each(landed.l2_gas as f64),
            l1_data_gas: each(landed.l1_data_gas as f64),
            fee: each(landed.fee.0 as f64),
        }
    }
}

impl std::iter::Sum for Taken {
    fn sum<I: Iterator<Item = Taken>>(all: I) -> Taken {
        all.fold(Taken::default(), |sum, one| Taken {
            l2_gas: sum.l2_gas + one.l2_gas,
            l1_data_gas: sum.l1_data_gas + one.l1_data_gas,
            fee: sum.fee + one.fee,
        })
    }
}

impl Chain {
    /// Starts a devnet and deploys the contracts as an operator does; jobs are paid in STRK.
    ///
    /// # Errors
    /// When it is not installed, or the deployment fails.
    pub(crate) async fn start(folder: &Path) -> Result<Chain> {
        let devnet = Devnet::start(DevnetOptions { start_time: None, ..DevnetOptions::default() }).await?;
        let pool = Pool::new(
            &[devnet.url().to_owned()],
            PoolOptions { chain: Some(ChainId::SEPOLIA), ..PoolOptions::default() },
        )?;
        pool.refresh().await;
        let people = devnet.accounts().await?;
        let account = |one: &DevnetAccount| -> Result<Account> {
            Ok(Account {
                address: Felt::from_hex(&one.address)?,
                key: SigningKey::from_hex(&one.private_key)?,
            })
        };
        let accounts = people.iter().map(account).collect::<Result<_>>()?;
        let escrow = deploy(&devnet, &people, folder)?;
        Ok(Chain { devnet, pool, people, accounts, escrow })
    }

    /// Somebody's address.
    #[must_use]
    pub(crate) fn address(&self, who: Who) -> Felt {
        self.accounts[who as usize].address
    }

    /// The settings of a coordinator that sends to it, as variables of its environment.
    #[must_use]
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let sender = &self.people[Who::Coordinator as usize];
        vec![
            ("CIRO__BLOCKCHAIN__RPC_URL", self.devnet.url().to_owned()),
            ("CIRO__BLOCKCHAIN__CHAIN_ID", "SN_SEPOLIA".to_owned()),
            ("CIRO__BLOCKCHAIN__CONTRACT_ADDRESS", format!("{:#x}", self.escrow)),
            ("CIRO__BLOCKCHAIN__ACCOUNT_ADDRESS", sender.address.clone()),
            ("CIRO__BLOCKCHAIN__PRIVATE_KEY", sender.private_key.clone()),
            ("CIRO__BLOCKCHAIN__FINALITY", "l2".to_owned()),
            ("CIRO__BLOCKCHAIN__DEPTH", "0".to_owned()),
        ]
    }

    /// Sends a transaction and waits until it has landed.
    ///
    /// # Errors
    /// When it would fail, is not taken, or reverts.
    pub(crate) async fn carry_out(&self, who: Who, calls: Vec<Call>) -> Result<Landed> {
        let account = &self.accounts[who as usize];
        let nonce = read::nonce(&self.pool, account.address).await?.context("the account is there")?;
        let terms = Terms { chain: ChainId::SEPOLIA, account, nonce, bounds: Bounds::default() };
        let unsigned = Unsigned::Invoke(calls);
        let estimate = send::estimate(&self.pool, &unsigned, terms).await?;
        let bounds = FeePolicy::default().bounds(&estimate, Fri(0))?;
        let signed = unsigned.sign(Terms { bounds, ..terms })?;
        let sent = send::send(&self.pool, &signed).await;
        ensure!(sent == Sent::Accepted, "{who:?}: {sent:?}");
        let landed =
            until("a transaction to land", LANDS_WITHIN, async || self.look(signed.hash).await).await?;
        if let Some(reason) = &landed.reverted {
            bail!("{:#x} reverted: {reason}", signed.hash);
        }
        Ok(landed)
    }

    /// What became of a transaction.
    ///
    /// # Errors
    /// When the devnet does not tell.
    pub(crate) async fn look(&self, hash: Felt) -> Result<Option<Landed>> {
        Ok(send::look(&self.pool, hash).await?)
    }

    /// Has the client pay jobs in, all with one transaction.
    ///
    /// # Errors
    /// As [`Chain::carry_out`].
    pub(crate) async fn pay_in(&self, orders: Vec<Order>, max_fee_bps: u16) -> Result<Taken> {
        let (jobs, sum) = (orders.len(), orders.iter().map(|order| order.amount).sum::<u128>());
        let approve = Approve { spender: self.escrow, amount: sum.into() };
        let submit = SubmitJobs { orders, limits: Limits { max_fee_bps, min_window: WINDOW } };
        let calls = vec![approve.call(STRK)?, submit.call(self.escrow)?];
        Ok(Taken::of(&self.carry_out(Who::Client, calls).await?, jobs))
    }

    /// What the escrow answers.
    ///
    /// # Errors
    /// When the devnet does not tell.
    pub(crate) async fn ask<F: Function>(&self, function: &F) -> Result<F::Answer> {
        Ok(view(&self.pool, self.escrow, function, At::Latest).await?)
    }

    /// The second of its newest block.
    ///
    /// # Errors
    /// When the devnet does not tell.
    pub(crate) async fn time(&self) -> Result<u64> {
        let head = read::head(&self.pool).await?.number;
        Ok(read::header(&self.pool, head).await?.context("the newest block is there")?.timestamp)
    }

    /// Lets the time pass in which clients may disagree.
    ///
    /// # Errors
    /// When the devnet refuses.
    pub(crate) async fn pass_window(&self) -> Result<()> {
        self.devnet.rpc("devnet_increaseTime", json!({ "time": WINDOW + 5 })).await.map(drop)
    }
}

/// Where the escrow is.
fn deploy(devnet: &Devnet, people: &[DevnetAccount], folder: &Path) -> Result<Felt> {
    let sender = &people[Who::Coordinator as usize];
    let key = folder.join("sender.hex");
    std::fs::write(&key, &sender.private_key)?;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
    let mut command = Command::new(program("ciro")?);
    command.args(["chain", "deploy", "--yes", "-o", "json", "--treasury", "0x7ea5"]);
    command.args(["--window", &WINDOW.to_string(), "--operator", &sender.address]);
    command.args(["--operator", &people[Who::Rival as usize].address, "--rpc", devnet.url()]);
    command.args(["--address", &sender.address, "--private-key-file"]).arg(key);
    let said = command.output().context("cannot start ciro")?;
    ensure!(said.status.success(), "ciro chain deploy: {}", String::from_utf8_lossy(&said.stderr));
    let shown: Value = serde_json::from_slice(&said.stdout)?;
    let contracts = shown["contracts"].as_array().context("it lists the contracts")?;
    let escrow = contracts.iter().find(|contract| contract["name"] == "JobEscrow");
    let address = escrow.and_then(|escrow| escrow["address"].as_str()).context("it names the escrow")?;
    Ok(Felt::from_hex(address)?)
}
