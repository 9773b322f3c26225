//! Books that say something else than the contract, and a contract that has less than it owes: each is named
//! wherever an operator looks, until it is mended, and what is no difference is none.

use crate::followed::{CLIENT, PROVIDER, Rig, WINDOW};
use crate::rig::Database;
use crate::stage::{self, MOST, Stage};
use crate::world::LONG;
use anyhow::{Context, Result, ensure};
use ciro_chain::Felt;
use ciro_chain::contract::escrow::{self, Limits, Order};
use ciro_chain::contract::{Function, token};
use ciro_chain::rpc::read::{self, selector};
use ciro_core::amount::Fri;
use ciro_core::money::{ChainEscrow, ChainState};
use ciro_testkit::api::chain::ChainReconciliation;
use ciro_testkit::api::page::PageQuery;
use ciro_testkit::{Coordinator, Mood, Node, program, sleep_job, until};
use serde_json::{Value, json};
use starknet_rust_core::types::U256;
use std::collections::BTreeSet;
use std::process::Command;

/// Compared every second, so that nothing has to be waited for.
const EVERY_MS: u64 = 1_000;
/// More than are asked for at once.
const MANY: u64 = 220;

/// What a coordinator says of its books, wherever it says it.
struct Told {
    done: ChainReconciliation,
    component: Value,
    figures: String,
    /// What `ciro chain reconcile` ends with.
    code: Option<i32>,
}

impl Told {
    async fn of(coordinator: &Coordinator) -> Result<Told> {
        let client = coordinator.client()?;
        let get = async |path: &str| client.raw(reqwest::Method::GET, path, None).await;
        let done = client.chain_reconcile().await?;
        let mut status: Value = serde_json::from_slice(&get("/status").await?)?;
        let figures = String::from_utf8(get("/metrics").await?)?;
        let mut command = Command::new(program("ciro")?);
        command.args(["chain", "reconcile"]).env("CIRO_SERVER", &coordinator.url);
        let code = command.env("CIRO_API_KEY", &coordinator.admin_key).output()?.status.code();
        Ok(Told { done, component: status["components"]["chain_reconciler"].take(), figures, code })
    }

    /// One of the coordinator's figures.
    fn figure(&self, name: &str) -> Result<f64> {
        let line = self.figures.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        Ok(line.with_context(|| format!("there is no {name}"))?.trim().parse()?)
    }

    /// Whether it is said everywhere that nothing differs.
    fn is_fine(&self) -> Result<bool> {
        let figure = self.figure("ciro_chain_differences")?;
        Ok(self.done.at.is_some()
            && self.done.differences == 0
            && self.done.findings.is_empty()
            && self.done.overdue.is_none()
            && self.component["state"] == "ok"
            && figure == 0.0
            && self.code == Some(0))
    }

    /// Whether as many differences are said everywhere, and no others.
    fn differs_in(&self, wanted: &BTreeSet<String>) -> Result<bool> {
        let found: BTreeSet<String> = self.done.findings.iter().cloned().collect();
        let first = self.done.findings.first().cloned().unwrap_or_default();
        let detail = self.component["detail"].as_str().unwrap_or_default();
        Ok(found == *wanted
            && self.done.differences == wanted.len() as u64
            && self.component["state"] == "degraded"
            && detail.contains(&first)
            && self.figure("ciro_chain_differences")? == wanted.len() as f64
            && self.code == Some(5))
    }
}

/// Until what is said of the books is this.
async fn until_told(
    coordinator: &Coordinator,
    what: &str,
    is: impl Fn(&Told) -> Result<bool>,
) -> Result<Told> {
    let mut last = String::new();
    let look = async || {
        let told = Told::of(coordinator).await?;
        if is(&told)? {
            return Ok(Some(told));
        }
        last = format!("{:#?}\n{:#}\nexit code {:?}", told.done, told.component, told.code);
        Ok(None)
    };
    let waited = until(what, LONG, look).await;
    waited.map_err(|error| error.context(format!("{last}\n{}", coordinator.process().last_words())))
}

async fn until_fine(coordinator: &Coordinator) -> Result<Told> {
    until_told(coordinator, "books and contract to agree", Told::is_fine).await
}

async fn until_differs(coordinator: &Coordinator, wanted: &[String]) -> Result<Told> {
    let wanted: BTreeSet<String> = wanted.iter().cloned().collect();
    until_told(coordinator, "books and contract to differ", |told| told.differs_in(&wanted)).await
}

/// What the audit log has of an action: about what, the oldest first.
async fn logged(coordinator: &Coordinator, action: &str) -> Result<Vec<String>> {
    let filter = Some(format!("action:{action}"));
    let page = PageQuery { filter, limit: Some(200), ..PageQuery::default() };
    let rows = coordinator.client()?.audit_list(&page).await?.items;
    ensure!(rows.iter().all(|row| row.actor == "system" && row.after.is_some()), "{rows:?}");
    Ok(rows.into_iter().rev().map(|row| row.object).collect())
}

/// What `ciro chain audit` ends with, and what it found.
fn audited(url: &str, contract: Felt, words: &[&str]) -> Result<(Option<i32>, Value)> {
    let mut command = Command::new(program("ciro")?);
    let contract = format!("{contract:#x}");
    command.args(["chain", "audit", "--contract", &contract, "--rpc", url]);
    let said = command.args(words).args(["-o", "json"]).output()?;
    let told = serde_json::from_slice(&said.stdout);
    Ok((said.status.code(), told.with_context(|| String::from_utf8_lossy(&said.stderr).into_owned())?))
}

/// One way in which a row can say something else than the contract.
struct Spoiled {
    salt: u64,
    spoil: fn(&mut ChainEscrow),
    words: &'static str,
}

/// Those of them that leave what is locked in all as it is.
const SPOILED: [Spoiled; 6] = [
    Spoiled {
        salt: 1,
        spoil: |row| row.state = ChainState::Assigned,
        words: "its events say assigned, the contract says open",
    },
    Spoiled {
        salt: 2,
        spoil: |row| row.fee_bps = 251,
        words: "fee_bps is 251 by its events, 250 by the contract",
    },
    Spoiled { salt: 3, spoil: |row| row.clock = Some(7), words: "clock is 7 by its events" },
    Spoiled {
        salt: 4,
        spoil: |row| row.state = ChainState::Rejected,
        words: "its events say rejected, the contract says released",
    },
    Spoiled {
        salt: 5,
        spoil: |row| row.window_s += 1,
        words: "clock is 61 by its events, 60 by the contract",
    },
    Spoiled { salt: 7, spoil: |row| row.payouts[0].amount = Fri(602), words: "its payouts have the hash" },
];

#[tokio::test(flavor = "multi_thread")]
async fn every_row_that_says_something_else_is_named_until_it_is_mended() -> Result<()> {
    let mut rig = Rig::new(&[("reconcile_every_ms", json!(EVERY_MS))]).await?;
    for count in [7, 72, 72, MANY - 151] {
        rig.pay(count).await?;
    }
    rig.assign([2, 3, 4, 7]).await?;
    rig.report([3, 4, 7]).await?;
    rig.call(CLIENT, escrow::Cancel { job: rig.key(5) }).await?;
    rig.pass(WINDOW).await?;
    rig.settle([4]).await?;
    rig.coordinator.restart().await?;
    rig.reads_on().await?;
    let told = until_fine(&rig.coordinator).await?;
    let done = &told.done;
    ensure!(
        (done.escrows, done.open) == (MANY + 2, MANY - 2),
        "all that are not over, and 4 and 5 twice: {done:?}"
    );
    ensure!(
        done.foreign_escrows == MANY - 2 && done.foreign.is_some(),
        "nobody's here, and no difference: {done:?}"
    );
    rig.coordinator.stop().await?;

    let ids: Vec<[u8; 32]> = (1..=MANY).map(|salt| rig.key(salt).id().to_bytes_be()).collect();
    let of = |salt: u64| ids[usize::try_from(salt).unwrap_or_default() - 1];
    let rows = rig.rows.followed(&ids).await?.1;
    let row = |salt: u64| rows[usize::try_from(salt).unwrap_or_default() - 1].clone().context("it was read");
    let mut wanted = Vec::new();
    for Spoiled { salt, spoil, words } in &SPOILED {
        let mut spoiled = row(*salt)?;
        spoil(&mut spoiled);
        rig.rows.plant(of(*salt), Some(spoiled)).await?;
        wanted.push((of(*salt), *words));
    }
    // The last one that is not over, whatever its place among the pages.
    let last = row(MANY)?;
    rig.rows.plant(last.id, Some(ChainEscrow { expires_at: 1, ..last.clone() })).await?;
    wanted.push((last.id, "expires_at is 1 by its events"));
    // One that the contract does not have, and one of which the rows have nothing.
    let unknown = [1; 32];
    rig.rows.plant(unknown, Some(ChainEscrow { id: unknown, amount: Fri(5), ..row(1)? })).await?;
    wanted.push((unknown, "the contract does not have it"));
    rig.rows.plant(of(6), None).await?;
    let locked = done_locked(&rig).await?;
    let sum = format!("{} FRI are locked by what was read, {locked} FRI by the contract", locked + 5 - 1_006);

    rig.coordinator.restart().await?;
    let count = wanted.len() as u64 + 1;
    let told = until_told(&rig.coordinator, "all of it to be named", |told| {
        Ok(told.done.differences >= count && told.component["state"] == "degraded" && told.code == Some(5))
    });
    let told = told.await?;
    let findings = &told.done.findings;
    ensure!(findings.len() as u64 == count && findings.contains(&sum), "{findings:#?} without `{sum}`");
    for (id, words) in &wanted {
        let words = format!("escrow {:#066x}: {words}", Felt::from_bytes_be(id));
        ensure!(
            findings.iter().any(|finding| finding.starts_with(&words)),
            "{findings:#?} without `{words}`"
        );
    }
    ensure!(told.figure("ciro_chain_differences")? == count as f64);
    let names: BTreeSet<String> = wanted
        .iter()
        .map(|(id, _)| format!("{:#066x}", Felt::from_bytes_be(id)))
        .chain(["locked".to_owned()])
        .collect();
    let differ = logged(&rig.coordinator, "books.differ").await?;
    ensure!(
        differ.iter().cloned().collect::<BTreeSet<_>>() == names && differ.len() == names.len(),
        "{differ:?}"
    );
    // Another start finds the same, and writes nothing twice.
    rig.coordinator.stop().await?;
    rig.coordinator.restart().await?;
    until_differs(&rig.coordinator, findings).await?;
    ensure!(logged(&rig.coordinator, "books.differ").await?.len() == names.len());
    rig.coordinator.stop().await?;

    for salt in 1..=7 {
        rig.rows.plant(of(salt), Some(row(salt)?)).await?;
    }
    rig.rows.plant(last.id, Some(last)).await?;
    rig.rows.plant(unknown, None).await?;
    rig.coordinator.restart().await?;
    until_fine(&rig.coordinator).await?;
    let agree = logged(&rig.coordinator, "books.agree").await?;
    ensure!(agree.into_iter().collect::<BTreeSet<_>>() == names);
    rig.coordinator.stop().await?;
    rig.rows.verify_followed()
}

/// What the contract has locked.
async fn done_locked(rig: &Rig) -> Result<u128> {
    Ok(rig.world.ask(rig.escrow, escrow::GetTotals {}).await.locked)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_says_of_the_money_is_held_against_the_events_and_silence_is_said() -> Result<()> {
    let mut rig = Rig::new(&[("reconcile_every_ms", json!(EVERY_MS))]).await?;
    let node = Node::start(rig.world.devnet.url()).await?;
    rig.coordinator.options_mut().settings["blockchain"]["rpc_url"] = json!(node.url);
    rig.pay(2).await?;
    rig.assign([1]).await?;
    rig.report([1]).await?;
    rig.pass(WINDOW).await?;
    rig.settle([1]).await?;
    rig.coordinator.restart().await?;
    rig.reads_on().await?;
    let before = until_fine(&rig.coordinator).await?;

    let says = |function: &str, felts: &[&str]| {
        let felts = felts.iter().map(|felt| (*felt).to_owned()).collect();
        node.set(Mood::Says(format!("{:#x}", selector(function)), felts));
    };
    // 1,001 and 1,002 were paid in, and all of it is owed.
    says("balance_of", &["0x7d2", "0x0"]);
    let short = "the contract has 2002 FRI and owes 2003 FRI".to_owned();
    until_differs(&rig.coordinator, std::slice::from_ref(&short)).await?;
    let (code, told) = audited(&node.url, rig.escrow, &[])?;
    ensure!(code == Some(5) && told["findings"] == json!([short]), "{told}");
    says("credit_of", &["0x1"]);
    let (code, told) = audited(&node.url, rig.escrow, &[])?;
    let provider = rig.world.accounts[PROVIDER].address;
    let words = format!("{provider:#066x} has 586 FRI of credit by the events, 1 FRI by the contract");
    let found = told["findings"].as_array().context("it lists what it found")?;
    ensure!(code == Some(5) && found.len() == 3 && found.contains(&json!(words)), "{told}");
    ensure!(told["accounts"] == json!(3) && told["accounts_sampled"] == json!(3), "{told}");
    let (_, told) = audited(&node.url, rig.escrow, &["--accounts", "1"])?;
    ensure!(told["findings"] == json!([words]), "the one with most: {told}");

    node.set(Mood::Honest);
    let after = until_fine(&rig.coordinator).await?;
    let (code, told) = audited(&node.url, rig.escrow, &[])?;
    ensure!(code == Some(0) && told["accounts_sampled"] == json!(3), "{told}");
    let at = "ciro_chain_last_comparison_timestamp_seconds";
    ensure!(after.figure(at)? > before.figure(at)?, "it is compared again and again");

    node.set(Mood::Gone);
    let overdue = until_told(&rig.coordinator, "the silence to be said", |told| {
        let words = "nothing was compared since";
        let detail = told.component["detail"].as_str().unwrap_or_default();
        Ok(told.done.overdue.as_ref().is_some_and(|said| said.starts_with(words))
            && (told.component["state"] == "degraded" && detail.starts_with(words))
            && told.code == Some(8))
    });
    let overdue = overdue.await?;
    ensure!(overdue.done.differences == 0 && overdue.figure(at)? >= after.figure(at)?, "{:?}", overdue.done);
    node.set(Mood::Honest);
    let back = until_fine(&rig.coordinator).await?;
    ensure!(back.figure(at)? > overdue.figure(at)?);
    rig.coordinator.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_was_settled_otherwise_than_the_chain_says_is_named_and_a_stranger_is_not() -> Result<()> {
    let mut shop = Stage::on(Database::Sqlite, &[("reconcile_every_ms", json!(EVERY_MS))]).await?;
    let id = shop.funded(sleep_job(200)).await?;
    shop.on_chain(id, "submitted").await?;
    shop.pass(stage::WINDOW + 5).await?;
    let job = shop.money(id, "settled").await?;
    // Somebody pays in for nothing that this coordinator knows of.
    let head = read::head(&shop.world.pool).await?.number;
    let now = read::header(&shop.world.pool, head).await?.context("no head")?.timestamp;
    let order = Order { salt: Felt::from(7_u8), spec_hash: Felt::ONE, amount: MOST, deadline: now + 3_600 };
    let limits = Limits { max_fee_bps: 1_000, min_window: 1 };
    let calls = vec![
        token::Approve { spender: shop.escrow, amount: U256::from(MOST) }.call(shop.token)?,
        escrow::SubmitJob { order, limits }.call(shop.escrow)?,
    ];
    shop.world.carry_out(stage::CLIENT, calls).await;
    shop.coordinator.stop().await?;
    shop.coordinator.restart().await?;
    let stranger = until_told(&shop.coordinator, "the stranger to be counted", |told| {
        Ok(told.is_fine()? && told.done.foreign_escrows == 1)
    });
    let done = stranger.await?.done;
    ensure!(
        done.foreign.is_some_and(|amount| amount.fri == MOST.to_string()) && done.open == 1 && done.jobs > 0
    );

    shop.coordinator.stop().await?;
    let rows = ciro_testkit::Outbox::of(shop.coordinator.options())?;
    let escrow = Felt::from_hex(&job.deposit.context("it has one")?.escrow_id)?.to_bytes_be();
    let row = rows.followed(&[escrow]).await?.1.remove(0).context("it was read")?;
    let paid = Fri(row.paid.0 + 1);
    rows.plant(escrow, Some(ChainEscrow { paid, refunded: Fri(row.refunded.0 - 1), ..row.clone() })).await?;
    shop.coordinator.restart().await?;
    let named = until_told(&shop.coordinator, "the job to be named", |told| {
        Ok(told.done.differences == 1 && told.code == Some(5) && told.component["state"] == "degraded")
    });
    let findings = named.await?.done.findings;
    let words = format!("{id} was settled otherwise than the chain says: {} FRI to providers", row.paid);
    ensure!(findings.len() == 1 && findings[0].starts_with(&words), "{findings:?} is not `{words}`");
    ensure!(logged(&shop.coordinator, "books.differ").await? == [id.to_string()]);
    shop.coordinator.stop().await?;
    rows.plant(escrow, Some(row)).await?;
    shop.coordinator.restart().await?;
    until_fine(&shop.coordinator).await?;
    ensure!(logged(&shop.coordinator, "books.agree").await? == [id.to_string()]);
    shop.client = shop.coordinator.client()?;
    shop.finish().await
}
