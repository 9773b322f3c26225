//! Ended jobs after their time: their rows go, what is said of them stays.

use crate::env::{Env, until};
use ciro_api::job::{CancelMode, NewJob};
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
