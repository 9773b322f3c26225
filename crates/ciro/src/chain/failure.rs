//! What the errors of `ciro-chain` mean to who typed the command: an exit code, and what to do next.

use crate::error::{Exit, Failure, with_causes};
use ciro_chain::contract::DecodeError;
use ciro_chain::keys::KeyError;
use ciro_chain::rpc::{FaultKind, RpcError, UrlError};
use ciro_chain::tx::fee::FeeRefusal;
use ciro_chain::tx::send::EstimateError;

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Failure {
        let exit = match error.fault().map(|fault| fault.kind()) {
            None => Exit::Unavailable,
            Some(
                FaultKind::ContractNotFound
                | FaultKind::ClassNotFound
                | FaultKind::TransactionNotFound
                | FaultKind::BlockNotFound
                | FaultKind::EntryPointNotFound,
            ) => Exit::NotFound,
            Some(_) => Exit::Invalid,
        };
        let failure = Failure::new(exit, error.to_string());
        match error {
            RpcError::NoneLeft(_) => failure.hint("`ciro chain status` looks at each of the nodes"),
            _ => failure,
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Failure {
        Failure::new(Exit::Invalid, error.to_string()).hint(
            "is it the contract of this version? `ciro chain status --contract ADDRESS` shows its class",
        )
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Failure {
        let exit = match error {
            KeyError::WrongPassphrase | KeyError::PlainOnMainnet(_) | KeyError::OpenToOthers { .. } => {
                Exit::Auth
            }
            KeyError::NoSuchAccount { .. } => Exit::NotFound,
            KeyError::ShortPassphrase | KeyError::NotAKey | KeyError::Malformed { .. } => Exit::Invalid,
            KeyError::Io { .. } | KeyError::Sign(_) => Exit::Failure,
        };
        Failure::new(exit, with_causes(&error))
    }
}

impl From<EstimateError> for Failure {
    fn from(error: EstimateError) -> Failure {
        match error {
            EstimateError::Rpc(error) => error.into(),
            EstimateError::Key(error) => error.into(),
            EstimateError::Reverts(_) => Failure::new(Exit::Invalid, error.to_string()),
        }
    }
}

impl From<FeeRefusal> for Failure {
    fn from(refusal: FeeRefusal) -> Failure {
        Failure::new(Exit::Conflict, refusal.to_string())
            .hint("--max-fee says how much one command may cost at most, in FRI")
    }
}

impl From<UrlError> for Failure {
    fn from(error: UrlError) -> Failure {
        Failure::usage(error.to_string())
            .hint("name a node with --rpc or STARKNET_RPC; a devnet is at http://127.0.0.1:5050")
    }
}
