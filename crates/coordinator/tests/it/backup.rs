//! Backups through the API: made beside the work, listed, checked, let go; by the clock too.

use crate::env::{Env, until};
use ciro_api::backup::{Backup, BackupState, NewBackup};
use ciro_api::client::Error;
use ciro_api::job::{CancelMode, NewJob};
use ciro_api::page::PageQuery;
use ciro_api::system::ComponentState;
use ciro_coordinator::backup::{check, unwatched};
use ciro_core::id::BackupId;
use std::fs;

async fn complete(env: &Env, id: BackupId) -> Backup {
    let made = until("the backup", async || {
        let backup = env.client.backup_get(id).await.unwrap();
        (backup.state != BackupState::Running).then_some(backup)
    })
    .await;
    assert_eq!(made.state, BackupState::Complete, "{made:?}");
    made
}

async fn checked(env: &Env, id: BackupId) -> Backup {
    env.client.backup_verify(id).await.unwrap();
    until("the check", async || {
        let backup = env.client.backup_get(id).await.unwrap();
        (backup.progress.is_none() && backup.check.is_some()).then_some(backup)
    })
    .await
}

async fn listed(env: &Env) -> Vec<BackupId> {
    let page = env.client.backup_list(&PageQuery::default()).await.unwrap();
    page.items.into_iter().map(|backup| backup.id).collect()
}

async fn component(env: &Env) -> ComponentState {
    env.client.status().await.unwrap().components["backups"].state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_holds_what_there_is_is_checked_and_goes_when_newer_ones_come() {
    let env = Env::with(|config| {
        config.backups.keep = 2;
        (config.retention.every_ms, config.retention.jobs_ms) = (50, 1);
    })
    .await;
    let input = env.put(b"what a job reads").await;
    let ended = env.submit(&NewJob { kind: "sleep".into(), ..NewJob::default() }).await;
    env.client.job_cancel(ended, CancelMode::Now).await.unwrap();
    until("the archive", async || {
        env.client.job_get(ended).await.ok().filter(|job| job.archived_at.is_some())
    })
    .await;
    env.submit(&NewJob { kind: "sleep".into(), ..NewJob::default() }).await;

    let all = NewBackup::default();
    let begun = env.client.backup_create(&all, Some("once")).await.unwrap();
    let first = complete(&env, begun.id).await;
    let content = first.content.unwrap();
    assert_eq!((content.jobs, content.open_jobs, content.archived), (1, 1, 1), "{content:?}");
    assert!(content.artifacts.included && content.artifacts.count == 1 && content.artifacts.missing == 0);
    assert!(content.position > 0 && content.violations.is_empty(), "{content:?}");
    let again = env.client.backup_create(&all, Some("once")).await.unwrap();
    assert_eq!(
        (again.id, listed(&env).await),
        (begun.id, vec![begun.id]),
        "a repeated call makes no second one"
    );
    let other = env.client.backup_create(&NewBackup { artifacts: Some(false) }, Some("once")).await;
    assert_eq!(other.unwrap_err().code(), Some("idempotency_mismatch"));

    let whole = checked(&env, begun.id).await.check.unwrap();
    assert!(whole.whole && whole.files >= 4 && whole.problems.is_empty(), "{whole:?}");
    let folder = env.data_dir().with_file_name("coordinator.db.backups");
    let name = input.to_string();
    let kept = folder.join(begun.id.to_string()).join("artifacts").join(&name[..2]).join(&name[2..]);
    assert_eq!(fs::read(&kept).unwrap(), b"what a job reads");
    // Another name of the same bytes: they are changed where they are a copy.
    fs::remove_file(&kept).unwrap();
    fs::write(&kept, b"what nobody wrote").unwrap();
    let broken = checked(&env, begun.id).await.check.unwrap();
    assert!(!broken.whole && broken.problems[0].contains(&name[2..]), "{broken:?}");
    assert_eq!(component(&env).await, ComponentState::Degraded);

    let small = env.client.backup_create(&NewBackup { artifacts: Some(false) }, None).await.unwrap();
    let listed_only = complete(&env, small.id).await.content.unwrap().artifacts;
    assert!(!listed_only.included && listed_only.count == 1);
    assert_eq!(component(&env).await, ComponentState::Ok);
    let last = env.client.backup_create(&all, None).await.unwrap();
    complete(&env, last.id).await;
    until("the oldest to go", async || (listed(&env).await == [last.id, small.id]).then_some(())).await;
    assert_eq!(env.client.backup_get(begun.id).await.unwrap_err().code(), Some("backup_not_found"));
    let page = PageQuery { limit: Some(1), ..PageQuery::default() };
    let page = env.client.backup_list(&page).await.unwrap();
    let next = PageQuery { cursor: page.next_cursor, limit: Some(1), ..PageQuery::default() };
    assert_eq!(env.client.backup_list(&next).await.unwrap().items[0].id, small.id);
    assert!(check(&folder.join(last.id.to_string()), &unwatched()).unwrap().whole);

    let refused = |error: Error| assert_eq!(error.code(), Some("forbidden"));
    refused(env.stranger.backup_list(&PageQuery::default()).await.unwrap_err());
    refused(env.stranger.backup_create(&all, None).await.unwrap_err());
    refused(env.stranger.backup_get(last.id).await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_by_the_clock_and_only_so_many_are_kept() {
    let env = Env::with(|config| (config.backups.every_ms, config.backups.keep) = (50, 2)).await;
    let folder = env.data_dir().with_file_name("coordinator.db.backups");
    let seen = until("two backups", async || Some(listed(&env).await).filter(|all| all.len() == 2)).await;
    until("both to be let go", async || {
        let now = listed(&env).await;
        assert!(now.len() <= 3, "the oldest goes when a new one is there");
        (!now.is_empty() && !now.iter().any(|id| seen.contains(id))).then_some(())
    })
    .await;
    assert_eq!(component(&env).await, ComponentState::Ok);
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.len() <= 4, "{names:?}");
}
