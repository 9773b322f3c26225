//! `ciro job`: one module for each thing that is done with a job.

mod bulk;
mod download;
mod events;
mod explain;
mod label;
mod logs;
mod plan;
mod read;
mod show;
pub(crate) mod spec;
mod submit;
mod wait;
mod watch;

use crate::cli::Context;
use crate::error::Failure;
use clap::Subcommand;

const RUN: &str = "\
The answer is the ended job; the exit code is 6 when it did not complete, 7 when --timeout passed.

Examples:
  ciro job run wordcount --input book.txt --split lines:10000 --output counts
  ciro job run ./render.wasm 1920 1080 --split array:24 --collect list --wall 10m
  ciro job run --file job.json -o json | jq -r .state
  ciro job run sleep 2000 --timeout 1s                          what a timeout looks like";

const SUBMIT: &str = "\
The answer is the accepted job: it is on disk, and runs whether anybody waits or not.

Examples:
  ciro job submit wordcount --input book.txt --split lines:10000 -o id
  ciro job submit --file job.json
  ciro job submit sleep 5000 --max-cost 1STRK --pay-from balance
  ciro job submit sleep 5000 --max-cost 1STRK --pay-from escrow --account account.json --keystore key.json
  jq -n '{kind:\"sleep\",args:[\"1000\"]}' | ciro job submit --file -";

const WATCH: &str = "\
On a terminal a bar or a table, else a line for each change. The exit code is 6 when one did not complete, 7 when
--timeout passed. A restart of the server is waited for.

Examples:
  ciro job watch last
  ciro job watch --filter 'label.run=17' --timeout 2h && echo done
  ciro job list --filter state:running -o id | ciro job watch -";

/// Submit jobs, follow them, fetch their results.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Submit a job, wait for its end, say where the result is
    #[command(after_help = RUN)]
    Run(Box<submit::RunArgs>),
    /// Submit a job
    #[command(after_help = SUBMIT)]
    Submit(Box<submit::SubmitArgs>),
    /// List jobs, the newest first unless `--sort` says otherwise
    #[command(
        after_help = "Examples:\n  ciro job list\n  ciro job list --filter 'state:queued,running kind:wordcount' --sort=-priority\n  ciro job list --all -o ndjson | jq .state"
    )]
    List(read::JobListArgs),
    /// Show one job: where it is, and what was asked for
    #[command(after_help = "Examples:\n  ciro job get last\n  ciro job get 4c5d7e -o json")]
    Get(One),
    /// Say why a job waits, and what would make it run
    #[command(
        after_help = "Examples:\n  ciro job explain last\n  ciro job explain last -o json | jq .workers.rejected"
    )]
    Explain(One),
    /// Say what `job run` would do with these arguments, and do nothing
    #[command(
        after_help = "Nothing is uploaded or stored. The flags of `job run` about waiting have no effect.\n\nExample:\n  ciro job plan wordcount --input book.txt --split lines:10000 --memory 16GiB"
    )]
    Plan(Box<submit::RunArgs>),
    /// Watch jobs until they have ended
    #[command(after_help = WATCH)]
    Watch(watch::WatchArgs),
    /// Wait until a job ends
    #[command(
        after_help = "The exit code is 6 when it did not complete, 7 when --timeout passed.\n\nExample:\n  ciro job wait last --timeout 10m && echo done"
    )]
    Wait(wait::WaitArgs),
    /// Show what a job's programs printed
    #[command(
        after_help = "Examples:\n  ciro job logs last\n  ciro job logs last --task 3 --attempt 2\n  ciro job logs last --follow --since 10m --stream stderr"
    )]
    Logs(logs::LogsArgs),
    /// Show what happened to a job
    #[command(
        after_help = "Examples:\n  ciro job events last\n  ciro job events last --follow -o ndjson | jq .type\n  ciro job events last --follow --types 'attempt.*'"
    )]
    Events(events::EventsArgs),
    /// Show every run of every task of a job
    #[command(after_help = "Example:\n  ciro job attempts last -o ndjson | jq 'select(.class)'")]
    Attempts(read::AttemptsArgs),
    /// Show the result of a completed job, or print one of its files
    #[command(
        after_help = "Examples:\n  ciro job result last\n  ciro job result last --cat counts.txt | head"
    )]
    Result(read::ResultArgs),
    /// Write the files of a job's result into a folder
    #[command(
        after_help = "Every part is checked against its hash; a file gets its name when it is whole.\n\nExample:\n  ciro job download last --output counts"
    )]
    Download(download::DownloadArgs),
    /// Cancel jobs; what has a result by then is kept
    #[command(
        after_help = "Examples:\n  ciro job cancel last\n  ciro job cancel --filter 'state:queued label.team=red' --dry-run\n  ciro job list --filter state:queued -o id | ciro job cancel -"
    )]
    Cancel {
        /// Which.
        #[command(flatten)]
        which: bulk::WhichArgs,
        /// Do not let running attempts report
        #[arg(long)]
        now: bool,
    },
    /// Run ended jobs again, as new jobs
    #[command(
        after_help = "Examples:\n  ciro job retry last\n  ciro job retry --filter 'state:failed ended>2026-11-22' --yes\n  ciro job list --filter state:failed -o id | ciro job retry -"
    )]
    Retry(bulk::WhichArgs),
    /// Set labels of a job, or take them away; also when it has ended
    #[command(after_help = "Example:\n  ciro job label last team=red reviewed=yes draft-")]
    Label(label::LabelArgs),
    /// Show what can be run by name, what it needs, and how
    #[command(
        after_help = "Examples:\n  ciro job kinds\n  ciro job kinds -o json | jq -r '.items[].example'"
    )]
    Kinds,
    /// Show figures about all jobs
    #[command(after_help = "Example:\n  ciro job stats -o json | jq .by_state")]
    Stats,
}

/// One job.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The job: its id, the end of it, or `last`
    pub job: String,
}

pub(crate) async fn run(command: JobCommand, context: &Context) -> Result<(), Failure> {
    match command {
        JobCommand::Run(args) => submit::run(&args, context).await,
        JobCommand::Submit(job) => submit::submit(&job, context).await,
        JobCommand::List(list) => read::list(&list, context).await,
        JobCommand::Get(one) => read::get(&one.job, context).await,
        JobCommand::Explain(one) => explain::run(&one.job, context).await,
        JobCommand::Plan(args) => plan::run(&args.job.spec, context).await,
        JobCommand::Watch(args) => watch::run(&args, context).await,
        JobCommand::Wait(args) => wait::wait(&args, context).await,
        JobCommand::Logs(args) => logs::run(&args, context).await,
        JobCommand::Events(args) => events::run(&args, context).await,
        JobCommand::Attempts(args) => read::attempts(&args, context).await,
        JobCommand::Result(args) => read::result(&args, context).await,
        JobCommand::Download(args) => download::run(&args, context).await,
        JobCommand::Cancel { which, now } => bulk::cancel(&which, now, context).await,
        JobCommand::Retry(which) => bulk::retry(&which, context).await,
        JobCommand::Label(args) => label::run(&args, context).await,
        JobCommand::Kinds => read::kinds(context).await,
        JobCommand::Stats => read::stats(context).await,
    }
}
