//! The lane of a real coordinator on a real chain: killed at each step, beside somebody else with the
//! key, with blocks taken away, with one rotten entry among many, with prices that rise. Each time:
//! what is to happen happens once.

use crate::rig::{AT_REST, Database, Rig, intent};
use crate::world::LONG;
use anyhow::{Result, ensure};
use ciro_chain::rpc::read;
use ciro_chain::tx::send;
use ciro_testkit::{DevnetOptions, side_by_side, until};
use serde_json::json;

/// What the sequencer asks at first, FRI for a unit of gas.
const PRICE: u128 = 1_000_000_000;

/// Every step that stands in the sources and begins so.
pub(crate) fn steps(prefix: &str) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../coordinator/src/background/chain");
    let files = std::fs::read_dir(folder).unwrap().flatten();
    let texts = files.map(|file| std::fs::read_to_string(file.path()).unwrap());
    let mut steps: Vec<String> = texts
        .flat_map(|text| {
            let points = text.split("crash_point(\"").skip(1);
            points.filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect::<Vec<_>>()
        })
        .collect();
    steps.retain(|step| step.starts_with(prefix));
    steps.sort();
    steps
}

#[test]
fn a_kill_at_every_step_pays_fifty_once() -> Result<()> {
    // The one that is missing here is reached where prices rise.
    let usual: Vec<String> = steps("chain.").into_iter().filter(|step| step != "chain.raised").collect();
    ensure!(usual.len() >= 6 && usual.len() + 1 == steps("chain.").len(), "{usual:?}");
    let on_file = usual.iter().map(|step| (Database::Sqlite, step.as_str()));
    // Those between which something is sent, and the row that it becomes is written.
    let on_server = ["chain.stored", "chain.sent", "chain.landed"].map(|step| (Database::Postgres, step));
    let all = on_file.chain(on_server).collect();
    side_by_side(all, 2, async |(database, step)| {
        fifty(database, step).await.map_err(|error| error.context(format!("{step}, {database:?}")))
    })?;
    Ok(())
}

async fn fifty(database: Database, step: &str) -> Result<()> {
    let mut rig = Rig::on(database, DevnetOptions::default(), &[]).await?;
    let nonce = rig.sender_nonce().await;
    rig.add(0..50).await?;
    rig.start(Some(step)).await?;
    let rig = rig.finish(50).await?;
    ensure!(rig.sender_nonce().await == nonce + 1, "all in one transaction");
    Ok(())
}

#[tokio::test]
async fn prices_that_rise_are_followed_up_to_the_cap_and_waited_for_beyond() -> Result<()> {
    let mut rig = Rig::new(DevnetOptions::default(), &[("max_fee", json!("10000000000000000000"))]).await?;
    rig.add(0..3).await?;
    // Signed and stored at the old price, and never sent.
    rig.crash("chain.stored").await?;
    rig.world.devnet.gas_prices(PRICE * 20).await?;
    rig.start(Some("chain.raised")).await?;
    rig.paid(3).await?;
    rig.until_lane_says(AT_REST).await?;
    rig.coordinator.stop().await?;

    rig.world.devnet.gas_prices(PRICE * 1_000_000).await?;
    rig.add(0..5).await?;
    rig.start(None).await?;
    rig.until_lane_says("waits for lower prices").await?;
    rig.paid(3).await?;
    rig.world.devnet.gas_prices(PRICE).await?;
    rig.finish(5).await?;
    Ok(())
}

#[tokio::test]
async fn a_stranger_with_the_key_stops_the_lane_until_somebody_has_looked() -> Result<()> {
    let mut rig = Rig::new(DevnetOptions::default(), &[]).await?;
    rig.add(0..2).await?;
    rig.start(None).await?;
    rig.paid(2).await?;
    rig.until_lane_says(AT_REST).await?;
    rig.coordinator.kill()?;
    rig.add(0..4).await?;
    // The next one is signed and stored, and a stranger is faster.
    rig.crash("chain.stored").await?;
    let nonce = rig.sender_nonce().await;
    let stranger = {
        let call = rig.world.transfer(2, 7_u64);
        rig.world.signed_calls(0, nonce, vec![call]).await
    };
    send::send(&rig.world.pool, &stranger).await;
    rig.world.landed(stranger.hash).await;

    rig.start(None).await?;
    rig.until_figure("ciro_chain_lane_halted", 1).await?;
    let said = rig.lane().await?;
    ensure!(said.contains(&format!("resume_from_nonce to {}", nonce + 1)), "{said}");
    ensure!(rig.sender_nonce().await == nonce + 1, "nothing was sent");
    rig.coordinator.stop().await?;
    rig.set("resume_from_nonce", json!(nonce + 1));
    rig.start(None).await?;
    rig.finish(4).await?;
    Ok(())
}

#[tokio::test]
async fn one_rotten_entry_does_not_hold_up_the_rest() -> Result<()> {
    let mut rig = Rig::new(DevnetOptions::default(), &[]).await?;
    rig.add(0..7).await?;
    rig.outbox.add([intent("rotten", &[rig.world.transfer(1, u128::MAX)])]).await?;
    rig.outbox
        .add((7..20).map(|i| intent(&format!("pay {i}"), &[rig.world.transfer(1, 1_u128 << i)])))
        .await?;
    rig.start(None).await?;
    rig.paid(20).await?;
    rig.until_lane_says("1 wait, 0 are under way").await?;
    rig.coordinator.stop().await?;
    let rotten = rig.outbox.get("rotten").await?;
    ensure!(rotten.state.name() == "waiting" && rotten.attempts > 0, "{rotten:?}");
    ensure!(rotten.error.is_some_and(|reason| !reason.is_empty()), "it says why");
    rig.outbox.verify()?;
    Ok(())
}

#[tokio::test]
async fn blocks_that_are_taken_away_take_nothing_from_what_was_to_happen() -> Result<()> {
    let options = DevnetOptions { block_for_each: false, ..DevnetOptions::default() };
    let mut rig = Rig::new(options, &[("depth", json!(12))]).await?;
    rig.add(0..3).await?;
    rig.start(None).await?;
    rig.paid(3).await?;
    for depth in [1_u64, 4, 10] {
        for _ in 0..depth {
            rig.world.devnet.block().await?;
        }
        let head = read::head(&rig.world.pool).await?.number;
        rig.world.devnet.abort_from(head + 1 - depth).await?;
        // The sequencer forgot it, and is sent the same bytes.
        rig.paid(3).await?;
    }
    for _ in 0..14 {
        rig.world.devnet.block().await?;
    }
    rig.finish(3).await?;
    Ok(())
}

#[tokio::test]
async fn a_revert_that_is_final_gives_calls_back_and_they_happen_once_when_they_can() -> Result<()> {
    let options = DevnetOptions { block_for_each: false, ..DevnetOptions::default() };
    let mut rig = Rig::new(options, &[("depth", json!(1))]).await?;
    rig.world.approve(2, 0, 100).await;
    rig.world.devnet.block().await?;
    let kept = read::head(&rig.world.pool).await?.number;
    rig.outbox.add([intent("pay 0", &[rig.world.transfer_from(2, 1, 1)])]).await?;
    rig.start(None).await?;
    rig.paid(1).await?;
    rig.coordinator.process().pause()?;
    rig.world.devnet.block().await?;
    rig.world.devnet.abort_from(kept + 1).await?;
    rig.world.approve(2, 0, 0).await;
    rig.coordinator.process().resume()?;
    rig.until_figure("ciro_chain_intents{state=\"under_way\"}", 1).await?;
    let blocks = async || {
        rig.world.devnet.block().await?;
        Ok((rig.figure("ciro_chain_intents{state=\"waiting\"}").await? == 1).then_some(()))
    };
    until("the revert to be final", LONG, blocks).await?;
    ensure!(rig.balance().await? == rig.before, "it reverted");
    rig.world.approve(2, 0, 100).await;
    let again = async || {
        rig.world.devnet.block().await?;
        Ok((rig.figure("ciro_chain_intents{state=\"waiting\"}").await? == 0).then_some(()))
    };
    until("the calls to be sent again", LONG, again).await?;
    for _ in 0..3 {
        rig.world.devnet.block().await?;
    }
    rig.finish(1).await?;
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_away_holds_up_the_lane_and_nothing_else() -> Result<()> {
    let mut rig = Rig::new(DevnetOptions::default(), &[]).await?;
    rig.world.devnet.process.pause()?;
    rig.add(0..2).await?;
    rig.start(None).await?;
    let id = rig.coordinator.client()?.job_submit(&ciro_testkit::sleep_job(5), None).await?.id;
    rig.coordinator.client()?.job_get(id).await?;
    rig.until_lane_says("degraded").await?;
    rig.world.devnet.process.resume()?;
    rig.finish(2).await?;
    Ok(())
}

#[tokio::test]
async fn a_node_of_another_chain_is_refused_at_the_start() -> Result<()> {
    let mut rig = Rig::new(DevnetOptions::default(), &[("chain_id", json!("SN_OTHER"))]).await?;
    let nonce = rig.sender_nonce().await;
    rig.add(0..1).await?;
    let said = format!("{:#}", rig.start(None).await.unwrap_err());
    ensure!(said.contains("serves SN_SEPOLIA, and blockchain.chain_id is SN_OTHER"), "{said}");
    ensure!(rig.sender_nonce().await == nonce, "nothing was sent");
    Ok(())
}
