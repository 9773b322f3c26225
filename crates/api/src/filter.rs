//! Filters of lists, for whoever writes one: the fields that a list knows, and what they hold.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The most that one answer proposes.
pub const MAX_PROPOSALS: usize = 100;

/// The longest beginning of a proposal, characters.
pub const MAX_PREFIX_CHARS: usize = 256;

/// What is being written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProposalsQuery {
    /// The field whose values are asked for; without one, fields are proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 128, example = "state")]
    pub field: Option<String>,
    /// What each proposal begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 256, example = "qu")]
    pub prefix: Option<String>,
}

/// What a filter may go on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proposals {
    /// At most 100, in alphabetical order.
    pub items: Vec<Proposal>,
}

/// One field or value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proposal {
    /// The field's name, or the value.
    pub value: String,
    /// What the field holds and how it is compared; only of fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// How many of the items that were looked at have the value. Labels and failures are looked for
    /// among the newest jobs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}
