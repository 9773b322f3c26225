//! Keys of Starknet accounts: where they lie, how they are unlocked, and signing with them.
//!
//! A secret enters here once, from an encrypted keystore or (on test networks) in plain text, and is
//! kept as a [`SigningKey`], which signs and never tells. What an account is (its address, its class,
//! whether it is deployed) stands in a file of its own, in the formats of the usual tools.

mod account;
mod file;
mod guard;
mod keystore;
mod signing;

pub use account::{Account, AccountFile, Deployment, sncast_account};
pub use file::read_private;
pub use guard::keep_memory_private;
pub use keystore::{Keystore, SHORTEST_PASSPHRASE};
pub use signing::{Signature, SigningKey};

use crate::network::ChainId;
use std::io;
use std::path::PathBuf;

/// Why there is no key, or no account.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The disk did not do what was asked.
    #[error("cannot read {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("{} may be read by others (mode {mode:o}); take that away with `chmod 600`", .path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file is not what it should be.
    #[error("{what} is not as expected: {words}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What is wrong.
        words: String,
    },
    /// The passphrase opens nothing.
    #[error("the passphrase is not the one of this keystore")]
    WrongPassphrase,
    /// The passphrase protects nothing.
    #[error(
        "a passphrase has at least {SHORTEST_PASSPHRASE} characters: whoever gets hold of the file may try for years"
    )]
    ShortPassphrase,
    /// The number is no private key.
    #[error(
        "that is no private key of Starknet: a number in hex above zero and below the order of its curve"
    )]
    NotAKey,
    /// Plain keys are for test networks.
    #[error(
        "a plain private key is refused on {0}, where it is worth money; `ciro chain keystore import` encrypts it"
    )]
    PlainOnMainnet(ChainId),
    /// There is no such account in the file.
    #[error("there is no account `{name}` for {chain} in the file; it has {known}")]
    NoSuchAccount {
        /// What was asked for.
        name: String,
        /// On which chain.
        chain: ChainId,
        /// What is there.
        known: String,
    },
    /// The signature could not be made.
    #[error("cannot sign: {0}")]
    Sign(String),
}

/// Whether a key in plain text may be used on this chain: with a warning on test networks,
/// never where tokens are worth money.
///
/// # Errors
/// That it is the main network.
pub fn permit_plain(chain: ChainId) -> Result<(), KeyError> {
    if chain.is_mainnet() { Err(KeyError::PlainOnMainnet(chain)) } else { Ok(()) }
}
