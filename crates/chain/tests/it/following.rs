//! Following a chain that grows, and whose blocks are taken away: what was read must always be what
//! the chain has, and connected.

use crate::world::{LONG, World};
use ciro_chain::follow::{Ring, Step, advance};
use ciro_chain::network::STRK;
use ciro_chain::rpc::read::{self, Event, Header};
use ciro_chain::tx::send;
use ciro_testkit::{DevnetOptions, until};

/// What a follower would have written down.
#[derive(Default)]
struct Rows {
    ring: Ring,
    blocks: Vec<Header>,
    events: Vec<Event>,
}

impl Rows {
    /// Steps until there is nothing new; says how many blocks were taken back.
    async fn catch_up(&mut self, world: &World) -> usize {
        let mut taken_back = 0;
        loop {
            match advance(&world.pool, &mut self.ring, STRK, 0).await.unwrap() {
                Step::Current => return taken_back,
                Step::Moved => {}
                Step::Forward { blocks, events, .. } => {
                    self.blocks.extend(blocks);
                    self.events.extend(events);
                }
                Step::Back { orphaned } | Step::Deeper { orphaned } => {
                    taken_back += orphaned.len();
                    let gone = |hash| orphaned.iter().any(|block| Some(block.hash) == hash);
                    self.blocks.retain(|block| !gone(Some(block.hash)));
                    self.events.retain(|event| !gone(event.block_hash));
                }
            }
        }
    }

    /// What is written down is the chain, block by block, and each event lies in one of its blocks.
    async fn check(&self, world: &World) {
        let head = read::head(&world.pool).await.unwrap();
        let chain = read::headers(&world.pool, 0, head.number).await.unwrap();
        assert_eq!(self.blocks, chain);
        assert!(self.blocks.windows(2).all(|pair| pair[1].parent == pair[0].hash));
        assert!(
            self.events.iter().all(|event| chain.iter().any(|block| Some(block.hash) == event.block_hash))
        );
        let mut places: Vec<_> = self
            .events
            .iter()
            .map(|event| (event.block_number, event.transaction_index, event.event_index))
            .collect();
        let all = places.len();
        places.dedup();
        assert_eq!(places.len(), all, "no event twice");
    }
}

async fn transfers(world: &World, amounts: std::ops::Range<u64>) {
    for amount in amounts {
        let nonce = world.nonce(0).await;
        let signed = world.signed(0, nonce, amount).await;
        send::send(&world.pool, &signed).await;
        until("the transfer", LONG, async || Ok(send::look(&world.pool, signed.hash).await?)).await.unwrap();
    }
}

#[tokio::test]
async fn blocks_that_are_taken_away_take_their_events_with_them() {
    let world = World::start(DevnetOptions::default()).await;
    let mut rows = Rows::default();
    for _ in 0..120 {
        world.devnet.block().await.unwrap();
    }
    transfers(&world, 0..5).await;
    assert_eq!(rows.catch_up(&world).await, 0, "more than one range of blocks, nothing taken back");
    rows.check(&world).await;
    let before = rows.events.len();
    assert!(before >= 10, "a transfer and a fee each: {before}");

    // The hash of a devnet's block tells how many transactions are in it, and not which: the other
    // history begins with an empty block where this one has a transfer, and the other way round.
    for (depth, begins_empty) in [(1_u64, true), (5, true), (50, false)] {
        let head = read::head(&world.pool).await.unwrap().number;
        world.devnet.abort_from(head + 1 - depth).await.unwrap();
        if begins_empty {
            world.devnet.block().await.unwrap();
        }
        transfers(&world, 100..102).await;
        assert_eq!(
            rows.catch_up(&world).await,
            usize::try_from(depth).unwrap(),
            "all of it, and nothing else"
        );
        rows.check(&world).await;
    }
}

#[tokio::test]
async fn a_reorganisation_beyond_what_is_kept_is_told() {
    let world = World::start(DevnetOptions::default()).await;
    for _ in 0..3 {
        world.devnet.block().await.unwrap();
    }
    let mut ring = Ring::default();
    assert!(
        matches!(advance(&world.pool, &mut ring, STRK, 2).await.unwrap(), Step::Forward { blocks, .. } if blocks.len() == 2)
    );
    world.devnet.abort_from(1).await.unwrap();
    // Another history, as long as the first one.
    transfers(&world, 0..3).await;
    assert!(
        matches!(advance(&world.pool, &mut ring, STRK, 2).await.unwrap(), Step::Deeper { orphaned } if orphaned.len() == 2)
    );
    assert!(matches!(advance(&world.pool, &mut ring, STRK, 2).await.unwrap(), Step::Forward { .. }));
}
