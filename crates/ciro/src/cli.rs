//! The command tree and what every command shares.

use crate::connect::ServerArgs;
use crate::output::{Format, Output};
use crate::programs::Program;
use crate::{
    api_call, artifact, audit, backup, batch, chain, config, context, dev, doctor, events, job, key, limits,
    pay, receipt, stats, tenant, top, webhook, worker,
};
use ciro_api::client::Client;
use clap::builder::FalseyValueParser;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::path::PathBuf;
use std::sync::Mutex;

const ABOUT: &str = "Run compute jobs on a CIRO network, from this machine's own to a distant one";

const EXAMPLES: &str = "\
Examples:
  ciro dev                                                     a whole network on this machine
  ciro job run wordcount --input book.txt --split lines:10000  run a job, wait, say where the result is
  ciro job run ./program.wasm 30 --follow                      a module of your own, with its output
  ciro job list --filter state:failed -o id                    ids for scripts

Server: --server and --api-key or --context, else CIRO_SERVER and CIRO_API_KEY, else CIRO_CONTEXT, else the state
        folder `.ciro-dev` here or above, else the context in use. `ciro context show` says which, and why.
Ids:    in full, their last 6 characters or more, `last` for the newest job, `-` for standard input.
Exit:   0 done, 1 failure, 2 usage, 3 not found, 4 key, 5 conflict, 6 job failed, 7 timeout,
        8 server unavailable, 9 invalid request, 130 interrupted.";

const COMPLETIONS: &str = "\
Examples:
  ciro completions bash > ~/.local/share/bash-completion/completions/ciro
  ciro completions zsh > ~/.zfunc/_ciro
  ciro completions fish --program ciro-coordinator > ~/.config/fish/completions/ciro-coordinator.fish";

const MAN: &str = "\
Examples:
  ciro man /usr/local/share/man/man1
  ciro man man1 && man -l man1/ciro-job-run.1";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "ciro",
    version,
    about = ABOUT,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 110
)]
pub struct Cli {
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// How answers are written.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How answers are written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// How answers are written: `json` and `ndjson` have the REST schema [default: the context's, else table]
    #[arg(short = 'o', long, global = true, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Answers and errors only: no bars, no remarks
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// No colours
    #[arg(long, global = true, env = "NO_COLOR", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub no_color: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole network on this machine: a coordinator, workers, a database in a folder
    Dev(dev::DevArgs),
    /// Look at this machine and the server: what works, what does not, and what to do about it
    Doctor(doctor::DoctorArgs),
    /// Show how the server and its components are
    #[command(after_help = "Examples:\n  ciro status\n  ciro status -o json | jq .components.db")]
    Status,
    /// List every bound of the server: how much of it is taken, and what happens beyond it
    Limits(limits::LimitsArgs),
    /// Look at the server's figures over time
    #[command(subcommand)]
    Stats(stats::StatsCommand),
    /// Show the settings of the server, who set them, and what waits for a restart
    Config(config::ConfigArgs),
    /// Watch the network: queue, jobs, rates, workers and the last events, drawn over again in place
    #[command(
        after_help = "Keys: q quits, s sorts, r reverses, / finds, p pauses. A server that is away is asked again.\n\nExamples:\n  ciro top\n  ciro top --sort attempts --find gpu\n  ciro top --once -o json | jq .rates"
    )]
    Top(top::TopArgs),
    /// Submit jobs, follow them, fetch their results
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Bulk actions: see, wait for and stop what was begun by `job cancel` and `job retry --filter`
    #[command(subcommand)]
    Batch(batch::BatchCommand),
    /// See the workers, or run one on this machine
    #[command(subcommand)]
    Worker(worker::WorkerCommand),
    /// Follow everything that happens, until interrupted
    #[command(
        after_help = "An event's id is its place in the log. A restart of the server is waited for, and nothing is missed.\n\nExamples:\n  ciro events\n  ciro events --types 'job.failed,worker.*'\n  ciro events --worker 4c5d7e --after 0 -o ndjson | jq .type"
    )]
    Events(events::EventsArgs),
    /// Store bytes under their hash, and fetch them
    #[command(subcommand)]
    Artifact(artifact::ArtifactCommand),
    /// Fetch what workers signed of their results, and check it without a server
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    /// Have URLs told what happens, and see what became of it
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// API keys and join tokens
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Who changed what: list, export and check the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Starknet: what the coordinator sees and sends; without one: keys, accounts, our contracts, what nodes say
    #[command(subcommand)]
    Chain(chain::ChainCommand),
    /// Save servers and their keys under a name
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Backups that the coordinator keeps: make one, list them, check one
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Shares and quotas of tenants, for the operator
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Money: what you have, what moved it, what a job would cost; deposits and withdrawals, for the operator
    #[command(subcommand)]
    Pay(pay::PayCommand),
    /// How much of its quotas your tenant uses
    #[command(after_help = "Examples:\n  ciro quota\n  ciro quota -o json | jq .quotas")]
    Quota,
    /// Simulate the coordinator under faults, many histories in a row, and check every promise after each step
    #[command(after_help = ciro_sim::cli::examples("ciro sim"))]
    Sim(ciro_sim::cli::SimArgs),
    /// Call the REST API as it is, signed in
    Api(api_call::ApiArgs),
    /// Print a script that completes `ciro` in your shell, values of `--filter` included
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
        /// Which program it completes
        #[arg(long, value_enum, default_value_t)]
        program: Program,
    },
    /// Write the manual pages of all programs into a folder
    #[command(after_help = MAN)]
    Man {
        /// The folder; it is made when it does not exist
        folder: PathBuf,
    },
}

/// What a command that talks to a server works with.
#[derive(Debug)]
pub struct Context {
    /// The server.
    pub client: Client,
    /// Where answers go.
    pub out: Output,
    /// What goes on by itself when the command is interrupted, for people.
    pub going_on: Mutex<Option<String>>,
}

impl Context {
    /// Notes what goes on by itself when the command is interrupted.
    pub fn goes_on(&self, words: Option<String>) {
        if let Ok(mut going_on) = self.going_on.lock() {
            *going_on = words;
        }
    }
}

/// The command tree, for those that render or check it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_tree_is_sound_and_teaches() {
        let mut tree = super::command();
        tree.clone().debug_assert();
        tree.build();
        untaught(&tree, "ciro");
    }

    /// Every command that does something shows how.
    fn untaught(command: &clap::Command, path: &str) {
        let own: Vec<_> = command.get_subcommands().filter(|c| c.get_name() != "help").collect();
        let taught = command.get_after_help().is_some_and(|help| help.to_string().contains("ciro "));
        assert!(taught || !own.is_empty(), "`{path}` has no example in its help");
        for sub in own {
            untaught(sub, &format!("{path} {}", sub.get_name()));
        }
    }
}
