//! Operations on webhooks. Secrets are derived from the installation's own secret, the webhook's id
//! and a number that grows with each rotation: nothing that could be stolen is stored, a backup of the
//! database carries them, and two secrets of one webhook are known for as long as they overlap.
//! Who reads the log for them and who sends is in `background`; where they may go is in `target`.

pub mod sending;
pub mod target;

use crate::app::App;
use crate::auth::{Caller, Principal};
use crate::catalogue::{Checks, known_kind};
use crate::config;
use crate::events::Types;
use crate::http::error::{ApiError, ApiResult};
use crate::http::problems::Code;
use ciro_api::event::Event;
use ciro_api::webhook as wire;
use ciro_api::webhook::signature::WebhookSecret;
use ciro_core::id::{DeliveryId, WebhookId};
use ciro_core::time::Timestamp;
use ciro_core::webhook::Wants;
use ciro_store::{
    Created, Delivery, DeliveryDetail, DeliveryState, Disabled, Error as StoreError, Idempotency, NewWebhook,
    TestDelivery, Webhook, WebhookUpdate,
};
use serde_json::json;
use target::Rules;
use tokio::sync::Notify;

const MAX_NAME_CHARS: usize = 100;
const MAX_LISTED: usize = 32;
const MAX_CONCURRENCY: u32 = 16;
const CONCURRENCY: u32 = 4;

/// What operations, reader and sender share.
#[derive(Debug)]
pub struct Webhooks {
    /// Which URLs may be called.
    pub rules: Rules,
    /// Wakes the sender: there may be something to send.
    pub to_send: Notify,
}

impl Webhooks {
    /// By the settings.
    #[must_use]
    pub fn new(settings: &config::Webhooks) -> Webhooks {
        let rules = Rules { ports: settings.ports.clone(), allow_loopback: settings.allow_loopback };
        Webhooks { rules, to_send: Notify::new() }
    }
}

/// The secret of a webhook with this number.
#[must_use]
pub fn secret(app: &App, id: WebhookId, generation: u32) -> WebhookSecret {
    let mut bound = id.0.as_bytes().to_vec();
    bound.extend_from_slice(&generation.to_le_bytes());
    WebhookSecret::of(*app.auth.sign("webhook secret", &bound).as_bytes())
}

/// The secrets that sign at `now`: the present one, and the one before while it still does.
#[must_use]
pub fn secrets(app: &App, webhook: &Webhook, now: Timestamp) -> Vec<WebhookSecret> {
    let overlaps = webhook.previous_until.is_some_and(|until| now < until) && webhook.generation > 1;
    let before = overlaps.then(|| secret(app, webhook.id, webhook.generation - 1));
    std::iter::once(secret(app, webhook.id, webhook.generation)).chain(before).collect()
}

/// Makes a webhook of the caller's tenant.
///
/// # Errors
/// Wrong fields, `limit_reached`, `secret_already_shown` for a repeated call.
pub async fn create(
    app: &App,
    who: &Caller,
    new: wire::NewWebhook,
    idempotency: Option<Idempotency>,
) -> ApiResult<wire::CreatedWebhook> {
    let mut checks = Checks::default();
    check_url(app, &mut checks, &new.url);
    check_name(&mut checks, &new.name);
    let concurrency = new.concurrency.unwrap_or(CONCURRENCY);
    checks.range("/concurrency", concurrency, 1, MAX_CONCURRENCY);
    let wants = Wants { events: new.events, kinds: new.kinds, labels: new.labels };
    check_wants(&mut checks, &wants);
    refuse(checks)?;
    let now = app.now();
    let id = WebhookId(app.clock.uuid());
    let row = NewWebhook { id, tenant: who.tenant(), url: new.url, name: new.name, wants, concurrency, now };
    let told = json!({ "url": row.url, "name": row.name, "wants": row.wants, "concurrency": concurrency });
    let store = app.store.audited(who.did("webhook.create", id).after(told));
    match store.webhook_create(row, app.hot().webhooks.per_tenant, idempotency).await? {
        Created::New(id) => {
            Ok(wire::CreatedWebhook { id, secret: secret(app, id, 1).reveal(), created_at: now.into() })
        }
        Created::Replayed(id) => Err(already_shown(format!("the first call made {id}"))),
    }
}

/// Changes a webhook.
///
/// # Errors
/// Wrong fields, `webhook_not_found`.
pub async fn change(
    app: &App,
    who: &Caller,
    id: WebhookId,
    change: wire::WebhookChange,
) -> ApiResult<wire::Webhook> {
    let (known, _) = found(app, who, id).await?;
    let mut checks = Checks::default();
    change.url.iter().for_each(|url| check_url(app, &mut checks, url));
    change.name.iter().for_each(|name| check_name(&mut checks, name));
    if let Some(concurrency) = change.concurrency {
        checks.range("/concurrency", concurrency, 1, MAX_CONCURRENCY);
    }
    let wants = Wants {
        events: change.events.unwrap_or(known.wants.events),
        kinds: change.kinds.unwrap_or(known.wants.kinds),
        labels: change.labels.unwrap_or(known.wants.labels),
    };
    check_wants(&mut checks, &wants);
    refuse(checks)?;
    let update = WebhookUpdate {
        url: change.url,
        name: change.name,
        wants: Some(wants),
        concurrency: change.concurrency,
        enabled: change.enabled,
    };
    let store = app.store.audited(who.did("webhook.change", id));
    store.webhook_update(who.tenant(), id, update, app.now()).await.map_err(no_webhook)?;
    app.webhooks.to_send.notify_one();
    let (row, pending) = found(app, who, id).await?;
    Ok(to_wire(row, pending))
}

/// Removes a webhook; nothing more is sent to it.
///
/// # Errors
/// `webhook_not_found`.
pub async fn delete(app: &App, who: &Caller, id: WebhookId) -> ApiResult<()> {
    app.store
        .audited(who.did("webhook.delete", id))
        .webhook_delete(who.tenant(), id, app.now())
        .await
        .map_err(no_webhook)
}

/// Gives a webhook another secret.
///
/// # Errors
/// `webhook_not_found`, `secret_already_shown` for a repeated call.
pub async fn rotate(
    app: &App,
    who: &Caller,
    id: WebhookId,
    idempotency: Option<Idempotency>,
) -> ApiResult<wire::RotatedSecret> {
    let now = app.now();
    let until = now.plus_ms(app.hot().webhooks.secret_overlap_ms);
    let store = app.store.audited(who.did("webhook.rotate_secret", id));
    let rotated = store.webhook_rotate(who.tenant(), id, app.clock.uuid(), until, idempotency, now).await;
    match rotated.map_err(no_webhook)? {
        Created::New(generation) => {
            let secret = secret(app, id, generation).reveal();
            Ok(wire::RotatedSecret { id, secret, previous_until: until.into() })
        }
        Created::Replayed(_) => Err(already_shown(format!("the first call gave {id} another secret"))),
    }
}

/// Sends a message about nothing.
///
/// # Errors
/// `webhook_not_found`, `webhook_disabled`, `limit_reached`.
pub async fn test(
    app: &App,
    who: &Principal,
    webhook: WebhookId,
    idempotency: Option<Idempotency>,
) -> ApiResult<wire::Delivery> {
    let key = enabled(app, who, webhook).await?;
    let now = app.now();
    let id = DeliveryId(app.clock.uuid());
    let data = json!({ "webhook": webhook });
    let body = message(id, wire::TEST_TYPE, webhook, now, data)?;
    let test = TestDelivery { id, type_: wire::TEST_TYPE, body };
    let most = app.hot().webhooks.pending.saturating_add(MOST_TESTS);
    let made = app.store.delivery_test(who.tenant(), webhook, test, most, idempotency, now).await;
    let (Created::New(id) | Created::Replayed(id)) = made.map_err(no_webhook)?;
    app.webhooks.to_send.notify_one();
    let detail =
        app.store.delivery_get(key.key, id).await?.ok_or_else(|| ApiError::new(Code::DeliveryNotFound))?;
    Ok(delivery_to_wire(detail.delivery))
}

/// Tests that may wait on top of the events: one that is full can still be tried.
const MOST_TESTS: u64 = 100;

/// Has a delivery sent again.
///
/// # Errors
/// `webhook_not_found`, `webhook_disabled`, `delivery_not_found`.
pub async fn redeliver(
    app: &App,
    who: &Principal,
    webhook: WebhookId,
    id: DeliveryId,
) -> ApiResult<wire::Delivery> {
    enabled(app, who, webhook).await?;
    let again = app.store.delivery_again(who.tenant(), webhook, id, app.now()).await;
    let delivery = again.map_err(|error| not_found(error, Code::DeliveryNotFound))?;
    app.webhooks.to_send.notify_one();
    Ok(delivery_to_wire(delivery))
}

/// The body of a message that is no event of the log: the same envelope.
///
/// # Errors
/// `internal`, never in practice.
pub fn message(
    id: DeliveryId,
    type_: &str,
    webhook: WebhookId,
    now: Timestamp,
    data: serde_json::Value,
) -> ApiResult<String> {
    let event = Event {
        id: id.to_string(),
        type_: type_.to_owned(),
        source: crate::streams::SOURCE.to_owned(),
        subject: webhook.to_string(),
        time: now.into(),
        sequence: None,
        data_version: crate::events::DATA_VERSION,
        data,
    };
    serde_json::to_string(&event).map_err(|error| crate::http::error::internal(&error))
}

/// A webhook of the caller's tenant, and what is pending of it.
///
/// # Errors
/// `webhook_not_found`.
pub async fn found(app: &App, who: &Principal, id: WebhookId) -> ApiResult<(Webhook, u64)> {
    app.store.webhook_get(who.tenant(), id).await?.ok_or_else(|| ApiError::new(Code::WebhookNotFound))
}

async fn enabled(app: &App, who: &Principal, id: WebhookId) -> ApiResult<Webhook> {
    let (webhook, _) = found(app, who, id).await?;
    if webhook.disabled.is_some() { Err(ApiError::new(Code::WebhookDisabled)) } else { Ok(webhook) }
}

fn no_webhook(error: StoreError) -> ApiError {
    not_found(error, Code::WebhookNotFound)
}

fn not_found(error: StoreError, code: Code) -> ApiError {
    match error {
        StoreError::NotFound => ApiError::new(code),
        other => other.into(),
    }
}

fn already_shown(detail: String) -> ApiError {
    ApiError::because(Code::SecretAlreadyShown, detail)
}

fn refuse(checks: Checks) -> ApiResult<()> {
    let errors = checks.into_errors();
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(errors)) }
}

fn check_url(app: &App, checks: &mut Checks, url: &str) {
    if let Err(words) = app.webhooks.rules.judge(url) {
        checks.add("/url", "url_refused", words);
    }
}

fn check_name(checks: &mut Checks, name: &str) {
    if name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        let detail = format!("holds at most {MAX_NAME_CHARS} characters, and no control characters");
        checks.add("/name", "format", detail);
    }
}

fn check_wants(checks: &mut Checks, wants: &Wants) {
    for (pointer, list) in [("/events", &wants.events), ("/kinds", &wants.kinds)] {
        if list.len() > MAX_LISTED {
            checks.add(
                pointer,
                "too_many",
                format!("{} entries, at most {MAX_LISTED} are taken", list.len()),
            );
        }
    }
    for (i, type_) in wants.events.iter().enumerate().take(MAX_LISTED) {
        let wrong = match Types::parse(type_) {
            Ok(_) if type_.is_empty() || type_.contains([',', ' ']) => Some("is not one type".to_owned()),
            parsed => parsed.err(),
        };
        wrong.into_iter().for_each(|words| checks.add(format!("/events/{i}"), "format", words));
    }
    for (i, kind) in wants.kinds.iter().enumerate().take(MAX_LISTED) {
        known_kind(kind)
            .err()
            .into_iter()
            .for_each(|words| checks.add(format!("/kinds/{i}"), "unknown", words));
    }
    checks.words("/labels", &wants.labels);
}

/// A webhook as the API shows it.
#[must_use]
pub fn to_wire(row: Webhook, pending: u64) -> wire::Webhook {
    let reason = |why| match why {
        Disabled::Asked => wire::DisabledReason::Asked,
        Disabled::Gone => wire::DisabledReason::Gone,
        Disabled::Failing => wire::DisabledReason::Failing,
    };
    wire::Webhook {
        id: row.id,
        url: row.url,
        name: row.name,
        events: row.wants.events,
        kinds: row.wants.kinds,
        labels: row.wants.labels,
        concurrency: row.concurrency,
        enabled: row.disabled.is_none(),
        disabled_reason: row.disabled.map(|(why, _)| reason(why)),
        disabled_at: row.disabled.map(|(_, at)| at.into()),
        failing_since: row.failing_since.map(Into::into),
        previous_secret_until: row.previous_until.map(Into::into),
        pending,
        created_at: row.created_at.into(),
        updated_at: row.updated_at.into(),
    }
}

/// How far a delivery is, as the API says it.
#[must_use]
pub const fn state_to_wire(state: DeliveryState) -> wire::DeliveryState {
    match state {
        DeliveryState::Pending => wire::DeliveryState::Pending,
        DeliveryState::Delivered => wire::DeliveryState::Delivered,
        DeliveryState::Failed => wire::DeliveryState::Failed,
    }
}

/// A delivery as the API shows it.
#[must_use]
pub fn delivery_to_wire(row: Delivery) -> wire::Delivery {
    wire::Delivery {
        id: row.id,
        event: row.position.map(|position| position.to_string()),
        type_: row.type_,
        state: state_to_wire(row.state),
        attempts: row.attempts,
        status: row.status,
        error: row.error,
        created_at: row.created_at.into(),
        next_attempt_at: row.next_at.map(Into::into),
        ended_at: row.ended_at.map(Into::into),
    }
}

/// A delivery with its attempts as the API shows it.
#[must_use]
pub fn detail_to_wire(row: DeliveryDetail) -> wire::DeliveryDetail {
    let history = row.history.into_iter().map(|attempt| wire::DeliveryAttempt {
        at: attempt.at.into(),
        duration_ms: attempt.duration_ms,
        status: attempt.status,
        error: attempt.error,
        reply: attempt.reply,
    });
    wire::DeliveryDetail {
        history: history.collect(),
        body: row.body,
        delivery: delivery_to_wire(row.delivery),
    }
}
