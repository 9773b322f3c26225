//! What is locked for a paid job, as its row in `escrows` says. It is read and written with the job's own
//! row, and only where the job is paid for: others have none, and cost no look.

use crate::error::Error;
use crate::sql::{Link, Row};
use ciro_core::amount::Fri;
use ciro_core::job::{Job, SettlementState};
use ciro_core::money::{Deposit, Escrow};
use ciro_core::payout::PayoutAddress;
use ciro_core::time::Timestamp;

macro_rules! escrow_columns {
    () => {
        "amount, fee_bps, wall_ms, payees, client, salt, splits, lost_at, escrow_id"
    };
}
pub(crate) use escrow_columns;

/// Reads [`escrow_columns`] from column `at` on.
pub(crate) fn escrow_from_row(r: &Row<'_>, at: usize) -> Result<Escrow, Error> {
    let malformed = |what: &str| Error::Malformed { table: "escrows", what: what.to_owned() };
    let client: Option<[u8; 32]> = r.get(at + 4)?;
    let client = client.map(|bytes| PayoutAddress::new(bytes).ok_or_else(|| malformed("a client's address")));
    let deposit = match (client.transpose()?, r.get::<Option<[u8; 32]>>(at + 5)?) {
        (Some(client), Some(salt)) => {
            let splits = r.get::<Option<bool>>(at + 6)?.unwrap_or_default();
            let lost_at = r.get::<Option<i64>>(at + 7)?.map(Timestamp);
            let id =
                r.get::<Option<[u8; 32]>>(at + 8)?.ok_or_else(|| malformed("a deposit without its id"))?;
            Some(Deposit { client, salt, id, splits, lost_at })
        }
        _ => None,
    };
    let amount: &str = r.get(at)?;
    Ok(Escrow {
        amount: amount.parse::<Fri>().map_err(|_| malformed("an amount"))?,
        fee_bps: r.get(at + 1)?,
        wall_ms: r.get(at + 2)?,
        payees: serde_json::from_str(r.get(at + 3)?).map_err(|error| malformed(&error.to_string()))?,
        deposit,
    })
}

/// When somebody should compare a job with the chain: now, where its deposit is new or its money has moved
/// from where it was.
pub(crate) fn look_at(job: &Job, was: Option<SettlementState>) -> Option<i64> {
    let deposit = job.escrow.as_ref()?.deposit.as_ref();
    deposit.filter(|_| was != Some(job.settlement.state)).map(|_| job.updated_at.0)
}

/// The payees as they are stored.
pub(crate) fn payees_text(escrow: &Escrow) -> Result<String, Error> {
    serde_json::to_string(&escrow.payees)
        .map_err(|error| Error::Malformed { table: "escrows", what: error.to_string() })
}

/// A job as its row says, with what is locked for it where it is paid for.
pub(crate) fn with_escrow(c: &Link<'_>, job: Option<Job>) -> Result<Option<Job>, Error> {
    let Some(mut job) = job else { return Ok(None) };
    if job.settlement.state != SettlementState::None {
        let sql = concat!("SELECT ", escrow_columns!(), " FROM escrows WHERE job = ?1");
        job.escrow = c.row(sql, [job.key.0], |r| escrow_from_row(r, 0))?.map(Box::new);
    }
    Ok(Some(job))
}
