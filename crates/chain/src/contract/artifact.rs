//! The classes of the contracts as they are checked in, and where deploying them puts them.

use super::table::DecodeError;
use crate::network::DEPLOYER;
use crate::rpc::read::selector;
use crate::tx::{Call, Unsigned};
use serde::Deserialize;
use starknet_rust_core::codec::Encode;
use starknet_rust_core::types::Felt;
use starknet_rust_core::types::contract::SierraClass;
use starknet_rust_core::utils::{UdcUniqueness, get_udc_deployed_address};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A contract of this project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contract {
    /// Holds what clients pay.
    JobEscrow,
    /// Holds providers' stakes.
    WorkerRegistry,
    /// An ERC-20 that is worth nothing.
    TestToken,
}

/// The hashes that a declaration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Hashes {
    /// Of the class, under which it is declared.
    pub class_hash: Felt,
    /// Of what the class compiles to.
    pub compiled_class_hash: Felt,
}

const CLASSES: &str = include_str!("../../../../contracts/artifacts/classes.json");

impl Contract {
    /// All of them.
    pub const ALL: [Contract; 3] = [Contract::JobEscrow, Contract::WorkerRegistry, Contract::TestToken];

    /// Its name in its artifacts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Contract::JobEscrow => "JobEscrow",
            Contract::WorkerRegistry => "WorkerRegistry",
            Contract::TestToken => "TestToken",
        }
    }

    fn sierra(self) -> &'static str {
        match self {
            Contract::JobEscrow => include_str!("../../../../contracts/artifacts/JobEscrow.sierra.json"),
            Contract::WorkerRegistry => {
                include_str!("../../../../contracts/artifacts/WorkerRegistry.sierra.json")
            }
            Contract::TestToken => include_str!("../../../../contracts/artifacts/TestToken.sierra.json"),
        }
    }

    /// The hashes of its class.
    ///
    /// # Errors
    /// When what was built in is damaged.
    pub fn hashes(self) -> Result<Hashes, DecodeError> {
        let all: BTreeMap<String, Hashes> =
            serde_json::from_str(CLASSES).map_err(|error| damaged("classes.json", &error))?;
        all.get(self.name()).copied().ok_or_else(|| damaged("classes.json", &"a contract is missing"))
    }

    /// The transaction that declares its class.
    ///
    /// # Errors
    /// When what was built in is damaged.
    pub fn declaration(self) -> Result<Unsigned, DecodeError> {
        let class: SierraClass =
            serde_json::from_str(self.sierra()).map_err(|error| damaged(self.name(), &error))?;
        let class = class.flatten().map_err(|error| damaged(self.name(), &error))?;
        Ok(Unsigned::Declare { class: Arc::new(class), compiled: self.hashes()?.compiled_class_hash })
    }
}

fn damaged(what: &str, words: &dyn std::fmt::Display) -> DecodeError {
    DecodeError::new(what, words.to_string())
}

/// A contract that is to be deployed: where it will be follows from what it is made with, whoever
/// deploys it, so that a second deployment finds the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its class.
    pub class_hash: Felt,
    /// What sets it apart from others that are made with the same.
    pub salt: Felt,
    /// What its constructor takes.
    pub constructor: Vec<Felt>,
}

impl Deployment {
    /// One of ours.
    ///
    /// # Errors
    /// When an argument cannot be encoded, or what was built in is damaged.
    pub fn of(contract: Contract, salt: Felt, constructor: &impl Encode) -> Result<Deployment, DecodeError> {
        let mut felts = Vec::new();
        constructor.encode(&mut felts).map_err(|error| damaged("the constructor", &error))?;
        Ok(Deployment { class_hash: contract.hashes()?.class_hash, salt, constructor: felts })
    }

    /// Where it will be.
    #[must_use]
    pub fn address(&self) -> Felt {
        get_udc_deployed_address(self.salt, self.class_hash, &UdcUniqueness::NotUnique, &self.constructor)
    }

    /// The call of the universal deployer that puts it there.
    #[must_use]
    pub fn call(&self) -> Call {
        let unique = Felt::ZERO;
        let mut calldata = vec![self.class_hash, self.salt, unique, Felt::from(self.constructor.len())];
        calldata.extend_from_slice(&self.constructor);
        Call { to: DEPLOYER, selector: selector("deployContract"), calldata }
    }
}
