//! Keys and artifacts: what is written rarely and must be right all the same.

use super::Told;
use super::world::{TENANT, World, spec};
use crate::open::Options;
use crate::{ApiKey, COLLECT_AGE_MS, Created, Error, GrantArtifact, Idempotency, KeyRotation, Submit};
use ciro_core::id::{Hash, KeyId, TenantId};
use ciro_core::time::Timestamp;

pub(super) fn tune(_: &mut Options) {}

pub(super) async fn keys_are_made_once_and_revoked(mut w: World) -> Told {
    let tenant = TenantId(w.id());
    let other = w.store.tenant_ensure(tenant, "other".into(), w.now()).await?;
    let again = TenantId(w.id());
    assert_eq!(w.store.tenant_ensure(again, "other".into(), w.now()).await?, other, "made once");
    assert_eq!(w.store.tenant_get("other".into()).await?, Some(other.clone()));
    assert_eq!(w.store.tenant_get("default".into()).await?.map(|t| t.key), Some(TENANT));

    let key = ApiKey {
        id: KeyId(w.id()),
        tenant: TENANT,
        name: "laptop".into(),
        role: "client".into(),
        hash: [9; 32],
        created_at: w.now(),
        expires_at: Some(Timestamp(w.now().0 + 1)),
        revoked_at: None,
        replaces: None,
        last_used_at: None,
    };
    let idempotency = Some(Idempotency { key: [1; 16], fingerprint: [2; 16] });
    assert_eq!(w.store.key_create(key.clone(), idempotency).await?, Created::New(key.id));
    let repeated = ApiKey { id: KeyId(w.id()), ..key.clone() };
    assert_eq!(w.store.key_create(repeated.clone(), idempotency).await?, Created::Replayed(key.id));
    let other_request = Some(Idempotency { key: [1; 16], fingerprint: [3; 16] });
    let refused = w.store.key_create(repeated, other_request).await;
    assert!(matches!(refused, Err(Error::IdempotencyMismatch)), "{refused:?}");

    assert_eq!(w.store.key_by_id(key.id).await?, Some(key.clone()));
    assert_eq!(w.store.key_list(TENANT, None, 10).await?, vec![key.clone()]);
    assert!(w.store.key_list(TENANT, Some(key.id), 10).await?.is_empty());
    assert!(
        matches!(w.store.key_revoke(other.key, key.id, w.now()).await, Err(Error::NotFound)),
        "another tenant's"
    );
    w.store.key_revoke(TENANT, key.id, Timestamp(5)).await?;
    w.store.key_revoke(TENANT, key.id, Timestamp(6)).await?;
    let revoked = w.store.key_by_id(key.id).await?.and_then(|k| k.revoked_at);
    assert_eq!(revoked, Some(Timestamp(5)), "the first revocation counts");
    w.verified().await
}

pub(super) async fn a_key_takes_the_place_of_another(mut w: World) -> Told {
    let tenant = TenantId(w.id());
    let other = w.store.tenant_ensure(tenant, "other".into(), w.now()).await?;
    let now = w.now();
    let first = ApiKey {
        id: KeyId(w.id()),
        tenant: TENANT,
        name: "laptop".into(),
        role: "client".into(),
        hash: [9; 32],
        created_at: now,
        expires_at: Some(now.plus_ms(1_000)),
        revoked_at: None,
        replaces: None,
        last_used_at: None,
    };
    w.store.key_create(first.clone(), None).await?;
    let unknown = KeyId(w.id());
    w.store.keys_used(vec![(first.id, Timestamp(7)), (unknown, Timestamp(7))]).await?;
    w.store.keys_used(vec![(first.id, Timestamp(5))]).await?;
    let used = w.store.key_by_id(first.id).await?.and_then(|key| key.last_used_at);
    assert_eq!(used, Some(Timestamp(7)), "time does not run back");

    let rotation = KeyRotation {
        tenant: TENANT,
        old: first.id,
        new: KeyId(w.id()),
        hash: [8; 32],
        now,
        until: now.plus_ms(100),
    };
    let strange = KeyRotation { tenant: other.key, ..rotation };
    assert!(matches!(w.store.key_rotate(strange, None).await, Err(Error::NotFound)), "another tenant's");
    let idempotency = Some(Idempotency { key: [1; 16], fingerprint: [2; 16] });
    let second = ApiKey { id: rotation.new, hash: [8; 32], replaces: Some(first.id), ..first.clone() };
    assert_eq!(w.store.key_rotate(rotation, idempotency).await?, Created::New(second.clone()));
    let repeated = KeyRotation { new: KeyId(w.id()), ..rotation };
    assert_eq!(w.store.key_rotate(repeated, idempotency).await?, Created::Replayed(second.clone()));
    let old = w.store.key_by_id(first.id).await?;
    let ends = old.as_ref().map(|key| (key.is_live(now), key.expires_at));
    assert_eq!(ends, Some((true, Some(rotation.until))), "it goes on for a while");

    let later = KeyRotation { new: KeyId(w.id()), hash: [7; 32], until: now.plus_ms(5_000), ..rotation };
    assert!(matches!(w.store.key_rotate(later, None).await, Err(Error::Refused(_))), "it has an heir");
    let at_once = KeyRotation { old: second.id, new: KeyId(w.id()), hash: [6; 32], until: now, ..rotation };
    w.store.key_rotate(at_once, None).await?;
    let gone = w.store.key_by_id(second.id).await?;
    assert_eq!(gone.map(|key| (key.is_live(now), key.revoked_at)), Some((false, Some(now))));
    let again = KeyRotation { new: KeyId(w.id()), ..at_once };
    assert!(matches!(w.store.key_rotate(again, None).await, Err(Error::Refused(_))), "it has ended");
    w.verified().await
}

pub(super) async fn artifacts_are_seen_through_grants_and_collected(mut w: World) -> Told {
    let id = TenantId(w.id());
    let other = w.store.tenant_ensure(id, "other".into(), w.now()).await?;
    let (small, large) = (Hash::of(b"small"), Hash::of(b"large"));
    let day = 24 * 3_600_000;
    let grant = |tenant, hash, now: Timestamp| GrantArtifact {
        tenant,
        hash,
        expires_at: now.plus_ms(day),
        quota_bytes: 100,
    };
    let now = w.now();
    w.store.artifact_stored(60, grant(TENANT, small, now), now).await?;
    w.store.artifact_stored(60, grant(TENANT, small, now), now).await?;
    let full = w.store.artifact_stored(60, grant(TENANT, large, now), now).await;
    assert!(matches!(full, Err(Error::Quota { cap: 100, .. })), "{full:?}");
    assert_eq!(w.store.artifact_bytes(TENANT).await?, 60, "the same bytes count once");
    assert_eq!(w.store.artifact_size(large).await?, None, "nothing of what was refused is kept");
    assert!(w.store.artifact_get(TENANT, small, now).await?.is_some());
    assert!(w.store.artifact_get(other.key, small, now).await?.is_none(), "no grant, no sight");

    let mut jobs = vec![w.submission(spec())?];
    jobs[0].artifacts.push(small);
    let job = w.submit_all(Submit { tenant: TENANT, jobs, idempotency: None }).await?[0];
    let (owner, stranger) = (w.worker(1, 1).await?, w.worker(2, 1).await?);
    assert!(w.store.artifact_for_worker(owner.worker, small).await?.is_none(), "not before the lease");
    let lease = w.take_one(owner.session).await?;
    assert!(w.store.artifact_for_worker(owner.worker, small).await?.is_some());
    assert!(w.store.artifact_for_worker(stranger.worker, small).await?.is_none());

    let late = now.plus_ms(2 * day);
    assert!(w.store.artifact_get(TENANT, small, late).await?.is_some(), "a job of the tenant needs it");
    assert!(w.store.artifacts_collectable(None, late, 10).await?.is_empty());
    w.report(owner.session, lease.attempt, super::world::succeeded("x")?).await?;
    assert!(w.job(job).await?.job.state.is_ended());
    let policy = crate::RetentionPolicy::default();
    let much_later = now.plus_ms(8 * day);
    while w.store.retain_page(policy, much_later).await?.is_full() {}
    assert_eq!(w.store.artifact_bytes(TENANT).await?, 0, "grants have expired");
    assert_eq!(w.store.artifacts_collectable(None, much_later, 10).await?, [small]);
    assert!(
        !w.store.artifact_collect(small, now.plus_ms(COLLECT_AGE_MS / 2)).await?,
        "too young by that clock"
    );
    assert!(w.store.artifact_collect(small, much_later).await?);
    assert_eq!(w.store.artifact_size(small).await?, None);
    assert!(!w.store.artifact_collect(small, much_later).await?, "once");

    w.store.artifact_stored(60, grant(other.key, large, much_later), much_later).await?;
    w.store.artifact_drop(other.key, large, much_later).await?;
    let again = w.store.artifact_drop(other.key, large, much_later).await;
    assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
    assert_eq!(w.store.artifact_bytes(other.key).await?, 0);
    w.verified().await
}
