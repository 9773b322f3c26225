//! JobEscrow: holds what clients pay for jobs until it is known who gets it. Amounts are in the token's
//! smallest unit, times in seconds since 1970, shares and fees in basis points.

use super::job::{Job, JobKey, JobManagerState, Payout};
use super::member::record;
use super::table::{Nothing, events, functions, records};
use starknet_rust_core::codec::{Decode, Encode};
use starknet_rust_core::types::Felt;

records! { RECORDS:
    /// One job to be paid for.
    Order {
        /// Chosen by the client, a new one for every job.
        salt: Felt,
        /// The first 31 bytes, big-endian, of the BLAKE3 hash of the job's specification.
        spec_hash: Felt,
        /// What is locked; at least 1 and below 2^112.
        amount: u128,
        /// The second by which a result should be in.
        deadline: u64,
    }
    /// What the client takes at most.
    Limits {
        /// The highest fee, in basis points.
        max_fee_bps: u16,
        /// The shortest dispute window, in seconds.
        min_window: u32,
    }
    /// Who works on a job.
    Assignment {
        /// The job.
        job_id: Felt,
        /// The provider's account.
        worker: Felt,
    }
    /// What came out of a job.
    JobResult {
        /// The job.
        job_id: Felt,
        /// The first 31 bytes, big-endian, of the BLAKE3 hash of the result.
        result_hash: Felt,
        /// Before the fee; ascending by provider.
        payouts: Vec<Payout>,
    }
    /// A job that is to be paid.
    Settlement {
        /// The job.
        job: JobKey,
        /// As they were reported.
        payouts: Vec<Payout>,
    }
    /// What the contract owes.
    Totals {
        /// For jobs that have not ended.
        locked: u128,
        /// To be withdrawn.
        credited: u128,
        /// Put up in disputes that are not over.
        bonded: u128,
    }
    /// What a deployment is set to.
    Config {
        /// Of what providers are paid, in basis points; at most 1,000.
        fee_bps: u16,
        /// Of a job's amount, put up by a client who disputes, in basis points; at most 1,000.
        bond_bps: u16,
        /// Seconds in which a client may dispute a result; 1 to 30 days' worth.
        window: u32,
        /// Seconds after its deadline in which a job still takes a result; at most 7 days' worth.
        grace: u32,
        /// Seconds in which the arbiter may resolve a dispute; 1 hour's to 30 days' worth.
        arbitration: u32,
    }
    /// What a new contract is made with.
    Constructor {
        /// Who may change roles and settings.
        owner: Felt,
        /// Who decides disputes.
        arbiter: Felt,
        /// Who is credited with fees.
        treasury: Felt,
        /// What is paid with; never changes.
        token: Felt,
        /// Who may assign and report.
        operators: Vec<Felt>,
        /// The settings.
        config: Config,
    }
}

record!(Config { fee_bps, bond_bps, window, grace, arbitration });

functions! {
    /// Pays for one job of the caller's; its id.
    external submit_job = SubmitJob(order: Order, limits: Limits) -> Felt;
    /// Pays for several jobs of the caller's, all or none.
    external submit_jobs = SubmitJobs(orders: Vec<Order>, limits: Limits) -> Nothing;
    /// Pays for several jobs of a client who signed the orders.
    external submit_signed = SubmitSigned(client: Felt, orders: Vec<Order>, limits: Limits, valid_until: u64, signature: Vec<Felt>) -> Nothing;
    /// Says that workers have begun; how many jobs were assigned.
    external assign_jobs = AssignJobs(batch: Vec<Assignment>) -> u32;
    /// Says what came out and who earned what; how many results were taken.
    external submit_results = SubmitResults(batch: Vec<JobResult>) -> u32;
    /// Disputes the result of a job of the caller's.
    external dispute = Dispute(salt: Felt, reason: Felt) -> Nothing;
    /// Decides a dispute: every payout counts with the share.
    external resolve = Resolve(job: JobKey, payouts: Vec<Payout>, share_bps: u16) -> Nothing;
    /// Pays jobs whose time has come; how many were paid.
    external settle = Settle(batch: Vec<Settlement>) -> u32;
    /// Refunds a job that has no result.
    external cancel = Cancel(job: JobKey) -> Nothing;
    /// Refunds jobs that are too late; how many were refunded.
    external expire = Expire(jobs: Vec<JobKey>) -> u32;
    /// Sends the caller's credit to an account; the amount.
    external withdraw = Withdraw(to: Felt) -> u128;
    /// Sends an account its own credit; the amount.
    external withdraw_for = WithdrawFor(account: Felt) -> u128;
    /// A job.
    view get_job = GetJob(job_id: Felt) -> Job;
    /// Several jobs.
    view get_jobs = GetJobs(job_ids: Vec<Felt>) -> Vec<Job>;
    /// The state of a job in the words of the original JobManager.
    view get_job_state = GetJobState(job_id: Felt) -> JobManagerState;
    /// The share that an arbiter decided on, in basis points.
    view ruling_of = RulingOf(job_id: Felt) -> Option<u16>;
    /// The id of a job; [`job_id`](super::job_id) computes it here.
    view job_id_of = JobIdOf(client: Felt, salt: Felt) -> Felt;
    /// The hash of payouts; [`payouts_hash`](super::payouts_hash) computes it here.
    view payouts_hash = PayoutsHash(payouts: Vec<Payout>) -> Felt;
    /// What a client signs for `submit_signed`: SNIP-12, revision 1.
    view orders_hash = OrdersHash(client: Felt, orders: Vec<Order>, limits: Limits, valid_until: u64) -> Felt;
    /// What an account can withdraw.
    view credit_of = CreditOf(account: Felt) -> u128;
    /// What the contract owes.
    view totals = GetTotals() -> Totals;
    /// What it is set to.
    view config = GetConfig() -> Config;
    /// What is paid with.
    view token = Token() -> Felt;
    /// Who is credited with fees.
    view treasury = Treasury() -> Felt;
    /// The version of the code.
    view version = Version() -> u32;
    /// Changes the settings, for later jobs and disputes.
    external set_config = SetConfig(config: Config) -> Nothing;
    /// Changes who is credited with later fees.
    external set_treasury = SetTreasury(account: Felt) -> Nothing;
}

events! {
    /// What happens to jobs and to money. Roles, pause and upgrades say [`AccessEvent`](super::access::AccessEvent).
    EscrowEvent:
    /// A job was paid in.
    JobSubmitted [job_id: Felt, client: Felt] { salt: Felt, payment: u128, spec_hash: Felt, fee_bps: u16, window: u64, expires_at: u64 }
    /// A worker began.
    JobAssigned [job_id: Felt, worker: Felt] {}
    /// A result was reported.
    JobCompleted [job_id: Felt] { result_hash: Felt, window_ends_at: u64, payouts: Vec<Payout> }
    /// The client disagrees.
    JobDisputed [job_id: Felt, client: Felt] { reason: Felt, bond: u128, resolve_by: u64 }
    /// The arbiter decided.
    DisputeResolved [job_id: Felt] { share_bps: u16 }
    /// The arbiter did not decide in time.
    DisputeLapsed [job_id: Felt] {}
    /// Credit of a provider, without the fee.
    PaymentReleased [job_id: Felt, worker: Felt] { amount: u128, fee: u128 }
    /// Credit of a client; the cause is a short text.
    JobRefunded [job_id: Felt, client: Felt] { amount: u128, cause: Felt }
    /// Credit out of a dispute's bond.
    BondPaid [job_id: Felt, account: Felt] { amount: u128 }
    /// An entry of a batch was left out; the reason is a short text.
    JobSkipped [job_id: Felt] { reason: Felt }
    /// Credit was sent.
    Withdrawn [account: Felt, to: Felt] { amount: u128 }
    /// The settings were changed.
    ConfigChanged [] { config: Config }
    /// Somebody else is credited with fees.
    TreasuryChanged [account: Felt] {}
}
