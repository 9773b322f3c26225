//! Jobs that are paid for, on the wire: what is locked for them, how it was shared out, and what
//! providers earned.

use crate::job::{Amount, JobSettlement};
use crate::time::Time;
use ciro_core::id::{JobId, TenantId};
use ciro_core::job::JobState;
use ciro_core::money::Method;
use ciro_core::payout::PayoutAddress;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What is locked for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentEscrow {
    /// The job.
    #[schema(value_type = String)]
    pub job: JobId,
    /// Where the job is.
    #[schema(value_type = String, example = "running")]
    pub job_state: JobState,
    /// From where it is paid: `balance`, the tenant's in the coordinator's own books, or `escrow`, a
    /// deposit on Starknet.
    #[schema(value_type = String, example = "balance")]
    pub method: Method,
    /// The amounts.
    pub settlement: JobSettlement,
    /// The operator's share of what providers earn, in basis points.
    #[schema(maximum = 1_000)]
    pub fee_bps: u16,
    /// How many providers have earned something of it.
    pub providers: u32,
    /// When the job was accepted.
    pub created_at: Time,
    /// The job's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// The deposit that it is paid from, with `method` `escrow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposit: Option<PaymentDeposit>,
}

/// A deposit on Starknet that a job is paid from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentDeposit {
    /// The contract's id of it.
    #[schema(example = "0x05f1…")]
    pub escrow_id: String,
    /// Whose it is.
    #[schema(value_type = String)]
    pub client: PayoutAddress,
    /// The client's own number of it.
    pub salt: String,
    /// Since when a reorganisation has taken it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<Time>,
}

/// How the money of an ended job was shared out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentSettlement {
    /// The job.
    #[schema(value_type = String)]
    pub job: JobId,
    /// How it ended.
    #[schema(value_type = String, example = "completed")]
    pub job_state: JobState,
    /// From where it is paid: `balance` or `escrow`.
    #[schema(value_type = String, example = "balance")]
    pub method: Method,
    /// The amounts. With `settling` and `disputed` the chain has the last word.
    pub settlement: JobSettlement,
    /// What each provider earned of it. The arbiter of a dispute may have decided otherwise: `settlement`
    /// has what was paid.
    pub shares: Vec<SettlementShare>,
    /// When the job was accepted.
    pub created_at: Time,
    /// The job's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// When the job was moved to the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Time>,
    /// The deposit that it is paid from, with `method` `escrow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposit: Option<PaymentDeposit>,
}

/// One provider's share of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettlementShare {
    /// The provider, where it is the tenant whose list this is; nobody else's tenant is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// Where the provider is paid on Starknet, with `method` `escrow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<PayoutAddress>,
    /// What it earned, without the fee.
    pub amount: Amount,
    /// The operator's share of it.
    pub fee: Amount,
}

/// Whose earnings, of which time.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EarningsQuery {
    /// Another tenant than your own; the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// From the day (UTC) on which this is; 30 days before `until` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// To the day (UTC) on which this is, that day included; now unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The length of a period: `day` (default, at most 366 of them) or `month`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub by: Option<EarningsPeriod>,
}

/// The length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EarningsPeriod {
    /// A day (UTC).
    #[default]
    Day,
    /// A month of the calendar (UTC).
    Month,
}

/// What the workers of a tenant earned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Earnings {
    /// Whose.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// The first day's beginning.
    pub from: Time,
    /// The last day's end.
    pub until: Time,
    /// By period, the oldest first; those without a payment are left out.
    pub periods: Vec<Earned>,
    /// All of it.
    pub total: EarnedSums,
    /// Where the tenant's workers are paid on Starknet. What a worker got at an address that it named
    /// before is not counted.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<PayoutAddress>,
}

/// What was earned in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Earned {
    /// Its beginning.
    pub from: Time,
    /// What.
    #[serde(flatten)]
    pub sums: EarnedSums,
}

/// What was earned, without fees: of a job that was paid from a balance when the job ended, of one that was
/// paid from an escrow when the contract credited it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EarnedSums {
    /// Payments, one for each job.
    pub payments: u64,
    /// All of it together.
    pub amount: Amount,
    /// In the coordinator's own books.
    pub balance: Amount,
    /// On Starknet.
    pub escrow: Amount,
}
