//! `ciro pay escrows`, `settlements` and `earnings`: the money of jobs, as clients and providers look at it.

use super::WhoseArgs;
use crate::again::again;
use crate::cli::Context;
use crate::clock;
use crate::error::Failure;
use crate::list::ListArgs;
use crate::table;
use crate::units::When;
use ciro_api::job::Amount;
use ciro_api::payment::{
    Earned, EarnedSums, Earnings, EarningsPeriod, EarningsQuery, PaymentEscrow, PaymentSettlement,
};

pub(super) const ESCROWS: &str = "\
All that a job may cost is locked until it ends. Of that `paid` and `fee` are earned so far, `held` is not decided.
The filter knows state (locking, locked, settling, settled, disputed), method (balance, escrow) and job.

Examples:
  ciro pay escrows --filter state:locked
  ciro pay escrows --filter 'state:settling,disputed method:escrow' -o json";

pub(super) const SETTLEMENTS: &str = "\
Of each ended job what its providers got, what the operator took and what came back to you; also of jobs that are in
the archive. `-o json` has each provider's share. The filter knows state, method and job.

Examples:
  ciro pay settlements
  ciro pay settlements --filter 'job:job_01kav2…' -o json | jq '.items[0].shares'";

pub(super) const EARNINGS: &str = "\
Without fees. What clients pay from their balance counts when the job ends, and is taken out with the operator; what
they pay from an escrow counts when the contract credits it to an address of your workers.

Examples:
  ciro pay earnings                                    the last 30 days
  ciro pay earnings --since 365d --by month
  ciro pay earnings --since 2026-11-01T00:00:00Z --until 2026-11-30T00:00:00Z -o json | jq -r .total.amount.strk";

/// Whose earnings, of which time.
#[derive(Debug, Clone, clap::Args)]
pub struct EarningsArgs {
    /// From the day of this instant on, or from so long ago on [default: 30 days before the end]
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,
    /// To the day of this instant, or of so long ago [default: today]
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
    /// The length of a period (UTC)
    #[arg(long, value_enum, value_name = "PERIOD", default_value_t)]
    by: By,
    /// Whose.
    #[command(flatten)]
    whose: WhoseArgs,
}

/// The length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum By {
    /// A day
    #[default]
    Day,
    /// A month of the calendar
    Month,
}

pub(super) async fn escrows(list: &ListArgs, whose: &WhoseArgs, context: &Context) -> Result<(), Failure> {
    let tenant = whose.id(context).await?;
    let fetch = async |page: &_| context.client.payment_escrows(tenant, page).await;
    let found = list.fetch(context, fetch).await?;
    context.out.many(&found, |escrow| escrow.job.to_string(), locked)
}

pub(super) async fn settlements(
    list: &ListArgs,
    whose: &WhoseArgs,
    context: &Context,
) -> Result<(), Failure> {
    let tenant = whose.id(context).await?;
    let fetch = async |page: &_| context.client.payment_settlements(tenant, page).await;
    let found = list.fetch(context, fetch).await?;
    context.out.many(&found, |settlement| settlement.job.to_string(), shared_out)
}

pub(super) async fn earnings(args: EarningsArgs, context: &Context) -> Result<(), Failure> {
    let now = clock::now();
    let query = EarningsQuery {
        tenant: args.whose.id(context).await?,
        from: args.since.map(|since| since.before(now)),
        until: args.until.map(|until| until.before(now)),
        by: Some(match args.by {
            By::Day => EarningsPeriod::Day,
            By::Month => EarningsPeriod::Month,
        }),
    };
    let earnings = again(|| context.client.payment_earnings(&query)).await?;
    context.out.one(&earnings, &earnings.total.amount.fri, || earned(&earnings, args.by))
}

/// An amount in STRK alone.
fn short(amount: &Amount) -> String {
    amount.strk.clone().unwrap_or_else(|| format!("{} FRI", amount.fri))
}

fn locked(escrows: &[PaymentEscrow]) -> String {
    table::table(
        ["job", "is", "money", "paid from", "locked", "paid", "fee", "back", "held"],
        escrows.iter().map(|escrow| {
            let of = &escrow.settlement;
            let (job, state) = (escrow.job.to_string(), escrow.job_state.name().to_owned());
            let method = escrow.method.name().to_owned();
            let [locked, paid, fee, back, held] =
                [&of.escrowed, &of.paid, &of.fee, &of.refunded, &of.held].map(short);
            [job, state, of.state.clone(), method, locked, paid, fee, back, held]
        }),
    )
}

fn shared_out(settlements: &[PaymentSettlement]) -> String {
    table::table(
        ["job", "ended", "as", "money", "paid from", "providers", "paid", "fee", "back"],
        settlements.iter().map(|settlement| {
            let of = &settlement.settlement;
            let ended = settlement.ended_at.map(|at| table::ago(at, clock::now())).unwrap_or_default();
            let [paid, fee, back] = [&of.paid, &of.fee, &of.refunded].map(short);
            [
                settlement.job.to_string(),
                ended,
                settlement.job_state.name().to_owned(),
                of.state.clone(),
                settlement.method.name().to_owned(),
                settlement.shares.len().to_string(),
                paid,
                fee,
                back,
            ]
        }),
    )
}

fn earned(earnings: &Earnings, by: By) -> String {
    // A day is 2026-11-27, a month 2026-11.
    let letters = match by {
        By::Day => 10,
        By::Month => 7,
    };
    let row = |name: String, sums: &EarnedSums| {
        let [balance, escrow, all] = [&sums.balance, &sums.escrow, &sums.amount].map(short);
        [name, sums.payments.to_string(), balance, escrow, all]
    };
    let period = |earned: &Earned| row(earned.from.to_string().chars().take(letters).collect(), &earned.sums);
    let rows = earnings.periods.iter().map(period).chain([row("together".to_owned(), &earnings.total)]);
    let table = table::table(["of", "payments", "by balance", "by escrow", "STRK"], rows);
    let addresses = earnings.addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    match addresses.as_slice() {
        [] => table,
        addresses => format!("{table}\n\npaid on Starknet at {}", addresses.join(", ")),
    }
}
