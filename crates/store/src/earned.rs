//! What providers earned, day by day: of jobs that were paid from a balance by the transfers to the
//! tenant, which are kept for good; of jobs that were paid on the chain by the contract's events about the
//! addresses that the tenant's workers are paid at, as long as those are kept.

use crate::error::Error;
use crate::sql::{Link, Row, params};
use crate::sum::{SUM, sum_from_row};
use crate::writer::Store;
use ciro_core::amount::Fri;
use ciro_core::id::TenantKey;
use ciro_core::money::Method;
use ciro_core::payout::PayoutAddress;
use ciro_core::time::Timestamp;
use ciro_core::worker::Capabilities;
use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What a provider earned on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarnedDay {
    /// Which day, counted from 1970-01-01 (UTC).
    pub day: i64,
    /// How it was paid.
    pub method: Method,
    /// How many payments it got, one for each job.
    pub payments: u64,
    /// What they come to, without fees.
    pub amount: Fri,
}

impl Store {
    /// What a tenant's workers earned from `from` on and before `until`, by day and method; days without
    /// anything are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn earned(
        &self,
        tenant: TenantKey,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<EarnedDay>, Error> {
        self.read(move |c| {
            c.snapshot(|c| {
                let mut days = by_balance(c, tenant, from, until)?;
                let mut on_chain = BTreeMap::<i64, (u64, Fri)>::new();
                for address in addresses(c, tenant)? {
                    for (day, payments, amount) in by_chain(c, address, from, until)? {
                        let (all, sum) = on_chain.entry(day).or_default();
                        (*all, *sum) = (*all + payments, Fri(sum.0.saturating_add(amount.0)));
                    }
                }
                let method = Method::Escrow;
                days.extend(on_chain.into_iter().map(|(day, (payments, amount))| EarnedDay {
                    day,
                    method,
                    payments,
                    amount,
                }));
                days.sort_by_key(|day| day.day);
                Ok(days)
            })
        })
        .await
    }

    /// Where a tenant's workers are paid on the chain, those that were removed included.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn payout_addresses(&self, tenant: TenantKey) -> Result<Vec<PayoutAddress>, Error> {
        self.read(move |c| Ok(addresses(c, tenant)?.into_iter().collect())).await
    }
}

fn addresses(c: &Link<'_>, tenant: TenantKey) -> Result<BTreeSet<PayoutAddress>, Error> {
    let sql = "SELECT capabilities FROM workers WHERE tenant = ?1";
    let found = c.rows(sql, [tenant.0], |r| {
        let said = serde_json::from_str::<Capabilities>(r.get(0)?);
        said.map_err(|error| Error::Malformed { table: "workers", what: error.to_string() })
    })?;
    Ok(found.into_iter().filter_map(|said| said.payout).collect())
}

fn by_balance(
    c: &Link<'_>,
    tenant: TenantKey,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<EarnedDay>, Error> {
    let sql = format!(
        "SELECT at / {DAY_MS}, count(*), {SUM} FROM transfers INDEXED BY transfers_earned
         WHERE credit_tenant = ?1 AND code = 4 AND at >= ?2 AND at < ?3 GROUP BY at / {DAY_MS}"
    );
    let found = c.rows(&sql, (tenant.0, from.0, until.0), day_from_row)?;
    let day = |(day, payments, amount)| EarnedDay { day, method: Method::Balance, payments, amount };
    Ok(found.into_iter().map(day).collect())
}

fn by_chain(
    c: &Link<'_>,
    address: PayoutAddress,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<(i64, u64, Fri)>, Error> {
    // The chain counts seconds.
    let second = |at: Timestamp| at.0.div_euclid(1_000) + i64::from(at.0.rem_euclid(1_000) > 0);
    let sql = format!(
        "SELECT at / {day}, count(*), {SUM} FROM chain_events INDEXED BY chain_events_account
         WHERE account = ?1 AND name = 'PaymentReleased' AND at >= ?2 AND at < ?3 GROUP BY at / {day}",
        day = DAY_MS / 1_000
    );
    c.rows(&sql, params![address.bytes(), second(from), second(until)], day_from_row)
}

/// A day, how many there are, and [`SUM`].
fn day_from_row(r: &Row<'_>) -> Result<(i64, u64, Fri), Error> {
    Ok((r.get(0)?, r.get(1)?, sum_from_row(r, 2)?))
}
