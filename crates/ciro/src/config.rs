//! `ciro config`: the settings of the running coordinator.

use crate::cli::Context;
use crate::clock;
use crate::error::Failure;
use crate::table;
use ciro_api::config::{ConfigReload, Configuration, ReloadResult, Setting};
use serde_json::Value;

/// What to show.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ConfigArgs {
    /// Only keys that are set, or that begin with this
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// The defaults too
    #[arg(long)]
    all: bool,
}

const EXAMPLES: &str = "\
Examples:
  ciro config                                      what is set, by whom, and what waits for a restart
  ciro config limits --all                         a section, its defaults too
  ciro config -o json | jq '.settings[] | select(.pending)'";

pub(crate) async fn run(args: &ConfigArgs, context: &Context) -> Result<(), Failure> {
    let found = context.client.config().await?;
    context.out.one(&found, &found.hash.to_string(), || show(args, &found))
}

fn show(args: &ConfigArgs, found: &Configuration) -> String {
    let wanted = |setting: &&Setting| {
        let named = args.key.as_ref().is_none_or(|key| setting.key.starts_with(key.as_str()));
        named && (args.all || setting.origin != "default" || setting.pending.is_some())
    };
    let rows = found.settings.iter().filter(wanted).map(|setting| {
        let pending = setting.pending.as_ref().map(|value| format!(" → {} after a restart", word(value)));
        [
            setting.key.clone(),
            format!("{}{}", word(&setting.value), pending.unwrap_or_default()),
            setting.origin.clone(),
            if setting.hot { "hot" } else { "restart" }.to_owned(),
        ]
    });
    let head = table::record([
        ("file", found.file.clone().unwrap_or_else(|| "none".to_owned())),
        ("restart pending", if found.restart_pending { "yes" } else { "no" }.to_owned()),
        ("read again", found.last_reload.as_ref().map_or_else(|| "never".to_owned(), reload)),
    ]);
    format!("{head}\n\n{}", table::table(["key", "value", "origin", "reload"], rows))
}

fn reload(last: &ConfigReload) -> String {
    let when = table::ago(last.at, clock::now());
    match last.result {
        ReloadResult::Applied => format!("{when}, applied: {}", last.changed.join(", ")),
        ReloadResult::Unchanged => format!("{when}, nothing new applied"),
        ReloadResult::Refused => format!("{when}, refused: {}", last.errors.join("; ")),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
