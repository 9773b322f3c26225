//! `ciro chain deploy`: puts this project's contracts on a chain. What is there already stays as it is,
//! because a contract's address follows from what it is made with.

mod plan;
mod show;

use super::network::{Network, NetworkArgs, felt};
use super::signer::SignerArgs;
use super::submit::{FeeArgs, submit};
use super::tx;
use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::prompt::confirm;
use ciro_chain::Felt;
use ciro_chain::contract::artifact::Contract;
use ciro_chain::keys::Account;
use ciro_chain::rpc::read;
use ciro_chain::tx::sign::Terms;
use ciro_chain::tx::{Bounds, Unsigned, send};
use ciro_core::amount::Fri;
use plan::Plan;

pub(super) const HELP: &str = "\
What happens: the classes are declared where the chain does not know them, and one transaction deploys the contracts:
JobEscrow, which holds what clients pay, and WorkerRegistry, which holds stakes. What it costs is estimated and shown
before anything is sent. The addresses follow from the arguments and --salt, so the same command finds what an earlier
one deployed and sends what is missing, or nothing.

Who has which role: the owner may change roles, fee and times within bounds, never take what is held; the arbiter
decides disputes, and is replaced only after a week; operators assign jobs and report results; the treasury is credited
with fees. Keep them in different hands where money is real. contracts/README.md says what each may and may not.

Examples:
  ciro chain deploy --dry-run --account account.json --keystore key.json --rpc http://127.0.0.1:5050
  ciro chain deploy --test-token --yes --account account.json --keystore key.json --rpc http://127.0.0.1:5050
  ciro chain deploy --owner 0x1… --arbiter 0x2… --treasury 0x3… --operator 0x4… --network sepolia \\
      --account account.json --keystore key.json
  ciro chain deploy --yes -o json … | jq -r '.contracts[] | .name + \" \" + .address'";

/// What is deployed.
#[derive(Debug, clap::Args)]
pub struct DeployArgs {
    #[command(flatten)]
    contracts: ContractArgs,
    /// Only show what would be sent and what it would cost
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    fee: FeeArgs,
}

/// What the contracts are made with.
#[derive(Debug, clap::Args)]
pub(super) struct ContractArgs {
    #[command(flatten)]
    roles: Roles,
    #[command(flatten)]
    settings: Settings,
    /// Sets a deployment apart from another one with the same arguments
    #[arg(long, value_name = "NUMBER", value_parser = felt, default_value = "0")]
    salt: Felt,
}

/// Who has to do with the contracts.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Roles")]
pub(super) struct Roles {
    /// Changes roles and settings [default: the account that deploys]
    #[arg(long, value_name = "ADDRESS", value_parser = felt)]
    owner: Option<Felt>,
    /// Decides disputes [default: the account that deploys; must be named on mainnet]
    #[arg(long, value_name = "ADDRESS", value_parser = felt)]
    arbiter: Option<Felt>,
    /// Is credited with fees [default: the owner]
    #[arg(long, value_name = "ADDRESS", value_parser = felt)]
    treasury: Option<Felt>,
    /// Assigns jobs and reports results; may be given several times [default: the account that deploys]
    #[arg(long = "operator", value_name = "ADDRESS", value_parser = felt)]
    operators: Vec<Felt>,
    /// What is paid with: a plain ERC-20, without fees on transfers [default: STRK]
    #[arg(long, value_name = "ADDRESS", value_parser = felt)]
    token: Option<Felt>,
    /// Deploy a token that is worth nothing, and pay with it; the account that deploys may make it
    #[arg(long, conflicts_with = "token")]
    test_token: bool,
}

/// What the contracts are set to.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct Settings {
    /// The fee, of what providers are paid, in basis points; at most 1000
    #[arg(long, value_name = "BPS", default_value_t = 250, value_parser = clap::value_parser!(u16).range(..=1000))]
    fee_bps: u16,
    /// What a client puts up to dispute, of the job's amount, in basis points; at most 1000
    #[arg(long, value_name = "BPS", default_value_t = 500, value_parser = clap::value_parser!(u16).range(..=1000))]
    bond_bps: u16,
    /// How long a client may dispute a result; at most 30 days
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u32).range(1..=2_592_000))]
    window: u32,
    /// How long after its deadline a job still takes a result; at most 7 days
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(..=604_800))]
    grace: u32,
    /// How long the arbiter has; 1 hour to 30 days
    #[arg(long, value_name = "SECONDS", default_value_t = 259_200, value_parser = clap::value_parser!(u32).range(3_600..=2_592_000))]
    arbitration: u32,
    /// From which stake on a provider is eligible, in the token's smallest unit [default: 100 of a token with 18 digits]
    #[arg(long, value_name = "AMOUNT", default_value = "100000000000000000000", hide_default_value = true)]
    min_stake: Fri,
    /// How long a stake stays within reach after it was asked back; at most 90 days. Longer than window and arbitration together
    #[arg(long, value_name = "SECONDS", default_value_t = 604_800, value_parser = clap::value_parser!(u64).range(..=7_776_000))]
    unbonding_delay: u64,
}

pub(super) async fn run(args: &DeployArgs, out: Output) -> Result<(), Failure> {
    let network = args.network.connect().await?;
    let account = args.signer.unlock(network.chain)?;
    let Some(nonce) = read::nonce(&network.pool, account.address).await? else {
        return Err(Failure::new(
            Exit::NotFound,
            format!("there is no account at {:#x} yet", account.address),
        )
        .hint("`ciro chain account deploy` puts it on the chain"));
    };
    let plan = Plan::new(&args.contracts, &network, account.address).await?;
    let estimates = estimated(&network, &account, nonce, &plan.steps).await?;
    let would = plan.words(&estimates);
    if args.dry_run || plan.steps.is_empty() {
        out.remark(&would);
        return show::tell(&plan, &estimates, Vec::new(), &network, out);
    }
    if !args.yes {
        confirm(&would, "`--yes` does it, `--dry-run` only shows it")?;
    }
    let mut sent = Vec::new();
    for (step, nonce) in plan.steps.iter().zip(nonce..) {
        out.remark(&format!("{} …", step.words));
        let landed = submit(&network, &account, nonce, args.fee.policy(), &step.unsigned).await?;
        sent.push(tx::Shown::of(landed, &network));
    }
    show::tell(&plan, &estimates, sent, &network, out)
}

/// Puts the contracts on a chain of one's own, without a question; where the escrow is.
pub(super) async fn on_own(
    args: &ContractArgs,
    network: &Network,
    account: &Account,
    nonce: u64,
) -> Result<Felt, Failure> {
    let plan = Plan::new(args, network, account.address).await?;
    for (step, nonce) in plan.steps.iter().zip(nonce..) {
        submit(network, account, nonce, FeeArgs::default().policy(), &step.unsigned).await?;
    }
    let escrow = plan.places.iter().find(|place| place.contract == Contract::JobEscrow);
    let escrow = escrow.ok_or_else(|| Failure::new(Exit::Failure, "no escrow was deployed"))?;
    Ok(escrow.address)
}

/// What each step would cost, those before it done.
async fn estimated(
    network: &Network,
    account: &Account,
    nonce: u64,
    steps: &[plan::Step],
) -> Result<Vec<Fri>, Failure> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let terms = Terms { chain: network.chain, account, nonce, bounds: Bounds::default() };
    let unsigned: Vec<Unsigned> = steps.iter().map(|step| step.unsigned.clone()).collect();
    let estimates = send::estimate_all(&network.pool, &unsigned, terms).await?;
    Ok(estimates.iter().map(ciro_chain::tx::fee::Estimate::fee).collect())
}
