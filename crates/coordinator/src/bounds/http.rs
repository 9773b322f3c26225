//! Connections, requests, and who waits.

use super::{Bound, Kind};
use crate::artifacts::uploads;
use crate::auth::{CACHE_ENTRIES, challenge, last_used};
use crate::events::MAX_TYPES;
use crate::http::problems::Code;
use crate::http::{around, events, extract, page, serve};
use crate::rates::REMEMBERED;
use crate::streams;
use ciro_api::limit::Unit;

pub(super) const BOUNDS: &[Bound] = &[
    Bound::set("connections", Kind::Pool, Unit::Connections, "limits.connections", |s| {
        s.app.hot().limits.connections as u64
    })
    .at(|s| Some(s.app.metrics.connections.get()))
    .then("Further ones wait in the system's backlog until one of them is closed."),
    Bound::set(
        "connections_per_address",
        Kind::Pool,
        Unit::Connections,
        "limits.connections_per_address",
        |s| s.app.config.limits.connections_per_address as u64,
    )
    .of_each("address")
    .refused(
        Code::Overloaded,
        "Further ones are told so and closed; those of trusted proxies are not counted.",
    ),
    Bound::fixed("backlog", Kind::Queue, Unit::Connections, serve::BACKLOG as u64)
        .then("The system drops further connections; clients try again by themselves."),
    Bound::set("requests_in_flight", Kind::Pool, Unit::Requests, "limits.requests_in_flight", |s| {
        s.app.hot().limits.requests_in_flight as u64
    })
    .at(|s| Some(s.app.metrics.in_flight.get()))
    .refused(Code::Overloaded, "Further ones are turned away; the work channel of workers is not counted."),
    Bound::set("waiting_calls", Kind::Pool, Unit::Calls, "limits.waiting_calls", |s| {
        s.app.hot().limits.waiting_calls as u64
    })
    .at(|s| Some(s.app.metrics.waiting.get()))
    .refused(Code::TooManyRequests, "Further status calls that wait, and event streams, are turned away."),
    Bound::fixed("streams", Kind::Pool, Unit::Streams, streams::STREAMS_PER_TENANT as u64)
        .of_each("tenant")
        .at(|s| Some(s.app.streams.open_now().1 as u64))
        .refused(Code::TooManyRequests, "Further event streams of the tenant are turned away."),
    Bound::fixed("stream_batches", Kind::Ring, Unit::Batches, streams::BATCHES as u64)
        .at(|s| Some(s.app.streams.behind() as u64))
        .then("A stream that is further behind reads the log itself; nothing is left out."),
    Bound::fixed("stream_frames", Kind::Queue, Unit::Frames, streams::FRAMES as u64)
        .of_each("stream")
        .then("The stream waits for its client, and ends when the client takes nothing for 30 s."),
    Bound::fixed("stream_lag", Kind::Size, Unit::Events, streams::FAR_BEHIND as u64)
        .of_each("stream")
        .then("The stream says `lagged` and closes; the client goes on where it was."),
    Bound::fixed("request_head", Kind::Size, Unit::Bytes, serve::MAX_HEAD_BYTES as u64)
        .of_each("request")
        .then("The connection is closed with 431."),
    Bound::fixed("json_body", Kind::Size, Unit::Bytes, ciro_api::MAX_JSON_BYTES as u64)
        .of_each("request")
        .refused(Code::BodyTooLarge, "The request is refused before it is read to its end."),
    Bound::fixed("json_depth", Kind::Size, Unit::Levels, extract::MAX_JSON_DEPTH as u64)
        .of_each("body")
        .refused(Code::MalformedJson, "The request is refused."),
    Bound::set("head_time", Kind::Time, Unit::Ms, "limits.head_ms", |s| s.app.config.limits.head_ms)
        .of_each("request")
        .then("The connection is closed."),
    Bound::set("body_time", Kind::Time, Unit::Ms, "limits.body_ms", |s| s.app.hot().limits.body_ms)
        .of_each("JSON body")
        .refused(Code::RequestTimeout, "The request is refused."),
    Bound::set("idle_time", Kind::Time, Unit::Ms, "limits.idle_ms", |s| s.app.config.limits.idle_ms)
        .of_each("connection")
        .then("A connection without a request is closed."),
    Bound::set("send_time", Kind::Time, Unit::Ms, "limits.send_ms", |s| s.app.config.limits.send_ms)
        .of_each("connection")
        .then("A client that takes nothing of its answer is cut off."),
    Bound::set("writer_wait", Kind::Time, Unit::Ms, "limits.writer_wait_ms", |s| {
        s.app.hot().limits.writer_wait_ms
    })
    .at(|s| Some(s.app.store.queue_wait_ms()))
    .refused(Code::Overloaded, "Submits are turned away."),
    Bound::fixed("upload_silence", Kind::Time, Unit::Ms, uploads::SILENCE.as_millis() as u64)
        .of_each("upload")
        .refused(
            Code::BodyUnreadable,
            "The call ends; what came is kept, and the upload goes on from there.",
        ),
    Bound::fixed("waiting_time", Kind::Time, Unit::Ms, ciro_api::MAX_WAIT_MS)
        .of_each("call that waits")
        .refused(Code::BadParameter, "A longer wait is refused."),
    Bound::set("drain_time", Kind::Time, Unit::Ms, "limits.drain_ms", |s| s.app.hot().limits.drain_ms)
        .of_each("shutdown")
        .then("Requests that are still in hand are dropped; what was acknowledged is on disk."),
    Bound::fixed("page", Kind::Size, Unit::Rows, page::MAX_LIMIT as u64)
        .of_each("page of a list")
        .refused(Code::BadParameter, "A larger `limit` is refused."),
    Bound::fixed("page_of_events", Kind::Size, Unit::Events, events::MAX_LIMIT as u64)
        .of_each("page of events")
        .refused(Code::BadParameter, "A larger `limit` is refused."),
    Bound::fixed("event_types", Kind::Size, Unit::Things, MAX_TYPES as u64)
        .of_each("stream")
        .refused(Code::BadParameter, "More types are refused."),
    Bound::fixed("filter", Kind::Size, Unit::Bytes, page::MAX_FILTER as u64)
        .of_each("list")
        .refused(Code::BadParameter, "A longer filter is refused."),
    Bound::fixed("proposals", Kind::Size, Unit::Things, ciro_api::filter::MAX_PROPOSALS as u64)
        .of_each("answer")
        .then("Further values are not proposed; a longer beginning of the word finds them."),
    Bound::fixed("cursor", Kind::Size, Unit::Bytes, page::MAX_CURSOR as u64)
        .of_each("page of a list")
        .refused(Code::BadCursor, "A longer cursor is refused."),
    Bound::fixed("idempotency_key", Kind::Size, Unit::Bytes, extract::MAX_IDEMPOTENCY_KEY as u64)
        .of_each("request")
        .refused(Code::BadHeader, "A longer key is refused."),
    Bound::fixed("request_id", Kind::Size, Unit::Bytes, around::MAX_REQUEST_ID as u64)
        .of_each("request")
        .then("A longer id is passed over, and the request gets one of its own."),
    Bound::fixed("known_tokens", Kind::Map, Unit::Entries, CACHE_ENTRIES)
        .at(|s| Some(s.app.auth.remembered()))
        .then("The token that was used least is forgotten and looked up again."),
    Bound::fixed("budgets_of_keys", Kind::Map, Unit::Entries, REMEMBERED)
        .at(|s| Some(s.app.rates.remembered().0))
        .then("The one that was used least is forgotten, and is full when it comes back."),
    Bound::fixed("budgets_of_addresses", Kind::Map, Unit::Entries, REMEMBERED)
        .at(|s| Some(s.app.rates.remembered().1))
        .then("The one that was used least is forgotten, and is full when it comes back."),
    Bound::fixed("noted_keys", Kind::Map, Unit::Entries, last_used::MAX_NOTED as u64)
        .at(|s| Some(s.app.auth.last_used.noted() as u64))
        .then("Further keys' last use is noted when they are used again."),
    Bound::fixed("used_challenges", Kind::Map, Unit::Entries, challenge::MAX_USED)
        .at(|s| Some(s.app.challenges.remembered()))
        .then("The oldest is forgotten: within its minute it could be used a second time."),
    Bound::found("open_files", Kind::Pool, Unit::Files, |s| s.then.process.max_files)
        .at(|s| s.then.process.open_files)
        .then("No connection is accepted and no file opened until one is closed; raise `ulimit -n`."),
];
