//! Where jobs are paid from deposits on a real chain: a coordinator with a real worker, whose operator sends
//! from account 0 through a node that does as it is told; a client with account 1, a provider with account
//! 2, an arbiter with account 3, and a treasury that does nothing else.

use crate::contracts::{address, deployed_on};
use crate::rig::{Database, sending};
use crate::world::{LONG, World};
use anyhow::{Context, Result, ensure};
use ciro_chain::Felt;
use ciro_chain::contract::escrow::CreditOf;
use ciro_chain::contract::{Function, token};
use ciro_chain::rpc::read::{self, At, selector};
use ciro_chain::tx::Call;
use ciro_core::amount::Fri;
use ciro_core::id::JobId;
use ciro_core::job::JobState;
use ciro_core::payout::PayoutAddress;
use ciro_testkit::api::client::Client;
use ciro_testkit::api::job::{
    Amount, ContractCall, CreatedJob, EscrowPayment, Job, JobDeposit, Limits, NewJob, PaymentMethod,
};
use ciro_testkit::api::page::PageQuery;
use ciro_testkit::{Coordinator, DevnetOptions, Node, RealWorker, program, until};
use serde_json::{Value, json};
use starknet_rust_core::types::U256;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tempfile::TempDir;

pub(crate) const OPERATOR: usize = 0;
pub(crate) const CLIENT: usize = 1;
pub(crate) const PROVIDER: usize = 2;
pub(crate) const ARBITER: usize = 3;
pub(crate) const TREASURY: Felt = Felt::from_hex_unchecked("0x7ea5");
/// Seconds in which the client can disagree.
pub(crate) const WINDOW: u64 = 600;
pub(crate) const FEE_BPS: u128 = 250;
/// What the worker asks for an hour: a number that does not divide evenly.
const PRICE: u128 = 3_600_000_007;
/// What each job may cost.
pub(crate) const MOST: u128 = 600_000_011;
/// What the client begins with.
pub(crate) const WEALTH: u128 = 1_000_000_000_000;

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) escrow: Felt,
    pub(crate) token: Felt,
    pub(crate) coordinator: Coordinator,
    pub(crate) client: Client,
    pub(crate) worker: RealWorker,
    /// Between the coordinator and the devnet.
    pub(crate) node: Node,
    pub(crate) folder: TempDir,
}

pub(crate) fn amount(fri: u128) -> Amount {
    Amount { fri: fri.to_string(), strk: None }
}

pub(crate) fn fri(amount: &Amount) -> Result<u128> {
    Ok(amount.fri.parse::<Fri>()?.0)
}

/// What is left of what was earned once the fee is taken.
pub(crate) fn without_fee(earned: u128) -> u128 {
    earned - earned * FEE_BPS / 10_000
}

impl Stage {
    pub(crate) async fn new() -> Result<Stage> {
        Stage::on(Database::Sqlite, &[]).await
    }

    /// The same with further settings of the chain.
    pub(crate) async fn on(database: Database, more: &[(&str, Value)]) -> Result<Stage> {
        let options = DevnetOptions { start_time: None, ..DevnetOptions::default() };
        let arbiter = "0x05e627ad77c89f728f67916e9362f0723aa9d5ecf9243b87da5551345eb0d11d";
        let roles = ["--test-token", "--window", "600", "--treasury", "0x7ea5", "--arbiter", arbiter];
        let (world, _desk, shown) = deployed_on(options, &roles).await;
        ensure!(
            world.accounts[ARBITER].address == Felt::from_hex(arbiter)?,
            "{:#x}",
            world.accounts[ARBITER].address
        );
        let (escrow, token) = (address(&shown, "JobEscrow"), address(&shown, "TestToken"));
        let client = world.accounts[CLIENT].address;
        let mint = token::Mint { recipient: client, amount: U256::from(WEALTH) };
        world.carry_out(OPERATOR, vec![mint.call(token)?]).await;
        let sender = world.devnet.accounts().await?.swap_remove(OPERATOR);
        let node = Node::start(world.devnet.url()).await?;
        let folder = tempfile::tempdir()?;
        let contract = [("contract_address", json!(format!("{escrow:#x}")))];
        let mut options = database.options(folder.path())?;
        for (key, value) in sending(&node.url, &sender).iter().chain(&contract).chain(more) {
            options = options.set("blockchain", key, value.clone());
        }
        let coordinator = Coordinator::start(options).await?;
        let terms = terms(&world);
        let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
        let worker = RealWorker::start(&coordinator, folder.path(), "paid", &terms)?;
        let client = coordinator.client()?;
        Ok(Stage { world, escrow, token, coordinator, client, worker, node, folder })
    }

    /// The same job, paid from a deposit of the client.
    pub(crate) fn paid(&self, job: NewJob) -> Result<NewJob> {
        let limits = job.limits.unwrap_or_default();
        let client = format!("{:#x}", self.world.accounts[CLIENT].address).parse::<PayoutAddress>()?;
        Ok(NewJob {
            max_cost: Some(amount(MOST)),
            payment: Some(PaymentMethod::Escrow(EscrowPayment { client })),
            limits: Some(Limits { wall_ms: Some(60_000), ..limits }),
            ..job
        })
    }

    pub(crate) async fn submit(&self, job: NewJob) -> Result<(JobId, JobDeposit)> {
        let CreatedJob { id, deposit, .. } = self.client.job_submit(&self.paid(job)?, None).await?;
        Ok((id, deposit.context("it says what to pay in")?))
    }

    /// Sends the calls of an answer from the client's account, as any wallet would.
    pub(crate) async fn pay_in(&self, deposit: &JobDeposit) -> Result<()> {
        self.world.carry_out(CLIENT, wallet(deposit)?).await;
        Ok(())
    }

    /// A job whose deposit is there.
    pub(crate) async fn funded(&self, job: NewJob) -> Result<JobId> {
        let (id, deposit) = self.submit(job).await?;
        let waits = self.client.job_get(id).await?;
        ensure!(waits.state == JobState::AwaitingFunds && waits.holds == ["funds"], "{waits:?}");
        self.pay_in(&deposit).await?;
        Ok(id)
    }

    /// What `ciro` answers whom an account of the chain's is at hand.
    pub(crate) async fn typed(&self, account: usize, words: &[&str]) -> Result<Value> {
        let who = self.world.devnet.accounts().await?.swap_remove(account);
        let key = self.folder.path().join(format!("{account}.hex"));
        std::fs::write(&key, &who.private_key)?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
        let mut command = Command::new(program("ciro")?);
        command.args(words).args(["--address", &who.address, "--private-key-file"]).arg(&key);
        command.args(["--rpc", self.world.devnet.url(), "-o", "json"]);
        command.env("CIRO_SERVER", &self.coordinator.url).env("CIRO_API_KEY", &self.coordinator.admin_key);
        let said = command.output()?;
        let words = String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success(), "{words}");
        serde_json::from_slice(&said.stdout).with_context(|| words.into_owned())
    }

    pub(crate) async fn until_job(&self, what: &str, id: JobId, is: impl Fn(&Job) -> bool) -> Result<Job> {
        let look = async || Ok(Some(self.client.job_get(id).await?).filter(|job| is(job)));
        let found = until(&format!("{id} to be {what}"), LONG, look).await;
        match found {
            Ok(job) => Ok(job),
            Err(error) => {
                let job = self.client.job_get(id).await?;
                let status = self.client.raw(reqwest::Method::GET, "/status", None).await?;
                let status: Value = serde_json::from_slice(&status)?;
                let words = self.coordinator.process().last_words();
                Err(error.context(format!("{job:#?}\n{:#}\n{words}", status["components"])))
            }
        }
    }

    pub(crate) async fn money(&self, id: JobId, state: &str) -> Result<Job> {
        self.until_job(state, id, |job| job.settlement.as_ref().is_some_and(|is| is.state == state)).await
    }

    pub(crate) async fn on_chain(&self, id: JobId, state: &str) -> Result<Job> {
        let is = |job: &Job| job.deposit.as_ref().and_then(|deposit| deposit.state.as_deref()) == Some(state);
        self.until_job(state, id, is).await
    }

    pub(crate) async fn pass(&self, seconds: u64) -> Result<()> {
        self.world.devnet.rpc("devnet_increaseTime", json!({ "time": seconds })).await.map(drop)
    }

    pub(crate) async fn credit(&self, account: Felt) -> u128 {
        self.world.ask(self.escrow, CreditOf { account }).await
    }

    /// Client, provider and treasury.
    pub(crate) fn accounts(&self) -> [Felt; 3] {
        [self.world.accounts[CLIENT].address, self.world.accounts[PROVIDER].address, TREASURY]
    }

    pub(crate) async fn credits(&self) -> [u128; 3] {
        let [client, provider, treasury] = self.accounts();
        [self.credit(client).await, self.credit(provider).await, self.credit(treasury).await]
    }

    pub(crate) async fn balance(&self, account: Felt) -> Result<u128> {
        Ok(read::balance(&self.world.pool, self.token, account, At::Latest).await?)
    }

    /// What the accepted attempts of a job come to, from the figures that anybody can see.
    pub(crate) async fn earned(&self, id: JobId) -> Result<u128> {
        let page = PageQuery { limit: Some(200), ..PageQuery::default() };
        let attempts = self.client.job_attempts(id, &page).await?.items;
        let mut earned = 0;
        for attempt in attempts.iter().filter(|attempt| attempt.state.name() == "accepted") {
            let price = fri(attempt.price.as_ref().context("it has a price")?)?;
            let measured = attempt.usage.context("it was measured")?.wall_ms;
            let ended = attempt.ended_at.context("it ended")?;
            let ran = measured.min(ended.0.since_ms(attempt.granted_at.0)).min(60_000);
            earned += price * u128::from(ran) / 3_600_000;
        }
        Ok(earned)
    }

    /// Changes a setting of the chain, for the next start.
    pub(crate) fn set(&mut self, key: &str, value: Value) -> Result<()> {
        let section = self.coordinator.options_mut().settings.get_mut("blockchain").context("it has one")?;
        section[key] = value;
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<()> {
        self.worker.process().terminate()?;
        self.coordinator.stop().await?;
        ciro_testkit::verify(self.coordinator.database(), None).map(drop)
    }
}

/// What the provider's workers are started with.
pub(crate) fn terms(world: &World) -> [String; 6] {
    let payout = format!("{:#x}", world.accounts[PROVIDER].address);
    ["--price-fri", &PRICE.to_string(), "--payout", &payout, "--cpu-millis", "1000"].map(str::to_owned)
}

/// The calls of a deposit, as a wallet reads them.
pub(crate) fn wallet(deposit: &JobDeposit) -> Result<Vec<Call>> {
    let call = |call: &ContractCall| -> Result<Call> {
        let calldata = call.calldata.iter().map(|felt| Ok(Felt::from_hex(felt)?)).collect::<Result<_>>()?;
        Ok(Call {
            to: Felt::from_hex(&call.contract_address)?,
            selector: selector(&call.entry_point),
            calldata,
        })
    };
    ensure!(deposit.calls.len() == 2, "{deposit:?}");
    deposit.calls.iter().map(call).collect()
}

/// A job that no worker can take.
pub(crate) fn for_nobody(job: NewJob) -> NewJob {
    NewJob { constraints: [("planet".to_owned(), "mars".to_owned())].into(), ..job }
}
