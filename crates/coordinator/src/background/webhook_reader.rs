//! The reader of the event log that works for webhooks: it asks which webhooks want each event,
//! expands those as streams do, and has a page of deliveries written together with its own place in the
//! log. While nobody is told anything it reads nothing.
//!
//! A webhook for which too much waits gets nothing copied: its gap grows instead, and becomes one
//! message when there is room again. So the table is bounded, and a receiver knows what it missed.

use super::driver::{By, Failure, Next, Timing, start};
use crate::app::App;
use crate::events::{Types, expand};
use crate::streams::SOURCE;
use crate::webhooks::message;
use ciro_api::webhook::GAP_TYPE;
use ciro_core::crash::crash_point;
use ciro_core::id::{DeliveryId, JobKey, WebhookKey};
use ciro_store::{Clock, EventRow, EventSubject, Gap, LoggedJob, NewDelivery, ReadPage, Webhook};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);
/// Least time between two looks when commits come in quickly.
const WOKEN: Duration = Duration::from_millis(20);
/// Events of one page.
const PAGE: u32 = 500;
/// The most deliveries that one page makes; a page that would make more is cut.
const MAX_DELIVERIES: usize = 2_000;
/// The place is written down at the latest after so many events that nobody wanted, and after so long
/// a time, ms: what comes after it is read again by the next start, and kept by retention.
const UNWRITTEN_EVENTS: i64 = 5_000;
const UNWRITTEN_MS: u64 = 10_000;

/// How far the log was read, and since when that is not written down.
#[derive(Debug, Default)]
struct Place {
    position: i64,
    written_ms: u64,
}

/// Starts the reader.
pub(super) fn spawn(app: &App) {
    let place = Arc::new(Mutex::new(Place::default()));
    start(app, "webhook_reader", Timing { every: EVERY, woken: Some(WOKEN), by: By::Leader }, move |app| {
        let place = Arc::clone(&place);
        async move { read(&app, &place).await }
    });
}

async fn read(app: &App, place: &Mutex<Place>) -> Result<Next, Failure> {
    let (webhooks, written) = app.store.webhooks_read().await?;
    if webhooks.is_empty() {
        return Ok(Next::Later);
    }
    let from = place.lock().position.max(written);
    let rows = app.store.events_after(None, from, PAGE).await?;
    let (full, last) = (rows.len() == PAGE as usize, rows.last().map_or(from, |row| row.position));
    let jobs = jobs_of(app, &webhooks, &rows).await?;
    let wanting = wanting(&webhooks, &rows, &jobs);
    let pending = app.store.webhooks_pending(concerned(&webhooks, &wanting)).await?;
    let mut copying = Copying::new(app, &webhooks, pending, from);
    copying.missed(from, rows.first().map(|row| row.position));
    for (row, wanted_by) in rows.into_iter().zip(&wanting) {
        if copying.page.deliveries.len() >= MAX_DELIVERIES {
            break;
        }
        copying.take(row, wanted_by)?;
    }
    let page = copying.finish()?;
    let (position, idle) = (page.position, page.deliveries.is_empty() && page.gaps.is_empty());
    let now_ms = app.clock.monotonic_ms();
    let late = now_ms.saturating_sub(place.lock().written_ms) >= UNWRITTEN_MS;
    if !idle || position - written >= UNWRITTEN_EVENTS || (late && position > written) {
        app.store.webhooks_copy(page, app.now()).await?;
        crash_point("webhook.copied");
        place.lock().written_ms = now_ms;
        app.webhooks.to_send.notify_one();
    }
    place.lock().position = position;
    Ok(if full || position < last { Next::Now } else { Next::Later })
}

/// What the webhooks that look at jobs may ask of those that the page is about.
async fn jobs_of(
    app: &App,
    webhooks: &[Webhook],
    rows: &[EventRow],
) -> Result<BTreeMap<JobKey, LoggedJob>, ciro_store::Error> {
    let looking: BTreeSet<_> = webhooks
        .iter()
        .filter(|webhook| webhook.wants.looks_at_jobs())
        .map(|webhook| webhook.tenant)
        .collect();
    let asked: BTreeSet<JobKey> =
        rows.iter().filter(|row| looking.contains(&row.tenant)).filter_map(|row| about(row).1).collect();
    if asked.is_empty() {
        return Ok(BTreeMap::new());
    }
    app.store.webhooks_jobs(asked.into_iter().collect()).await
}

/// The type of an event, and the job that it is about.
fn about(row: &EventRow) -> (&'static str, Option<JobKey>) {
    match &row.subject {
        EventSubject::Job { key, event, .. } => (event.type_name(), Some(*key)),
        EventSubject::Worker { event, .. } => (event.type_name(), None),
    }
}

/// For each event, the places of the webhooks that want it.
fn wanting(webhooks: &[Webhook], rows: &[EventRow], jobs: &BTreeMap<JobKey, LoggedJob>) -> Vec<Vec<usize>> {
    let types: Vec<Types> = webhooks
        .iter()
        .map(|webhook| Types::parse(&webhook.wants.events.join(",")).unwrap_or_default())
        .collect();
    let mut of_tenant: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (at, webhook) in webhooks.iter().enumerate() {
        of_tenant.entry(webhook.tenant).or_default().push(at);
    }
    let wants = |at: usize, row: &EventRow| {
        let webhook = &webhooks[at];
        let (type_, job) = about(row);
        let fits = |job: &LoggedJob| webhook.wants.wants_job(&job.kind, &job.labels);
        row.position > webhook.since_position
            && types[at].want(type_)
            && (!webhook.wants.looks_at_jobs() || job.and_then(|key| jobs.get(&key)).is_some_and(fits))
    };
    let of = |row: &EventRow| {
        let candidates = of_tenant.get(&row.tenant).map_or(&[] as &[usize], Vec::as_slice);
        candidates.iter().copied().filter(|at| wants(*at, row)).collect()
    };
    rows.iter().map(of).collect()
}

/// The webhooks whose backlog matters: those that want something, and those with a gap to tell of.
fn concerned(webhooks: &[Webhook], wanting: &[Vec<usize>]) -> Vec<WebhookKey> {
    let mut places: BTreeSet<usize> = wanting.iter().flatten().copied().collect();
    places.extend(webhooks.iter().enumerate().filter(|(_, webhook)| webhook.gap.is_some()).map(|(at, _)| at));
    places.into_iter().map(|at| webhooks[at].key).collect()
}

/// A page in the making.
struct Copying<'a> {
    app: &'a App,
    webhooks: &'a [Webhook],
    /// What waits for each webhook, this page included.
    pending: BTreeMap<WebhookKey, u64>,
    gaps: Vec<Option<Gap>>,
    page: ReadPage,
    /// Deliveries that may wait for one webhook.
    most: u64,
}

impl<'a> Copying<'a> {
    fn new(
        app: &'a App,
        webhooks: &'a [Webhook],
        pending: BTreeMap<WebhookKey, u64>,
        from: i64,
    ) -> Copying<'a> {
        let gaps = webhooks.iter().map(|webhook| webhook.gap).collect();
        let page = ReadPage { position: from, ..ReadPage::default() };
        Copying { app, webhooks, pending, gaps, page, most: app.hot().webhooks.pending }
    }

    /// Events that are no longer kept are a gap of everybody that they concerned.
    fn missed(&mut self, from: i64, first: Option<i64>) {
        let Some(first) = first.filter(|first| *first > from + 1) else { return };
        for (gap, webhook) in self.gaps.iter_mut().zip(self.webhooks) {
            let after = from.max(webhook.since_position);
            if after + 1 < first {
                *gap = Some(Gap::joined(*gap, Gap { first: after + 1, last: first - 1, events: 0 }));
            }
        }
    }

    fn take(&mut self, row: EventRow, wanted_by: &[usize]) -> Result<(), Failure> {
        self.page.position = row.position;
        if wanted_by.is_empty() {
            return Ok(());
        }
        let position = row.position;
        let event = expand(row, SOURCE).event;
        let body = serde_json::to_string(&event)?;
        for at in wanted_by {
            self.tell_gap(*at)?;
            let webhook = self.webhooks[*at].key;
            let waits = self.pending.entry(webhook).or_default();
            if self.gaps[*at].is_some() || *waits >= self.most {
                let more = Gap { first: position, last: position, events: 1 };
                self.gaps[*at] = Some(Gap::joined(self.gaps[*at], more));
                self.app.metrics.webhooks.gap_events.inc();
                continue;
            }
            *waits += 1;
            let (id, type_) = (DeliveryId(self.app.clock.uuid()), event.type_.clone());
            let (position, body) = (Some(position), body.clone());
            self.page.deliveries.push(NewDelivery { id, webhook, position, type_, body });
        }
        Ok(())
    }

    /// Makes a message of a gap once a quarter of the room is free again; the events behind it follow.
    fn tell_gap(&mut self, at: usize) -> Result<(), Failure> {
        let (Some(gap), webhook) = (self.gaps[at], &self.webhooks[at]) else { return Ok(()) };
        let waits = self.pending.entry(webhook.key).or_default();
        if *waits > self.most - self.most.div_ceil(4) {
            return Ok(());
        }
        *waits += 1;
        let id = DeliveryId(self.app.clock.uuid());
        let data = serde_json::json!({
            "first": gap.first.to_string(), "last": gap.last.to_string(),
            "events": (gap.events > 0).then_some(gap.events),
        });
        let body = message(id, GAP_TYPE, webhook.id, self.app.now(), data)
            .map_err(|error| format!("a gap cannot be told: {error:?}"))?;
        let (webhook, type_) = (webhook.key, GAP_TYPE.to_owned());
        self.page.deliveries.push(NewDelivery { id, webhook, position: None, type_, body });
        self.gaps[at] = None;
        Ok(())
    }

    fn finish(mut self) -> Result<ReadPage, Failure> {
        for at in 0..self.webhooks.len() {
            self.tell_gap(at)?;
        }
        let changed = self.webhooks.iter().zip(&self.gaps).filter(|(webhook, gap)| webhook.gap != **gap);
        self.page.gaps = changed.map(|(webhook, gap)| (webhook.key, *gap)).collect();
        Ok(self.page)
    }
}
