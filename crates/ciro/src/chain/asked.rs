//! What `ciro chain` asks a coordinator: how it sees the chain, what it sent, and what happened to the
//! contract.

use super::estimate::EstimateArgs;
use super::status::hex;
use crate::again::again;
use crate::cli::Context;
use crate::clock;
use crate::error::{Exit, Failure};
use crate::list::ListArgs;
use crate::table::{self, strk};
use ciro_api::chain::{
    ChainContract, ChainEstimate, ChainEvent, ChainExposure, ChainFollower, ChainIntent, ChainReconciliation,
    ChainStatus, ChainTransaction, NewEstimate,
};
use ciro_chain::Felt;

pub(super) const TRANSACTIONS: &str = "\
What the coordinator signed, for the operator. The filter knows state (signed, broadcast, pre_confirmed, l2, l1_final,
reverted, replaced, dropped) and job.

Examples:
  ciro chain transactions
  ciro chain transactions --filter 'state:reverted,dropped' -o json
  ciro chain transactions --filter job:job_01kav2…
  ciro chain tx 0x5a3f…                                   one of them, with all that it carries";

pub(super) const EVENTS: &str = "\
The filter knows name (as in the contract), escrow and account, the one that an event credits.

Examples:
  ciro chain events
  ciro chain events --filter 'name:PaymentReleased,JobRefunded'
  ciro chain events --filter account:0x64b4… -o json | jq -r '.items[].amount.strk'";

pub(super) const CONTRACTS: &str = "\
Examples:
  ciro chain contracts
  ciro chain contracts -o json | jq -r '.items[0].settings.fee_bps'";

pub(super) const RECONCILE: &str = "\
Every five minutes each coordinator compares what it read of the escrow contract with the contract itself, and its jobs
with what it read. The exit code is 5 where they differ, 8 where nothing was compared for long. What differed, and when,
stands in the audit log, too. An audit that believes no coordinator: `ciro chain audit`.

Examples:
  ciro chain reconcile
  ciro chain reconcile -o json | jq -r '.findings[]'
  ciro audit list --filter action:books                   what differed, and since when it agrees";

pub(super) async fn reconcile(context: &Context) -> Result<(), Failure> {
    let done = again(|| context.client.chain_reconcile()).await?;
    let block = done.block.map(|block| block.to_string()).unwrap_or_default();
    context.out.one(&done, &block, || {
        let at = done.at.map_or_else(|| "not yet".to_owned(), |at| table::ago(at, clock::now()));
        let mut text = table::record([
            ("compared", at),
            ("block", block.clone()),
            ("escrows", format!("{}; {} are not over", done.escrows, done.open)),
            ("of others", foreign(&done)),
            ("jobs", done.jobs.to_string()),
            ("owed", done.owed.as_ref().map(strk).unwrap_or_default()),
            ("balance", done.balance.as_ref().map(strk).unwrap_or_default()),
        ]);
        done.findings.iter().for_each(|finding| text.push_str(&format!("\n- {finding}")));
        text
    })?;
    match (done.differences.max(done.findings.len() as u64), done.overdue) {
        (0, None) => Ok(()),
        (0, Some(words)) => Err(Failure::new(Exit::Unavailable, words)),
        (1, _) => Err(Failure::new(Exit::Conflict, "books and contract differ in one respect")),
        (n, _) => Err(Failure::new(Exit::Conflict, format!("books and contract differ in {n} respects"))),
    }
}

/// What is paid in that is none of the coordinator's business.
fn foreign(of: &ChainReconciliation) -> String {
    let amount = of.foreign.as_ref().map(strk).unwrap_or_default();
    match of.foreign_escrows {
        0 => "none".to_owned(),
        n => format!("{n} escrows that no job is paid from, {amount}"),
    }
}

pub(super) async fn status(context: &Context) -> Result<(), Failure> {
    let status = again(|| context.client.chain_status()).await?;
    let network = status.network.clone().unwrap_or_default();
    context.out.one(&status, &network, || if status.enabled { shown(&status) } else { OFF.to_owned() })?;
    match status.findings.as_slice() {
        [] => Ok(()),
        findings => Err(Failure::new(Exit::Conflict, findings.join("; "))),
    }
}

const OFF: &str = "the coordinator has to do with no chain: its setting blockchain.rpc_url is not set";

fn shown(status: &ChainStatus) -> String {
    let now = clock::now();
    let (head, account, lane) = (status.head.as_ref(), status.account.as_ref(), status.lane.as_ref());
    let record = table::record([
        ("chain", status.network.clone().unwrap_or_else(|| "not known".into())),
        (
            "head",
            head.map(|head| format!("{}, {}", head.number, table::ago(head.at, now))).unwrap_or_default(),
        ),
        ("account", account.map(|account| account.address.clone()).unwrap_or_default()),
        ("balance", account.and_then(|account| account.balance.as_ref()).map(strk).unwrap_or_default()),
        (
            "nonce",
            account.and_then(|account| account.nonce).map(|nonce| nonce.to_string()).unwrap_or_default(),
        ),
        ("operator", account.and_then(|account| account.operator).map(yes).unwrap_or_default()),
        ("explorer", account.and_then(|account| account.explorer.clone()).unwrap_or_default()),
        (
            "to be sent",
            lane.map(|lane| {
                format!(
                    "{} wait, {} are under way, {} have failed",
                    lane.waiting, lane.under_way, lane.failed
                )
            })
            .unwrap_or_default(),
        ),
        (
            "spent today",
            lane.map(|lane| format!("{} of at most {}", strk(&lane.spent), strk(&lane.max_fee_per_day)))
                .unwrap_or_default(),
        ),
        ("events", status.follower.as_ref().map(followed).unwrap_or_default()),
        ("at risk", status.exposure.as_ref().map(at_risk).unwrap_or_default()),
    ]);
    let nodes = table::table(
        ["node", "standing", "head", "spec", "breaker", "because"],
        status.endpoints.iter().map(|node| {
            let head = node.head.map(|head| head.to_string()).unwrap_or_default();
            let (spec, because) =
                (node.spec.clone().unwrap_or_default(), node.reason.clone().unwrap_or_default());
            [node.endpoint.clone(), node.standing.clone(), head, spec, node.breaker.clone(), because]
        }),
    );
    let troubles = lane.map(|lane| lane.troubles.as_slice()).unwrap_or_default();
    let troubles = if troubles.is_empty() { String::new() } else { format!("\n\n{}", intents(troubles)) };
    format!("{record}\n\n{nodes}{troubles}")
}

fn followed(of: &ChainFollower) -> String {
    let read = of
        .block
        .as_ref()
        .map_or_else(|| "none are read yet".to_owned(), |block| format!("read up to block {}", block.number));
    format!("{read}, {} blocks behind", of.behind)
}

fn at_risk(of: &ChainExposure) -> String {
    let most = of.limit.as_ref().map(|limit| format!(" of at most {}", strk(limit))).unwrap_or_default();
    let promised = if of.promised.fri == "0" {
        String::new()
    } else {
        format!(", {} more assigned", strk(&of.promised))
    };
    format!("{}{most}, in {} jobs without a result on the chain{promised}", strk(&of.amount), of.jobs)
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn intents(of: &[ChainIntent]) -> String {
    table::table(
        ["intent", "is", "tried", "job", "because"],
        of.iter().map(|intent| {
            [
                intent.name.clone(),
                intent.state.clone(),
                intent.attempts.to_string(),
                intent.job.map(|job| job.to_string()).unwrap_or_default(),
                intent.error.as_deref().map(|error| table::brief(error, 100)).unwrap_or_default(),
            ]
        }),
    )
}

pub(super) async fn transactions(list: &ListArgs, context: &Context) -> Result<(), Failure> {
    let fetch = async |page: &_| context.client.chain_transactions(page).await;
    let found = list.fetch(context, fetch).await?;
    context.out.many(&found, |transaction| transaction.hash.clone(), many)
}

fn many(transactions: &[ChainTransaction]) -> String {
    let now = clock::now();
    table::table(
        ["hash", "state", "nonce", "carries", "block", "STRK", "signed", "because"],
        transactions.iter().map(|one| {
            [
                one.hash.clone(),
                one.state.clone(),
                one.nonce.to_string(),
                table::pairs(&one.carries),
                one.block.map(|block| block.to_string()).unwrap_or_default(),
                one.fee.as_ref().and_then(|fee| fee.strk.clone()).unwrap_or_default(),
                table::ago(one.created_at, now),
                one.reverted.as_deref().map(|words| table::brief(words, 60)).unwrap_or_default(),
            ]
        }),
    )
}

pub(super) async fn events(list: &ListArgs, context: &Context) -> Result<(), Failure> {
    let fetch = async |page: &_| context.client.chain_events(page).await;
    let found = list.fetch(context, fetch).await?;
    context.out.many(&found, |event| event.transaction.clone(), happened)
}

fn happened(events: &[ChainEvent]) -> String {
    table::table(
        ["block", "at", "event", "escrow", "credits", "STRK", "transaction"],
        events.iter().map(|event| {
            [
                event.block.to_string(),
                event.at.to_string(),
                event.name.clone(),
                event.escrow.clone().unwrap_or_default(),
                event.account.clone().unwrap_or_default(),
                event.amount.as_ref().and_then(|amount| amount.strk.clone()).unwrap_or_default(),
                event.transaction.clone(),
            ]
        }),
    )
}

pub(super) async fn transaction(hash: Felt, context: &Context) -> Result<(), Failure> {
    let hash = hex(hash);
    let found = again(|| context.client.chain_transaction(&hash)).await?;
    context.out.one(&found, &found.hash, || {
        let record = table::record([
            ("hash", found.hash.clone()),
            ("state", found.state.clone()),
            ("reverted", found.reverted.clone().unwrap_or_default()),
            ("account", found.account.clone()),
            ("nonce", found.nonce.to_string()),
            ("sent", format!("{} times", found.sends)),
            ("block", found.block.map(|block| block.to_string()).unwrap_or_default()),
            ("block hash", found.block_hash.clone().unwrap_or_default()),
            ("fee", found.fee.as_ref().map(strk).unwrap_or_default()),
            ("at most", strk(&found.max_fee)),
            ("explorer", found.explorer.clone().unwrap_or_default()),
        ]);
        format!("{record}\n\n{}", intents(&found.intents))
    })
}

pub(super) async fn contracts(context: &Context) -> Result<(), Failure> {
    let contracts = again(|| context.client.chain_contracts()).await?;
    context.out.many(&contracts.items, |contract| contract.address.clone(), |all| {
        if all.is_empty() {
            return "the coordinator works with no contract: its setting blockchain.contract_address is not set".into();
        }
        all.iter().map(contract).collect::<Vec<_>>().join("\n\n")
    })
}

fn contract(of: &ChainContract) -> String {
    let set = of.settings.as_ref();
    let text = |read: fn(&ciro_api::chain::EscrowSettings) -> String| set.map(read).unwrap_or_default();
    table::record([
        ("contract", of.name.clone()),
        ("address", of.address.clone()),
        ("class", of.class_hash.clone().unwrap_or_else(|| "none that is known".into())),
        ("expected", of.expected_class_hash.clone()),
        ("version", text(|set| set.version.to_string())),
        ("new work", text(|set| if set.paused { "is stopped" } else { "is taken" }.to_owned())),
        ("fee", text(|set| basis_points(set.fee_bps))),
        ("bond", text(|set| basis_points(set.bond_bps))),
        ("dispute within", text(|set| seconds(set.window_s))),
        ("grace", text(|set| seconds(set.grace_s))),
        ("arbitration", text(|set| seconds(set.arbitration_s))),
        ("owes for jobs", text(|set| strk(&set.locked))),
        ("owes as credit", text(|set| strk(&set.credited))),
        ("owes as bonds", text(|set| strk(&set.bonded))),
        ("token", text(|set| set.token.clone())),
        ("owner", text(|set| set.owner.clone())),
        ("arbiter", text(|set| set.arbiter.clone())),
        ("treasury", text(|set| set.treasury.clone())),
        ("explorer", of.explorer.clone().unwrap_or_default()),
    ])
}

fn basis_points(bps: u16) -> String {
    format!("{}.{:02} %", bps / 100, bps % 100)
}

fn seconds(s: u32) -> String {
    table::span(u64::from(s) * 1_000)
}

pub(super) async fn estimate(args: &EstimateArgs, context: &Context) -> Result<(), Failure> {
    let call = NewEstimate {
        contract: hex(args.contract),
        function: args.function.clone(),
        calldata: args.args.iter().map(|felt| format!("{felt:#x}")).collect(),
    };
    let estimate = again(|| context.client.chain_estimate(&call)).await?;
    let ChainEstimate { l2_gas, l1_data_gas, l1_gas, fee, most } = &estimate;
    context.out.one(&estimate, &fee.fri, || {
        table::record([
            ("L2 gas", l2_gas.to_string()),
            ("L1 data gas", l1_data_gas.to_string()),
            ("L1 gas", l1_gas.to_string()),
            ("fee", strk(fee)),
            ("at most", strk(most)),
        ])
    })
}
