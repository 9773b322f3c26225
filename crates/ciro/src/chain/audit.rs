//! `ciro chain audit`: the escrow contract's books, counted again from its events alone, without a coordinator
//! and without anything that one wrote down.

use super::amount::Amount;
use super::network::{NetworkArgs, felt};
use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::{progress, table};
use ciro_chain::Felt;
use ciro_chain::audit::{AuditError, Audited, Bounds, Progress, audit};
use ciro_chain::follow;
use ciro_chain::rpc::RpcError;
use ciro_core::amount::Fri;
use serde::Serialize;
use std::collections::BTreeMap;

pub(super) const HELP: &str = "\
Every event of the contract is read, and counted: each escrow is shared out once and to the unit, nobody is paid twice
for one, bonds go back or to the providers, nobody takes more than it was credited with. What that comes to is what the
contract says that it owes, in all and to each account; it has at least as much of its token; and open and newest escrows
are what the contract says of them. The exit code is 5 where something does not hold.

Examples:
  ciro chain audit --contract 0x3d03… --rpc http://127.0.0.1:5050
  ciro chain audit --contract 0x3d03… --from-block 812345 -o json | jq -r '.findings[]'";

/// What to audit.
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    /// The escrow contract
    #[arg(long = "contract", value_name = "ADDRESS", value_parser = felt)]
    escrow: Felt,
    /// The block in which it was put on the chain [default: searched for in the state at old blocks]
    #[arg(long, value_name = "NUMBER")]
    from_block: Option<u64>,
    /// How many escrows are held against what the contract says of them
    #[arg(long, value_name = "COUNT", default_value = "1000", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    sample: u32,
    /// How many accounts are held against what the contract says that they can take, those first that have most
    #[arg(long, value_name = "COUNT", default_value = "10000", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    accounts: u32,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Serialize)]
struct Told {
    contract: String,
    from_block: u64,
    /// The last block that was read: everything is as it was there.
    block: u64,
    block_hash: String,
    events: u64,
    /// How many escrows there are in each state.
    escrows: BTreeMap<&'static str, u64>,
    /// How many of them were held against what the contract says of them.
    sampled: usize,
    /// How many accounts were credited or took something.
    accounts: usize,
    /// How many of them were held against what the contract says of them.
    accounts_sampled: usize,
    locked: Amount,
    credited: Amount,
    bonded: Amount,
    balance: Amount,
    /// What it has beyond what it owes: gifts.
    surplus: Amount,
    /// What does not hold.
    findings: Vec<String>,
    /// Further findings that are not listed.
    more_findings: u64,
}

pub(super) async fn run(args: &AuditArgs, out: Output) -> Result<(), Failure> {
    let network = args.network.connect().await?;
    let from_block = match args.from_block {
        Some(block) => block,
        None => match follow::origin(&network.pool, args.escrow).await {
            Ok(Some(block)) => block,
            Ok(None) => {
                let words = format!("there is no contract at {:#x}", args.escrow);
                return Err(Failure::new(Exit::NotFound, words)
                    .hint("--contract is the address of JobEscrow, as `ciro chain deploy` printed it"));
            }
            Err(RpcError::Fault(_)) => {
                out.remark(
                    "no node keeps the state at old blocks: all blocks are read; --from-block names the block of the deployment",
                );
                0
            }
            Err(error) => return Err(error.into()),
        },
    };
    let bar = progress::blocks(out.is_live(), "reading");
    let told = |progress: Progress| match progress {
        Progress::Read { block, head } => {
            let behind = |number: u64| (number + 1).saturating_sub(from_block);
            progress::show_blocks(&bar, behind(block), behind(head));
        }
        Progress::Asked { done, all } => progress::show_asked(&bar, done, all),
    };
    let bounds = Bounds { escrows: args.sample as usize, accounts: args.accounts as usize };
    let wanted = (from_block, bounds);
    let done = audit(&network.pool, args.escrow, wanted, told).await.map_err(failure)?;
    bar.finish_and_clear();
    let told = shown(args.escrow, from_block, done);
    out.one(&told, &told.contract, || record(&told))?;
    match told.findings.len() as u64 + told.more_findings {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Conflict, "the audit found something that does not hold")),
        n => Err(Failure::new(Exit::Conflict, format!("the audit found {n} things that do not hold"))),
    }
}

fn failure(error: AuditError) -> Failure {
    match error {
        AuditError::Rpc(error) => error.into(),
        other => Failure::new(Exit::Failure, other.to_string()),
    }
}

fn shown(contract: Felt, from_block: u64, done: Audited) -> Told {
    let Audited { at, audit, totals, balance, escrows: sampled, accounts: accounts_sampled } = done;
    let owed = audit.owed();
    let liabilities = owed.locked.saturating_add(owed.credited).saturating_add(owed.bonded);
    let escrows = audit.states().into_iter().map(|(state, count)| (state.name(), count)).collect();
    let amount = |fri| Amount::of(Fri(fri));
    let (events, accounts) = (audit.events(), audit.accounts());
    let (findings, more_findings) = audit.end(&totals, balance);
    Told {
        contract: format!("{contract:#066x}"),
        from_block,
        block: at.number,
        block_hash: format!("{:#066x}", at.hash),
        events,
        escrows,
        sampled,
        accounts,
        accounts_sampled,
        locked: amount(owed.locked),
        credited: amount(owed.credited),
        bonded: amount(owed.bonded),
        balance: amount(balance),
        surplus: amount(balance.saturating_sub(liabilities)),
        findings,
        more_findings,
    }
}

fn record(told: &Told) -> String {
    let escrows = told.escrows.iter().map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>();
    let mut text = table::record([
        ("contract", told.contract.clone()),
        ("blocks", format!("{} to {}", told.from_block, told.block)),
        ("events", told.events.to_string()),
        ("escrows", escrows.join(", ")),
        ("sampled", told.sampled.to_string()),
        ("accounts", format!("{}, {} of them sampled", told.accounts, told.accounts_sampled)),
        ("locked", told.locked.words()),
        ("credited", told.credited.words()),
        ("bonded", told.bonded.words()),
        ("balance", told.balance.words()),
        ("surplus", told.surplus.words()),
        ("holds", if told.findings.is_empty() { "yes" } else { "no" }.to_owned()),
    ]);
    for finding in &told.findings {
        text.push_str(&format!("\n- {finding}"));
    }
    text
}
