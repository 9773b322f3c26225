//! Transactions through every trouble on their way: sent twice, with a gap, with a nonce that a
//! stranger used, reverting inside a batch, replaced by one that pays more, lost in a reorganisation.

use crate::world::World;
use ciro_chain::Felt;
use ciro_chain::network::STRK;
use ciro_chain::rpc::read::{self, At};
use ciro_chain::tx::fee::FeePolicy;
use ciro_chain::tx::outcome::{Finality, NonceUse, Sent};
use ciro_chain::tx::plan::{Limits, Weight, plan};
use ciro_chain::tx::sign::Terms;
use ciro_chain::tx::state::{Action, Seen, State, of_nonce, of_sending, step};
use ciro_chain::tx::{Call, Signed, Unsigned, send};
use ciro_core::amount::Fri;
use ciro_testkit::DevnetOptions;

#[tokio::test]
async fn the_same_bytes_land_once_however_often_they_are_sent() {
    let world = World::start(DevnetOptions::default()).await;
    let before = read::balance(&world.pool, STRK, world.accounts[1].address, At::Latest).await.unwrap();
    let nonce = world.nonce(0).await;
    let signed = world.signed(0, nonce, 1_000).await;
    // As it comes back from where it was written down.
    let kept: Signed = serde_json::from_str(&serde_json::to_string(&signed).unwrap()).unwrap();
    assert_eq!(send::send(&world.pool, &signed).await, Sent::Accepted);
    let landed = world.landed(signed.hash).await;
    assert_eq!((landed.hash, landed.reverted.as_deref(), landed.finality), (signed.hash, None, Finality::L2));
    assert!(landed.fee <= signed.bounds.most() && landed.fee > Fri(0), "{landed:?}");

    let again = send::send(&world.pool, &kept).await;
    assert!(matches!(again, Sent::Known | Sent::NonceTooLow { .. }), "{again:?}");
    let nonce_use = send::nonce_use(&world.pool, signed.sender, nonce, &[kept.hash]).await.unwrap();
    assert_eq!(nonce_use, NonceUse::Ours(signed.hash), "ours, and nobody else's");
    let after = read::balance(&world.pool, STRK, world.accounts[1].address, At::Latest).await.unwrap();
    assert_eq!((world.nonce(0).await, after), (nonce + 1, before + 1_000));
}

#[tokio::test]
async fn gaps_wait_and_a_nonce_of_a_stranger_stops_the_account() {
    let world = World::start(DevnetOptions::default()).await;
    let nonce = world.nonce(0).await;
    let (first, ahead) = (world.signed(0, nonce, 1).await, world.signed(0, nonce + 2, 3).await);
    assert_eq!(send::send(&world.pool, &ahead).await, Sent::NonceGap { next: nonce });
    let nonce_use = send::nonce_use(&world.pool, ahead.sender, ahead.nonce, &[ahead.hash]).await.unwrap();
    assert_eq!(nonce_use, NonceUse::Ahead);

    // Somebody else with the key is faster.
    let foreign = world.signed(0, nonce, 777).await;
    assert_eq!(send::send(&world.pool, &foreign).await, Sent::Accepted);
    world.landed(foreign.hash).await;
    let sent = send::send(&world.pool, &first).await;
    assert!(matches!(sent, Sent::NonceTooLow { .. }), "{sent:?}");
    assert_eq!(of_sending(&sent), None, "the account must be looked at");
    let nonce_use = send::nonce_use(&world.pool, first.sender, nonce, &[first.hash]).await.unwrap();
    assert_eq!(nonce_use, NonceUse::Foreign);
    let seen = of_nonce(nonce_use).unwrap();
    assert_eq!(step(State::Signed, seen), Ok((State::Dropped, Action::Halt)));

    // The gap is closed by one of ours; then the one that waited is taken.
    let second = world.signed(0, nonce + 1, 2).await;
    assert_eq!(send::send(&world.pool, &second).await, Sent::Accepted);
    world.landed(second.hash).await;
    assert_eq!(send::send(&world.pool, &ahead).await, Sent::Accepted);
    assert_eq!(world.landed(ahead.hash).await.reverted, None);
}

#[tokio::test]
async fn what_would_revert_is_found_inside_a_batch_and_what_reverts_costs_its_nonce() {
    let world = World::start(DevnetOptions::default()).await;
    let nonce = world.nonce(0).await;
    let mut entries: Vec<_> = (0..20_u64).map(|amount| vec![world.transfer(1, amount)]).collect();
    let too_much = vec![world.transfer(1, u128::MAX)];
    entries[6] = too_much.clone();
    entries[13] = vec![world.transfer(1, 1_u64), world.transfer(2, u128::MAX)];
    let checked = send::check(&world.pool, &entries, Unsigned::Invoke, world.terms(0, nonce)).await.unwrap();
    let poison: Vec<usize> = checked.sorted.poison.iter().map(|poison| poison.entry).collect();
    assert_eq!((poison, checked.sorted.passing.len()), (vec![6, 13], 18));
    assert!(checked.sorted.poison.iter().all(|poison| !poison.reason.is_empty()), "{:?}", checked.sorted);

    // Batches of at most eight, by what each takes of a transaction.
    let l2_gas = checked.estimate.unwrap().l2_gas.amount / 18;
    let weights: Vec<Weight> = checked
        .sorted
        .passing
        .iter()
        .map(|entry| {
            let calldata = entries[*entry].iter().map(Call::felts).sum();
            Weight { l2_gas, calldata }
        })
        .collect();
    let planned = plan(&weights, &Limits { entries: 8, ..Limits::default() });
    assert_eq!((planned.batches.len(), planned.too_large), (3, vec![]));
    assert_eq!(plan(&weights, &Limits::default()).batches.len(), 1, "by default all of them fit");

    let calls = checked.sorted.passing.iter().flat_map(|entry| entries[*entry].clone()).collect();
    let bounds = FeePolicy::default().bounds(&checked.estimate.unwrap(), Fri(0)).unwrap();
    let batch = Unsigned::Invoke(calls).sign(Terms { bounds, ..world.terms(0, nonce) }).unwrap();
    assert_eq!(send::send(&world.pool, &batch).await, Sent::Accepted);
    assert_eq!(world.landed(batch.hash).await.reverted, None, "the rest of the batch goes through");

    let reverting = Unsigned::Invoke(too_much).sign(Terms { bounds, ..world.terms(0, nonce + 1) }).unwrap();
    assert_eq!(send::send(&world.pool, &reverting).await, Sent::Accepted);
    let landed = world.landed(reverting.hash).await;
    assert!(landed.reverted.is_some() && landed.fee > Fri(0), "{landed:?}");
    assert_eq!(world.nonce(0).await, nonce + 2);
    assert_eq!(step(State::Broadcast, Seen::Reverted(landed.finality)), Ok((State::Reverted, Action::Wait)));
}

#[tokio::test]
async fn bounds_that_are_too_low_or_cannot_be_paid_are_told_apart() {
    let world = World::start(DevnetOptions::default()).await;
    let nonce = world.nonce(0).await;
    let good = world.signed(0, nonce, 1).await;
    let with = |change: &dyn Fn(&mut ciro_chain::tx::Bounds)| {
        let mut bounds = good.bounds;
        change(&mut bounds);
        let transfer = Unsigned::Invoke(vec![world.transfer(1, 1_u64)]);
        transfer.sign(Terms { bounds, ..world.terms(0, nonce) }).unwrap()
    };
    let low = with(&|bounds| bounds.l2_gas.amount = 1_000);
    let sent = send::send(&world.pool, &low).await;
    assert!(matches!(sent, Sent::BoundsTooLow(_)), "{sent:?}");
    let dear = with(&|bounds| bounds.l2_gas.price = 1 << 100);
    let sent = send::send(&world.pool, &dear).await;
    assert!(matches!(sent, Sent::CannotPay(_)), "{sent:?}");
    // Under the same nonce, and dearer: another transaction, of which one can land.
    let transfer = Unsigned::Invoke(vec![world.transfer(1, 1_u64)]);
    let market = send::estimate(&world.pool, &transfer, world.terms(0, nonce)).await.unwrap();
    let bounds = FeePolicy::default().bump(&good.bounds, &market, Fri(0)).unwrap();
    let bumped = with(&|old| *old = bounds);
    assert!(bumped.bounds.most() > good.bounds.most() && bumped.hash != good.hash);
    assert_eq!(send::send(&world.pool, &bumped).await, Sent::Accepted, "none of the others used the nonce");
    world.landed(bumped.hash).await;
    let nonce_use =
        send::nonce_use(&world.pool, good.sender, nonce, &[good.hash, bumped.hash]).await.unwrap();
    assert_eq!(nonce_use, NonceUse::Ours(bumped.hash));
    assert_eq!(step(State::Broadcast, of_nonce(nonce_use).unwrap()), Ok((State::Replaced, Action::Settle)));
}

#[tokio::test]
async fn a_reorganisation_takes_a_transaction_out_and_the_same_bytes_bring_it_back() {
    let world = World::start(DevnetOptions { block_for_each: false, ..DevnetOptions::default() }).await;
    let nonce = world.nonce(0).await;
    let signed = world.signed(0, nonce, 5).await;
    assert_eq!(send::send(&world.pool, &signed).await, Sent::Accepted);
    let landed = world.landed(signed.hash).await;
    let (mut state, _) = step(State::Broadcast, Seen::Landed(landed.finality)).unwrap();
    assert_eq!((landed.finality, state), (Finality::PreConfirmed, State::PreConfirmed));
    world.devnet.block().await.unwrap();
    let landed = world.landed(signed.hash).await;
    (state, _) = step(state, Seen::Landed(landed.finality)).unwrap();
    assert_eq!((landed.finality, state), (Finality::L2, State::L2));

    world.devnet.abort_from(landed.block).await.unwrap();
    assert_eq!(send::look(&world.pool, signed.hash).await.unwrap(), None);
    let nonce_use = send::nonce_use(&world.pool, signed.sender, nonce, &[signed.hash]).await.unwrap();
    let (state, action) = step(state, of_nonce(nonce_use).unwrap()).unwrap();
    assert_eq!((nonce_use, state, action), (NonceUse::Next, State::Broadcast, Action::Send));
    assert_eq!(of_sending(&send::send(&world.pool, &signed).await), Some(Seen::Taken));
    world.devnet.block().await.unwrap();
    assert_eq!(world.landed(signed.hash).await.finality, Finality::L2);
    assert_eq!(world.nonce(0).await, nonce + 1);
}

#[tokio::test]
async fn no_contract_no_account_and_no_function_are_refused_by_name() {
    let world = World::start(DevnetOptions::default()).await;
    let nowhere = Felt::from(0x1234_u32);
    assert_eq!(read::nonce(&world.pool, nowhere).await.unwrap(), None);
    assert_eq!(read::class_at(&world.pool, nowhere).await.unwrap(), None);
    assert!(!read::is_declared(&world.pool, nowhere).await.unwrap());
    let mut call = world.transfer(1, 1_u64);
    call.selector = read::selector("no_such_function");
    let nonce = world.nonce(0).await;
    let refused = send::estimate(&world.pool, &Unsigned::Invoke(vec![call]), world.terms(0, nonce)).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.starts_with("it would fail: ") && said.contains("ENTRYPOINT_NOT_FOUND"), "{said}");
}
