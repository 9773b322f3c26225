//! What `ciro dev` says: each part as it is up, then what a newcomer types next. Only what is true.

use super::Parts;
use crate::environment;
use crate::error::Failure;
use crate::output;
use crate::status::{mark, word};
use crate::table::{cores, size, span};
use ciro_api::system::Status;
use ciro_core::resources::Offer;
use std::path::Path;
use std::time::Duration;

/// Components that have a line of their own.
const TOLD: [&str; 2] = ["db", "workers"];

pub(super) fn head(state: &Path) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    output::text(&format!(
        "  CIRO Network {version} · dev · data in {} (remove to start over)",
        state.display()
    ))
}

pub(super) fn part(name: &str, words: &str, took: Duration) -> Result<(), Failure> {
    let took = span(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    output::text(&format!("  ✔ {name:<11} {words:<58} {took:>8}"))
}

/// Parts that are off or not well are said too.
pub(super) fn components(status: &Status) -> Result<(), Failure> {
    for (name, component) in status.components.iter().filter(|(name, _)| !TOLD.contains(&name.as_str())) {
        let detail = if component.detail.is_empty() { word(component.state) } else { &component.detail };
        output::text(&format!("  {} {name:<11} {detail}", mark(component.state)))?;
    }
    status.warnings.iter().try_for_each(|warning| output::text(&format!("  ! {warning}")))
}

pub(super) fn offer(workers: u16, offer: &Offer) -> String {
    let each = if workers == 1 { "" } else { " each" };
    let gpus = match offer.gpus.len() {
        0 => String::new(),
        n => format!(", {n} GPU"),
    };
    let cores = cores(offer.cpu_millis);
    let noun = if cores == "1" { "core" } else { "cores" };
    format!("{workers} online (wasm; {cores} {noun}, {}{gpus}{each})", size(offer.memory_bytes))
}

pub(super) fn next(parts: &Parts) -> Result<(), Failure> {
    let url = &parts.url;
    let ciro = program();
    let flag = match parts.found_from_here {
        true => String::new(),
        false => format!(" --state {}", parts.state.display()),
    };
    output::text(&format!(
        "
  API          {url}   described at /openapi.json, its errors at /problems
  Key          in {server}
  Try:         {ciro} status{flag}
               yes 'to be or not to be' | head -n 100000 > hamlet.txt
               {ciro} job run wordcount --input hamlet.txt --split lines:10000{flag}
               {ciro} job list{flag}
  Ctrl-C stops everything.",
        server = parts.state.join(crate::connect::SERVER_FILE).display(),
    ))
}

/// How this program is called from the current folder.
fn program() -> String {
    if environment::finds("ciro") {
        return "ciro".into();
    }
    let own = std::env::current_exe().ok();
    let here = std::env::current_dir().ok();
    match (own, here) {
        (Some(own), Some(here)) => match own.strip_prefix(here) {
            Ok(relative) => format!("./{}", relative.display()),
            Err(_) => own.display().to_string(),
        },
        _ => "ciro".into(),
    }
}
