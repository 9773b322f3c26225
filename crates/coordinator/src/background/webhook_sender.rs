//! The sender of webhooks: takes what is due, makes the attempts, writes down how they went.
//!
//! One loop owns which attempts are on their way and how hard each receiver is tried
//! (`core::webhook::Pace`); attempts are tasks that tell it their end through a bounded channel. A
//! receiver has as many attempts at once as it earned by answering, one when it is new or fails, and
//! those that fail share half of the pool: whoever is slow waits with nobody but himself.
//!
//! Of several coordinators that share a database, the one that leads sends.
//!
//! Nothing is remembered that matters: an attempt whose end was not written down is made again by the
//! next start, under the same id.

use crate::app::App;
use crate::webhooks::secrets;
use crate::webhooks::sending::{Message, Sender, Sent};
use ciro_api::system::ComponentState;
use ciro_core::crash::crash_point;
use ciro_core::id::{DeliveryKey, WebhookKey};
use ciro_core::time::Timestamp;
use ciro_core::webhook::{DeliveryPolicy, DeliveryVerdict, Heard, Pace};
use ciro_store::{
    AuditEntry, Clock, DeliveryAttempt, Disabled, DueDelivery, Error as StoreError, Outcome, WaitingWebhook,
    Webhook,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// The longest rest of the loop, and how often the backlog is measured.
const EVERY: Duration = Duration::from_secs(5);
/// Rest after the store failed.
const RETRY: Duration = Duration::from_millis(500);
/// Ends that are written in one go.
const BATCH: usize = 256;
/// Time that shutdown gives to attempts on their way; they are made again if it is too short.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Paces of receivers that are remembered.
const MAX_PACES: usize = 10_000;
const HEALTH: &str = "webhooks";

/// Starts the sender. Without one (an unreadable store of certificates) webhooks wait, and the health
/// says so.
pub(super) fn spawn(app: &App) {
    let settings = &app.config.webhooks;
    let limit = Duration::from_millis(settings.timeout_ms);
    let sender = match Sender::new(app.webhooks.rules.clone(), limit, settings.ca_file.as_deref()) {
        Ok(sender) => sender,
        Err(words) => {
            tracing::error!(error = words, "webhooks cannot be sent");
            app.health.report(HEALTH, ComponentState::Degraded, format!("cannot send: {words}"), app.now());
            return;
        }
    };
    app.health.report(HEALTH, ComponentState::Ok, "", app.now());
    let (tell, told) = mpsc::channel(settings.sends);
    let sending = Sending {
        app: app.clone(),
        sender: Arc::new(sender),
        tell,
        told,
        lanes: HashMap::new(),
        on_their_way: 0,
        unwritten: Vec::new(),
        disabling: Vec::new(),
    };
    app.tasks.spawn(sending.run());
}

/// What is known of one receiver.
#[derive(Debug, Default)]
struct Lane {
    pace: Pace,
    on_their_way: HashSet<DeliveryKey>,
}

/// The end of an attempt.
struct Ended {
    webhook: Webhook,
    delivery: DueDelivery,
    began: Timestamp,
    took: Duration,
    sent: Sent,
}

struct Sending {
    app: App,
    sender: Arc<Sender>,
    tell: mpsc::Sender<Ended>,
    told: mpsc::Receiver<Ended>,
    lanes: HashMap<WebhookKey, Lane>,
    on_their_way: usize,
    /// Ends that the store did not take yet.
    unwritten: Vec<Outcome>,
    /// Webhooks that are to be told nothing any more.
    disabling: Vec<Disabling>,
}

/// Why a webhook is to be told nothing any more, and since when it fails.
struct Disabling {
    webhook: Webhook,
    why: Disabled,
    since: Timestamp,
}

impl Sending {
    async fn run(mut self) {
        let app = self.app.clone();
        let mut measured = Instant::now();
        let mut leads = app.store.leads();
        loop {
            let term = tokio::select! {
                biased;
                () = app.tasks.draining() => None,
                term = async { leads.wait_for(Option::is_some).await.ok().and_then(|term| *term) } => term,
            };
            let Some(term) = term else { return self.last_words().await };
            self.app = app.in_term(term);
            let next = match self.turn().await {
                Ok(next) => next,
                Err(StoreError::Stopped) => return,
                // Whoever leads now makes the attempts again whose ends were not written.
                Err(StoreError::NotLeading) => {
                    self.unwritten.clear();
                    self.disabling.clear();
                    Instant::now() + RETRY
                }
                Err(error) => {
                    tracing::warn!(%error, "deliveries of webhooks cannot be read or written; it will be tried again");
                    Instant::now() + RETRY
                }
            };
            if measured <= Instant::now() {
                self.measure().await;
                measured = Instant::now() + EVERY;
            }
            tokio::select! {
                biased;
                () = app.tasks.draining() => return self.last_words().await,
                Some(ended) = self.told.recv() => self.note(ended),
                () = app.webhooks.to_send.notified() => {}
                () = sleep_until(next.min(measured)) => {}
            }
        }
    }

    /// Writes what ended, begins what is due; when to look again.
    async fn turn(&mut self) -> Result<Instant, StoreError> {
        while let Ok(ended) = self.told.try_recv() {
            self.note(ended);
        }
        self.write().await?;
        let now = self.app.now();
        let mut waiting = self.app.store.webhooks_waiting().await?;
        self.forget(&waiting);
        // Not always the same first, when there is not room for all.
        let turn = self.app.clock.chance() as usize % waiting.len().max(1);
        waiting.rotate_left(turn);
        let mut next = now.plus_ms(EVERY.as_millis() as u64);
        for WaitingWebhook { webhook, due_at } in waiting {
            let at = due_at.max(self.rests_until(webhook.key));
            if at > now {
                next = next.min(at);
            } else {
                self.begin(webhook, now).await?;
            }
        }
        Ok(Instant::now() + Duration::from_millis(next.since_ms(now)))
    }

    fn rests_until(&self, key: WebhookKey) -> Timestamp {
        self.lanes.get(&key).map_or(Timestamp(0), |lane| lane.pace.rests_until())
    }

    /// Begins as many attempts of a webhook as it and the pool have room for.
    async fn begin(&mut self, webhook: Webhook, now: Timestamp) -> Result<(), StoreError> {
        let (pool, failing) = (self.app.config.webhooks.sends, self.failing());
        let lane = self.lanes.entry(webhook.key).or_default();
        let width = lane.pace.width(webhook.concurrency) as usize;
        let mut room =
            width.saturating_sub(lane.on_their_way.len()).min(pool.saturating_sub(self.on_their_way));
        if lane.pace.is_failing() {
            room = room.min((pool / 2).saturating_sub(failing));
        }
        if room == 0 {
            return Ok(());
        }
        let limit = u32::try_from(room + lane.on_their_way.len()).unwrap_or(u32::MAX);
        let due = self.app.store.deliveries_due(webhook.key, now, limit).await?;
        let fresh: Vec<_> =
            due.into_iter().filter(|d| !lane.on_their_way.contains(&d.key)).take(room).collect();
        for delivery in fresh {
            lane.on_their_way.insert(delivery.key);
            self.on_their_way += 1;
            self.app.metrics.webhooks.in_flight.inc();
            let (app, sender, tell) = (self.app.clone(), self.sender.clone(), self.tell.clone());
            let webhook = webhook.clone();
            self.app.tasks.spawn(attempt(app, sender, webhook, delivery, tell));
        }
        Ok(())
    }

    /// Attempts on their way to receivers that fail.
    fn failing(&self) -> usize {
        self.lanes.values().filter(|lane| lane.pace.is_failing()).map(|lane| lane.on_their_way.len()).sum()
    }

    /// Takes note of an end; what becomes of the delivery is written with the next turn.
    fn note(&mut self, ended: Ended) {
        let (app, now) = (&self.app, self.app.now());
        let heard = ended.sent.heard;
        let lane = self.lanes.entry(ended.webhook.key).or_default();
        lane.on_their_way.remove(&ended.delivery.key);
        self.on_their_way = self.on_their_way.saturating_sub(1);
        app.metrics.webhooks.in_flight.dec();
        app.metrics.webhooks.durations.observe(u64::try_from(ended.took.as_micros()).unwrap_or(u64::MAX));
        let policy = policy(app);
        let scale_ms = policy.retry_ms.first().copied().unwrap_or_default();
        lane.pace.note(heard, scale_ms, now, app.clock.chance());
        self.disabling.extend(disabling(&policy, &ended, now));
        let outcome = outcome(&policy, ended, now, app.clock.chance());
        let figures = &app.metrics.webhooks;
        match (outcome.delivered, outcome.next_at) {
            (true, _) => figures.delivered.inc(),
            (false, Some(_)) => figures.retried.inc(),
            (false, None) => figures.failed.inc(),
        }
        self.unwritten.push(outcome);
    }

    async fn write(&mut self) -> Result<(), StoreError> {
        while !self.unwritten.is_empty() {
            let batch: Vec<Outcome> = self.unwritten.iter().take(BATCH).cloned().collect();
            let count = batch.len();
            self.app.store.deliveries_noted(batch).await?;
            crash_point("webhook.noted");
            self.unwritten.drain(..count);
        }
        while let Some(Disabling { webhook, why, since }) = self.disabling.last() {
            let app = &self.app;
            let reason = serde_json::json!({ "enabled": false, "reason": format!("{why:?}").to_lowercase() });
            let entry = AuditEntry::system(webhook.tenant, "webhook.disable", webhook.id).after(reason);
            app.store.audited(entry).webhook_disable(webhook.key, *why, *since, app.now()).await?;
            app.metrics.webhooks.disabled.inc();
            tracing::warn!(webhook.id = %webhook.id, ?why, "a webhook is disabled because of its receiver");
            self.disabling.pop();
        }
        Ok(())
    }

    /// Forgets receivers for whom nothing waits, once many are known.
    fn forget(&mut self, waiting: &[WaitingWebhook]) {
        if self.lanes.len() > MAX_PACES {
            let kept: HashSet<WebhookKey> = waiting.iter().map(|one| one.webhook.key).collect();
            self.lanes.retain(|key, lane| kept.contains(key) || !lane.on_their_way.is_empty());
        }
    }

    async fn measure(&self) {
        if let Ok(backlog) = self.app.store.webhooks_backlog().await {
            let figures = &self.app.metrics.webhooks;
            figures.pending.set(backlog.pending);
            figures.oldest_ms.set(backlog.oldest.map_or(0, |oldest| self.app.now().since_ms(oldest)));
        }
    }

    /// The ends of attempts that are nearly there.
    async fn last_words(mut self) {
        let ends = async {
            while self.on_their_way > 0 {
                let Some(ended) = self.told.recv().await else { break };
                self.note(ended);
            }
        };
        let in_time = timeout(LAST_WORDS, ends).await.is_ok();
        if let Err(error) = self.write().await {
            tracing::warn!(%error, "how the last deliveries went is not written down: they will be sent again");
        }
        if !in_time {
            tracing::info!(
                count = self.on_their_way,
                "deliveries on their way will be sent again by the next start"
            );
        }
    }
}

async fn attempt(
    app: App,
    sender: Arc<Sender>,
    webhook: Webhook,
    delivery: DueDelivery,
    tell: mpsc::Sender<Ended>,
) {
    let (began, started) = (app.now(), Instant::now());
    let (id, timestamp_s) = (delivery.id.to_string(), began.0 / 1_000);
    let signed = secrets(&app, &webhook, began)
        .iter()
        .map(|s| s.sign(&id, timestamp_s, delivery.body.as_bytes()))
        .collect::<Vec<_>>();
    let message = Message { id, timestamp_s, signatures: signed.join(" "), body: delivery.body.clone() };
    let patience = async {
        app.tasks.draining().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        sent = sender.send(&webhook.url, message) => {
            crash_point("webhook.sent");
            // The loop has gone: the next start makes this attempt again.
            drop(tell.send(Ended { webhook, delivery, began, took: started.elapsed(), sent }).await);
        }
        () = patience => {}
    }
}

fn policy(app: &App) -> DeliveryPolicy {
    let settings = app.hot();
    let (retry_ms, disable_after_ms) =
        (settings.webhooks.retry_ms.clone(), settings.webhooks.disable_after_ms);
    DeliveryPolicy { retry_ms, disable_after_ms }
}

/// Whether a webhook is to be told nothing any more.
fn disabling(policy: &DeliveryPolicy, ended: &Ended, now: Timestamp) -> Option<Disabling> {
    let since = ended.webhook.failing_since.unwrap_or(ended.began);
    let why = match ended.sent.heard {
        heard if heard.is_success() => return None,
        heard if heard.is_gone() => Disabled::Gone,
        _ if policy.has_failed_for_too_long(since, now) => Disabled::Failing,
        _ => return None,
    };
    Some(Disabling { webhook: ended.webhook.clone(), why, since })
}

/// What becomes of a delivery.
fn outcome(policy: &DeliveryPolicy, ended: Ended, now: Timestamp, chance: u64) -> Outcome {
    let Ended { webhook, delivery, began, took, sent } = ended;
    let verdict = policy.judge(delivery.attempts + 1, sent.heard, now, chance);
    let status = match sent.heard {
        Heard::Answer { status, .. } => Some(status),
        Heard::Nothing => None,
    };
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Outcome {
        delivery: delivery.key,
        webhook: webhook.key,
        attempt: DeliveryAttempt { at: began, duration_ms, status, error: sent.error, reply: sent.reply },
        delivered: verdict == DeliveryVerdict::Delivered,
        next_at: match verdict {
            DeliveryVerdict::Again(at) => Some(at),
            DeliveryVerdict::Delivered | DeliveryVerdict::GivenUp => None,
        },
        now,
    }
}
