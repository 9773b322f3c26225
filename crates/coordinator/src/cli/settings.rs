//! Commands about settings: write a file of them, say what is wrong with one, show what applies.

use super::Serve;
use crate::check::{State, check as look};
use crate::config::{self, Environment, FileFormat, Shown};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// A settings file may come to hold secrets, so it is its owner's alone.
const MODE: u32 = 0o600;

const GENERATE: &str = "\
Examples:
  ciro-coordinator generate-config development                       to standard output, as TOML
  ciro-coordinator generate-config production /etc/ciro/ciro.toml
  ciro-coordinator generate-config test ci.yaml --force              over a file that is there";

/// What to write.
#[derive(Debug, Args)]
#[command(after_help = GENERATE)]
pub(super) struct Generate {
    /// Whose defaults
    environment: Environment,
    /// File to write; its ending says the format. Without it, standard output
    path: Option<PathBuf>,
    /// How the file is written; JSON has no comments
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

const CHECK: &str = "\
✔ as it should be, ! a start would succeed and you should know this, ✖ a start would fail: then the exit code is 1.
It may be run beside a coordinator, and before every reload of one.

Examples:
  ciro-coordinator check config.toml
  ciro-coordinator check config.toml && kill -HUP PID
  ciro-coordinator check config.toml --json | jq '.checks[] | select(.state != \"ok\")'";

/// What to check.
#[derive(Debug, Args)]
#[command(after_help = CHECK)]
pub(super) struct Check {
    #[command(flatten)]
    serve: Serve,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

const SHOW: &str = "\
The lines are TOML, but for secrets, which are shown as ***. `ciro config` shows what a running coordinator has.

Examples:
  ciro-coordinator config show config.toml --origin
  CIRO__LEASE__TTL_MS=5000 ciro-coordinator config show --origin | grep lease
  ciro-coordinator config show config.toml --json | jq '.settings[] | select(.origin != \"default\")'";

/// Look at the settings.
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Show the values that a start would have
    Show(Show),
}

/// What to show.
#[derive(Debug, Args)]
#[command(after_help = SHOW)]
pub(super) struct Show {
    #[command(flatten)]
    serve: Serve,
    /// Who set each value: default, preset, file and line, variable or flag
    #[arg(long)]
    origin: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// `ciro-coordinator generate-config`
pub(super) fn generate(wanted: &Generate) -> anyhow::Result<ExitCode> {
    let named = match &wanted.path {
        Some(path) => Some(FileFormat::of(path).context("the name ends in .json, .toml, .yaml or .yml")?),
        None => None,
    };
    let format = match (named, wanted.format) {
        (Some(named), Some(asked)) if named != asked => bail!("the name and --format do not agree"),
        (named, asked) => named.or(asked).unwrap_or(FileFormat::Toml),
    };
    let text = config::generate(wanted.environment, format);
    let Some(path) = &wanted.path else {
        io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut open = OpenOptions::new();
    open.write(true).mode(MODE).truncate(wanted.force).create(wanted.force).create_new(!wanted.force);
    match open.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} is there already: --force writes over it", path.display())
        }
        opened => {
            let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `ciro-coordinator check`
pub(super) fn check(wanted: Check) -> anyhow::Result<ExitCode> {
    let checks = look(&wanted.serve.sources());
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (failed, warned) = (count(State::Failed), count(State::Warning));
    let mut out = io::stdout().lock();
    if wanted.json {
        let document = json!({ "ok": failed == 0, "checks": checks });
        serde_json::to_writer_pretty(&mut out, &document).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        for check in &checks {
            let mark = match check.state {
                State::Ok => "✔",
                State::Warning => "!",
                State::Failed => "✖",
            };
            writeln!(out, "{mark} {:<12} {}", check.name, check.detail)?;
            if let Some(fix) = &check.fix {
                writeln!(out, "  {:<12} → {fix}", "")?;
            }
        }
        let warned = if warned > 0 { format!("; {warned} to know of") } else { String::new() };
        match failed {
            0 => writeln!(out, "\nNothing stands in the way of a start{warned}.")?,
            n => writeln!(out, "\n{n} to be mended{warned}.")?,
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `ciro-coordinator config show`
pub(super) fn show(wanted: Show) -> anyhow::Result<ExitCode> {
    let settings = wanted.serve.sources().load()?.shown();
    let mut out = io::stdout().lock();
    if wanted.json {
        let one = |s: &Shown| json!({ "key": s.key, "value": s.value, "origin": s.origin.to_string(), "hot": s.hot });
        let settings: Vec<Value> = settings.iter().map(one).collect();
        serde_json::to_writer_pretty(&mut out, &json!({ "settings": settings })).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let line = |shown: &Shown| match &shown.value {
        Value::Null => format!("# {} is not set", shown.key),
        value => format!("{} = {value}", shown.key),
    };
    let width = settings.iter().map(|shown| line(shown).chars().count()).max().unwrap_or(0);
    for shown in &settings {
        match wanted.origin {
            true => writeln!(out, "{:<width$}  # {}", line(shown), shown.origin)?,
            false => writeln!(out, "{}", line(shown))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
