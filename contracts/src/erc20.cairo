//! The part of ERC-20 that the contracts speak. The token must be a plain one: what is sent
//! arrives, and nobody's code runs while it is moved.

use starknet::ContractAddress;

#[starknet::interface]
pub trait IERC20<T> {
    fn total_supply(self: @T) -> u256;
    fn balance_of(self: @T, account: ContractAddress) -> u256;
    fn allowance(self: @T, owner: ContractAddress, spender: ContractAddress) -> u256;
    fn transfer(ref self: T, recipient: ContractAddress, amount: u256) -> bool;
    fn transfer_from(
        ref self: T, sender: ContractAddress, recipient: ContractAddress, amount: u256,
    ) -> bool;
    fn approve(ref self: T, spender: ContractAddress, amount: u256) -> bool;
}

/// Takes `amount` from `payer`, who has approved it, into the calling contract.
pub fn pull(token: ContractAddress, payer: ContractAddress, amount: u128) {
    let here = starknet::get_contract_address();
    let token = IERC20Dispatcher { contract_address: token };
    assert(token.transfer_from(payer, here, amount.into()), 'TRANSFER_FAILED');
}

/// Sends `amount` of the calling contract's tokens to `payee`.
pub fn push(token: ContractAddress, payee: ContractAddress, amount: u128) {
    let token = IERC20Dispatcher { contract_address: token };
    assert(token.transfer(payee, amount.into()), 'TRANSFER_FAILED');
}
