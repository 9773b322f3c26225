//! What the chain says of escrows: read forward, taken back, begun anew, and let go.

use super::Told;
use super::payments::from_deposit;
use super::world::{World, spec};
use crate::chain::{ChainBack, ChainBlock, ChainEvent, ChainForward, ChainPart, ChainSum, MAX_CHAIN_BLOCKS};
use crate::open::Options;
use crate::{Error, RetentionPolicy};
use ciro_core::amount::Fri;
use ciro_core::id::JobKey;
use ciro_core::money::{ChainEscrow, ChainPayout, ChainState, Skipped};
use ciro_core::payout::PayoutAddress;
use serde_json::json;

pub(super) fn tune(_: &mut Options) {}

const CONTRACT: [u8; 32] = [3; 32];
const DAY_MS: u64 = 24 * 3_600_000;

/// A block of a chain; `branch` tells chains apart.
fn block(number: u64, branch: u8) -> ChainBlock {
    let hash = |number: u64| {
        let mut hash = [branch; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        hash
    };
    ChainBlock { number, hash: hash(number), parent: hash(number.wrapping_sub(1)), at: 1_000 + number }
}

/// What is said of an escrow, the `place`th in its block.
fn event(of: ChainBlock, place: u64, escrow: u8, name: &str, body: &serde_json::Value) -> ChainEvent {
    ChainEvent {
        block: of.number,
        block_hash: of.hash,
        place,
        tx: [7; 32],
        at: of.at,
        name: name.to_owned(),
        escrow: Some([escrow; 32]),
        credit: (name == "JobRefunded").then_some(([1; 32], Fri(100))),
        body: body.to_string(),
    }
}

fn paid_in(escrow: u8, at: ChainBlock) -> Result<ChainEscrow, Error> {
    let mut client = [0; 32];
    client[31] = 1;
    let client = PayoutAddress::new(client).ok_or(Error::NotFound)?;
    Ok(ChainEscrow {
        id: [escrow; 32],
        client,
        salt: [escrow; 32],
        amount: Fri(100),
        spec_hash: [9; 32],
        fee_bps: 250,
        window_s: 60,
        expires_at: 9_000,
        state: ChainState::Open,
        submitted_block: at.number,
        state_block: at.number,
        state_at: at.at,
        clock: None,
        payouts: Vec::new(),
        result_hash: None,
        paid: Fri(0),
        fee: Fri(0),
        refunded: Fri(0),
        skipped: None,
    })
}

fn cancelled(escrow: ChainEscrow, at: ChainBlock) -> ChainEscrow {
    ChainEscrow {
        state: ChainState::Cancelled,
        state_block: at.number,
        state_at: at.at,
        refunded: escrow.amount,
        ..escrow
    }
}

/// When a job is to be compared with the chain, and how often that was said.
async fn woken(w: &World, job: JobKey) -> Result<(Option<i64>, i64), Error> {
    let sql = "SELECT look_at, wakes FROM escrows WHERE job = ?1";
    let found = w.store.read(move |c| c.row(sql, [job.0], |r| Ok((r.get(0)?, r.get(1)?)))).await?;
    found.ok_or(Error::NotFound)
}

/// A job that is paid from this escrow.
async fn paid_from(w: &mut World, escrow: u8) -> Result<JobKey, Box<dyn std::error::Error + Send + Sync>> {
    let id = w.submit_paid(spec(), from_deposit(100, false, escrow)).await?;
    Ok(w.key(id).await?)
}

const PAYMENT: &str = "100";

pub(super) async fn what_the_chain_takes_back_goes_with_all_that_came_of_it(mut w: World) -> Told {
    let (first, second) = (paid_from(&mut w, 1).await?, paid_from(&mut w, 2).await?);
    assert_eq!(w.store.chain_cursor().await?, None);
    w.store.chain_begin(CONTRACT, 5, w.now()).await?;
    let begun = w.store.chain_cursor().await?.ok_or(Error::NotFound)?;
    assert_eq!((begun.contract, begun.from_block, begun.newest), (CONTRACT, 5, None));
    assert!(!begun.is_current(), "nothing was read");
    assert!(w.store.chain_sample(vec![[1; 32]]).await?.is_none(), "nothing can be compared yet");
    assert!(w.store.chain_sums().await?.is_none());

    let blocks: Vec<_> = (5..=7).map(|number| block(number, 1)).collect();
    let submitted = json!({ "payment": PAYMENT });
    let forward = ChainForward {
        after: None,
        head: 9,
        blocks: blocks.clone(),
        events: vec![
            event(blocks[0], 0, 1, "JobSubmitted", &submitted),
            event(blocks[0], 1, 2, "JobSubmitted", &submitted),
            event(blocks[2], 0, 2, "JobSkipped", &json!({})),
        ],
        escrows: vec![
            ChainEscrow {
                payouts: vec![ChainPayout { provider: paid_in(1, blocks[0])?.client, amount: Fri(7) }],
                ..paid_in(1, blocks[0])?
            },
            ChainEscrow {
                skipped: Some(Skipped { reason: "TOO_EARLY".into(), block: 7 }),
                clock: Some(5),
                result_hash: Some([4; 32]),
                ..paid_in(2, blocks[0])?
            },
        ],
    };
    w.store.chain_forward(forward.clone(), w.now()).await?;
    let again = w.store.chain_forward(forward.clone(), w.now()).await;
    assert!(matches!(again, Err(Error::Taken { .. })), "somebody else was faster: {again:?}");
    for escrow in &forward.escrows {
        assert_eq!(w.store.chain_escrow(escrow.id).await?.as_ref(), Some(escrow));
    }
    assert_eq!(w.store.chain_escrow([3; 32]).await?, None);
    let read = w.store.chain_cursor().await?.ok_or(Error::NotFound)?;
    assert_eq!((read.newest, read.head, read.is_current()), (Some(blocks[2]), 9, false));
    assert_eq!(woken(&w, first).await?, (Some(w.now().0), 2));

    // The chain has blocks 8 and 9, and then others in their place and in that of 7.
    let more: Vec<_> = (8..=9).map(|number| block(number, 1)).collect();
    let ended = cancelled(paid_in(1, blocks[0])?, more[1]);
    let forward = ChainForward {
        after: Some(blocks[2].hash),
        head: 9,
        blocks: more.clone(),
        events: vec![
            event(more[0], 0, 3, "JobSubmitted", &submitted),
            event(more[1], 0, 1, "JobRefunded", &json!({ "amount": PAYMENT })),
        ],
        escrows: vec![paid_in(3, more[0])?, ended.clone()],
    };
    w.store.chain_forward(forward, w.now()).await?;
    assert!(w.store.chain_cursor().await?.is_some_and(|cursor| cursor.is_current()));
    assert_eq!(w.store.chain_escrow(ended.id).await?, Some(ended.clone()));
    let sums = w.store.chain_sums().await?.ok_or(Error::NotFound)?;
    let sum = |escrows, amount| ChainSum { escrows, amount: Fri(amount) };
    assert_eq!((sums.open, sums.foreign), (sum(2, 200), sum(1, 100)), "the third is of no job");
    let sample = w.store.chain_sample(vec![[2; 32], [9; 32], [1; 32]]).await?.ok_or(Error::NotFound)?;
    let ids: Vec<_> = sample.escrows.iter().map(|escrow| escrow.id).collect();
    assert_eq!(ids, [[2; 32], [1; 32]], "of those that were asked for, those that are there");
    for (part, limit, ids) in [
        (ChainPart::Open([0; 32]), 9, vec![[2; 32], [3; 32]]),
        (ChainPart::Open([0; 32]), 1, vec![[2; 32]]),
        (ChainPart::Open([2; 32]), 9, vec![[3; 32]]),
        (ChainPart::Ended([0; 32]), 9, vec![[1; 32]]),
        (ChainPart::Ended([1; 32]), 9, Vec::new()),
        (ChainPart::Newest, 9, vec![[1; 32]]),
    ] {
        assert_eq!(w.store.chain_ids(part, limit).await?, ids, "{part:?}, {limit}");
    }
    assert_eq!(w.store.chain_event_counts_behind(5).await?, [(9, 1), (8, 1), (7, 1)]);
    let mut named = w.store.chain_named_behind(6).await?;
    named.sort_unstable();
    assert_eq!(named, [[1; 32], [2; 32], [3; 32]]);
    let remaining = w.store.chain_events_of([1; 32], 6).await?;
    assert_eq!(remaining.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["JobSubmitted"]);

    let back = ChainBack {
        after: more[1].hash,
        to: 6,
        escrows: vec![paid_in(1, blocks[0])?, paid_in(2, blocks[0])?],
        gone: vec![[3; 32]],
    };
    let stale = ChainBack { after: more[0].hash, ..back.clone() };
    assert!(matches!(w.store.chain_back(stale, w.now()).await, Err(Error::Taken { .. })));
    w.advance(1).await?;
    w.store.chain_back(back, w.now()).await?;
    assert_eq!(w.store.chain_blocks().await?, blocks[..2]);
    assert_eq!(w.store.chain_escrow([1; 32]).await?, Some(paid_in(1, blocks[0])?));
    assert_eq!(w.store.chain_escrow([3; 32]).await?, None);
    assert_eq!(w.store.chain_events_of([1; 32], 9).await?.len(), 1);
    let cursor = w.store.chain_cursor().await?;
    assert!(cursor.is_some_and(|cursor| !cursor.is_current()), "the other blocks are not read yet");
    let now = w.now().0;
    assert_eq!((woken(&w, first).await?, woken(&w, second).await?), ((Some(now), 4), (Some(now), 3)));
    w.store.chain_noted(6, Some(5)).await?;
    w.reopen().await?;
    let cursor = w.store.chain_cursor().await?.ok_or(Error::NotFound)?;
    assert_eq!((cursor.is_current(), cursor.proved), (true, Some(5)));

    // Another contract, and nothing of the first one is left.
    w.advance(1).await?;
    w.store.chain_begin([4; 32], 0, w.now()).await?;
    assert_eq!(w.store.chain_escrow([1; 32]).await?, None);
    assert_eq!(w.store.chain_blocks().await?, []);
    assert_eq!(woken(&w, first).await?, (Some(w.now().0), 5));
    w.verified().await
}

pub(super) async fn what_is_over_for_long_goes_with_its_events(mut w: World) -> Told {
    paid_from(&mut w, 1).await?;
    w.store.chain_begin(CONTRACT, 0, w.now()).await?;
    let mut after = None;
    let begun = u64::try_from(w.now().0)? / 1_000;
    let many = MAX_CHAIN_BLOCKS + 10;
    let at = |number| ChainBlock { at: begun, ..block(number, 1) };
    for (first, last) in [(0, 1), (2, many - 1)] {
        let blocks: Vec<_> = (first..=last).map(at).collect();
        let mut forward = ChainForward { after, head: last, blocks, events: Vec::new(), escrows: Vec::new() };
        if first == 0 {
            let refunded = json!({ "amount": PAYMENT });
            for escrow in 1..=3 {
                let place = u64::from(escrow);
                let submitted = json!({ "payment": PAYMENT });
                forward.events.push(event(at(0), place, escrow, "JobSubmitted", &submitted));
                let open = paid_in(escrow, at(0))?;
                // The third is open still, the first is that of a job.
                if escrow < 3 {
                    forward.events.push(event(at(1), place, escrow, "JobRefunded", &refunded));
                    forward.escrows.push(cancelled(open, at(1)));
                } else {
                    forward.escrows.push(open);
                }
            }
            forward.events.push(event(at(1), 9, 8, "JobSkipped", &json!({})));
        }
        after = forward.blocks.last().map(|block| block.hash);
        w.store.chain_forward(forward, w.now()).await?;
    }
    let kept = w.store.chain_blocks().await?;
    let ends = kept.first().zip(kept.last()).map(|(first, last)| (first.number, last.number));
    assert_eq!((kept.len() as u64, ends), (MAX_CHAIN_BLOCKS, Some((10, many - 1))), "the newest are kept");

    let policy = RetentionPolicy::default();
    assert_eq!(w.store.retain_page(policy, w.now()).await?.chain, 0, "nothing is old");
    let later = w.now().plus_ms(366 * DAY_MS);
    assert!(w.store.retain_page(policy, later).await?.chain > 0);
    assert_eq!(w.store.retain_page(policy, later).await?.chain, 0, "all of it went at once");
    for (escrow, stays) in [(1, true), (2, false), (3, true), (8, false)] {
        assert_eq!(w.store.chain_escrow([escrow; 32]).await?.is_some(), stays, "{escrow}");
        assert_eq!(w.store.chain_events_of([escrow; 32], many).await?.is_empty(), !stays, "{escrow}");
    }
    w.verified().await
}
