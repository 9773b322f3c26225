//! Receipts over HTTP: paged, filtered, of one tenant, and good for a check that knows no server.

use crate::env::Env;
use crate::splits::array;
use crate::worker::FakeWorker;
use ciro_api::job::Amount;
use ciro_api::page::PageQuery;
use ciro_api::receipt::{BlockReader, Checked, PRICED_FORMAT};
use ciro_api::work::{Lease, Outcome, VerdictKind};
use ciro_core::amount::Fri;
use ciro_core::spec::{Profile, Runtime};

fn page(limit: u32, cursor: Option<String>, filter: &str) -> PageQuery {
    PageQuery { limit: Some(limit), cursor, filter: (!filter.is_empty()).then(|| filter.to_owned()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_come_in_pages_by_task_and_stand_on_their_own() {
    let env = Env::start().await;
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let id = env.submit(&array(3)).await;
    let mut leases = Vec::new();
    while leases.len() < 3 {
        leases.extend(worker.take(3).await);
    }
    let mut elsewhere = leases[0].clone();
    if let Runtime::Wasm { profile, .. } = &mut elsewhere.runtime {
        *profile = if *profile == Profile::Wasm1 { Profile::Wasm1Arch } else { Profile::Wasm1 };
    }
    let manifest = r#"{"outputs":[],"exit_code":0,"fuel":0}"#.to_owned();
    let verdict = worker.report(&elsewhere, Outcome::Succeeded { manifest }).await;
    assert_eq!(verdict, VerdictKind::Invalid, "what ran under another profile is no result of this job");

    let declined = worker.report(&leases[0], Outcome::Declined { reason: "not today".into() }).await;
    assert_eq!(declined, VerdictKind::Recorded);
    for lease in &leases[1..] {
        worker.succeed(lease, &[("out", b"same")]).await;
    }
    let first = env.client.job_receipts(id, &page(2, None, "")).await.unwrap();
    let rest = env.client.job_receipts(id, &page(2, first.next_cursor, "")).await.unwrap();
    let receipts: Vec<_> = first.items.into_iter().chain(rest.items).collect();
    assert!(rest.next_cursor.is_none());
    let mut said: Vec<_> = receipts.iter().map(|r| (r.attempt(), r.outcome.as_str())).collect();
    said.sort_unstable();
    let mut wanted: Vec<_> = leases
        .iter()
        .zip(["declined", "succeeded", "succeeded"])
        .map(|(lease, outcome)| (lease.attempt, outcome))
        .collect();
    wanted.sort_unstable();
    assert_eq!(said, wanted);
    for receipt in &receipts {
        let lines = BlockReader::new(receipt.to_text().unwrap().as_bytes()).next_block().unwrap().unwrap();
        assert_eq!(Checked::of(&lines, None).faults, [], "{receipt:?}");
        assert_eq!(receipt.layers, ["rlimits"]);
    }

    let accepted = env.client.job_receipts(id, &page(50, None, "state:accepted")).await.unwrap();
    assert_eq!(accepted.items.len(), 2);
    let task = leases[1].attempt.task.no;
    let one = env.client.job_receipts(id, &page(50, None, &format!("task:{task}"))).await.unwrap();
    assert_eq!(one.items.iter().map(|r| r.task).collect::<Vec<_>>(), [task]);
    let wrong = env.client.job_receipts(id, &page(50, None, "tusk:1")).await.unwrap_err();
    assert_eq!(wrong.code(), Some("bad_filter"));
    let stranger = env.stranger.job_receipts(id, &page(50, None, "")).await.unwrap_err();
    assert_eq!(stranger.code(), Some("job_not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_is_agreed_with_the_lease_and_signed() {
    let env = Env::start().await;
    let price = Fri(3_000_000_000_000_000_000);
    let payout = "0x1234".parse().unwrap();
    let mut worker = FakeWorker::join_as(&env.client, 1, |said| {
        (said.price, said.payout) = (price, Some(payout));
    })
    .await;
    let id = env.submit(&array(2)).await;
    let mut leases = Vec::new();
    while leases.len() < 2 {
        leases.extend(worker.take(2).await);
    }
    assert!(leases.iter().all(|lease| lease.price == price), "{leases:?}");
    let dearer = Lease { price: Fri(price.0 + 1), ..leases[0].clone() };
    let manifest = r#"{"outputs":[],"exit_code":0,"fuel":0}"#.to_owned();
    let verdict = worker.report(&dearer, Outcome::Succeeded { manifest }).await;
    assert_eq!(verdict, VerdictKind::Invalid, "what names another price is no report of this attempt");
    for lease in &leases {
        worker.succeed(lease, &[("out", b"same")]).await;
    }
    let receipts = env.client.job_receipts(id, &page(50, None, "")).await.unwrap().items;
    assert_eq!(receipts.len(), 2);
    for receipt in receipts {
        assert_eq!((receipt.format.as_str(), receipt.price), (PRICED_FORMAT, price));
        let lines = BlockReader::new(receipt.to_text().unwrap().as_bytes()).next_block().unwrap().unwrap();
        assert_eq!(Checked::of(&lines, None).faults, [], "{receipt:?}");
    }
    let attempts = env.client.job_attempts(id, &page(50, None, "")).await.unwrap().items;
    let priced = Some(Amount { fri: price.to_string(), strk: Some("3".into()) });
    assert!(attempts.iter().all(|attempt| attempt.price == priced), "{attempts:?}");
    let worker = env.client.worker_list(&page(50, None, "")).await.unwrap().items.remove(0);
    assert_eq!(worker.payout, Some(payout));
}
