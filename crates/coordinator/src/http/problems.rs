//! The catalogue of problems: every code that an answer can carry, in one table.
//! Served at `/problems`; an error names an entry and adds what happened this time.

use ciro_api::problem::ProblemEntry;

/// What went wrong, as a stable word. The table below is in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    MalformedJson,
    UnknownField,
    WrongType,
    BadParameter,
    BadFilter,
    BadCursor,
    BadHeader,
    BodyUnreadable,
    Unauthorized,
    InsufficientFunds,
    Forbidden,
    TenantSuspended,
    RouteNotFound,
    JobNotFound,
    WorkerNotFound,
    ArtifactNotFound,
    KeyNotFound,
    BackupNotFound,
    BatchNotFound,
    TenantNotFound,
    WebhookNotFound,
    DeliveryNotFound,
    ProblemNotFound,
    TransactionNotFound,
    ResultNotReady,
    MethodNotAllowed,
    RequestTimeout,
    JobAlreadyEnded,
    JobNotEnded,
    JobNotCompleted,
    JobBusy,
    KeyEnded,
    ArtifactMissing,
    OffsetMismatch,
    HashMismatch,
    SecretAlreadyShown,
    BackupRunning,
    NameTaken,
    ChainOff,
    WebhookDisabled,
    LeaseLost,
    Gone,
    PreconditionFailed,
    BodyTooLarge,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    ValidationFailed,
    IdempotencyMismatch,
    CallReverts,
    ProtocolTooOld,
    TooManyRequests,
    RateLimited,
    LimitReached,
    QuotaExceeded,
    Internal,
    Overloaded,
    Draining,
    DiskFull,
    Unavailable,
    StorageFull,
}

/// One row of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The code that it describes.
    pub code: Code,
    /// The code as programs read it.
    pub word: &'static str,
    /// HTTP status.
    pub status: u16,
    /// The same for every occurrence.
    pub title: &'static str,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// What to do next.
    pub hint: &'static str,
}

const fn row(
    code: Code,
    word: &'static str,
    status: u16,
    retryable: bool,
    title: &'static str,
    hint: &'static str,
) -> Entry {
    Entry { code, word, status, title, retryable, hint }
}

/// Every problem, in the order of [`Code`].
#[rustfmt::skip]
pub const CATALOGUE: &[Entry] = &[
    row(Code::MalformedJson, "malformed_json", 400, false, "The body is not JSON", "Send one JSON value; the detail names line and column."),
    row(Code::UnknownField, "unknown_field", 400, false, "A field is not known", "Remove it, or use the name that the detail proposes."),
    row(Code::WrongType, "wrong_type", 400, false, "A field has the wrong type or is missing", "Compare the request with the schema in /openapi.json."),
    row(Code::BadParameter, "bad_parameter", 400, false, "A parameter of the path or the query is wrong", "Compare the request with /openapi.json."),
    row(Code::BadFilter, "bad_filter", 400, false, "The filter cannot be read", "Write terms such as state:queued,running or -label.team=a, separated by spaces."),
    row(Code::BadCursor, "bad_cursor", 400, false, "The cursor is not one of this list", "Begin again without a cursor; send next_cursor back as it came, to the same list."),
    row(Code::BadHeader, "bad_header", 400, false, "A header cannot be read", "The detail names the header and what it may hold."),
    row(Code::BodyUnreadable, "body_unreadable", 400, true, "The body could not be read to its end", "Send the whole body; check the connection and Content-Length."),
    row(Code::Unauthorized, "unauthorized", 401, false, "No valid credentials", "Send `Authorization: Bearer ciro_…`. The first start prints an admin key; `ciro key create` makes more."),
    row(Code::InsufficientFunds, "insufficient_funds", 402, false, "The balance is not enough", "The detail says what is there and what is needed; the operator takes deposits."),
    row(Code::Forbidden, "forbidden", 403, false, "The key may not do this", "Use a key whose role has the scope that the detail names."),
    row(Code::TenantSuspended, "tenant_suspended", 403, false, "The tenant is suspended", "Ask the operator why and until when."),
    row(Code::RouteNotFound, "route_not_found", 404, false, "There is nothing at this path", "Every path stands in /openapi.json."),
    row(Code::JobNotFound, "job_not_found", 404, false, "No such job", "`ciro job list` shows the jobs that your key may see; ended jobs are kept for the time in retention."),
    row(Code::WorkerNotFound, "worker_not_found", 404, false, "No such worker", "`ciro worker list` shows the workers that your key may see."),
    row(Code::ArtifactNotFound, "artifact_not_found", 404, false, "No such artifact", "Upload it with `ciro artifact put`; one that nothing needs is dropped when its grant ends."),
    row(Code::KeyNotFound, "key_not_found", 404, false, "No such key", "`ciro key list` shows the keys of your tenant."),
    row(Code::BackupNotFound, "backup_not_found", 404, false, "No such backup", "`ciro backup list` shows those that are kept; the oldest go."),
    row(Code::BatchNotFound, "batch_not_found", 404, false, "No such batch", "`ciro batch list` shows the batches of your tenant."),
    row(Code::TenantNotFound, "tenant_not_found", 404, false, "No such tenant", "`ciro tenant list` shows the tenants to the operator."),
    row(Code::WebhookNotFound, "webhook_not_found", 404, false, "No such webhook", "`ciro webhook list` shows the webhooks of your tenant."),
    row(Code::DeliveryNotFound, "delivery_not_found", 404, false, "No such delivery", "`ciro webhook deliveries` shows those of a webhook; ended ones are kept for the time in webhooks.keep_ms."),
    row(Code::ProblemNotFound, "problem_not_found", 404, false, "No such problem", "All of them stand at /problems."),
    row(Code::TransactionNotFound, "transaction_not_found", 404, false, "No such transaction", "`ciro chain transactions` lists those of this coordinator; `ciro chain tx HASH --rpc URL` asks a node for any."),
    row(Code::ResultNotReady, "result_not_ready", 409, true, "The job has no result yet", "Wait for its end: /v1/jobs/{id}/status?wait_ms=30000&until=ended."),
    row(Code::MethodNotAllowed, "method_not_allowed", 405, false, "The path does not take this method", "The Allow header names those that it takes."),
    row(Code::RequestTimeout, "request_timeout", 408, true, "The body came too slowly", "Send the whole body within the time that the detail names."),
    row(Code::JobAlreadyEnded, "job_already_ended", 409, false, "The job has ended", "An ended job never changes; run it again with POST /v1/jobs/{id}/retry."),
    row(Code::JobNotEnded, "job_not_ended", 409, true, "The job has not ended", "Wait for its end, or cancel it first."),
    row(Code::JobNotCompleted, "job_not_completed", 409, false, "The job ended without any task's result", "The job's failure says why; POST /v1/jobs/{id}/retry runs it again."),
    row(Code::JobBusy, "job_busy", 409, true, "The job cannot do this now", "Read its state and try again."),
    row(Code::KeyEnded, "key_ended", 409, false, "The key has ended, or another one took its place", "Rotate the one that took its place, or make another: POST /v1/api-keys or `ciro key create`."),
    row(Code::ArtifactMissing, "artifact_missing", 409, false, "A named artifact is not stored", "Upload it first, then send the same request again."),
    row(Code::OffsetMismatch, "offset_mismatch", 409, true, "The bytes do not continue the upload", "Ask for the offset with HEAD and go on from there."),
    row(Code::HashMismatch, "hash_mismatch", 422, false, "The bytes do not have the declared hash", "The upload was dropped; declare the right hash and send the bytes again."),
    row(Code::SecretAlreadyShown, "secret_already_shown", 409, false, "The secret was shown by the first call", "Drop what the first call made and make another one with a new Idempotency-Key; a webhook's secret can be rotated."),
    row(Code::BackupRunning, "backup_running", 409, true, "A backup or the check of one is under way", "One at a time: wait for its end; the detail names it."),
    row(Code::NameTaken, "name_taken", 409, false, "The name belongs to another", "Choose another name."),
    row(Code::ChainOff, "chain_off", 409, false, "The coordinator does not send to a chain", "Name a node and an account in the settings `blockchain`, or ask a node: `ciro chain … --rpc URL`."),
    row(Code::WebhookDisabled, "webhook_disabled", 409, false, "The webhook is disabled", "Enable it first: `ciro webhook edit ID --enable`, or PATCH with `enabled: true`."),
    row(Code::LeaseLost, "lease_lost", 409, false, "The attempt is not this worker's any more", "End it; nothing that it does counts."),
    row(Code::Gone, "gone", 410, false, "It is no longer kept", "The times of retention stand in the configuration."),
    row(Code::PreconditionFailed, "precondition_failed", 412, false, "It is not as the caller expects it", "Read it again, and send the ETag of that answer as If-Match."),
    row(Code::BodyTooLarge, "body_too_large", 413, false, "The body is too large", "JSON bodies end at 1 MiB; upload bytes as artifacts, many jobs as several batches."),
    row(Code::UnsupportedMediaType, "unsupported_media_type", 415, false, "The body is of a type that is not understood", "Send `Content-Type: application/json`."),
    row(Code::RangeNotSatisfiable, "range_not_satisfiable", 416, false, "The range lies outside the bytes", "The Content-Range header of this answer names the length."),
    row(Code::ValidationFailed, "validation_failed", 422, false, "The request is well-formed and asks for what cannot be", "Each entry of errors names a place and what it may hold."),
    row(Code::IdempotencyMismatch, "idempotency_mismatch", 422, false, "The idempotency key was used for another request", "Use a new key for a new request."),
    row(Code::CallReverts, "call_reverts", 422, false, "The call would fail", "The detail has the contract's own words."),
    row(Code::ProtocolTooOld, "protocol_too_old", 426, false, "The versions of worker and coordinator are too far apart", "Upgrade the older side; a coordinator speaks its own version and the one before."),
    row(Code::TooManyRequests, "too_many_requests", 429, true, "Too many requests at once", "Come back after Retry-After."),
    row(Code::RateLimited, "rate_limited", 429, true, "You ask for more than you may", "Come back after Retry-After; RateLimit says what is left, and rate_limits in the configuration what there is."),
    row(Code::LimitReached, "limit_reached", 429, true, "A limit is reached", "Come back after Retry-After, or ask the operator for a higher limit."),
    row(Code::QuotaExceeded, "quota_exceeded", 429, true, "A quota of your tenant is used up", "`ciro quota` shows level and cap; wait for what is there to end, or ask the operator for more."),
    row(Code::Internal, "internal", 500, true, "The coordinator failed", "The logs name the cause under this request_id; the effect is uncertain, so repeat with the same Idempotency-Key."),
    row(Code::Overloaded, "overloaded", 503, true, "The coordinator is busy; nothing was changed", "Come back after Retry-After."),
    row(Code::Draining, "draining", 503, true, "The coordinator is shutting down; nothing was changed", "Come back after Retry-After."),
    row(Code::DiskFull, "disk_full", 503, true, "The disk is full; nothing was changed", "Free space on the disk that holds the database."),
    row(Code::Unavailable, "unavailable", 503, true, "A part that this needs does not work", "/status names the part and its last error."),
    row(Code::StorageFull, "storage_full", 507, true, "The disk has no room for these bytes", "Drop artifacts, or free space on the disk that holds the data directory."),
];

const _: () = assert!(CATALOGUE.len() == Code::StorageFull as usize + 1, "a code without a row");

impl Code {
    /// Its row.
    #[must_use]
    pub const fn entry(self) -> &'static Entry {
        &CATALOGUE[self as usize]
    }
}

impl Entry {
    /// The path of this entry: `/problems/job-not-found`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/problems/{}", self.word.replace('_', "-"))
    }

    /// The entry as the API shows it.
    #[must_use]
    pub fn to_wire(&self) -> ProblemEntry {
        ProblemEntry {
            type_: self.path(),
            code: self.word.to_owned(),
            title: self.title.to_owned(),
            status: self.status,
            retryable: self.retryable,
            hint: self.hint.to_owned(),
        }
    }
}

/// The code that stands for a bare status, where no handler said more.
#[must_use]
pub fn code_of_status(status: u16) -> Code {
    match status {
        401 => Code::Unauthorized,
        403 => Code::Forbidden,
        404 => Code::RouteNotFound,
        405 => Code::MethodNotAllowed,
        408 => Code::RequestTimeout,
        412 => Code::PreconditionFailed,
        413 => Code::BodyTooLarge,
        415 => Code::UnsupportedMediaType,
        416 => Code::RangeNotSatisfiable,
        429 => Code::TooManyRequests,
        503 => Code::Unavailable,
        507 => Code::StorageFull,
        400..=499 => Code::BadParameter,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_has_its_own_row_in_the_same_order() {
        let mut words = HashSet::new();
        for (at, entry) in CATALOGUE.iter().enumerate() {
            assert_eq!(entry.code as usize, at, "{} is out of order", entry.word);
            assert!(words.insert(entry.word), "{} stands twice", entry.word);
            assert!((400..600).contains(&entry.status) && entry.hint.ends_with('.'), "{}", entry.word);
        }
    }
}
