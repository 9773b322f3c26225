//! Chaos: one fault after the other hits the lane while something is on its way to the chain: crashes at
//! every step, answers and transactions that are lost or doubled, nodes that lie, lag, stand still or go
//! away, a stranger with the key, prices that jump, calls that revert inside a batch, blocks that are
//! taken away. Each time it is healed, and what was to happen has happened, once.
//!
//! Each round pays 16⁰, 16¹, … to one account: a sum whose digits are all 1 was paid once each.

use crate::lane::steps;
use crate::rig::{AT_REST, Rig, intent};
use crate::world::LONG;
use anyhow::{Context, Result, ensure};
use ciro_chain::rpc::read;
use ciro_chain::tx::{Signed, send};
use ciro_testkit::{Chance, DevnetOptions, Mood, Node, cycles, say, side_by_side, until};
use serde_json::json;
use std::collections::BTreeMap;

const CI: u32 = 12;
const FULL: u32 = 400;
/// Chains at the same time, and rounds on one chain before it makes place for a new one.
const AT_ONCE: usize = 2;
const ROUNDS: u32 = 24;
const INTENTS: u32 = 5;
/// What the sequencer asks at first, FRI for a unit of gas, and in a spike.
const PRICE: u128 = 1_000_000_000;
const SPIKE: u128 = PRICE * 1_000_000;
const DEEPEST: usize = 50;
/// What goes wrong where something is to fail on the chain: the owner, and the amount that it has to permit.
const OWNER: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Crash,
    LostRequest,
    LostAnswer,
    SentTwice,
    OtherChain,
    StaleAndReverted,
    Spike,
    Stranger,
    WouldRevert,
    Away,
    StandsStill,
    Reorg,
}

/// Each of them once in a round of twelve.
const FAULTS: [Fault; 12] = [
    Fault::Crash,
    Fault::LostRequest,
    Fault::LostAnswer,
    Fault::SentTwice,
    Fault::OtherChain,
    Fault::StaleAndReverted,
    Fault::Spike,
    Fault::Stranger,
    Fault::WouldRevert,
    Fault::Away,
    Fault::StandsStill,
    Fault::Reorg,
];

#[test]
fn whatever_goes_wrong_everything_happens_once() -> Result<()> {
    let faults: Vec<(u32, Fault)> = (0..cycles(CI, FULL)).zip(FAULTS.into_iter().cycle()).collect();
    // Every chain sees different ones, in another order each time.
    let chains = faults.len().div_ceil(ROUNDS as usize).max(AT_ONCE);
    let mut decks = vec![Vec::new(); chains];
    for (place, fault) in faults.into_iter().enumerate() {
        decks[place % chains].push(fault);
    }
    let all = side_by_side(decks, AT_ONCE, play)?;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for (name, times) in all.into_iter().flatten() {
        *seen.entry(name).or_default() += times;
    }
    let faults = seen.values().sum::<u32>();
    say(&format!("{faults} faults, and everything happened once: {seen:?}"));
    Ok(())
}

/// Plays faults on one chain, one after the other; which ones, and how often.
async fn play(deck: Vec<(u32, Fault)>) -> Result<Vec<(String, u32)>> {
    let mut chaos = Chaos::start().await?;
    let mut seen = Vec::new();
    for (seed, fault) in deck {
        let name = chaos.round(seed, fault).await.with_context(|| format!("fault {seed}: {fault:?}"))?;
        seen.push((name, 1));
    }
    chaos.rig.outbox.verify()?;
    Ok(seen)
}

/// A coordinator behind a node that does as it is told.
struct Chaos {
    rig: Rig,
    node: Node,
    /// What was to be paid so far, FRI.
    owed: u128,
    /// The nonce that an operator has said to go on from.
    resumed: u64,
}

impl Chaos {
    async fn start() -> Result<Chaos> {
        let mut rig =
            Rig::new(DevnetOptions::default(), &[("max_fee_per_day", json!("1000000000000000000000"))])
                .await?;
        let node = Node::start(rig.world.devnet.url()).await?;
        rig.set("rpc_url", json!(node.url));
        Ok(Chaos { rig, node, owed: 0, resumed: 0 })
    }

    /// One fault, while a batch of intents is on its way; its name.
    async fn round(&mut self, seed: u32, fault: Fault) -> Result<String> {
        let mut chance = Chance::of(u64::from(seed));
        let first = read::head(&self.rig.world.pool).await?.number + 1;
        self.add(seed, fault).await?;
        let name = match fault {
            Fault::Crash => self.crash(&mut chance).await?,
            Fault::LostRequest => self.healed(Mood::DropsRequests).await?,
            Fault::LostAnswer => self.healed(Mood::DropsAnswers).await?,
            Fault::SentTwice => self.healed(Mood::Repeats).await?,
            Fault::Away => self.healed(Mood::Gone).await?,
            Fault::OtherChain => self.other_chain().await?,
            Fault::StaleAndReverted => self.stale().await?,
            Fault::Spike => self.spike().await?,
            Fault::Stranger => self.stranger().await?,
            Fault::WouldRevert => self.would_revert().await?,
            Fault::StandsStill => self.stands_still().await?,
            Fault::Reorg => self.reorg(&mut chance, first).await?,
        };
        self.paid().await?;
        self.rig.until_lane_says(AT_REST).await?;
        self.paid().await?;
        if chance.below(2) == 0 {
            self.rig.coordinator.stop().await?
        } else {
            self.rig.coordinator.kill()?
        }
        Ok(name)
    }

    /// Adds the intents of a round, and where something is to fail one that another account has to permit.
    async fn add(&mut self, seed: u32, fault: Fault) -> Result<()> {
        let mut intents: Vec<_> = (0..INTENTS)
            .map(|i| {
                let amount = 16_u128.pow(i);
                self.owed += amount;
                intent(&format!("{seed}: {i}"), &[self.rig.world.transfer(1, amount)])
            })
            .collect();
        if matches!(fault, Fault::StaleAndReverted | Fault::WouldRevert) {
            let call = self.rig.world.transfer_from(OWNER, 1, permitted());
            self.owed += u128::from(permitted());
            intents.insert(2, intent(&format!("{seed}: permitted"), &[call]));
        }
        let wanted = intents.len();
        ensure!(self.rig.outbox.add(intents).await? == wanted, "all of them are new");
        Ok(())
    }

    /// Until everything was paid, and nothing twice.
    async fn paid(&self) -> Result<()> {
        let expected = self.rig.before + self.owed;
        let look = async || {
            let found = self.rig.balance().await?;
            ensure!(found <= expected, "{:x} more than everything was paid", found - expected);
            Ok((found == expected).then_some(()))
        };
        let waited = until("everything to be paid", LONG, look).await;
        let left = || expected.saturating_sub(self.rig.before);
        waited.map_err(|error| {
            error.context(format!("{:x} in all\n{}", left(), self.rig.coordinator.process().last_words()))
        })
    }

    async fn crash(&mut self, chance: &mut Chance) -> Result<String> {
        let steps: Vec<String> = steps("chain.").into_iter().filter(|step| step != "chain.raised").collect();
        let step = &steps[chance.below(steps.len())];
        self.rig.start(Some(step)).await?;
        Ok(step.clone())
    }

    /// Has the node misbehave from before the start until it has.
    async fn moody(&mut self, mood: Mood) -> Result<()> {
        let before = self.node.meddled();
        self.node.set(mood);
        self.rig.start(None).await?;
        self.meddled(before).await
    }

    async fn healed(&mut self, mood: Mood) -> Result<String> {
        let name = format!("{mood:?}");
        self.moody(mood).await?;
        self.node.set(Mood::Honest);
        Ok(name)
    }

    async fn meddled(&self, before: u64) -> Result<()> {
        let look = async || Ok((self.node.meddled() > before).then_some(()));
        until("the node to meddle", LONG, look).await
    }

    /// A coordinator is not started on another chain, so it finds out while it works.
    async fn other_chain(&mut self) -> Result<String> {
        self.moody(Mood::DropsRequests).await?;
        let before = self.node.meddled();
        self.node.set(Mood::OtherChain);
        self.meddled(before).await?;
        self.rig.until_lane_says("serves the chain SN_MAIN").await?;
        self.node.set(Mood::Honest);
        Ok("another chain".into())
    }

    /// The node does not know that a permission was taken back, so the whole batch reverts on the chain.
    async fn stale(&mut self) -> Result<String> {
        let world = &self.rig.world;
        world.approve(OWNER, 0, permitted()).await;
        let nonce = world.nonce(0).await;
        self.node.set(Mood::Stale(read::head(&world.pool).await?.number));
        world.approve(OWNER, 0, 0).await;
        self.rig.start(None).await?;
        let used = async || Ok((self.rig.world.nonce(0).await > nonce).then_some(()));
        until("the batch to revert", LONG, used).await?;
        self.node.set(Mood::Honest);
        self.rig.world.approve(OWNER, 0, permitted()).await;
        Ok("a stale head, and a batch that reverts".into())
    }

    async fn spike(&mut self) -> Result<String> {
        self.rig.world.devnet.gas_prices(SPIKE).await?;
        self.rig.start(None).await?;
        self.rig.until_lane_says("waits for lower prices").await?;
        self.rig.world.devnet.gas_prices(PRICE).await?;
        Ok("a fee spike".into())
    }

    /// Somebody else uses the nonce of what is stored; the lane stops until an operator has looked.
    async fn stranger(&mut self) -> Result<String> {
        self.rig.crash("chain.stored").await?;
        let world = &self.rig.world;
        let nonce = world.nonce(0).await;
        let foreign: Signed = world.signed_calls(0, nonce, vec![world.transfer(3, 7_u64)]).await;
        send::send(&world.pool, &foreign).await;
        world.landed(foreign.hash).await;
        self.rig.start(None).await?;
        self.rig.until_figure("ciro_chain_lane_halted", 1).await?;
        self.rig.coordinator.kill()?;
        self.resumed = nonce + 1;
        self.rig.set("resume_from_nonce", json!(self.resumed));
        self.rig.start(None).await?;
        Ok("a stranger with the key".into())
    }

    /// One entry of the batch would revert until somebody permits it.
    async fn would_revert(&mut self) -> Result<String> {
        self.rig.world.approve(OWNER, 0, 0).await;
        self.rig.start(None).await?;
        self.rig.until_lane_says("1 wait, 0 are under way").await?;
        self.rig.world.approve(OWNER, 0, permitted()).await;
        Ok("a call that would revert".into())
    }

    async fn stands_still(&mut self) -> Result<String> {
        self.rig.world.devnet.process.pause()?;
        self.rig.start(None).await?;
        self.rig.until_lane_says("degraded").await?;
        self.rig.world.devnet.process.resume()?;
        Ok("a node that stands still".into())
    }

    /// Takes away everything since the round began: what counted as final and what did not yet.
    async fn reorg(&mut self, chance: &mut Chance, first: u64) -> Result<String> {
        self.rig.start(None).await?;
        self.paid().await?;
        let depth = 1 + chance.below(DEEPEST) as u64;
        let devnet = &self.rig.world.devnet;
        while read::head(&self.rig.world.pool).await?.number + 1 < first + depth {
            devnet.block().await?;
        }
        if chance.below(2) == 0 {
            self.rig.until_lane_says(AT_REST).await?;
        }
        let depth = read::head(&self.rig.world.pool).await?.number + 1 - first;
        devnet.abort_from(first).await?;
        let about = [5, 10, 25].into_iter().find(|most| depth <= *most).unwrap_or(depth.max(50));
        Ok(format!("a reorganisation of up to {about} blocks"))
    }
}

/// The digit beside those that every round pays, FRI.
fn permitted() -> u64 {
    16_u64.pow(INTENTS)
}
