//! What becomes of deposits before work begins behind them: how sure the chain must be of which amount, and
//! how many may begin together.

use crate::rig::Database;
use crate::stage::{CLIENT, MOST, Stage, amount, for_nobody};
use crate::world::LONG;
use anyhow::{Context, Result, ensure};
use ciro_chain::Felt;
use ciro_chain::contract::escrow::{self, Limits, Order, SubmitJob};
use ciro_chain::contract::{Function, JobKey, token};
use ciro_chain::rpc::read;
use ciro_core::id::JobId;
use ciro_core::job::JobState;
use ciro_core::payout::PayoutAddress;
use ciro_testkit::api::event::HistoryQuery;
use ciro_testkit::api::job::{CancelMode, CreatedJob, EscrowPayment, Job, JobDeposit, NewJob, PaymentMethod};
use ciro_testkit::{program, sleep_job, until};
use serde_json::json;
use starknet_rust_core::types::U256;
use std::process::Command;

impl Stage {
    /// A job that nobody takes and that may cost so much.
    async fn at_most(&self, most: u128) -> Result<(JobId, JobDeposit)> {
        let client = format!("{:#x}", self.world.accounts[CLIENT].address).parse::<PayoutAddress>()?;
        let job = NewJob {
            max_cost: Some(amount(most)),
            payment: Some(PaymentMethod::Escrow(EscrowPayment { client })),
            ..for_nobody(sleep_job(1))
        };
        let CreatedJob { id, deposit, .. } = self.client.job_submit(&job, None).await?;
        Ok((id, deposit.context("it says what to pay in")?))
    }

    /// Everything that the chain has is proved on Ethereum.
    async fn prove(&self) -> Result<()> {
        let head = read::head(&self.world.pool).await?.number;
        let params = json!({ "starting_block_id": { "block_number": head } });
        self.world.devnet.rpc("devnet_acceptOnL1", params).await.map(drop)
    }
}

fn waits_for(job: &Job) -> &str {
    job.deposit.as_ref().and_then(|deposit| deposit.waits_for.as_deref()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_deposit_waits_for_ethereum_and_a_small_one_does_not() -> Result<()> {
    let stage = Stage::on(Database::Sqlite, &[("deposit_l1_from", json!(MOST.to_string()))]).await?;
    let (large, of_large) = stage.at_most(MOST).await?;
    let (small, of_small) = stage.at_most(MOST - 1).await?;
    ensure!(of_large.waits_for.as_deref() == Some("waits for the deposit"), "{of_large:?}");
    stage.pay_in(&of_large).await?;
    stage.pay_in(&of_small).await?;
    let job = stage.money(small, "locked").await?;
    ensure!(job.state == JobState::Queued && waits_for(&job).is_empty(), "{job:?}");

    let waits = |job: &Job| waits_for(job).starts_with("waits for Ethereum");
    let job = stage.until_job("waiting for Ethereum", large, waits).await?;
    let deposit = job.deposit.context("it has one")?;
    ensure!(job.state == JobState::AwaitingFunds && job.holds == ["funds"], "{:?}", job.holds);
    ensure!(deposit.state.as_deref() == Some("assigned") && deposit.trouble.is_none(), "{deposit:?}");
    let shown = Command::new(program("ciro")?)
        .args(["job", "get", &large.to_string()])
        .env("CIRO_SERVER", &stage.coordinator.url)
        .env("CIRO_API_KEY", &stage.coordinator.admin_key)
        .output()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(shown.contains("waits for Ethereum"), "{shown}");

    stage.prove().await?;
    let job = stage.money(large, "locked").await?;
    ensure!(job.state == JobState::Queued && waits_for(&job).is_empty(), "{job:?}");
    // What is given back counts as everything else does: nothing more is proved.
    for id in [large, small] {
        stage.client.job_cancel(id, CancelMode::Now).await?;
        stage.money(id, "settled").await?;
    }
    stage.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_deposits_that_come_together_one_stays_its_clients_where_no_more_is_stood_for() -> Result<()> {
    let most = json!(MOST.to_string());
    // Between assignment and beginning there is time: that is where the other one comes.
    let settings = [("deposit_l1_from", most.clone()), ("max_exposure", most)];
    let stage = Stage::on(Database::Sqlite, &settings).await?;
    let both = [stage.at_most(MOST).await?, stage.at_most(MOST).await?];
    for (_, deposit) in &both {
        stage.pay_in(deposit).await?;
    }
    let is_held = |job: &Job| {
        let trouble = job.deposit.as_ref().and_then(|deposit| deposit.trouble.as_deref());
        trouble.is_some_and(|words| words.contains("put at risk"))
    };
    let look = async || {
        for (at, (id, _)) in both.iter().enumerate() {
            if is_held(&stage.client.job_get(*id).await?) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    };
    let held = until("one of both to be held back", LONG, look).await?;
    let ((held, deposit), (taken, _)) = (&both[held], &both[1 - held]);
    let waits = |job: &Job| waits_for(job).starts_with("waits for Ethereum");
    stage.until_job("assigned", *taken, waits).await?;
    let exposure = stage.client.chain_status().await?.exposure.context("it takes deposits")?;
    let (at_risk, promised) = (exposure.amount.fri, exposure.promised.fri);
    ensure!((exposure.jobs, at_risk.as_str(), promised) == (0, "0", MOST.to_string()), "{at_risk}");

    // The one is still its client's, who takes it back where nobody else decides that.
    let job = JobKey { client: stage.world.accounts[CLIENT].address, salt: Felt::from_hex(&deposit.salt)? };
    stage.world.carry_out(CLIENT, vec![escrow::Cancel { job }.call(stage.escrow)?]).await;
    let job = stage.until_job("cancelled", *held, |job| job.state.is_ended()).await?;
    ensure!(job.failure.is_some_and(|failure| failure.code == "funds_lost"), "its deposit is gone");
    // The other one begins.
    stage.prove().await?;
    stage.money(*taken, "locked").await?;
    let exposure = stage.client.chain_status().await?.exposure.context("it takes deposits")?;
    ensure!((exposure.jobs, exposure.amount.fri) == (1, MOST.to_string()), "{:?}", exposure.promised);
    stage.client.job_cancel(*taken, CancelMode::Now).await?;
    stage.money(*taken, "settled").await?;
    stage.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposit_that_is_refused_is_an_event_of_its_job_and_that_it_is_gone_another() -> Result<()> {
    let mut stage = Stage::new().await?;
    let before = read::head(&stage.world.pool).await?.number;
    let (id, deposit) = stage.at_most(MOST).await?;
    let order = Order {
        salt: Felt::from_hex(&deposit.salt)?,
        spec_hash: Felt::from_hex(&deposit.spec_hash)?,
        amount: MOST - 1,
        deadline: deposit.deadline,
    };
    let limits = Limits { max_fee_bps: deposit.max_fee_bps, min_window: 600 };
    let approve = token::Approve { spender: stage.escrow, amount: U256::from(MOST) };
    let calls = vec![approve.call(stage.token)?, SubmitJob { order, limits }.call(stage.escrow)?];
    stage.world.carry_out(CLIENT, calls).await;

    let job = stage.until_job("refused", id, |job| job.holds == ["funds", "deposit"]).await?;
    let is_said = |job: &Job| job.deposit.as_ref().is_some_and(|deposit| deposit.trouble.is_some());
    let words = stage.until_job("in trouble", id, is_said).await?.deposit.and_then(|of| of.trouble);
    ensure!(job.state == JobState::AwaitingFunds && waits_for(&job).is_empty(), "{job:?}");
    // Once, whoever looks at it how often.
    stage.coordinator.restart().await?;
    stage.client = stage.coordinator.client()?;
    stage.until_job("in trouble", id, is_said).await?;
    let about = async || {
        let told = stage.client.job_events(id, &HistoryQuery::default()).await?.items;
        Ok::<_, anyhow::Error>(
            told.into_iter().filter(|event| event.type_.starts_with("job.deposit")).collect::<Vec<_>>(),
        )
    };
    let told = about().await?;
    ensure!(told.len() == 1 && told[0].type_ == "job.deposit_trouble", "{told:?}");
    ensure!(told[0].data["code"] == json!("amount") && told[0].data["message"] == json!(words), "{told:?}");

    // A reorganisation takes it, and the right one comes in its place.
    stage.pass(100).await?;
    stage.world.devnet.abort_from(before + 1).await?;
    stage.until_job("without a deposit", id, |job| waits_for(job) == "waits for the deposit").await?;
    stage.pay_in(&deposit).await?;
    stage.money(id, "locked").await?;
    let told: Vec<_> = about().await?.into_iter().map(|event| event.type_).collect();
    ensure!(told == ["job.deposit_trouble", "job.deposit_trouble_over"], "{told:?}");
    stage.client.job_cancel(id, CancelMode::Now).await?;
    stage.money(id, "settled").await?;
    stage.finish().await
}
