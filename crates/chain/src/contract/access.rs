//! Who may do what in JobEscrow: owner, operators, arbiter, pauser, and the two changes that wait.

use super::table::{Nothing, events, functions, records};
use starknet_rust_core::codec::{Decode, Encode};
use starknet_rust_core::types::Felt;

records! { RECORDS:
    /// A change that was proposed.
    Proposal {
        /// An address or a class hash; zero when there is none.
        value: Felt,
        /// The first second in which it can be applied.
        due_at: u64,
    }
}

functions! {
    /// Who owns the contract.
    view owner = Owner() -> Felt;
    /// Who was offered ownership; zero for nobody.
    view pending_owner = PendingOwner() -> Felt;
    /// Who decides disputes.
    view arbiter = Arbiter() -> Felt;
    /// Who shall decide them.
    view pending_arbiter = PendingArbiter() -> Proposal;
    /// Who may pause, beside the owner; zero for nobody.
    view pauser = Pauser() -> Felt;
    /// Whether an account may assign jobs and report results.
    view is_operator = IsOperator(account: Felt) -> bool;
    /// Whether new work is stopped.
    view is_paused = IsPaused() -> bool;
    /// The class that shall replace the contract's.
    view pending_upgrade = PendingUpgrade() -> Proposal;
    /// Offers ownership; zero takes the offer back.
    external transfer_ownership = TransferOwnership(to: Felt) -> Nothing;
    /// Takes ownership that was offered.
    external accept_ownership = AcceptOwnership() -> Nothing;
    /// Makes an account an operator, or no longer.
    external set_operator = SetOperator(account: Felt, enabled: bool) -> Nothing;
    /// Names the pauser.
    external set_pauser = SetPauser(account: Felt) -> Nothing;
    /// Stops new jobs and assignments.
    external pause = Pause() -> Nothing;
    /// Lets them go on.
    external unpause = Unpause() -> Nothing;
    /// Proposes another arbiter; zero takes the proposal back.
    external propose_arbiter = ProposeArbiter(account: Felt) -> Nothing;
    /// Makes the proposed one the arbiter, when its time has come.
    external apply_arbiter = ApplyArbiter() -> Nothing;
    /// Proposes another class; zero takes the proposal back.
    external propose_upgrade = ProposeUpgrade(class_hash: Felt) -> Nothing;
    /// Replaces the contract's class, when its time has come.
    external apply_upgrade = ApplyUpgrade() -> Nothing;
}

events! {
    /// What roles, pause and waiting changes say.
    AccessEvent:
    /// Ownership was offered.
    OwnershipOffered [to: Felt] {}
    /// There is another owner.
    OwnershipTransferred [from: Felt, to: Felt] {}
    /// An account became an operator, or is none any more.
    OperatorChanged [account: Felt] { enabled: bool }
    /// There is another pauser.
    PauserChanged [account: Felt] {}
    /// Another arbiter was proposed.
    ArbiterProposed [account: Felt] { due_at: u64 }
    /// There is another arbiter.
    ArbiterChanged [account: Felt] {}
    /// New work is stopped.
    Paused [by: Felt] {}
    /// New work goes on.
    Unpaused [by: Felt] {}
    /// Another class was proposed.
    UpgradeProposed [] { class_hash: Felt, due_at: u64 }
    /// The contract has another class.
    Upgraded [] { class_hash: Felt }
}
