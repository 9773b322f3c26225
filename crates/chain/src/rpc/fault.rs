//! What a node answers when it refuses: the codes of Starknet's JSON-RPC specification 0.10, and the
//! reason that a contract gave, dug out of the nested text around it.

use serde::Deserialize;
use serde_json::Value;

/// The longest part of a node's words that is kept.
const LONGEST_WORDS: usize = 600;

/// An error that a node answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// The code of the specification, or one of JSON-RPC's own below zero.
    pub code: i64,
    /// The node's words.
    pub message: String,
    /// More of them, in a shape that depends on the code.
    #[serde(default)]
    pub data: Option<Value>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What kind of error it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FaultKind {
            $($(#[$doc])* $name,)*
            /// A code that the specification does not have.
            Other,
        }

        impl FaultKind {
            fn of(code: i64) -> FaultKind {
                match code {
                    $($code => FaultKind::$name,)*
                    _ => FaultKind::Other,
                }
            }
        }
    };
}

kinds! {
    /// The node could not pass the transaction on.
    FailedToReceive = 1,
    /// There is no contract at the address.
    ContractNotFound = 20,
    /// The contract has no such function.
    EntryPointNotFound = 21,
    /// There is no such block, or no longer.
    BlockNotFound = 24,
    /// There is no such class.
    ClassNotFound = 28,
    /// There is no such transaction, or no longer.
    TransactionNotFound = 29,
    /// More events asked for at once than the node gives.
    PageTooBig = 31,
    /// The chain has no block yet.
    NoBlocks = 32,
    /// The page's token is not one of this node's.
    InvalidToken = 33,
    /// A call failed in the contract.
    ContractError = 40,
    /// A transaction would fail.
    ExecutionError = 41,
    /// The class is there already.
    ClassAlreadyDeclared = 51,
    /// Not the account's next nonce.
    InvalidNonce = 52,
    /// The bounds do not cover even validation.
    InsufficientResources = 53,
    /// The account cannot pay the bounds.
    InsufficientBalance = 54,
    /// The account refused the transaction.
    ValidationFailure = 55,
    /// The class does not compile.
    CompilationFailed = 56,
    /// The class is too large.
    ClassTooLarge = 57,
    /// The sender is no account.
    NotAnAccount = 58,
    /// The node has this very transaction already.
    Duplicate = 59,
    /// The class compiles to something else than the transaction says.
    CompiledHashMismatch = 60,
    /// The node knows no such version of transactions.
    UnsupportedVersion = 61,
    /// The node knows no such version of classes.
    UnsupportedClassVersion = 62,
    /// Whatever else.
    Unexpected = 63,
    /// Another transaction of this nonce waits and pays about as much.
    ReplacementUnderpriced = 64,
    /// It pays less than the network asks now.
    FeeBelowMinimum = 65,
}

impl Fault {
    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        FaultKind::of(self.code)
    }

    /// Everything that the node said, as one text.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = self.message.clone();
        if let Some(data) = &self.data {
            words.push_str(": ");
            match innermost(data) {
                Some(inner) => words.push_str(inner),
                None => words.push_str(&data.to_string()),
            }
        }
        shortened(&words)
    }

    /// Why a contract refused, as short as it said it: `JOB_EXISTS`.
    #[must_use]
    pub fn reason(&self) -> String {
        let said = self.data.as_ref().and_then(innermost).unwrap_or(&self.message);
        reason(said)
    }
}

/// The innermost text of a nested `ContractExecutionError`, or of a text beside other members.
fn innermost(data: &Value) -> Option<&str> {
    match data {
        Value::String(text) => Some(text),
        Value::Object(members) => {
            let inside = members.get("execution_error").or_else(|| members.get("revert_error"));
            inside.or_else(|| members.get("error")).and_then(innermost)
        }
        _ => None,
    }
}

/// The reason inside the text of a failed execution. Cairo contracts panic with short texts, which
/// nodes print as `0x4a4f425f455849535453 ('JOB_EXISTS')`; the first of them that is not a wrapper of
/// the system is the contract's own. A text without one is returned as it is, shortened.
#[must_use]
pub(crate) fn reason(text: &str) -> String {
    const WRAPPERS: [&str; 3] = ["ENTRYPOINT_FAILED", "argent/multicall-failed", "multicall-failed"];
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once("('") {
        let Some((inside, after)) = behind.split_once("')") else { break };
        if !WRAPPERS.contains(&inside) && !inside.is_empty() {
            return inside.to_owned();
        }
        rest = after;
    }
    shortened(text.trim())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_WORDS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(code: i64, data: Value) -> Fault {
        Fault { code, message: "Transaction execution error".into(), data: Some(data) }
    }

    #[test]
    fn the_contracts_own_reason_is_found_in_what_lies_around_it() {
        let text = "Error at pc=0:4573:\nExecution failed. Failure reason:\n(0x4a4f425f455849535453 ('JOB_EXISTS'), 0x454e545259504f494e545f4641494c4544 ('ENTRYPOINT_FAILED')).\n";
        let nested = json!({ "transaction_index": 0, "execution_error": {
            "class_hash": "0x1", "contract_address": "0x2", "selector": "0x3",
            "error": { "class_hash": "0x1", "contract_address": "0x4", "selector": "0x5", "error": text },
        }});
        assert_eq!(fault(41, nested).reason(), "JOB_EXISTS");
        assert_eq!(fault(40, json!({ "revert_error": text })).reason(), "JOB_EXISTS");
        assert_eq!(reason("0x1 ('ENTRYPOINT_FAILED')"), "0x1 ('ENTRYPOINT_FAILED')");
        assert_eq!(reason("Out of gas\n"), "Out of gas");
    }

    #[test]
    fn codes_have_kinds_and_long_words_an_end() {
        assert_eq!(fault(59, Value::Null).kind(), FaultKind::Duplicate);
        assert_eq!(fault(-32_601, Value::Null).kind(), FaultKind::Other);
        let long = fault(63, Value::String("ü".repeat(5_000)));
        assert_eq!(long.words().chars().count(), LONGEST_WORDS + 1);
    }
}
