//! `ciro worker`: the workers as the server sees them, and one on this machine.

mod golden;
mod machine;
mod selftest;
mod watch;

use crate::again::again;
use crate::cli::Context;
use crate::clock;
use crate::complete;
use crate::error::{Exit, Failure, with_causes};
use crate::ids;
use crate::list::{FILTER_HELP, PageArgs};
use crate::output::Output;
use crate::signals;
use crate::table::{self, cores, pairs, size};
use ciro_api::page::PageQuery;
use ciro_api::worker::{Offer, SuspendWorker, Worker, WorkerStats};
use ciro_core::id::WorkerId;
use ciro_worker::StartArgs;
use clap::Subcommand;
use selftest::SelftestArgs;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const SELFTEST: &str = "\
Runs the programs of the corpus, each of which tries one source of difference (time, order, randomness,
floating point, memory, files), as attempts of a worker on this machine, and compares result, logs and fuel
with the golden ones. With --escape it runs programs that want out and programs that take all they can.
The exit code is 1 when something differs or got through.

Examples:
  ciro worker selftest
  ciro worker selftest -o json | jq '.programs[] | select(.ok | not)'
  ciro worker selftest --escape
  ciro worker selftest --escape -o json | jq '.rows[] | select(.verdict != \"contained\")'";

/// How often a worker that drains is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const DRAIN: &str = "\
It stays drained, over restarts too, until `ciro worker undrain`. What it had not begun goes to others at once.

Examples:
  ciro worker drain 4c5d7e
  ciro worker drain 4c5d7e --wait && ssh rack-7 systemctl stop ciro-worker";

const SUSPEND: &str = "\
It stays connected and gets nothing new, over restarts too, until `ciro worker resume`. A worker of another
tenant is named by its whole id.

Examples:
  ciro worker suspend 4c5d7e --reason 'results differ from the golden ones'
  ciro worker suspend 4c5d7e --reason 'key stolen' --revoke";

const WATCH: &str = "\
Goes on until Ctrl-C, or with --until until all of them are in a state. A restart of the server is waited for.

Examples:
  ciro worker watch
  ciro worker watch 4c5d7e --until online --timeout 2m
  ciro worker watch --filter label.rack=7 -o ndjson | jq .state";

const BENCH: &str = "\
Takes some 15 s and two cores' worth of heat; nothing leaves the machine. \"attempt, warm\" is what an attempt
costs here beside its work: tasks should be much longer.

Examples:
  ciro worker bench
  ciro worker bench --state /var/lib/ciro -o json | jq .wasm";

const START: &str = "\
The first time a join token is needed: `ciro key create NAME --role join`.
`ciro-worker start` is the same program alone.

Example:
  ciro worker start --coordinator http://10.0.0.5:8080 --token \"$TOKEN\"";

/// See the workers, or run one on this machine.
#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// List workers
    #[command(after_help = "Examples:\n  ciro worker list\n  ciro worker list --filter state:online -o json")]
    List {
        /// How much of the list.
        #[command(flatten)]
        page: PageArgs,
        #[arg(long, help = FILTER_HELP, value_name = "FILTER", allow_hyphen_values = true, add = complete::worker_filter())]
        filter: Option<String>,
    },
    /// Show one worker
    #[command(after_help = "Example:\n  ciro worker get 4c5d7e")]
    Get {
        /// The worker: its id, or the end of it
        worker: String,
    },
    /// Show figures about all workers
    #[command(after_help = "Example:\n  ciro worker stats -o json | jq .capacity")]
    Stats,
    /// Show what happened to a worker: registered, online, draining, offline
    #[command(
        after_help = "What it ran is told by the jobs: `ciro events --worker 4c5d7e`.\n\nExamples:\n  ciro worker events 4c5d7e\n  ciro worker events 4c5d7e --follow -o ndjson | jq .type"
    )]
    Events(watch::EventsArgs),
    /// Watch workers: a table on a terminal, else a line for each change
    #[command(after_help = WATCH)]
    Watch(watch::WatchArgs),
    /// Let a worker finish what it has and take nothing new
    #[command(after_help = DRAIN)]
    Drain {
        /// The worker: its id, or the end of it
        worker: String,
        /// Wait until nothing runs on it any more
        #[arg(long)]
        wait: bool,
    },
    /// Let a drained worker take work again
    #[command(after_help = "Example:\n  ciro worker undrain 4c5d7e")]
    Undrain {
        /// The worker: its id, or the end of it
        worker: String,
    },
    /// Stop a worker until further notice; the operator's
    #[command(after_help = SUSPEND)]
    Suspend {
        /// The worker: its id, or the end of it
        worker: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Take what it runs from it, and give it to others
        #[arg(long)]
        revoke: bool,
    },
    /// Let a suspended worker take work again; the operator's
    #[command(after_help = "Example:\n  ciro worker resume 4c5d7e")]
    Resume {
        /// The worker: its id, or the end of it
        worker: String,
    },
    /// Run a worker on this machine until it is asked to end
    #[command(after_help = START)]
    Start(Box<StartArgs>),
    /// Show what this machine has and what a worker on it would offer
    #[command(
        after_help = "Examples:\n  ciro worker detect\n  ciro worker detect -o json | jq .capabilities.offer"
    )]
    Detect(machine::MachineArgs),
    /// Measure this machine: cores, memory, disk, hashing, and what an attempt costs
    #[command(after_help = BENCH)]
    Bench(machine::MachineArgs),
    /// Run programs whose results are known, or programs that try to get out
    #[command(after_help = SELFTEST)]
    Selftest(SelftestArgs),
}

impl WorkerCommand {
    /// Whether it is about this machine and needs no server's answer.
    pub(crate) fn is_local(&self) -> bool {
        use WorkerCommand::{Bench, Detect, Selftest, Start};
        matches!(self, Start(_) | Detect(_) | Bench(_) | Selftest(_))
    }
}

/// Runs a command about this machine.
pub(crate) async fn run_here(command: WorkerCommand, out: Output) -> Result<(), Failure> {
    match command {
        WorkerCommand::Start(args) => start(*args).await,
        WorkerCommand::Detect(args) => machine::detect(&args, out),
        WorkerCommand::Bench(args) => machine::bench(&args, out).await,
        WorkerCommand::Selftest(args) => selftest::run(&args, out).await,
        // The rest asks a server.
        _ => Ok(()),
    }
}

pub(crate) async fn run(command: WorkerCommand, context: &Context) -> Result<(), Failure> {
    match command {
        WorkerCommand::List { page, filter } => {
            let fetch = async |page: &PageQuery| context.client.worker_list(page).await;
            let workers = page.fetch_only(filter, context, fetch).await?;
            context.out.many(&workers, |worker| worker.id.to_string(), many)
        }
        WorkerCommand::Get { worker } => {
            let id = ids::worker(&context.client, &worker).await?;
            let worker = again(|| context.client.worker_get(id)).await?;
            context.out.one(&worker, &id.to_string(), || one(&worker))
        }
        WorkerCommand::Stats => {
            let stats = again(|| context.client.worker_stats()).await?;
            context.out.one(&stats, &stats.total.to_string(), || figures(&stats))
        }
        WorkerCommand::Events(args) => watch::events(&args, context).await,
        WorkerCommand::Watch(args) => watch::run(&args, context).await,
        WorkerCommand::Drain { worker, wait } => {
            let id = ids::worker(&context.client, &worker).await?;
            again(|| context.client.worker_drain(id)).await?;
            while wait && again(|| context.client.worker_get(id)).await?.attempts > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            tell(context, id).await
        }
        WorkerCommand::Undrain { worker } => {
            let id = ids::worker(&context.client, &worker).await?;
            again(|| context.client.worker_undrain(id)).await?;
            tell(context, id).await
        }
        WorkerCommand::Suspend { worker, reason, revoke } => {
            let id = ids::worker(&context.client, &worker).await?;
            let why = SuspendWorker { reason, revoke };
            again(|| context.client.worker_suspend(id, &why)).await?;
            tell(context, id).await
        }
        WorkerCommand::Resume { worker } => {
            let id = ids::worker(&context.client, &worker).await?;
            again(|| context.client.worker_resume(id)).await?;
            tell(context, id).await
        }
        // These need no server's answer and were run before.
        WorkerCommand::Start(_)
        | WorkerCommand::Detect(_)
        | WorkerCommand::Bench(_)
        | WorkerCommand::Selftest(_) => Ok(()),
    }
}

/// What has become of a worker that was ordered something.
async fn tell(context: &Context, id: WorkerId) -> Result<(), Failure> {
    let worker = match again(|| context.client.worker_get(id)).await {
        // The operator orders workers of tenants that it does not see.
        Err(error) if error.status() == Some(404) => {
            context.out.remark(&format!("{id}: done"));
            return Ok(());
        }
        worker => worker?,
    };
    let words = format!("{id} is {}, {} attempts", worker.state.name(), worker.attempts);
    context.out.one(&worker, &id.to_string(), || words)
}

/// Runs a worker until it is asked to end.
async fn start(args: StartArgs) -> Result<(), Failure> {
    signals::log_to_stderr("info");
    let end = CancellationToken::new();
    let worker = async {
        let ended = ciro_worker::run(args.into_config(), end.clone()).await;
        ended.map_err(failed)
    };
    signals::until_asked(worker, &end, || {}).await
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: ciro_worker::Error) -> Failure {
    Failure::new(exit_of(&error), with_causes(&error))
}

fn exit_of(error: &ciro_worker::Error) -> Exit {
    match error {
        ciro_worker::Error::Config { .. } => Exit::Usage,
        ciro_worker::Error::InUse(_) => Exit::Conflict,
        ciro_worker::Error::Refused { .. } => Exit::Auth,
        _ => Exit::Failure,
    }
}

fn many(workers: &[Worker]) -> String {
    let now = clock::now();
    table::table(
        ["id", "name", "state", "attempts", "cores", "memory", "gpus", "runs", "seen"],
        workers.iter().map(|worker| {
            [
                worker.id.to_string(),
                worker.name.clone(),
                worker.state.name().to_owned(),
                worker.attempts.to_string(),
                format!("{}/{}", cores(worker.used.cpu_millis), cores(worker.offer.cpu_millis)),
                format!("{}/{}", size(worker.used.memory_bytes), size(worker.offer.memory_bytes)),
                format!("{}/{}", worker.used.gpus, worker.offer.gpus.len()),
                pairs(&worker.running),
                worker.seen_at.map(|at| table::ago(at, now)).unwrap_or_default(),
            ]
        }),
    )
}

fn one(worker: &Worker) -> String {
    let now = clock::now();
    table::record([
        ("id", worker.id.to_string()),
        ("name", worker.name.clone()),
        ("state", worker.state.name().to_owned()),
        ("attempts", worker.attempts.to_string()),
        ("offers", offer(&worker.offer)),
        ("profiles", worker.profiles.join(", ")),
        ("sandbox", worker.sandbox.join(", ")),
        ("labels", pairs(&worker.labels)),
        ("at most", pairs(&worker.max_by_kind)),
        ("price", format!("{} FRI an hour", worker.price.fri)),
        ("payout", worker.payout.map(|address| address.to_string()).unwrap_or_default()),
        ("takes", if worker.paid_only { "paid jobs only" } else { "" }.to_owned()),
        ("agent", format!("{} on {}", worker.version, worker.arch)),
        ("key", worker.public_key.clone()),
        ("joined", table::ago(worker.created_at, now)),
        ("seen", worker.seen_at.map(|at| table::ago(at, now)).unwrap_or_default()),
    ])
}

fn figures(stats: &WorkerStats) -> String {
    table::record([
        ("workers", stats.total.to_string()),
        ("by state", pairs(&stats.by_state)),
        ("attempts", stats.attempts.to_string()),
        ("online ones offer", offer(&stats.capacity)),
    ])
}

fn offer(offer: &Offer) -> String {
    let mut words = vec![
        format!("{} cores", cores(offer.cpu_millis)),
        format!("{} memory", size(offer.memory_bytes)),
        format!("{} disk", size(offer.disk_bytes)),
    ];
    words.extend(offer.gpus.iter().map(|gpu| format!("{} {} {} MiB", gpu.vendor, gpu.model, gpu.vram_mib)));
    words.extend(offer.custom.iter().map(|(name, count)| format!("{count} {name}")));
    words.join(", ")
}
