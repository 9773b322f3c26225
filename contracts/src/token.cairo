//! TestToken: an ERC-20 for networks that have no STRK, such as a private one. One account may make
//! as much of it as it likes, so it is worth nothing.

use starknet::ContractAddress;

#[starknet::interface]
pub trait ITestToken<T> {
    fn name(self: @T) -> ByteArray;
    fn symbol(self: @T) -> ByteArray;
    fn decimals(self: @T) -> u8;
    fn minter(self: @T) -> ContractAddress;
    /// By the minter.
    fn mint(ref self: T, recipient: ContractAddress, amount: u256);
}

#[starknet::contract]
pub mod TestToken {
    use core::num::traits::Zero;
    use starknet::storage::{
        Map, StoragePathEntry, StoragePointerReadAccess, StoragePointerWriteAccess,
    };
    use starknet::{ContractAddress, get_caller_address};

    #[storage]
    struct Storage {
        minter: ContractAddress,
        total_supply: u256,
        balances: Map<ContractAddress, u256>,
        allowances: Map<(ContractAddress, ContractAddress), u256>,
    }

    #[event]
    #[derive(Drop, starknet::Event)]
    pub enum Event {
        Transfer: Transfer,
        Approval: Approval,
    }

    #[derive(Drop, starknet::Event)]
    pub struct Transfer {
        #[key]
        pub from: ContractAddress,
        #[key]
        pub to: ContractAddress,
        pub value: u256,
    }

    #[derive(Drop, starknet::Event)]
    pub struct Approval {
        #[key]
        pub owner: ContractAddress,
        #[key]
        pub spender: ContractAddress,
        pub value: u256,
    }

    #[constructor]
    fn constructor(ref self: ContractState, minter: ContractAddress) {
        self.minter.write(minter);
    }

    #[abi(embed_v0)]
    impl TestTokenImpl of super::ITestToken<ContractState> {
        fn name(self: @ContractState) -> ByteArray {
            "CIRO test token"
        }

        fn symbol(self: @ContractState) -> ByteArray {
            "tCIRO"
        }

        fn decimals(self: @ContractState) -> u8 {
            18
        }

        fn minter(self: @ContractState) -> ContractAddress {
            self.minter.read()
        }

        fn mint(ref self: ContractState, recipient: ContractAddress, amount: u256) {
            assert(get_caller_address() == self.minter.read(), 'NOT_MINTER');
            self.total_supply.write(self.total_supply.read() + amount);
            let balance = self.balances.entry(recipient);
            balance.write(balance.read() + amount);
            self.emit(Transfer { from: Zero::zero(), to: recipient, value: amount });
        }
    }

    #[abi(embed_v0)]
    impl ERC20Impl of super::super::erc20::IERC20<ContractState> {
        fn total_supply(self: @ContractState) -> u256 {
            self.total_supply.read()
        }

        fn balance_of(self: @ContractState, account: ContractAddress) -> u256 {
            self.balances.entry(account).read()
        }

        fn allowance(
            self: @ContractState, owner: ContractAddress, spender: ContractAddress,
        ) -> u256 {
            self.allowances.entry((owner, spender)).read()
        }

        fn transfer(ref self: ContractState, recipient: ContractAddress, amount: u256) -> bool {
            self.move(get_caller_address(), recipient, amount);
            true
        }

        fn transfer_from(
            ref self: ContractState,
            sender: ContractAddress,
            recipient: ContractAddress,
            amount: u256,
        ) -> bool {
            let allowance = self.allowances.entry((sender, get_caller_address()));
            let allowed = allowance.read();
            assert(allowed >= amount, 'ALLOWANCE_TOO_LOW');
            allowance.write(allowed - amount);
            self.move(sender, recipient, amount);
            true
        }

        fn approve(ref self: ContractState, spender: ContractAddress, amount: u256) -> bool {
            let owner = get_caller_address();
            self.allowances.entry((owner, spender)).write(amount);
            self.emit(Approval { owner, spender, value: amount });
            true
        }
    }

    #[generate_trait]
    impl Internal of InternalTrait {
        fn move(
            ref self: ContractState, from: ContractAddress, to: ContractAddress, amount: u256,
        ) {
            assert(Zero::is_non_zero(@to), 'ZERO_ADDRESS');
            let source = self.balances.entry(from);
            let held = source.read();
            assert(held >= amount, 'BALANCE_TOO_LOW');
            source.write(held - amount);
            let target = self.balances.entry(to);
            target.write(target.read() + amount);
            self.emit(Transfer { from, to, value: amount });
        }
    }
}
