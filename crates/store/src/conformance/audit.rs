//! The audit log: a row for each change, none for what changed nothing.

use super::Told;
use super::world::{TENANT, World, spec};
use crate::open::Options;
use crate::{AuditEntry, AuditQuery, Error, RetentionPolicy, Submit, WorkerOrder};
use ciro_core::command::Command;
use ciro_core::id::TenantId;
use ciro_core::job::StopCause;
use serde_json::json;

pub(super) fn tune(options: &mut Options) {
    options.max_open_jobs = 2;
}

fn by(action: &'static str, object: impl ToString) -> AuditEntry {
    AuditEntry::system(TENANT, action, object)
}

async fn actions(w: &World, query: AuditQuery) -> Result<Vec<String>, Error> {
    let rows = w.store.audit_list(TENANT, query, 100).await?;
    Ok(rows.into_iter().map(|row| format!("{} {}", row.position, row.action)).collect())
}

pub(super) async fn what_changed_is_written_down_and_nothing_else(mut w: World) -> Told {
    let worker = w.worker(1, 1).await?;
    let id = w.submit(spec()).await?;
    let key = w.store.job_key(TENANT, id).await?.ok_or(Error::NotFound)?;
    let order = async |w: &World, order| {
        let after = json!({ "order": format!("{order:?}") });
        w.store.audited(by("worker.order", "w").after(after)).worker_order(worker.worker, order).await
    };
    order(&w, WorkerOrder::Drain).await?;
    order(&w, WorkerOrder::Drain).await?;
    let stop = || Command::Stop { job: key, cause: StopCause::Cancel, grace_ms: 0 };
    w.store.audited(by("job.cancel", id).after(json!({ "mode": "now" }))).command(stop()).await?;
    let again = w.store.audited(by("job.cancel", id)).command(stop()).await;
    assert!(matches!(again, Err(Error::Refused(_))), "{again:?}");

    // A submit on behalf of somebody: all or none, with its row.
    let retried = |jobs| Submit { tenant: TENANT, jobs, idempotency: None };
    let jobs = vec![w.submission(spec())?, w.submission(spec())?, w.submission(spec())?];
    let full = w.store.audited(by("job.retry", id)).submit(retried(jobs)).await;
    assert!(matches!(full, Err(Error::Limit { .. })), "{full:?}");
    let jobs = vec![w.submission(spec())?];
    w.store.audited(by("job.retry", id)).submit(retried(jobs)).await?;
    w.store.audit(by("backup.made", "/backups/1")).await?;

    let all = ["4 backup.made", "3 job.retry", "2 job.cancel", "1 worker.order"];
    assert_eq!(actions(&w, AuditQuery::default()).await?, all);
    let some = AuditQuery { actions: vec!["job".into(), "backup.made".into()], ..AuditQuery::default() };
    assert_eq!(actions(&w, some).await?, &all[..3]);
    let before = AuditQuery { before: Some(3), objects: vec![id.to_string()], ..AuditQuery::default() };
    assert_eq!(actions(&w, before).await?, ["2 job.cancel"]);
    let rows = w.store.audit_list(TENANT, AuditQuery::default(), 100).await?;
    assert!(rows.iter().all(ciro_core::audit::AuditRow::is_intact));
    assert_eq!(rows[2].after.as_deref(), Some(r#"{"mode":"now"}"#));
    let states = (Some(r#"{"state":"online"}"#), Some(r#"{"order":"Drain"}"#));
    assert_eq!((rows[3].before.as_deref(), rows[3].after.as_deref()), states);

    // Another tenant's log is another chain, and nobody else's.
    let other = TenantId(w.id());
    let other = w.store.tenant_ensure(other, "other".into(), w.now()).await?;
    w.store.audit(AuditEntry::system(other.key, "backup.made", "x")).await?;
    assert_eq!(w.store.audit_head(other.key).await?.position, 1);
    assert_eq!(actions(&w, AuditQuery::default()).await?.len(), 4);
    w.reopen().await?;
    w.store.audit(by("backup.made", "after a restart")).await?;
    assert_eq!(w.store.audit_head(TENANT).await?.position, 5);
    w.verified().await
}

pub(super) async fn a_long_log_is_cut_and_still_verifies(w: World) -> Told {
    let long = "x".repeat(2 * crate::MAX_AUDIT_VALUE);
    for n in 0..12 {
        w.store.audit(by("configuration.reload", n).after(json!(long))).await?;
    }
    let policy = RetentionPolicy { max_audit: 5, ..RetentionPolicy::default() };
    let gone = w.store.retain_page(policy, w.now()).await?;
    assert_eq!(gone.audit, 7);
    let rows = w.store.audit_list(TENANT, AuditQuery::default(), 100).await?;
    let head = w.store.audit_head(TENANT).await?;
    assert_eq!((rows.len(), head.position, head.cut), (5, 12, 7));
    assert!(rows[4].follows(head.cut, head.cut_hash), "the first that is kept follows the last that went");
    let kept = rows[0].after.as_deref().unwrap_or_default();
    assert!(kept.contains("blake3") && kept.len() < 200, "what is too long is kept as its hash: {kept}");
    w.verified().await
}
