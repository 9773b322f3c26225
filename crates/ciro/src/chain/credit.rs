//! `ciro chain credit` and `ciro chain withdraw`: what the escrow contract owes an account and what that has, and
//! taking it.
//! A provider's earnings, a client's refund and the treasury's fees are credit until somebody takes them.

use super::amount::Amount;
use super::network::{Network, NetworkArgs, felt};
use super::signer::SignerArgs;
use super::submit::{FeeArgs, submit};
use super::tx::Shown;
use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::table;
use ciro_chain::Felt;
use ciro_chain::contract::escrow::{CreditOf, Token, Withdraw, WithdrawFor};
use ciro_chain::contract::{Function, view};
use ciro_chain::rpc::read::{self, At};
use ciro_chain::tx::Unsigned;
use ciro_core::amount::Fri;
use serde::Serialize;

pub(super) const CREDIT: &str = "\
Examples:
  ciro chain credit 0x64b4… --contract 0x3d03… --rpc http://127.0.0.1:5050
  ciro chain credit 0x64b4… --contract 0x3d03… -o json | jq -r .credit.fri";

pub(super) const WITHDRAW: &str = "\
All of the account's credit is sent, to the account itself or where --to says. With --for anybody can have another
account's credit sent to that account, and pays the fee of the transaction. Without credit nothing is sent.

Examples:
  ciro chain withdraw --contract 0x3d03… --account account.json --keystore key.json --rpc http://127.0.0.1:5050
  ciro chain withdraw --contract 0x3d03… --for 0x64b4… --account account.json --keystore key.json";

/// Whose credit.
#[derive(Debug, clap::Args)]
pub struct CreditArgs {
    /// The account
    #[arg(value_parser = felt)]
    address: Felt,
    #[command(flatten)]
    contract: ContractArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Which escrow contract.
#[derive(Debug, clap::Args)]
struct ContractArgs {
    /// The escrow contract
    #[arg(long = "contract", value_name = "ADDRESS", value_parser = felt)]
    escrow: Felt,
}

/// Whose credit goes where.
#[derive(Debug, clap::Args)]
pub struct WithdrawArgs {
    #[command(flatten)]
    contract: ContractArgs,
    /// Where it is sent [default: the account itself]
    #[arg(long, value_name = "ADDRESS", value_parser = felt, conflicts_with = "owner")]
    to: Option<Felt>,
    /// Have the credit of this account sent to it
    #[arg(long = "for", value_name = "ADDRESS", value_parser = felt)]
    owner: Option<Felt>,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    fee: FeeArgs,
}

#[derive(Debug, Serialize)]
struct Credit {
    account: String,
    credit: Amount,
    /// What the account has of the contract's token.
    balance: Amount,
    /// What took it, where it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<Shown>,
}

pub(super) async fn show(args: &CreditArgs, out: Output) -> Result<(), Failure> {
    let network = args.network.connect().await?;
    let account = args.address;
    let amount = view(&network.pool, args.contract.escrow, &CreditOf { account }, At::PreConfirmed).await;
    let told =
        Credit::of(&network, args.contract.escrow, (account, amount.map_err(unreadable)?), None).await?;
    tell(&told, out)
}

pub(super) async fn withdraw(args: &WithdrawArgs, out: Output) -> Result<(), Failure> {
    let network = args.network.connect().await?;
    let signer = args.signer.unlock(network.chain)?;
    let (contract, owner) = (args.contract.escrow, args.owner.unwrap_or(signer.address));
    let amount = view(&network.pool, contract, &CreditOf { account: owner }, At::PreConfirmed).await;
    let amount = amount.map_err(unreadable)?;
    if amount == 0 {
        out.remark(&format!("{owner:#x} has no credit: nothing was sent"));
        return tell(&Credit::of(&network, contract, (owner, 0), None).await?, out);
    }
    let call = match args.owner {
        Some(account) => WithdrawFor { account }.call(contract),
        None => Withdraw { to: args.to.unwrap_or(owner) }.call(contract),
    };
    let call = call.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    let nonce = read::nonce(&network.pool, signer.address).await?.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no account at {:#x} yet", signer.address))
            .hint("`ciro chain account deploy` puts it on the chain")
    })?;
    let landed = submit(&network, &signer, nonce, args.fee.policy(), &Unsigned::Invoke(vec![call])).await?;
    let shown = Some(Shown::of(landed, &network));
    tell(&Credit::of(&network, contract, (owner, amount), shown).await?, out)
}

fn unreadable(error: ciro_chain::contract::ViewError) -> Failure {
    Failure::new(Exit::NotFound, format!("the contract does not tell: {error}"))
        .hint("--contract is the address of JobEscrow, as `ciro chain deploy` printed it")
}

impl Credit {
    /// An account's credit in a contract, with what it has beside that.
    async fn of(
        network: &Network,
        contract: Felt,
        (account, credit): (Felt, u128),
        transaction: Option<Shown>,
    ) -> Result<Credit, Failure> {
        let token = view(&network.pool, contract, &Token {}, At::PreConfirmed).await.map_err(unreadable)?;
        let balance = read::balance(&network.pool, token, account, At::PreConfirmed).await?;
        Ok(Credit {
            account: format!("{account:#066x}"),
            credit: Amount::of(Fri(credit)),
            balance: Amount::of(Fri(balance)),
            transaction,
        })
    }
}

fn tell(told: &Credit, out: Output) -> Result<(), Failure> {
    out.one(told, &told.account, || {
        let sent = told.transaction.as_ref();
        table::record([
            ("account", told.account.clone()),
            (if sent.is_some() { "withdrawn" } else { "credit" }, told.credit.words()),
            ("balance", told.balance.words()),
            ("transaction", sent.map(|sent| sent.hash.clone()).unwrap_or_default()),
            ("explorer", sent.and_then(|sent| sent.explorer.clone()).unwrap_or_default()),
        ])
    })
}
