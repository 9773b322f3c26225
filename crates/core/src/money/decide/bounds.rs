//! What begins beside what: no more is put at risk than the operator stands for, whatever comes together.

use super::tests::{AMOUNT, NOW, SECOND, escrow, horizon, job, spec_hash, waiting};
use super::*;
use crate::job::JobState;
use crate::money::exposure::Bound;
use proptest::prelude::*;

fn decided(job: &Job, state: ChainState) -> Decision {
    decide(job, &spec_hash(), Some(&escrow(state)), &horizon(SECOND))
}

#[test]
fn work_begins_only_as_far_as_the_operator_stands_for_it() {
    // At risk, promised, the most; whether an assignment and a beginning go through.
    let table = [
        (500, 0, 500 + AMOUNT, true, true),
        (500, 0, 499 + AMOUNT, false, false),
        (0, 500, 500 + AMOUNT, true, true),
        // What is promised has been let through before: it may begin, and nothing else beside it.
        (0, AMOUNT, AMOUNT, false, true),
        (0, 2 * AMOUNT, 2 * AMOUNT, false, true),
    ];
    for (at_risk, promised, most, assigns, begins) in table {
        for (state, expected) in [(ChainState::Open, assigns), (ChainState::Assigned, begins)] {
            let new = waiting();
            let before = Bound { most: Fri(most), at_risk: Fri(at_risk), promised: Fri(promised) };
            let mut bound = before;
            let decision = bound.hold(decided(&new, state), &new, false, NOW);
            assert_eq!(decision.act != Act::Wait, expected, "{before:?} {state:?}");
            if !expected {
                let too_much = Trouble::Exposure { most: Fri(most) };
                assert_eq!((decision.trouble, bound), (Some(too_much), before));
            }
        }
    }
    let mut nothing = Bound { most: Fri(0), at_risk: Fri(500), promised: Fri(AMOUNT) };
    let before = nothing;
    let mut goes_on = |job: &Job, state, promised| {
        nothing.hold(decided(job, state), job, promised, NOW).act != Act::Wait && nothing == before
    };
    assert!(goes_on(&waiting(), ChainState::Open, true), "what was asked for is asked for again");
    let mut back = waiting();
    back.escrow.as_mut().unwrap().deposit.as_mut().unwrap().lost_at = Some(NOW);
    assert!(goes_on(&back, ChainState::Assigned, false), "what was begun goes on");
    let due = job(JobState::Completed, SettlementState::Settling, &[(1, 10)]);
    assert!(goes_on(&due, ChainState::Open, false), "what was earned is paid");
}

/// Where a deposit of the test is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    Open,
    Asked,
    Assigned,
    Begun,
    Done,
}

proptest! {
    /// Deposits of any amounts, looked at in any order and in pages of any length, with the chain at work in
    /// between.
    #[test]
    fn what_was_assigned_begins_and_never_too_much(
        amounts in prop::collection::vec(1_u128..400, 1..12),
        most in 0_u128..1_500,
        steps in prop::collection::vec((0_usize..12, 0_u8..4), 0..80),
    ) {
        let mut all: Vec<(Job, At)> = amounts.iter().map(|amount| {
            let mut job = waiting();
            job.escrow.as_mut().unwrap().amount = Fri(*amount);
            (job, At::Open)
        }).collect();
        let sum = |all: &[(Job, At)], which: &[At]| {
            let those = all.iter().filter(|(_, at)| which.contains(at));
            Fri(those.map(|(job, _)| job.escrow.as_ref().unwrap().amount.0).sum())
        };
        let counted = |all: &[(Job, At)]| Bound {
            most: Fri(most),
            at_risk: sum(all, &[At::Begun]),
            promised: sum(all, &[At::Asked, At::Assigned]),
        };
        let mut bound = counted(&all);
        for (which, what) in steps {
            let which = which % all.len();
            let (job, at) = all[which].clone();
            let amount = job.escrow.as_ref().unwrap().amount;
            let chain = |state| ChainEscrow { amount, ..escrow(state) };
            let look = |state| decide(&job, &spec_hash(), Some(&chain(state)), &horizon(SECOND));
            match (what, at) {
                // The next page.
                (0, _) => bound = counted(&all),
                (1, At::Asked) => all[which].1 = At::Assigned,
                (1, At::Begun) => all[which].1 = At::Done,
                (_, At::Open | At::Asked) => {
                    let asked = at == At::Asked;
                    let decision = bound.hold(look(ChainState::Open), &job, asked, NOW);
                    prop_assert!(!asked || decision.act == Act::Send(Ask::Assign), "asked for once, asked for again");
                    if decision.act != Act::Wait {
                        all[which].1 = At::Asked;
                    }
                }
                (_, At::Assigned) => {
                    let decision = bound.hold(look(ChainState::Assigned), &job, true, NOW);
                    prop_assert_eq!(decision.act, Act::Fund, "nobody waits with a deposit that is assigned");
                    all[which].1 = At::Begun;
                }
                (_, At::Begun | At::Done) => {}
            }
            let is = counted(&all);
            prop_assert!(is.at_risk.0 + is.promised.0 <= most, "{:?}", is);
        }
    }
}
