//! TestToken: an ERC-20 for networks without STRK. Its part that is ERC-20 is good for any token.

use super::table::{Nothing, events, functions, records};
use starknet_rust_core::codec::{Decode, Encode};
use starknet_rust_core::types::{ByteArray, Felt, U256};

records! { RECORDS:
    /// What a new contract is made with.
    Constructor {
        /// Who may make tokens out of nothing.
        minter: Felt,
    }
}

functions! {
    /// Its name.
    view name = Name() -> ByteArray;
    /// Its short name.
    view symbol = Symbol() -> ByteArray;
    /// How many digits of an amount are behind the point.
    view decimals = Decimals() -> u8;
    /// Who may make tokens.
    view minter = Minter() -> Felt;
    /// Makes tokens.
    external mint = Mint(recipient: Felt, amount: U256) -> Nothing;
    /// How many there are.
    view total_supply = TotalSupply() -> U256;
    /// How many an account has.
    view balance_of = BalanceOf(account: Felt) -> U256;
    /// How many somebody else may take.
    view allowance = Allowance(owner: Felt, spender: Felt) -> U256;
    /// Sends the caller's.
    external transfer = Transfer(recipient: Felt, amount: U256) -> bool;
    /// Sends what the caller was allowed to.
    external transfer_from = TransferFrom(sender: Felt, recipient: Felt, amount: U256) -> bool;
    /// Allows somebody else to take of the caller's.
    external approve = Approve(spender: Felt, amount: U256) -> bool;
}

events! {
    /// What happens to tokens.
    TokenEvent:
    /// They moved.
    Transfer [from: Felt, to: Felt] { value: U256 }
    /// Somebody may take them.
    Approval [owner: Felt, spender: Felt] { value: U256 }
}
