//! What the events of an escrow come to: a fold over them in the order of the chain. So an escrow is
//! always what its events say, however they were read: at once, one by one, or again after blocks were
//! taken away. Pure.
//!
//! The contract decides what may follow on what; nothing of that is decided here again. Where it emits
//! what it never should, the newest event has the last word, and the reconciler finds the difference.

use crate::contract::DecodeError;
use crate::contract::escrow::EscrowEvent;
use crate::contract::job::Payout;
use ciro_core::amount::Fri;
use ciro_core::money::{ChainEscrow, ChainPayout, ChainState, Skipped};
use ciro_core::payout::PayoutAddress;
use starknet_rust_core::types::Felt;
use starknet_rust_core::utils::parse_cairo_short_string;

/// The block of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Its number.
    pub block: u64,
    /// When it was made, in seconds since 1970.
    pub at: u64,
}

/// The escrow that an event is about; `None` where it is about an account or the contract.
#[must_use]
pub fn subject(event: &EscrowEvent) -> Option<Felt> {
    match event {
        EscrowEvent::JobSubmitted { job_id, .. }
        | EscrowEvent::JobAssigned { job_id, .. }
        | EscrowEvent::JobCompleted { job_id, .. }
        | EscrowEvent::JobDisputed { job_id, .. }
        | EscrowEvent::DisputeResolved { job_id, .. }
        | EscrowEvent::DisputeLapsed { job_id }
        | EscrowEvent::PaymentReleased { job_id, .. }
        | EscrowEvent::JobRefunded { job_id, .. }
        | EscrowEvent::BondPaid { job_id, .. }
        | EscrowEvent::JobSkipped { job_id, .. } => Some(*job_id),
        EscrowEvent::Withdrawn { .. }
        | EscrowEvent::ConfigChanged { .. }
        | EscrowEvent::TreasuryChanged { .. } => None,
    }
}

/// Whom an event credits, and with how much. Fees are credited to the treasury, and no event names it.
#[must_use]
pub fn credit(event: &EscrowEvent) -> Option<(Felt, Fri)> {
    match event {
        EscrowEvent::PaymentReleased { worker, amount, .. } => Some((*worker, Fri(*amount))),
        EscrowEvent::JobRefunded { client, amount, .. } => Some((*client, Fri(*amount))),
        EscrowEvent::BondPaid { account, amount, .. } => Some((*account, Fri(*amount))),
        _ => None,
    }
}

/// An escrow after one more of its events. What is said of one that was never paid in comes to nothing.
///
/// # Errors
/// When an address in the event is none.
pub fn after(
    before: Option<ChainEscrow>,
    event: &EscrowEvent,
    moment: Moment,
) -> Result<Option<ChainEscrow>, DecodeError> {
    if let EscrowEvent::JobSubmitted { .. } = event {
        return paid_in(event, moment);
    }
    let Some(mut escrow) = before else { return Ok(None) };
    match event {
        EscrowEvent::JobAssigned { .. } => moves(&mut escrow, ChainState::Assigned, moment),
        EscrowEvent::JobCompleted { result_hash, window_ends_at, payouts, .. } => {
            moves(&mut escrow, ChainState::Submitted, moment);
            escrow.clock = Some(*window_ends_at);
            escrow.result_hash = Some(result_hash.to_bytes_be());
            escrow.payouts = payouts.iter().map(payout).collect::<Result<_, _>>()?;
        }
        EscrowEvent::JobDisputed { resolve_by, .. } => {
            moves(&mut escrow, ChainState::Disputed, moment);
            escrow.clock = Some(*resolve_by);
        }
        EscrowEvent::PaymentReleased { amount, fee, .. } => {
            moves(&mut escrow, ChainState::Released, moment);
            escrow.paid = more(escrow.paid, *amount);
            escrow.fee = more(escrow.fee, *fee);
        }
        EscrowEvent::JobRefunded { amount, cause, .. } => {
            if let Some(state) = refunded_as(*cause) {
                moves(&mut escrow, state, moment);
            }
            escrow.refunded = more(escrow.refunded, *amount);
        }
        EscrowEvent::JobSkipped { reason, .. } => {
            escrow.skipped = Some(Skipped { reason: short_words(*reason), block: moment.block });
        }
        // Payments or a refund beside them say what came of a dispute.
        EscrowEvent::JobSubmitted { .. }
        | EscrowEvent::DisputeResolved { .. }
        | EscrowEvent::DisputeLapsed { .. }
        | EscrowEvent::BondPaid { .. }
        | EscrowEvent::Withdrawn { .. }
        | EscrowEvent::ConfigChanged { .. }
        | EscrowEvent::TreasuryChanged { .. } => {}
    }
    Ok(Some(escrow))
}

fn paid_in(event: &EscrowEvent, moment: Moment) -> Result<Option<ChainEscrow>, DecodeError> {
    let EscrowEvent::JobSubmitted { job_id, client, salt, payment, spec_hash, fee_bps, window, expires_at } =
        event
    else {
        return Ok(None);
    };
    Ok(Some(ChainEscrow {
        id: job_id.to_bytes_be(),
        client: address("client", *client)?,
        salt: salt.to_bytes_be(),
        amount: Fri(*payment),
        spec_hash: spec_hash.to_bytes_be(),
        fee_bps: *fee_bps,
        window_s: *window,
        expires_at: *expires_at,
        state: ChainState::Open,
        submitted_block: moment.block,
        state_block: moment.block,
        state_at: moment.at,
        clock: None,
        payouts: Vec::new(),
        result_hash: None,
        paid: Fri(0),
        fee: Fri(0),
        refunded: Fri(0),
        skipped: None,
    }))
}

fn moves(escrow: &mut ChainEscrow, state: ChainState, moment: Moment) {
    (escrow.state, escrow.state_block, escrow.state_at) = (state, moment.block, moment.at);
}

/// Where a refund leaves an escrow; `None` where it is the remainder of one that was paid.
fn refunded_as(cause: Felt) -> Option<ChainState> {
    match short_words(cause).as_str() {
        "CANCELLED" => Some(ChainState::Cancelled),
        "EXPIRED" => Some(ChainState::Expired),
        "REJECTED" => Some(ChainState::Rejected),
        _ => None,
    }
}

fn payout(payout: &Payout) -> Result<ChainPayout, DecodeError> {
    Ok(ChainPayout { provider: address("provider", payout.provider)?, amount: Fri(payout.amount) })
}

fn address(whose: &str, felt: Felt) -> Result<PayoutAddress, DecodeError> {
    let address = PayoutAddress::new(felt.to_bytes_be());
    address.ok_or_else(|| DecodeError::new(whose, format!("{felt:#x} is no address")))
}

fn more(sum: Fri, amount: u128) -> Fri {
    Fri(sum.0.saturating_add(amount))
}

/// The short words of a number; itself where it is none.
#[must_use]
pub fn short_words(felt: Felt) -> String {
    match parse_cairo_short_string(&felt) {
        Ok(words) if words.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') => words,
        _ => format!("{felt:#x}"),
    }
}
