//! Webhooks on the wire: URLs that are told what happens, and what became of each telling.
//! What is sent to them is an [`Event`](crate::event::Event), signed as [`signature`] says.

pub mod signature;

use crate::time::Time;
use ciro_core::id::{DeliveryId, WebhookId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The type of the message that `POST /v1/webhooks/{id}/test` sends.
pub const TEST_TYPE: &str = "webhook.test";
/// The type of the message that stands for events which were not sent one by one.
pub const GAP_TYPE: &str = "webhook.gap";

/// A webhook to be made.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Where events are sent, with POST: `https`, a public address, port 443 or 8443 unless the
    /// operator allows others.
    #[schema(max_length = 2048, example = "https://example.com/hooks/ciro")]
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 100)]
    pub name: String,
    /// Types of events, or `job.*` for every type of jobs; none wants all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32, example = json!(["job.*", "worker.offline"]))]
    pub events: Vec<String>,
    /// Only events of jobs of these kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32)]
    pub kinds: Vec<String>,
    /// Only events of jobs that have all these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Deliveries that may be on their way at once, 1 to 16; 4 unless said. With 1 they arrive one
    /// after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16)]
    pub concurrency: Option<u32>,
}

/// A webhook that was made; its secret is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedWebhook {
    /// Its id.
    #[schema(value_type = String)]
    pub id: WebhookId,
    /// What its deliveries are signed with: `whsec_…`.
    pub secret: String,
    /// When it was made; later events are sent.
    pub created_at: Time,
}

impl std::fmt::Debug for CreatedWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedWebhook").field("id", &self.id).field("secret", &"***").finish_non_exhaustive()
    }
}

/// Another secret of a webhook, shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct RotatedSecret {
    /// The webhook's id.
    #[schema(value_type = String)]
    pub id: WebhookId,
    /// What deliveries are signed with from now on: `whsec_…`.
    pub secret: String,
    /// Until then they are signed with the one before as well.
    pub previous_until: Time,
}

impl std::fmt::Debug for RotatedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RotatedSecret").field("id", &self.id).field("secret", &"***").finish_non_exhaustive()
    }
}

/// What is changed of a webhook; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookChange {
    /// Where events are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048)]
    pub url: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100)]
    pub name: Option<String>,
    /// Types of events, or `job.*` for every type of jobs; an empty list wants all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub events: Option<Vec<String>>,
    /// Only events of jobs of these kinds; an empty list wants all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub kinds: Option<Vec<String>>,
    /// Only events of jobs that have all these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Deliveries that may be on their way at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16)]
    pub concurrency: Option<u32>,
    /// Whether events are sent. What happens while it is disabled is not sent later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Why a webhook is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// Somebody asked for it.
    Asked,
    /// Its receiver answered 410.
    Gone,
    /// It had nothing but failures for days.
    Failing,
}

/// A webhook as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// Its id.
    #[schema(value_type = String)]
    pub id: WebhookId,
    /// Where events are sent.
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Types of events; none wants all.
    #[serde(default)]
    pub events: Vec<String>,
    /// Only events of jobs of these kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Only events of jobs that have all these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Deliveries that may be on their way at once.
    pub concurrency: u32,
    /// Whether events are sent.
    pub enabled: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<DisabledReason>,
    /// Since when not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Time>,
    /// Since when every attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Time>,
    /// Until then deliveries are signed with the secret before the present one as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_secret_until: Option<Time>,
    /// Deliveries that wait or are on their way.
    pub pending: u64,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It waits for an attempt.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was tried often enough; it can be asked for again.
    Failed,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [DeliveryState; 3] =
        [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Failed];

    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
        }
    }
}

/// One message to one webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// Its id: the header `webhook-id` of every attempt.
    #[schema(value_type = String)]
    pub id: DeliveryId,
    /// The event's place in the log; absent for tests and gaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Type of the event.
    #[serde(rename = "type")]
    pub type_: String,
    /// How far it is.
    pub state: DeliveryState,
    /// Attempts so far.
    pub attempts: u32,
    /// HTTP status of the last attempt that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// Not before then is it tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// When it was delivered or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
}

/// One message to one webhook, with what was sent and what came back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryDetail {
    /// How it stands.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// The body of every attempt, byte for byte.
    pub body: String,
    /// The last attempts, at most 16, the newest last.
    pub history: Vec<DeliveryAttempt>,
}

/// One attempt of a delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryAttempt {
    /// When it began.
    pub at: Time,
    /// How long it took, ms.
    pub duration_ms: u64,
    /// HTTP status, where there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The beginning of the answer's body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reply: String,
}
