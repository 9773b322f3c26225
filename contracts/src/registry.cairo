//! WorkerRegistry: where providers put up a stake, and where anyone can look up who they are.
//!
//! Nobody administers it. A stake leaves it in two ways: its provider asks for it and waits, or a
//! client who won a dispute is compensated out of it, once for each job and provider, within a cap,
//! when the escrow's arbiter says so.

use starknet::ContractAddress;
use super::job::{JobKey, Payout};

/// A provider as it is shown.
#[derive(Copy, Drop, Serde, PartialEq, Debug)]
pub struct Provider {
    pub registered: bool,
    /// Where the provider wants its payouts.
    pub payout: ContractAddress,
    /// The first 31 bytes, big-endian, of the BLAKE3 hash of what its workers offer.
    pub capabilities_hash: felt252,
    /// What it has put up and not asked back.
    pub stake: u128,
    /// What it asked back; still within reach of `slash`.
    pub unbonding: u128,
    /// The second from which `unbonding` can be taken.
    pub unbonded_at: u64,
}

#[starknet::interface]
pub trait IWorkerRegistry<T> {
    /// Registers the caller, or changes what it said. Zero as `payout` means the caller itself.
    fn register(ref self: T, payout: ContractAddress, capabilities_hash: felt252);
    /// Says that a peer's Ed25519 key is the caller's.
    fn bind_peer(ref self: T, peer_key: u256);
    /// Says that it no longer is.
    fn unbind_peer(ref self: T, peer_key: u256);
    /// Adds to the caller's stake.
    fn stake(ref self: T, amount: u128);
    /// Asks for a part of it back; the delay starts anew for all that was asked for.
    fn unstake(ref self: T, amount: u128);
    /// Sends the caller what it asked for and waited for. Returns the amount.
    fn take_unstaked(ref self: T) -> u128;
    /// By the escrow's arbiter: takes from a provider that a dispute was decided against, for the
    /// client. `payouts` are the job's, and name the provider or an account it is or was paid at.
    fn slash(
        ref self: T,
        job: JobKey,
        payouts: Span<Payout>,
        provider: ContractAddress,
        amount: u128,
    );
    /// Sends the caller what it was compensated with. Returns the amount.
    fn take_compensation(ref self: T) -> u128;

    fn get_provider(self: @T, account: ContractAddress) -> Provider;
    /// Whether it is registered and its stake is at least the minimum.
    fn is_eligible(self: @T, account: ContractAddress) -> bool;
    /// Whether a provider is or was paid at an account.
    fn is_paid_at(self: @T, provider: ContractAddress, account: ContractAddress) -> bool;
    fn is_slashed(self: @T, job_id: felt252, provider: ContractAddress) -> bool;
    fn compensation_of(self: @T, client: ContractAddress) -> u128;
    /// All stakes, unbonding included, and all compensation not yet taken.
    fn total_held(self: @T) -> u128;
    fn token(self: @T) -> ContractAddress;
    fn escrow(self: @T) -> ContractAddress;
    fn min_stake(self: @T) -> u128;
    fn unbonding_delay(self: @T) -> u64;
    fn version(self: @T) -> u32;
}

#[starknet::contract]
pub mod WorkerRegistry {
    use core::num::traits::Zero;
    use starknet::storage::{
        Map, StoragePathEntry, StoragePointerReadAccess, StoragePointerWriteAccess,
    };
    use starknet::{ContractAddress, get_block_timestamp, get_caller_address};
    use super::super::access::{IAccessDispatcher, IAccessDispatcherTrait};
    use super::super::erc20::{pull, push};
    use super::super::escrow::{IJobEscrowDispatcher, IJobEscrowDispatcherTrait};
    use super::super::job::{JobKey, Payout, WHOLE_BPS, job_id_of, payouts_hash, portion_of};
    use super::Provider;

    /// The most that one dispute takes of a stake, in basis points.
    const MAX_SLASH_BPS: u16 = 3000;
    /// The longest unbonding delay: 90 days.
    const MAX_DELAY: u64 = 7776000;

    #[derive(Copy, Drop, starknet::Store)]
    struct StoredProvider {
        registered: bool,
        payout: ContractAddress,
        capabilities_hash: felt252,
        stake: u128,
        unbonding: u128,
        unbonded_at: u64,
    }

    #[storage]
    struct Storage {
        token: ContractAddress,
        escrow: ContractAddress,
        min_stake: u128,
        unbonding_delay: u64,
        providers: Map<ContractAddress, StoredProvider>,
        /// Provider and account: the provider is or was paid there.
        paid_at: Map<(ContractAddress, ContractAddress), bool>,
        slashed: Map<(felt252, ContractAddress), bool>,
        compensations: Map<ContractAddress, u128>,
        total_held: u128,
    }

    #[event]
    #[derive(Drop, starknet::Event)]
    pub enum Event {
        WorkerRegistered: WorkerRegistered,
        PeerBound: PeerBound,
        PeerUnbound: PeerUnbound,
        Staked: Staked,
        UnstakeRequested: UnstakeRequested,
        Unstaked: Unstaked,
        Slashed: Slashed,
        Compensated: Compensated,
    }

    #[derive(Drop, starknet::Event)]
    pub struct WorkerRegistered {
        #[key]
        pub provider: ContractAddress,
        pub payout: ContractAddress,
        pub capabilities_hash: felt252,
    }

    #[derive(Drop, starknet::Event)]
    pub struct PeerBound {
        #[key]
        pub provider: ContractAddress,
        #[key]
        pub peer_key: u256,
    }

    #[derive(Drop, starknet::Event)]
    pub struct PeerUnbound {
        #[key]
        pub provider: ContractAddress,
        #[key]
        pub peer_key: u256,
    }

    #[derive(Drop, starknet::Event)]
    pub struct Staked {
        #[key]
        pub provider: ContractAddress,
        pub amount: u128,
    }

    #[derive(Drop, starknet::Event)]
    pub struct UnstakeRequested {
        #[key]
        pub provider: ContractAddress,
        pub amount: u128,
        pub unbonded_at: u64,
    }

    #[derive(Drop, starknet::Event)]
    pub struct Unstaked {
        #[key]
        pub provider: ContractAddress,
        pub amount: u128,
    }

    #[derive(Drop, starknet::Event)]
    pub struct Slashed {
        #[key]
        pub provider: ContractAddress,
        #[key]
        pub job_id: felt252,
        #[key]
        pub client: ContractAddress,
        pub amount: u128,
    }

    #[derive(Drop, starknet::Event)]
    pub struct Compensated {
        #[key]
        pub client: ContractAddress,
        pub amount: u128,
    }

    #[constructor]
    fn constructor(
        ref self: ContractState,
        token: ContractAddress,
        escrow: ContractAddress,
        min_stake: u128,
        unbonding_delay: u64,
    ) {
        assert(Zero::is_non_zero(@token) && Zero::is_non_zero(@escrow), 'ZERO_ADDRESS');
        assert(unbonding_delay <= MAX_DELAY, 'BAD_DELAY');
        self.token.write(token);
        self.escrow.write(escrow);
        self.min_stake.write(min_stake);
        self.unbonding_delay.write(unbonding_delay);
    }

    #[abi(embed_v0)]
    impl RegistryImpl of super::IWorkerRegistry<ContractState> {
        fn register(
            ref self: ContractState, payout: ContractAddress, capabilities_hash: felt252,
        ) {
            let provider = get_caller_address();
            let payout = if Zero::is_zero(@payout) {
                provider
            } else {
                payout
            };
            let slot = self.providers.entry(provider);
            slot.registered.write(true);
            slot.payout.write(payout);
            slot.capabilities_hash.write(capabilities_hash);
            self.paid_at.entry((provider, payout)).write(true);
            self.emit(WorkerRegistered { provider, payout, capabilities_hash });
        }

        fn bind_peer(ref self: ContractState, peer_key: u256) {
            let provider = self.registered_caller();
            self.emit(PeerBound { provider, peer_key });
        }

        fn unbind_peer(ref self: ContractState, peer_key: u256) {
            let provider = self.registered_caller();
            self.emit(PeerUnbound { provider, peer_key });
        }

        fn stake(ref self: ContractState, amount: u128) {
            let provider = self.registered_caller();
            assert(amount != 0, 'ZERO_AMOUNT');
            let stake = self.providers.entry(provider).stake;
            stake.write(stake.read() + amount);
            self.total_held.write(self.total_held.read() + amount);
            self.emit(Staked { provider, amount });
            pull(self.token.read(), provider, amount);
        }

        fn unstake(ref self: ContractState, amount: u128) {
            let provider = self.registered_caller();
            let slot = self.providers.entry(provider);
            let stake = slot.stake.read();
            assert(amount != 0, 'ZERO_AMOUNT');
            assert(amount <= stake, 'STAKE_TOO_LOW');
            let unbonded_at = get_block_timestamp() + self.unbonding_delay.read();
            slot.stake.write(stake - amount);
            slot.unbonding.write(slot.unbonding.read() + amount);
            slot.unbonded_at.write(unbonded_at);
            self.emit(UnstakeRequested { provider, amount, unbonded_at });
        }

        fn take_unstaked(ref self: ContractState) -> u128 {
            let provider = get_caller_address();
            let slot = self.providers.entry(provider);
            let amount = slot.unbonding.read();
            assert(amount != 0, 'NOTHING_UNBONDING');
            assert(get_block_timestamp() >= slot.unbonded_at.read(), 'TOO_EARLY');
            slot.unbonding.write(0);
            self.total_held.write(self.total_held.read() - amount);
            self.emit(Unstaked { provider, amount });
            push(self.token.read(), provider, amount);
            amount
        }

        fn slash(
            ref self: ContractState,
            job: JobKey,
            payouts: Span<Payout>,
            provider: ContractAddress,
            amount: u128,
        ) {
            let client = job.client;
            let job_id = job_id_of(client, job.salt);
            self.assert_lost(job_id, payouts);
            assert(self.is_among(provider, payouts), 'NOT_A_PAYEE');
            let slashed = self.slashed.entry((job_id, provider));
            assert(!slashed.read(), 'ALREADY_SLASHED');
            slashed.write(true);
            self.take_stake(provider, amount);
            let compensation = self.compensations.entry(client);
            compensation.write(compensation.read() + amount);
            self.emit(Slashed { provider, job_id, client, amount });
        }

        fn take_compensation(ref self: ContractState) -> u128 {
            let client = get_caller_address();
            let compensation = self.compensations.entry(client);
            let amount = compensation.read();
            assert(amount != 0, 'NO_COMPENSATION');
            compensation.write(0);
            self.total_held.write(self.total_held.read() - amount);
            self.emit(Compensated { client, amount });
            push(self.token.read(), client, amount);
            amount
        }

        fn get_provider(self: @ContractState, account: ContractAddress) -> Provider {
            let StoredProvider {
                registered, payout, capabilities_hash, stake, unbonding, unbonded_at,
            } = self.providers.entry(account).read();
            Provider { registered, payout, capabilities_hash, stake, unbonding, unbonded_at }
        }

        fn is_eligible(self: @ContractState, account: ContractAddress) -> bool {
            let slot = self.providers.entry(account);
            slot.registered.read() && slot.stake.read() >= self.min_stake.read()
        }

        fn is_paid_at(
            self: @ContractState, provider: ContractAddress, account: ContractAddress,
        ) -> bool {
            provider == account || self.paid_at.entry((provider, account)).read()
        }

        fn is_slashed(
            self: @ContractState, job_id: felt252, provider: ContractAddress,
        ) -> bool {
            self.slashed.entry((job_id, provider)).read()
        }

        fn compensation_of(self: @ContractState, client: ContractAddress) -> u128 {
            self.compensations.entry(client).read()
        }

        fn total_held(self: @ContractState) -> u128 {
            self.total_held.read()
        }

        fn token(self: @ContractState) -> ContractAddress {
            self.token.read()
        }

        fn escrow(self: @ContractState) -> ContractAddress {
            self.escrow.read()
        }

        fn min_stake(self: @ContractState) -> u128 {
            self.min_stake.read()
        }

        fn unbonding_delay(self: @ContractState) -> u64 {
            self.unbonding_delay.read()
        }

        fn version(self: @ContractState) -> u32 {
            1
        }
    }

    #[generate_trait]
    impl Internal of InternalTrait {
        fn registered_caller(self: @ContractState) -> ContractAddress {
            let caller = get_caller_address();
            assert(self.providers.entry(caller).registered.read(), 'NOT_REGISTERED');
            caller
        }

        /// The caller must be the escrow's arbiter, the payouts the job's, and the arbiter must have
        /// decided a dispute of the job at least partly for its client.
        fn assert_lost(self: @ContractState, job_id: felt252, payouts: Span<Payout>) {
            let contract_address = self.escrow.read();
            let arbiter = IAccessDispatcher { contract_address }.arbiter();
            assert(get_caller_address() == arbiter, 'NOT_ARBITER');
            let escrow = IJobEscrowDispatcher { contract_address };
            match escrow.ruling_of(job_id) {
                Option::Some(share_bps) => assert(share_bps < WHOLE_BPS, 'DISPUTE_LOST'),
                Option::None => core::panic_with_felt252('NOT_RESOLVED'),
            };
            let job = escrow.get_job(job_id);
            assert(job.payouts_hash == payouts_hash(payouts), 'WRONG_PAYOUTS');
        }

        fn is_among(
            self: @ContractState, provider: ContractAddress, payouts: Span<Payout>,
        ) -> bool {
            let mut found = false;
            for payout in payouts {
                let account = *payout.provider;
                if account == provider || self.paid_at.entry((provider, account)).read() {
                    found = true;
                    break;
                }
            };
            found
        }

        /// Takes from what the provider is unbonding first: it is the part that is leaving.
        fn take_stake(ref self: ContractState, provider: ContractAddress, amount: u128) {
            let slot = self.providers.entry(provider);
            let stake = slot.stake.read();
            let unbonding = slot.unbonding.read();
            assert(amount != 0, 'ZERO_AMOUNT');
            assert(amount <= portion_of(stake + unbonding, MAX_SLASH_BPS.into(), WHOLE_BPS.into()), 'OVER_CAP');
            if amount <= unbonding {
                slot.unbonding.write(unbonding - amount);
            } else {
                slot.unbonding.write(0);
                slot.stake.write(stake - (amount - unbonding));
            }
        }
    }
}
