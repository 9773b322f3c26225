//! The lane beside others: a second coordinator that takes over in mid-flight, nodes that keep what they were
//! given or go away, a chain that is slow to be final, a key that is encrypted, and rows that are old.

use crate::rig::{AT_REST, Database, Rig, sending};
use crate::world::LONG;
use anyhow::{Context, Result, ensure};
use ciro_chain::Felt;
use ciro_chain::keys::{AccountFile, Keystore, SigningKey};
use ciro_chain::rpc::read;
use ciro_testkit::faults::Clock;
use ciro_testkit::{DevnetOptions, Mood, Node, until};
use secrecy::SecretString;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Longer than the lane's rows are kept, ms.
const LATER_MS: i64 = 400 * 24 * 3_600_000;
const PASSPHRASE: &str = "correct horse battery staple";

/// Until the node did something of its own.
async fn until_meddled(node: &Node) -> Result<()> {
    until("the node to meddle", LONG, async || Ok((node.meddled() > 0).then_some(()))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_over_sends_what_the_other_one_stored_and_nothing_twice() -> Result<()> {
    // One dies with its bytes stored and not sent, the other stands still with them sent and no answer.
    for mood in [Mood::DropsRequests, Mood::DropsAnswers] {
        let mut rig = Rig::on(Database::Postgres, DevnetOptions::default(), &[]).await?;
        let node = Node::start(rig.world.devnet.url()).await?;
        node.set(mood.clone());
        rig.set("rpc_url", json!(node.url));
        let nonce = rig.sender_nonce().await;
        rig.add(0..20).await?;
        rig.start(None).await?;
        until_meddled(&node).await?;
        let dies = mood == Mood::DropsRequests;
        if dies {
            rig.coordinator.kill()?
        } else {
            rig.coordinator.process().pause()?
        }
        let mut other = rig.another(&[("rpc_url", json!(rig.world.devnet.url()))]).await?;
        rig.paid(20).await?;
        node.set(Mood::Honest);
        if dies {
            other.stop().await?;
            rig.start(None).await?;
        } else {
            // It goes on where it stood, as if it still led; then it does.
            rig.coordinator.process().resume()?;
            other.stop().await?;
        }
        let rig = rig.finish(20).await.with_context(|| format!("{mood:?}"))?;
        ensure!(rig.sender_nonce().await == nonce + 1, "{mood:?}: all in one transaction");
    }
    Ok(())
}

#[tokio::test]
async fn what_does_not_land_is_signed_again_at_a_higher_price_and_happens_once() -> Result<()> {
    let mut rig = Rig::new(DevnetOptions::default(), &[("bump_after_ms", json!(1_000))]).await?;
    // Takes transactions, answers with their hashes, and the chain never hears of them.
    let elsewhere = ciro_testkit::Devnet::start(DevnetOptions::default()).await?;
    let node = Node::start(rig.world.devnet.url()).await?;
    node.set(Mood::Keeps(elsewhere.url().to_owned()));
    rig.set("rpc_url", json!(node.url));
    let nonce = rig.sender_nonce().await;
    rig.add(0..3).await?;
    rig.start(None).await?;
    rig.until_figure("ciro_chain_raised_total", 1).await?;
    ensure!(rig.balance().await? == rig.before, "nothing has landed");
    node.set(Mood::Honest);
    let rig = rig.finish(3).await?;
    ensure!(rig.sender_nonce().await == nonce + 1, "one of the two landed");
    Ok(())
}

#[tokio::test]
async fn a_node_that_goes_away_is_replaced_by_the_next_one() -> Result<()> {
    let mut rig = Rig::new(DevnetOptions::default(), &[]).await?;
    let node = Node::start(rig.world.devnet.url()).await?;
    rig.set("rpc_url", json!(format!("{},{}", node.url, rig.world.devnet.url())));
    rig.add(0..2).await?;
    rig.start(None).await?;
    rig.paid(2).await?;
    rig.coordinator.stop().await?;
    rig.add(0..5).await?;
    // What it sends is passed on, and the answer never comes; then nobody is there any more.
    node.set(Mood::DropsAnswers);
    rig.start(None).await?;
    until_meddled(&node).await?;
    drop(node);
    rig.finish(5).await?;
    Ok(())
}

#[tokio::test]
async fn what_must_be_proved_on_ethereum_is_under_way_until_it_is() -> Result<()> {
    let mut rig = Rig::new(DevnetOptions::default(), &[("finality", json!("l1"))]).await?;
    rig.add(0..4).await?;
    rig.start(None).await?;
    rig.paid(4).await?;
    for _ in 0..20 {
        rig.world.devnet.block().await?;
    }
    // A look at the chain later it still is: the figure is set by each.
    let head = read::head(&rig.world.pool).await?.number;
    rig.until_figure("ciro_chain_intents{state=\"under_way\"}", 4).await?;
    let params = json!({ "starting_block_id": { "block_number": head } });
    rig.world.devnet.rpc("devnet_acceptOnL1", params).await?;
    rig.finish(4).await?;
    Ok(())
}

/// Writes a file that nobody else may read.
fn private(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
}

#[tokio::test]
async fn the_key_that_signs_may_be_encrypted() -> Result<()> {
    let mut rig = Rig::new(DevnetOptions::default(), &[]).await?;
    let sender = rig.world.devnet.accounts().await?.swap_remove(0);
    let (address, key) = (Felt::from_hex(&sender.address)?, SigningKey::from_hex(&sender.private_key)?);
    let class = read::class_at(&rig.world.pool, address).await?.context("it is deployed")?;
    let at = |name: &str| rig.folder.path().join(name);
    let (account, keystore, passphrase) = (at("account.json"), at("key.json"), at("passphrase"));
    private(&account, &AccountFile::deployed(key.public(), class, address).text()?)?;
    private(&keystore, &Keystore::encrypt(&key, &SecretString::from(PASSPHRASE))?.text()?)?;
    private(&passphrase, "not the passphrase of it\n")?;
    let section = &mut rig.coordinator.options_mut().settings["blockchain"];
    for (plain, _) in &sending("", &sender)[2..4] {
        section.as_object_mut().context("it is a section")?.remove(*plain);
    }
    rig.set("account", json!(account));
    rig.set("keystore", json!(keystore));
    rig.set("passphrase_file", json!(passphrase));
    rig.add(0..2).await?;
    let said = format!("{:#}", rig.start(None).await.err().context("the passphrase is wrong")?);
    ensure!(said.contains("blockchain: the account's key") && said.contains("passphrase"), "{said}");
    private(&passphrase, &format!("{PASSPHRASE}\n"))?;
    rig.start(None).await?;
    rig.finish(2).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_old_is_let_go_and_the_lane_goes_on_behind_it() -> Result<()> {
    let mut rig = Rig::new(DevnetOptions::default(), &[]).await?;
    rig.add(0..2).await?;
    rig.start(None).await?;
    let mut rig = rig.finish(2).await?;
    // The newest nonce stays; what it carries does, too.
    rig.add(0..3).await?;
    rig.start(None).await?;
    let mut rig = rig.finish(3).await?;
    let clock = Clock::create(rig.folder.path())?;
    clock.set(LATER_MS)?;
    let options = rig.coordinator.options_mut();
    options.variables.extend(clock.variables());
    options.settings.insert("retention".into(), json!({ "every_ms": 50 }));
    rig.start(None).await?;
    rig.until_lane_says(AT_REST).await?;
    let gone = async || {
        rig.coordinator.stop().await?;
        let there = rig.outbox.find("pay 0").await?.is_some() || rig.outbox.find("pay 1").await?.is_some();
        if there {
            rig.start(None).await?;
        }
        Ok((!there).then_some(()))
    };
    until("old rows to go", LONG, gone).await?;
    ensure!(rig.outbox.find("pay 2").await?.is_some(), "the newest nonce stays");
    rig.add(3..5).await?;
    rig.start(None).await?;
    rig.paid(5).await?;
    rig.until_lane_says(AT_REST).await?;
    rig.coordinator.stop().await?;
    rig.outbox.verify()?;
    Ok(())
}
