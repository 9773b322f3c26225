//! Looking whether everything is in place before money is moved: the contracts where they should be,
//! with the class that is expected, and an account that can pay. The chain itself is judged by the
//! pool, which asks nobody on another one.

use crate::network::STRK;
use crate::rpc::read::{self, At};
use crate::rpc::{Pool, RpcError};
use ciro_core::amount::Fri;
use starknet_rust_core::types::Felt;
use std::fmt;

/// A contract, and what is expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Where it is.
    pub address: Felt,
    /// Its class; any, where none is named.
    pub class: Option<Felt>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// There is no contract.
    NoContract {
        /// Where it was expected.
        address: Felt,
    },
    /// The contract is another one.
    WrongClass {
        /// Where it is.
        address: Felt,
        /// What it is.
        found: Felt,
        /// What it should be.
        expected: Felt,
    },
    /// The account is not on the chain.
    NoAccount {
        /// Its address.
        address: Felt,
    },
    /// The account has too little to pay fees with.
    LowBalance {
        /// Its address.
        address: Felt,
        /// What it has.
        balance: Fri,
        /// What it should have at least.
        floor: Fri,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::NoContract { address } => write!(f, "there is no contract at {address:#066x}"),
            Finding::WrongClass { address, found, expected } => {
                write!(
                    f,
                    "the contract {address:#066x} has the class {found:#066x}, and {expected:#066x} is expected"
                )
            }
            Finding::NoAccount { address } => write!(f, "the account {address:#066x} is not on the chain"),
            Finding::LowBalance { address, balance, floor } => write!(
                f,
                "the account {address:#066x} has {} STRK, and {} are the least that it should have",
                balance.strk(),
                floor.strk()
            ),
        }
    }
}

/// Looks at a contract; its class, and what is wrong with it.
///
/// # Errors
/// When no endpoint tells.
pub async fn contract(pool: &Pool, expected: Expected) -> Result<(Option<Felt>, Option<Finding>), RpcError> {
    let Expected { address, class } = expected;
    let found = read::class_at(pool, address).await?;
    let finding = match (found, class) {
        (None, _) => Some(Finding::NoContract { address }),
        (Some(found), Some(expected)) if found != expected => {
            Some(Finding::WrongClass { address, found, expected })
        }
        _ => None,
    };
    Ok((found, finding))
}

/// Looks at an account; what it has, and what is wrong with it.
///
/// # Errors
/// When no endpoint tells.
pub async fn account(pool: &Pool, address: Felt, floor: Fri) -> Result<(Fri, Vec<Finding>), RpcError> {
    let mut findings = Vec::new();
    if read::class_at(pool, address).await?.is_none() {
        findings.push(Finding::NoAccount { address });
    }
    let balance = Fri(read::balance(pool, STRK, address, At::PreConfirmed).await?);
    if balance < floor {
        findings.push(Finding::LowBalance { address, balance, floor });
    }
    Ok((balance, findings))
}
