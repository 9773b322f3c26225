//! What `ciro dev` says: each part as it is up, then what a newcomer types next. Only what is true.

use super::Parts;
use super::chain::{Chain, text};
use crate::environment;
use crate::error::Failure;
use crate::output;
use crate::status::{mark, word};
use crate::table::{self, cores, size, span};
use ciro_api::payment::Balance;
use ciro_api::system::{ComponentState, Status};
use ciro_core::resources::Offer;
use std::path::Path;
use std::time::Duration;

/// Components that have a line of their own.
const TOLD: [&str; 2] = ["db", "workers"];
const CHAIN: &str = "chain";

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

/// What there is to pay with on the chain.
pub(super) fn chain(chain: &Chain) -> Result<(), Failure> {
    match chain {
        Chain::AsSet => Ok(()),
        Chain::Missing(words) => {
            output::text(&format!("  {} {CHAIN:<11} {words}", mark(ComponentState::Off)))
        }
        Chain::Running(running) => part(CHAIN, &running.words(), running.took),
    }
}

/// What there is to pay with in the coordinator's own books.
pub(super) fn balance(balance: &Balance) -> Result<(), Failure> {
    let strk = table::strk(&balance.available);
    output::text(&format!(
        "  {} {:<11} {strk} to pay jobs with: `ciro pay balance`",
        mark(ComponentState::Ok),
        "balance"
    ))
}

/// Parts that are off or not well are said too; where there is no devnet, what that means was said.
pub(super) fn components(status: &Status, chain: &Chain) -> Result<(), Failure> {
    let told = |name: &str| TOLD.contains(&name) || (name == CHAIN && matches!(chain, Chain::Missing(_)));
    for (name, component) in status.components.iter().filter(|(name, _)| !told(name)) {
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
  Key          in {server}{accounts}
  Try:         {ciro} status{flag}
               yes 'to be or not to be' | head -n 100000 > hamlet.txt
               {ciro} job run wordcount --input hamlet.txt --split lines:10000{flag}
               {ciro} job list{flag}
  Ctrl-C stops everything.",
        server = parts.state.join(crate::connect::SERVER_FILE).display(),
        accounts = accounts(&parts.chain),
    ))
}

/// Who has an account on the devnet, and where its files are.
fn accounts(chain: &Chain) -> String {
    let Chain::Running(running) = chain else { return String::new() };
    let mut lines = format!("\n  Escrow       {}", running.escrow());
    for (name, person) in &running.people {
        lines += &format!("\n  {name:<12} {}  1000 STRK", text(person.address));
    }
    lines + &format!("\n  Their files  in {}", running.folder().display())
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
