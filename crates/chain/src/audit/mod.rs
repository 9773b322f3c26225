//! What a contract owes and what became of every escrow, counted from its events alone, and held against
//! what the contract itself says: who audits needs no coordinator, and believes none. [`audit`] reads; all else is
//! pure.
//!
//! Invariant that is checked: an escrow is shared out once, in one transaction, and to the unit; no provider
//! is credited twice for it; a bond goes back or to the providers, whole; and nobody takes more than it was
//! credited with.

mod accounts;
mod read;

pub use read::{AuditError, Audited, Bounds, Progress, audit};

use accounts::Accounts;

use crate::contract::DecodeError;
use crate::contract::escrow::{EscrowEvent, Totals};
use crate::contract::job::{Job, JobState, Payout, payouts_hash};
use crate::follow::{self, Moment};
use ciro_core::money::{ChainEscrow, ChainPayout, ChainState};
use starknet_rust_core::types::Felt;
use std::collections::{BTreeMap, BTreeSet};

/// Findings that are kept; further ones are counted.
pub const MAX_FINDINGS: usize = 1_000;

/// One escrow as its events tell it.
#[derive(Debug)]
struct Case {
    escrow: ChainEscrow,
    /// Who was credited for work.
    paid: BTreeSet<Felt>,
    /// The transaction that shared it out.
    shared_out: Option<Felt>,
    /// What was put up in disputes, and what was paid out of it.
    bond: [u128; 2],
}

/// An audit under way. See the module.
#[derive(Debug, Default)]
pub struct Audit {
    cases: BTreeMap<Felt, Case>,
    accounts: Accounts,
    credited: u128,
    withdrawn: u128,
    events: u64,
    findings: Vec<String>,
    more: u64,
}

impl Audit {
    /// Takes one more event in, in the order of the chain.
    ///
    /// # Errors
    /// When an address in it is none.
    pub fn take(
        &mut self,
        event: &EscrowEvent,
        moment: Moment,
        transaction: Felt,
    ) -> Result<(), DecodeError> {
        self.events += 1;
        if let Some(wrong) = self.accounts.take(event) {
            self.found(format!("block {}: {wrong}", moment.block));
        }
        match event {
            EscrowEvent::Withdrawn { amount, .. } => add(&mut self.withdrawn, *amount),
            EscrowEvent::PaymentReleased { amount, fee, .. } => {
                add(&mut self.credited, sum(&[*amount, *fee]))
            }
            EscrowEvent::JobRefunded { amount, .. } | EscrowEvent::BondPaid { amount, .. } => {
                add(&mut self.credited, *amount);
            }
            _ => {}
        }
        let Some(id) = follow::subject(event) else { return Ok(()) };
        let before = self.cases.remove(&id);
        if let (Some(_), EscrowEvent::JobSubmitted { .. }) = (&before, event) {
            self.found(format!("escrow {id:#066x} was paid in twice"));
        }
        let (escrow, mut case) = match before {
            Some(Case { escrow, paid, shared_out, bond }) => (Some(escrow), (paid, shared_out, bond)),
            None => (None, (BTreeSet::new(), None, [0; 2])),
        };
        let Some(escrow) = follow::after(escrow, event, moment)? else {
            // Anybody may name what is not there: it is left out, or is paid in later.
            if !matches!(event, EscrowEvent::JobSkipped { .. }) {
                self.found(format!("escrow {id:#066x} has `{}` and was never paid in", event.name()));
            }
            return Ok(());
        };
        let (paid, shared_out, bond) = &mut case;
        match event {
            EscrowEvent::PaymentReleased { worker, .. } if !paid.insert(*worker) => {
                self.found(format!("escrow {id:#066x} paid {worker:#066x} twice"));
            }
            EscrowEvent::JobDisputed { bond: put_up, .. } => add(&mut bond[0], *put_up),
            EscrowEvent::BondPaid { amount, .. } => add(&mut bond[1], *amount),
            _ => {}
        }
        if matches!(event, EscrowEvent::PaymentReleased { .. } | EscrowEvent::JobRefunded { .. })
            && *shared_out.get_or_insert(transaction) != transaction
        {
            self.found(format!("escrow {id:#066x} was shared out again by {transaction:#066x}"));
        }
        let (paid, shared_out, bond) = case;
        self.cases.insert(id, Case { escrow, paid, shared_out, bond });
        Ok(())
    }

    fn found(&mut self, finding: String) {
        if self.findings.len() < MAX_FINDINGS { self.findings.push(finding) } else { self.more += 1 }
    }

    /// Events that were taken in.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many escrows there are in each state.
    #[must_use]
    pub fn states(&self) -> BTreeMap<ChainState, u64> {
        let mut states = BTreeMap::new();
        self.cases.values().for_each(|case| *states.entry(case.escrow.state).or_default() += 1);
        states
    }

    /// What the contract owes.
    #[must_use]
    pub fn owed(&self) -> Totals {
        let open = self.cases.values().filter(|case| !case.escrow.state.is_over());
        Totals {
            locked: open.fold(0, |sum, case| sum.saturating_add(case.escrow.amount.0)),
            credited: self.credited.saturating_sub(self.withdrawn),
            bonded: self
                .cases
                .values()
                .fold(0, |sum, case| sum.saturating_add(case.bond[0].saturating_sub(case.bond[1]))),
        }
    }

    /// The ids of at most so many escrows that are to be held against the contract's own word: those that
    /// are open first, then the newest.
    #[must_use]
    pub fn sample(&self, most: usize) -> Vec<Felt> {
        let mut all: Vec<(&Felt, &ChainEscrow)> =
            self.cases.iter().map(|(id, case)| (id, &case.escrow)).collect();
        all.sort_by_key(|(_, escrow)| (escrow.state.is_over(), std::cmp::Reverse(escrow.state_block)));
        all.into_iter().take(most).map(|(id, _)| *id).collect()
    }

    /// Holds an escrow against what the contract says of it.
    pub fn compare(&mut self, id: Felt, job: &Job) {
        let said = self.cases.get(&id).map(|case| differs(&case.escrow, job));
        if let Some(Some(what)) = said {
            self.found(format!("escrow {id:#066x}: {what}"));
        }
    }

    /// How many accounts were credited or took something.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.accounts.count()
    }

    /// At most so many accounts that are to be held against the contract's own word: those first that
    /// have most to take.
    #[must_use]
    pub fn account_sample(&self, most: usize) -> Vec<Felt> {
        self.accounts.sample(most)
    }

    /// Holds an account against what the contract says that it can take.
    pub fn compare_account(&mut self, account: Felt, credit: u128) {
        if let Some(wrong) = self.accounts.compare(account, credit) {
            self.found(wrong);
        }
    }

    /// Ends it with what the contract says that it owes, and what it has of the token, at the last block.
    /// What does not hold, and how many findings there are beyond [`MAX_FINDINGS`].
    #[must_use]
    pub fn end(mut self, totals: &Totals, balance: u128) -> (Vec<String>, u64) {
        let ended: Vec<String> = self.cases.iter().filter_map(|(id, case)| case.ended_badly(id)).collect();
        ended.into_iter().for_each(|finding| self.found(finding));
        let owed = self.owed();
        for (what, counted, said) in [
            ("locked", owed.locked, totals.locked),
            ("credited", owed.credited, totals.credited),
            ("bonded", owed.bonded, totals.bonded),
        ] {
            if counted != said {
                self.found(format!("the events come to {counted} FRI {what}, the contract says {said} FRI"));
            }
        }
        let liabilities = sum(&[owed.locked, owed.credited, owed.bonded]);
        if balance < liabilities {
            self.found(format!("the contract has {balance} FRI and owes {liabilities} FRI"));
        }
        (self.findings, self.more)
    }
}

/// A node may say anything: what is too large is the largest number, and is not what the contract says.
fn sum(parts: &[u128]) -> u128 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
}

fn add(to: &mut u128, amount: u128) {
    *to = to.saturating_add(amount);
}

impl Case {
    /// What is wrong with an escrow that is over.
    fn ended_badly(&self, id: &Felt) -> Option<String> {
        let ChainEscrow { state, amount, paid, fee, refunded, .. } = &self.escrow;
        let credited = sum(&[paid.0, fee.0, refunded.0]);
        let [put_up, returned] = self.bond;
        if !state.is_over() {
            return (credited > 0)
                .then(|| format!("escrow {id:#066x} is {} and was shared out", state.name()));
        }
        if credited != amount.0 {
            return Some(format!("escrow {id:#066x}: {credited} FRI of {amount} FRI were credited"));
        }
        (put_up != returned)
            .then(|| format!("escrow {id:#066x}: {returned} FRI of a bond of {put_up} FRI were paid out"))
    }
}

/// What an escrow is by its events and not by the contract; `None` where they agree.
#[must_use]
pub fn differs(escrow: &ChainEscrow, job: &Job) -> Option<String> {
    let state = match job.state {
        JobState::None => return Some("the contract does not have it".to_owned()),
        JobState::Open => ChainState::Open,
        JobState::Assigned => ChainState::Assigned,
        JobState::Submitted => ChainState::Submitted,
        JobState::Disputed => ChainState::Disputed,
        JobState::Released => ChainState::Released,
        JobState::Cancelled => ChainState::Cancelled,
        JobState::Expired => ChainState::Expired,
        JobState::Rejected => ChainState::Rejected,
    };
    let (is, said) = (escrow.state.name(), state.name());
    let clock = escrow.clock.unwrap_or(escrow.window_s);
    let terms = [
        ("amount", escrow.amount.0, job.amount),
        ("fee_bps", u128::from(escrow.fee_bps), u128::from(job.fee_bps)),
        ("expires_at", u128::from(escrow.expires_at), u128::from(job.expires_at)),
        ("clock", u128::from(clock), u128::from(job.clock)),
    ];
    if is != said {
        return Some(format!("its events say {is}, the contract says {said}"));
    }
    let wrong = terms.into_iter().find(|(_, ours, theirs)| ours != theirs);
    let wrong =
        wrong.map(|(what, ours, theirs)| format!("{what} is {ours} by its events, {theirs} by the contract"));
    let payouts = hash_of(&escrow.payouts);
    wrong.or_else(|| {
        (payouts != job.payouts_hash).then(|| {
            let said = job.payouts_hash;
            format!("its payouts have the hash {payouts:#x} by its events, {said:#x} by the contract")
        })
    })
}

/// The hash that the contract keeps of payouts; 0 before there are any.
fn hash_of(payouts: &[ChainPayout]) -> Felt {
    let one = |of: &ChainPayout| Payout {
        provider: Felt::from_bytes_be(&of.provider.bytes()),
        amount: of.amount.0,
    };
    match payouts {
        [] => Felt::ZERO,
        some => payouts_hash(&some.iter().map(one).collect::<Vec<_>>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMOUNT: u128 = 1_000;

    fn submitted(id: u64) -> EscrowEvent {
        EscrowEvent::JobSubmitted {
            job_id: Felt::from(id),
            client: Felt::from(7_u8),
            salt: Felt::from(id),
            payment: AMOUNT,
            spec_hash: Felt::ONE,
            fee_bps: 100,
            window: 60,
            expires_at: 10_000,
        }
    }

    fn paid(id: u64, worker: u64, amount: u128, fee: u128) -> EscrowEvent {
        EscrowEvent::PaymentReleased { job_id: Felt::from(id), worker: Felt::from(worker), amount, fee }
    }

    fn refunded(id: u64, amount: u128) -> EscrowEvent {
        EscrowEvent::JobRefunded {
            job_id: Felt::from(id),
            client: Felt::from(7_u8),
            amount,
            cause: Felt::ONE,
        }
    }

    /// A life that is as it should be; each event with its transaction.
    fn life() -> Vec<(EscrowEvent, u64)> {
        let (job_id, account) = (Felt::ONE, Felt::from(7_u8));
        vec![
            (EscrowEvent::TreasuryChanged { account: Felt::from(5_u8) }, 0),
            (submitted(1), 1),
            (submitted(2), 1),
            (
                EscrowEvent::JobDisputed {
                    job_id,
                    client: account,
                    reason: Felt::ONE,
                    bond: 50,
                    resolve_by: 9,
                },
                2,
            ),
            (paid(1, 8, 396, 4), 3),
            (paid(1, 9, 99, 1), 3),
            (refunded(1, 500), 3),
            (EscrowEvent::BondPaid { job_id, account, amount: 50 }, 3),
            (EscrowEvent::Withdrawn { account, to: account, amount: 550 }, 4),
        ]
    }

    fn audited(events: &[(EscrowEvent, u64)], totals: Totals, balance: u128) -> Vec<String> {
        let mut audit = Audit::default();
        for (event, transaction) in events {
            audit.take(event, Moment { block: *transaction, at: 0 }, Felt::from(*transaction)).unwrap();
        }
        audit.end(&totals, balance).0
    }

    #[test]
    fn what_does_not_hold_is_found_and_nothing_else() {
        let totals = || Totals { locked: AMOUNT, credited: 500, bonded: 0 };
        assert_eq!(audited(&life(), totals(), 1_500), [""; 0]);
        assert_eq!(audited(&life(), totals(), 9_999), [""; 0], "a gift harms nobody");
        let skipped = EscrowEvent::JobSkipped { job_id: Felt::from(3_u8), reason: Felt::ZERO };
        let before: Vec<_> = std::iter::once((skipped, 1)).chain(life()).collect();
        assert_eq!(audited(&before, totals(), 1_500), [""; 0], "nor does what was left out");
        type Spoil = fn(&mut Vec<(EscrowEvent, u64)>);
        let spoiled: [(&str, Spoil); 10] = [
            ("paid in twice", |all| all.push((submitted(2), 5))),
            ("never paid in", |all| all.push((paid(3, 8, 1, 0), 5))),
            ("twice", |all| all.push((paid(1, 8, 396, 4), 3))),
            ("shared out again", |all| all.push((refunded(1, 0), 5))),
            ("were credited", |all| all.retain(|(event, _)| event.name() != "JobRefunded")),
            ("of a bond of", |all| all.retain(|(event, _)| event.name() != "BondPaid")),
            ("FRI locked", |all| all.push((submitted(3), 5))),
            ("name a treasury", |all| drop(all.remove(0))),
            ("FRI credited", |all| {
                all.retain(|(event, _)| event.name() != "Withdrawn");
            }),
            ("took 10000 FRI and had 0 FRI", |all| {
                let account = Felt::from(7_u8);
                all.push((EscrowEvent::Withdrawn { account, to: account, amount: 10_000 }, 5));
            }),
        ];
        for (number, (words, spoil)) in spoiled.into_iter().enumerate() {
            let mut events = life();
            spoil(&mut events);
            let found = audited(&events, totals(), 1_500);
            assert!(found.iter().any(|finding| finding.contains(words)), "{number}: `{words}` in {found:?}");
        }
        assert!(audited(&life(), totals(), 1_499)[0].contains("owes 1500 FRI"));
        let late = audited(&life().split_off(8), totals(), 1_500);
        assert_eq!(late.len(), 3, "one cause is told once, what follows from it beside it: {late:?}");
        let most = vec![(paid(1, 8, u128::MAX, u128::MAX), 3), (refunded(1, u128::MAX), 3)];
        let events = [vec![(submitted(1), 1)], most].concat();
        assert!(!audited(&events, totals(), 1_500).is_empty(), "sums have no end, numbers have");
    }

    #[test]
    fn an_escrow_that_the_contract_tells_otherwise_is_found() {
        let mut audit = Audit::default();
        audit.take(&submitted(1), Moment { block: 1, at: 0 }, Felt::ONE).unwrap();
        assert_eq!((audit.sample(10), audit.sample(0)), (vec![Felt::ONE], Vec::new()));
        let job = |state, amount| Job {
            state,
            amount,
            fee_bps: 100,
            expires_at: 10_000,
            clock: 60,
            payouts_hash: Felt::ZERO,
            bond: 0,
        };
        audit.compare(Felt::ONE, &job(JobState::Open, AMOUNT));
        let totals = Totals { locked: AMOUNT, credited: 0, bonded: 0 };
        let open = || job(JobState::Open, AMOUNT);
        for other in [
            job(JobState::None, AMOUNT),
            job(JobState::Assigned, AMOUNT),
            job(JobState::Open, AMOUNT - 1),
            Job { fee_bps: 101, ..open() },
            Job { expires_at: 10_001, ..open() },
            Job { clock: 61, ..open() },
            Job { payouts_hash: Felt::ONE, ..open() },
        ] {
            audit.compare(Felt::ONE, &other);
        }
        audit.compare_account(Felt::from(7_u8), 1);
        let found = audit.end(&totals, AMOUNT).0;
        assert_eq!(found.len(), 8, "{found:?}");
    }
}
