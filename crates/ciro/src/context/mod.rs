//! `ciro context`: servers that are saved under a name, so that nobody types URL and key each time.

mod saved;

pub(crate) use saved::{Contexts, Saved};

use crate::connect::ServerArgs;
use crate::error::Failure;
use crate::output::{Format, Output};
use crate::table;
use ciro_api::client::Client;
use clap::Subcommand;
use serde::Serialize;

const ADD: &str = "\
The URL and the key are those of --server and --api-key (or CIRO_SERVER and CIRO_API_KEY); without --server,
those of the server that a command would talk to here. Keys are kept in a file that only you may read.

Examples:
  ciro context add prod --server https://ciro.example --api-key \"$KEY\"
  ciro context add here && ciro context use here           the network of `ciro dev` in this folder";

/// Servers under a name.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// Save a server and its key under a name; the first one is used from then on
    #[command(after_help = ADD)]
    Add {
        /// The name
        name: String,
        /// How answers of this server are written unless `-o` says otherwise
        #[arg(long, value_name = "FORMAT")]
        output: Option<Format>,
        /// Use it from now on
        #[arg(long = "use")]
        chosen: bool,
    },
    /// Use a saved server from now on, where none is named and no folder of `ciro dev` is near
    #[command(after_help = "Example:\n  ciro context use prod")]
    Use {
        /// Its name
        name: String,
    },
    /// List the saved servers, without their keys
    #[command(
        after_help = "Examples:\n  ciro context list\n  ciro context list -o json | jq -r '.items[].server'"
    )]
    List,
    /// Show a saved server, or without a name the one that a command would talk to here, and why
    #[command(after_help = "Examples:\n  ciro context show\n  ciro context show prod")]
    Show {
        /// Its name
        name: Option<String>,
    },
    /// Forget a saved server
    #[command(after_help = "Example:\n  ciro context remove prod")]
    Remove {
        /// Its name
        name: String,
    },
}

/// A saved server as it is shown: never with its secret.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Format>,
    current: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
}

pub(crate) fn run(command: ContextCommand, server: &ServerArgs, out: Output) -> Result<(), Failure> {
    let mut contexts = Contexts::read()?;
    match command {
        ContextCommand::Add { name, output, chosen } => {
            let found = server.find()?;
            // Refuses what is no URL before it is saved.
            Client::new(&found.url, None)?;
            contexts.put(&name, Saved { server: found.url, api_key: found.key, output })?;
            if chosen {
                contexts.current = Some(name.clone());
            }
            contexts.write()?;
            tell(&contexts, &name, out)
        }
        ContextCommand::Use { name } => {
            contexts.named(&name)?;
            contexts.current = Some(name.clone());
            contexts.write()?;
            tell(&contexts, &name, out)
        }
        ContextCommand::List => {
            let shown: Vec<Shown> =
                contexts.contexts.keys().filter_map(|name| shown(&contexts, name)).collect();
            out.many(&shown, |shown| shown.name.clone().unwrap_or_default(), many)
        }
        ContextCommand::Show { name: Some(name) } => {
            contexts.named(&name)?;
            tell(&contexts, &name, out)
        }
        ContextCommand::Show { name: None } => {
            let found = server.find()?;
            let shown = Shown {
                name: found.context,
                server: found.url,
                key: found.key.as_deref().map(without_secret),
                output: found.output,
                current: true,
                origin: Some(found.origin),
            };
            out.one(&shown, &shown.server, || one(&shown))
        }
        ContextCommand::Remove { name } => {
            contexts.named(&name)?;
            contexts.contexts.remove(&name);
            contexts.current = contexts.current.filter(|current| *current != name);
            contexts.write()?;
            out.remark(&format!("{name} is forgotten"));
            Ok(())
        }
    }
}

fn tell(contexts: &Contexts, name: &str, out: Output) -> Result<(), Failure> {
    match shown(contexts, name) {
        Some(shown) => out.one(&shown, name, || one(&shown)),
        None => Ok(()),
    }
}

fn shown(contexts: &Contexts, name: &str) -> Option<Shown> {
    let saved = contexts.contexts.get(name)?;
    Some(Shown {
        name: Some(name.to_owned()),
        server: saved.server.clone(),
        key: saved.api_key.as_deref().map(without_secret),
        output: saved.output,
        current: contexts.current.as_deref() == Some(name),
        origin: None,
    })
}

/// What names a key and does not open anything: `ciro_<kid>_…`.
fn without_secret(key: &str) -> String {
    match key.rsplit_once('_') {
        Some((head, _)) if head.starts_with("ciro_") => format!("{head}_…"),
        _ => "…".into(),
    }
}

fn many(list: &[Shown]) -> String {
    table::table(
        ["", "name", "server", "key"],
        list.iter().map(|shown| {
            [
                if shown.current { "*" } else { "" }.to_owned(),
                shown.name.clone().unwrap_or_default(),
                shown.server.clone(),
                shown.key.clone().unwrap_or_default(),
            ]
        }),
    )
}

fn one(shown: &Shown) -> String {
    table::record([
        ("name", shown.name.clone().unwrap_or_default()),
        ("server", shown.server.clone()),
        ("key", shown.key.clone().unwrap_or_default()),
        ("output", shown.output.map(|format| format.name().to_owned()).unwrap_or_default()),
        ("current", if shown.current { "yes" } else { "no" }.to_owned()),
        ("because", shown.origin.clone().unwrap_or_default()),
    ])
}
