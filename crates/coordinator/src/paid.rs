//! Operations on the money of jobs: what is locked, how it was shared out, what providers earned. Whose
//! money may be looked at is for [`crate::payments`] to say.

use crate::app::App;
use crate::http::error::ApiResult;
use crate::http::page::parameter;
use crate::jobs;
use crate::payments::Whose;
use ciro_api::payment as wire;
use ciro_api::time::Time;
use ciro_chain::Felt;
use ciro_core::amount::Fri;
use ciro_core::money::{Deposit, Method, Payee, Provider};
use ciro_core::time::Timestamp;
use ciro_store::{EarnedDay, PaidJob};
use jiff::civil::Date;
use jiff::tz::TimeZone;

const DAY_MS: i64 = 86_400_000;
/// Days before the last one where nobody says.
const DEFAULT_DAYS: i64 = 30;
/// The most days that are shown one by one.
const MAX_DAYS: i64 = 366;
/// The most days that are added up.
const MAX_SUMMED_DAYS: i64 = 366 * 20;

/// What is locked for a job.
pub fn escrow(job: PaidJob) -> wire::PaymentEscrow {
    let earned = job.escrow.payees.iter().filter(|payee| payee.earned > Fri(0)).count();
    wire::PaymentEscrow {
        job: job.id,
        job_state: job.state,
        method: job.escrow.method(),
        settlement: jobs::settlement(&job.settlement),
        fee_bps: job.escrow.fee_bps,
        providers: u32::try_from(earned).unwrap_or(u32::MAX),
        created_at: job.created_at.into(),
        ended_at: job.ended_at.map(Into::into),
        deposit: job.escrow.deposit.as_ref().map(deposit),
    }
}

/// How the money of an ended job was shared out, as the tenant `whose` sees it.
pub fn settlement(job: PaidJob, whose: Whose) -> wire::PaymentSettlement {
    let earned = job.escrow.payees.iter().filter(|payee| payee.earned > Fri(0));
    let share = |payee: &Payee| {
        let fee = job.escrow.fee(payee.earned);
        let (tenant, address) = match payee.provider {
            Provider::Tenant(tenant) => ((tenant == whose.key).then_some(whose.id), None),
            Provider::Address(address) => (None, Some(address)),
        };
        wire::SettlementShare { tenant, address, amount: Fri(payee.earned.0 - fee.0).into(), fee: fee.into() }
    };
    wire::PaymentSettlement {
        job: job.id,
        job_state: job.state,
        method: job.escrow.method(),
        settlement: jobs::settlement(&job.settlement),
        shares: earned.map(share).collect(),
        created_at: job.created_at.into(),
        ended_at: job.ended_at.map(Into::into),
        archived_at: job.archived_at.map(Into::into),
        deposit: job.escrow.deposit.as_ref().map(deposit),
    }
}

fn deposit(of: &Deposit) -> wire::PaymentDeposit {
    let hex = |felt: &[u8; 32]| Felt::from_bytes_be(felt).to_fixed_hex_string();
    wire::PaymentDeposit {
        escrow_id: hex(&of.id),
        client: of.client,
        salt: hex(&of.salt),
        lost_at: of.lost_at.map(Into::into),
    }
}

/// What the workers of a tenant earned.
///
/// # Errors
/// `bad_parameter` for a time that ends before it begins, or is too long; when the store cannot be read.
pub async fn earnings(app: &App, whose: Whose, query: &wire::EarningsQuery) -> ApiResult<wire::Earnings> {
    let by = query.by.unwrap_or_default();
    let (first, last) = days(app.now(), query)?;
    let (from, until) = (Timestamp(first * DAY_MS), Timestamp((last + 1) * DAY_MS));
    let found = app.store.earned(whose.key, from, until).await?;
    let addresses = app.store.payout_addresses(whose.key).await?;
    let mut periods: Vec<(i64, Sums)> = Vec::new();
    for day in &found {
        let begins = beginning(day.day, by);
        match periods.last_mut().filter(|(known, _)| *known == begins) {
            Some((_, sums)) => sums.add(day),
            None => periods.push((begins, Sums::default().with(day))),
        }
    }
    let total = found.iter().fold(Sums::default(), Sums::with);
    let shown = |(day, sums): (i64, Sums)| wire::Earned {
        from: Timestamp(day * DAY_MS).into(),
        sums: sums.to_wire(),
    };
    Ok(wire::Earnings {
        tenant: whose.id,
        from: from.into(),
        until: until.into(),
        periods: periods.into_iter().map(shown).collect(),
        total: total.to_wire(),
        addresses,
    })
}

/// The first and the last day that are meant, counted from 1970-01-01.
fn days(now: Timestamp, query: &wire::EarningsQuery) -> ApiResult<(i64, i64)> {
    let day = |time: Time| time.0.0.div_euclid(DAY_MS);
    let last = day(query.until.unwrap_or(now.into()));
    let first = query.from.map_or(last - DEFAULT_DAYS, day);
    let most = match query.by.unwrap_or_default() {
        wire::EarningsPeriod::Day => MAX_DAYS,
        wire::EarningsPeriod::Month => MAX_SUMMED_DAYS,
    };
    if first > last {
        return Err(parameter("from", "is later than until"));
    }
    if last - first >= most {
        return Err(parameter("from", format!("is at most {most} days before until; by=month takes more")));
    }
    Ok((first, last))
}

/// The day that a period begins with.
fn beginning(day: i64, by: wire::EarningsPeriod) -> i64 {
    match by {
        wire::EarningsPeriod::Day => day,
        wire::EarningsPeriod::Month => date(day).map_or(day, |date| day + 1 - i64::from(date.day())),
    }
}

fn date(day: i64) -> Option<Date> {
    let instant = jiff::Timestamp::from_millisecond(day.checked_mul(DAY_MS)?).ok()?;
    Some(instant.to_zoned(TimeZone::UTC).date())
}

/// Sums of a period.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    payments: u64,
    balance: u128,
    escrow: u128,
}

impl Sums {
    fn with(mut self, day: &EarnedDay) -> Sums {
        self.add(day);
        self
    }

    fn add(&mut self, day: &EarnedDay) {
        self.payments = self.payments.saturating_add(day.payments);
        let sum = match day.method {
            Method::Balance => &mut self.balance,
            Method::Escrow => &mut self.escrow,
        };
        *sum = sum.saturating_add(day.amount.0);
    }

    fn to_wire(self) -> wire::EarnedSums {
        wire::EarnedSums {
            payments: self.payments,
            amount: Fri(self.balance.saturating_add(self.escrow)).into(),
            balance: Fri(self.balance).into(),
            escrow: Fri(self.escrow).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_begins_with_its_first_day() {
        let day = |text: &str| text.parse::<Time>().unwrap().0.0 / DAY_MS;
        let leap = day("2028-02-29T23:00:00Z");
        assert_eq!(beginning(leap, wire::EarningsPeriod::Day), leap);
        assert_eq!(beginning(leap, wire::EarningsPeriod::Month), day("2028-02-01T00:00:00Z"));
        assert_eq!(beginning(0, wire::EarningsPeriod::Month), 0);
    }

    #[test]
    fn a_time_is_whole_days_and_has_a_bound() {
        let at = |text: &str| Some(text.parse::<Time>().unwrap());
        let now = Timestamp(40 * DAY_MS + 7);
        let query = wire::EarningsQuery::default();
        assert_eq!(days(now, &query).unwrap(), (10, 40));
        let query = wire::EarningsQuery {
            from: at("1970-01-05T23:59:59Z"),
            until: at("1970-01-06T00:00:00Z"),
            ..query
        };
        assert_eq!(days(now, &query).unwrap(), (4, 5));
        let query = wire::EarningsQuery { from: at("1970-01-07T00:00:00Z"), ..query };
        assert!(days(now, &query).is_err());
        let query = wire::EarningsQuery { until: at("1971-01-08T00:00:00Z"), ..query };
        assert!(days(now, &query).is_err(), "more than a leap year of days");
        let query = wire::EarningsQuery { by: Some(wire::EarningsPeriod::Month), ..query };
        assert!(days(now, &query).is_ok());
    }
}
