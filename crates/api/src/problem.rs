//! Errors on the wire: RFC 9457 problem documents, for every answer that is not a success.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Path of the catalogue entry: `/problems/job-already-ended`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The same for every occurrence.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Path of the request.
    pub instance: String,
    /// Stable word for programs.
    pub code: String,
    /// Names the request in the server's logs.
    pub request_id: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where the request is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One wrong place in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the body, or the name of a parameter.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
    /// Stable word for programs.
    pub code: String,
}

/// One entry of the catalogue of problems.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProblemEntry {
    /// `/problems/<code with dashes>`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Stable word.
    pub code: String,
    /// The same for every occurrence.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// What to do next.
    pub hint: String,
}
