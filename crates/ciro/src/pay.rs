//! `ciro pay`: what a tenant has and what moved it, what a job would cost, and the operator's deposits
//! and withdrawals.

mod paid;

use crate::again::{again, idempotency_key};
use crate::artifact::declare;
use crate::cli::Context;
use crate::error::Failure;
use crate::ids;
use crate::job::spec::SpecArgs;
use crate::list::ListArgs;
use crate::output;
use crate::table::{self, strk};
use crate::units;
use ciro_api::job::{Amount, JobPlan};
use ciro_api::payment::{
    Balance, LedgerEntry, LedgerSide, LedgerTotals, NewDeposit, NewWithdrawal, WithdrawFrom,
};
use ciro_core::amount::Fri;
use ciro_core::id::TenantId;
use clap::Subcommand;
use serde::Serialize;

const LEDGER: &str = "\
What left an account of yours, or came to one. The filter knows code, job and at.

Examples:
  ciro pay ledger
  ciro pay ledger --filter 'code:deposit at>2026-11-01' -o json
  ciro pay ledger --csv --all > ledger.csv";

const DEPOSIT: &str = "\
The operator vouches for it: the money itself came in elsewhere. A reference comes in once, however often this is
repeated. Amounts: 1.5STRK, 2500000FRI; a bare number is FRI (1e-18 STRK).

Examples:
  ciro pay deposit 100STRK                                    for the operator's own tenant
  ciro pay deposit 25STRK --tenant 4c5d7e --reference invoice-17";

const WITHDRAW: &str = "\
The operator vouches for it: the money itself goes out elsewhere. A reference goes out once, however often this is
repeated.

Examples:
  ciro pay withdraw 10STRK --tenant 4c5d7e --reference payout-9
  ciro pay withdraw 2.5STRK --tenant 4c5d7e --from earned";

const QUOTE: &str = "\
The arguments are those of `ciro job run`. Nothing is uploaded, stored or locked. The bound is the price of the
workers that could run it, times the longest time of an attempt, times the tasks.

Examples:
  ciro pay quote wordcount --input book.txt --split lines:10000
  ciro pay quote ./render.wasm 1920 1080 --split array:24 --wall 10m -o json";

/// Money: what you have, what moved it, what a job would cost.
#[derive(Debug, Subcommand)]
pub enum PayCommand {
    /// Show what your tenant can spend, has locked for jobs, and earned
    #[command(
        after_help = "Examples:\n  ciro pay balance\n  ciro pay balance -o json | jq -r .available.fri"
    )]
    Balance(WhoseArgs),
    /// List what moved your tenant's money, the newest first
    #[command(after_help = LEDGER)]
    Ledger {
        /// How much of it.
        #[command(flatten)]
        list: ListArgs,
        /// Whose.
        #[command(flatten)]
        whose: WhoseArgs,
        /// Write it as CSV (RFC 4180)
        #[arg(long)]
        csv: bool,
    },
    /// List what is locked for your jobs, the newest first
    #[command(after_help = paid::ESCROWS)]
    Escrows {
        /// How much of it.
        #[command(flatten)]
        list: ListArgs,
        /// Whose.
        #[command(flatten)]
        whose: WhoseArgs,
    },
    /// List how the money of your ended jobs was shared out, the newest first
    #[command(after_help = paid::SETTLEMENTS)]
    Settlements {
        /// How much of it.
        #[command(flatten)]
        list: ListArgs,
        /// Whose.
        #[command(flatten)]
        whose: WhoseArgs,
    },
    /// Show what your workers earned, by day or month
    #[command(after_help = paid::EARNINGS)]
    Earnings(paid::EarningsArgs),
    /// Say what a job would cost at most, with the workers as they are
    #[command(after_help = QUOTE)]
    Quote(Box<SpecArgs>),
    /// Say that money came in for a tenant; the operator's
    #[command(after_help = DEPOSIT)]
    Deposit {
        /// How much
        #[arg(value_parser = units::fri)]
        amount: Fri,
        /// For whom.
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Say that money of a tenant went out; the operator's
    #[command(after_help = WITHDRAW)]
    Withdraw {
        /// How much
        #[arg(value_parser = units::fri)]
        amount: Fri,
        /// Out of which account
        #[arg(long, value_enum, value_name = "ACCOUNT", default_value_t)]
        from: From,
        /// Whose.
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Show all balances together; the operator's
    #[command(after_help = "Example:\n  ciro pay totals -o json")]
    Totals,
}

/// Whose money.
#[derive(Debug, Clone, clap::Args)]
pub struct WhoseArgs {
    /// Another tenant's, by its id or the end of it; the operator's
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
}

impl WhoseArgs {
    async fn id(&self, context: &Context) -> Result<Option<TenantId>, Failure> {
        match &self.tenant {
            Some(tenant) => ids::tenant(&context.client, tenant).await.map(Some),
            None => Ok(None),
        }
    }
}

/// What a deposit and a withdrawal have in common.
#[derive(Debug, Clone, clap::Args)]
pub struct OrderArgs {
    /// Whose.
    #[command(flatten)]
    pub whose: WhoseArgs,
    /// What it is called outside, such as the number of an invoice
    #[arg(long, value_name = "TEXT")]
    pub reference: Option<String>,
    /// A note for people
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

/// An account that money can be taken out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum From {
    /// What can be spent on jobs
    #[default]
    Available,
    /// What workers earned
    Earned,
}

pub(crate) async fn run(command: PayCommand, context: &Context) -> Result<(), Failure> {
    let client = &context.client;
    match command {
        PayCommand::Balance(whose) => {
            let tenant = whose.id(context).await?;
            let balance = again(|| client.payment_balance(tenant)).await?;
            context.out.one(&balance, &balance.available.fri, || one(&balance))
        }
        PayCommand::Ledger { list, whose, csv } => {
            let tenant = whose.id(context).await?;
            let fetch = async |page: &_| client.payment_ledger(tenant, page).await;
            let entries = list.fetch(context, fetch).await?;
            if csv {
                output::text(LedgerEntry::CSV_HEADER)?;
                return entries.iter().try_for_each(|entry| output::text(&entry.csv()));
            }
            context.out.many(&entries, |entry| entry.number.to_string(), many)
        }
        PayCommand::Escrows { list, whose } => paid::escrows(&list, &whose, context).await,
        PayCommand::Settlements { list, whose } => paid::settlements(&list, &whose, context).await,
        PayCommand::Earnings(args) => paid::earnings(args, context).await,
        PayCommand::Quote(spec) => quote(&spec, context).await,
        PayCommand::Deposit { amount, order } => {
            let tenant = order.whose.id(context).await?;
            let OrderArgs { reference, note, .. } = order;
            let deposit = NewDeposit { tenant, amount: asked(amount), reference, note };
            let once = idempotency_key();
            let entry = again(|| client.payment_deposit(&deposit, Some(&once))).await?;
            context.out.one(&entry, &id(&entry), || many(std::slice::from_ref(&entry)))
        }
        PayCommand::Withdraw { amount, from, order } => {
            let tenant = order.whose.id(context).await?;
            let OrderArgs { reference, note, .. } = order;
            let from = Some(match from {
                From::Available => WithdrawFrom::Available,
                From::Earned => WithdrawFrom::Earned,
            });
            let withdrawal = NewWithdrawal { tenant, amount: asked(amount), from, reference, note };
            let once = idempotency_key();
            let entry = again(|| client.payment_withdraw(&withdrawal, Some(&once))).await?;
            context.out.one(&entry, &id(&entry), || many(std::slice::from_ref(&entry)))
        }
        PayCommand::Totals => {
            let totals = again(|| client.payment_totals()).await?;
            context.out.one(&totals, &totals.external.fri, || all(&totals))
        }
    }
}

/// An amount as requests take it.
fn asked(amount: Fri) -> Amount {
    Amount { fri: amount.to_string(), strk: None }
}

fn id(entry: &LedgerEntry) -> String {
    entry.id.map(|id| id.to_string()).unwrap_or_default()
}

/// What a job would cost, and what there is for it.
#[derive(Debug, Serialize)]
struct Quote {
    /// What the job would be.
    plan: JobPlan,
    /// What there is.
    balance: Balance,
}

async fn quote(spec: &SpecArgs, context: &Context) -> Result<(), Failure> {
    let job = spec.job(async |path| Ok(declare(path).await?.0.blake3)).await?;
    let plan = again(|| context.client.job_plan(&job)).await?;
    let balance = again(|| context.client.payment_balance(None)).await?;
    let quote = Quote { plan, balance };
    let most = quote.plan.cost.as_ref().map(|cost| cost.highest.fri.clone()).unwrap_or_default();
    context.out.one(&quote, &most, || quoted(&quote))
}

fn quoted(quote: &Quote) -> String {
    let plan = &quote.plan;
    let workers = format!("{} of {} could run it", plan.workers.able, plan.workers.total);
    let cost = plan.cost.as_ref();
    let unknown = match (plan.tasks, plan.workers.able) {
        (None, _) => "known once the input is cut",
        (_, 0) => "unknown: no worker could run it",
        _ => "",
    };
    let rows = [
        ("kind", plan.kind.clone()),
        ("tasks", plan.tasks.map(|tasks| tasks.to_string()).unwrap_or_default()),
        ("workers", workers),
        ("at most, by the cheapest", cost.map(|cost| strk(&cost.lowest)).unwrap_or_default()),
        ("at most, by the dearest", cost.map_or_else(|| unknown.to_owned(), |cost| strk(&cost.highest))),
        ("you can spend", strk(&quote.balance.available)),
    ];
    let enough =
        cost.map(|cost| (cost.highest.fri.parse::<Fri>(), quote.balance.available.fri.parse::<Fri>()));
    match enough {
        Some((Ok(most), Ok(there))) if there < most => {
            format!(
                "{}\n\nThis is {} more than you have.",
                table::record(rows),
                strk(&Fri(most.0 - there.0).into())
            )
        }
        _ => table::record(rows),
    }
}

fn one(balance: &Balance) -> String {
    table::table(
        ["account", "STRK", "FRI"],
        [("available", &balance.available), ("held for jobs", &balance.held), ("earned", &balance.earned)]
            .map(row),
    )
}

fn all(totals: &LedgerTotals) -> String {
    table::table(
        ["accounts", "STRK", "FRI"],
        [
            ("available", &totals.available),
            ("held for jobs", &totals.held),
            ("earned", &totals.earned),
            ("fees", &totals.treasury),
            ("together, owed outside", &totals.external),
        ]
        .map(row),
    )
}

fn row((name, amount): (&str, &Amount)) -> [String; 3] {
    [name.to_owned(), amount.strk.clone().unwrap_or_default(), amount.fri.clone()]
}

fn many(entries: &[LedgerEntry]) -> String {
    let side = |side: &LedgerSide| match (side.tenant, side.account.is_operators()) {
        (None, false) => format!("another's {}", side.account.name()),
        _ => side.account.name().to_owned(),
    };
    table::table(
        ["no", "at", "code", "from", "to", "STRK", "FRI", "job", "reference", "note"],
        entries.iter().map(|entry| {
            [
                entry.number.to_string(),
                entry.at.to_string(),
                entry.code.name().to_owned(),
                side(&entry.from),
                side(&entry.to),
                entry.amount.strk.clone().unwrap_or_default(),
                entry.amount.fri.clone(),
                entry.job.map(|job| job.to_string()).unwrap_or_default(),
                entry.reference.clone().unwrap_or_default(),
                entry.note.clone().unwrap_or_default(),
            ]
        }),
    )
}
