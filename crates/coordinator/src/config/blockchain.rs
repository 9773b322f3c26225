//! The section `blockchain`: which chain, which nodes, who signs, and what that may cost.

use super::validate::ConfigErrors;
use super::{DAY_MS, Secret};
use ciro_chain::Felt;
use ciro_chain::network::ChainId;
use ciro_chain::rpc::{Pool, PoolOptions};
use ciro_core::amount::Fri;
use ciro_core::money::Finality;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use utoipa::ToSchema;

const STRK: u128 = 1_000_000_000_000_000_000;

/// Starknet. Without `rpc_url` the component is off; with an account, what waits for the chain is sent
/// from it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Blockchain {
    /// JSON-RPC endpoints of one chain (specification 0.10), the most trusted first, with commas between
    /// them. While none can be reached the component is degraded, what is meant for the chain waits, and
    /// all else goes on.
    #[schema(example = "http://127.0.0.1:5050/rpc")]
    pub rpc_url: Option<String>,
    /// `SN_MAIN`, `SN_SEPOLIA` or the id of your own network; needed with an account. An endpoint of another
    /// chain is not asked.
    #[schema(example = "SN_SEPOLIA")]
    pub chain_id: Option<String>,
    /// The escrow contract (`JobEscrow`); `ciro chain deploy` says where it is. Its events are read.
    #[schema(example = "0x1234")]
    pub contract_address: Option<String>,
    /// The number of the block in which that contract was put on the chain: its events are read from there on.
    /// Without it the block is searched for in the state at old blocks, which some nodes do not keep.
    pub from_block: Option<u64>,
    /// A plain private key: warned about on test networks, refused on `SN_MAIN`.
    #[schema(value_type = Option<String>, example = "0xdeadbeef")]
    pub private_key: Option<Secret>,
    /// The account file (as starkli writes it) of the account that sends. Nobody else may send from it.
    #[schema(value_type = Option<String>, example = "/etc/ciro/account.json")]
    pub account: Option<PathBuf>,
    /// The address of that account, where there is no account file.
    #[schema(example = "0x1234")]
    pub account_address: Option<String>,
    /// Its encrypted key; `ciro chain keystore new` makes one.
    #[schema(value_type = Option<String>, example = "/etc/ciro/keystore.json")]
    pub keystore: Option<PathBuf>,
    /// A file with the passphrase of `keystore` that only the coordinator's user may read.
    #[schema(value_type = Option<String>, example = "/etc/ciro/passphrase")]
    pub passphrase_file: Option<PathBuf>,
    /// From when on a transaction counts: `l2` (in a block, with `depth` blocks behind it) or `l1` (proved on
    /// Ethereum).
    pub finality: ChainFinality,
    /// Blocks behind a transaction's own before it counts, with `finality` `l2`.
    #[schema(maximum = 200)]
    pub depth: u64,
    /// A job that is paid from a deposit of so much or more begins only once that is proved on Ethereum, FRI,
    /// also with `finality` `l2`. Smaller ones, and all ones unless set, begin as `finality` and `depth` say.
    #[schema(value_type = Option<String>, example = "100000000000000000000")]
    pub deposit_l1_from: Option<Fri>,
    /// The most that one transaction may cost, FRI (10¹⁸ FRI are 1 STRK). What would cost more waits.
    #[schema(value_type = String)]
    pub max_fee: Fri,
    /// The most that 24 hours may cost, FRI. What would cost more waits.
    #[schema(value_type = String)]
    pub max_fee_per_day: Fri,
    /// The least that the account should have, FRI. Below, the component is degraded; what can be paid is still
    /// sent.
    #[schema(value_type = String)]
    pub min_balance: Fri,
    /// The most that could be lost with deposits, FRI: what jobs that are paid from one may still earn while the
    /// chain has no result of them. A deposit that would go beyond is not assigned. No bound unless set.
    #[schema(value_type = Option<String>, example = "100000000000000000000")]
    pub max_exposure: Option<Fri>,
    /// A transaction that has not landed for so long is signed again, with the same nonce and a higher price,
    /// ms.
    #[schema(minimum = 1_000)]
    pub bump_after_ms: u64,
    /// Time between two comparisons of the books with the contract, ms. After three of them without one the
    /// component is degraded.
    #[schema(minimum = 1_000, maximum = 3_600_000)]
    pub reconcile_every_ms: u64,
    /// After sending stopped because somebody else used the account: the nonce to go on from. Set it once you
    /// know who has the key; what was under way with lower nonces and is not on the chain is sent again.
    pub resume_from_nonce: Option<u64>,
}

/// From when on a transaction counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChainFinality {
    /// In a block of Starknet with others behind it.
    L2,
    /// Proved on Ethereum.
    #[default]
    L1,
}

impl Default for Blockchain {
    fn default() -> Blockchain {
        Blockchain {
            rpc_url: None,
            chain_id: None,
            contract_address: None,
            from_block: None,
            private_key: None,
            account: None,
            account_address: None,
            keystore: None,
            passphrase_file: None,
            finality: ChainFinality::L1,
            depth: 10,
            deposit_l1_from: None,
            max_fee: Fri(10 * STRK),
            max_fee_per_day: Fri(100 * STRK),
            min_balance: Fri(10 * STRK),
            max_exposure: None,
            bump_after_ms: DAY_MS / 1_440,
            reconcile_every_ms: DAY_MS / 288,
            resume_from_nonce: None,
        }
    }
}

impl Blockchain {
    /// The endpoints.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        let texts = self.rpc_url.iter().flat_map(|urls| urls.split(','));
        texts.map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect()
    }

    /// The chain that is meant.
    #[must_use]
    pub fn chain(&self) -> Option<ChainId> {
        self.chain_id.as_ref().and_then(|id| id.parse().ok())
    }

    /// The contract that is followed.
    #[must_use]
    pub fn contract(&self) -> Option<Felt> {
        self.contract_address.as_ref().and_then(|text| Felt::from_hex(text).ok())
    }

    /// Whether something is sent to the chain.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.account.is_some() || self.account_address.is_some()
    }

    /// From when on what happened on the chain counts.
    #[must_use]
    pub fn counts(&self) -> Finality {
        Finality {
            needs_proof: self.finality == ChainFinality::L1,
            depth: self.depth,
            proof_from: self.deposit_l1_from,
        }
    }

    /// Whether it matters what is proved on Ethereum.
    #[must_use]
    pub fn counts_proofs(&self) -> bool {
        self.finality == ChainFinality::L1 || self.deposit_l1_from.is_some()
    }

    pub(super) fn check(&self, errors: &mut ConfigErrors, warnings: &mut Vec<String>) {
        if self.rpc_url.is_some()
            && let Err(error) = Pool::new(&self.urls(), PoolOptions::default())
        {
            errors.add("blockchain.rpc_url", error);
        }
        if let Some(Err(error)) = self.chain_id.as_ref().map(|id| id.parse::<ChainId>()) {
            errors.add("blockchain.chain_id", error);
        }
        if self.contract_address.is_some() && self.contract().is_none() {
            errors.add("blockchain.contract_address", "is no address: a number in hex is expected");
        }
        match (self.deposit_l1_from, self.finality) {
            (Some(_), ChainFinality::L1) => errors.add(
                "blockchain.deposit_l1_from",
                "changes nothing with finality l1, where every deposit is proved first: take it out, or set finality to l2",
            ),
            (Some(Fri(0)), ChainFinality::L2) => errors.add(
                "blockchain.deposit_l1_from",
                "is at least 1: where every deposit is to be proved first, set finality to l1",
            ),
            _ => {}
        }
        if self.private_key.is_some() {
            match self.chain() {
                Some(chain) if chain.is_mainnet() => errors.add(
                    "blockchain.private_key",
                    "is a plain key for SN_MAIN, where it would guard real money: take it out of the file",
                ),
                _ => warnings.push(
                    "blockchain.private_key is a plain key in the configuration: anybody who reads it owns the account"
                        .to_owned(),
                ),
            }
        }
        if self.sends() {
            self.check_account(errors);
        }
    }

    fn check_account(&self, errors: &mut ConfigErrors) {
        let given = if self.account.is_some() { "blockchain.account" } else { "blockchain.account_address" };
        for (missing, key) in
            [(self.rpc_url.is_none(), "blockchain.rpc_url"), (self.chain_id.is_none(), "blockchain.chain_id")]
        {
            if missing {
                errors.add(key, format!("is needed with {given}"));
            }
        }
        if self.account.is_some() && self.account_address.is_some() {
            errors.add("blockchain.account_address", "is not needed with blockchain.account");
        }
        if self.account_address.as_ref().is_some_and(|text| Felt::from_hex(text).is_err()) {
            errors.add("blockchain.account_address", "is no address: a number in hex is expected");
        }
        match (&self.keystore, &self.private_key) {
            (Some(_), None) if self.passphrase_file.is_none() => {
                errors.add("blockchain.passphrase_file", "is needed with blockchain.keystore");
            }
            (None, None) => errors.add("blockchain.keystore", format!("is needed with {given}")),
            (Some(_), Some(_)) => {
                errors.add("blockchain.private_key", "is not needed with blockchain.keystore");
            }
            _ => {}
        }
    }
}
