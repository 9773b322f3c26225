//! I12, I13 and I16 of one job: what is locked is paid, taken as fee, given back or held, nobody but the
//! workers of accepted results has earned anything, and a job that ended has been shared out.

use super::{Found, JobHistory};
use crate::attempt::AttemptState;
use crate::event::JobEvent;
use crate::job::{Holds, Settlement, SettlementState};
use crate::money::{Escrow, MAX_PAYEES, Method};

pub(super) fn check(h: &JobHistory<'_>, found: &mut Found) {
    let (job, is) = (h.job, h.job.settlement);
    let sum = [is.paid, is.fee, is.refunded, is.held].iter().try_fold(0_u128, |sum, n| sum.checked_add(n.0));
    found.check(sum == Some(is.escrowed.0), "I13", || format!("its amounts do not add up: {is:?}"));
    let Some(escrow) = &job.escrow else {
        found.check(is == Settlement::default(), "I13", || format!("nobody pays for it, and it has {is:?}"));
        let paid = h.attempts.iter().any(|attempt| attempt.payee.is_some());
        return found.check(!paid, "I16", || "nobody pays for it, and an attempt earns".into());
    };
    state(h, escrow, found);
    // What the chain paid is its own word; so far it is what providers earned.
    if is.state != SettlementState::Settled || escrow.method() == Method::Balance {
        let stands = escrow.stands(is.state);
        found.check(is == stands, "I13", || format!("its row says {is:?}, its payees {stands:?}"));
    }
    earned(h, escrow, found);
    work_is_funded(h, escrow, found);
}

/// The money of a job that ended is shared out, that of one that goes on is locked or waits for its deposit.
fn state(h: &JobHistory<'_>, escrow: &Escrow, found: &mut Found) {
    use SettlementState as S;
    let (job, method, state) = (h.job, escrow.method(), h.job.settlement.state);
    let legal = match (method, job.state.is_ended()) {
        (Method::Balance, false) => state == S::Locked,
        (Method::Balance, true) => state == S::Settled,
        (Method::Escrow, false) => matches!(state, S::Locking | S::Locked),
        (Method::Escrow, true) => matches!(state, S::Settling | S::Settled | S::Disputed),
    };
    found.check(legal, "I12", || {
        format!("{} by {}, and its money is {}", job.state.name(), method.name(), state.name())
    });
    let waits = state == S::Locking;
    let fits = job.holds.has(Holds::FUNDS) == waits && (waits || !job.holds.has(Holds::DEPOSIT));
    found.check(job.state.is_ended() || fits, "I12", || {
        format!("its money is {}, its holds are {:?}", state.name(), job.holds.names())
    });
}

/// Each payee has earned what its accepted attempts come to; where that is more than was there, all of it
/// is earned and nobody has more than is its own.
fn earned(h: &JobHistory<'_>, escrow: &Escrow, found: &mut Found) {
    let mut due = vec![(0_u128, 0_u32); escrow.payees.len()];
    for attempt in h.attempts {
        let place = attempt.payee.and_then(|place| due.get_mut(usize::from(place)));
        let Some((cost, live)) = place else {
            let key = (attempt.key.task.no, attempt.key.fence);
            found.check(false, "I16", || format!("attempt {key:?} earns for nobody of its payees"));
            continue;
        };
        if attempt.state == AttemptState::Accepted {
            *cost = cost.saturating_add(escrow.cost_of(attempt).0);
        }
        *live += u32::from(attempt.state.is_live());
    }
    found.check(escrow.payees.len() <= MAX_PAYEES, "I12", || format!("{} payees", escrow.payees.len()));
    let all = due.iter().fold(0_u128, |sum, (cost, _)| sum.saturating_add(*cost));
    let short = all > escrow.amount.0;
    found.check(!short || escrow.earned() == escrow.amount, "I16", || {
        format!("accepted results come to {all}, {} of {} are earned", escrow.earned(), escrow.amount)
    });
    for (payee, (cost, live)) in escrow.payees.iter().zip(due) {
        let right = if short { payee.earned.0 <= cost } else { payee.earned.0 == cost };
        found.check(right, "I16", || {
            format!("{:?} has earned {}, its accepted results come to {cost}", payee.provider, payee.earned)
        });
        found.check(payee.live == live, "I16", || {
            format!("{:?} runs {} attempts, its rows are {live}", payee.provider, payee.live)
        });
    }
    for (at, payee) in escrow.payees.iter().enumerate() {
        let again = escrow.payees[..at].iter().any(|before| before.provider == payee.provider);
        found.check(!again, "I12", || format!("{:?} is twice among its payees", payee.provider));
    }
}

/// Nothing is granted before the deposit is there, nor while it is lost; as far as the log goes back.
fn work_is_funded(h: &JobHistory<'_>, escrow: &Escrow, found: &mut Found) {
    if escrow.method() == Method::Balance || h.events.first().is_none_or(|(first, _)| *first != 1) {
        return;
    }
    let mut funded = false;
    for (sequence, event) in h.events {
        match event {
            JobEvent::Funded { .. } => funded = true,
            JobEvent::FundsLost {} => funded = false,
            JobEvent::Granted { .. } => found.check(funded, "I16", || {
                format!("event {sequence} grants an attempt, and its deposit is not there")
            }),
            _ => {}
        }
    }
}
