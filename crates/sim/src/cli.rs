//! The command line of the simulator, shared by `ciro-sim` and `ciro sim`.

use crate::fault::FaultKind;
use crate::measure::Measure;
use crate::plan::Plan;
use crate::report::{Failure, Report};
use crate::run::{Series, one};
use crate::trace::Trace;
use clap::{Args, CommandFactory, FromArgMatches, Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

/// Simulate the coordinator under faults, many histories in a row, and check every promise after each step
#[derive(Debug, Parser)]
#[command(name = "ciro-sim", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    args: SimArgs,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    /// No bar
    #[arg(short, long)]
    quiet: bool,
}

/// The command tree of `ciro-sim`, for those that render or check it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command().after_help(examples("ciro-sim"))
}

/// The whole program behind its first line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit());
    match run(&cli.args, cli.output, cli.quiet, &mut std::io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Standard error may be closed; then nobody reads it.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// How the result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs: one object.
    Json,
}

/// What to show how it is used with; `{program}` is what the program is called by.
#[must_use]
pub fn examples(program: &str) -> String {
    format!(
        "\
One seed decides everything: the same seed gives the same history on every machine. Faults happen for two
virtual minutes, and longer where too little happened in them; then they stop, and every job must end. A history that breaks a promise is made smaller,
told line by line, and printed with the command that shows it again.

Examples:
  {program} --seeds 1000                 a thousand histories with every kind of fault
  {program} --seed 7 --seeds 1 --trace   one history, line by line
  {program} --faults loss,restart        only these faults
  {program} --faults list                what kinds there are

Exit: 0 when everything held, 1 when something did not, 2 for a wrong call."
    )
}

/// Which histories to run.
#[derive(Debug, Clone, Args)]
pub struct SimArgs {
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// How many seeds, from the first on
    #[arg(long, value_name = "K", default_value_t = 100)]
    pub seeds: u64,
    /// Kinds of faults: all, none, list, or names with commas between them
    #[arg(long, value_name = "KINDS", default_value = "all")]
    pub faults: String,
    /// Items of the plan to leave out, as a failing history names them
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub skip: Vec<usize>,
    /// Tell the first seed line by line
    #[arg(long)]
    pub trace: bool,
    /// Threads; the result does not depend on them [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Runs what was asked for; whether every promise held. A bar is drawn on a terminal unless `quiet`.
///
/// # Errors
/// A kind of fault that does not exist; a result that cannot be written.
pub fn run(args: &SimArgs, form: Form, quiet: bool, out: &mut dyn Write) -> anyhow::Result<bool> {
    if args.faults == "list" {
        list(form, out)?;
        return Ok(true);
    }
    let series = Series {
        first: args.seed,
        seeds: args.seeds,
        kinds: kinds(&args.faults)?,
        skipped: args.skip.iter().copied().collect(),
        threads: args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
    };
    if args.trace {
        tell(&series.history(args.seed).0, out)?;
    }
    let report = with_progress(args.seeds, quiet, |done| series.run(done));
    match form {
        Form::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        Form::Text => write_text(&report, out)?,
    }
    Ok(report.failing_seeds.is_empty())
}

/// A panic of what is simulated is reported by its seed, not printed by its thread.
fn with_progress(seeds: u64, quiet: bool, run: impl FnOnce(&(dyn Fn() + Sync)) -> Report) -> Report {
    // Nothing is drawn where standard error is no terminal.
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(4) };
    let bar = ProgressBar::with_draw_target(Some(seeds), target);
    let style = ProgressStyle::with_template("{wide_bar} {pos} of {len} seeds, {per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let report = run(&|| bar.inc(1));
    std::panic::set_hook(hook);
    bar.finish_and_clear();
    report
}

fn kinds(names: &str) -> anyhow::Result<BTreeSet<FaultKind>> {
    match names {
        "all" => Ok(FaultKind::all().collect()),
        "none" => Ok(BTreeSet::new()),
        names => names.split(',').map(|name| kind(name.trim())).collect(),
    }
}

fn kind(name: &str) -> anyhow::Result<FaultKind> {
    FaultKind::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = FaultKind::all().map(FaultKind::name).collect();
        anyhow::anyhow!("no fault is called `{name}`; there are {}, and all, none, list", known.join(", "))
    })
}

fn list(form: Form, out: &mut dyn Write) -> anyhow::Result<()> {
    if form == Form::Json {
        let kinds: Vec<_> =
            FaultKind::all().map(|k| serde_json::json!({ "name": k.name(), "says": k.says() })).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&kinds)?)?;
        return Ok(());
    }
    for kind in FaultKind::all() {
        writeln!(out, "{:<20} {}", kind.name(), kind.says())?;
    }
    Ok(())
}

fn tell(plan: &Plan, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut trace = Trace::kept();
    one(plan, &mut trace);
    for line in trace.into_lines() {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn write_text(report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
    let last = report.first_seed.wrapping_add(report.seeds.saturating_sub(1));
    writeln!(out, "seeds      {} to {last}", report.first_seed)?;
    let mean = report.commands_per_seed;
    writeln!(out, "commands   {} that changed something, {mean} a seed", report.commands)?;
    writeln!(out, "questions  {} to the writer", report.questions)?;
    writeln!(out, "jobs       {} accepted", report.jobs)?;
    writeln!(out, "time       {} virtual seconds", report.virtual_seconds)?;
    let Measure { workers, jobs, split, cancelled, commands, fault_kinds } = report.fewest;
    writeln!(
        out,
        "fewest     of one seed: {commands} commands, {fault_kinds} kinds of faults, {workers} workers, \
         {jobs} jobs, {split} split, {cancelled} cancelled"
    )?;
    writeln!(out, "longer     {} seeds had not enough in two minutes and went on", report.longer)?;
    for kind in FaultKind::all() {
        writeln!(out, "fault      {:>9} {}", report.faults.of(kind), kind.name())?;
    }
    writeln!(
        out,
        "moves      {} of the {} that the state machines have",
        report.moves.reached, report.moves.legal
    )?;
    for line in &report.moves.missing {
        writeln!(out, "           not made: {line}")?;
    }
    writeln!(out, "digest     {}", report.digest)?;
    match &report.failure {
        None => writeln!(out, "failures   none: every promise held after every step")?,
        Some(failure) => write_failure(report, failure, out)?,
    }
    Ok(())
}

fn write_failure(report: &Report, failure: &Failure, out: &mut dyn Write) -> anyhow::Result<()> {
    let seeds: Vec<String> = report.failing_seeds.iter().take(20).map(ToString::to_string).collect();
    writeln!(out, "failures   {} seeds: {}", report.failing_seeds.len(), seeds.join(" "))?;
    writeln!(out, "\nSeed {} with what it needs to fail:", failure.seed)?;
    failure.items.iter().try_for_each(|item| writeln!(out, "  item {item}"))?;
    writeln!(out, "What happened last:")?;
    failure.trace.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    for broken in &failure.broken {
        writeln!(out, "BROKEN {}: {}", broken.invariant, broken.what)?;
    }
    writeln!(out, "Again: {}", failure.replay)?;
    Ok(())
}
