//! Events between the chain and their rows: read once, kept by their names, and read from the rows again
//! where blocks were taken away.

use super::lane::Held;
use ciro_chain::Felt;
use ciro_chain::contract::DecodeError;
use ciro_chain::contract::access::AccessEvent;
use ciro_chain::contract::escrow::EscrowEvent;
use ciro_chain::follow::{self, Moment};
use ciro_chain::rpc::read::{Event, Header};
use ciro_core::money::ChainEscrow;
use ciro_store::ChainEvent;
use serde_json::{Value, json};

/// An event as its row, and what it says of which escrow.
pub(super) fn row(
    event: &Event,
    block: &Header,
    place: u64,
) -> Result<(ChainEvent, Option<(Felt, EscrowEvent)>), DecodeError> {
    let read = EscrowEvent::read(&event.keys, &event.data)?;
    let (name, body) = match &read {
        Some(read) => (read.name().to_owned(), read.members()),
        None => of_another(event)?,
    };
    let subject = read.as_ref().and_then(follow::subject);
    let credit = read.as_ref().and_then(follow::credit);
    let row = ChainEvent {
        block: block.number,
        block_hash: block.hash.to_bytes_be(),
        place,
        tx: event.transaction_hash.to_bytes_be(),
        at: block.timestamp,
        name,
        escrow: subject.map(|id| id.to_bytes_be()),
        credit: credit.map(|(account, amount)| (account.to_bytes_be(), amount)),
        body: body.to_string(),
    };
    Ok((row, subject.zip(read)))
}

/// Name and members of an event that is about no job and no money.
fn of_another(event: &Event) -> Result<(String, Value), DecodeError> {
    if let Some(read) = AccessEvent::read(&event.keys, &event.data)? {
        return Ok((read.name().to_owned(), read.members()));
    }
    let name = event.keys.first().copied().unwrap_or_default();
    Ok((format!("{name:#x}"), json!({ "keys": event.keys, "data": event.data })))
}

/// What the rows of an escrow's events come to.
pub(super) fn fold(events: &[ChainEvent]) -> Result<Option<ChainEscrow>, Held> {
    let mut escrow = None;
    for event in events {
        let members: Value = serde_json::from_str(&event.body)?;
        if let Some(read) = EscrowEvent::of_members(&event.name, &members)? {
            escrow = follow::after(escrow, &read, Moment { block: event.block, at: event.at })?;
        }
    }
    Ok(escrow)
}

/// When the events of a block happened.
pub(super) fn moment(block: &Header) -> Moment {
    Moment { block: block.number, at: block.timestamp }
}

impl From<DecodeError> for Held {
    fn from(error: DecodeError) -> Held {
        Held::Waits(format!("{error}: blockchain.contract_address is no escrow contract of this version"))
    }
}
