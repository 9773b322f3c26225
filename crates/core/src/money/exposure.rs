//! What stands for providers' work before the chain has accepted a result: until then a deposit can be lost
//! to a reorganisation or run out, and what they earned is the operator's word alone.

use super::decide::{Act, Ask, Decision, Trouble};
use super::{ChainState, Escrow};
use crate::amount::Fri;
use crate::job::{Job, SettlementState};
use crate::time::Timestamp;

/// A job that is held back is looked at again after so long, ms.
const HELD_MS: u64 = 5_000;

impl Escrow {
    /// What could be owed for the job if its deposit were lost now: while it runs all that it may still
    /// earn, after its end what it earned. Nothing before it was funded, and nothing once the chain has a
    /// result of it.
    #[must_use]
    pub fn at_risk(&self, state: SettlementState, ended: bool, chain: Option<ChainState>) -> Fri {
        let Some(deposit) = &self.deposit else { return Fri(0) };
        let accepted = chain.is_some_and(|chain| chain >= ChainState::Submitted);
        let begun = state != SettlementState::Locking || deposit.lost_at.is_some();
        match state {
            SettlementState::None | SettlementState::Settled => Fri(0),
            _ if accepted || !begun => Fri(0),
            _ if ended => self.earned(),
            _ => self.amount,
        }
    }

    /// What will be at risk once the job begins, for one whose deposit nobody can take back any more, or soon:
    /// it is `assigned`, or the chain was asked for that. Nothing once it has begun.
    #[must_use]
    pub fn promised(&self, state: SettlementState, ended: bool, assigned: bool) -> Fri {
        let new = self.deposit.is_some_and(|deposit| deposit.lost_at.is_none());
        let waits = new && state == SettlementState::Locking && !ended;
        if waits && assigned { self.amount } else { Fri(0) }
    }
}

/// What all jobs put at risk together, and how much that may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The most.
    pub most: Fri,
    /// What is at risk ([`Escrow::at_risk`]).
    pub at_risk: Fri,
    /// What will be, once the jobs begin whose deposits are assigned ([`Escrow::promised`]).
    pub promised: Fri,
}

impl Bound {
    /// The decision about `job`, unless it leads to work that puts too much at risk: then the job waits. A
    /// deposit is assigned only as far as all that were assigned before may begin, so that its client can take
    /// it back as long as it would wait. What was begun goes on, and what was `promised` already is asked for
    /// again. What is let through is counted.
    #[must_use]
    pub fn hold(&mut self, decision: Decision, job: &Job, promised: bool, now: Timestamp) -> Decision {
        let new = |escrow: &&Escrow| {
            escrow.deposit.is_some_and(|deposit| deposit.lost_at.is_none()) && !job.state.is_ended()
        };
        let Some(escrow) = job.escrow.as_deref().filter(new) else { return decision };
        let with = |sum: Fri| Fri(sum.0.saturating_add(escrow.amount.0));
        let fits = match &decision.act {
            Act::Fund => {
                let fits = with(self.at_risk) <= self.most;
                if fits {
                    self.at_risk = with(self.at_risk);
                    self.promised = Fri(self.promised.0.saturating_sub(escrow.amount.0));
                }
                fits
            }
            Act::Send(Ask::Assign) if !promised => {
                let fits = with(Fri(self.at_risk.0.saturating_add(self.promised.0))) <= self.most;
                if fits {
                    self.promised = with(self.promised);
                }
                fits
            }
            _ => true,
        };
        if fits {
            return decision;
        }
        let trouble = Some(Trouble::Exposure { most: self.most });
        Decision { act: Act::Wait, look_at: Some(now.plus_ms(HELD_MS)), trouble }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::{Deposit, Payee, Provider};
    use crate::payout::PayoutAddress;
    use crate::time::Timestamp;

    #[test]
    fn a_job_is_at_risk_from_its_first_grant_to_its_result() {
        let client = PayoutAddress::new([1; 32]).unwrap();
        let deposit = Deposit { client, salt: [2; 32], id: [3; 32], splits: false, lost_at: None };
        let payee = Payee { provider: Provider::Address(client), earned: Fri(30), live: 1 };
        let escrow =
            Escrow { amount: Fri(100), fee_bps: 0, wall_ms: 1, payees: vec![payee], deposit: Some(deposit) };
        let lost =
            Escrow { deposit: Some(Deposit { lost_at: Some(Timestamp(1)), ..deposit }), ..escrow.clone() };
        let balance = Escrow { deposit: None, ..escrow.clone() };
        use {ChainState as C, SettlementState as S};
        let table = [
            (&escrow, S::Locking, false, None, 0),
            (&escrow, S::Locking, false, Some(C::Open), 0),
            (&escrow, S::Locked, false, Some(C::Assigned), 100),
            (&lost, S::Locking, false, None, 100),
            (&lost, S::Settling, true, None, 30),
            (&escrow, S::Settling, true, Some(C::Assigned), 30),
            (&escrow, S::Settling, true, Some(C::Submitted), 0),
            (&escrow, S::Disputed, true, Some(C::Disputed), 0),
            (&escrow, S::Settled, true, Some(C::Released), 0),
            (&balance, S::Locked, false, None, 0),
        ];
        for (escrow, state, ended, chain, expected) in table {
            assert_eq!(escrow.at_risk(state, ended, chain), Fri(expected), "{state:?} {ended} {chain:?}");
            // What is promised is not at risk yet, and nobody promises what has begun.
            let promised = escrow.promised(state, ended, true);
            let waits = escrow.deposit.is_some() && state == S::Locking && expected == 0;
            assert_eq!(promised, if waits { Fri(100) } else { Fri(0) }, "{state:?} {ended} {chain:?}");
            assert_eq!(escrow.promised(state, ended, false), Fri(0));
        }
    }
}
