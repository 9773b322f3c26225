//! Chaos in a market: one fault after the other hits jobs that are paid from deposits, while the chain is told
//! that a deposit is taken, what came out, or that it is time to pay. The coordinator is killed between any
//! two steps; its node loses, doubles and delays what passes, lies about the chain and about nonces, and is
//! killed itself; prices jump, a stranger has the key, the client takes a deposit back, up to fifty blocks
//! are taken away. Each time it is healed, every job is settled, was paid once, and all books agree.

use crate::lane::steps;
use crate::market::Market;
use crate::rig::{Database, another, crash, until_says};
use crate::stage::{CLIENT, OPERATOR, Stage, WINDOW, terms};
use crate::world::LONG;
use anyhow::{Context, Result, ensure};
use ciro_chain::Felt;
use ciro_chain::contract::escrow::Cancel;
use ciro_chain::contract::{Function, JobKey, JobState};
use ciro_chain::rpc::read;
use ciro_chain::tx::send;
use ciro_testkit::{Chance, Mood, RealWorker, cycles, say, side_by_side, sleep_job, until};
use serde_json::json;
use std::collections::BTreeMap;
use std::ops::Range;

const CI: u32 = 14;
const FULL: u32 = 420;
const HANDOVERS: u32 = 3;
const FULL_HANDOVERS: u32 = 60;
const AT_ONCE: usize = 2;
/// Faults in one market before it makes place for a new one.
const ROUNDS: usize = 20;
const JOBS: usize = 2;
/// What the sequencer asks at first, FRI for a unit of gas, and in a spike.
const PRICE: u128 = 1_000_000_000;
const SPIKE: u128 = PRICE * 1_000_000;
const DEEPEST: usize = 50;

/// What the chain is about to be told when something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Assign,
    Report,
    Settle,
}

impl Moment {
    /// What the contract says behind it.
    const fn told(self) -> JobState {
        match self {
            Moment::Assign => JobState::Assigned,
            Moment::Report => JobState::Submitted,
            Moment::Settle => JobState::Released,
        }
    }
}

const MOMENTS: [Moment; 3] = [Moment::Assign, Moment::Report, Moment::Settle];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// At a step whose name begins so.
    Crash(&'static str),
    LosesRequests,
    LosesAnswers,
    SendsTwice,
    Killed,
    Lags,
    NonceAhead,
    OtherChain,
    StandsStill,
    Spike,
    Stranger,
    TakenBack,
    Reorg,
}

const FAULTS: [Fault; CI as usize] = [
    Fault::Crash("chain."),
    Fault::LosesRequests,
    Fault::Reorg,
    Fault::Killed,
    Fault::NonceAhead,
    Fault::Stranger,
    Fault::Crash("bridge."),
    Fault::LosesAnswers,
    Fault::Lags,
    Fault::TakenBack,
    Fault::SendsTwice,
    Fault::Spike,
    Fault::StandsStill,
    Fault::OtherChain,
];

#[test]
fn whatever_goes_wrong_each_job_is_paid_once() -> Result<()> {
    let faults: Vec<(u32, Fault)> = (0..cycles(CI, FULL)).zip(FAULTS.into_iter().cycle()).collect();
    let markets = faults.len().div_ceil(ROUNDS).max(AT_ONCE);
    let mut decks = vec![Vec::new(); markets];
    for (place, fault) in faults.into_iter().enumerate() {
        decks[place % markets].push(fault);
    }
    let all = side_by_side(decks, AT_ONCE, play)?;
    let (mut seen, mut jobs, mut released) = (BTreeMap::<String, u32>::new(), 0, 0);
    for (names, of_jobs, of_releases) in all {
        jobs += of_jobs;
        released += of_releases;
        names.into_iter().for_each(|name| *seen.entry(name).or_default() += 1);
    }
    let faults = seen.values().sum::<u32>();
    say(&format!(
        "{faults} faults, {jobs} jobs settled, {released} releases on the chain, each once: {seen:?}"
    ));
    Ok(())
}

#[test]
fn whoever_leads_each_job_is_paid_once() -> Result<()> {
    let handovers: Vec<u32> = (0..cycles(HANDOVERS, FULL_HANDOVERS)).collect();
    let jobs = side_by_side(handovers.chunks(ROUNDS).collect(), AT_ONCE, async |of_one| {
        let mut chaos = Chaos::start(Database::Postgres).await?;
        for no in of_one {
            chaos.handover(*no).await.with_context(|| format!("handover {no}"))?;
        }
        let jobs = chaos.market.jobs.len();
        chaos.finish().await.map(|released| (jobs, released))
    })?;
    say(&format!("{} handovers; jobs and releases: {jobs:?}", handovers.len()));
    Ok(())
}

/// Plays faults in one market; their names, how many jobs were settled, and how many escrows released.
async fn play(deck: Vec<(u32, Fault)>) -> Result<(Vec<String>, usize, u64)> {
    let mut chaos = Chaos::start(Database::Sqlite).await?;
    let mut names = Vec::new();
    for (seed, fault) in deck {
        let name = chaos.round(seed, fault).await.with_context(|| format!("fault {seed}: {fault:?}"))?;
        names.push(name);
    }
    let jobs = chaos.market.jobs.len();
    Ok((names, jobs, chaos.finish().await?))
}

struct Chaos {
    market: Market,
    /// The first job of the round.
    first: usize,
}

impl Chaos {
    async fn start(database: Database) -> Result<Chaos> {
        let settings = [("max_fee_per_day", json!("1000000000000000000000"))];
        let market = Market::new(Stage::on(database, &settings).await?);
        Ok(Chaos { market, first: 0 })
    }

    /// How many escrows were released.
    async fn finish(self) -> Result<u64> {
        let released = self.market.audit().await?;
        self.market.stage.finish().await?;
        Ok(released)
    }

    /// Who leads dies, or stands still, just before the chain is to be told; the other one takes over, and the
    /// first one comes back, as if it still led where it stood.
    async fn handover(&mut self, no: u32) -> Result<()> {
        let (moment, dies) = (MOMENTS[no as usize % MOMENTS.len()], no.is_multiple_of(2));
        self.first = self.market.jobs.len();
        self.until_before(moment).await?;
        let (first, place) = (&self.market.stage.coordinator, self.market.stage.folder.path());
        let mut other = another(first, place, &[]).await?;
        let terms = terms(&self.market.stage.world);
        let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
        let mut beside = RealWorker::start(&other, place, "beside", &terms)?;
        if dies {
            self.market.stage.coordinator.kill()?;
        } else {
            self.market.stage.coordinator.process().pause()?;
        }
        self.trigger(moment).await?;
        self.market.reached(self.this_round(), moment.told()).await?;
        if dies {
            self.market.stage.coordinator.restart().await?;
        } else {
            self.market.stage.coordinator.process().resume()?;
        }
        beside.process().kill()?;
        other.stop().await?;
        self.market.settled().await?;
        self.market.assert_right().await
    }

    async fn round(&mut self, seed: u32, fault: Fault) -> Result<String> {
        let mut chance = Chance::of(u64::from(seed));
        let moment = match fault {
            // Only then the client can take it back.
            Fault::TakenBack => Moment::Assign,
            _ => MOMENTS[chance.below(MOMENTS.len())],
        };
        let block = read::head(&self.market.stage.world.pool).await?.number + 1;
        self.first = self.market.jobs.len();
        self.until_before(moment).await?;
        let name = match fault {
            Fault::Crash(prefix) => self.crash(prefix, moment, &mut chance).await?,
            Fault::LosesRequests => self.meddles(Mood::DropsRequests, moment).await?,
            Fault::LosesAnswers => self.meddles(Mood::DropsAnswers, moment).await?,
            Fault::SendsTwice => self.meddles(Mood::Repeats, moment).await?,
            Fault::Lags => {
                let head = read::head(&self.market.stage.world.pool).await?.number;
                self.meddles(Mood::Stale(head), moment).await?
            }
            Fault::NonceAhead => self.says(Mood::NonceAhead, moment, "looks like somebody else's").await?,
            Fault::OtherChain => self.says(Mood::OtherChain, moment, "serves the chain SN_MAIN").await?,
            Fault::Killed => self.killed(moment).await?,
            Fault::StandsStill => self.stands_still(moment).await?,
            Fault::Spike => self.spike(moment).await?,
            Fault::Stranger => self.stranger(moment).await?,
            Fault::TakenBack => self.taken_back(moment).await?,
            Fault::Reorg => self.reorg(moment, block, &mut chance).await?,
        };
        self.market.settled().await.with_context(|| name.clone())?;
        self.market.assert_right().await.with_context(|| name.clone())?;
        Ok(name)
    }

    /// Its jobs.
    fn this_round(&self) -> Range<usize> {
        self.first..self.market.jobs.len()
    }

    /// Brings new jobs to where the chain is to be told next.
    async fn until_before(&mut self, moment: Moment) -> Result<()> {
        let ms = if moment == Moment::Report { 1_500 } else { 20 };
        for _ in 0..JOBS {
            self.market.submit(sleep_job(ms)).await?;
        }
        if moment == Moment::Assign {
            return Ok(());
        }
        self.market.pay_in(self.first).await?;
        let reached = if moment == Moment::Report { JobState::Assigned } else { JobState::Submitted };
        self.market.reached(self.this_round(), reached).await
    }

    /// What makes it tell the chain; a result comes by itself.
    async fn trigger(&self, moment: Moment) -> Result<()> {
        match moment {
            Moment::Assign => self.market.pay_in(self.first).await,
            Moment::Report => Ok(()),
            Moment::Settle => self.market.stage.pass(WINDOW + 5).await,
        }
    }

    async fn crash(&mut self, prefix: &str, mut moment: Moment, chance: &mut Chance) -> Result<String> {
        // This one is reached where prices rise.
        let steps: Vec<String> = steps(prefix).into_iter().filter(|step| step != "chain.raised").collect();
        let step = &steps[chance.below(steps.len())];
        if moment == Moment::Report && ["bridge.decided", "bridge.told"].contains(&step.as_str()) {
            // A job is told nothing while the chain takes its result.
            self.market.reached(self.this_round(), JobState::Submitted).await?;
            moment = Moment::Settle;
        }
        self.market.stage.coordinator.kill()?;
        self.trigger(moment).await?;
        crash(&mut self.market.stage.coordinator, step).await?;
        self.market.stage.coordinator.restart().await?;
        Ok(format!("a crash at {step}"))
    }

    /// The node does so until it has.
    async fn meddles(&mut self, mood: Mood, moment: Moment) -> Result<String> {
        let name = if let Mood::Stale(_) = mood { "Stale".into() } else { format!("{mood:?}") };
        let node = &self.market.stage.node;
        let before = node.meddled();
        node.set(mood);
        self.trigger(moment).await?;
        let look = async || Ok((node.meddled() > before).then_some(()));
        until("the node to meddle", LONG, look).await?;
        node.set(Mood::Honest);
        Ok(name)
    }

    /// The node does so until the lane has said that it found out.
    async fn says(&mut self, mood: Mood, moment: Moment, words: &str) -> Result<String> {
        let name = format!("{mood:?}");
        self.market.stage.node.set(mood);
        self.trigger(moment).await?;
        until_says(&self.market.stage.coordinator, "chain_lane", words).await?;
        self.market.stage.node.set(Mood::Honest);
        Ok(name)
    }

    async fn killed(&mut self, moment: Moment) -> Result<String> {
        self.market.stage.node.kill();
        self.trigger(moment).await?;
        until_says(&self.market.stage.coordinator, "chain_lane", "degraded").await?;
        self.market.stage.node.revive().await?;
        Ok("a node that is killed".into())
    }

    async fn stands_still(&mut self, moment: Moment) -> Result<String> {
        self.trigger(moment).await?;
        self.market.stage.world.devnet.process.pause()?;
        until_says(&self.market.stage.coordinator, "chain_lane", "degraded").await?;
        self.market.stage.world.devnet.process.resume()?;
        Ok("a node that stands still".into())
    }

    async fn spike(&mut self, moment: Moment) -> Result<String> {
        self.market.stage.coordinator.kill()?;
        self.trigger(moment).await?;
        self.market.stage.world.devnet.gas_prices(SPIKE).await?;
        self.market.stage.coordinator.restart().await?;
        until_says(&self.market.stage.coordinator, "chain_lane", "waits for lower prices").await?;
        self.market.stage.world.devnet.gas_prices(PRICE).await?;
        Ok("a fee spike".into())
    }

    /// Somebody else uses the nonce of what is stored; the lane stops until an operator has looked.
    async fn stranger(&mut self, moment: Moment) -> Result<String> {
        self.market.stage.coordinator.kill()?;
        self.trigger(moment).await?;
        crash(&mut self.market.stage.coordinator, "chain.stored").await?;
        let world = &self.market.stage.world;
        let nonce = world.nonce(OPERATOR).await;
        let foreign = world.signed_calls(OPERATOR, nonce, vec![world.transfer(3, 7_u64)]).await;
        send::send(&world.pool, &foreign).await;
        world.landed(foreign.hash).await;
        self.market.stage.coordinator.restart().await?;
        until_says(&self.market.stage.coordinator, "chain_lane", "stopped: ").await?;
        self.market.stage.coordinator.kill()?;
        self.market.stage.set("resume_from_nonce", json!(nonce + 1))?;
        self.market.stage.coordinator.restart().await?;
        Ok("a stranger with the key".into())
    }

    /// The client takes a deposit back on the chain while nobody looks.
    async fn taken_back(&mut self, moment: Moment) -> Result<String> {
        self.market.stage.coordinator.kill()?;
        self.trigger(moment).await?;
        let stage = &mut self.market.stage;
        let (_, deposit) = self.market.jobs.last().context("there are jobs")?;
        let client = stage.world.accounts[CLIENT].address;
        let job = JobKey { client, salt: Felt::from_hex(&deposit.salt)? };
        stage.world.carry_out(CLIENT, vec![Cancel { job }.call(stage.escrow)?]).await;
        stage.coordinator.restart().await?;
        Ok("a deposit that is taken back".into())
    }

    /// Takes away every block since the round began; the client's wallet pays in again.
    async fn reorg(&mut self, moment: Moment, first: u64, chance: &mut Chance) -> Result<String> {
        self.trigger(moment).await?;
        let told = moment.told();
        self.market.reached(self.this_round(), told).await?;
        let wanted = 1 + chance.below(DEEPEST) as u64;
        let (world, before) = (&self.market.stage.world, first - 1);
        while read::head(&world.pool).await?.number < before + wanted {
            world.devnet.block().await?;
        }
        let depth = read::head(&world.pool).await?.number - before;
        // Blocks of a devnet that differ in their transactions alone have the same hash: what comes in place of
        // those is made later.
        self.market.stage.pass(100).await?;
        world.devnet.abort_from(first).await?;
        self.market.pay_in(self.first).await?;
        let about = [5, 10, 25].into_iter().find(|most| depth <= *most).unwrap_or(50);
        ensure!(depth <= 2 * DEEPEST as u64, "{depth} blocks");
        Ok(format!("up to {about} blocks taken away at {told:?}"))
    }
}
