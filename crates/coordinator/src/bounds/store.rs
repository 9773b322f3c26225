//! The database: its queue, its groups, its readers and its tables.

use super::{Bound, Kind};
use crate::http::problems::Code;
use ciro_api::limit::Unit;
use ciro_store::bounds;

/// Bytes of a page of the database file.
const PAGE_BYTES: u64 = 4_096;

pub(super) const BOUNDS: &[Bound] = &[
    Bound::set("writer_queue", Kind::Queue, Unit::Commands, "limits.writer_queue", |s| {
        s.app.hot().limits.writer_queue as u64
    })
    .at(|s| Some(s.app.store.figures().queued()))
    .refused(Code::Overloaded, "Further commands are turned away; nothing was changed."),
    Bound::fixed("group_commands", Kind::Size, Unit::Commands, bounds::MAX_GROUP as u64)
        .of_each("group of the writer")
        .then("The rest is taken with the next group."),
    Bound::fixed("group_rows", Kind::Size, Unit::Rows, bounds::MAX_GROUP_ROWS as u64)
        .of_each("group of the writer")
        .then("The group is committed, and the rest goes on in the next."),
    Bound::fixed("group_bytes", Kind::Size, Unit::Bytes, bounds::MAX_GROUP_BYTES as u64)
        .of_each("group of the writer")
        .then("The rest is taken with the next group."),
    Bound::fixed("group_revocations", Kind::Size, Unit::Attempts, bounds::MAX_REVOKED as u64)
        .of_each("group of the writer")
        .then("The others are revoked with the next group."),
    Bound::fixed("kept_jobs", Kind::Map, Unit::Jobs, bounds::KEPT_JOBS as u64)
        .at(|s| s.then.queue.map(|q| q.kept_jobs))
        .then("The writer forgets the rows that it keeps and reads them again when they are named."),
    Bound::fixed("met_requirements", Kind::Map, Unit::Entries, bounds::REMEMBERED as u64)
        .then("All are forgotten, and which workers meet a requirement is found anew."),
    Bound::set("readers", Kind::Pool, Unit::Connections, "database.readers", |s| {
        s.app.hot().database.readers as u64
    })
    .at(|s| Some(s.app.store.reads_running() as u64))
    .then("Further reads wait for a connection."),
    Bound::fixed("reader_queue", Kind::Queue, Unit::Reads, bounds::MAX_WAITING as u64)
        .at(|s| Some(s.app.store.reads_waiting() as u64))
        .refused(Code::Overloaded, "Further reads are turned away."),
    Bound::fixed("filtered_rows", Kind::Size, Unit::Rows, bounds::MAX_LOOKED_AT as u64)
        .of_each("page of a list")
        .then("The page ends early, with a cursor behind the rows that were passed over."),
    Bound::fixed("receipt_page", Kind::Size, Unit::Bytes, bounds::MAX_PAGE_BYTES as u64)
        .of_each("page of receipts")
        .then("The page ends early, with a cursor."),
    Bound::fixed("walked_queue", Kind::Size, Unit::Entries, bounds::MAX_WALKED as u64)
        .of_each("explanation")
        .then("A job's place in a longer queue is given as the least that it can be."),
    Bound::found("database", Kind::Table, Unit::Bytes, |s| {
        let pages = u64::from(s.app.hot().database.max_pages);
        (pages > 0).then_some(pages * PAGE_BYTES)
    })
    .at(|s| Some(s.then.files.database))
    .refused(Code::DiskFull, "Nothing more is written until there is room; `database.max_pages` sets it."),
    Bound::fixed("database_log", Kind::Table, Unit::Bytes, bounds::WAL_LIMIT_BYTES as u64)
        .at(|s| Some(s.then.files.log))
        .then("Soft: a group or reader that takes long lets it grow; it is cut back when it is folded."),
    Bound::set("ended_jobs", Kind::Table, Unit::Jobs, "retention.jobs_rows", |s| {
        s.app.hot().retention.jobs_rows
    })
    .at(|s| s.then.census.as_ref().map(ciro_store::Census::ended_jobs))
    .then("The oldest move to the archive, a page every `retention.every_ms` or sooner."),
    Bound::set("events", Kind::Table, Unit::Events, "retention.events_rows", |s| {
        s.app.hot().retention.events_rows
    })
    .at(|s| s.then.census.as_ref().map(|census| census.events))
    .then("The oldest are let go; a stream that asks for them is told `reset`."),
    Bound::fixed("archived_attempts", Kind::Size, Unit::Attempts, bounds::MAX_ARCHIVED_ATTEMPTS as u64)
        .of_each("archived job")
        .then("The archive counts the others and does not name them."),
    Bound::fixed("evidence", Kind::Size, Unit::Things, bounds::MAX_EVIDENCE as u64)
        .of_each("task")
        .then("Further results that come too late are refused as before and not kept."),
    Bound::fixed("retention_page", Kind::Size, Unit::Rows, bounds::MAX_PAGE_ROWS as u64)
        .of_each("table and turn")
        .then("The next page follows after a pause for everybody else."),
    Bound::fixed("tenants", Kind::Table, Unit::Entries, ciro_store::MAX_TENANTS)
        .refused(Code::LimitReached, "Further tenants are refused."),
    Bound::fixed("keys", Kind::Table, Unit::Entries, bounds::MAX_KEYS)
        .of_each("tenant")
        .at(|s| s.then.census.as_ref().map(|census| census.most_keys))
        .refused(Code::LimitReached, "Further keys are refused until one is revoked."),
    Bound::fixed("idempotency_time", Kind::Time, Unit::Ms, ciro_store::IDEMPOTENCY_MS)
        .of_each("idempotency key")
        .then("The key is forgotten: the same call makes something new."),
    Bound::set("audit", Kind::Table, Unit::Rows, "retention.audit_rows", |s| {
        s.app.config.retention.audit_rows
    })
    .of_each("tenant")
    .at(|s| s.then.census.as_ref().map(|census| census.most_audit_rows))
    .then("The oldest rows are let go; the hash of the last of them stays, and the chain still verifies."),
    Bound::fixed("audit_value", Kind::Size, Unit::Bytes, ciro_store::MAX_AUDIT_VALUE as u64)
        .of_each("value of an audit entry")
        .then("Of a longer one the length and the hash are kept."),
    Bound::set("job_time", Kind::Time, Unit::Ms, "retention.jobs_ms", |s| s.app.hot().retention.jobs_ms)
        .of_each("ended job")
        .then("The job moves to the archive."),
    Bound::set("event_time", Kind::Time, Unit::Ms, "retention.events_ms", |s| {
        s.app.hot().retention.events_ms
    })
    .of_each("event")
    .then("The event is let go."),
    Bound::set("result_time", Kind::Time, Unit::Ms, "retention.results_ms", |s| {
        s.app.hot().retention.results_ms
    })
    .of_each("ended job")
    .refused(Code::Gone, "Its result and its logs are let go."),
    Bound::set("evidence_time", Kind::Time, Unit::Ms, "retention.evidence_ms", |s| {
        s.app.hot().retention.evidence_ms
    })
    .of_each("late result")
    .then("It is let go."),
];
