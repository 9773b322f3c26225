//! Why a call to a node brought no answer, by what the caller can do about it.

use super::fault::Fault;

/// Why a call failed. No variant carries the endpoint's URL, which may hold a provider's key.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The node was not reached: nothing happened there.
    #[error("{endpoint} cannot be reached: {words}")]
    Unreachable {
        /// Which node, without path and query.
        endpoint: String,
        /// What went wrong.
        words: String,
    },
    /// The request may have arrived, and no answer that could be read came back: the effect of a
    /// write is not known.
    #[error("{endpoint} gave no answer: {words}")]
    NoAnswer {
        /// Which node, without path and query.
        endpoint: String,
        /// What went wrong.
        words: String,
    },
    /// The node answered with something else than was asked for.
    #[error("{endpoint} answered `{method}` with something unexpected: {words}")]
    Unexpected {
        /// Which node, without path and query.
        endpoint: String,
        /// What was asked.
        method: String,
        /// What is wrong with the answer.
        words: String,
    },
    /// The node refused.
    #[error("{}", .0.words())]
    Fault(Fault),
    /// No endpoint may be asked now; each is listed with its reason.
    #[error("no endpoint can be asked: {0}")]
    NoneLeft(String),
}

impl RpcError {
    /// The node's refusal, where it is one.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            RpcError::Fault(fault) => Some(fault),
            _ => None,
        }
    }

    /// Whether another endpoint may know better.
    #[must_use]
    pub fn is_the_endpoints(&self) -> bool {
        !matches!(self, RpcError::Fault(_) | RpcError::NoneLeft(_))
    }

    /// Whether it is certain that a write had no effect.
    #[must_use]
    pub fn is_without_effect(&self) -> bool {
        match self {
            RpcError::Unreachable { .. } | RpcError::NoneLeft(_) | RpcError::Fault(_) => true,
            RpcError::NoAnswer { .. } | RpcError::Unexpected { .. } => false,
        }
    }
}
