//! Jobs that are paid from a deposit on a real chain, from the deposit to the withdrawal: what every ending
//! leaves whom, to the unit, as docs/money.md says.

use crate::lane::steps;
use crate::rig::crash;
use crate::stage::{
    ARBITER, CLIENT, MOST, PROVIDER, Stage, WEALTH, WINDOW, for_nobody, fri, wallet, without_fee,
};
use crate::world::LONG;
use anyhow::{Context, Result, ensure};
use ciro_chain::Felt;
use ciro_chain::contract::escrow::{self, GetTotals, Order, SubmitJob, Totals};
use ciro_chain::contract::{Function, JobKey, token};
use ciro_chain::rpc::read;
use ciro_core::id::JobId;
use ciro_core::job::JobState;
use ciro_testkit::api::job::{ArraySplit, CancelMode, Job, NewJob, Resources, Split};
use ciro_testkit::{say, sleep_job};
use starknet_rust_core::types::U256;

impl Stage {
    /// Holds a settled job against what it came to, and the credits on the chain against those before.
    pub(crate) async fn shared_out(&self, id: JobId, earned: u128, before: [u128; 3]) -> Result<()> {
        let job = self.money(id, "settled").await?;
        let of = job.settlement.context("it is paid for")?;
        let paid = without_fee(earned);
        let wanted = [MOST, paid, earned - paid, MOST - earned, 0];
        let found = [fri(&of.escrowed)?, fri(&of.paid)?, fri(&of.fee)?, fri(&of.refunded)?, fri(&of.held)?];
        ensure!(found == wanted, "{id}: {found:?}, not {wanted:?}");
        let after = self.credits().await;
        let credited = [after[0] - before[0], after[1] - before[1], after[2] - before[2]];
        ensure!(credited == [MOST - earned, paid, earned - paid], "{id}: {credited:?} with {earned} earned");
        Ok(())
    }

    /// The contract has as much as it owes, and whoever has credit takes it; what each has then.
    pub(crate) async fn everybody_withdraws(&self) -> Result<[u128; 3]> {
        let Totals { locked, credited, bonded } = self.world.ask(self.escrow, GetTotals {}).await;
        ensure!((locked, bonded) == (0, 0), "{locked} are locked, {bonded} bonded");
        ensure!(self.balance(self.escrow).await? == credited, "the contract has what it owes");
        let accounts = self.accounts();
        let to = accounts[1];
        if self.credit(to).await > 0 {
            let contract = format!("{:#x}", self.escrow);
            let (had, has) = (self.balance(to).await?, self.credit(to).await);
            let said = self.typed(PROVIDER, &["chain", "withdraw", "--contract", &contract]).await?;
            ensure!(said["credit"]["fri"] == has.to_string(), "{said}");
            ensure!(self.balance(to).await? == had + has, "it has what it was credited with");
        }
        for account in accounts {
            if self.credit(account).await > 0 {
                let call = escrow::WithdrawFor { account }.call(self.escrow)?;
                self.world.carry_out(ARBITER, vec![call]).await;
            }
        }
        ensure!(self.balance(self.escrow).await? == 0, "nothing is left in the contract");
        let mut has = [0; 3];
        for (has, account) in has.iter_mut().zip(accounts) {
            *has = self.balance(account).await?;
        }
        Ok(has)
    }
}

fn failing() -> NewJob {
    NewJob { kind: "fail".into(), args: vec!["3".into()], ..NewJob::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ending_leaves_everybody_what_the_table_says() -> Result<()> {
    let stage = Stage::new().await?;
    let (client, mut earned_in_all, mut fees) = (stage.world.accounts[CLIENT].address, 0, 0);
    ensure!(stage.balance(client).await? == WEALTH);

    // The deposit is named again, and with its calls only as long as it is waited for.
    let (late, deposit) = stage.submit(for_nobody(sleep_job(1))).await?;
    ensure!(stage.client.job_get(late).await?.deposit.as_ref() == Some(&deposit), "{deposit:?}");

    // Cancelled before the deposit came, which it does then: all of it goes back.
    stage.client.job_cancel(late, CancelMode::Now).await?;
    let before = stage.credits().await;
    stage.pay_in(&deposit).await?;
    let job = stage.on_chain(late, "cancelled").await?;
    ensure!(job.settlement.is_some_and(|of| of.state == "settled" && of.escrowed.fri == "0"));
    ensure!(stage.credits().await[0] - before[0] == MOST, "given back");

    // Another amount than what was asked for: it is not taken, and the client can take it back.
    let (wrong, deposit) = stage.submit(for_nobody(sleep_job(1))).await?;
    let salt = Felt::from_hex(&deposit.salt)?;
    let order = Order {
        salt,
        spec_hash: Felt::from_hex(&deposit.spec_hash)?,
        amount: MOST - 1,
        deadline: deposit.deadline,
    };
    let limits = escrow::Limits { max_fee_bps: deposit.max_fee_bps, min_window: 600 };
    let calls = vec![wallet(&deposit)?.swap_remove(0), SubmitJob { order, limits }.call(stage.escrow)?];
    stage.world.carry_out(CLIENT, calls).await;
    let said =
        |job: &Job| job.deposit.as_ref().and_then(|deposit| deposit.trouble.clone()).unwrap_or_default();
    let job = stage.until_job("refused", wrong, |job| said(job).contains("were asked for")).await?;
    ensure!(job.state == JobState::AwaitingFunds, "{job:?}");
    let cancel = escrow::Cancel { job: JobKey { client, salt } };
    stage.world.carry_out(CLIENT, vec![cancel.call(stage.escrow)?]).await;
    let job = stage.until_job("ended", wrong, |job| job.state.is_ended()).await?;
    ensure!(job.failure.is_some_and(|failure| failure.code == "funds_lost"), "its deposit is gone");

    // Paid in and taken back at once.
    let (back, deposit) = stage.submit(for_nobody(sleep_job(1))).await?;
    let mut calls = wallet(&deposit)?;
    let job = JobKey { client, salt: Felt::from_hex(&deposit.salt)? };
    calls.push(escrow::Cancel { job }.call(stage.escrow)?);
    stage.world.carry_out(CLIENT, calls).await;
    let job = stage.until_job("ended", back, |job| job.state.is_ended()).await?;
    ensure!(job.state == JobState::Cancelled && job.failure.is_some_and(|f| f.code == "funds_lost"));

    // Completed, and failed without anything to pay for.
    let before = stage.credits().await;
    let failed = stage.funded(failing()).await?;
    stage.shared_out(failed, 0, before).await?;
    let most = MOST.to_string();
    let job = ["job", "submit", "sleep", "300", "--wall", "60s", "--max-cost", &most, "--pay-from", "escrow"];
    let done: JobId = serde_json::from_value(stage.typed(CLIENT, &job).await?["id"].take())?;
    stage.on_chain(done, "submitted").await?;
    let job = stage.money(done, "settling").await?;
    ensure!(job.state == JobState::Completed, "{job:?}");
    let before = stage.credits().await;
    stage.pass(WINDOW + 5).await?;
    let earned = stage.earned(done).await?;
    ensure!(earned > 0);
    stage.shared_out(done, earned, before).await?;
    (earned_in_all, fees) = (earned_in_all + earned, fees + earned - without_fee(earned));

    // Cancelled on the way: what was accepted is paid.
    let array = Some(Split::Array(ArraySplit { count: 8 }));
    let one_by_one = Some(Resources { cpu_millis: Some(1_000), ..Resources::default() });
    let half = stage.funded(NewJob { split: array, resources: one_by_one, ..sleep_job(400) }).await?;
    stage.until_job("under way", half, |job| job.tasks.completed > 0).await?;
    stage.client.job_cancel(half, CancelMode::Now).await?;
    stage.on_chain(half, "submitted").await?;
    let before = stage.credits().await;
    stage.pass(WINDOW + 5).await?;
    let earned = stage.earned(half).await?;
    ensure!(earned > 0);
    stage.shared_out(half, earned, before).await?;
    (earned_in_all, fees) = (earned_in_all + earned, fees + earned - without_fee(earned));

    // Nobody took it before its deadline.
    let now = stage.client.job_get(half).await?.updated_at;
    let deadline = Some(now.0.plus_ms(8_000).into());
    let before = stage.credits().await;
    let late = stage.funded(NewJob { deadline, ..for_nobody(sleep_job(1)) }).await?;
    stage.shared_out(late, 0, before).await?;
    ensure!(stage.client.job_get(late).await?.state == JobState::Expired);

    // The client disagrees, and the arbiter lets half of it stand.
    let disputed = stage.funded(sleep_job(300)).await?;
    let job = stage.on_chain(disputed, "submitted").await?;
    let earned = stage.earned(disputed).await?;
    let bond = MOST * 500 / 10_000;
    let salt = Felt::from_hex(&job.deposit.context("it has one")?.salt)?;
    let approve = token::Approve { spender: stage.escrow, amount: U256::from(bond) };
    let dispute = escrow::Dispute { salt, reason: Felt::from_hex("0x6e6f")? };
    let calls = vec![approve.call(stage.token)?, dispute.call(stage.escrow)?];
    stage.world.carry_out(CLIENT, calls).await;
    stage.money(disputed, "disputed").await?;
    let before = stage.credits().await;
    let provider = stage.world.accounts[PROVIDER].address;
    let payouts = vec![ciro_chain::contract::Payout { provider, amount: earned }];
    let job = JobKey { client, salt };
    let resolve = escrow::Resolve { job, payouts, share_bps: 5_000 };
    stage.world.carry_out(ARBITER, vec![resolve.call(stage.escrow)?]).await;
    let of = stage.money(disputed, "settled").await?.settlement.context("it is paid for")?;
    let half = earned / 2;
    let paid = without_fee(half);
    let found = [fri(&of.paid)?, fri(&of.fee)?, fri(&of.refunded)?];
    ensure!(found == [paid, half - paid, MOST - half], "{found:?} with {half}");
    let after = stage.credits().await;
    let credited = [after[0] - before[0], after[1] - before[1], after[2] - before[2]];
    ensure!(credited == [MOST - half + bond, paid, half - paid], "{credited:?}");
    (earned_in_all, fees) = (earned_in_all + half, fees + half - paid);

    // The chain gave it back before it had ended: the job is cancelled.
    let gone = stage.funded(for_nobody(sleep_job(1))).await?;
    let job = stage.money(gone, "locked").await?;
    stage.pass(8 * 24 * 3_600).await?;
    let salt = Felt::from_hex(&job.deposit.context("it has one")?.salt)?;
    let expire = escrow::Expire { jobs: vec![JobKey { client, salt }] };
    let before = stage.credits().await;
    stage.world.carry_out(PROVIDER, vec![expire.call(stage.escrow)?]).await;
    stage.shared_out(gone, 0, [before[0], before[1], before[2]]).await?;
    ensure!(stage.client.job_get(gone).await?.state == JobState::Cancelled);

    let has = stage.everybody_withdraws().await?;
    let wanted = [WEALTH - earned_in_all, earned_in_all - fees, fees];
    ensure!(has == wanted, "{has:?}, not {wanted:?}");
    say(&format!("client {} -> {}, provider {}, treasury {}", WEALTH, has[0], has[1], has[2]));
    stage.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reorganisation_takes_a_deposit_and_a_kill_at_every_step_pays_once() -> Result<()> {
    let mut stage = Stage::new().await?;
    let before = read::head(&stage.world.pool).await?.number;
    let (id, deposit) = stage.submit(for_nobody(sleep_job(1))).await?;
    stage.pay_in(&deposit).await?;
    stage.money(id, "locked").await?;
    // Blocks of a devnet that differ in their transactions alone have the same hash: what comes in place of
    // those is made later.
    stage.pass(100).await?;
    stage.world.devnet.abort_from(before + 1).await?;
    // Blocks go one by one: for a moment the deposit is there, and not assigned any more.
    stage.money(id, "locking").await?;
    let is_gone = |job: &Job| job.deposit.as_ref().is_some_and(|deposit| deposit.state.is_none());
    let lost = stage.until_job("without a deposit", id, is_gone).await?;
    ensure!(lost.holds == ["funds"] && lost.state == JobState::Queued, "{lost:?}");
    let again = lost.deposit.context("it says what to pay in")?;
    ensure!(again.calls == deposit.calls, "the same deposit will do");
    stage.pay_in(&again).await?;
    stage.money(id, "locked").await?;
    let credits = stage.credits().await;
    stage.client.job_cancel(id, CancelMode::Now).await?;
    stage.shared_out(id, 0, credits).await?;

    // Killed between each two steps of a life.
    let (mut earned_in_all, mut fees) = (0, 0);
    let steps = steps("bridge.");
    ensure!(steps.len() >= 4, "{steps:?}");
    for step in &steps {
        let (id, deposit) = stage.submit(sleep_job(200)).await?;
        stage.coordinator.kill()?;
        stage.coordinator.ended(LONG).await?;
        stage.pay_in(&deposit).await?;
        crash(&mut stage.coordinator, step).await?;
        stage.coordinator.restart().await?;
        stage.on_chain(id, "submitted").await?;
        let credits = stage.credits().await;
        stage.pass(WINDOW + 5).await?;
        let earned = stage.earned(id).await?;
        stage.shared_out(id, earned, credits).await.with_context(|| step.clone())?;
        (earned_in_all, fees) = (earned_in_all + earned, fees + earned - without_fee(earned));
    }
    let has = stage.everybody_withdraws().await?;
    let wanted = [WEALTH - earned_in_all, earned_in_all - fees, fees];
    ensure!(has == wanted, "{has:?}, not {wanted:?}");
    stage.finish().await
}
