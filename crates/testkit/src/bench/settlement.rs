//! S3: what it takes to pay jobs from deposits on Starknet. A coordinator whose lane assigns, reports and
//! settles real jobs on a devnet, and beside it, on the same devnet, the same batches sent one behind the
//! other by a program that does nothing else: the limit.
//!
//! Gas is read from the receipts of the transactions that the coordinator names, of those that carry just
//! the batch. Time is counted without the dispute window. At the end the contract owes the provider what the
//! coordinator says that it was paid.

use super::chain::{Chain, Taken, Who};
use super::report::Row;
use super::server::Server;
use super::{Bench, median};
use anyhow::{Context, Result, bail, ensure};
use ciro_api::chain::ChainTransaction;
use ciro_api::client::{Client, decode};
use ciro_api::job::{
    Amount, CreatedBatch, EscrowPayment, JobDeposit, Limits as JobLimits, NewBatch, NewJob, PaymentMethod,
};
use ciro_api::page::PageQuery;
use ciro_chain::Felt;
use ciro_chain::contract::escrow::{
    AssignJobs, Assignment, CreditOf, JobResult, Order, Settle, Settlement, SubmitResults,
};
use ciro_chain::contract::{Function, JobKey, Payout};
use ciro_core::amount::Fri;
use ciro_core::payout::PayoutAddress;
use ciro_testkit::{LightOptions, LightWorker, sleep_job, until};
use reqwest::Method;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Jobs that go together.
const BATCHES: [usize; 3] = [1, 50, 100];
/// What is asked of the chain for a job, after its deposit.
const KINDS: [&str; 3] = ["assign", "result", "settle"];
/// What each job may cost, and what its worker asks for an hour.
const MOST: u128 = 600_000_011;
const PRICE: Fri = Fri(3_600_000_007);
const WALL_MS: u64 = 60_000;
/// What a job of the rival's earns: as little of what it may cost as those of the coordinator's.
const EARNED: u128 = 50_021;
/// How long a job runs.
const RUNS_MS: u64 = 50;
/// The coordinator is not told what goes together: it may take two transactions for a batch that ended in
/// two moments. So often at most the batch is tried again.
const TRIES: usize = 6;
const GIVE_UP: Duration = Duration::from_secs(180);

/// What became of a number of jobs.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// Deposit, assignment, result and settlement.
    steps: [Taken; 4],
    /// From the end of the window to the last settled job.
    settled_in: Duration,
    /// From the first submit to the last settled job, without the window.
    in_all: Duration,
}

impl Life {
    fn l2_gas(&self) -> f64 {
        self.steps.iter().map(|step| step.l2_gas).sum::<f64>() / 1e6
    }

    /// Without the deposit, which is the client's.
    fn of_the_operator(&self) -> f64 {
        self.l2_gas() - self.steps[0].l2_gas / 1e6
    }
}

/// L2 gas for each job in batches of 1, 50 and 100, and jobs a second.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let jobs = if bench.check { 100 } else { 400 };
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let chain = Chain::start(folder.path()).await?;
    let product = Product::start(bench, &chain)?;
    // A provider's first credit takes more than all others.
    alone(&chain, 1, 1, EARNED).await?;
    product.life(1).await?;
    let mut rows = Vec::new();
    eprintln!("{}", headings());
    for (batch, [all, whole, sent]) in BATCHES.into_iter().zip(ROWS) {
        let bare = alone(&chain, batch, batch, EARNED).await?;
        let whole_pay = alone(&chain, batch, batch, MOST).await?;
        let product = product.life(batch).await?;
        eprintln!("{}", line(batch, "all of it earned", &whole_pay));
        eprintln!("{}\n{}", line(batch, "calls alone", &bare), line(batch, "coordinator", &product));
        rows.push(all.row(whole_pay.l2_gas(), None));
        rows.push(whole.row(product.l2_gas(), Some(bare.l2_gas())));
        rows.push(sent.row(product.of_the_operator(), Some(bare.of_the_operator())));
    }
    let (mut settled, mut whole, mut limits) = (Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
    for _ in 0..bench.runs() {
        let bare = alone(&chain, jobs, 100, EARNED).await?;
        let run = product.run(jobs, 100).await?;
        let rate = |time: Duration| jobs as f64 / time.as_secs_f64();
        eprintln!(
            "{jobs} jobs: {:.0}/s settled and {:.0}/s in all, the calls alone {:.0}/s and {:.0}/s",
            rate(run.settled_in),
            rate(run.in_all),
            rate(bare.settled_in),
            rate(bare.in_all)
        );
        settled.push(rate(run.settled_in));
        whole.push(rate(run.in_all));
        limits.0.push(rate(bare.settled_in));
        limits.1.push(rate(bare.in_all));
    }
    product.is_what_the_contract_owes().await?;
    let row = |what, (all, limit): (Vec<f64>, Vec<f64>), floor, goal| {
        Row::at_least("S3", what, median(all), "jobs/s", floor, goal).of_limit(median(limit))
    };
    let what = "jobs/s settled on a devnet, from the end of the window";
    rows.push(row(what, (settled, limits.0), 50.0, 200.0));
    rows.push(row("jobs/s from submit to settlement, without the window", (whole, limits.1), 20.0, 60.0));
    Ok(rows)
}

/// A figure of gas, with its floor and goal.
#[derive(Debug, Clone, Copy)]
struct Gas(&'static str, f64, f64);

impl Gas {
    fn row(self, value: f64, limit: Option<f64>) -> Row {
        let row = Row::at_most("S3", self.0, value, "M", self.1, self.2);
        limit.map_or(row.clone(), |limit| row.of_limit(limit))
    }
}

/// For each of [`BATCHES`]: the whole life of a job that earns all of its deposit, and of one that leaves
/// something to be given back, as nearly all do; and what the coordinator sends of that.
const ROWS: [[Gas; 3]; BATCHES.len()] = [
    [
        Gas("L2 gas of a job that earns its deposit, 1 together", 9.0, 8.0),
        Gas("L2 gas of a job and what is given back, 1 together", 9.0, 8.0),
        Gas("of that, sent by the coordinator, 1 together", 5.5, 5.0),
    ],
    [
        Gas("L2 gas of a job that earns its deposit, 50 together", 2.0, 2.0),
        Gas("L2 gas of a job and what is given back, 50 together", 2.3, 2.0),
        Gas("of that, sent by the coordinator, 50 together", 2.0, 1.5),
    ],
    [
        Gas("L2 gas of a job that earns its deposit, 100 together", 2.0, 2.0),
        Gas("L2 gas of a job and what is given back, 100 together", 2.3, 2.0),
        Gas("of that, sent by the coordinator, 100 together", 2.0, 1.5),
    ],
];

fn headings() -> String {
    format!(
        "for each job, L2 gas in millions\n{:>4} {:<17} {:>8} {:>8} {:>8} {:>8} {:>9} {:>12} {:>12}",
        "jobs", "who", "deposit", "assign", "result", "settle", "in all", "L1 data gas", "fee, STRK"
    )
}

fn line(batch: usize, who: &str, life: &Life) -> String {
    let all: Taken = life.steps.iter().copied().sum();
    let steps = life.steps.map(|step| format!("{:>8.2}", step.l2_gas / 1e6)).join(" ");
    format!(
        "{batch:>4} {who:<17} {steps} {:>9.2} {:>12.0} {:>12.6}",
        life.l2_gas(),
        all.l1_data_gas,
        all.fee / 1e18
    )
}

/// Sends the calls of `jobs` jobs that earn so much each, `batch` in each transaction.
async fn alone(chain: &Chain, jobs: usize, batch: usize, earned: u128) -> Result<Life> {
    let (client, rival) = (chain.address(Who::Client), chain.address(Who::Rival));
    let deadline = chain.time().await? + 3_600;
    let seed = uuid::Uuid::now_v7().as_u128();
    let order =
        |no| Order { salt: Felt::from(seed) + Felt::from(no), spec_hash: Felt::ONE, amount: MOST, deadline };
    let orders: Vec<Order> = (0..jobs as u64).map(order).collect();
    let keys: Vec<JobKey> = orders.iter().map(|order| JobKey { client, salt: order.salt }).collect();
    let payouts = || vec![Payout { provider: rival, amount: earned }];
    let mut steps = [Taken::default(); 4];
    let begun = Instant::now();
    for orders in orders.chunks(batch) {
        steps[0] = chain.pay_in(orders.to_vec(), 250).await?;
    }
    for keys in keys.chunks(batch) {
        let assign = keys.iter().map(|key| Assignment { job_id: key.id(), worker: rival });
        let call = AssignJobs { batch: assign.collect() }.call(chain.escrow)?;
        steps[1] = Taken::of(&chain.carry_out(Who::Rival, vec![call]).await?, batch);
    }
    for keys in keys.chunks(batch) {
        let result =
            |key: &JobKey| JobResult { job_id: key.id(), result_hash: Felt::TWO, payouts: payouts() };
        let call = SubmitResults { batch: keys.iter().map(result).collect() }.call(chain.escrow)?;
        steps[2] = Taken::of(&chain.carry_out(Who::Rival, vec![call]).await?, batch);
    }
    let reported_in = begun.elapsed();
    chain.pass_window().await?;
    let begun = Instant::now();
    for keys in keys.chunks(batch) {
        let settle = |key: &JobKey| Settlement { job: key.clone(), payouts: payouts() };
        let call = Settle { batch: keys.iter().map(settle).collect() }.call(chain.escrow)?;
        steps[3] = Taken::of(&chain.carry_out(Who::Rival, vec![call]).await?, batch);
    }
    let settled_in = begun.elapsed();
    Ok(Life { steps, settled_in, in_all: reported_in + settled_in })
}

/// A coordinator on the chain with a worker whose work is paid.
struct Product<'c> {
    chain: &'c Chain,
    client: Client,
    paying: PayoutAddress,
    _worker: LightWorker,
    _server: Server,
}

impl<'c> Product<'c> {
    fn start(bench: &Bench, chain: &'c Chain) -> Result<Product<'c>> {
        let settings = chain.settings();
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let server = Server::start_with(&bench.coordinator, &bench.scratch, &settings)?;
        let url = format!("http://{}", server.address);
        let payout =
            |who| PayoutAddress::new(chain.address(who).to_bytes_be()).context("an account's address");
        let options = LightOptions {
            name: "paid".to_owned(),
            slots: 1_000,
            paid: Some((PRICE, payout(Who::Provider)?)),
            ..LightOptions::default()
        };
        let worker = LightWorker::start(&url, server.admin_key(), options)?;
        let client = Client::new(&url, Some(server.admin_key()))?;
        Ok(Product { chain, client, paying: payout(Who::Client)?, _worker: worker, _server: server })
    }

    /// A batch that took one transaction for each step.
    async fn life(&self, batch: usize) -> Result<Life> {
        for _ in 0..TRIES {
            let life = self.run(batch, batch).await?;
            if life.steps.iter().all(|step| step.l2_gas > 0.0) {
                return Ok(life);
            }
        }
        bail!("the coordinator sent {batch} jobs apart from each other {TRIES} times")
    }

    /// Brings `jobs` jobs to their end, `batch` deposits in each transaction. A step of which no transaction
    /// carried just one batch is left at 0.
    async fn run(&self, jobs: usize, batch: usize) -> Result<Life> {
        let before: HashSet<String> = self.sent().await?.into_iter().map(|sent| sent.hash).collect();
        let mut steps = [Taken::default(); 4];
        let begun = Instant::now();
        let deposits = self.submit(jobs).await?;
        for deposits in deposits.chunks(batch) {
            let max_fee_bps = deposits.iter().map(|deposit| deposit.max_fee_bps).max().unwrap_or_default();
            let orders = deposits.iter().map(order).collect::<Result<_>>()?;
            steps[0] = self.chain.pay_in(orders, max_fee_bps).await?;
        }
        self.until("the chain to have all results", async || {
            let new = self.sent().await?.into_iter().filter(|sent| !before.contains(&sent.hash));
            let landed = new.filter(|sent| sent.state == "l2");
            let carried = landed.map(|sent| sent.carries.get("result").copied().unwrap_or(0)).sum::<u64>();
            Ok(carried == jobs as u64)
        })
        .await?;
        let reported_in = begun.elapsed();
        self.chain.pass_window().await?;
        let begun = Instant::now();
        self.until("all jobs to be settled", async || self.is_settled().await).await?;
        let settled_in = begun.elapsed();
        for sent in self.sent().await?.iter().filter(|sent| !before.contains(&sent.hash)) {
            let [(kind, count)] = sent.carries.iter().collect::<Vec<_>>()[..] else { continue };
            let step = KINDS.iter().position(|known| known == kind);
            if let Some(step) = step.filter(|_| *count == batch as u64) {
                let landed = self.chain.look(Felt::from_hex(&sent.hash)?).await?;
                steps[step + 1] = Taken::of(&landed.context("it has landed")?, batch);
            }
        }
        Ok(Life { steps, settled_in, in_all: reported_in + settled_in })
    }

    async fn submit(&self, jobs: usize) -> Result<Vec<JobDeposit>> {
        let job = NewJob {
            max_cost: Some(Amount { fri: MOST.to_string(), strk: None }),
            payment: Some(PaymentMethod::Escrow(EscrowPayment { client: self.paying })),
            limits: Some(JobLimits { wall_ms: Some(WALL_MS), ..JobLimits::default() }),
            ..sleep_job(RUNS_MS)
        };
        let batch = NewBatch { jobs: vec![job; jobs] };
        let created: CreatedBatch =
            decode(self.client.request(Method::POST, "/v1/jobs:batch").json(&batch).send().await).await?;
        let deposits = created.items.into_iter().map(|job| job.deposit.context("it says what to pay in"));
        deposits.collect()
    }

    /// Every transaction of the lane.
    async fn sent(&self) -> Result<Vec<ChainTransaction>> {
        let (mut found, mut query) = (Vec::new(), PageQuery { limit: Some(200), ..PageQuery::default() });
        loop {
            let page = self.client.chain_transactions(&query).await?;
            found.extend(page.items);
            match page.next_cursor {
                Some(cursor) => query.cursor = Some(cursor),
                None => return Ok(found),
            }
        }
    }

    async fn is_settled(&self) -> Result<bool> {
        let filter = Some("state:locking,locked,settling,disputed".to_owned());
        let page = PageQuery { limit: Some(1), filter, ..PageQuery::default() };
        Ok(self.client.payment_escrows(None, &page).await?.items.is_empty())
    }

    async fn until(&self, what: &str, is: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let found = until(what, GIVE_UP, async || Ok(is().await?.then_some(()))).await;
        match found {
            Ok(()) => Ok(()),
            Err(error) => {
                let status = self.client.raw(Method::GET, "/status", None).await?;
                Err(error.context(String::from_utf8_lossy(&status).into_owned()))
            }
        }
    }

    /// What the coordinator says that the provider was paid is what the contract owes it.
    async fn is_what_the_contract_owes(&self) -> Result<()> {
        let (mut paid, mut query) = (0, PageQuery { limit: Some(200), ..PageQuery::default() });
        loop {
            let page = self.client.payment_settlements(None, &query).await?;
            for settled in &page.items {
                let one = settled.settlement.paid.fri.parse::<Fri>()?.0;
                ensure!(one > 0 && settled.settlement.state == "settled", "{settled:?}");
                paid += one;
            }
            match page.next_cursor {
                Some(cursor) => query.cursor = Some(cursor),
                None => break,
            }
        }
        let owed = self.chain.ask(&CreditOf { account: self.chain.address(Who::Provider) }).await?;
        ensure!(owed == paid, "the contract owes the provider {owed} FRI, and {paid} FRI were paid");
        Ok(())
    }
}

fn order(deposit: &JobDeposit) -> Result<Order> {
    Ok(Order {
        salt: Felt::from_hex(&deposit.salt)?,
        spec_hash: Felt::from_hex(&deposit.spec_hash)?,
        amount: deposit.amount.fri.parse::<Fri>()?.0,
        deadline: deposit.deadline,
    })
}
