//! WorkerRegistry: stakes of providers, where they are paid, and which peers are theirs.

use super::job::{JobKey, Payout};
use super::table::{Nothing, events, functions, records};
use starknet_rust_core::codec::{Decode, Encode};
use starknet_rust_core::types::{Felt, U256};

records! { RECORDS:
    /// A provider as the contract shows it.
    Provider {
        /// Whether it ever registered.
        registered: bool,
        /// Where it wants its payouts.
        payout: Felt,
        /// The first 31 bytes, big-endian, of the BLAKE3 hash of what its workers offer.
        capabilities_hash: Felt,
        /// What it has put up and not asked back.
        stake: u128,
        /// What it asked back.
        unbonding: u128,
        /// The second from which that can be taken.
        unbonded_at: u64,
    }
    /// What a new contract is made with.
    Constructor {
        /// What is staked; never changes.
        token: Felt,
        /// Whose arbiter slashes; never changes.
        escrow: Felt,
        /// From which stake on a provider is eligible.
        min_stake: u128,
        /// Seconds until a stake that was asked back can be taken; at most 90 days' worth.
        unbonding_delay: u64,
    }
}

functions! {
    /// Registers the caller, or changes what it said.
    external register = Register(payout: Felt, capabilities_hash: Felt) -> Nothing;
    /// Says that a peer's Ed25519 key is the caller's.
    external bind_peer = BindPeer(peer_key: U256) -> Nothing;
    /// Says that it no longer is.
    external unbind_peer = UnbindPeer(peer_key: U256) -> Nothing;
    /// Adds to the caller's stake.
    external stake = Stake(amount: u128) -> Nothing;
    /// Asks for a part of it back.
    external unstake = Unstake(amount: u128) -> Nothing;
    /// Sends the caller what it asked for and waited for; the amount.
    external take_unstaked = TakeUnstaked() -> u128;
    /// Takes from a provider that a dispute was decided against, for the client.
    external slash = Slash(job: JobKey, payouts: Vec<Payout>, provider: Felt, amount: u128) -> Nothing;
    /// Sends the caller what it was compensated with; the amount.
    external take_compensation = TakeCompensation() -> u128;
    /// A provider.
    view get_provider = GetProvider(account: Felt) -> Provider;
    /// Whether it is registered with the least stake or more.
    view is_eligible = IsEligible(account: Felt) -> bool;
    /// Whether a provider is or was paid at an account.
    view is_paid_at = IsPaidAt(provider: Felt, account: Felt) -> bool;
    /// Whether a provider was slashed for a job.
    view is_slashed = IsSlashed(job_id: Felt, provider: Felt) -> bool;
    /// What a client can take.
    view compensation_of = CompensationOf(client: Felt) -> u128;
    /// All stakes and compensations.
    view total_held = TotalHeld() -> u128;
    /// What is staked.
    view token = Token() -> Felt;
    /// Whose arbiter slashes.
    view escrow = Escrow() -> Felt;
    /// From which stake on a provider is eligible.
    view min_stake = MinStake() -> u128;
    /// Seconds until a stake can be taken.
    view unbonding_delay = UnbondingDelay() -> u64;
    /// The version of the code.
    view version = Version() -> u32;
}

events! {
    /// What happens to providers and stakes.
    RegistryEvent:
    /// A provider registered, or changed what it said.
    WorkerRegistered [provider: Felt] { payout: Felt, capabilities_hash: Felt }
    /// A peer's key is the provider's.
    PeerBound [provider: Felt, peer_key: U256] {}
    /// It no longer is.
    PeerUnbound [provider: Felt, peer_key: U256] {}
    /// A stake grew.
    Staked [provider: Felt] { amount: u128 }
    /// A part was asked back.
    UnstakeRequested [provider: Felt] { amount: u128, unbonded_at: u64 }
    /// A part was taken back.
    Unstaked [provider: Felt] { amount: u128 }
    /// A part went to a client.
    Slashed [provider: Felt, job_id: Felt, client: Felt] { amount: u128 }
    /// The client took it.
    Compensated [client: Felt] { amount: u128 }
}
