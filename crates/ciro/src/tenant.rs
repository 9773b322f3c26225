//! `ciro tenant` and `ciro quota`: shares and quotas, for the operator; one's own, for everybody.

use crate::again::{again, idempotency_key};
use crate::cli::Context;
use crate::clock;
use crate::error::Failure;
use crate::ids;
use crate::list::PageArgs;
use crate::table;
use crate::units;
use ciro_api::tenant::{EditQuotas, EditTenant, NewTenant, QuotaReport, Quotas, Tenant};

const CREATE: &str = "\
A tenant sees nothing of another. Give it its first key with `ciro key create NAME --role admin --tenant ID`.

Examples:
  ciro tenant create physics --weight 3
  ciro tenant create students --open-jobs 1000 --running 8 --artifact-bytes 10GiB
  ciro key create first --role admin --tenant $(ciro tenant create lab -o id)";

const EDIT: &str = "\
Examples:
  ciro tenant edit 4c5d7e --weight 5               its share counts from the next grant on
  ciro tenant edit 4c5d7e --running 16 --open-jobs none
  ciro tenant edit 4c5d7e --suspended true         its keys are refused, nothing of it is granted";

/// Tenants.
#[derive(Debug, clap::Subcommand)]
pub enum TenantCommand {
    /// Make a tenant
    #[command(after_help = CREATE)]
    Create {
        /// Its name: letters, digits, `.`, `_` and `-`
        name: String,
        /// Its share of the workers while others want them too
        #[arg(long, value_name = "N", default_value_t = 1)]
        weight: u32,
        /// What it may use at once.
        #[command(flatten)]
        quotas: QuotaArgs,
    },
    /// List the tenants
    #[command(after_help = "Example:\n  ciro tenant list -o json")]
    List(PageArgs),
    /// Look at a tenant, and how much of its quotas it uses
    #[command(after_help = "Example:\n  ciro tenant get 4c5d7e")]
    Get {
        /// Its id, or the end of it
        tenant: String,
    },
    /// Change a tenant: what is not named stays
    #[command(after_help = EDIT)]
    Edit {
        /// Its id, or the end of it
        tenant: String,
        /// Its name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Its share of the workers while others want them too
        #[arg(long, value_name = "N")]
        weight: Option<u32>,
        /// Whether its keys are refused and nothing of it is granted
        #[arg(long, value_name = "BOOL")]
        suspended: Option<bool>,
        /// What it may use at once.
        #[command(flatten)]
        quotas: QuotaArgs,
    },
}

/// Quotas; `none` is no bound.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Quotas (a number, or `none`)")]
pub struct QuotaArgs {
    /// Jobs that have not ended
    #[arg(long, value_name = "N", value_parser = cap)]
    open_jobs: Option<Cap>,
    /// Attempts that run at once
    #[arg(long, value_name = "N", value_parser = cap)]
    running: Option<Cap>,
    /// Bytes of artifacts
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    artifact_bytes: Option<Cap>,
    /// Requests a second
    #[arg(long, value_name = "N", value_parser = cap)]
    requests: Option<Cap>,
}

/// A bound, or none.
#[derive(Debug, Clone, Copy)]
struct Cap(Option<u64>);

fn cap(text: &str) -> Result<Cap, String> {
    match text {
        "none" => Ok(Cap(None)),
        number => number.parse().map(|n| Cap(Some(n))).map_err(|_| "a number, or `none`".to_owned()),
    }
}

fn bytes(text: &str) -> Result<Cap, String> {
    match text {
        "none" => Ok(Cap(None)),
        size => units::size(size).map(|bytes| Cap(Some(bytes))),
    }
}

impl QuotaArgs {
    /// What is named of them.
    fn edit(&self) -> Result<EditQuotas, Failure> {
        let requests = self.requests.map(|cap| cap.0.map(u32::try_from).transpose());
        let too_many = |_| Failure::usage("--requests is at most 4294967295");
        Ok(EditQuotas {
            open_jobs: self.open_jobs.map(|cap| cap.0),
            running: self.running.map(|cap| cap.0),
            artifact_bytes: self.artifact_bytes.map(|cap| cap.0),
            requests_per_second: requests.transpose().map_err(too_many)?,
        })
    }
}

pub(crate) async fn run(command: TenantCommand, context: &Context) -> Result<(), Failure> {
    let client = &context.client;
    match command {
        TenantCommand::Create { name, weight, quotas } => {
            let edit = quotas.edit()?;
            let quotas = Quotas {
                open_jobs: edit.open_jobs.flatten(),
                running: edit.running.flatten(),
                artifact_bytes: edit.artifact_bytes.flatten(),
                requests_per_second: edit.requests_per_second.flatten(),
            };
            let (new, once) = (NewTenant { name, weight, quotas }, idempotency_key());
            let made = again(|| client.tenant_create(&new, Some(&once))).await?;
            context.out.one(&made, &made.id.to_string(), || {
                table::record([("id", made.id.to_string()), ("name", made.name.clone())])
            })
        }
        TenantCommand::List(page) => {
            let tenants = page.fetch(context, async |query| client.tenant_list(query).await).await?;
            context.out.many(&tenants, |tenant| tenant.id.to_string(), many)
        }
        TenantCommand::Get { tenant } => {
            let id = ids::tenant(client, &tenant).await?;
            let tenant = again(|| client.tenant_get(id)).await?;
            let used = again(|| client.tenant_quota(id)).await?;
            let shown = || format!("{}\n\n{}", one(&tenant), levels(&used));
            context.out.one(&tenant, &id.to_string(), shown)
        }
        TenantCommand::Edit { tenant, name, weight, suspended, quotas } => {
            let id = ids::tenant(client, &tenant).await?;
            let quotas = Some(quotas.edit()?).filter(|quotas| *quotas != EditQuotas::default());
            let edit = EditTenant { name, weight, quotas, suspended };
            if edit == EditTenant::default() {
                return Err(Failure::usage("nothing is to be different: name what is"));
            }
            let tenant = again(|| client.tenant_edit(id, &edit)).await?;
            context.out.one(&tenant, &id.to_string(), || one(&tenant))
        }
    }
}

/// `ciro quota`.
pub(crate) async fn quota(context: &Context) -> Result<(), Failure> {
    let report = again(|| context.client.quota()).await?;
    context.out.one(&report, &report.tenant.to_string(), || {
        let share = format!("tenant {}, weight {}", report.name, report.weight);
        format!("{share}\n\n{}", levels(&report))
    })
}

fn many(tenants: &[Tenant]) -> String {
    let now = clock::now();
    table::table(
        ["id", "name", "weight", "open jobs", "running", "artifacts", "requests/s", "made", "state"],
        tenants.iter().map(|tenant| {
            let quotas = &tenant.quotas;
            let bound = |cap: Option<u64>| cap.map(|cap| cap.to_string()).unwrap_or_default();
            [
                tenant.id.to_string(),
                tenant.name.clone(),
                tenant.weight.to_string(),
                bound(quotas.open_jobs),
                bound(quotas.running),
                quotas.artifact_bytes.map(table::size).unwrap_or_default(),
                bound(quotas.requests_per_second.map(u64::from)),
                table::ago(tenant.created_at, now),
                state(tenant),
            ]
        }),
    )
}

fn state(tenant: &Tenant) -> String {
    match tenant.suspended_at {
        Some(at) => format!("suspended {}", table::ago(at, clock::now())),
        None => "good".into(),
    }
}

fn one(tenant: &Tenant) -> String {
    table::record([
        ("id", tenant.id.to_string()),
        ("name", tenant.name.clone()),
        ("weight", tenant.weight.to_string()),
        ("state", state(tenant)),
        ("made", table::ago(tenant.created_at, clock::now())),
    ])
}

fn levels(report: &QuotaReport) -> String {
    table::table(
        ["quota", "level", "cap", "beyond"],
        report.quotas.iter().map(|of| {
            let shown = |n: u64| if of.quota == "artifact_bytes" { table::size(n) } else { n.to_string() };
            [
                of.quota.replace('_', " "),
                of.level.map(shown).unwrap_or_default(),
                of.cap.map_or_else(|| "none".to_owned(), shown),
                if of.cap.is_some() { of.beyond.clone() } else { String::new() },
            ]
        }),
    )
}
