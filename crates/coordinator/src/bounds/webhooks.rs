//! Webhooks and what is on its way to them.

use super::{Bound, Kind};
use crate::http::problems::Code;
use ciro_api::limit::Unit;

pub(super) const BOUNDS: &[Bound] = &[
    Bound::set("webhooks", Kind::Table, Unit::Things, "webhooks.per_tenant", |s| {
        s.app.hot().webhooks.per_tenant
    })
    .of_each("tenant")
    .refused(Code::LimitReached, "Further webhooks are refused until one is removed."),
    Bound::set("webhook_pending", Kind::Queue, Unit::Things, "webhooks.pending", |s| {
        s.app.hot().webhooks.pending
    })
    .of_each("webhook")
    .then("Further events are counted and told as one message, webhook.gap, when there is room."),
    Bound::set("webhook_sends", Kind::Pool, Unit::Things, "webhooks.sends", |s| {
        s.app.config.webhooks.sends as u64
    })
    .at(|s| Some(s.app.metrics.webhooks.in_flight.get()))
    .then("Deliveries wait; receivers that fail share half of the pool."),
    Bound::set("webhook_deliveries", Kind::Table, Unit::Things, "webhooks.keep_rows", |s| {
        s.app.hot().webhooks.keep_rows
    })
    .of_each("webhook")
    .then("The oldest ended deliveries go with the next retention."),
    Bound::set("webhook_attempt", Kind::Time, Unit::Ms, "webhooks.timeout_ms", |s| {
        s.app.config.webhooks.timeout_ms
    })
    .of_each("attempt of a webhook")
    .then("The attempt has failed and is made again."),
    Bound::set("webhook_retries", Kind::Size, Unit::Things, "webhooks.retry_ms", |s| {
        s.app.hot().webhooks.retry_ms.len() as u64
    })
    .of_each("delivery of a webhook")
    .then("The delivery has failed and can be asked for again."),
];
