//! What people see of the chain through a coordinator: what was sent, what happened, what is at risk; and
//! what it says when account or contract are not what they should be.

use crate::stage::{CLIENT, MOST, PROVIDER, Stage, WINDOW, amount, for_nobody};
use crate::world::LONG;
use anyhow::{Context, Result, ensure};
use ciro_chain::contract::{Function, token};
use ciro_chain::rpc::read;
use ciro_core::job::JobState;
use ciro_testkit::api::chain::{ChainReconciliation, ChainStatus, NewEstimate};
use ciro_testkit::api::job::{CancelMode, Job, NewJob};
use ciro_testkit::api::page::PageQuery;
use ciro_testkit::api::payment::EarningsQuery;
use ciro_testkit::{program, sleep_job, until};
use serde_json::{Value, json};
use starknet_rust_core::types::U256;
use std::process::Command;

fn filtered(filter: String) -> PageQuery {
    PageQuery { filter: Some(filter), ..PageQuery::default() }
}

impl Stage {
    /// What `ciro chain` answers where no node is named.
    fn asked(&self, words: &[&str]) -> Result<Value> {
        let mut command = Command::new(program("ciro")?);
        command.arg("chain").args(words).args(["-o", "json"]).env_remove("STARKNET_RPC");
        command.env("CIRO_SERVER", &self.coordinator.url).env("CIRO_API_KEY", &self.coordinator.admin_key);
        let said = command.output()?;
        ensure!(said.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said.stderr));
        Ok(serde_json::from_slice(&said.stdout)?)
    }

    /// Starts the coordinator again with other settings of the chain.
    async fn again_with(&mut self, settings: &[(&str, Value)]) -> Result<()> {
        for (key, value) in settings {
            self.set(key, value.clone())?;
        }
        self.coordinator.restart().await?;
        self.client = self.coordinator.client()?;
        Ok(())
    }

    /// What `ciro chain audit` ends with, and what it says.
    fn audited(&self, words: &[&str]) -> Result<(Option<i32>, Value)> {
        let mut command = Command::new(program("ciro")?);
        let contract = format!("{:#x}", self.escrow);
        command.args(["chain", "audit", "--contract", &contract, "--rpc", self.world.devnet.url()]);
        let said = command.args(words).args(["-o", "json"]).output()?;
        let told = serde_json::from_slice(&said.stdout);
        Ok((said.status.code(), told.with_context(|| String::from_utf8_lossy(&said.stderr).into_owned())?))
    }

    /// The books hold; a gift is a surplus; who begins too late finds that something is missing.
    async fn audits(&self) -> Result<()> {
        let (code, told) = self.audited(&[])?;
        ensure!(
            code == Some(0) && told["findings"] == json!([]) && told["escrows"]["released"] == json!(1),
            "{told}"
        );
        ensure!(told["sampled"] == json!(1) && told["surplus"]["fri"] == json!("0"), "{told}");
        let gift = token::Transfer { recipient: self.escrow, amount: U256::from(7_u8) };
        self.world.carry_out(CLIENT, vec![gift.call(self.token)?]).await;
        let (code, told) = self.audited(&[])?;
        ensure!(code == Some(0) && told["surplus"]["fri"] == json!("7"), "{told}");
        let head = read::head(&self.world.pool).await?.number;
        let (code, told) = self.audited(&["--from-block", &head.to_string()])?;
        ensure!(code == Some(5) && told["findings"][0].to_string().contains("FRI credited"), "{told}");
        Ok(())
    }

    async fn reconciled(&self) -> Result<ChainReconciliation> {
        let look = async || Ok(Some(self.client.chain_reconcile().await?).filter(|done| done.at.is_some()));
        let done = until("books and contract to be compared", LONG, look).await;
        done.map_err(|error| error.context(self.coordinator.process().last_words()))
    }

    async fn until_found(&self, words: &str) -> Result<ChainStatus> {
        let look = async || {
            let status = self.client.chain_status().await?;
            Ok(status.findings.iter().any(|finding| finding.contains(words)).then_some(status))
        };
        until(words, LONG, look).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_and_what_happened_is_listed() -> Result<()> {
    let stage = Stage::new().await?;
    let id = stage.funded(sleep_job(200)).await?;
    stage.on_chain(id, "submitted").await?;
    let at_risk = stage.client.chain_status().await?.exposure.context("it takes deposits")?;
    ensure!(at_risk.jobs == 0 && at_risk.limit.is_none(), "the chain has its result: {at_risk:?}");
    stage.pass(WINDOW + 5).await?;
    let job = stage.money(id, "settled").await?;
    let escrow = job.deposit.context("it has one")?.escrow_id;

    let status = stage.client.chain_status().await?;
    let account = status.account.context("it sends")?;
    ensure!(status.enabled && status.findings.is_empty() && account.operator == Some(true), "{account:?}");
    ensure!(
        status.network.as_deref() == Some("SN_SEPOLIA") && account.explorer.is_none(),
        "no explorer here"
    );
    let lane = status.lane.context("it sends")?;
    ensure!((lane.waiting, lane.failed) == (0, 0) && lane.troubles.is_empty(), "{lane:?}");
    ensure!(status.follower.is_some_and(|follower| follower.block.is_some()));

    let of_job = stage.client.chain_events(&filtered(format!("escrow:{escrow}"))).await?.items;
    let names: Vec<&str> = of_job.iter().rev().map(|event| event.name.as_str()).collect();
    ensure!(
        names == ["JobSubmitted", "JobAssigned", "JobCompleted", "PaymentReleased", "JobRefunded"],
        "{names:?}"
    );
    let provider = format!("{:#x}", stage.world.accounts[PROVIDER].address);
    let credits = stage.client.chain_events(&filtered(format!("account:{provider}"))).await?.items;
    let paid = job.settlement.context("it is paid for")?.paid;
    ensure!(
        credits.len() == 1 && credits[0].amount.as_ref().map(|a| &a.fri) == Some(&paid.fri),
        "{credits:?}"
    );

    let sent = stage.client.chain_transactions(&filtered(format!("job:{id}"))).await?.items;
    let kinds: Vec<String> = sent.iter().rev().flat_map(|one| one.carries.keys().cloned()).collect();
    ensure!(kinds == ["assign", "result", "settle"], "{kinds:?}");
    // The lane looks at what landed in its own time.
    let look = async || {
        Ok(Some(stage.client.chain_transaction(&sent[0].hash).await?).filter(|one| one.fee.is_some()))
    };
    let one = until("the transaction to have landed", LONG, look).await?;
    ensure!(one.intents.len() == 1 && one.intents[0].job == Some(id), "{one:?}");
    let unknown = stage.client.chain_transaction("0x1234").await;
    ensure!(unknown.is_err_and(|error| error.to_string().contains("no transaction")), "it is none of ours");

    let contract = format!("{:#x}", stage.escrow);
    let call = |function: &str| NewEstimate {
        contract: contract.clone(),
        function: function.to_owned(),
        calldata: Vec::new(),
    };
    let estimate = stage.client.chain_estimate(&call("is_paused")).await?;
    ensure!(estimate.fee.fri.parse::<u128>()? > 0, "{estimate:?}");
    ensure!(stage.client.chain_estimate(&call("no_such_function")).await.is_err());

    let listed = stage.client.payment_settlements(None, &PageQuery::default()).await?.items;
    ensure!(listed.len() == 1 && listed[0].job == id && listed[0].shares.len() == 1, "{listed:?}");
    ensure!(listed[0].deposit.as_ref().is_some_and(|deposit| deposit.escrow_id == escrow), "{listed:?}");
    let earned = stage.client.payment_earnings(&EarningsQuery::default()).await?;
    ensure!(serde_json::to_string(&earned)?.contains(&paid.fri), "{earned:?}");

    ensure!(stage.asked(&["status"])?["enabled"] == json!(true));
    let contracts = stage.asked(&["contracts"])?;
    ensure!(contracts["items"][0]["settings"]["fee_bps"] == json!(250), "{contracts}");
    let words = ["events", "--filter", "name:PaymentReleased"];
    ensure!(stage.asked(&words)?["items"].as_array().is_some_and(|all| all.len() == 1));
    ensure!(stage.asked(&["tx", &sent[0].hash])?["hash"] == json!(sent[0].hash));
    stage.audits().await?;
    stage.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_at_risk_is_bounded_and_what_is_wrong_is_said() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.again_with(&[("max_exposure", json!(MOST.to_string()))]).await?;
    let too_large = NewJob { max_cost: Some(amount(MOST + 1)), ..stage.paid(sleep_job(1))? };
    let refused = stage.client.job_submit(&too_large, None).await.err().context("it would wait for ever")?;
    ensure!(refused.to_string().contains("no more than"), "{refused}");
    let first = stage.funded(for_nobody(sleep_job(1))).await?;
    stage.money(first, "locked").await?;
    let at_risk = stage.client.chain_status().await?.exposure.context("it takes deposits")?;
    ensure!((at_risk.jobs, at_risk.amount.fri) == (1, MOST.to_string()));
    let second = stage.funded(for_nobody(sleep_job(1))).await?;
    let held = |job: &Job| {
        let trouble = job.deposit.as_ref().and_then(|deposit| deposit.trouble.as_deref());
        trouble.is_some_and(|words| words.contains("put at risk"))
    };
    let job = stage.until_job("held back", second, held).await?;
    let state = job.deposit.and_then(|deposit| deposit.state);
    ensure!(
        job.state == JobState::AwaitingFunds && state.as_deref() == Some("open"),
        "its client can cancel"
    );
    stage.client.job_cancel(first, CancelMode::Now).await?;
    stage.money(second, "locked").await?;
    stage.client.job_cancel(second, CancelMode::Now).await?;
    stage.money(second, "settled").await?;

    // What was read is what the contract says; a coordinator that begins too late misses what is locked.
    let third = stage.funded(for_nobody(sleep_job(1))).await?;
    stage.money(third, "locked").await?;
    let done = stage.reconciled().await?;
    ensure!(done.findings.is_empty(), "{done:?}");
    let head = read::head(&stage.world.pool).await?.number;
    stage.again_with(&[("from_block", json!(head))]).await?;
    let done = stage.reconciled().await?;
    let words = format!("0 FRI are locked by what was read, {MOST} FRI by the contract");
    ensure!(done.findings == [words], "{done:?}");
    let code = Command::new(program("ciro")?)
        .args(["chain", "reconcile"])
        .env("CIRO_SERVER", &stage.coordinator.url)
        .env("CIRO_API_KEY", &stage.coordinator.admin_key)
        .output()?
        .status;
    ensure!(code.code() == Some(5), "{code}");

    let much = format!("1{}", "0".repeat(30));
    stage.again_with(&[("min_balance", json!(much))]).await?;
    let status = stage.until_found("are the least").await?;
    ensure!(status.findings.len() == 1, "{:?}", status.findings);
    let stranger = stage.world.devnet.accounts().await?.swap_remove(CLIENT);
    let key = json!(stranger.private_key);
    let own =
        [("min_balance", json!("1")), ("account_address", json!(stranger.address)), ("private_key", key)];
    stage.again_with(&own).await?;
    stage.until_found("operator").await?;
    let token = format!("{:#x}", stage.token);
    stage.again_with(&[("contract_address", json!(token))]).await?;
    let status = stage.until_found("has the class").await?;
    ensure!(status.account.is_some_and(|account| account.operator != Some(true)));
    let words = stage.client.raw(reqwest::Method::GET, "/status", None).await?;
    let words: Value = serde_json::from_slice(&words)?;
    ensure!(words["components"]["chain"]["state"] == json!("degraded"), "{:#}", words["components"]);
    stage.coordinator.stop().await?;
    Ok(())
}
