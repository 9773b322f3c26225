//! What was deployed, for people and for scripts.

use super::Network;
use super::plan::{Plan, total};
use crate::chain::amount::Amount;
use crate::chain::tx;
use crate::error::Failure;
use crate::output::Output;
use crate::table;
use ciro_chain::network::Page;
use ciro_core::amount::Fri;
use serde::Serialize;

#[derive(Debug, Serialize)]
struct Shown {
    chain: String,
    token: String,
    contracts: Vec<Placed>,
    /// What was expected of what was to be sent.
    estimate: Amount,
    transactions: Vec<tx::Shown>,
}

#[derive(Debug, Serialize)]
struct Placed {
    name: &'static str,
    address: String,
    class_hash: String,
    /// `there`: it was there before; `deployed`; `missing`: nothing was sent.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    explorer: Option<String>,
}

pub(super) fn tell(
    plan: &Plan,
    estimates: &[Fri],
    sent: Vec<tx::Shown>,
    network: &Network,
    out: Output,
) -> Result<(), Failure> {
    let new = if sent.is_empty() { "missing" } else { "deployed" };
    let contracts = plan.places.iter().map(|place| Placed {
        name: place.contract.name(),
        address: format!("{:#066x}", place.address),
        class_hash: format!("{:#066x}", place.class_hash),
        state: if place.was_there { "there" } else { new },
        explorer: network.explorer(Page::Contract(place.address)),
    });
    let shown = Shown {
        chain: network.chain.to_string(),
        token: format!("{:#066x}", plan.token),
        contracts: contracts.collect(),
        estimate: Amount::of(total(estimates)),
        transactions: sent,
    };
    let addresses: Vec<_> = shown.contracts.iter().map(|placed| placed.address.as_str()).collect();
    out.one(&shown, &addresses.join("\n"), || in_words(&shown))
}

fn in_words(shown: &Shown) -> String {
    let mut pairs = vec![("chain", shown.chain.clone()), ("token", shown.token.clone())];
    for placed in &shown.contracts {
        pairs.push((placed.name, format!("{}  {}", placed.address, placed.state)));
        pairs.push(("class", placed.class_hash.clone()));
    }
    for sent in &shown.transactions {
        pairs.push(("transaction", format!("{}  {}", sent.hash, sent.fee.words())));
    }
    table::record(pairs)
}
