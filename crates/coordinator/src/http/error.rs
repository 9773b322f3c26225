//! The one map from errors to answers. A handler fails with an [`ApiError`]; the layer around all
//! routes turns it into a problem document, because only there path and request id are known.

use super::problems::Code;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ciro_api::problem::{FieldError, Problem};
use ciro_core::command::Refusal;
use ciro_core::money::MoneyError;
use ciro_store::Error as StoreError;

/// When to come back to a quota that was used up, s.
const QUOTA_RETRY_S: u32 = 5;

/// What a handler answers with instead of a success.
#[derive(Debug, Clone)]
pub struct ApiError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: Code,
    detail: Option<String>,
    errors: Vec<FieldError>,
    retry_after_s: Option<u32>,
}

/// What handlers return.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// The problem `code`, without a word about this time.
    #[must_use]
    pub fn new(code: Code) -> ApiError {
        ApiError(Box::new(Inner { code, detail: None, errors: Vec::new(), retry_after_s: None }))
    }

    /// The problem `code` and what happened this time.
    #[must_use]
    pub fn because(code: Code, detail: impl Into<String>) -> ApiError {
        let mut error = ApiError::new(code);
        error.0.detail = Some(detail.into());
        error
    }

    /// A request that is well-formed and wrong in these places.
    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> ApiError {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.pointer, one.detail),
            many => format!("{} places of the request are wrong", many.len()),
        };
        let mut error = ApiError::because(Code::ValidationFailed, detail);
        error.0.errors = errors;
        error
    }

    /// Adds a wrong place; `word` is its stable code.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, word: &str, detail: impl Into<String>) -> ApiError {
        self.0.errors.push(FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
            code: word.to_owned(),
        });
        self
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> ApiError {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The document, for a request at `instance`.
    #[must_use]
    pub fn into_problem(self, instance: &str, request_id: &str) -> Problem {
        let entry = self.0.code.entry();
        Problem {
            type_: entry.path(),
            title: entry.title.to_owned(),
            status: entry.status,
            detail: self.0.detail,
            instance: instance.to_owned(),
            code: entry.word.to_owned(),
            request_id: request_id.to_owned(),
            retryable: entry.retryable,
            hint: Some(entry.hint.to_owned()),
            errors: self.0.errors,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let entry = self.0.code.entry();
        let mut response = Response::default();
        *response.status_mut() =
            StatusCode::from_u16(entry.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let wait_s = self.0.retry_after_s.or(if matches!(entry.status, 429 | 503) { Some(1) } else { None });
        if let Some(seconds) = wait_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if entry.status == 401 {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match error {
            StoreError::Refused(refusal) => refused(refusal),
            StoreError::NotFound => ApiError::new(Code::JobNotFound),
            StoreError::IdempotencyMismatch => ApiError::new(Code::IdempotencyMismatch),
            StoreError::ArtifactMissing(hash) => ApiError::because(
                Code::ArtifactMissing,
                format!("artifact {hash} is not stored, or not granted to you"),
            ),
            StoreError::Limit { .. } => {
                ApiError::because(Code::LimitReached, error.to_string()).retry_after(5)
            }
            StoreError::Quota { quota, .. } => {
                let detail = error.to_string();
                ApiError::because(Code::QuotaExceeded, detail.clone())
                    .at(quota, "quota", detail)
                    .retry_after(QUOTA_RETRY_S)
            }
            StoreError::Money(money) => {
                let code = match money {
                    MoneyError::Insufficient { .. } => Code::InsufficientFunds,
                    MoneyError::Impossible | MoneyError::Full => Code::ValidationFailed,
                };
                ApiError::because(code, money.to_string())
            }
            StoreError::Taken { .. } => ApiError::because(Code::NameTaken, error.to_string()),
            StoreError::Overloaded => ApiError::new(Code::Overloaded),
            StoreError::SessionEnded => {
                ApiError::because(Code::Unauthorized, "the worker's session has ended; open another one")
            }
            StoreError::DiskFull => ApiError::new(Code::DiskFull).retry_after(30),
            StoreError::Unavailable { certain } => ApiError::because(
                Code::Unavailable,
                if certain {
                    "the database does not answer; nothing was changed"
                } else {
                    "the database stopped answering while this was written; the effect is uncertain, so repeat \
                     with the same Idempotency-Key"
                },
            )
            .retry_after(2),
            StoreError::NotLeading => ApiError::because(Code::Unavailable, error.to_string()).retry_after(2),
            StoreError::Stopped => ApiError::new(Code::Draining).retry_after(5),
            StoreError::Open(_) | StoreError::Database(_) | StoreError::Postgres(_) | StoreError::Malformed { .. } => internal(&error),
        }
    }
}

fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::NotFound => ApiError::new(Code::JobNotFound),
        Refusal::AlreadyEnded => ApiError::new(Code::JobAlreadyEnded),
        Refusal::Stopping
        | Refusal::NotGrantable
        | Refusal::NoFreeSlot
        | Refusal::WrongPrice
        | Refusal::NoPlace
        | Refusal::NoPayout
        | Refusal::WrongAmounts
        | Refusal::OutOfOrder
        | Refusal::IllegalMove => ApiError::because(Code::JobBusy, refusal.to_string()),
    }
}

/// A failure that the caller can do nothing about: logged here, once, and answered without its
/// words.
#[must_use]
pub fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    tracing::error!(error = %error, causes = ?causes, "a request failed inside the coordinator");
    ApiError::new(Code::Internal)
}
