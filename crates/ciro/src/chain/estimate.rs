//! `ciro chain estimate`: what a call would cost, and whether it would fail.

use super::amount::Amount;
use super::network::{NetworkArgs, felt};
use super::signer::SignerArgs;
use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::table;
use ciro_chain::Felt;
use ciro_chain::rpc::read;
use ciro_chain::tx::fee::FeePolicy;
use ciro_chain::tx::sign::Terms;
use ciro_chain::tx::{Bounds, Call, Unsigned, send};
use ciro_core::amount::Fri;
use serde::Serialize;

pub(super) const HELP: &str = "\
Nothing is sent. The question is signed, for the account's own check is part of the cost; the signature is good
for nothing else. Arguments are numbers, encoded as the contract reads them: a u256 is two, low and high.

Without --rpc (and STARKNET_RPC) the coordinator is asked, for a call from its own account; the operator's.

Examples:
  ciro chain estimate 0x5f1… is_paused
  ciro chain estimate 0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d transfer 0x5… 1000 0 \\
      --rpc http://127.0.0.1:5050 --account account.json --keystore key.json";

/// What is called.
#[derive(Debug, clap::Args)]
pub struct EstimateArgs {
    /// The contract
    #[arg(value_parser = felt)]
    pub(super) contract: Felt,
    /// The function
    pub(super) function: String,
    /// Its arguments
    #[arg(value_parser = felt)]
    pub(super) args: Vec<Felt>,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    #[command(flatten)]
    signer: SignerArgs,
}

#[derive(Debug, Serialize)]
struct Shown {
    l2_gas: u64,
    l1_data_gas: u64,
    l1_gas: u64,
    /// At the prices of now.
    fee: Amount,
    /// What it would be sent with at most: half more gas at half more price.
    most: Amount,
}

pub(super) async fn run(args: &EstimateArgs, out: Output) -> Result<(), Failure> {
    let network = args.network.connect().await?;
    let account = args.signer.unlock(network.chain)?;
    let nonce = read::nonce(&network.pool, account.address).await?;
    let Some(nonce) = nonce else {
        return Err(Failure::new(
            Exit::NotFound,
            format!("there is no account at {:#x} yet", account.address),
        )
        .hint("`ciro chain account deploy` puts it on the chain"));
    };
    let terms = Terms { chain: network.chain, account: &account, nonce, bounds: Bounds::default() };
    let call =
        Call { to: args.contract, selector: read::selector(&args.function), calldata: args.args.clone() };
    let estimate = send::estimate(&network.pool, &Unsigned::Invoke(vec![call]), terms).await?;
    let most = FeePolicy::default().bounds(&estimate, Fri(0))?.most();
    let shown = Shown {
        l2_gas: estimate.l2_gas.amount,
        l1_data_gas: estimate.l1_data_gas.amount,
        l1_gas: estimate.l1_gas.amount,
        fee: Amount::of(estimate.fee()),
        most: Amount::of(most),
    };
    out.one(&shown, &shown.fee.fri.to_string(), || {
        table::record([
            ("L2 gas", shown.l2_gas.to_string()),
            ("L1 data gas", shown.l1_data_gas.to_string()),
            ("L1 gas", shown.l1_gas.to_string()),
            ("fee", shown.fee.words()),
            ("at most", shown.most.words()),
        ])
    })
}
