//! `ciro chain tx`: what became of a transaction.

use super::amount::Amount;
use super::network::{Network, NetworkArgs, felt};
use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::table;
use ciro_chain::Felt;
use ciro_chain::network::Page;
use ciro_chain::tx::outcome::{Finality, Landed};
use ciro_chain::tx::send;
use serde::Serialize;

pub(super) const HELP: &str = "\
pre_confirmed: the sequencer has run it · l2: it is in a block, and a reorganisation may take it out ·
l1: it is proved on Ethereum, and nobody takes it out. One that reverted used its nonce and cost its fee.

Without --rpc (and STARKNET_RPC) the coordinator is asked, which knows its own transactions and what they carry.

Examples:
  ciro chain tx 0x5a3f…
  ciro chain tx 0x5a3f… --rpc http://127.0.0.1:5050
  ciro chain tx 0x5a3f… -o json | jq -r .fee.strk";

/// Which transaction.
#[derive(Debug, clap::Args)]
pub struct TxArgs {
    /// Its hash
    #[arg(value_parser = felt)]
    pub(super) hash: Felt,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
}

/// A transaction that the chain has.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) hash: String,
    pub(super) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reverted: Option<String>,
    pub(super) block: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) block_hash: Option<String>,
    pub(super) fee: Amount,
    pub(super) l2_gas: u64,
    pub(super) l1_data_gas: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) explorer: Option<String>,
}

impl Shown {
    pub(super) fn of(landed: Landed, network: &Network) -> Shown {
        Shown {
            hash: format!("{:#066x}", landed.hash),
            state: match landed.finality {
                Finality::PreConfirmed => "pre_confirmed",
                Finality::L2 => "l2",
                Finality::L1 => "l1",
            },
            reverted: landed.reverted,
            block: landed.block,
            block_hash: landed.block_hash.map(|hash| format!("{hash:#066x}")),
            fee: Amount::of(landed.fee),
            l2_gas: landed.l2_gas,
            l1_data_gas: landed.l1_data_gas,
            explorer: network.explorer(Page::Transaction(landed.hash)),
        }
    }
}

pub(super) async fn run(args: &TxArgs, out: Output) -> Result<(), Failure> {
    let network = args.network.connect().await?;
    let Some(landed) = send::look(&network.pool, args.hash).await? else {
        return Err(Failure::new(
            Exit::NotFound,
            format!("{} does not know the transaction {:#x}", network.chain, args.hash),
        )
        .hint(
            "it may wait, have been dropped, be on another chain, or have been taken out by a reorganisation",
        ));
    };
    let shown = Shown::of(landed, &network);
    out.one(&shown, &shown.hash, || {
        table::record([
            ("hash", shown.hash.clone()),
            ("state", shown.state.to_owned()),
            ("reverted", shown.reverted.clone().unwrap_or_default()),
            ("block", shown.block.to_string()),
            ("block hash", shown.block_hash.clone().unwrap_or_default()),
            ("fee", shown.fee.words()),
            ("L2 gas", shown.l2_gas.to_string()),
            ("L1 data gas", shown.l1_data_gas.to_string()),
            ("explorer", shown.explorer.clone().unwrap_or_default()),
        ])
    })
}
