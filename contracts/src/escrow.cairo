//! JobEscrow: holds what clients pay for jobs until it is known who gets it.
//!
//! A client submits and pays in; an operator assigns, and later reports a result with its payouts;
//! after the client's dispute window anyone settles. Money never leaves as part of that: it becomes
//! credit, which its owner withdraws. So the balance is always at least locked + credited + bonded,
//! no receiver can hold up another, and every way out works without operators and while paused.
//!
//! Functions that take a batch of jobs from others than their client skip what is not due, and say
//! so in `JobSkipped`: one bad entry never blocks the rest.

use starknet::ContractAddress;
use starknet::storage_access::StorePacking;
use super::job::{Job, JobKey, JobManagerState, Payout};
use super::order::{Limits, Order};

/// What a deployment is set to. All of it applies to later jobs only, except `arbitration` and
/// `bond_bps`, which apply to later disputes.
#[derive(Copy, Drop, Serde, PartialEq, Debug)]
pub struct Config {
    /// Of what providers are paid, in basis points; at most 1,000.
    pub fee_bps: u16,
    /// Of a job's amount, put up by a client who disputes; at most 1,000 basis points.
    pub bond_bps: u16,
    /// Seconds in which a client may dispute a result; 1 to 30 days' worth.
    pub window: u32,
    /// Seconds after its deadline in which a job still takes a result; at most 7 days' worth.
    pub grace: u32,
    /// Seconds in which the arbiter may resolve a dispute; 1 hour's to 30 days' worth.
    pub arbitration: u32,
}

const TWO_POW_16: u128 = 0x10000;
const TWO_POW_32: u128 = 0x100000000;

/// From low to high: fee 16 bits, bond 16, window 32, grace 32, arbitration 32.
impl ConfigPacking of StorePacking<Config, u128> {
    fn pack(value: Config) -> u128 {
        let Config { fee_bps, bond_bps, window, grace, arbitration } = value;
        let times = (arbitration.into() * TWO_POW_32 + grace.into()) * TWO_POW_32 + window.into();
        times * TWO_POW_32 + bond_bps.into() * TWO_POW_16 + fee_bps.into()
    }

    fn unpack(value: u128) -> Config {
        let (rest, fee_bps) = DivRem::div_rem(value, TWO_POW_16.try_into().unwrap());
        let (rest, bond_bps) = DivRem::div_rem(rest, TWO_POW_16.try_into().unwrap());
        let (rest, window) = DivRem::div_rem(rest, TWO_POW_32.try_into().unwrap());
        let (arbitration, grace) = DivRem::div_rem(rest, TWO_POW_32.try_into().unwrap());
        Config {
            fee_bps: fee_bps.try_into().unwrap(),
            bond_bps: bond_bps.try_into().unwrap(),
            window: window.try_into().unwrap(),
            grace: grace.try_into().unwrap(),
            arbitration: arbitration.try_into().unwrap(),
        }
    }
}

/// What the contract owes, in the token's smallest unit.
#[derive(Copy, Drop, Serde, PartialEq, Debug)]
pub struct Totals {
    /// For jobs that have not ended.
    pub locked: u128,
    /// To be withdrawn.
    pub credited: u128,
    /// Put up in disputes that are not over.
    pub bonded: u128,
}

#[derive(Copy, Drop, Serde)]
pub struct Assignment {
    pub job_id: felt252,
    pub worker: ContractAddress,
}

#[derive(Copy, Drop, Serde)]
pub struct JobResult {
    pub job_id: felt252,
    /// The first 31 bytes, big-endian, of the BLAKE3 hash of the result.
    pub result_hash: felt252,
    /// Before the fee; ascending by provider.
    pub payouts: Span<Payout>,
}

#[derive(Copy, Drop, Serde)]
pub struct Settlement {
    pub job: JobKey,
    /// As in the job's `JobCompleted`.
    pub payouts: Span<Payout>,
}

#[starknet::interface]
pub trait IJobEscrow<T> {
    /// Pays for one job of the caller's. The id is `job_id_of(caller, salt)`.
    fn submit_job(ref self: T, order: Order, limits: Limits) -> felt252;
    /// The same for several jobs, all or none.
    fn submit_jobs(ref self: T, orders: Span<Order>, limits: Limits);
    /// The same for another client, who signed `orders_hash`. The tokens are the client's, too.
    fn submit_signed(
        ref self: T,
        client: ContractAddress,
        orders: Span<Order>,
        limits: Limits,
        valid_until: u64,
        signature: Array<felt252>,
    );
    /// By an operator: says that a worker has begun. Returns how many jobs were assigned.
    fn assign_jobs(ref self: T, batch: Span<Assignment>) -> u32;
    /// By an operator: says what came out and who earned what. Returns how many were taken.
    fn submit_results(ref self: T, batch: Span<JobResult>) -> u32;
    /// By the client, within the window, with a bond: the arbiter shall look at the caller's job.
    fn dispute(ref self: T, salt: felt252, reason: felt252);
    /// By the arbiter, in time: every payout counts with `share_bps`. A bond goes back to the client
    /// unless the payouts stand in full; then the providers share it.
    fn resolve(ref self: T, job: JobKey, payouts: Span<Payout>, share_bps: u16);
    /// By anyone: pays jobs whose window is over, and disputes that the arbiter left alone.
    /// Returns how many were paid.
    fn settle(ref self: T, batch: Span<Settlement>) -> u32;
    /// By the client while nobody works on it, by an operator until there is a result: refunds.
    fn cancel(ref self: T, job: JobKey);
    /// By anyone: refunds jobs without a result after deadline and grace. Returns how many.
    fn expire(ref self: T, jobs: Span<JobKey>) -> u32;
    /// Sends the caller's credit to an account of its choice. Returns the amount.
    fn withdraw(ref self: T, to: ContractAddress) -> u128;
    /// By anyone: sends an account its own credit. Returns the amount.
    fn withdraw_for(ref self: T, account: ContractAddress) -> u128;

    fn get_job(self: @T, job_id: felt252) -> Job;
    fn get_jobs(self: @T, job_ids: Span<felt252>) -> Span<Job>;
    /// In the words of the original JobManager.
    fn get_job_state(self: @T, job_id: felt252) -> JobManagerState;
    /// The share that an arbiter decided on, in basis points; none when no arbiter did.
    fn ruling_of(self: @T, job_id: felt252) -> Option<u16>;
    fn job_id_of(self: @T, client: ContractAddress, salt: felt252) -> felt252;
    fn payouts_hash(self: @T, payouts: Span<Payout>) -> felt252;
    /// What `client` signs for `submit_signed`: SNIP-12, revision 1.
    fn orders_hash(
        self: @T, client: ContractAddress, orders: Span<Order>, limits: Limits, valid_until: u64,
    ) -> felt252;
    fn credit_of(self: @T, account: ContractAddress) -> u128;
    fn totals(self: @T) -> Totals;
    fn config(self: @T) -> Config;
    fn token(self: @T) -> ContractAddress;
    fn treasury(self: @T) -> ContractAddress;
    fn version(self: @T) -> u32;

    /// By the owner.
    fn set_config(ref self: T, config: Config);
    /// By the owner: who is credited with later fees.
    fn set_treasury(ref self: T, account: ContractAddress);
}

#[starknet::contract]
pub mod JobEscrow {
    use core::num::traits::Zero;
    use starknet::storage::{
        Map, Mutable, StorageAsPointer, StoragePathEntry, StoragePointer0Offset,
        StoragePointerReadAccess, StoragePointerWriteAccess,
    };
    use starknet::{ContractAddress, get_block_timestamp, get_caller_address, get_contract_address};
    use super::super::access::AccessComponent;
    use super::super::erc20::{pull, push};
    use super::super::job::{
        AMOUNT_END, Job, JobKey, JobManagerState, JobState, Payout, StoredJob, Terms, WHOLE_BPS,
        fault_of, job_id_of, original_state, payouts_hash, portion_of, share_of,
    };
    use super::super::order::{Limits, Order, is_signed, message_hash};
    use super::{Assignment, Config, JobResult, Settlement, Totals};

    const MAX_FEE_BPS: u16 = 1000;
    const MAX_BOND_BPS: u16 = 1000;
    const HOUR: u32 = 3600;
    const DAY: u32 = 86400;
    /// The furthest deadline: a year from now.
    const MAX_DURATION: u64 = 31536000;

    component!(path: AccessComponent, storage: access, event: AccessEvent);

    #[abi(embed_v0)]
    impl AccessImpl = AccessComponent::AccessImpl<ContractState>;
    impl AccessInternal = AccessComponent::InternalImpl<ContractState>;

    #[storage]
    struct Storage {
        #[substorage(v0)]
        access: AccessComponent::Storage,
        token: ContractAddress,
        treasury: ContractAddress,
        config: Config,
        jobs: Map<felt252, StoredJob>,
        credits: Map<ContractAddress, u128>,
        /// Bonds of disputes that are not over.
        bonds: Map<felt252, u128>,
        /// One more than the share that an arbiter decided on; zero where none did.
        rulings: Map<felt252, u16>,
        locked: u128,
        credited: u128,
        bonded: u128,
    }

    #[event]
    #[derive(Drop, starknet::Event)]
    pub enum Event {
        #[flat]
        AccessEvent: AccessComponent::Event,
        JobSubmitted: JobSubmitted,
        JobAssigned: JobAssigned,
        JobCompleted: JobCompleted,
        JobDisputed: JobDisputed,
        DisputeResolved: DisputeResolved,
        DisputeLapsed: DisputeLapsed,
        PaymentReleased: PaymentReleased,
        JobRefunded: JobRefunded,
        BondPaid: BondPaid,
        JobSkipped: JobSkipped,
        Withdrawn: Withdrawn,
        ConfigChanged: ConfigChanged,
        TreasuryChanged: TreasuryChanged,
    }

    #[derive(Drop, starknet::Event)]
    pub struct JobSubmitted {
        #[key]
        pub job_id: felt252,
        #[key]
        pub client: ContractAddress,
        pub salt: felt252,
        pub payment: u128,
        pub spec_hash: felt252,
        pub fee_bps: u16,
        pub window: u64,
        pub expires_at: u64,
    }

    #[derive(Drop, starknet::Event)]
    pub struct JobAssigned {
        #[key]
        pub job_id: felt252,
        #[key]
        pub worker: ContractAddress,
    }

    #[derive(Drop, starknet::Event)]
    pub struct JobCompleted {
        #[key]
        pub job_id: felt252,
        pub result_hash: felt252,
        pub window_ends_at: u64,
        pub payouts: Span<Payout>,
    }

    #[derive(Drop, starknet::Event)]
    pub struct JobDisputed {
        #[key]
        pub job_id: felt252,
        #[key]
        pub client: ContractAddress,
        pub reason: felt252,
        pub bond: u128,
        pub resolve_by: u64,
    }

    #[derive(Drop, starknet::Event)]
    pub struct DisputeResolved {
        #[key]
        pub job_id: felt252,
        pub share_bps: u16,
    }

    #[derive(Drop, starknet::Event)]
    pub struct DisputeLapsed {
        #[key]
        pub job_id: felt252,
    }

    /// Credit of a provider: `amount` is without the fee, which is the treasury's credit.
    #[derive(Drop, starknet::Event)]
    pub struct PaymentReleased {
        #[key]
        pub job_id: felt252,
        #[key]
        pub worker: ContractAddress,
        pub amount: u128,
        pub fee: u128,
    }

    /// Credit of a client. Cause: `REMAINDER`, `CANCELLED`, `EXPIRED` or `REJECTED`.
    #[derive(Drop, starknet::Event)]
    pub struct JobRefunded {
        #[key]
        pub job_id: felt252,
        #[key]
        pub client: ContractAddress,
        pub amount: u128,
        pub cause: felt252,
    }

    /// Credit out of a dispute's bond.
    #[derive(Drop, starknet::Event)]
    pub struct BondPaid {
        #[key]
        pub job_id: felt252,
        #[key]
        pub account: ContractAddress,
        pub amount: u128,
    }

    /// An entry of a batch was left out, and why.
    #[derive(Drop, starknet::Event)]
    pub struct JobSkipped {
        #[key]
        pub job_id: felt252,
        pub reason: felt252,
    }

    #[derive(Drop, starknet::Event)]
    pub struct Withdrawn {
        #[key]
        pub account: ContractAddress,
        #[key]
        pub to: ContractAddress,
        pub amount: u128,
    }

    #[derive(Drop, starknet::Event)]
    pub struct ConfigChanged {
        pub config: Config,
    }

    #[derive(Drop, starknet::Event)]
    pub struct TreasuryChanged {
        #[key]
        pub account: ContractAddress,
    }

    /// Changes of the totals that a call has made so far, written once at its end. Credit of one
    /// account is added up as long as no other account's comes between. The sums are felts, in which
    /// amounts of a block cannot wrap; whether they are amounts again is checked at the end.
    #[derive(Drop)]
    struct Books {
        unlocked: felt252,
        unbonded: felt252,
        credited: felt252,
        fees: felt252,
        account: ContractAddress,
        due: felt252,
    }

    /// A job that a call ends.
    #[derive(Copy, Drop)]
    struct Case {
        job_id: felt252,
        client: ContractAddress,
        slot: StoragePointer0Offset<Mutable<StoredJob>>,
        terms: Terms,
    }

    #[constructor]
    fn constructor(
        ref self: ContractState,
        owner: ContractAddress,
        arbiter: ContractAddress,
        treasury: ContractAddress,
        token: ContractAddress,
        operators: Span<ContractAddress>,
        config: Config,
    ) {
        assert(Zero::is_non_zero(@token), 'ZERO_ADDRESS');
        self.access.initialize(owner, arbiter, operators);
        self.token.write(token);
        self.write_treasury(treasury);
        self.write_config(config);
    }

    #[abi(embed_v0)]
    impl EscrowImpl of super::IJobEscrow<ContractState> {
        fn submit_job(ref self: ContractState, order: Order, limits: Limits) -> felt252 {
            let client = get_caller_address();
            self.take_orders(client, array![order].span(), limits);
            job_id_of(client, order.salt)
        }

        fn submit_jobs(ref self: ContractState, orders: Span<Order>, limits: Limits) {
            self.take_orders(get_caller_address(), orders, limits);
        }

        fn submit_signed(
            ref self: ContractState,
            client: ContractAddress,
            orders: Span<Order>,
            limits: Limits,
            valid_until: u64,
            signature: Array<felt252>,
        ) {
            assert(get_block_timestamp() <= valid_until, 'ORDER_TOO_OLD');
            let hash = message_hash(client, orders, limits, valid_until);
            assert(is_signed(client, hash, signature), 'BAD_SIGNATURE');
            self.take_orders(client, orders, limits);
        }

        fn assign_jobs(ref self: ContractState, batch: Span<Assignment>) -> u32 {
            self.access.assert_operator();
            self.access.assert_not_paused();
            let now: u128 = get_block_timestamp().into();
            let mut assigned = 0;
            for entry in batch {
                let Assignment { job_id, worker } = *entry;
                let slot = self.jobs.entry(job_id).terms;
                let mut terms = slot.read();
                if terms.state != JobState::Open {
                    self.skip(job_id, 'NOT_OPEN');
                } else if now >= terms.expires_at {
                    self.skip(job_id, 'TOO_LATE');
                } else if Zero::is_zero(@worker) {
                    self.skip(job_id, 'ZERO_ADDRESS');
                } else {
                    terms.state = JobState::Assigned;
                    slot.write(terms);
                    self.emit(JobAssigned { job_id, worker });
                    assigned += 1;
                }
            };
            assigned
        }

        fn submit_results(ref self: ContractState, batch: Span<JobResult>) -> u32 {
            self.access.assert_operator();
            let now: u128 = get_block_timestamp().into();
            let mut taken = 0;
            for entry in batch {
                let JobResult { job_id, result_hash, payouts } = *entry;
                let job = self.jobs.entry(job_id).as_ptr();
                let mut terms = job.terms.read();
                let fault = if terms.state != JobState::Assigned {
                    'NOT_ASSIGNED'
                } else if now >= terms.expires_at {
                    'TOO_LATE'
                } else {
                    fault_of(payouts, terms.amount)
                };
                if fault != 0 {
                    self.skip(job_id, fault);
                } else {
                    let window_ends_at = now + terms.clock;
                    terms.state = JobState::Submitted;
                    terms.clock = window_ends_at;
                    let window_ends_at = window_ends_at.try_into().unwrap();
                    job.terms.write(terms);
                    job.payouts_hash.write(payouts_hash(payouts));
                    self.emit(JobCompleted { job_id, result_hash, window_ends_at, payouts });
                    taken += 1;
                }
            };
            taken
        }

        fn dispute(ref self: ContractState, salt: felt252, reason: felt252) {
            let now = get_block_timestamp();
            let client = get_caller_address();
            let job_id = job_id_of(client, salt);
            let slot = self.jobs.entry(job_id).terms;
            let mut terms = slot.read();
            assert(terms.state == JobState::Submitted, 'NOT_SUBMITTED');
            assert(now.into() < terms.clock, 'TOO_LATE');
            let config = self.read_config();
            let bond = share_of(terms.amount, config.bond_bps.into());
            let resolve_by = now + config.arbitration.into();
            terms.state = JobState::Disputed;
            terms.clock = resolve_by.into();
            slot.write(terms);
            self.emit(JobDisputed { job_id, client, reason, bond, resolve_by });
            if bond != 0 {
                self.bonds.entry(job_id).write(bond);
                self.bonded.write(self.bonded.read() + bond);
                pull(self.token.read(), client, bond);
            }
        }

        fn resolve(
            ref self: ContractState, job: JobKey, payouts: Span<Payout>, share_bps: u16,
        ) {
            self.access.assert_arbiter();
            assert(share_bps <= WHOLE_BPS, 'BAD_SHARE');
            let case = self.case_of(job);
            let Case { job_id, terms, .. } = case;
            assert(terms.state == JobState::Disputed, 'NOT_DISPUTED');
            assert(get_block_timestamp().into() < terms.clock, 'TOO_LATE');
            assert(case.slot.payouts_hash.read() == payouts_hash(payouts), 'WRONG_PAYOUTS');
            self.rulings.entry(job_id).write(share_bps + 1);
            self.emit(DisputeResolved { job_id, share_bps });
            let mut books = open_books();
            self.pay(ref books, case, payouts, share_bps);
            if share_bps == WHOLE_BPS {
                self.forfeit_bond(ref books, case, payouts);
            } else {
                self.return_bond(ref books, case);
            }
            self.close(books);
        }

        fn settle(ref self: ContractState, batch: Span<Settlement>) -> u32 {
            let now: u128 = get_block_timestamp().into();
            let mut settled = 0;
            let mut books = open_books();
            for entry in batch {
                let Settlement { job, payouts } = *entry;
                let case = self.case_of(job);
                let Case { job_id, terms, .. } = case;
                let disputed = terms.state == JobState::Disputed;
                if terms.state != JobState::Submitted && !disputed {
                    self.skip(job_id, 'NOT_SUBMITTED');
                } else if now < terms.clock {
                    self.skip(job_id, if disputed {
                        'DISPUTED'
                    } else {
                        'WINDOW_OPEN'
                    });
                } else if case.slot.payouts_hash.read() != payouts_hash(payouts) {
                    self.skip(job_id, 'WRONG_PAYOUTS');
                } else {
                    self.pay(ref books, case, payouts, WHOLE_BPS);
                    if disputed {
                        self.emit(DisputeLapsed { job_id });
                        self.return_bond(ref books, case);
                    }
                    settled += 1;
                }
            };
            self.close(books);
            settled
        }

        fn cancel(ref self: ContractState, job: JobKey) {
            let case = self.case_of(job);
            let open = case.terms.state == JobState::Open;
            assert(open || case.terms.state == JobState::Assigned, 'NOT_CANCELLABLE');
            if !open || get_caller_address() != job.client {
                self.access.assert_operator();
            }
            let mut books = open_books();
            self.refund(ref books, case, JobState::Cancelled, 'CANCELLED');
            self.close(books);
        }

        fn expire(ref self: ContractState, jobs: Span<JobKey>) -> u32 {
            let now: u128 = get_block_timestamp().into();
            let mut expired = 0;
            let mut books = open_books();
            for job in jobs {
                let case = self.case_of(*job);
                let Case { job_id, terms, .. } = case;
                if terms.state != JobState::Open && terms.state != JobState::Assigned {
                    self.skip(job_id, 'NOT_WAITING');
                } else if now < terms.expires_at {
                    self.skip(job_id, 'TOO_EARLY');
                } else {
                    self.refund(ref books, case, JobState::Expired, 'EXPIRED');
                    expired += 1;
                }
            };
            self.close(books);
            expired
        }

        fn withdraw(ref self: ContractState, to: ContractAddress) -> u128 {
            self.send_credit(get_caller_address(), to)
        }

        fn withdraw_for(ref self: ContractState, account: ContractAddress) -> u128 {
            self.send_credit(account, account)
        }

        fn get_job(self: @ContractState, job_id: felt252) -> Job {
            self.show(job_id)
        }

        fn get_jobs(self: @ContractState, job_ids: Span<felt252>) -> Span<Job> {
            let mut jobs: Array<Job> = array![];
            for job_id in job_ids {
                jobs.append(self.show(*job_id));
            };
            jobs.span()
        }

        fn get_job_state(self: @ContractState, job_id: felt252) -> JobManagerState {
            original_state(self.jobs.entry(job_id).terms.read().state)
        }

        fn ruling_of(self: @ContractState, job_id: felt252) -> Option<u16> {
            let ruling = self.rulings.entry(job_id).read();
            if ruling == 0 {
                Option::None
            } else {
                Option::Some(ruling - 1)
            }
        }

        fn job_id_of(self: @ContractState, client: ContractAddress, salt: felt252) -> felt252 {
            job_id_of(client, salt)
        }

        fn payouts_hash(self: @ContractState, payouts: Span<Payout>) -> felt252 {
            payouts_hash(payouts)
        }

        fn orders_hash(
            self: @ContractState,
            client: ContractAddress,
            orders: Span<Order>,
            limits: Limits,
            valid_until: u64,
        ) -> felt252 {
            message_hash(client, orders, limits, valid_until)
        }

        fn credit_of(self: @ContractState, account: ContractAddress) -> u128 {
            self.credits.entry(account).read()
        }

        fn totals(self: @ContractState) -> Totals {
            Totals {
                locked: self.locked.read(),
                credited: self.credited.read(),
                bonded: self.bonded.read(),
            }
        }

        fn config(self: @ContractState) -> Config {
            self.read_config()
        }

        fn token(self: @ContractState) -> ContractAddress {
            self.token.read()
        }

        fn treasury(self: @ContractState) -> ContractAddress {
            self.treasury.read()
        }

        fn version(self: @ContractState) -> u32 {
            1
        }

        fn set_config(ref self: ContractState, config: Config) {
            self.access.assert_owner();
            self.write_config(config);
        }

        fn set_treasury(ref self: ContractState, account: ContractAddress) {
            self.access.assert_owner();
            self.write_treasury(account);
        }
    }

    fn checked(sum: felt252) -> u128 {
        sum.try_into().expect('OVERFLOW')
    }

    fn open_books() -> Books {
        Books { unlocked: 0, unbonded: 0, credited: 0, fees: 0, account: Zero::zero(), due: 0 }
    }

    #[generate_trait]
    impl Internal of InternalTrait {
        /// Locks the money of a client's orders, then takes it: the client is the caller or signed.
        fn take_orders(
            ref self: ContractState, client: ContractAddress, orders: Span<Order>, limits: Limits,
        ) {
            self.access.assert_not_paused();
            assert(orders.len() != 0, 'NO_ORDERS');
            let config = self.read_config();
            assert(config.fee_bps <= limits.max_fee_bps, 'FEE_TOO_HIGH');
            assert(config.window >= limits.min_window, 'WINDOW_TOO_SHORT');
            let now = get_block_timestamp();
            let mut total: u128 = 0;
            for order in orders {
                self.open(client, *order, config, now);
                total += *order.amount;
            };
            self.locked.write(self.locked.read() + total);
            pull(self.token.read(), client, total);
        }

        fn open(
            ref self: ContractState,
            client: ContractAddress,
            order: Order,
            config: Config,
            now: u64,
        ) {
            let Order { salt, spec_hash, amount, deadline } = order;
            assert(amount != 0, 'ZERO_AMOUNT');
            assert(amount < AMOUNT_END, 'AMOUNT_TOO_LARGE');
            assert(deadline > now && deadline - now <= MAX_DURATION, 'BAD_DEADLINE');
            let job_id = job_id_of(client, salt);
            let slot = self.jobs.entry(job_id).terms;
            assert(slot.read().state == JobState::None, 'JOB_EXISTS');
            let window: u64 = config.window.into();
            let expires_at = deadline + config.grace.into();
            let fee_bps = config.fee_bps;
            slot
                .write(
                    Terms {
                        amount,
                        state: JobState::Open,
                        fee_bps: fee_bps.into(),
                        clock: window.into(),
                        expires_at: expires_at.into(),
                    },
                );
            let payment = amount;
            self
                .emit(
                    JobSubmitted {
                        job_id, client, salt, payment, spec_hash, fee_bps, window, expires_at,
                    },
                );
        }

        fn case_of(ref self: ContractState, job: JobKey) -> Case {
            let JobKey { client, salt } = job;
            let job_id = job_id_of(client, salt);
            let slot = self.jobs.entry(job_id).as_ptr();
            Case { job_id, client, slot, terms: slot.terms.read() }
        }

        /// Ends a job with a result: every payout counts with `share_bps`, the fee comes off it, and
        /// what is left of the job's amount is the client's.
        fn pay(
            ref self: ContractState,
            ref books: Books,
            case: Case,
            payouts: Span<Payout>,
            share_bps: u16,
        ) {
            let Case { job_id, terms, .. } = case;
            let mut left = terms.amount;
            for payout in payouts {
                let gross = if share_bps == WHOLE_BPS {
                    *payout.amount
                } else {
                    share_of(*payout.amount, share_bps.into())
                };
                if gross != 0 {
                    let fee = share_of(gross, terms.fee_bps);
                    let worker = *payout.provider;
                    let amount = gross - fee;
                    left -= gross;
                    books.fees += fee.into();
                    self.credit(ref books, worker, amount);
                    self.emit(PaymentReleased { job_id, worker, amount, fee });
                }
            };
            if left == terms.amount {
                self.refund(ref books, case, JobState::Rejected, 'REJECTED');
            } else {
                self.end(ref books, case, JobState::Released);
                self.credit_client(ref books, case, left, 'REMAINDER');
            }
        }

        fn refund(
            ref self: ContractState, ref books: Books, case: Case, state: JobState, cause: felt252,
        ) {
            self.end(ref books, case, state);
            self.credit_client(ref books, case, case.terms.amount, cause);
        }

        /// The one place where a job reaches a terminal state, and where its money is unlocked.
        fn end(ref self: ContractState, ref books: Books, case: Case, state: JobState) {
            case.slot.terms.write(Terms { state, ..case.terms });
            books.unlocked += case.terms.amount.into();
        }

        fn credit_client(
            ref self: ContractState, ref books: Books, case: Case, amount: u128, cause: felt252,
        ) {
            if amount != 0 {
                let Case { job_id, client, .. } = case;
                self.credit(ref books, client, amount);
                self.emit(JobRefunded { job_id, client, amount, cause });
            }
        }

        fn return_bond(ref self: ContractState, ref books: Books, case: Case) {
            let bond = self.take_bond(ref books, case.job_id);
            self.pay_bond(ref books, case.job_id, case.client, bond);
        }

        /// Splits a bond between the providers as the payouts are; what does not divide goes back.
        fn forfeit_bond(
            ref self: ContractState, ref books: Books, case: Case, payouts: Span<Payout>,
        ) {
            let Case { job_id, client, .. } = case;
            let bond = self.take_bond(ref books, job_id);
            let mut whole = 0;
            for payout in payouts {
                whole += *payout.amount;
            };
            let mut left = bond;
            for payout in payouts {
                let part = portion_of(bond, *payout.amount, whole);
                left -= part;
                self.pay_bond(ref books, job_id, *payout.provider, part);
            };
            self.pay_bond(ref books, job_id, client, left);
        }

        fn take_bond(ref self: ContractState, ref books: Books, job_id: felt252) -> u128 {
            let bond = self.bonds.entry(job_id).read();
            if bond != 0 {
                self.bonds.entry(job_id).write(0);
                books.unbonded += bond.into();
            }
            bond
        }

        fn pay_bond(
            ref self: ContractState,
            ref books: Books,
            job_id: felt252,
            account: ContractAddress,
            amount: u128,
        ) {
            if amount != 0 {
                self.credit(ref books, account, amount);
                self.emit(BondPaid { job_id, account, amount });
            }
        }

        fn credit(
            ref self: ContractState, ref books: Books, account: ContractAddress, amount: u128,
        ) {
            if account != books.account {
                self.write_credit(books.account, books.due);
                books.account = account;
                books.due = 0;
            }
            books.due += amount.into();
            books.credited += amount.into();
        }

        fn write_credit(ref self: ContractState, account: ContractAddress, amount: felt252) {
            if amount != 0 {
                let credit = self.credits.entry(account).as_ptr();
                credit.write(credit.read() + checked(amount));
            }
        }

        /// Writes what a call changed.
        fn close(ref self: ContractState, mut books: Books) {
            if books.fees != 0 {
                let fees = checked(books.fees);
                let treasury = self.treasury.read();
                self.credit(ref books, treasury, fees);
            }
            self.write_credit(books.account, books.due);
            if books.unlocked != 0 {
                self.locked.write(self.locked.read() - checked(books.unlocked));
            }
            if books.unbonded != 0 {
                self.bonded.write(self.bonded.read() - checked(books.unbonded));
            }
            if books.credited != 0 {
                self.credited.write(self.credited.read() + checked(books.credited));
            }
        }

        fn send_credit(
            ref self: ContractState, account: ContractAddress, to: ContractAddress,
        ) -> u128 {
            assert(Zero::is_non_zero(@to) && to != get_contract_address(), 'BAD_RECEIVER');
            let credit = self.credits.entry(account);
            let amount = credit.read();
            assert(amount != 0, 'NO_CREDIT');
            credit.write(0);
            self.credited.write(self.credited.read() - amount);
            self.emit(Withdrawn { account, to, amount });
            push(self.token.read(), to, amount);
            amount
        }

        fn show(self: @ContractState, job_id: felt252) -> Job {
            let StoredJob { terms, payouts_hash } = self.jobs.entry(job_id).read();
            let Terms { amount, state, fee_bps, clock, expires_at } = terms;
            Job {
                state,
                amount,
                fee_bps: fee_bps.try_into().unwrap(),
                expires_at: expires_at.try_into().unwrap(),
                clock: clock.try_into().unwrap(),
                payouts_hash,
                bond: self.bonds.entry(job_id).read(),
            }
        }

        /// A batch is the caller's; what is left out of it is told to whoever reads events.
        fn skip(ref self: ContractState, job_id: felt252, reason: felt252) {
            self.emit(JobSkipped { job_id, reason });
        }

        fn read_config(self: @ContractState) -> Config {
            self.config.read()
        }

        fn write_config(ref self: ContractState, config: Config) {
            assert(config.fee_bps <= MAX_FEE_BPS, 'BAD_FEE');
            assert(config.bond_bps <= MAX_BOND_BPS, 'BAD_BOND');
            assert(config.window >= 1 && config.window <= 30 * DAY, 'BAD_WINDOW');
            assert(config.grace <= 7 * DAY, 'BAD_GRACE');
            let arbitration = config.arbitration;
            assert(arbitration >= HOUR && arbitration <= 30 * DAY, 'BAD_ARBITRATION');
            self.config.write(config);
            self.emit(ConfigChanged { config });
        }

        fn write_treasury(ref self: ContractState, account: ContractAddress) {
            assert(Zero::is_non_zero(@account), 'ZERO_ADDRESS');
            self.treasury.write(account);
            self.emit(TreasuryChanged { account });
        }
    }
}
