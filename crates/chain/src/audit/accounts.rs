//! What each account was credited with and took, counted from events: so that the contract's word about
//! each can be held against it, and nobody takes what is another's.
//!
//! No event names whom a fee is credited to: it is whoever was the treasury then, which events say, too.

use crate::contract::escrow::EscrowEvent;
use starknet_rust_core::types::Felt;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// One account, in the token's smallest unit.
#[derive(Debug, Default)]
struct Account {
    credited: u128,
    withdrawn: u128,
    /// It was told that it took more than it had.
    told: bool,
}

impl Account {
    fn credit(&self) -> u128 {
        self.credited.saturating_sub(self.withdrawn)
    }
}

/// All accounts that events name.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    all: BTreeMap<Felt, Account>,
    /// Who is credited with fees; `None` before the contract said so.
    treasury: Option<Felt>,
    /// It was told that fees went to nobody knows whom.
    told: bool,
}

impl Accounts {
    /// Takes one more event in, in the order of the chain; what is wrong with it.
    pub(super) fn take(&mut self, event: &EscrowEvent) -> Option<String> {
        match event {
            EscrowEvent::TreasuryChanged { account } => self.treasury = Some(*account),
            EscrowEvent::PaymentReleased { worker, amount, fee, .. } => {
                self.credit(*worker, *amount);
                return self.fee(*fee);
            }
            EscrowEvent::JobRefunded { client, amount, .. } => self.credit(*client, *amount),
            EscrowEvent::BondPaid { account, amount, .. } => self.credit(*account, *amount),
            EscrowEvent::Withdrawn { account, amount, .. } => return self.withdraw(*account, *amount),
            _ => {}
        }
        None
    }

    fn credit(&mut self, account: Felt, amount: u128) {
        let of = self.all.entry(account).or_default();
        of.credited = of.credited.saturating_add(amount);
    }

    fn fee(&mut self, fee: u128) -> Option<String> {
        match self.treasury {
            Some(treasury) if fee > 0 => self.credit(treasury, fee),
            None if fee > 0 && !std::mem::replace(&mut self.told, true) => {
                return Some(
                    "fees were credited before the events name a treasury: \
                     these begin behind the contract's deployment"
                        .to_owned(),
                );
            }
            _ => {}
        }
        None
    }

    fn withdraw(&mut self, account: Felt, amount: u128) -> Option<String> {
        let of = self.all.entry(account).or_default();
        let had = of.credit();
        of.withdrawn = of.withdrawn.saturating_add(amount);
        let wrong = amount > had && !std::mem::replace(&mut of.told, true);
        wrong.then(|| format!("{account:#066x} took {amount} FRI and had {had} FRI"))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// At most so many of them: those first that have most.
    pub(super) fn sample(&self, most: usize) -> Vec<Felt> {
        let mut all: Vec<(u128, Felt)> =
            self.all.iter().map(|(account, of)| (of.credit(), *account)).collect();
        all.sort_by_key(|(credit, account)| (Reverse(*credit), *account));
        all.into_iter().take(most).map(|(_, account)| account).collect()
    }

    /// Holds an account against what the contract says that it can take; what is wrong.
    pub(super) fn compare(&self, account: Felt, said: u128) -> Option<String> {
        let counted = self.all.get(&account).map_or(0, Account::credit);
        (counted != said).then(|| {
            format!("{account:#066x} has {counted} FRI of credit by the events, {said} FRI by the contract")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn felt(n: u64) -> Felt {
        Felt::from(n)
    }

    fn paid(worker: u64, amount: u128, fee: u128) -> EscrowEvent {
        EscrowEvent::PaymentReleased { job_id: Felt::ONE, worker: felt(worker), amount, fee }
    }

    fn taken(account: u64, amount: u128) -> EscrowEvent {
        EscrowEvent::Withdrawn { account: felt(account), to: felt(1), amount }
    }

    fn treasury(account: u64) -> EscrowEvent {
        EscrowEvent::TreasuryChanged { account: felt(account) }
    }

    #[test]
    fn fees_are_whose_the_treasury_was_and_what_is_taken_is_no_longer_there() {
        let mut accounts = Accounts::default();
        let life = [treasury(5), paid(8, 90, 10), treasury(6), paid(8, 45, 5), taken(8, 135), paid(9, 0, 0)];
        assert!(life.iter().all(|event| accounts.take(event).is_none()));
        for (account, credit) in [(5, 10), (6, 5), (8, 0), (9, 0), (77, 0)] {
            assert_eq!(accounts.compare(felt(account), credit), None, "{account}");
            assert!(
                accounts.compare(felt(account), credit + 1).is_some_and(|words| words.contains("credit"))
            );
        }
        assert_eq!((accounts.count(), accounts.sample(2)), (4, vec![felt(5), felt(6)]));
    }

    #[test]
    fn who_takes_what_it_does_not_have_is_told_once() {
        let mut accounts = Accounts::default();
        accounts.take(&treasury(5));
        accounts.take(&paid(8, 90, 10));
        let wrong = accounts.take(&taken(8, 91)).unwrap_or_default();
        assert!(wrong.contains("took 91 FRI and had 90 FRI"), "{wrong}");
        assert_eq!(accounts.take(&taken(8, 1)), None, "one cause");
        assert!(accounts.take(&taken(9, 1)).is_some(), "another account");
        assert_eq!(accounts.compare(felt(8), 0), None);
    }

    #[test]
    fn fees_before_a_treasury_are_told_once() {
        let mut accounts = Accounts::default();
        assert_eq!(accounts.take(&paid(8, 90, 0)), None);
        assert!(accounts.take(&paid(8, 90, 1)).is_some_and(|words| words.contains("name a treasury")));
        assert_eq!(accounts.take(&paid(8, 90, 1)), None);
        assert_eq!(accounts.count(), 1);
    }
}
