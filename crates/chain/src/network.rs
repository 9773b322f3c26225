//! Which chain is meant, what lies on it for everybody, and where people look at it.

use starknet_rust_core::types::Felt;
use starknet_rust_core::utils::{cairo_short_string_to_felt, parse_cairo_short_string};
use std::fmt;
use std::str::FromStr;

/// STRK, the token that fees are paid in; the same address on every public network and on a devnet.
pub const STRK: Felt =
    Felt::from_hex_unchecked("0x04718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d");
/// The universal deployer contract; the same address on every public network and on a devnet.
pub const DEPLOYER: Felt =
    Felt::from_hex_unchecked("0x02ceed65a4bd731034c01113685c831b01c15d7d432f71afb1cf1634b53a2125");

/// A chain's id: a short text, its ASCII bytes read as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainId(pub Felt);

impl ChainId {
    /// The network that carries real money.
    pub const MAINNET: ChainId = ChainId(Felt::from_hex_unchecked("0x534e5f4d41494e"));
    /// The public test network; a devnet calls itself the same unless told otherwise.
    pub const SEPOLIA: ChainId = ChainId(Felt::from_hex_unchecked("0x534e5f5345504f4c4941"));

    /// Whether tokens of this chain are worth money.
    #[must_use]
    pub fn is_mainnet(self) -> bool {
        self == ChainId::MAINNET
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match parse_cairo_short_string(&self.0) {
            Ok(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) => f.write_str(&text),
            _ => write!(f, "{:#x}", self.0),
        }
    }
}

/// The text names no chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chain is `mainnet`, `sepolia`, or an id such as SN_MAIN, SN_SEPOLIA or 0x534e5f4d41494e")]
pub struct ChainIdError;

impl FromStr for ChainId {
    type Err = ChainIdError;
    fn from_str(text: &str) -> Result<ChainId, ChainIdError> {
        match text {
            "" => Err(ChainIdError),
            "mainnet" => Ok(ChainId::MAINNET),
            "sepolia" => Ok(ChainId::SEPOLIA),
            hex if hex.starts_with("0x") => Felt::from_hex(hex).map(ChainId).map_err(|_| ChainIdError),
            name => cairo_short_string_to_felt(name).map(ChainId).map_err(|_| ChainIdError),
        }
    }
}

/// What a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// A transaction, by its hash.
    Transaction(Felt),
    /// A contract or an account, by its address.
    Contract(Felt),
    /// A class, by its hash.
    Class(Felt),
}

/// Where the public explorer Voyager shows something; `None` on chains that it does not know.
#[must_use]
pub fn explorer(chain: ChainId, page: Page) -> Option<String> {
    let hosts = [(ChainId::MAINNET, "voyager.online"), (ChainId::SEPOLIA, "sepolia.voyager.online")];
    let (_, host) = hosts.into_iter().find(|(known, _)| *known == chain)?;
    Some(match page {
        Page::Transaction(hash) => format!("https://{host}/tx/{hash:#x}"),
        Page::Contract(address) => format!("https://{host}/contract/{address:#066x}"),
        Page::Class(hash) => format!("https://{host}/class/{hash:#066x}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_named_as_people_and_as_nodes_name_them() {
        for text in ["mainnet", "SN_MAIN", "0x534e5f4d41494e"] {
            assert_eq!(text.parse(), Ok(ChainId::MAINNET), "{text}");
        }
        assert_eq!(ChainId::SEPOLIA.to_string(), "SN_SEPOLIA");
        assert_eq!(ChainId(Felt::from(7u8)).to_string(), "0x7");
        for text in ["", "0xzz", "a name that is longer than a short text may be", "ü"] {
            assert_eq!(text.parse::<ChainId>(), Err(ChainIdError), "{text}");
        }
    }

    #[test]
    fn only_public_networks_have_an_explorer() {
        let link = explorer(ChainId::SEPOLIA, Page::Transaction(Felt::from(0xabu8)));
        assert_eq!(link.as_deref(), Some("https://sepolia.voyager.online/tx/0xab"));
        assert_eq!(explorer(ChainId(Felt::from(7u8)), Page::Class(Felt::ONE)), None);
    }
}
