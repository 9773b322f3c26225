//! Jobs that are paid from a balance: what every ending leaves whom, to the unit, as docs/money.md says.

use anyhow::{Context, Result, ensure};
use ciro_api::client::Client;
use ciro_api::job::{
    Amount, ArraySplit, Attempt, CancelMode, JobSettlement, Limits, NewJob, PaymentMethod, Resources, Split,
};
use ciro_api::key::{NewKey, Role};
use ciro_api::page::PageQuery;
use ciro_api::payment::{Balance, EarningsPeriod, EarningsQuery, NewDeposit};
use ciro_api::tenant::{NewTenant, Quotas};
use ciro_core::amount::Fri;
use ciro_core::id::{JobId, TenantId};
use ciro_core::job::JobState;
use ciro_testkit::{Env, RealWorker, say, sleep_job, until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
/// 2.5 %.
const FEE_BPS: u16 = 250;
/// What the worker asks for an hour: a unit that does not divide evenly.
const PRICE: u128 = 3_600_000_000_000_007;
const DEPOSIT: u128 = 10_000_000_000_000_000;
/// What each job may cost; enough for a worker of that price under the limit of [`job`].
const MOST: u128 = 600_000_000_000_011;

/// A tenant, and clients of its roles.
struct Tenant {
    id: TenantId,
    client: Client,
    join: String,
}

impl Tenant {
    async fn make(env: &Env, name: &str) -> Result<Tenant> {
        let new = NewTenant { name: name.to_owned(), weight: 1, quotas: Quotas::default() };
        let id = env.client.tenant_create(&new, None).await?.id;
        let key = async |role| {
            let key = NewKey { name: format!("{name} {role:?}"), role, expires_at: None, tenant: Some(id) };
            env.client.key_create(&key, None).await.map(|made| made.key)
        };
        let client = env.client.with_token(&key(Role::Client).await?);
        Ok(Tenant { id, client, join: key(Role::Join).await? })
    }

    async fn balance(&self, env: &Env) -> Result<[u128; 3]> {
        let Balance { available, held, earned, .. } = env.client.payment_balance(Some(self.id)).await?;
        Ok([fri(&available)?, fri(&held)?, fri(&earned)?])
    }
}

fn fri(amount: &Amount) -> Result<u128> {
    Ok(amount.fri.parse::<Fri>()?.0)
}

fn amount(fri: u128) -> Amount {
    Amount { fri: fri.to_string(), strk: None }
}

/// The same job, paid for.
fn paid(job: NewJob) -> NewJob {
    let limits = job.limits.unwrap_or_default();
    NewJob {
        max_cost: Some(amount(MOST)),
        payment: Some(PaymentMethod::Balance),
        limits: Some(Limits { wall_ms: Some(60_000), ..limits }),
        ..job
    }
}

fn failing() -> NewJob {
    NewJob { kind: "fail".into(), args: vec!["3".into()], ..NewJob::default() }
}

struct Stage {
    env: Env,
    buyer: Tenant,
    provider: Tenant,
}

impl Stage {
    async fn start() -> Result<Stage> {
        let env = Env::start(|options| options.set("payments", "fee_bps", FEE_BPS)).await?;
        let (buyer, provider) = (Tenant::make(&env, "buyer").await?, Tenant::make(&env, "provider").await?);
        let amount = amount(DEPOSIT);
        let deposit = NewDeposit { tenant: Some(buyer.id), amount, reference: None, note: None };
        env.client.payment_deposit(&deposit, None).await?;
        Ok(Stage { env, buyer, provider })
    }

    fn worker(&self) -> Result<RealWorker> {
        let price = PRICE.to_string();
        let arguments = ["--price-fri", &price, "--cpu-millis", "1000"];
        let (url, join) = (&self.env.coordinator.url, &self.provider.join);
        RealWorker::start_at(url, join, self.env.folder(), "dear", &arguments)
    }

    async fn submit(&self, job: NewJob) -> Result<JobId> {
        Ok(self.buyer.client.job_submit(&paid(job), None).await?.id)
    }

    async fn ended(&self, id: JobId, state: JobState) -> Result<JobSettlement> {
        let look = async || {
            let status = self.buyer.client.job_wait(id, Duration::from_secs(5)).await?;
            Ok(status.ended.then_some(status))
        };
        let status = until("the job to end", SOON, look).await?;
        ensure!(status.state == state, "{id} is {:?}, not {state:?}: {:?}", status.state, status.failure);
        self.buyer.client.job_get(id).await?.settlement.context("it is paid for")
    }

    /// What the list of settlements says of each.
    async fn settlements<const N: usize>(&self, jobs: [JobId; N]) -> Result<Vec<JobSettlement>> {
        let page = PageQuery { limit: Some(200), ..PageQuery::default() };
        let all = self.buyer.client.payment_settlements(None, &page).await?.items;
        let of = |job: &JobId| {
            let found = all.iter().find(|settlement| settlement.job == *job);
            let found = found.with_context(|| format!("{job} is not listed"))?;
            let shares = found.shares.iter().map(|share| Ok(fri(&share.amount)? + fri(&share.fee)?));
            let (paid, fee) = (fri(&found.settlement.paid)?, fri(&found.settlement.fee)?);
            ensure!(shares.sum::<Result<u128>>()? == paid + fee, "{found:?}");
            ensure!(found.shares.iter().all(|share| share.tenant.is_none()), "others are not named");
            Ok(found.settlement.clone())
        };
        jobs.iter().map(of).collect()
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<Attempt>> {
        let page = PageQuery { limit: Some(200), ..PageQuery::default() };
        Ok(self.buyer.client.job_attempts(id, &page).await?.items)
    }

    /// What the accepted attempts of a job come to, from the figures that anybody can see.
    async fn earned(&self, id: JobId) -> Result<u128> {
        let attempts = self.attempts(id).await?;
        let cost = |attempt: &Attempt| -> Result<u128> {
            let price = fri(attempt.price.as_ref().context("it has a price")?)?;
            let measured = attempt.usage.context("it was measured")?.wall_ms;
            let ended = attempt.ended_at.context("it ended")?;
            let ran = measured.min(ended.0.since_ms(attempt.granted_at.0)).min(60_000);
            Ok(price * u128::from(ran) / 3_600_000)
        };
        let accepted = attempts.iter().filter(|attempt| attempt.state.name() == "accepted");
        accepted.map(cost).sum()
    }
}

/// Whether a settlement shares out all of what was locked as the table says.
fn shared_out(of: &JobSettlement, earned: u128) -> Result<u128> {
    let fee = earned * u128::from(FEE_BPS) / 10_000;
    let wanted = [MOST, earned - fee, fee, MOST - earned, 0];
    let found = [fri(&of.escrowed)?, fri(&of.paid)?, fri(&of.fee)?, fri(&of.refunded)?, fri(&of.held)?];
    ensure!(of.state == "settled" && found == wanted, "{}: {found:?}, not {wanted:?}", of.state);
    Ok(fee)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ending_shares_out_what_was_locked_to_the_unit() -> Result<()> {
    let mut stage = Stage::start().await?;
    let (mut earned, mut fees) = (0, 0);

    let dear = NewJob { max_cost: Some(amount(DEPOSIT + 1)), ..paid(sleep_job(1)) };
    let refused = stage.buyer.client.job_submit(&dear, None).await;
    let refused = refused.err().context("the balance does not cover it")?;
    ensure!(refused.status() == Some(402) && refused.code() == Some("insufficient_funds"), "{refused}");
    ensure!(refused.to_string().contains(&DEPOSIT.to_string()), "it says what is there: {refused}");

    // The operator's own job, which nobody pays for; it is what `verify` is held against.
    let own = stage.env.submit(&sleep_job(1)).await?;
    let now = stage.env.client.job_get(own).await?.created_at;

    // Nobody took it.
    let late = stage.submit(NewJob { deadline: Some(now.0.plus_ms(2_000).into()), ..sleep_job(1) }).await?;
    ensure!(stage.buyer.balance(&stage.env).await? == [DEPOSIT - MOST, MOST, 0], "it is locked");
    shared_out(&stage.ended(late, JobState::Expired).await?, 0)?;
    ensure!(stage.buyer.balance(&stage.env).await? == [DEPOSIT, 0, 0], "and given back");

    let mut worker = stage.worker()?;
    let good = paid(sleep_job(1_000));
    let done = stage.buyer.client.job_submit(&good, Some("once")).await?.id;
    ensure!(
        stage.buyer.client.job_submit(&good, Some("once")).await?.id == done,
        "a repeated call locks once"
    );
    let bad = stage.submit(failing()).await?;
    for (id, state) in [(done, JobState::Completed), (bad, JobState::Failed)] {
        let of = stage.ended(id, state).await?;
        let came_to = stage.earned(id).await?;
        ensure!((came_to > 0) == (state == JobState::Completed), "{id}: {came_to}");
        fees += shared_out(&of, came_to)?;
        earned += came_to;
    }

    // What was accepted before the end is paid.
    let array = Some(Split::Array(ArraySplit { count: 8 }));
    let one_by_one = Some(Resources { cpu_millis: Some(1_000), ..Resources::default() });
    let half = NewJob { split: array, resources: one_by_one, ..sleep_job(1_000) };
    let half = stage.submit(half).await?;
    let accepted = async || {
        let attempts = stage.attempts(half).await?;
        Ok(attempts.iter().any(|attempt| attempt.state.name() == "accepted").then_some(()))
    };
    until("a task to be done", SOON, accepted).await?;
    let [_, held, _] = stage.buyer.balance(&stage.env).await?;
    ensure!(held == MOST, "all is held while it runs: {held}");
    stage.buyer.client.job_cancel(half, CancelMode::Now).await?;
    let of = stage.ended(half, JobState::Cancelled).await?;
    let came_to = stage.earned(half).await?;
    ensure!(came_to > 0, "something was accepted");
    fees += shared_out(&of, came_to)?;
    earned += came_to;

    // Run again, it is paid for again.
    let again = stage.buyer.client.job_retry(bad, None).await?.id;
    shared_out(&stage.ended(again, JobState::Failed).await?, 0)?;

    let [available, held, _] = stage.buyer.balance(&stage.env).await?;
    ensure!([available, held] == [DEPOSIT - earned, 0], "{available} and {held} after {earned}");
    let [_, _, got] = stage.provider.balance(&stage.env).await?;
    ensure!(got == earned - fees, "{got} of {earned} with {fees} of fees");
    let totals = stage.env.client.payment_totals().await?;
    ensure!(fri(&totals.treasury)? == fees && fri(&totals.external)? == DEPOSIT, "{totals:?}");
    for (job, of) in [done, bad, half].into_iter().zip(stage.settlements([done, bad, half]).await?) {
        ensure!(Some(of) == stage.buyer.client.job_get(job).await?.settlement, "{job} is listed as it is");
    }
    for by in [EarningsPeriod::Day, EarningsPeriod::Month] {
        let query = EarningsQuery { by: Some(by), ..EarningsQuery::default() };
        let of = stage.provider.client.payment_earnings(&query).await?;
        let payments: u64 = of.periods.iter().map(|period| period.sums.payments).sum();
        ensure!(fri(&of.total.amount)? == got && fri(&of.total.balance)? == got, "{of:?}, not {got}");
        ensure!((of.total.payments, payments) == (2, 2), "two jobs earned something: {of:?}");
    }
    say(&format!("{earned} FRI earned, {fees} of it fees, {available} given back of {DEPOSIT}"));
    stage.env.expect(own, JobState::Completed, SOON).await?;
    worker.process().terminate()?;
    stage.env.stop_and_verify().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_may_refuse_what_nobody_pays_for() -> Result<()> {
    let mut stage = Stage::start().await?;
    let (url, join) = (&stage.env.coordinator.url, &stage.provider.join);
    let mut paid_only = RealWorker::start_at(
        url,
        join,
        stage.env.folder(),
        "paid-only",
        &["--cpu-millis", "1000", "--paid-only"],
    )?;
    let listed = async || {
        let workers = stage.provider.client.worker_list(&PageQuery::default()).await?.items;
        Ok(workers.into_iter().find(|worker| worker.name == "paid-only"))
    };
    ensure!(until("the worker to be listed", SOON, listed).await?.paid_only);
    let unpaid = stage.env.submit(&sleep_job(1)).await?;
    let done = stage.submit(sleep_job(1)).await?;
    stage.ended(done, JobState::Completed).await?;

    // The one that came first still waits, and says for what.
    let explained = stage.env.client.job_explain(unpaid).await?;
    let survey = explained.workers.context("it was held against workers")?;
    let rejected: Vec<_> = survey.rejected.iter().map(|by| (by.filter.as_str(), by.workers)).collect();
    ensure!(
        explained.reason == "no_worker_fits" && rejected == [("unpaid", 1)],
        "{} {rejected:?}",
        explained.reason
    );
    let plan = stage.buyer.client.job_plan(&sleep_job(1)).await?;
    let planned: Vec<_> = plan.workers.rejected.iter().map(|by| by.filter.as_str()).collect();
    ensure!(planned == ["unpaid"], "a plan says so before: {planned:?}");

    let mut any = RealWorker::start_at(url, join, stage.env.folder(), "any", &["--cpu-millis", "1000"])?;
    stage.env.expect(unpaid, JobState::Completed, SOON).await?;
    any.process().terminate()?;
    paid_only.process().terminate()?;
    stage.env.stop_and_verify().await?;
    Ok(())
}
