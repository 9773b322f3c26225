//! Quotas of tenants and their shares of the queue.

use super::Told;
use super::world::{TENANT, World, spec, succeeded};
use crate::open::Options;
use crate::{Created, Error, NewTenant, Quotas, Submit, TenantEdit, TenantUsage};
use ciro_core::command::Command;
use ciro_core::id::{TenantId, TenantKey};
use ciro_core::job::StopCause;

pub(super) fn tune(_: &mut Options) {}

fn named(id: TenantId, name: &str, weight: u32) -> NewTenant {
    NewTenant { id, name: name.into(), weight, quotas: Quotas::default() }
}

async fn tenant(w: &mut World, name: &str, weight: u32) -> Result<TenantKey, Error> {
    let id = TenantId(w.id());
    assert_eq!(
        w.store.tenant_create(TENANT, named(id, name, weight), None, w.now()).await?,
        Created::New(id)
    );
    Ok(w.store.tenant_by_id(id).await?.ok_or(Error::NotFound)?.key)
}

pub(super) async fn quotas_refuse_hold_back_and_survive_a_restart(mut w: World) -> Told {
    let small = tenant(&mut w, "small", 1).await?;
    let id = w.store.tenant_of(small).await?.id;
    let again = TenantId(w.id());
    let taken = w.store.tenant_create(TENANT, named(again, "small", 1), None, w.now()).await;
    assert!(matches!(taken, Err(Error::Taken { what: "name" })), "{taken:?}");
    let edit = |edit: TenantEdit| w.store.tenant_edit(id, edit, w.now());
    let caps = TenantEdit { open_jobs: Some(Some(3)), running: Some(Some(1)), ..TenantEdit::default() };
    edit(caps).await?;

    let worker = w.worker(1, 8).await?;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let submission = w.submission(spec())?;
        jobs.extend(w.submit_all(Submit { tenant: small, jobs: vec![submission], idempotency: None }).await?);
    }
    let one_more = Submit { tenant: small, jobs: vec![w.submission(spec())?], idempotency: None };
    let refused = w.store.submit(one_more).await;
    assert!(matches!(refused, Err(Error::Quota { quota: "open_jobs", level: 3, cap: 3 })), "{refused:?}");

    // The cap of what runs holds back, and everybody else goes on.
    let others = w.submit(spec()).await?;
    let leases = w.take(worker.session, 8).await?.leases;
    let of = |job| leases.iter().filter(|lease| lease.attempt.task.job == job).count();
    assert_eq!((leases.len(), of(others)), (2, 1), "one of the capped tenant, one of the other");
    assert_eq!(w.store.tenant_usage(small).await?, TenantUsage { open_jobs: 3, running: 1 });
    w.reopen().await?;
    assert_eq!(w.store.tenant_usage(small).await?, TenantUsage { open_jobs: 3, running: 1 });
    assert!(w.take(worker.session, 8).await?.leases.is_empty(), "still at its cap");
    let running = leases.iter().find(|lease| lease.attempt.task.job != others).ok_or(Error::NotFound)?;
    w.report(worker.session, running.attempt, succeeded("x")?).await?;
    assert_eq!(w.take(worker.session, 8).await?.leases.len(), 1, "the next one");

    // Suspended: what runs goes on, nothing new is granted; a higher cap and a resume let it go on.
    let edit = |edit: TenantEdit| w.store.tenant_edit(id, edit, w.now());
    edit(TenantEdit { running: Some(None), suspended: Some(true), ..TenantEdit::default() }).await?;
    assert!(w.take(worker.session, 8).await?.leases.is_empty(), "suspended");
    edit(TenantEdit { suspended: Some(false), ..TenantEdit::default() }).await?;
    assert_eq!(w.take(worker.session, 8).await?.leases.len(), 1, "resumed, and without a cap");
    for job in jobs {
        let Some(key) = w.store.job_key(small, job).await? else { continue };
        let stop = Command::Stop { job: key, cause: StopCause::Cancel, grace_ms: 0 };
        drop(w.store.command(stop).await);
    }
    assert_eq!(w.store.tenant_usage(small).await?, TenantUsage::default(), "everything was counted out");
    w.verified().await
}

pub(super) async fn leases_follow_the_weights_and_an_edit_of_them(mut w: World) -> Told {
    let (light, heavy) = (tenant(&mut w, "light", 1).await?, tenant(&mut w, "heavy", 3).await?);
    for tenant in [light, heavy] {
        let jobs = (0..300).map(|_| w.submission(spec())).collect::<Result<_, _>>()?;
        w.submit_all(Submit { tenant, jobs, idempotency: None }).await?;
    }
    let worker = w.worker(1, 4).await?;
    let shares =
        async |w: &World, rounds: usize| -> Result<[usize; 2], Box<dyn std::error::Error + Send + Sync>> {
            let mut granted = [0, 0];
            for _ in 0..rounds {
                let leases = w.take(worker.session, 4).await?.leases;
                for lease in &leases {
                    let of_light = w.store.job_key(light, lease.attempt.task.job).await?.is_some();
                    granted[usize::from(!of_light)] += 1;
                }
                w.succeed_all(worker.session, &leases).await?;
            }
            Ok(granted)
        };
    assert_eq!(shares(&w, 25).await?, [25, 75]);
    let id = w.store.tenant_of(light).await?.id;
    let heavier = TenantEdit { weight: Some(9), ..TenantEdit::default() };
    w.store.tenant_edit(id, heavier, w.now()).await?;
    let [light_got, heavy_got] = shares(&w, 30).await?;
    assert!((86..=94).contains(&light_got) && heavy_got == 120 - light_got, "{light_got} and {heavy_got}");
    w.reopen().await?;
    let [light_got, _] = shares(&w, 10).await?;
    assert!((26..=34).contains(&light_got), "{light_got} of 40 behind a restart");
    w.verified().await
}
