//! I31 and what a database alone shows of I15: the blocks that were read, and what the chain's events come
//! to. The contract's own balance is for `ciro chain audit` and the reconciler, which ask the chain.

use super::report::Findings;
use crate::chain::MAX_CHAIN_BLOCKS;
use crate::error::Error;
use crate::sql::{Row, Snapshot};
use ciro_core::amount::Fri;
use ciro_core::money::ChainState;
use serde_json::Value;
use std::collections::BTreeSet;

/// Each gives a line for everything that is wrong about I31.
const WRONG: [&str; 7] = [
    "SELECT 'block ', b.number, ' does not follow on the one before it' FROM chain_blocks b
     JOIN chain_blocks a ON a.number = b.number - 1 WHERE a.hash <> b.parent",
    "WITH kept AS (SELECT min(number) AS first, max(number) AS last, count(*) AS n FROM chain_blocks)
     SELECT 'blocks ', first, ' to ', last, ' are ', n FROM kept WHERE n <> last - first + 1",
    "SELECT 'event ', e.block, '/', e.place, ' is of a block that the chain took away' FROM chain_events e
     JOIN chain_blocks b ON b.number = e.block WHERE b.hash <> e.block_hash OR b.at <> e.at",
    "SELECT 'event ', block, '/', place, ' is of a block that was not read' FROM chain_events
     WHERE block > coalesce((SELECT max(number) FROM chain_blocks), -1)",
    "SELECT 'escrow ', x.id, ' was paid in by an event that is not there' FROM chain_escrows x
     WHERE NOT EXISTS (SELECT 1 FROM chain_events e WHERE e.escrow = x.id AND e.block = x.submitted_block
                       AND e.name = 'JobSubmitted')",
    "SELECT 'escrow ', e.escrow, ' was paid in, and is not there' FROM chain_events e WHERE e.name = 'JobSubmitted'
     AND NOT EXISTS (SELECT 1 FROM chain_escrows x WHERE x.id = e.escrow)",
    "SELECT 'block ', number, ' is of no contract' FROM chain_blocks WHERE NOT EXISTS (SELECT 1 FROM chain_cursor)",
];

/// A job that was settled otherwise than the chain did it. One that ended without a deposit as far as was known
/// takes over what the chain paid when it is looked at.
const DIFFERENT: &str =
    "SELECT 'job key ', j.key, ' was settled otherwise than its escrow ', x.id FROM escrows s
     JOIN jobs j ON j.key = s.job JOIN chain_escrows x ON x.id = s.escrow_id
     WHERE j.settlement = 4 AND x.state >= 5 AND (j.paid <> x.paid OR j.fee <> x.fee)
     AND NOT (coalesce(ltrim(j.escrowed, '0'), '') = '' AND s.look_at IS NOT NULL)";

/// Every escrow with its events, calls that were left out excepted.
const ESCROWS: &str =
    "SELECT x.id, x.amount, x.state, x.paid, x.fee, x.refunded, e.name, e.body FROM chain_escrows x
     LEFT JOIN chain_events e ON e.escrow = x.id AND e.name <> 'JobSkipped' ORDER BY x.id, e.block, e.place";

/// Holds blocks, events and escrows against each other.
pub(super) fn check(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    let blocks: u64 = c.value("SELECT count(*) FROM chain_blocks", ())?;
    found.checked("I31", blocks);
    found.checked("I27", 1);
    if blocks > MAX_CHAIN_BLOCKS {
        found.violated("I27", format!("blocks that were read: {blocks} of at most {MAX_CHAIN_BLOCKS}"));
    }
    for (id, sql) in WRONG.iter().map(|sql| ("I31", *sql)).chain([("I15", DIFFERENT)]) {
        let mut statement = c.prepare(sql)?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            found.violated(id, row.line()?);
        }
    }
    escrows(c, found)
}

/// I15: what each escrow came to is the sum of its events, and all of it once it is over.
fn escrows(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    let mut statement = c.prepare(ESCROWS)?;
    let mut rows = statement.query(())?;
    let mut counted: Option<Counted> = None;
    while let Some(row) = rows.next()? {
        let id: [u8; 32] = row.get(0)?;
        if counted.as_ref().is_none_or(|counted| counted.id != id) {
            counted.take().into_iter().for_each(|counted| counted.compare(found));
            counted = Some(Counted::of(&row, id)?);
        }
        if let (Some(counted), Some(name)) = (&mut counted, row.get::<Option<&str>>(6)?) {
            counted.add(name, &serde_json::from_str(row.get(7)?).unwrap_or_default());
        }
    }
    counted.into_iter().for_each(|counted| counted.compare(found));
    Ok(())
}

/// An escrow as its row says, and as its events do.
struct Counted {
    id: [u8; 32],
    over: bool,
    /// Amount, paid, fee, refunded: by the row, by the events.
    row: [u128; 4],
    events: [u128; 4],
    providers: BTreeSet<String>,
    /// Payments beyond a provider's first, refunds beyond the first.
    twice: u32,
    refunds: u32,
}

impl Counted {
    fn of(row: &Row<'_>, id: [u8; 32]) -> Result<Counted, Error> {
        let amount = |at: usize| {
            let text: &str = row.get(at)?;
            text.parse()
                .map(|Fri(amount)| amount)
                .map_err(|_| Error::Malformed { table: "chain_escrows", what: "an amount".to_owned() })
        };
        let over = ChainState::from_number(row.get(2)?).is_some_and(ChainState::is_over);
        let amounts = [amount(1)?, amount(3)?, amount(4)?, amount(5)?];
        let providers = BTreeSet::new();
        Ok(Counted { id, over, row: amounts, events: [0; 4], providers, twice: 0, refunds: 0 })
    }

    fn add(&mut self, name: &str, members: &Value) {
        let amount = |member: &str| members[member].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        let more = match name {
            "JobSubmitted" => [amount("payment"), 0, 0, 0],
            "PaymentReleased" => {
                let provider = members["worker"].as_str().unwrap_or_default().to_owned();
                self.twice += u32::from(!self.providers.insert(provider));
                [0, amount("amount"), amount("fee"), 0]
            }
            "JobRefunded" => {
                self.refunds += 1;
                [0, 0, 0, amount("amount")]
            }
            _ => return,
        };
        for (sum, more) in self.events.iter_mut().zip(more) {
            *sum = sum.saturating_add(more);
        }
    }

    fn compare(self, found: &mut Findings) {
        found.checked("I15", 1);
        let id: String = self.id.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.row != self.events {
            let (row, events) = (self.row, self.events);
            found.violated("I15", format!("escrow {id}: the row has {row:?}, its events come to {events:?}"));
        }
        let [amount, credited @ ..] = self.events;
        let credited = credited.iter().fold(0_u128, |sum, more| sum.saturating_add(*more));
        if credited != if self.over { amount } else { 0 } {
            found.violated("I15", format!("escrow {id}: {credited} of {amount} were credited"));
        }
        if self.twice > 0 || self.refunds > 1 {
            found.violated("I15", format!("escrow {id} was paid or given back twice"));
        }
    }
}
