//! Two tenants that both want every worker get shares by their weights; one that is alone gets all.

use anyhow::{Context, Result, ensure};
use ciro_api::client::Client;
use ciro_api::event::Event;
use ciro_api::job::{ArraySplit, NewJob, Split};
use ciro_api::key::{NewKey, Role};
use ciro_api::tenant::{NewTenant, Quotas};
use ciro_core::id::JobId;
use ciro_core::job::JobState;
use ciro_testkit::{Env, Process, say, sleep_job, until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const SILENCE: Duration = Duration::from_secs(20);
/// Grants that are counted while both want all.
const COUNTED: usize = 400;
/// How far a share may be from what the weights say.
const TOLERANCE: f64 = 0.03;

/// Tasks of each tenant.
const TASKS: u32 = 500;

/// A tenant with a client of its own.
struct Tenant {
    client: Client,
    weight: u32,
}

impl Tenant {
    async fn make(env: &Env, name: &str, weight: u32) -> Result<Tenant> {
        let new = NewTenant { name: name.to_owned(), weight, quotas: Quotas::default() };
        let id = env.client.tenant_create(&new, None).await?.id;
        let key = NewKey { name: name.to_owned(), role: Role::Client, expires_at: None, tenant: Some(id) };
        let key = env.client.key_create(&key, None).await?.key;
        Ok(Tenant { client: env.client.with_token(&key), weight })
    }

    /// Submits one job of all tasks, and waits until they could be granted.
    async fn submit(&self) -> Result<JobId> {
        let split = Some(Split::Array(ArraySplit { count: TASKS }));
        let job = NewJob { split, ..sleep_job(10) };
        let id = self.client.job_submit(&job, None).await?.id;
        let look = async || Ok((self.client.job_get(id).await?.state.name() == "queued").then_some(()));
        until("the tasks to be there", SOON, look).await?;
        Ok(id)
    }

    /// Positions of the grants of all that it has.
    async fn granted(&self) -> Result<Vec<u64>> {
        let path = "/v1/events?types=attempt.leased&after=0";
        let (mut positions, mut last) = (Vec::new(), None);
        let mut frames = self.client.event_stream(path, None).await?;
        while positions.len() < TASKS as usize {
            let frame = tokio::time::timeout(SILENCE, frames.next()).await;
            match frame.with_context(|| format!("the log names {} of {TASKS} grants", positions.len()))?? {
                Some(frame) if frame.name == "lagged" => {}
                Some(frame) => {
                    let event: Event = frame.json()?;
                    positions.push(event.id.parse()?);
                    last = frame.id;
                }
                None => frames = self.client.event_stream(path, last.as_deref()).await?,
            }
        }
        Ok(positions)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_follow_the_weights() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let tenants = [Tenant::make(&env, "one", 1).await?, Tenant::make(&env, "three", 3).await?];
    let jobs = [tenants[0].submit().await?, tenants[1].submit().await?];
    let workers: Vec<Process> =
        (0..3).map(|n| env.light_process(&format!("worker-{n}"), 8, "a=b")).collect::<Result<_>>()?;
    let mut grants: Vec<(u64, usize)> = Vec::new();
    for (at, tenant) in tenants.iter().enumerate() {
        let look = async || {
            let status = tenant.client.job_wait(jobs[at], Duration::from_secs(5)).await?;
            Ok(status.ended.then_some(()))
        };
        until("everything to have run", SOON, look).await?;
        grants.extend(tenant.granted().await?.into_iter().map(|position| (position, at)));
    }
    // The operator's own job; it is what `verify` is held against.
    let own = env.submit(&sleep_job(1)).await?;
    env.expect(own, JobState::Completed, SOON).await?;
    drop(workers);
    grants.sort_unstable();
    let of = |at| grants[..COUNTED].iter().filter(|(_, of)| *of == at).count();
    let counted = [of(0), of(1)];
    let wanted = TASKS as usize;
    ensure!(counted.iter().all(|n| *n < wanted), "one had no backlog to the end: {counted:?}");
    let share = counted[0] as f64 / COUNTED as f64;
    ensure!((share - 0.25).abs() <= TOLERANCE, "weights 1:3 gave {counted:?} of {COUNTED} grants");
    let last = grants.iter().rposition(|(_, of)| *of == 1).context("both were granted something")?;
    ensure!(last + 1 < grants.len(), "the one that is alone gets all that is left");
    let [one, three] = &tenants;
    say(&format!("weights {}:{}: {counted:?} of {COUNTED} grants", one.weight, three.weight));
    env.stop_and_verify().await?;
    Ok(())
}
