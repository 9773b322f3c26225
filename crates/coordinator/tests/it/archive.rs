//! Ended jobs after their time: their rows go, what is said of them stays.

use crate::env::{Env, until};
use ciro_api::job::{Amount, CancelMode, NewJob, PaymentMethod};
use ciro_api::page::PageQuery;
use ciro_api::payment::NewDeposit;
use ciro_core::amount::Fri;
use ciro_core::job::JobState;

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_job_can_still_be_looked_at() {
    let env = Env::with(|config| {
        (config.retention.every_ms, config.retention.jobs_ms) = (50, 1);
    })
    .await;
    let labels = [("team".to_owned(), "blue".to_owned())].into();
    let id = env.submit(&NewJob { kind: "sleep".into(), labels, ..NewJob::default() }).await;
    let before = env.client.job_get(id).await.unwrap();
    assert_eq!(before.archived_at, None);
    env.client.job_cancel(id, CancelMode::Now).await.unwrap();
    let kept = until("the archive", async || {
        env.client.job_get(id).await.ok().filter(|job| job.archived_at.is_some())
    })
    .await;
    assert_eq!((kept.state, kept.phase.as_str()), (JobState::Cancelled, "cancelled"));
    assert_eq!((&kept.labels, &kept.spec, kept.spec_hash), (&before.labels, &before.spec, before.spec_hash));
    assert_eq!((kept.tasks.total, kept.tasks.open), (1, 0));
    let status = env.ended(id).await;
    assert_eq!(status.sequence, kept.sequence, "who waits for it is answered at once");
    assert_eq!(env.stranger.job_get(id).await.unwrap_err().code(), Some("job_not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_job_shows_how_its_money_was_shared_out() {
    let env = Env::with(|config| {
        (config.retention.every_ms, config.retention.jobs_ms) = (50, 1);
    })
    .await;
    let amount = Amount { fri: "1000".into(), strk: None };
    let deposit = NewDeposit { tenant: None, amount: amount.clone(), reference: None, note: None };
    env.client.payment_deposit(&deposit, None).await.unwrap();
    let payment = Some(PaymentMethod::Balance);
    let new = NewJob { kind: "sleep".into(), max_cost: Some(amount), payment, ..NewJob::default() };
    let id = env.submit(&new).await;
    let page = PageQuery::default();
    let locked = env.client.payment_escrows(None, &page).await.unwrap().items.remove(0);
    assert_eq!(
        (locked.job, locked.settlement.state.as_str(), locked.settlement.held.fri.as_str()),
        (id, "locked", "1000")
    );
    assert_eq!(env.client.payment_settlements(None, &page).await.unwrap().items, []);

    env.client.job_cancel(id, CancelMode::Now).await.unwrap();
    let kept = until("the archive", async || {
        env.client.job_get(id).await.ok().filter(|job| job.archived_at.is_some())
    })
    .await;
    let settlement = kept.settlement.unwrap();
    assert_eq!((settlement.state.as_str(), &settlement.refunded), ("settled", &Fri(1_000).into()));
    assert_eq!(env.client.payment_escrows(None, &page).await.unwrap().items, []);
    let found = env.client.payment_settlements(None, &page).await.unwrap().items;
    let [of] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((of.job, of.job_state, &of.settlement), (id, JobState::Cancelled, &settlement));
    assert_eq!((of.shares.as_slice(), of.archived_at), ([].as_slice(), kept.archived_at));
    assert_eq!(env.stranger.payment_settlements(None, &page).await.unwrap().items, []);
    let only = |filter: &str| PageQuery { filter: Some(filter.to_owned()), ..PageQuery::default() };
    for (filter, expected) in
        [("state:settled method:balance", 1), ("method:escrow", 0), (&format!("job:{id}"), 1)]
    {
        assert_eq!(
            env.client.payment_settlements(None, &only(filter)).await.unwrap().items.len(),
            expected,
            "{filter}"
        );
    }
    for wrong in ["state:paid", "-state:settled", "job:seven", "tasks:1"] {
        let refused = env.client.payment_settlements(None, &only(wrong)).await.unwrap_err();
        assert_eq!(refused.code(), Some("bad_filter"), "{wrong}");
    }
}
