//! What happened to the contract that is followed, as people look at it, and what is at risk until it has
//! happened. Only reads.

use super::event::{COLUMNS, ChainEvent, event_from_row};
use crate::error::Error;
use crate::escrow::{escrow_columns, escrow_from_row};
use crate::read::{MAX_LOOKED_AT, MAX_PAGE};
use crate::sql::{Snapshot, Value};
use crate::writer::Store;
use ciro_core::amount::Fri;
use ciro_core::job::{JobState, SettlementState};
use ciro_core::money::ChainState;

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventListQuery {
    /// Only those before this block and this place in it.
    pub before: Option<(u64, u64)>,
    /// With one of these names; all where none is named.
    pub names: Vec<String>,
    /// About this escrow only.
    pub escrow: Option<[u8; 32]>,
    /// That credit this account only.
    pub account: Option<[u8; 32]>,
    /// At most [`MAX_PAGE`] items.
    pub limit: u32,
}

/// A page of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventListPage {
    /// The items, the newest first.
    pub items: Vec<ChainEvent>,
    /// Before which block and place in it the next page begins, where there is one.
    pub next: Option<(u64, u64)>,
}

/// What could be lost with deposits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Jobs whose result the chain has not accepted.
    pub jobs: u64,
    /// What they may still earn, or have earned.
    pub amount: Fri,
    /// What jobs may earn that have not begun, and whose deposits are assigned or about to be.
    pub promised: Fri,
}

impl Store {
    /// A page of the contract's events, the newest first. A call looks at a bounded number of rows; a page
    /// may be shorter than asked and still have a successor.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_events(&self, query: EventListQuery) -> Result<EventListPage, Error> {
        self.read(move |c| c.snapshot(|c| page(c, &query))).await
    }

    /// What is at risk of all jobs that are paid from a deposit ([`ciro_core::money::Escrow::at_risk`]), and what
    /// will be ([`ciro_core::money::Escrow::promised`]).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_exposure(&self) -> Result<Exposure, Error> {
        self.read(|c| {
            let mut all = Exposure::default();
            for (at_risk, promised) in c.rows(AT_RISK, (), |r| {
                let malformed = |what: &str| Error::Malformed { table: "escrows", what: what.to_owned() };
                let settlement =
                    SettlementState::from_number(r.get(0)?).ok_or_else(|| malformed("a state"))?;
                let state = JobState::from_number(r.get(1)?).ok_or_else(|| malformed("a job's state"))?;
                let chain = r.get::<Option<i64>>(2)?.and_then(ChainState::from_number);
                let (escrow, ended) = (escrow_from_row(r, 4)?, state.is_ended());
                let assigned = chain == Some(ChainState::Assigned) || r.get::<i64>(3)? > 0;
                Ok((escrow.at_risk(settlement, ended, chain), escrow.promised(settlement, ended, assigned)))
            })? {
                all.jobs += u64::from(at_risk > Fri(0));
                all.amount = Fri(all.amount.0.saturating_add(at_risk.0));
                all.promised = Fri(all.promised.0.saturating_add(promised.0));
            }
            Ok(all)
        })
        .await
    }
}

const AT_RISK: &str = concat!(
    "SELECT j.settlement, j.state, (SELECT c.state FROM chain_escrows c WHERE c.id = e.escrow_id),
       (SELECT count(*) FROM chain_intents i WHERE i.job = e.job AND i.kind = 'assign' AND i.state <> 3), ",
    escrow_columns!(),
    " FROM escrows e INDEXED BY escrows_look JOIN jobs j ON j.key = e.job WHERE e.look_at IS NOT NULL"
);

fn page(c: &Snapshot<'_>, query: &EventListQuery) -> Result<EventListPage, Error> {
    let (block, place) = query.before.map_or((i64::MAX, 0), |(block, place)| (signed(block), signed(place)));
    let mut values = vec![Value::Int(block), Value::Int(place)];
    let mut narrow = String::new();
    for (column, wanted) in [("escrow", &query.escrow), ("account", &query.account)] {
        if let Some(wanted) = wanted {
            values.push(Value::Bytes(wanted));
            narrow.push_str(&format!(" AND {column} = ?{}", values.len()));
        }
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM chain_events WHERE (block < ?1 OR (block = ?1 AND place < ?2)){narrow}
         ORDER BY block DESC, place DESC"
    );
    let mut page = EventListPage::default();
    let mut statement = c.prepare(&sql)?;
    let mut found = statement.query(values.as_slice())?;
    let (limit, mut last) = (query.limit.clamp(1, MAX_PAGE) as usize, None);
    for looked_at in 0.. {
        let Some(row) = found.next()? else { break };
        if looked_at == MAX_LOOKED_AT || page.items.len() == limit {
            page.next = last;
            break;
        }
        let event = event_from_row(&row)?;
        last = Some((event.block, event.place));
        if query.names.is_empty() || query.names.contains(&event.name) {
            page.items.push(event);
        }
    }
    Ok(page)
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
