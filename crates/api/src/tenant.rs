//! Tenants and quotas on the wire.

use crate::object::{object, object_or_null};
use crate::time::Time;
use ciro_core::id::TenantId;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// A tenant, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TenantId,
    /// Unique, for people.
    pub name: String,
    /// Its share of the workers while others want them too: twice the weight, twice the share.
    pub weight: u32,
    /// What it may use at once.
    pub quotas: Quotas,
    /// Since when its keys are refused and none of its tasks is granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
}

/// What a tenant may use at once; absent is no bound of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// Jobs that have not ended; further ones get 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub open_jobs: Option<u64>,
    /// Live attempts; further tasks wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub running: Option<u64>,
    /// Bytes of artifacts; further ones get 429. `limits.tenant_artifact_bytes` unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub artifact_bytes: Option<u64>,
    /// Requests a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub requests_per_second: Option<u32>,
}

/// A tenant to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Unique, for people: letters, digits, `.`, `_` and `-`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub name: String,
    /// Its share, 1 to 1,000,000.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1_000_000, default = 1)]
    pub weight: u32,
    /// What it may use at once.
    #[serde(default, deserialize_with = "object")]
    pub quotas: Quotas,
}

const fn one() -> u32 {
    1
}

/// A tenant that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedTenant {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TenantId,
    /// Its name.
    pub name: String,
}

/// What is to be different about a tenant; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditTenant {
    /// Unique, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub name: Option<String>,
    /// Its share, 1 to 1,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub weight: Option<u32>,
    /// Quotas that are to be different.
    #[serde(default, deserialize_with = "object_or_null", skip_serializing_if = "Option::is_none")]
    pub quotas: Option<EditQuotas>,
    /// With `true`, its keys are refused and none of its tasks is granted; what runs goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
}

/// Quotas that are to be different: what is absent stays, `null` takes a bound away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditQuotas {
    /// Jobs that have not ended.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, maximum = 9_007_199_254_740_991_u64)]
    pub open_jobs: Option<Option<u64>>,
    /// Live attempts.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, maximum = 9_007_199_254_740_991_u64)]
    pub running: Option<Option<u64>>,
    /// Bytes of artifacts.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, maximum = 9_007_199_254_740_991_u64)]
    pub artifact_bytes: Option<Option<u64>>,
    /// Requests a second.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    pub requests_per_second: Option<Option<u32>>,
}

/// A field that is there, `null` included; serde's default stands for one that is not.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(d).map(Some)
}

/// What a tenant may use at once, and uses now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotaReport {
    /// Whose.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Its share of the workers while others want them too.
    pub weight: u32,
    /// Each quota, whether it is bounded or not.
    pub quotas: Vec<QuotaLevel>,
}

/// One quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotaLevel {
    /// Its name: `open_jobs`, `running`, `artifact_bytes`, `requests_per_second`.
    #[schema(example = "open_jobs")]
    pub quota: String,
    /// How much is used; absent where it is not a level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u64>,
    /// How much may be; absent where there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u64>,
    /// What becomes of more than that.
    pub beyond: String,
}
