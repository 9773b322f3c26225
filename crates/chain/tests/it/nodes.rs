//! Nodes that are paused, killed, on another chain or behind: who is asked then, and what is said.

use crate::world::{LONG, options, pool};
use ciro_chain::network::ChainId;
use ciro_chain::rpc::{Pool, PoolOptions, read};
use ciro_testkit::{Devnet, DevnetOptions, until};

fn standings(pool: &Pool) -> Vec<(&'static str, &'static str)> {
    pool.status().iter().map(|status| (status.standing, status.breaker)).collect()
}

fn only_standings(pool: &Pool) -> Vec<&'static str> {
    pool.status().iter().map(|status| status.standing).collect()
}

#[tokio::test]
async fn a_node_that_is_paused_or_killed_is_left_and_taken_back_when_it_answers() {
    let mut first = Devnet::start(DevnetOptions::default()).await.unwrap();
    let second = Devnet::start(DevnetOptions::default()).await.unwrap();
    second.block().await.unwrap();
    let pool = pool(&[first.url(), second.url()]).await;
    assert_eq!(standings(&pool), [("good", "closed"); 2], "{:?}", pool.status());
    let head = async || read::head(&pool).await.map(|head| head.number);
    let of_first = head().await.unwrap();

    first.process.pause().unwrap();
    // A process does not stop in the very moment in which it is told to.
    until("the second one to answer for the first", LONG, async || {
        Ok((head().await? == of_first + 1).then_some(()))
    })
    .await
    .unwrap();
    until("the breaker to open", LONG, async || {
        pool.refresh().await;
        Ok((standings(&pool)[0].1 == "open").then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(standings(&pool)[0].0, "unknown");
    assert!(pool.status()[0].reason.as_ref().unwrap().contains("no answer in time"), "{:?}", pool.status());

    first.process.resume().unwrap();
    until("the first one to be taken back", LONG, async || {
        pool.refresh().await;
        Ok((standings(&pool)[0] == ("good", "closed")).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(head().await.unwrap(), of_first, "the first one is asked again");

    first.process.kill().unwrap();
    assert_eq!(head().await.unwrap(), of_first + 1);
    let urls = [first.url().to_owned(), second.url().to_owned()];
    drop(second);
    pool.refresh().await;
    let said = head().await.unwrap_err().to_string();
    let each = urls.iter().all(|url| said.contains(url));
    assert!(said.starts_with("no endpoint can be asked") && each, "{said}");
}

#[tokio::test]
async fn a_node_of_another_chain_and_one_that_is_behind_are_demoted_with_the_reason() {
    let honest = Devnet::start(DevnetOptions::default()).await.unwrap();
    let stale = Devnet::start(DevnetOptions::default()).await.unwrap();
    let liar = Devnet::start(DevnetOptions { chain: "MAINNET", ..DevnetOptions::default() }).await.unwrap();
    for _ in 0..6 {
        honest.block().await.unwrap();
    }
    let pool = pool(&[liar.url(), stale.url(), honest.url()]).await;
    let status = pool.status();
    let reason = |i: usize| status[i].reason.clone().unwrap_or_default();
    assert_eq!(only_standings(&pool), ["demoted", "demoted", "good"], "{status:?}");
    assert_eq!(reason(0), "it serves the chain SN_MAIN, and SN_SEPOLIA is meant");
    assert!(reason(1).contains("6 blocks behind"), "{}", reason(1));
    assert_eq!(read::head(&pool).await.unwrap().number, status[2].head.unwrap());

    // Alone it is refused as well, and says so.
    let alone =
        Pool::new(&[honest.url().to_owned()], PoolOptions { chain: Some(ChainId::MAINNET), ..options() })
            .unwrap();
    alone.refresh().await;
    let said = read::head(&alone).await.unwrap_err().to_string();
    assert!(said.contains("it serves the chain SN_SEPOLIA, and SN_MAIN is meant"), "{said}");
}

#[tokio::test]
async fn of_two_chains_with_one_id_the_first_is_believed() {
    let first = Devnet::start(DevnetOptions::default()).await.unwrap();
    let other = Devnet::start(DevnetOptions::default()).await.unwrap();
    // One block that the other does not have, then as many on both as may differ for a moment. The
    // hash of a devnet's block tells how many transactions are in it, and not which.
    first.block().await.unwrap();
    other.mint("0x77", 1).await.unwrap();
    for devnet in [&first, &other] {
        for _ in 0..5 {
            devnet.block().await.unwrap();
        }
    }
    let pool = pool(&[first.url(), other.url()]).await;
    let status = pool.status();
    assert_eq!(only_standings(&pool), ["good", "demoted"], "{status:?}");
    assert!(status[1].reason.as_ref().unwrap().contains("and the others have"), "{status:?}");
}
