//! `ciro doctor`: looks at this machine and at the server, and says what to do about what does not
//! work. Each check is a function that returns what it found; nothing here changes anything.

mod build;
mod machine;
mod port;
mod server;
mod state;

pub(crate) use port::holder;
pub(crate) use state::DATABASE_FILE;

use crate::connect::ServerArgs;
use crate::error::{Exit, Failure};
use crate::output::{self, Format, Output};
use serde::Serialize;

const EXAMPLES: &str = "\
✔ works, – is off or not needed, ✖ does not work: then the exit code is 1.

Examples:
  ciro doctor
  ciro doctor --port 9000
  ciro doctor -o json | jq '.checks[] | select(.state == \"failed\")'";

/// What to look at.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// The port that a coordinator would listen on
    #[arg(long, value_name = "PORT", default_value_t = crate::dev::PORT)]
    pub port: u16,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Ok,
    Off,
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    name: String,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Check {
    fn ok(name: impl Into<String>, detail: impl Into<String>) -> Check {
        Check { name: name.into(), state: State::Ok, detail: detail.into(), fix: None }
    }

    fn off(name: impl Into<String>, detail: impl Into<String>) -> Check {
        Check { state: State::Off, ..Check::ok(name, detail) }
    }

    fn failed(name: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { state: State::Failed, fix: Some(fix.into()), ..Check::ok(name, detail) }
    }

    fn fix(mut self, fix: impl Into<String>) -> Check {
        self.fix = Some(fix.into());
        self
    }
}

pub(crate) async fn run(args: &DoctorArgs, server: &ServerArgs, out: Output) -> Result<(), Failure> {
    let local = server.clone();
    let here = tokio::task::spawn_blocking(move || {
        let mut checks = build::checks();
        checks.extend(state::checks(&local));
        checks.extend(machine::checks(&state::folder(&local)));
        checks
    });
    let mut checks =
        here.await.map_err(|error| Failure::new(Exit::Failure, format!("a check broke down: {error}")))?;
    checks.push(port::check(args.port).await);
    checks.extend(server::checks(server).await);
    let failed = checks.iter().filter(|check| check.state == State::Failed).count();
    show(&checks, failed, out)?;
    if failed == 0 { Ok(()) } else { Err(Failure::silent(Exit::Failure)) }
}

fn show(checks: &[Check], failed: usize, out: Output) -> Result<(), Failure> {
    let document = serde_json::json!({ "ok": failed == 0, "checks": checks });
    match out.format {
        Format::Table => output::text(&page(checks, failed)),
        Format::Json => out.one(&document, "", String::new),
        Format::Ndjson => checks.iter().try_for_each(|check| output::text(&output::line(check)?)),
        Format::Id => {
            let mut names = checks.iter().filter(|check| check.state == State::Failed);
            names.try_for_each(|check| output::text(&check.name))
        }
    }
}

fn page(checks: &[Check], failed: usize) -> String {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Check { name, state, detail, fix } in checks {
        let mark = match state {
            State::Ok => "✔",
            State::Off => "–",
            State::Failed => "✖",
        };
        text.push_str(&format!("{mark} {name:<width$}  {detail}\n"));
        if let Some(fix) = fix {
            text.push_str(&format!("  {:<width$}  → {fix}\n", ""));
        }
    }
    text.push_str(&match failed {
        0 => "\nNothing stands in the way.".to_owned(),
        1 => "\n1 thing does not work.".to_owned(),
        n => format!("\n{n} things do not work."),
    });
    text
}
