//! Starknet on the wire, as the coordinator sees it: nodes, account, contract, the transactions that it
//! sent, and what happened to the contract. Addresses and hashes are `0x` and 64 hex digits.

use crate::job::Amount;
use crate::time::Time;
use ciro_core::id::JobId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How the chain is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainStatus {
    /// Whether the coordinator has to do with a chain at all; without it nothing else is here.
    pub enabled: bool,
    /// Which chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "SN_SEPOLIA")]
    pub network: Option<String>,
    /// The nodes that are asked, the most trusted first.
    pub endpoints: Vec<ChainEndpoint>,
    /// The newest block, when somebody last looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<ChainHead>,
    /// The account that sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<ChainAccount>,
    /// What is sent from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<ChainLane>,
    /// How far the contract's events are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follower: Option<ChainFollower>,
    /// What could be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<ChainExposure>,
    /// What is not as it should be, for people.
    pub findings: Vec<String>,
    /// When account and contract were last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<Time>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainEndpoint {
    /// Scheme, host and port.
    pub endpoint: String,
    /// `good`, `demoted` or `unknown`.
    #[schema(example = "good")]
    pub standing: String,
    /// Why it is not good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `closed`, `open` or `half_open`.
    #[schema(example = "closed")]
    pub breaker: String,
    /// The chain that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// The version of the JSON-RPC specification that it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    /// Its newest block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<u64>,
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainHead {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: String,
    /// When it was made, by the chain.
    pub at: Time,
}

/// An account on the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainAccount {
    /// Its address.
    pub address: String,
    /// What it has to pay fees with; absent until somebody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Amount>,
    /// The least that it should have (`blockchain.min_balance`).
    pub min_balance: Amount,
    /// Its next nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
    /// Whether it may assign jobs and report results; absent where no contract is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<bool>,
    /// Where people look at it, on public networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explorer: Option<String>,
}

/// What is sent from the account, one transaction behind the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainLane {
    /// What waits and no transaction carries.
    pub waiting: u64,
    /// What transactions carry that are not final.
    pub under_way: u64,
    /// What the chain would not have, however often it was tried.
    pub failed: u64,
    /// Since when something waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_waiting_at: Option<Time>,
    /// What the last 24 hours cost, with what is under way at its bounds.
    pub spent: Amount,
    /// The most that 24 hours may cost.
    pub max_fee_per_day: Amount,
    /// From when on a transaction counts: `l2` or `l1`.
    #[schema(example = "l1")]
    pub finality: String,
    /// Blocks behind a transaction's own before it counts, with `l2`.
    pub depth: u64,
    /// What failed, and what waits because the chain would not have it, the newest first; at most 20.
    pub troubles: Vec<ChainIntent>,
}

/// Something that is to happen on the chain, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainIntent {
    /// Two with the same name are one.
    #[schema(example = "assign:0x05f1…")]
    pub name: String,
    /// What sort of thing it is.
    #[schema(example = "assign")]
    pub kind: String,
    /// The job that it is about, where it is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub job: Option<JobId>,
    /// `waiting`, `under_way`, `done` or `failed`.
    #[schema(example = "done")]
    pub state: String,
    /// How often the chain would not have it.
    pub attempts: u32,
    /// Why, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far the contract's events are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainFollower {
    /// The contract.
    pub contract: String,
    /// The first block that is read.
    pub from_block: u64,
    /// The newest block that was read; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<ChainHead>,
    /// Blocks that the chain has and that were not read.
    pub behind: u64,
}

/// What could be lost if deposits were lost now: until the chain has a result, what providers earned is the
/// operator's word alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainExposure {
    /// Jobs whose result the chain has not accepted.
    pub jobs: u64,
    /// What they may still earn, or have earned.
    pub amount: Amount,
    /// What jobs may earn that have not begun, and whose deposits are assigned or about to be.
    pub promised: Amount,
    /// The most that both may be together (`blockchain.max_exposure`); absent where there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Amount>,
}

/// The contracts that the coordinator works with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainContracts {
    /// Each of them.
    pub items: Vec<ChainContract>,
}

/// A contract, as it was when somebody last looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainContract {
    /// Which one.
    #[schema(example = "JobEscrow")]
    pub name: String,
    /// Where it is.
    pub address: String,
    /// Its class; absent where there is nothing, or nobody looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_hash: Option<String>,
    /// The class that this version of the coordinator knows.
    pub expected_class_hash: String,
    /// What it is set to; absent where it is another contract, or nobody looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<EscrowSettings>,
    /// Where people look at it, on public networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explorer: Option<String>,
}

/// What the escrow contract is set to, and what it owes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EscrowSettings {
    /// The version of its code.
    pub version: u32,
    /// What is paid with.
    pub token: String,
    /// Who may change roles and settings.
    pub owner: String,
    /// Who decides disputes.
    pub arbiter: String,
    /// Who is credited with fees.
    pub treasury: String,
    /// Whether new jobs and assignments are stopped.
    pub paused: bool,
    /// The fee, in basis points of what providers are paid.
    pub fee_bps: u16,
    /// What a client puts up in a dispute, in basis points of the job's amount.
    pub bond_bps: u16,
    /// In which a client may dispute a result, s.
    pub window_s: u32,
    /// After its deadline in which a job still takes a result, s.
    pub grace_s: u32,
    /// In which the arbiter may decide, s.
    pub arbitration_s: u32,
    /// What it owes for jobs that have not ended.
    pub locked: Amount,
    /// What can be withdrawn from it.
    pub credited: Amount,
    /// What is put up in disputes.
    pub bonded: Amount,
}

/// What the last comparison of the coordinator's books with the contract came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainReconciliation {
    /// When it was; absent before the first, and where no contract is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// The block of the sums; escrows are looked at in pages, each at the newest block then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// Escrows that were compared one by one; others follow the next time.
    pub escrows: u64,
    /// Escrows that are not over, by what was read.
    #[serde(default)]
    pub open: u64,
    /// Those of them that no job here is paid from: somebody else's business, and no difference.
    #[serde(default)]
    pub foreign_escrows: u64,
    /// What is locked for those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Amount>,
    /// Settled jobs that were compared with what the chain credited.
    #[serde(default)]
    pub jobs: u64,
    /// What the contract owes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<Amount>,
    /// What it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Amount>,
    /// In how many respects they differ: each counts until it was looked at again and agrees.
    #[serde(default)]
    pub differences: u64,
    /// The first 100 of them, for people.
    pub findings: Vec<String>,
    /// Since when nothing was compared and why, where that is longer than three times the usual time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<String>,
}

/// A transaction that the coordinator sent, or will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainTransaction {
    /// Its hash.
    pub hash: String,
    /// `signed`, `broadcast`, `pre_confirmed`, `l2`, `l1_final`, `reverted`, `replaced` or `dropped`.
    #[schema(example = "l2")]
    pub state: String,
    /// The account that sends it.
    pub account: String,
    /// Its nonce; of those with the same at most one lands.
    pub nonce: u64,
    /// How many things it makes happen, by kind.
    #[schema(example = json!({ "assign": 50 }))]
    pub carries: BTreeMap<String, u64>,
    /// Each of them, in the order of its calls; only where one transaction is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<ChainIntent>,
    /// The most that it can cost.
    pub max_fee: Amount,
    /// What it cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee: Option<Amount>,
    /// The number of its block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// The hash of its block, once it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_hash: Option<String>,
    /// Why it reverted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverted: Option<String>,
    /// How often it was sent.
    pub sends: u32,
    /// When it was sent last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Time>,
    /// When it was signed.
    pub created_at: Time,
    /// Where people look at it, on public networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explorer: Option<String>,
}

/// Something that happened to the contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChainEvent {
    /// The number of its block.
    pub block: u64,
    /// The hash of its block.
    pub block_hash: String,
    /// Its place among the contract's events of its block.
    pub place: u64,
    /// When its block was made, by the chain.
    pub at: Time,
    /// Its transaction.
    pub transaction: String,
    /// Its name in the contract.
    #[schema(example = "PaymentReleased")]
    pub name: String,
    /// The escrow that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escrow: Option<String>,
    /// Whom it credits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// With how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Its members by name; numbers of the field in hex, amounts in decimal.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
    /// Where people look at its transaction, on public networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explorer: Option<String>,
}

/// A call of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEstimate {
    /// The contract.
    #[schema(pattern = "^0x[0-9a-fA-F]{1,64}$", max_length = 66)]
    pub contract: String,
    /// The function.
    #[schema(pattern = "^[A-Za-z_][A-Za-z0-9_]*$", min_length = 1, max_length = 100)]
    pub function: String,
    /// Its arguments: numbers in hex, as the contract reads them.
    #[serde(default)]
    #[schema(max_items = 1_000)]
    pub calldata: Vec<String>,
}

/// What a call would use and cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainEstimate {
    /// Computing.
    pub l2_gas: u64,
    /// Storage that is published on Ethereum.
    pub l1_data_gas: u64,
    /// Messages to Ethereum.
    pub l1_gas: u64,
    /// At the prices of now.
    pub fee: Amount,
    /// What it would be sent with at most: half more gas at half more price.
    pub most: Amount,
}
