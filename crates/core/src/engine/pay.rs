//! The money of a paid job: it follows whatever is decided about the job ([`follow`]), and the deposit of
//! one that is paid from an escrow on the chain comes, may be lost, and is paid out.
//!
//! Invariant: only accepted attempts earn anything, and what providers earned, the fee on it and the rest
//! are together what is locked, after every command. A job that ends is shared out in the same change.

use super::submit::open_task;
use super::{Change, Context, Rows, stop};
use crate::amount::Fri;
use crate::attempt::Attempt;
use crate::command::{Command, Refusal};
use crate::event::JobEvent;
use crate::job::{Failure, Holds, Job, JobState, Settlement, SettlementState, StopCause};
use crate::money::decide::Trouble;
use crate::money::{Escrow, Method, Transfer};
use crate::mutant::{Mutant, planted};

/// What `change` means for the money of its job, which is paid for: a grant takes a place among the
/// payees, an attempt that ended leaves it with what it earned, and with the job's end all is shared out.
pub(super) fn follow(rows: &Rows<'_>, command: &Command, change: &mut Change) -> Result<(), Refusal> {
    let Change { job: Some(job), granted, attempts, transfers, .. } = change else { return Ok(()) };
    let Job { escrow: Some(escrow), settlement, .. } = job else { return Ok(()) };
    if rows.job.is_some_and(|job| job.state.is_ended()) {
        return Ok(());
    }
    if let (Some(attempt), Command::Grant { tenant, payout, .. }) = (granted, command) {
        let provider = escrow.provider(*tenant, *payout).ok_or(Refusal::NoPayout)?;
        attempt.payee = Some(escrow.take_place(provider).ok_or(Refusal::NoPlace)?);
    }
    attempts.iter().filter(|attempt| !attempt.state.is_live()).for_each(|attempt| leave(escrow, attempt));
    *settlement = escrow.stands(settlement.state);
    if job.state.is_ended() {
        share_out(job, transfers);
    }
    Ok(())
}

fn leave(escrow: &mut Escrow, attempt: &Attempt) {
    if let Some(place) = attempt.payee {
        escrow.leave(place, escrow.cost_of(attempt));
    }
}

/// The end of a job: what its books owe is moved at once, what the chain owes is for the chain to pay.
fn share_out(job: &mut Job, transfers: &mut Vec<Transfer>) {
    let Job { escrow: Some(escrow), settlement, .. } = job else { return };
    // Of a deposit that a reorganisation took, what was earned is due as soon as it is back.
    let lost = escrow.deposit.is_some_and(|deposit| deposit.lost_at.is_some());
    let next = match (escrow.method(), settlement.state) {
        (Method::Escrow, SettlementState::Locking) if !lost || escrow.earned() == Fri(0) => {
            *settlement = Settlement { state: SettlementState::Settled, ..Settlement::default() };
            return;
        }
        (Method::Escrow, _) => SettlementState::Settling,
        (Method::Balance, _) => SettlementState::Settled,
    };
    *settlement = escrow.stands(next);
    if escrow.method() == Method::Escrow {
        return;
    }
    transfers.extend(escrow.transfers(job.tenant, job.id));
    if planted(Mutant::PaidTwice) {
        transfers.extend(escrow.transfers(job.tenant, job.id));
    }
}

/// A job that waits for a deposit on the chain, or has one.
fn deposited<'a>(rows: &Rows<'a>) -> Result<&'a Job, Refusal> {
    let job = rows.job()?;
    match &job.escrow {
        _ if job.state.is_ended() => Err(Refusal::AlreadyEnded),
        Some(escrow) if escrow.deposit.is_some() => Ok(job),
        _ => Err(Refusal::IllegalMove),
    }
}

/// A job whose deposit came for the first time begins; one whose deposit came back goes on.
pub(super) fn fund(rows: &Rows<'_>, cx: &Context<'_>) -> Result<Change, Refusal> {
    let job = deposited(rows)?;
    if job.settlement.state != SettlementState::Locking {
        return Ok(Change::default());
    }
    let mut next = job.next(cx.now);
    next.holds = Holds(job.holds.0 & !(Holds::FUNDS.0 | Holds::DEPOSIT.0));
    next.settlement.state = SettlementState::Locked;
    let mut begins = None;
    if let Some(deposit) = next.escrow.as_mut().and_then(|escrow| escrow.deposit.as_mut()) {
        deposit.lost_at = None;
        let first = if deposit.splits { JobState::Preparing } else { JobState::Queued };
        begins = (job.state == JobState::AwaitingFunds).then_some(first);
    }
    let mut tasks = Vec::new();
    if let Some(state) = begins {
        next.state = state;
        if state == JobState::Queued {
            (next.tasks_total, next.open_tasks) = (1, 1);
            tasks.push(open_task(&next, 0, None));
        }
    }
    let event = Some(JobEvent::Funded { state: begins });
    Ok(Change { job: Some(next), tasks, event, ..Change::default() })
}

/// Nothing more is granted until the deposit is back; results of what runs are still taken.
pub(super) fn funds_lost(rows: &Rows<'_>, cx: &Context<'_>) -> Result<Change, Refusal> {
    let job = deposited(rows)?;
    if job.settlement.state != SettlementState::Locked {
        return Ok(Change::default());
    }
    let mut next = job.next(cx.now);
    if !planted(Mutant::LostFundsIgnored) {
        next.holds = Holds(job.holds.0 | Holds::FUNDS.0);
    }
    next.settlement.state = SettlementState::Locking;
    if let Some(deposit) = next.escrow.as_mut().and_then(|escrow| escrow.deposit.as_mut()) {
        deposit.lost_at = Some(cx.now);
    }
    let at = next.unfunded_at();
    next.next_deadline = next.next_deadline.map(|due| at.map_or(due, |at| due.min(at)));
    Ok(Change { job: Some(next), event: Some(JobEvent::FundsLost {}), ..Change::default() })
}

/// What is wrong with the deposit of a job that waits for it is said once, and so is that nothing is any more.
pub(super) fn deposit_trouble(
    rows: &Rows<'_>,
    trouble: Option<&Trouble>,
    cx: &Context<'_>,
) -> Result<Change, Refusal> {
    let job = deposited(rows)?;
    let waits = job.settlement.state == SettlementState::Locking;
    if !waits || job.holds.has(Holds::DEPOSIT) == trouble.is_some() {
        return Ok(Change::default());
    }
    let mut next = job.next(cx.now);
    next.holds = Holds(job.holds.0 ^ Holds::DEPOSIT.0);
    let event = trouble.map_or(JobEvent::DepositTroubleOver {}, |trouble| JobEvent::DepositTrouble {
        code: trouble.code().to_owned(),
        message: trouble.to_string(),
    });
    Ok(Change { job: Some(next), event: Some(event), ..Change::default() })
}

/// There is nothing to pay the job from any more: one that is under way is cancelled, and what runs may
/// still report for `grace_ms`.
pub(super) fn end_unfunded(
    rows: &Rows<'_>,
    message: &str,
    grace_ms: u64,
    cx: &Context<'_>,
) -> Result<Change, Refusal> {
    let mut change = stop::stop(rows, StopCause::Cancel, grace_ms, cx)?;
    let failure = Failure { code: "funds_lost".into(), message: message.into(), task: None };
    change.job.iter_mut().for_each(|job| job.failure = Some(failure.clone()));
    Ok(change)
}

/// The deposit does not come back. A job that ended is settled with nothing for anybody.
pub(super) fn funds_gone(rows: &Rows<'_>, cx: &Context<'_>) -> Result<Change, Refusal> {
    let job = rows.job()?;
    if job.escrow.as_ref().is_none_or(|escrow| escrow.deposit.is_none()) {
        return Err(Refusal::IllegalMove);
    }
    if !job.state.is_ended() {
        return end_unfunded(rows, "its deposit was given back on the chain", cx.policy.stop_grace_ms, cx);
    }
    if job.settlement.state == SettlementState::Settled {
        return Ok(Change::default());
    }
    let settlement = Settlement { state: SettlementState::Settled, ..Settlement::default() };
    let next = Job { settlement, ..job.next(cx.now) };
    let event = Some(JobEvent::Settled { paid: Fri(0), fee: Fri(0), refunded: Fri(0) });
    Ok(Change { job: Some(next), event, ..Change::default() })
}

/// The client disputes the result on the chain, or that is over.
pub(super) fn disputed(rows: &Rows<'_>, open: bool, cx: &Context<'_>) -> Result<Change, Refusal> {
    let job = rows.job()?;
    let (from, to) = match open {
        true => (SettlementState::Settling, SettlementState::Disputed),
        false => (SettlementState::Disputed, SettlementState::Settling),
    };
    if job.settlement.state == to {
        return Ok(Change::default());
    }
    if job.settlement.state != from {
        return Err(Refusal::IllegalMove);
    }
    let settlement = Settlement { state: to, ..job.settlement };
    let next = Job { settlement, ..job.next(cx.now) };
    Ok(Change { job: Some(next), event: Some(JobEvent::Disputed { open }), ..Change::default() })
}

/// The chain has credited providers, treasury and client, in this order. Where the job had ended without a
/// deposit as far as was known, the chain is believed: it was there, and has paid for a result.
pub(super) fn settled(
    rows: &Rows<'_>,
    [paid, fee, refunded]: [Fri; 3],
    cx: &Context<'_>,
) -> Result<Change, Refusal> {
    let job = rows.job()?;
    let escrow = job.escrow.as_ref().filter(|escrow| escrow.deposit.is_some());
    let settled = job.settlement.state == SettlementState::Settled;
    let unknown =
        escrow.filter(|_| settled && job.settlement.escrowed == Fri(0) && (paid > Fri(0) || fee > Fri(0)));
    let escrowed = unknown.map_or(job.settlement.escrowed, |escrow| escrow.amount);
    let after = Settlement { state: SettlementState::Settled, escrowed, paid, fee, refunded, held: Fri(0) };
    if job.settlement == after {
        return Ok(Change::default());
    }
    if unknown.is_none()
        && !matches!(job.settlement.state, SettlementState::Settling | SettlementState::Disputed)
    {
        return Err(Refusal::IllegalMove);
    }
    let sum = paid.0.checked_add(fee.0).and_then(|sum| sum.checked_add(refunded.0));
    if sum != Some(escrowed.0) {
        return Err(Refusal::WrongAmounts);
    }
    let next = Job { settlement: after, ..job.next(cx.now) };
    let event = Some(JobEvent::Settled { paid, fee, refunded });
    Ok(Change { job: Some(next), event, ..Change::default() })
}
