//! Building and signing transactions. What comes out is bytes: they are what is written down, what
//! is sent, and what is sent again; the hash is known before anybody has seen them.

use super::bounds::Bounds;
use super::hash::{self, Head};
use crate::keys::{Account, KeyError};
use crate::network::ChainId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use starknet_rust_core::types::{
    BroadcastedDeclareTransactionV3, BroadcastedDeployAccountTransactionV3, BroadcastedInvokeTransaction,
    BroadcastedInvokeTransactionV3, DataAvailabilityMode, Felt, FlattenedSierraClass,
};
use std::sync::Arc;

/// One call of a function of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The contract.
    pub to: Felt,
    /// The selector of the function.
    pub selector: Felt,
    /// Its arguments, encoded.
    pub calldata: Vec<Felt>,
}

impl Call {
    /// How many felts it takes in a transaction: contract, selector, length, arguments.
    #[must_use]
    pub fn felts(&self) -> usize {
        3 + self.calldata.len()
    }
}

/// What a transaction is to do.
#[derive(Debug, Clone)]
pub enum Unsigned {
    /// Call functions, in this order, all or none.
    Invoke(Vec<Call>),
    /// Make a class known.
    Declare {
        /// The class.
        class: Arc<FlattenedSierraClass>,
        /// The hash of what it compiles to.
        compiled: Felt,
    },
    /// Put the account itself on the chain.
    DeployAccount {
        /// Its class.
        class: Felt,
        /// What sets its address apart.
        salt: Felt,
        /// The arguments of its constructor.
        constructor: Vec<Felt>,
    },
}

/// What sort of transaction it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Calls.
    Invoke,
    /// A class.
    Declare,
    /// An account.
    DeployAccount,
}

/// A signed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// What sort it is.
    pub kind: Kind,
    /// What the chain will know it by.
    pub hash: Felt,
    /// Whose nonce it uses.
    pub sender: Felt,
    /// Which one.
    pub nonce: u64,
    /// The most that it can cost.
    pub bounds: Bounds,
    /// The parameters of the request that sends it: JSON, to be sent as it is.
    pub params: String,
}

impl Signed {
    /// The method that takes it.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self.kind {
            Kind::Invoke => "starknet_addInvokeTransaction",
            Kind::Declare => "starknet_addDeclareTransaction",
            Kind::DeployAccount => "starknet_addDeployAccountTransaction",
        }
    }
}

/// What everything that is signed needs beside what it is to do.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// For which chain; a signature for one is nothing on another.
    pub chain: ChainId,
    /// Who pays and signs.
    pub account: &'a Account,
    /// The nonce.
    pub nonce: u64,
    /// The bounds.
    pub bounds: Bounds,
}

impl Unsigned {
    /// Signs it.
    ///
    /// # Errors
    /// When the key cannot.
    pub fn sign(&self, terms: Terms<'_>) -> Result<Signed, KeyError> {
        let (hash, body) = self.body(terms, false)?;
        let (kind, name) = match self {
            Unsigned::Invoke(_) => (Kind::Invoke, "invoke_transaction"),
            Unsigned::Declare { .. } => (Kind::Declare, "declare_transaction"),
            Unsigned::DeployAccount { .. } => (Kind::DeployAccount, "deploy_account_transaction"),
        };
        let params = json!({ name: body }).to_string();
        let Terms { account, nonce, bounds, .. } = terms;
        Ok(Signed { kind, hash, sender: account.address, nonce, bounds, params })
    }

    /// As it is asked about: nobody can send this.
    pub(super) fn query(&self, terms: Terms<'_>) -> Result<Value, KeyError> {
        self.body(terms, true).map(|(_, body)| body)
    }

    fn body(&self, terms: Terms<'_>, query: bool) -> Result<(Felt, Value), KeyError> {
        let Terms { chain, account, nonce, bounds } = terms;
        let head =
            |prefix| Head { prefix, sender: account.address, chain: chain.0, nonce, bounds: &bounds, query };
        let resource_bounds = bounds.mapping();
        let tip = bounds.tip;
        let (nonce_mode, fee_mode) = (DataAvailabilityMode::L1, DataAvailabilityMode::L1);
        let nonce = Felt::from(nonce);
        match self {
            Unsigned::Invoke(calls) => {
                let calldata = encoded(calls);
                let hash = hash::of(head("invoke"), &hash::invoke(&calldata));
                let broadcasted_invoke_txn_v3 = BroadcastedInvokeTransactionV3 {
                    sender_address: account.address,
                    calldata,
                    signature: signature(account, hash)?,
                    nonce,
                    resource_bounds,
                    tip,
                    paymaster_data: Vec::new(),
                    account_deployment_data: Vec::new(),
                    nonce_data_availability_mode: nonce_mode,
                    fee_data_availability_mode: fee_mode,
                    proof_facts: None,
                    is_query: query,
                };
                let body = BroadcastedInvokeTransaction { broadcasted_invoke_txn_v3, proof: None };
                value(&body).map(|body| (hash, body))
            }
            Unsigned::Declare { class, compiled } => {
                let hash = hash::of(head("declare"), &hash::declare(class.class_hash(), *compiled));
                let body = BroadcastedDeclareTransactionV3 {
                    sender_address: account.address,
                    compiled_class_hash: *compiled,
                    signature: signature(account, hash)?,
                    nonce,
                    contract_class: Arc::clone(class),
                    resource_bounds,
                    tip,
                    paymaster_data: Vec::new(),
                    account_deployment_data: Vec::new(),
                    nonce_data_availability_mode: nonce_mode,
                    fee_data_availability_mode: fee_mode,
                    is_query: query,
                };
                value(&body).map(|body| (hash, body))
            }
            Unsigned::DeployAccount { class, salt, constructor } => {
                let own = hash::deploy_account(constructor, *class, *salt);
                let hash = hash::of(head("deploy_account"), &own);
                let body = BroadcastedDeployAccountTransactionV3 {
                    signature: signature(account, hash)?,
                    nonce,
                    contract_address_salt: *salt,
                    constructor_calldata: constructor.clone(),
                    class_hash: *class,
                    resource_bounds,
                    tip,
                    paymaster_data: Vec::new(),
                    nonce_data_availability_mode: nonce_mode,
                    fee_data_availability_mode: fee_mode,
                    is_query: query,
                };
                value(&body).map(|body| (hash, body))
            }
        }
    }
}

/// Calls as an account takes them: how many, and each with contract, selector, length, arguments.
fn encoded(calls: &[Call]) -> Vec<Felt> {
    let mut calldata = vec![Felt::from(calls.len())];
    for call in calls {
        calldata.extend([call.to, call.selector, Felt::from(call.calldata.len())]);
        calldata.extend_from_slice(&call.calldata);
    }
    calldata
}

fn signature(account: &Account, hash: Felt) -> Result<Vec<Felt>, KeyError> {
    account.key.sign(hash).map(|signature| vec![signature.r, signature.s])
}

fn value(body: &impl Serialize) -> Result<Value, KeyError> {
    serde_json::to_value(body).map_err(|error| KeyError::Sign(error.to_string()))
}
