//! The command line of CIRO: a client for people and scripts, and `ciro dev`, which runs all roles
//! in one process.
//!
//! A command goes down the page once: [`cli`] parses it, [`connect`] finds the server, the module of
//! its noun calls the typed client, `output` writes the answer. What fails becomes an
//! [`error::Failure`], printed and turned into the exit code in one place, here.

mod again;
mod api_call;
mod artifact;
mod audit;
mod backup;
mod batch;
mod chain;
pub mod cli;
mod clock;
mod complete;
mod config;
pub mod connect;
mod context;
mod dev;
mod doctor;
mod environment;
pub mod error;
mod events;
mod follow;
mod ids;
mod job;
mod key;
mod limits;
mod list;
mod man;
mod output;
mod pay;
mod private;
mod programs;
mod progress;
mod prompt;
mod receipt;
mod region;
mod signals;
mod sim;
mod stats;
mod status;
mod table;
mod tenant;
mod top;
mod units;
mod webhook;
mod worker;

pub use cli::command;

use clap::Parser;
use cli::{Cli, Command, Context};
use connect::Found;
use error::{Exit, Failure};
use output::Output;
use std::process::ExitCode;
use std::sync::Mutex;

/// The whole program behind its first line.
#[must_use]
pub fn main() -> ExitCode {
    complete::answer();
    let cli = Cli::parse();
    let (format, server, colour) = (cli.output.format, cli.server.clone(), !cli.output.no_color);
    let ended = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let ended = runtime.block_on(run(cli));
            // A thread that still reads standard input cannot be waited for.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Failure::io("cannot start the runtime", &error)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let format = format.or_else(|| server.find().ok()?.output).unwrap_or_default();
            output::complain(&failure, format, colour);
            ExitCode::from(failure.exit as u8)
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let (format, quiet) = (cli.output.format, cli.output.quiet);
    let out = Output { format: format.unwrap_or_default(), quiet };
    match cli.command {
        Command::Dev(args) => dev::run(args, &cli.server, out).await,
        Command::Worker(command) if command.is_local() => worker::run_here(command, out).await,
        Command::Receipt(receipt::ReceiptCommand::Verify(args)) => receipt::verify(&args, out),
        Command::Audit(command) if command.is_local() => audit::verify_file(&command, out),
        Command::Webhook(webhook::WebhookCommand::Verify(args)) => webhook::verify(&args, out),
        Command::Sim(args) => sim::run(&args, out),
        Command::Chain(command) if command.is_local() => chain::run(command, out).await,
        Command::Doctor(args) => doctor::run(&args, &cli.server, out).await,
        Command::Completions { shell, program } => complete::script(shell, program),
        Command::Man { folder } => man::write(&folder, out),
        Command::Context(command) => context::run(command, &cli.server, out),
        command => {
            let found = cli.server.find()?;
            let out = Output { format: format.or(found.output).unwrap_or_default(), quiet };
            let context = Context { client: found.client()?, out, going_on: Mutex::new(None) };
            let ended = interruptible(command, &context).await;
            ended.map_err(|failure| where_it_was(failure, &found))
        }
    }
}

/// A server that does not answer is perhaps not the one that was meant.
fn where_it_was(failure: Failure, found: &Found) -> Failure {
    match (failure.exit, &failure.problem) {
        (Exit::Unavailable, None) => failure.hint(format!(
            "it was looked for at {} ({}): is it running? `ciro dev` starts one here, `--server URL` names another",
            found.url, found.origin
        )),
        _ => failure,
    }
}

async fn interruptible(command: Command, context: &Context) -> Result<(), Failure> {
    tokio::select! {
        biased;
        ended = call(command, context) => ended,
        _ = tokio::signal::ctrl_c() => {
            let hint = context.going_on.lock().ok().and_then(|mut words| words.take());
            let interrupted = Failure::new(Exit::Interrupted, "interrupted");
            Err(match hint {
                Some(words) => interrupted.hint(words),
                None => interrupted,
            })
        }
    }
}

async fn call(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Status => status::run(context).await,
        Command::Limits(args) => limits::run(&args, context).await,
        Command::Stats(command) => stats::run(command, context).await,
        Command::Config(args) => config::run(&args, context).await,
        Command::Top(args) => top::run(&args, context).await,
        Command::Job(command) => job::run(command, context).await,
        Command::Worker(command) => worker::run(command, context).await,
        Command::Events(args) => events::run(&args, context).await,
        Command::Artifact(command) => artifact::run(command, context).await,
        Command::Receipt(command) => receipt::run(command, context).await,
        Command::Batch(command) => batch::run(command, context).await,
        Command::Webhook(command) => webhook::run(command, context).await,
        Command::Key(command) => key::run(command, context).await,
        Command::Audit(command) => audit::run(command, context).await,
        Command::Backup(command) => backup::run(command, context).await,
        Command::Tenant(command) => tenant::run(command, context).await,
        Command::Pay(command) => pay::run(command, context).await,
        Command::Chain(command) => chain::ask(command, context).await,
        Command::Quota => tenant::quota(context).await,
        Command::Api(args) => api_call::run(&args, context).await,
        // The rest needs no server and was run before.
        Command::Dev(_)
        | Command::Doctor(_)
        | Command::Sim(_)
        | Command::Context(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
    }
}
