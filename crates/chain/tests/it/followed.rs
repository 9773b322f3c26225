//! A coordinator that follows the escrow contract on a real chain: what its rows say of every escrow is
//! what the contract says, in every state that an escrow can be in, and whatever blocks were taken away.

use crate::contracts::{address, deployed};
use crate::world::{LONG, World};
use anyhow::{Context, Result, ensure};
use ciro_chain::Felt;
use ciro_chain::contract::escrow::{self, Limits, Order};
use ciro_chain::contract::{Function, Job, JobKey, JobState, Payout, payouts_hash, token};
use ciro_chain::rpc::read;
use ciro_core::money::{ChainEscrow, ChainState};
use ciro_testkit::{Coordinator, CoordinatorOptions, Outbox, until};
use serde_json::{Value, json};
use starknet_rust_core::types::U256;
use tempfile::TempDir;

/// Seconds in which a client can disagree.
pub(crate) const WINDOW: u64 = 60;
const OPERATOR: usize = 0;
pub(crate) const CLIENT: usize = 1;
pub(crate) const PROVIDER: usize = 2;

/// A chain with a contract, and a coordinator that follows it. It is stopped until [`Rig::read`].
pub(crate) struct Rig {
    pub(crate) world: World,
    pub(crate) escrow: Felt,
    pub(crate) coordinator: Coordinator,
    pub(crate) rows: Outbox,
    /// Salts of all escrows that there were in any history.
    salts: u64,
    _folder: TempDir,
}

impl Rig {
    pub(crate) async fn new(settings: &[(&str, Value)]) -> Result<Rig> {
        let (world, _desk, shown) = deployed(&["--test-token", "--window", "60"]).await;
        let (escrow, tokens) = (address(&shown, "JobEscrow"), address(&shown, "TestToken"));
        let much = U256::from(1_000_000_u32);
        let client = world.accounts[CLIENT].address;
        world.carry_out(OPERATOR, vec![token::Mint { recipient: client, amount: much }.call(tokens)?]).await;
        world.carry_out(CLIENT, vec![token::Approve { spender: escrow, amount: much }.call(tokens)?]).await;
        let folder = tempfile::tempdir()?;
        let mut coordinator = Coordinator::start(CoordinatorOptions::in_folder(folder.path())).await?;
        coordinator.stop().await?;
        let rows = Outbox::of(coordinator.options_mut())?;
        let own = [
            ("rpc_url", json!(world.devnet.url())),
            ("chain_id", json!("SN_SEPOLIA")),
            ("contract_address", json!(format!("{escrow:#x}"))),
            ("finality", json!("l2")),
        ];
        let section: Value =
            own.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        coordinator.options_mut().settings.insert("blockchain".to_owned(), section);
        Ok(Rig { world, escrow, coordinator, rows, salts: 0, _folder: folder })
    }

    pub(crate) fn key(&self, salt: u64) -> JobKey {
        JobKey { client: self.world.accounts[CLIENT].address, salt: Felt::from(salt) }
    }

    pub(crate) async fn call(&self, account: usize, function: impl Function) -> Result<()> {
        self.world.carry_out(account, vec![function.call(self.escrow)?]).await;
        Ok(())
    }

    /// The client pays for so many jobs more; the salt of the first.
    pub(crate) async fn pay(&mut self, count: u64) -> Result<u64> {
        let head = read::head(&self.world.pool).await?.number;
        let now = read::header(&self.world.pool, head).await?.context("no head")?.timestamp;
        let first = self.salts + 1;
        self.salts += count;
        let orders = (first..=self.salts).map(|salt| Order {
            salt: Felt::from(salt),
            spec_hash: Felt::from(salt + 7),
            amount: 1_000 + u128::from(salt),
            deadline: now + 3_600,
        });
        let limits = Limits { max_fee_bps: 1_000, min_window: 60 };
        self.call(CLIENT, escrow::SubmitJobs { orders: orders.collect(), limits }).await?;
        Ok(first)
    }

    fn payouts(&self) -> Vec<Payout> {
        vec![Payout { provider: self.world.accounts[PROVIDER].address, amount: 601 }]
    }

    pub(crate) async fn assign(&self, salts: impl IntoIterator<Item = u64>) -> Result<()> {
        let worker = self.world.accounts[PROVIDER].address;
        let batch = salts.into_iter().map(|salt| escrow::Assignment { job_id: self.key(salt).id(), worker });
        self.call(OPERATOR, escrow::AssignJobs { batch: batch.collect() }).await
    }

    pub(crate) async fn report(&self, salts: impl IntoIterator<Item = u64>) -> Result<()> {
        let batch = salts.into_iter().map(|salt| escrow::JobResult {
            job_id: self.key(salt).id(),
            result_hash: Felt::from(salt + 9),
            payouts: self.payouts(),
        });
        self.call(OPERATOR, escrow::SubmitResults { batch: batch.collect() }).await
    }

    pub(crate) async fn settle(&self, salts: impl IntoIterator<Item = u64>) -> Result<()> {
        let batch =
            salts.into_iter().map(|salt| escrow::Settlement { job: self.key(salt), payouts: self.payouts() });
        self.call(PROVIDER, escrow::Settle { batch: batch.collect() }).await
    }

    async fn resolve(&self, salt: u64, share_bps: u16) -> Result<()> {
        let (job, payouts) = (self.key(salt), self.payouts());
        self.call(OPERATOR, escrow::Resolve { job, payouts, share_bps }).await
    }

    pub(crate) async fn pass(&self, seconds: u64) -> Result<()> {
        self.world.devnet.rpc("devnet_increaseTime", json!({ "time": seconds })).await.map(drop)
    }

    /// Takes the newest blocks away.
    async fn reorganise(&self, depth: u64) -> Result<()> {
        let head = read::head(&self.world.pool).await?.number;
        self.world.devnet.abort_from(head + 1 - depth).await?;
        // The hash of a devnet's block tells how many transactions are in it, and neither which nor what came
        // before: the other history begins with a block without any.
        self.world.devnet.block().await
    }

    async fn component(&self) -> Result<Value> {
        let text = self.coordinator.client()?.raw(reqwest::Method::GET, "/status", None).await?;
        let mut status: Value = serde_json::from_slice(&text)?;
        Ok(status["components"]["chain_follower"].take())
    }

    /// Until everything that the chain has is read.
    pub(crate) async fn reads_on(&self) -> Result<()> {
        let head = read::head(&self.world.pool).await?.number;
        let words = format!("at block {head}");
        let caught_up = async || Ok((self.component().await?["detail"] == json!(words)).then_some(()));
        let waited = until(&format!("the follower to be `{words}`"), LONG, caught_up).await;
        waited.map_err(|error| error.context(self.coordinator.process().last_words()))
    }

    /// The coordinator reads on and is stopped; what its rows say is what the contract says.
    async fn read(&mut self) -> Result<Vec<Option<ChainEscrow>>> {
        if self.coordinator.has_ended()?.is_some() {
            self.coordinator.restart().await?;
        }
        self.reads_on().await?;
        self.coordinator.stop().await?;
        let keys: Vec<JobKey> = (1..=self.salts).map(|salt| self.key(salt)).collect();
        let job_ids: Vec<Felt> = keys.iter().map(JobKey::id).collect();
        let ids: Vec<[u8; 32]> = job_ids.iter().map(Felt::to_bytes_be).collect();
        let (cursor, rows) = self.rows.followed(&ids).await?;
        ensure!(cursor.is_some_and(|cursor| cursor.is_current()), "{cursor:?}");
        let jobs = self.world.ask(self.escrow, escrow::GetJobs { job_ids }).await;
        ensure!(jobs.len() == rows.len());
        for ((key, job), row) in keys.iter().zip(&jobs).zip(&rows) {
            agrees(key, job, row.as_ref())
                .with_context(|| format!("salt {}: {job:?} and {row:?}", key.salt))?;
        }
        self.rows.verify_followed()?;
        Ok(rows)
    }
}

/// Whether a row says of an escrow what the contract does.
fn agrees(key: &JobKey, job: &Job, row: Option<&ChainEscrow>) -> Result<()> {
    let Some(row) = row else {
        ensure!(job.state == JobState::None, "the rows do not have it");
        return Ok(());
    };
    let states = [
        (JobState::Open, ChainState::Open),
        (JobState::Assigned, ChainState::Assigned),
        (JobState::Submitted, ChainState::Submitted),
        (JobState::Disputed, ChainState::Disputed),
        (JobState::Released, ChainState::Released),
        (JobState::Cancelled, ChainState::Cancelled),
        (JobState::Expired, ChainState::Expired),
        (JobState::Rejected, ChainState::Rejected),
    ];
    ensure!(states.contains(&(job.state, row.state)), "state");
    ensure!((row.client.bytes(), row.salt) == (key.client.to_bytes_be(), key.salt.to_bytes_be()), "whose");
    ensure!(
        (row.amount.0, row.fee_bps, row.expires_at) == (job.amount, job.fee_bps, job.expires_at),
        "terms"
    );
    let clock = row.clock.unwrap_or(row.window_s);
    ensure!((clock, row.window_s) == (job.clock, WINDOW), "clock");
    ensure!(row.held().0 == if row.state.is_over() { 0 } else { job.amount }, "amounts");
    let payouts = row.payouts.iter().map(|payout| Payout {
        provider: Felt::from_bytes_be(&payout.provider.bytes()),
        amount: payout.amount.0,
    });
    let payouts: Vec<Payout> = payouts.collect();
    let hash = if payouts.is_empty() { Felt::ZERO } else { payouts_hash(&payouts) };
    ensure!(hash == job.payouts_hash, "payouts");
    Ok(())
}

/// The state, and who was credited: providers, treasury, client.
fn money(row: Option<&ChainEscrow>) -> Option<(ChainState, [u128; 3])> {
    row.map(|row| (row.state, [row.paid.0, row.fee.0, row.refunded.0]))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_escrow_is_in_the_rows_as_it_is_in_the_contract() -> Result<()> {
    let mut rig = Rig::new(&[]).await?;
    rig.pay(9).await?;
    rig.assign(2..=8).await?;
    rig.report(3..=7).await?;
    for salt in [5_u64, 6, 7] {
        rig.call(CLIENT, escrow::Dispute { salt: Felt::from(salt), reason: Felt::ONE }).await?;
    }
    rig.call(CLIENT, escrow::Cancel { job: rig.key(9) }).await?;
    rig.resolve(5, 0).await?;
    rig.resolve(6, 5_000).await?;
    rig.pass(WINDOW).await?;
    rig.settle([1, 4]).await?;
    let rows = rig.read().await?;
    let found: Vec<_> = rows.iter().map(|row| money(row.as_ref())).collect();
    let open = |state| Some((state, [0; 3]));
    // 601 less a fee of 2.5 %, rounded down; half of it; and what is left of the amount.
    let expected = [
        open(ChainState::Open),
        open(ChainState::Assigned),
        open(ChainState::Submitted),
        Some((ChainState::Released, [586, 15, 403])),
        Some((ChainState::Rejected, [0, 0, 1_005])),
        Some((ChainState::Released, [293, 7, 706])),
        open(ChainState::Disputed),
        open(ChainState::Assigned),
        Some((ChainState::Cancelled, [0, 0, 1_009])),
    ];
    ensure!(found == expected, "{found:?}");
    let skipped = rows[0].as_ref().and_then(|row| row.skipped.as_ref()).context("it was left out")?;
    ensure!(skipped.reason == "NOT_SUBMITTED", "{skipped:?}");

    // While nobody reads: the block with the settlement goes, and then it happens otherwise.
    rig.reorganise(1).await?;
    rig.settle([3]).await?;
    let rows = rig.read().await?;
    ensure!(money(rows[2].as_ref()).is_some_and(|(state, _)| state == ChainState::Released));
    ensure!(money(rows[3].as_ref()) == open(ChainState::Submitted), "it is taken back");
    ensure!(rows[0].as_ref().is_some_and(|row| row.skipped.is_none()), "so is that it was left out");

    // While it is read: almost everything goes, the deposits stay.
    rig.coordinator.restart().await?;
    rig.reads_on().await?;
    rig.reorganise(10).await?;
    rig.reads_on().await?;
    let eleventh = rig.pay(2).await? + 1;
    rig.assign([1, eleventh]).await?;
    rig.pass(8_000).await?;
    rig.call(PROVIDER, escrow::Expire { jobs: vec![rig.key(2), rig.key(eleventh)] }).await?;
    let rows = rig.read().await?;
    ensure!(money(rows[10].as_ref()).is_some_and(|(state, _)| state == ChainState::Expired));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_beyond_what_is_kept_is_read_again_from_the_deployment() -> Result<()> {
    let mut rig = Rig::new(&[]).await?;
    rig.pay(3).await?;
    let kept = read::head(&rig.world.pool).await?.number;
    rig.assign([1, 2]).await?;
    for _ in 0..260 {
        rig.world.devnet.block().await?;
    }
    let rows = rig.read().await?;
    ensure!(money(rows[0].as_ref()).is_some_and(|(state, _)| state == ChainState::Assigned));

    rig.world.devnet.abort_from(kept + 1).await?;
    rig.world.devnet.block().await?;
    rig.call(CLIENT, escrow::Cancel { job: rig.key(1) }).await?;
    rig.pay(1).await?;
    // Where the first history has a block without transactions that is kept, this one has one with one.
    for salt in 5..=8 {
        rig.pay(1).await.with_context(|| format!("salt {salt}"))?;
    }
    let rows = rig.read().await?;
    let states: Vec<_> = rows.iter().map(|row| row.as_ref().map(|row| row.state)).collect();
    let open = Some(ChainState::Open);
    ensure!(states[0] == Some(ChainState::Cancelled) && states[1..] == [open; 7], "{states:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_escrow_contract_is_said_and_another_one_begins_anew() -> Result<()> {
    let mut rig = Rig::new(&[]).await?;
    rig.pay(2).await?;
    rig.read().await?;
    let escrow = std::mem::replace(&mut rig.escrow, Felt::from(0x1234_u32));
    rig.coordinator.options_mut().settings["blockchain"]["contract_address"] = json!("0x1234");
    rig.coordinator.restart().await?;
    let said = async || {
        let component = rig.component().await?;
        let words = component["detail"].as_str().unwrap_or_default().to_owned();
        Ok((words.contains("there is no contract at 0x1234") && component["state"] == "degraded")
            .then_some(()))
    };
    until("the follower to say that there is nothing", LONG, said).await?;
    rig.coordinator.stop().await?;
    let id = rig.key(1).id().to_bytes_be();
    ensure!(rig.rows.followed(&[id]).await?.1[0].is_some(), "nothing is forgotten for a slip of the pen");

    // The same contract from a later block on: what was paid in before is not known.
    let head = read::head(&rig.world.pool).await?.number;
    rig.escrow = escrow;
    let blockchain = &mut rig.coordinator.options_mut().settings["blockchain"];
    blockchain["contract_address"] = json!(format!("{escrow:#x}"));
    blockchain["from_block"] = json!(head + 1);
    rig.pay(1).await?;
    rig.coordinator.restart().await?;
    rig.reads_on().await?;
    rig.coordinator.stop().await?;
    let ids = [id, rig.key(3).id().to_bytes_be()];
    let (_, rows) = rig.rows.followed(&ids).await?;
    ensure!(rows[0].is_none() && rows[1].is_some(), "{rows:?}");
    rig.rows.verify_followed()
}
