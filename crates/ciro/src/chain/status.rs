//! `ciro chain status`: the nodes, their chain and head, contracts and what an account has, and what
//! of it is not as it should be.

use super::amount::Amount;
use super::network::{NetworkArgs, felt, none_good};
use super::signer::SignerArgs;
use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::{clock, table};
use ciro_chain::Felt;
use ciro_chain::check::{self, Expected};
use ciro_chain::rpc::{EndpointStatus, Pool, RpcError, read};
use ciro_core::amount::Fri;
use serde::Serialize;

pub(super) const HELP: &str = "\
Without --rpc (and STARKNET_RPC) the coordinator is asked: its nodes, the account that it sends from, what waits to be
sent, how far the contract's events are read, and what is at risk. Its contracts: `ciro chain contracts`.
A node is not used when it serves another chain, speaks another specification than 0.10, is more than 5 blocks
behind the others, or has other blocks than they. The exit code is 8 when none is left, and 5 when a contract or
the account is not as expected.

Examples:
  ciro chain status
  ciro chain status --rpc http://127.0.0.1:5050
  ciro chain status --rpc https://a.example/v0_10 --rpc https://b.example/v0_10 --network sepolia
  ciro chain status --account account.json --min-balance 5000000000000000000
  ciro chain status --contract 0x4718…=0x5f8a… -o json | jq -r '.findings[]'";

/// What to look at.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// A contract, and the class that it should have; several
    #[arg(long = "contract", value_name = "ADDRESS[=CLASS]", value_parser = expected)]
    contracts: Vec<Expected>,
    /// The least that the account should have, in FRI
    #[arg(long, value_name = "FRI", default_value = "1")]
    min_balance: Fri,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    #[command(flatten)]
    signer: SignerArgs,
}

fn expected(text: &str) -> Result<Expected, String> {
    let (address, class) =
        text.split_once('=').map_or((text, None), |(address, class)| (address, Some(class)));
    Ok(Expected { address: felt(address)?, class: class.map(felt).transpose()? })
}

#[derive(Debug, Default, Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
    endpoints: Vec<EndpointStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Head>,
    contracts: Vec<Contract>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Funds>,
    /// What is not as it should be.
    findings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Head {
    number: u64,
    hash: String,
    /// How long ago it was made.
    age_ms: u64,
}

#[derive(Debug, Serialize)]
struct Contract {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_hash: Option<String>,
}

#[derive(Debug, Serialize)]
struct Funds {
    address: String,
    balance: Amount,
}

pub(super) async fn run(args: &StatusArgs, out: Output) -> Result<(), Failure> {
    let pool = args.network.look().await?;
    let mut shown = Shown { endpoints: pool.status(), ..Shown::default() };
    let Some(chain) = pool.chain() else {
        tell(&shown, out)?;
        return Err(none_good(&pool));
    };
    shown.chain = Some(chain.to_string());
    shown.head = head(&pool).await?;
    for contract in &args.contracts {
        let (class, finding) = check::contract(&pool, *contract).await?;
        shown.contracts.push(Contract { address: hex(contract.address), class_hash: class.map(hex) });
        shown.findings.extend(finding.map(|finding| finding.to_string()));
    }
    if let Some(address) = args.signer.named(chain)? {
        let (balance, findings) = check::account(&pool, address, args.min_balance).await?;
        shown.account = Some(Funds { address: hex(address), balance: Amount::of(balance) });
        shown.findings.extend(findings.iter().map(ToString::to_string));
    }
    tell(&shown, out)?;
    match shown.findings.as_slice() {
        [] => Ok(()),
        findings => Err(Failure::new(Exit::Conflict, findings.join("; "))),
    }
}

pub(super) fn hex(felt: Felt) -> String {
    format!("{felt:#066x}")
}

async fn head(pool: &Pool) -> Result<Option<Head>, RpcError> {
    let newest = read::head(pool).await?.number;
    let now = u64::try_from(clock::now().0).unwrap_or_default();
    Ok(read::header(pool, newest).await?.map(|header| Head {
        number: header.number,
        hash: hex(header.hash),
        age_ms: now.saturating_sub(header.timestamp.saturating_mul(1_000)),
    }))
}

fn tell(shown: &Shown, out: Output) -> Result<(), Failure> {
    out.one(shown, shown.chain.as_deref().unwrap_or_default(), || {
        let head = shown.head.as_ref();
        let account = shown.account.as_ref();
        let record = table::record([
            ("chain", shown.chain.clone().unwrap_or_else(|| "not known".into())),
            (
                "head",
                head.map(|head| format!("{}, {} ago", head.number, table::span(head.age_ms)))
                    .unwrap_or_default(),
            ),
            ("account", account.map(|account| account.address.clone()).unwrap_or_default()),
            ("balance", account.map(|account| account.balance.words()).unwrap_or_default()),
        ]);
        let nodes = table::table(
            ["node", "standing", "head", "spec", "breaker", "because"],
            shown.endpoints.iter().map(|endpoint| {
                [
                    endpoint.endpoint.clone(),
                    endpoint.standing.to_owned(),
                    endpoint.head.map(|head| head.to_string()).unwrap_or_default(),
                    endpoint.spec.clone().unwrap_or_default(),
                    endpoint.breaker.to_owned(),
                    endpoint.reason.clone().unwrap_or_default(),
                ]
            }),
        );
        let contracts = shown.contracts.iter().map(|contract| {
            [contract.address.clone(), contract.class_hash.clone().unwrap_or_else(|| "none".into())]
        });
        let mut page = format!("{record}\n\n{nodes}");
        if !shown.contracts.is_empty() {
            page.push_str(&format!("\n\n{}", table::table(["contract", "class"], contracts)));
        }
        page
    })
}
