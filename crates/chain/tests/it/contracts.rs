//! The contracts on a devnet: deployed by `ciro chain deploy`, then called, asked and listened to
//! through the bindings, and the contract agrees about ids and hashes.

use crate::cli::Desk;
use crate::world::World;
use ciro_chain::Felt;
use ciro_chain::contract::access::{AccessEvent, Arbiter, IsOperator};
use ciro_chain::contract::escrow::{self, EscrowEvent, Limits, Order};
use ciro_chain::contract::{Function, JobKey, JobState, Payout, payouts_hash, registry, token, view};
use ciro_chain::rpc::read::{self, At};
use ciro_chain::tx::fee::FeePolicy;
use ciro_chain::tx::outcome::Sent;
use ciro_chain::tx::sign::Terms;
use ciro_chain::tx::{Call, Unsigned, send};
use ciro_core::amount::Fri;
use ciro_testkit::DevnetOptions;
use serde_json::{Value, json};
use starknet_rust_core::types::U256;

/// A world, and a desk at which its first account is at hand.
pub(crate) async fn deployed(more: &[&str]) -> (World, Desk, Value) {
    deployed_on(DevnetOptions::default(), more).await
}

/// The same on a devnet of these options.
pub(crate) async fn deployed_on(options: DevnetOptions, more: &[&str]) -> (World, Desk, Value) {
    let world = World::start(options).await;
    let desk = Desk::new(world.devnet.url());
    let account = world.devnet.accounts().await.unwrap().remove(0);
    desk.private("key.hex", &account.private_key);
    let who = ["--address", &account.address, "--private-key-file", "key.hex"];
    let args = [&["deploy"][..], &who, more].concat();
    let shown = desk.ciro(&[&args[..], &["--yes", "-o", "json"]].concat()).json();
    (world, desk, shown)
}

pub(crate) fn address(shown: &Value, name: &str) -> Felt {
    let contracts = shown["contracts"].as_array().unwrap();
    let found = contracts.iter().find(|contract| contract["name"] == name).unwrap();
    Felt::from_hex(found["address"].as_str().unwrap()).unwrap()
}

impl World {
    pub(crate) async fn carry_out(&self, account: usize, calls: Vec<Call>) -> u64 {
        let (unsigned, nonce) = (Unsigned::Invoke(calls), self.nonce(account).await);
        let estimate = send::estimate(&self.pool, &unsigned, self.terms(account, nonce)).await.unwrap();
        let bounds = FeePolicy::default().bounds(&estimate, Fri(0)).unwrap();
        let signed = unsigned.sign(Terms { bounds, ..self.terms(account, nonce) }).unwrap();
        assert_eq!(send::send(&self.pool, &signed).await, Sent::Accepted);
        let landed = self.landed(signed.hash).await;
        assert_eq!(landed.reverted, None);
        landed.block
    }

    pub(crate) async fn ask<F: Function>(&self, to: Felt, function: F) -> F::Answer {
        view(&self.pool, to, &function, At::Latest).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_shown_first_done_once_and_found_again() {
    let (world, desk, shown) = deployed(&["--test-token"]).await;
    let names: Vec<_> =
        shown["contracts"].as_array().unwrap().iter().map(|c| (&c["name"], &c["state"])).collect();
    let done = json!("deployed");
    assert_eq!(
        names,
        [(&json!("TestToken"), &done), (&json!("JobEscrow"), &done), (&json!("WorkerRegistry"), &done)]
    );
    assert_eq!(
        shown["transactions"].as_array().unwrap().len(),
        4,
        "three classes, and all contracts at once"
    );
    assert_ne!(shown["estimate"]["fri"], "0");
    let (escrow, owner) = (address(&shown, "JobEscrow"), world.accounts[0].address);
    let class = read::class_at(&world.pool, escrow).await.unwrap().unwrap();
    let known = shown["contracts"][1]["class_hash"].as_str().unwrap();
    assert_eq!(class, Felt::from_hex(known).unwrap());
    assert_eq!(world.ask(escrow, escrow::Token {}).await, address(&shown, "TestToken"));
    assert_eq!(world.ask(address(&shown, "WorkerRegistry"), registry::Escrow {}).await, escrow);

    let account = format!("{owner:#x}");
    let again = ["deploy", "--test-token", "--address", &account, "--private-key-file", "key.hex"];
    let nonce = world.nonce(0).await;
    let found = desk.ciro(&[&again[..], &["-o", "json"]].concat()).json();
    assert_eq!(found["contracts"][1]["address"], shown["contracts"][1]["address"]);
    assert_eq!((&found["contracts"][1]["state"], &found["transactions"]), (&json!("there"), &json!([])));
    let ids = desk.ciro(&[&again[..], &["-o", "id"]].concat()).ok();
    assert_eq!(ids.lines().count(), 3);

    // Another salt is another deployment, of classes that are known by now; it asks before it sends.
    let other = [&again[..], &["--salt", "1"]].concat();
    let asked = desk.ciro(&other).fails(2);
    assert!(asked.contains("deploy TestToken, JobEscrow, WorkerRegistry: about"), "{asked}");
    assert!(asked.contains("--yes"), "{asked}");
    let dry = desk.ciro(&[&other[..], &["--dry-run", "-o", "json"]].concat()).json();
    assert_eq!((&dry["contracts"][0]["state"], &dry["transactions"]), (&json!("missing"), &json!([])));
    assert_ne!(dry["contracts"][1]["address"], shown["contracts"][1]["address"]);
    assert_eq!(world.nonce(0).await, nonce, "nothing was sent");

    let refused = desk.ciro(&[&again[..], &["--unbonding-delay", "60"]].concat());
    assert!(refused.fails(2).contains("a stake could leave before a dispute is decided"));
    let nowhere = ["deploy", "--token", "0x1234", "--address", &account, "--private-key-file", "key.hex"];
    assert!(desk.ciro(&nowhere).fails(3).contains("has no token at 0x1234"));
    let poor = desk.ciro(&[&other[..], &["--yes", "--max-fee", "1"]].concat());
    assert!(poor.fails(5).contains("one transaction may cost 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_lives_through_the_bindings_and_every_event_of_it_is_read() {
    let (world, _desk, shown) = deployed(&["--test-token", "--window", "60"]).await;
    let (escrow, tokens) = (address(&shown, "JobEscrow"), address(&shown, "TestToken"));
    let (client, worker) = (world.accounts[1].address, world.accounts[2].address);
    let much = U256::from(1_000_000_u32);
    world.carry_out(0, vec![token::Mint { recipient: client, amount: much }.call(tokens).unwrap()]).await;
    let now = read::header(&world.pool, read::head(&world.pool).await.unwrap().number).await.unwrap();
    let deadline = now.unwrap().timestamp + 3_600;
    let order = Order { salt: Felt::from(7_u8), spec_hash: Felt::ONE, amount: 1_000, deadline };
    let key = JobKey { client, salt: order.salt };
    let limits = Limits { max_fee_bps: 250, min_window: 60 };
    let calls = vec![
        token::Approve { spender: escrow, amount: much }.call(tokens).unwrap(),
        escrow::SubmitJobs { orders: vec![order], limits }.call(escrow).unwrap(),
    ];
    let from = world.carry_out(1, calls).await;
    assert_eq!(world.ask(escrow, escrow::JobIdOf { client, salt: key.salt }).await, key.id());
    let payouts = vec![Payout { provider: worker, amount: 900 }];
    let hash = payouts_hash(&payouts);
    assert_eq!(world.ask(escrow, escrow::PayoutsHash { payouts: payouts.clone() }).await, hash);
    let assignment = escrow::Assignment { job_id: key.id(), worker };
    let result = escrow::JobResult { job_id: key.id(), result_hash: Felt::TWO, payouts: payouts.clone() };
    let calls = vec![
        escrow::AssignJobs { batch: vec![assignment] }.call(escrow).unwrap(),
        escrow::SubmitResults { batch: vec![result] }.call(escrow).unwrap(),
    ];
    world.carry_out(0, calls).await;
    let job = world.ask(escrow, escrow::GetJob { job_id: key.id() }).await;
    assert_eq!(
        (job.state, job.amount, job.fee_bps, job.payouts_hash),
        (JobState::Submitted, 1_000, 250, hash)
    );

    world.devnet.rpc("devnet_increaseTime", json!({ "time": 60 })).await.unwrap();
    let settlement = escrow::Settlement { job: key.clone(), payouts };
    let settle = escrow::Settle { batch: vec![settlement.clone(), settlement] };
    let to = world.carry_out(2, vec![settle.call(escrow).unwrap()]).await;
    let credits = [worker, client, world.accounts[0].address];
    let mut found = Vec::new();
    for account in credits {
        found.push(world.ask(escrow, escrow::CreditOf { account }).await);
    }
    assert_eq!(found, [878, 100, 22], "900 less a fee of 22, and the remainder");
    assert_eq!(world.ask(escrow, escrow::GetJobs { job_ids: vec![key.id()] }).await.len(), 1);
    assert_eq!(world.ask(escrow, escrow::RulingOf { job_id: key.id() }).await, None);
    assert!(world.ask(escrow, IsOperator { account: world.accounts[0].address }).await);
    assert_eq!(world.ask(escrow, Arbiter {}).await, world.accounts[0].address);
    let totals = world.ask(escrow, escrow::GetTotals {}).await;
    assert_eq!((totals.locked, totals.credited, totals.bonded), (0, 1_000, 0));

    let page = read::events(&world.pool, escrow, (from, to), 100, None).await.unwrap();
    let events: Vec<_> = page
        .events
        .iter()
        .map(|event| EscrowEvent::read(&event.keys, &event.data).unwrap().unwrap())
        .collect();
    let names: Vec<String> = events
        .iter()
        .map(|event| format!("{event:?}").split([' ', '{']).next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        names,
        ["JobSubmitted", "JobAssigned", "JobCompleted", "PaymentReleased", "JobRefunded", "JobSkipped"]
    );
    assert_eq!(events[3], EscrowEvent::PaymentReleased { job_id: key.id(), worker, amount: 878, fee: 22 });
    let made = read::events(&world.pool, escrow, (0, from), 100, None).await.unwrap();
    let roles: Vec<_> =
        made.events.iter().filter_map(|event| AccessEvent::read(&event.keys, &event.data).unwrap()).collect();
    let owner = world.accounts[0].address;
    assert_eq!(roles[0], AccessEvent::OwnershipTransferred { from: Felt::ZERO, to: owner });
    assert!(roles.contains(&AccessEvent::OperatorChanged { account: owner, enabled: true }), "{roles:?}");
}
