//! An old backup beside a chain that has gone on: what was paid in, assigned, reported, paid and given back
//! since the backup stands on the chain, and the restored coordinator knows nothing of it. It stops before it
//! sends anything, goes on by an operator's word, and nobody is paid a second time.

use crate::market::{Market, escrow_of};
use crate::rig::{Database, until_says};
use crate::stage::{OPERATOR, PROVIDER, Stage, WINDOW, for_nobody};
use anyhow::{Context, Result, ensure};
use ciro_chain::Felt;
use ciro_chain::contract::escrow::{Expire, GetTotals, Settle, Settlement};
use ciro_chain::contract::{Function, JobKey, JobState};
use ciro_core::id::JobId;
use ciro_core::job::JobState as OfJob;
use ciro_testkit::api::job::CancelMode;
use ciro_testkit::{Chance, cycles, program, say, side_by_side, sleep_job};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const CI: u32 = 1;
const FULL: u32 = 50;
const AT_ONCE: usize = 2;
/// Backups that are restored beside one chain.
const ROUNDS: usize = 5;
/// Beyond deadline and grace of every deposit, seconds.
const TOO_LATE: u64 = 9 * 24 * 3_600;

#[test]
fn a_coordinator_from_an_old_backup_pays_nobody_a_second_time() -> Result<()> {
    let rounds: Vec<u32> = (0..cycles(CI, FULL)).collect();
    let all = side_by_side(rounds.chunks(ROUNDS).collect(), AT_ONCE, play)?;
    let mut sum = Outcome::default();
    for one in all {
        sum.jobs += one.jobs;
        sum.forgotten += one.forgotten;
        sum.releases += one.releases;
        sum.before += one.before;
    }
    let Outcome { jobs, forgotten, releases, before } = sum;
    say(&format!(
        "{} old backups restored beside the chain: {jobs} jobs settled, {forgotten} that they knew nothing of; {releases} \
         releases, {before} of them after a backup and before its restore; none twice",
        rounds.len()
    ));
    Ok(())
}

#[derive(Default)]
struct Outcome {
    jobs: usize,
    /// Jobs of the lost time.
    forgotten: usize,
    releases: u64,
    /// Releases of the lost time.
    before: usize,
}

async fn play(rounds: &[u32]) -> Result<Outcome> {
    let mut market = Market::new(Stage::on(Database::Sqlite, &[]).await?);
    let mut before = 0;
    for round in rounds {
        before += market.round(*round).await.with_context(|| format!("round {round}"))?;
    }
    market.everything_comes_back().await?;
    let (jobs, forgotten) = (market.jobs.len(), market.lost.len());
    let releases = market.audit().await?;
    market.stage.finish().await?;
    Ok(Outcome { jobs, forgotten, releases, before })
}

impl Market {
    /// A backup, a time that is lost with the disk, and what is left of both; how many jobs were paid in it.
    async fn round(&mut self, round: u32) -> Result<usize> {
        let mut chance = Chance::of(u64::from(round));
        let first = self.jobs.len();
        self.submit(sleep_job(20)).await?;
        let locked = self.fund(for_nobody(sleep_job(1))).await?;
        let reported = self.jobs.len();
        self.fund(sleep_job(20)).await?;
        self.reached(reported..reported + 1, JobState::Submitted).await?;
        let runs = self.jobs.len();
        let id = self.fund(sleep_job(1_000 + 500 * chance.below(4) as u64)).await?;
        self.stage.until_job("under way", id, |job| job.state == OfJob::Running).await?;
        // The chain is being told of these two when the backup is made.
        self.fund(sleep_job(20)).await?;
        let asked = self.fund(for_nobody(sleep_job(1))).await?;
        let folder = self.stage.folder.path().join(format!("round-{round}"));
        std::fs::create_dir(&folder)?;
        let backup = folder.join("backup");
        let database = self.stage.coordinator.database();
        told(&["backup", "create", text(&backup)?, "--database", text(database)?])?;
        let (known, paid) = (self.jobs.len(), self.credited().await?.len());

        // Jobs that are paid in, run, are paid and are taken back, and of which the backup knows nothing.
        if chance.below(2) == 0 {
            self.pay_in(first).await?;
        }
        if chance.below(2) == 0 {
            self.stage.client.job_cancel(locked, CancelMode::Now).await?;
        }
        self.fund(sleep_job(20)).await?;
        self.reached(known..known + 1, JobState::Submitted).await?;
        if chance.below(2) == 0 {
            self.reached(runs..runs + 1, JobState::Submitted).await?;
        }
        if chance.below(3) > 0 {
            self.stage.pass(WINDOW + 5).await?;
            self.reached(reported..reported + 1, JobState::Released).await?;
            self.reached(known..known + 1, JobState::Released).await?;
        }
        self.fund(for_nobody(sleep_job(1))).await?;
        self.fund(sleep_job(20)).await?;
        self.reached(known..self.jobs.len(), JobState::Assigned).await?;

        self.stage.coordinator.kill()?;
        let before = self.credited().await?;
        self.lost.extend(self.jobs.drain(known..).map(|(_, deposit)| deposit));
        let restored = folder.join("coordinator.db");
        told(&["restore", text(&backup)?, "--to", text(&restored)?])?;
        self.stage.coordinator.options_mut().database = restored;
        self.go_on().await?;

        self.pay_in(first).await?;
        for id in [locked, asked] {
            self.cancel(id).await?;
        }
        self.settled().await?;
        self.assert_right().await?;
        let after = self.credited().await?;
        ensure!(
            before.iter().all(|(escrow, credit)| after.get(escrow) == Some(credit)),
            "what was paid stands"
        );
        Ok(before.len() - paid)
    }

    /// Nothing is sent until an operator has said from which nonce on.
    async fn go_on(&mut self) -> Result<()> {
        let nonce = self.stage.world.nonce(OPERATOR).await;
        self.stage.coordinator.restart().await?;
        until_says(&self.stage.coordinator, "chain_lane", &format!("resume_from_nonce to {nonce}")).await?;
        ensure!(self.stage.world.nonce(OPERATOR).await == nonce, "nothing was sent");
        self.stage.coordinator.stop().await?;
        self.stage.set("resume_from_nonce", json!(nonce))?;
        self.stage.coordinator.restart().await?;
        Ok(())
    }

    /// Cancels a job, unless it ended because the chain says that its deposit is gone.
    async fn cancel(&self, id: JobId) -> Result<()> {
        let Err(error) = self.stage.client.job_cancel(id, CancelMode::Now).await else { return Ok(()) };
        let job = self.stage.client.job_get(id).await?;
        ensure!(job.failure.as_ref().is_some_and(|failure| failure.code == "funds_lost"), "{error}: {job:?}");
        Ok(())
    }

    /// What nobody remembers is paid where the chain has a result of it, and given back where it has none: the
    /// provider sees to it, without any coordinator.
    async fn everything_comes_back(&mut self) -> Result<()> {
        self.stage.pass(TOO_LATE).await?;
        let completed = self.completed().await?;
        let states = self.on_chain(self.lost.iter()).await?;
        let (mut jobs, mut batch) = (Vec::new(), Vec::new());
        for (deposit, state) in self.lost.iter().zip(states) {
            let job =
                JobKey { client: Felt::from_hex(&deposit.client)?, salt: Felt::from_hex(&deposit.salt)? };
            match state {
                JobState::Assigned => jobs.push(job),
                JobState::Submitted => {
                    let payouts = completed.get(&escrow_of(deposit)?).context("it has a result")?.clone();
                    batch.push(Settlement { job, payouts });
                }
                state => ensure!(state == JobState::Released, "{state:?}"),
            }
        }
        let calls = vec![Expire { jobs }.call(self.stage.escrow)?, Settle { batch }.call(self.stage.escrow)?];
        self.stage.world.carry_out(PROVIDER, calls).await;
        self.assert_right().await?;
        let owed = self.stage.world.ask(self.stage.escrow, GetTotals {}).await;
        ensure!(owed.locked == 0, "{owed:?}");
        Ok(())
    }
}

/// What a command of the coordinator says.
fn told(words: &[&str]) -> Result<Value> {
    let said = Command::new(program("ciro-coordinator")?).args(words).arg("--json").output()?;
    ensure!(said.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said.stderr));
    Ok(serde_json::from_slice(&said.stdout)?)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the folder's name is text")
}
