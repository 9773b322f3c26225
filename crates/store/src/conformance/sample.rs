//! A small database with a bit of everything: what checks of the checker start from.

use super::payments::from_balance;
use super::world::{TENANT, World, spec, succeeded};
use super::{Database, Stage};
use crate::open::Options;
use crate::{AuditEntry, GrantArtifact, Idempotency, MoneyOrder, Submit, WorkerOrder};
use ciro_core::amount::Fri;
use ciro_core::id::{Hash, TransferId};
use ciro_core::money::AccountKind;
use ciro_core::spec::JobSpec;
use std::net::Ipv4Addr;

const TTL_MS: u64 = 4_000;
/// What the paid job may cost, FRI: more than it does.
const PAID: u128 = 10_000_000_000_000;

fn tune(options: &mut Options) {
    options.policy.lease_ttl_ms = TTL_MS;
}

/// An entry that leaves nothing out.
fn ordered() -> AuditEntry {
    AuditEntry {
        address: Some(Ipv4Addr::LOCALHOST.into()),
        request_id: Some("req".into()),
        after: Some(serde_json::json!({ "state": "as ordered" })),
        ..AuditEntry::console(TENANT, "worker.order", "worker_2")
    }
}

/// Fills a fresh database: a completed job, a lost attempt with its late result, a live attempt, a
/// waiting job, an idempotency record, a granted artifact, three rows of an audit log, money that came in and
/// went out, a job that was paid and one that will be. Closes it and gives it back.
///
/// # Errors
/// What the store says.
pub async fn sample(
    database: Box<dyn Database>,
) -> Result<Box<dyn Database>, Box<dyn std::error::Error + Send + Sync>> {
    let mut w = World::open(database, tune)?;
    let now = w.now();
    let artifact = Hash::of(b"input");
    let grant = GrantArtifact {
        tenant: TENANT,
        hash: artifact,
        expires_at: now.plus_ms(1_000_000),
        quota_bytes: 100,
    };
    w.store.artifact_stored(5, grant, now).await?;
    let mut jobs = vec![w.submission(spec())?];
    jobs[0].artifacts.push(artifact);
    let idempotency = Some(Idempotency { key: [1; 16], fingerprint: [2; 16] });
    w.submit_all(Submit { tenant: TENANT, jobs, idempotency }).await?;

    let silent = w.worker(1, 1).await?;
    let lost = w.take_one(silent.session).await?;
    w.advance(TTL_MS * 2).await?;
    w.report(silent.session, lost.attempt, succeeded("late")?).await?;
    let worker = w.worker(2, 4).await?;
    let lease = w.take_one(worker.session).await?;
    w.report(worker.session, lease.attempt, succeeded("in time")?).await?;
    w.submit(spec()).await?;
    w.take_one(worker.session).await?;
    w.submit(spec()).await?;
    // A job that was paid and one that waits, before all others.
    w.store.endow(TENANT, Fri(10 * PAID)).await?;
    let urgent = || JobSpec { priority: 10, ..spec() };
    w.submit_paid(urgent(), from_balance(PAID)).await?;
    let lease = w.take_one(worker.session).await?;
    w.advance(10).await?;
    w.report(worker.session, lease.attempt, succeeded("paid")?).await?;
    w.submit_paid(spec(), from_balance(2 * PAID)).await?;
    for order in [WorkerOrder::Drain, WorkerOrder::Drain, WorkerOrder::Undrain, WorkerOrder::Drain] {
        w.store.audited(ordered()).worker_order(worker.worker, order).await?;
    }
    for (amount, note) in [(1_000, None), (500, Some("a second one".to_owned()))] {
        let id = TransferId(w.id());
        let order = MoneyOrder {
            id,
            tenant: TENANT,
            amount: Fri(amount),
            reference: Some(format!("in {amount}")),
            note,
        };
        w.store.deposit(TENANT, order, None, now).await?;
    }
    let id = TransferId(w.id());
    let order = MoneyOrder { id, tenant: TENANT, amount: Fri(300), reference: None, note: None };
    w.store.withdraw(TENANT, order, AccountKind::Available, None, now).await?;
    Ok(w.closed().await)
}
