//! Looking whether everything is in place before money is moved: the contracts where they should be,
//! with the class that is expected and in the state that work needs, and an account that can pay. The chain itself is judged by the
//! pool, which asks nobody on another one.

use crate::contract::access::{Arbiter, IsOperator, IsPaused, Owner};
use crate::contract::escrow::{Config, GetConfig, GetTotals, Token, Totals, Treasury, Version};
use crate::contract::{ViewError, view};
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
    /// An account may not assign jobs and report results.
    NoOperator {
        /// Of which contract.
        contract: Felt,
        /// The account.
        account: Felt,
    },
    /// The contract takes no new jobs and assignments.
    Paused {
        /// Which one.
        contract: Felt,
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
            Finding::NoOperator { contract, account } => write!(
                f,
                "the account {account:#066x} is no operator of the contract {contract:#066x}: its owner can make it one (set_operator)"
            ),
            Finding::Paused { contract } => {
                write!(f, "the contract {contract:#066x} is paused: it takes no new jobs and assignments")
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

/// JobEscrow as it is set, and what it owes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escrow {
    /// The version of its code.
    pub version: u32,
    /// What is paid with.
    pub token: Felt,
    /// Who may change roles and settings.
    pub owner: Felt,
    /// Who decides disputes.
    pub arbiter: Felt,
    /// Who is credited with fees.
    pub treasury: Felt,
    /// Whether new work is stopped.
    pub paused: bool,
    /// Whether the account that was asked about may assign jobs and report results.
    pub operator: Option<bool>,
    /// Its settings.
    pub config: Config,
    /// What it owes.
    pub totals: Totals,
}

/// Looks at a contract that has the class of JobEscrow: how it is set, and what of that keeps `operator`, an
/// account, from its work.
///
/// # Errors
/// When no endpoint tells, or the contract answers with something else.
pub async fn escrow(
    pool: &Pool,
    address: Felt,
    operator: Option<Felt>,
) -> Result<(Escrow, Vec<Finding>), ViewError> {
    let at = At::Latest;
    let mut findings = Vec::new();
    let may = match operator {
        Some(account) => Some(view(pool, address, &IsOperator { account }, at).await?),
        None => None,
    };
    if let (Some(false), Some(account)) = (may, operator) {
        findings.push(Finding::NoOperator { contract: address, account });
    }
    let paused = view(pool, address, &IsPaused {}, at).await?;
    if paused {
        findings.push(Finding::Paused { contract: address });
    }
    let escrow = Escrow {
        version: view(pool, address, &Version {}, at).await?,
        token: view(pool, address, &Token {}, at).await?,
        owner: view(pool, address, &Owner {}, at).await?,
        arbiter: view(pool, address, &Arbiter {}, at).await?,
        treasury: view(pool, address, &Treasury {}, at).await?,
        paused,
        operator: may,
        config: view(pool, address, &GetConfig {}, at).await?,
        totals: view(pool, address, &GetTotals {}, at).await?,
    };
    Ok((escrow, findings))
}
