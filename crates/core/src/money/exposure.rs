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
}

/// The decision about `job`, unless it begins work that puts more than `most` at risk: then the job waits, and
/// its client can take the deposit back as long as nobody was assigned. `at_risk` is what is at risk of all
/// others, and grows with what is let through. What was begun goes on.
#[must_use]
pub fn bounded(decision: Decision, job: &Job, at_risk: &mut Fri, most: Fri, now: Timestamp) -> Decision {
    let begins = matches!(decision.act, Act::Fund | Act::Send(Ask::Assign));
    let escrow = job.escrow.as_ref().filter(|_| begins && !job.state.is_ended());
    let new = |escrow: &&Escrow| escrow.deposit.is_some_and(|deposit| deposit.lost_at.is_none());
    let Some(escrow) = escrow.map(|escrow| &**escrow).filter(new) else { return decision };
    let with_it = Fri(at_risk.0.saturating_add(escrow.amount.0));
    if with_it <= most {
        *at_risk = with_it;
        return decision;
    }
    let trouble = Some(Trouble::Exposure { most });
    Decision { act: Act::Wait, look_at: Some(now.plus_ms(HELD_MS)), trouble }
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
        }
    }
}
