//! Who may do what: owner, operators, arbiter, pauser; the pause; and the two changes that wait.
//!
//! No role can take what is locked or credited. A new arbiter and new code take effect only after
//! `TIMELOCK` seconds in which everybody can see them coming, and lapse when they are not applied
//! within as many again. Ownership moves in two steps, so that it cannot go to nobody.

use starknet::{ClassHash, ContractAddress};

/// Seconds between the proposal of a change and the first moment in which it can be applied.
pub const TIMELOCK: u64 = 604800;

/// A change that was proposed. `value` is zero when there is none.
#[derive(Copy, Drop, Serde, PartialEq, Debug, starknet::Store)]
pub struct Proposal {
    pub value: felt252,
    /// The first second in which it can be applied.
    pub due_at: u64,
}

#[starknet::interface]
pub trait IAccess<T> {
    fn owner(self: @T) -> ContractAddress;
    fn pending_owner(self: @T) -> ContractAddress;
    fn arbiter(self: @T) -> ContractAddress;
    fn pending_arbiter(self: @T) -> Proposal;
    fn pauser(self: @T) -> ContractAddress;
    fn is_operator(self: @T, account: ContractAddress) -> bool;
    fn is_paused(self: @T) -> bool;
    fn pending_upgrade(self: @T) -> Proposal;

    /// By the owner: names the next one, who has to accept. Zero takes the offer back.
    fn transfer_ownership(ref self: T, to: ContractAddress);
    /// By the next owner.
    fn accept_ownership(ref self: T);
    /// By the owner.
    fn set_operator(ref self: T, account: ContractAddress, enabled: bool);
    /// By the owner.
    fn set_pauser(ref self: T, account: ContractAddress);
    /// By the pauser or the owner: no new jobs, no new assignments.
    fn pause(ref self: T);
    /// By the owner.
    fn unpause(ref self: T);
    /// By the owner. Zero takes the proposal back.
    fn propose_arbiter(ref self: T, account: ContractAddress);
    /// By the owner, when the time has come.
    fn apply_arbiter(ref self: T);
    /// By the owner. Zero takes the proposal back.
    fn propose_upgrade(ref self: T, class_hash: ClassHash);
    /// By the owner, when the time has come.
    fn apply_upgrade(ref self: T);
}

#[starknet::component]
pub mod AccessComponent {
    use core::num::traits::Zero;
    use starknet::storage::{
        Map, StoragePathEntry, StoragePointerReadAccess, StoragePointerWriteAccess,
    };
    use starknet::{ClassHash, ContractAddress, get_block_timestamp, get_caller_address};
    use super::{Proposal, TIMELOCK};

    #[storage]
    pub struct Storage {
        owner: ContractAddress,
        next_owner: ContractAddress,
        arbiter: ContractAddress,
        next_arbiter: Proposal,
        pauser: ContractAddress,
        operators: Map<ContractAddress, bool>,
        paused: bool,
        next_class: Proposal,
    }

    #[event]
    #[derive(Drop, starknet::Event)]
    pub enum Event {
        OwnershipOffered: OwnershipOffered,
        OwnershipTransferred: OwnershipTransferred,
        OperatorChanged: OperatorChanged,
        PauserChanged: PauserChanged,
        ArbiterProposed: ArbiterProposed,
        ArbiterChanged: ArbiterChanged,
        Paused: Paused,
        Unpaused: Unpaused,
        UpgradeProposed: UpgradeProposed,
        Upgraded: Upgraded,
    }

    #[derive(Drop, starknet::Event)]
    pub struct OwnershipOffered {
        #[key]
        pub to: ContractAddress,
    }

    #[derive(Drop, starknet::Event)]
    pub struct OwnershipTransferred {
        #[key]
        pub from: ContractAddress,
        #[key]
        pub to: ContractAddress,
    }

    #[derive(Drop, starknet::Event)]
    pub struct OperatorChanged {
        #[key]
        pub account: ContractAddress,
        pub enabled: bool,
    }

    #[derive(Drop, starknet::Event)]
    pub struct PauserChanged {
        #[key]
        pub account: ContractAddress,
    }

    #[derive(Drop, starknet::Event)]
    pub struct ArbiterProposed {
        #[key]
        pub account: ContractAddress,
        pub due_at: u64,
    }

    #[derive(Drop, starknet::Event)]
    pub struct ArbiterChanged {
        #[key]
        pub account: ContractAddress,
    }

    #[derive(Drop, starknet::Event)]
    pub struct Paused {
        #[key]
        pub by: ContractAddress,
    }

    #[derive(Drop, starknet::Event)]
    pub struct Unpaused {
        #[key]
        pub by: ContractAddress,
    }

    #[derive(Drop, starknet::Event)]
    pub struct UpgradeProposed {
        pub class_hash: ClassHash,
        pub due_at: u64,
    }

    #[derive(Drop, starknet::Event)]
    pub struct Upgraded {
        pub class_hash: ClassHash,
    }

    #[embeddable_as(AccessImpl)]
    impl Access<
        TContractState, +HasComponent<TContractState>,
    > of super::IAccess<ComponentState<TContractState>> {
        fn owner(self: @ComponentState<TContractState>) -> ContractAddress {
            self.owner.read()
        }

        fn pending_owner(self: @ComponentState<TContractState>) -> ContractAddress {
            self.next_owner.read()
        }

        fn arbiter(self: @ComponentState<TContractState>) -> ContractAddress {
            self.arbiter.read()
        }

        fn pending_arbiter(self: @ComponentState<TContractState>) -> Proposal {
            self.next_arbiter.read()
        }

        fn pauser(self: @ComponentState<TContractState>) -> ContractAddress {
            self.pauser.read()
        }

        fn is_operator(self: @ComponentState<TContractState>, account: ContractAddress) -> bool {
            self.operators.entry(account).read()
        }

        fn is_paused(self: @ComponentState<TContractState>) -> bool {
            self.paused.read()
        }

        fn pending_upgrade(self: @ComponentState<TContractState>) -> Proposal {
            self.next_class.read()
        }

        fn transfer_ownership(ref self: ComponentState<TContractState>, to: ContractAddress) {
            self.assert_owner();
            self.next_owner.write(to);
            self.emit(OwnershipOffered { to });
        }

        fn accept_ownership(ref self: ComponentState<TContractState>) {
            let to = get_caller_address();
            assert(Zero::is_non_zero(@to) && to == self.next_owner.read(), 'NOT_NEXT_OWNER');
            let from = self.owner.read();
            self.owner.write(to);
            self.next_owner.write(Zero::zero());
            self.emit(OwnershipTransferred { from, to });
        }

        fn set_operator(
            ref self: ComponentState<TContractState>, account: ContractAddress, enabled: bool,
        ) {
            self.assert_owner();
            self.change_operator(account, enabled);
        }

        fn set_pauser(ref self: ComponentState<TContractState>, account: ContractAddress) {
            self.assert_owner();
            self.pauser.write(account);
            self.emit(PauserChanged { account });
        }

        fn pause(ref self: ComponentState<TContractState>) {
            let by = get_caller_address();
            let may = by == self.pauser.read() || by == self.owner.read();
            assert(may, 'NOT_PAUSER');
            self.paused.write(true);
            self.emit(Paused { by });
        }

        fn unpause(ref self: ComponentState<TContractState>) {
            self.assert_owner();
            self.paused.write(false);
            self.emit(Unpaused { by: get_caller_address() });
        }

        fn propose_arbiter(ref self: ComponentState<TContractState>, account: ContractAddress) {
            self.assert_owner();
            let due_at = get_block_timestamp() + TIMELOCK;
            self.next_arbiter.write(Proposal { value: account.into(), due_at });
            self.emit(ArbiterProposed { account, due_at });
        }

        fn apply_arbiter(ref self: ComponentState<TContractState>) {
            self.assert_owner();
            let account: ContractAddress = ripe(self.next_arbiter.read()).try_into().unwrap();
            self.next_arbiter.write(NOTHING);
            self.arbiter.write(account);
            self.emit(ArbiterChanged { account });
        }

        fn propose_upgrade(ref self: ComponentState<TContractState>, class_hash: ClassHash) {
            self.assert_owner();
            let due_at = get_block_timestamp() + TIMELOCK;
            self.next_class.write(Proposal { value: class_hash.into(), due_at });
            self.emit(UpgradeProposed { class_hash, due_at });
        }

        fn apply_upgrade(ref self: ComponentState<TContractState>) {
            self.assert_owner();
            let class_hash: ClassHash = ripe(self.next_class.read()).try_into().unwrap();
            self.next_class.write(NOTHING);
            starknet::syscalls::replace_class_syscall(class_hash).unwrap();
            self.emit(Upgraded { class_hash });
        }
    }

    const NOTHING: Proposal = Proposal { value: 0, due_at: 0 };

    /// What a proposal proposes, when now is the time for it.
    fn ripe(proposal: Proposal) -> felt252 {
        let now = get_block_timestamp();
        assert(proposal.value != 0, 'NOTHING_PROPOSED');
        assert(now >= proposal.due_at, 'TOO_EARLY');
        assert(now < proposal.due_at + TIMELOCK, 'TOO_LATE');
        proposal.value
    }

    #[generate_trait]
    pub impl InternalImpl<
        TContractState, +HasComponent<TContractState>,
    > of InternalTrait<TContractState> {
        /// Called by the constructor, once.
        fn initialize(
            ref self: ComponentState<TContractState>,
            owner: ContractAddress,
            arbiter: ContractAddress,
            operators: Span<ContractAddress>,
        ) {
            assert(Zero::is_non_zero(@owner) && Zero::is_non_zero(@arbiter), 'ZERO_ADDRESS');
            self.owner.write(owner);
            self.emit(OwnershipTransferred { from: Zero::zero(), to: owner });
            self.arbiter.write(arbiter);
            self.emit(ArbiterChanged { account: arbiter });
            for operator in operators {
                self.change_operator(*operator, true);
            };
        }

        fn assert_owner(self: @ComponentState<TContractState>) {
            assert(get_caller_address() == self.owner.read(), 'NOT_OWNER');
        }

        fn assert_arbiter(self: @ComponentState<TContractState>) {
            assert(get_caller_address() == self.arbiter.read(), 'NOT_ARBITER');
        }

        fn assert_operator(self: @ComponentState<TContractState>) {
            assert(self.operators.entry(get_caller_address()).read(), 'NOT_OPERATOR');
        }

        fn assert_not_paused(self: @ComponentState<TContractState>) {
            assert(!self.paused.read(), 'PAUSED');
        }

        fn change_operator(
            ref self: ComponentState<TContractState>, account: ContractAddress, enabled: bool,
        ) {
            assert(Zero::is_non_zero(@account), 'ZERO_ADDRESS');
            self.operators.entry(account).write(enabled);
            self.emit(OperatorChanged { account, enabled });
        }
    }
}
