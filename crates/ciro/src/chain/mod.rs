//! `ciro chain`: Starknet. Commands ask the nodes that `--rpc` names, without a coordinator, and those that sign
//! unlock a key for as long as they run. Those that only look ask the coordinator where no node is named,
//! which knows more ([`asked`]).

mod account;
mod amount;
mod asked;
mod audit;
mod credit;
mod deploy;
mod estimate;
mod failure;
mod keystore;
mod network;
mod own;
pub(crate) mod pay_in;
mod signer;
mod status;
mod submit;
mod tx;

pub(crate) use own::{Files, OPERATOR, Own, Person};

use crate::cli::Context;
use crate::error::{Exit, Failure};
use crate::list::ListArgs;
use crate::output::Output;
use clap::Subcommand;

/// Starknet.
#[derive(Debug, Subcommand)]
pub enum ChainCommand {
    /// Show the nodes, their chain and head, contracts and an account's balance
    #[command(after_help = status::HELP)]
    Status(status::StatusArgs),
    /// Show what became of a transaction
    #[command(after_help = tx::HELP)]
    Tx(tx::TxArgs),
    /// List the transactions that the coordinator sent, the newest first; the operator's
    #[command(after_help = asked::TRANSACTIONS)]
    Transactions(ListArgs),
    /// List what happened to the escrow contract, the newest first
    #[command(after_help = asked::EVENTS)]
    Events(ListArgs),
    /// Show the contracts that the coordinator works with: classes, settings, what they owe
    #[command(after_help = asked::CONTRACTS)]
    Contracts,
    /// Estimate what calling a function of a contract would cost, and whether it would fail
    #[command(after_help = estimate::HELP)]
    Estimate(estimate::EstimateArgs),
    /// Show whether the coordinator's books are what the contract says; the operator's
    #[command(after_help = asked::RECONCILE)]
    Reconcile,
    /// Count everything that ever happened to the escrow contract, and hold it against what it has and owes
    #[command(after_help = audit::HELP)]
    Audit(audit::AuditArgs),
    /// Put the escrow and the registry on a chain, and show where they are
    #[command(after_help = deploy::HELP)]
    Deploy(Box<deploy::DeployArgs>),
    /// Show what the escrow contract owes an account, and what it has
    #[command(after_help = credit::CREDIT)]
    Credit(credit::CreditArgs),
    /// Take what the escrow contract owes: what was earned, or given back
    #[command(after_help = credit::WITHDRAW)]
    Withdraw(Box<credit::WithdrawArgs>),
    /// Encrypted keys: make one, look at one, encrypt one that you have
    #[command(subcommand)]
    Keystore(keystore::KeystoreCommand),
    /// Accounts: look at one, put a new one on the chain, fetch what is known of one
    #[command(subcommand)]
    Account(account::AccountCommand),
}

impl ChainCommand {
    /// Whether it needs no coordinator.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            ChainCommand::Transactions(_)
            | ChainCommand::Events(_)
            | ChainCommand::Contracts
            | ChainCommand::Reconcile => false,
            ChainCommand::Status(args) => args.network.names_nodes(),
            ChainCommand::Tx(args) => args.network.names_nodes(),
            ChainCommand::Estimate(args) => args.network.names_nodes(),
            _ => true,
        }
    }
}

/// Those that are asked of a coordinator.
pub(crate) async fn ask(command: ChainCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ChainCommand::Status(_) => asked::status(context).await,
        ChainCommand::Tx(args) => asked::transaction(args.hash, context).await,
        ChainCommand::Estimate(args) => asked::estimate(&args, context).await,
        ChainCommand::Transactions(list) => asked::transactions(&list, context).await,
        ChainCommand::Events(list) => asked::events(&list, context).await,
        ChainCommand::Contracts => asked::contracts(context).await,
        ChainCommand::Reconcile => asked::reconcile(context).await,
        // The rest needs none, and was run before.
        ChainCommand::Deploy(_)
        | ChainCommand::Audit(_)
        | ChainCommand::Credit(_)
        | ChainCommand::Withdraw(_)
        | ChainCommand::Keystore(_)
        | ChainCommand::Account(_) => Ok(()),
    }
}

pub(crate) async fn run(command: ChainCommand, out: Output) -> Result<(), Failure> {
    ciro_chain::keys::keep_memory_private()
        .map_err(|error| Failure::io("cannot keep this program's memory private", &error))?;
    let work = async {
        match command {
            ChainCommand::Status(args) => status::run(&args, out).await,
            ChainCommand::Tx(args) => tx::run(&args, out).await,
            ChainCommand::Estimate(args) => estimate::run(&args, out).await,
            ChainCommand::Audit(args) => audit::run(&args, out).await,
            ChainCommand::Deploy(args) => deploy::run(&args, out).await,
            ChainCommand::Credit(args) => credit::show(&args, out).await,
            ChainCommand::Withdraw(args) => credit::withdraw(&args, out).await,
            ChainCommand::Keystore(command) => keystore::run(command, out),
            ChainCommand::Account(command) => account::run(command, out).await,
            // These are asked of a coordinator.
            ChainCommand::Transactions(_)
            | ChainCommand::Events(_)
            | ChainCommand::Contracts
            | ChainCommand::Reconcile => Ok(()),
        }
    };
    tokio::select! {
        biased;
        ended = work => ended,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}
