//! Webhooks: what the reader copied and how attempts went outlives restarts, and nobody else sees it.

use super::Told;
use super::world::{TENANT, World, spec};
use crate::open::Options;
use crate::{
    Created, DeliveryAttempt, DeliveryState, Disabled, Error, Gap, Idempotency, NewDelivery, NewWebhook,
    Outcome, ReadPage, RetentionPolicy, TestDelivery, Webhook, WebhookUpdate,
};
use ciro_core::id::{DeliveryId, DeliveryKey, TenantId, TenantKey, WebhookId};
use ciro_core::time::Timestamp;
use ciro_core::webhook::Wants;

pub(super) fn tune(_: &mut Options) {}

const DAY_MS: u64 = 24 * 3_600_000;
const ONCE: Option<Idempotency> = Some(Idempotency { key: [1; 16], fingerprint: [2; 16] });

fn new(w: &mut World, tenant: TenantKey) -> NewWebhook {
    NewWebhook {
        id: WebhookId(w.id()),
        tenant,
        url: "https://hooks.example/".into(),
        name: "mine".into(),
        wants: Wants { events: vec!["job.*".into()], ..Wants::default() },
        concurrency: 2,
        now: w.now(),
    }
}

async fn made(w: &mut World) -> Result<Webhook, Error> {
    let new = new(w, TENANT);
    let id = new.id;
    w.store.webhook_create(new, 10, None).await?;
    Ok(w.store.webhook_get(TENANT, id).await?.ok_or(Error::NotFound)?.0)
}

fn delivery(w: &mut World, webhook: &Webhook, position: Option<i64>) -> NewDelivery {
    NewDelivery {
        id: DeliveryId(w.id()),
        webhook: webhook.key,
        position,
        type_: "job.queued".into(),
        body: format!("{{\"id\":\"{position:?}\"}}"),
    }
}

fn outcome(webhook: &Webhook, delivery: DeliveryKey, now: Timestamp, next_at: Option<Timestamp>) -> Outcome {
    let attempt = DeliveryAttempt {
        at: now,
        duration_ms: 5,
        status: Some(500),
        error: Some("no".into()),
        reply: "x".into(),
    };
    Outcome { delivery, webhook: webhook.key, attempt, delivered: false, next_at, now }
}

pub(super) async fn deliveries_are_made_once_and_end(mut w: World) -> Told {
    w.submit(spec()).await?;
    let first = new(&mut w, TENANT);
    assert_eq!(w.store.webhook_create(first.clone(), 1, ONCE).await?, Created::New(first.id));
    let repeated = new(&mut w, TENANT);
    assert_eq!(w.store.webhook_create(repeated.clone(), 1, ONCE).await?, Created::Replayed(first.id));
    assert!(
        matches!(w.store.webhook_create(repeated, 1, None).await, Err(Error::Limit { .. })),
        "one is enough"
    );
    let (webhook, _) = w.store.webhook_get(TENANT, first.id).await?.ok_or(Error::NotFound)?;
    let (reading, position) = w.store.webhooks_read().await?;
    assert_eq!(
        (reading, position),
        (vec![webhook.clone()], 1),
        "the first to be told begins at the end of the log"
    );

    // A page is copied once, whatever becomes of the process.
    w.submit(spec()).await?;
    w.submit(spec()).await?;
    let deliveries = vec![delivery(&mut w, &webhook, Some(2)), delivery(&mut w, &webhook, Some(3))];
    let page = ReadPage { position: 3, deliveries, gaps: Vec::new() };
    w.store.webhooks_copy(page.clone(), w.now()).await?;
    w.reopen().await?;
    assert_eq!(w.store.webhooks_read().await?.1, 3);
    let again = vec![delivery(&mut w, &webhook, Some(2)), delivery(&mut w, &webhook, Some(3))];
    w.store.webhooks_copy(ReadPage { deliveries: again, ..page.clone() }, w.now()).await?;
    let too_early = vec![delivery(&mut w, &webhook, Some(1))];
    w.store.webhooks_copy(ReadPage { deliveries: too_early, ..page }, w.now()).await?;
    let due = w.store.deliveries_due(webhook.key, w.now(), 10).await?;
    assert_eq!(due.len(), 2, "neither again nor before it was made: {due:?}");
    assert_eq!(w.store.webhooks_backlog().await?.pending, 2);

    // One is tried again later, the other ends.
    let later = w.now().plus_ms(1_000);
    let mut ends = outcome(&webhook, due[1].key, w.now(), None);
    ends.delivered = true;
    w.store.deliveries_noted(vec![outcome(&webhook, due[0].key, w.now(), Some(later)), ends]).await?;
    let (failed, pending) = w.store.webhook_get(TENANT, first.id).await?.ok_or(Error::NotFound)?;
    assert_eq!((failed.failing_since, pending), (None, 1), "the last word was a success");
    assert!(w.store.deliveries_due(webhook.key, w.now(), 10).await?.is_empty());
    w.clock.pass(1_000);
    assert_eq!(w.store.webhooks_waiting().await?[0].due_at, w.now());
    let detail = w.store.delivery_get(webhook.key, due[0].id).await?.ok_or(Error::NotFound)?;
    assert_eq!((detail.delivery.attempts, detail.history.len()), (1, 1));
    for _ in 0..20 {
        let next = Some(w.now());
        w.store.deliveries_noted(vec![outcome(&failed, due[0].key, w.now(), next)]).await?;
    }
    let detail = w.store.delivery_get(webhook.key, due[0].id).await?.ok_or(Error::NotFound)?;
    assert_eq!((detail.delivery.attempts, detail.history.len()), (21, 16), "the last attempts are enough");

    // A webhook that answered meanwhile is not disabled for failing; one that did not is.
    let (now_failing, _) = w.store.webhook_get(TENANT, first.id).await?.ok_or(Error::NotFound)?;
    let since = now_failing.failing_since.ok_or(Error::NotFound)?;
    w.store.webhook_disable(webhook.key, Disabled::Failing, Timestamp(since.0 - 1), w.now()).await?;
    assert_eq!(w.store.webhook_get(TENANT, first.id).await?.ok_or(Error::NotFound)?.0.disabled, None);
    w.store.webhook_disable(webhook.key, Disabled::Failing, since, w.now()).await?;
    let (disabled, _) = w.store.webhook_get(TENANT, first.id).await?.ok_or(Error::NotFound)?;
    assert_eq!(disabled.disabled.map(|(why, _)| why), Some(Disabled::Failing));
    assert!(w.store.webhooks_waiting().await?.is_empty() && w.store.webhooks_backlog().await?.pending == 0);
    let test = TestDelivery { id: DeliveryId(w.id()), type_: "webhook.test", body: "{}".into() };
    let refused = w.store.delivery_test(TENANT, first.id, test.clone(), 10, None, w.now()).await;
    assert!(matches!(refused, Err(Error::NotFound)), "{refused:?}");

    // Enabled again it begins now; what was given up can be asked for.
    let enable = WebhookUpdate { enabled: Some(true), ..WebhookUpdate::default() };
    w.store.webhook_update(TENANT, first.id, enable, w.now()).await?;
    let (enabled, _) = w.store.webhook_get(TENANT, first.id).await?.ok_or(Error::NotFound)?;
    assert_eq!((enabled.disabled, enabled.failing_since, enabled.since_position), (None, None, 3));
    let again = w.store.delivery_again(TENANT, first.id, due[1].id, w.now()).await?;
    assert_eq!((again.state, again.attempts), (DeliveryState::Pending, 0));
    let made = w.store.delivery_test(TENANT, first.id, test.clone(), 10, ONCE.map(other), w.now()).await?;
    assert_eq!(made, Created::New(test.id));
    let repeated = TestDelivery { id: DeliveryId(w.id()), ..test };
    assert_eq!(
        w.store.delivery_test(TENANT, first.id, repeated, 10, ONCE.map(other), w.now()).await?,
        made_again(made)
    );

    let tenant = TenantId(w.id());
    let stranger = w.store.tenant_ensure(tenant, "other".into(), w.now()).await?.key;
    assert!(
        w.store.webhook_get(stranger, first.id).await?.is_none()
            && w.store.webhook_list(stranger, None, 9).await?.is_empty()
    );
    assert!(matches!(w.store.webhook_delete(stranger, first.id, w.now()).await, Err(Error::NotFound)));
    assert!(matches!(
        w.store.delivery_again(stranger, first.id, due[1].id, w.now()).await,
        Err(Error::NotFound)
    ));
    w.verified().await
}

fn other(used: Idempotency) -> Idempotency {
    Idempotency { key: [9; 16], ..used }
}

fn made_again(made: Created<DeliveryId>) -> Created<DeliveryId> {
    match made {
        Created::New(id) | Created::Replayed(id) => Created::Replayed(id),
    }
}

pub(super) async fn what_a_reader_still_needs_is_kept_and_the_rest_goes(mut w: World) -> Told {
    let webhook = made(&mut w).await?;
    for number in 1..=3 {
        w.worker(number, 1_000).await?;
    }
    let deliveries = (1..=3).map(|position| delivery(&mut w, &webhook, Some(position))).collect();
    let gap = Gap { first: 4, last: 4, events: 1 };
    let page = ReadPage { position: 4, deliveries, gaps: vec![(webhook.key, Some(gap))] };
    w.store.webhooks_copy(page, w.now()).await?;
    assert_eq!(w.store.webhook_get(TENANT, webhook.id).await?.ok_or(Error::NotFound)?.0.gap, Some(gap));

    // Events go soon, but not before they were read; after a week they go all the same.
    let soon = RetentionPolicy { event_age_ms: 1_000, ..RetentionPolicy::default() };
    w.clock.pass(DAY_MS);
    w.store.retain_page(soon, w.now()).await?;
    assert_eq!(w.store.log_bounds().await?.oldest, 5, "the reader stands behind 4");
    w.clock.pass(7 * DAY_MS);
    w.store.retain_page(soon, w.now()).await?;
    let bounds = w.store.log_bounds().await?;
    assert!(bounds.oldest == bounds.last && bounds.last > 5, "only the last is kept: {bounds:?}");

    // Of ended deliveries the newest are kept, for a time.
    for due in w.store.deliveries_due(webhook.key, w.now(), 10).await? {
        w.store.deliveries_noted(vec![outcome(&webhook, due.key, w.now(), None)]).await?;
    }
    let few = RetentionPolicy { max_deliveries: 1, ..RetentionPolicy::default() };
    assert_eq!(w.store.retain_page(few, w.now()).await?.deliveries, 2);
    w.clock.pass(8 * DAY_MS);
    assert_eq!(w.store.retain_page(few, w.now()).await?.deliveries, 1, "the newest, when it is old");

    // What waits for a webhook that is deleted goes at once, the webhook when nobody repeats the call.
    let last = w.store.log_bounds().await?.last;
    let page = ReadPage {
        position: last,
        deliveries: vec![delivery(&mut w, &webhook, Some(last))],
        gaps: Vec::new(),
    };
    w.store.webhooks_copy(page, w.now()).await?;
    w.store.webhook_delete(TENANT, webhook.id, w.now()).await?;
    assert!(w.store.webhook_get(TENANT, webhook.id).await?.is_none());
    assert!(w.store.webhooks_read().await?.0.is_empty() && w.store.webhooks_waiting().await?.is_empty());
    assert_eq!(w.store.retain_page(few, w.now()).await?.deliveries, 1);
    assert_eq!(w.store.retain_page(few, w.now()).await?.deliveries, 0);
    w.clock.pass(3 * DAY_MS);
    assert_eq!(w.store.retain_page(few, w.now()).await?.deliveries, 1, "the webhook itself");
    w.verified().await
}
