//! What is known of the chain, as it is shown: read from memory and from rows, except for an estimate, which
//! a node is asked for.

use super::{Chain, Compared, Reconciled, Seen};
use crate::app::App;
use crate::config::ChainFinality;
use crate::http::error::{ApiError, ApiResult};
use crate::http::problems::Code;
use ciro_api::chain as wire;
use ciro_api::problem::FieldError;
use ciro_chain::Felt;
use ciro_chain::check::Escrow;
use ciro_chain::contract::artifact::Contract;
use ciro_chain::network::Page;
use ciro_chain::rpc::read::{self, Header};
use ciro_chain::rpc::{EndpointStatus, RpcError};
use ciro_chain::tx::fee::FeePolicy;
use ciro_chain::tx::send::{self, EstimateError};
use ciro_chain::tx::sign::Terms;
use ciro_chain::tx::{Bounds, Call, Unsigned};
use ciro_core::amount::Fri;
use ciro_core::time::Timestamp;
use ciro_store::{ChainEvent, Exposure, IntentListed, TransactionListed};

const DAY_MS: u64 = 24 * 3_600_000;
/// The most arguments of a call whose cost is asked for.
const MAX_CALLDATA: usize = 1_000;
const MAX_NAME: usize = 100;

/// An address or a hash as it is shown.
#[must_use]
pub fn hex(felt: Felt) -> String {
    format!("{felt:#066x}")
}

/// The same of its bytes, big-endian.
#[must_use]
pub fn hex_of(bytes: &[u8; 32]) -> String {
    hex(Felt::from_bytes_be(bytes))
}

/// How the chain is.
///
/// # Errors
/// When the store cannot be read.
pub async fn status(app: &App) -> ApiResult<wire::ChainStatus> {
    let Some(chain) = &app.chain else { return Ok(wire::ChainStatus::default()) };
    let seen = chain.seen();
    let findings = seen.findings.iter().map(ToString::to_string).chain(seen.error.clone());
    Ok(wire::ChainStatus {
        enabled: true,
        network: chain.pool.chain().or(chain.pool.meant()).map(|chain| chain.to_string()),
        endpoints: chain.pool.status().into_iter().map(endpoint).collect(),
        head: seen.head.as_ref().map(head),
        account: chain.signer().map(|signer| account(app, chain, signer.address, &seen)),
        lane: lane(app, chain).await?,
        follower: follower(app).await?,
        exposure: exposure(app).await?,
        findings: findings.collect(),
        looked_at: seen.at.map(Into::into),
    })
}

fn endpoint(of: EndpointStatus) -> wire::ChainEndpoint {
    wire::ChainEndpoint {
        endpoint: of.endpoint,
        standing: of.standing.to_owned(),
        reason: of.reason,
        breaker: of.breaker.to_owned(),
        chain: of.chain,
        spec: of.spec,
        head: of.head,
    }
}

fn head(of: &Header) -> wire::ChainHead {
    wire::ChainHead { number: of.number, hash: hex(of.hash), at: instant(of.timestamp).into() }
}

/// An instant that the chain counts in seconds.
fn instant(s: u64) -> Timestamp {
    Timestamp(i64::try_from(s.saturating_mul(1_000)).unwrap_or(i64::MAX))
}

fn account(app: &App, chain: &Chain, address: Felt, seen: &Seen) -> wire::ChainAccount {
    wire::ChainAccount {
        address: hex(address),
        balance: seen.account.map(|account| account.balance.into()),
        min_balance: app.config.blockchain.min_balance.into(),
        nonce: seen.account.and_then(|account| account.nonce),
        operator: seen.escrow.as_ref().and_then(|escrow| escrow.operator),
        explorer: chain.explorer(Page::Contract(address)),
    }
}

async fn lane(app: &App, chain: &Chain) -> ApiResult<Option<wire::ChainLane>> {
    let Some(signer) = chain.signer() else { return Ok(None) };
    let counts = app.store.chain_intents().await?;
    let since = Timestamp(app.now().0.saturating_sub_unsigned(DAY_MS));
    let spent = app.store.chain_spent(signer.address.to_bytes_be(), since, None).await?;
    let config = &app.config.blockchain;
    Ok(Some(wire::ChainLane {
        waiting: counts.waiting,
        under_way: counts.under_way,
        failed: counts.failed,
        oldest_waiting_at: counts.oldest_waiting_at.map(Into::into),
        spent: spent.into(),
        max_fee_per_day: config.max_fee_per_day.into(),
        finality: match config.finality {
            ChainFinality::L1 => "l1",
            ChainFinality::L2 => "l2",
        }
        .to_owned(),
        depth: config.depth,
        troubles: app.store.chain_troubles().await?.into_iter().map(intent).collect(),
    }))
}

fn intent(of: IntentListed) -> wire::ChainIntent {
    let IntentListed { dedupe, kind, job, state, attempts, error } = of;
    wire::ChainIntent { name: dedupe, kind, job, state: state.name().to_owned(), attempts, error }
}

async fn follower(app: &App) -> ApiResult<Option<wire::ChainFollower>> {
    let Some(cursor) = app.store.chain_cursor().await? else { return Ok(None) };
    let block = cursor.newest;
    Ok(Some(wire::ChainFollower {
        contract: hex_of(&cursor.contract),
        from_block: cursor.from_block,
        block: block.map(|block| wire::ChainHead {
            number: block.number,
            hash: hex_of(&block.hash),
            at: instant(block.at).into(),
        }),
        behind: match block {
            Some(block) => cursor.head.saturating_sub(block.number),
            None => (cursor.head + 1).saturating_sub(cursor.from_block),
        },
    }))
}

/// What could be lost with deposits; `None` where none are taken.
async fn exposure(app: &App) -> ApiResult<Option<wire::ChainExposure>> {
    let config = &app.config.blockchain;
    if config.contract().is_none() {
        return Ok(None);
    }
    let Exposure { jobs, amount, promised } = app.store.chain_exposure().await?;
    let limit = config.max_exposure.map(Into::into);
    Ok(Some(wire::ChainExposure { jobs, amount: amount.into(), promised: promised.into(), limit }))
}

/// Something that happened to the contract.
#[must_use]
pub fn event(app: &App, of: ChainEvent) -> wire::ChainEvent {
    let page = Page::Transaction(Felt::from_bytes_be(&of.tx));
    wire::ChainEvent {
        block: of.block,
        block_hash: hex_of(&of.block_hash),
        place: of.place,
        at: instant(of.at).into(),
        transaction: hex_of(&of.tx),
        name: of.name,
        escrow: of.escrow.as_ref().map(hex_of),
        account: of.credit.map(|(account, _)| hex_of(&account)),
        amount: of.credit.map(|(_, amount)| amount.into()),
        // A row that was changed behind our back is shown as the text that it is.
        data: serde_json::from_str(&of.body).unwrap_or_else(|_| of.body.into()),
        explorer: app.chain.as_ref().and_then(|chain| chain.explorer(page)),
    }
}

/// The contracts, as they were when somebody last looked.
#[must_use]
pub fn contracts(app: &App) -> wire::ChainContracts {
    let Some((chain, address)) = app.chain.as_ref().and_then(|chain| Some((chain, chain.contract?))) else {
        return wire::ChainContracts::default();
    };
    let seen = chain.seen();
    let escrow = wire::ChainContract {
        name: Contract::JobEscrow.name().to_owned(),
        address: hex(address),
        class_hash: seen.class.map(hex),
        expected_class_hash: hex(chain.expected.class_hash),
        settings: seen.escrow.map(settings),
        explorer: chain.explorer(Page::Contract(address)),
    };
    wire::ChainContracts { items: vec![escrow] }
}

fn settings(of: Escrow) -> wire::EscrowSettings {
    let Escrow { config, totals, .. } = of;
    wire::EscrowSettings {
        version: of.version,
        token: hex(of.token),
        owner: hex(of.owner),
        arbiter: hex(of.arbiter),
        treasury: hex(of.treasury),
        paused: of.paused,
        fee_bps: config.fee_bps,
        bond_bps: config.bond_bps,
        window_s: config.window,
        grace_s: config.grace,
        arbitration_s: config.arbitration,
        locked: Fri(totals.locked).into(),
        credited: Fri(totals.credited).into(),
        bonded: Fri(totals.bonded).into(),
    }
}

/// What the last comparison of the books with the contract came to.
#[must_use]
pub fn reconciliation(app: &App) -> wire::ChainReconciliation {
    let Compared { last, overdue } = app.chain.as_ref().map(Chain::comparisons).unwrap_or_default();
    let Some(last) = last else {
        return wire::ChainReconciliation { overdue, ..wire::ChainReconciliation::default() };
    };
    let Reconciled { at, block, escrows, open, foreign, jobs, totals, balance, differences, findings } = last;
    let owed = totals.locked.saturating_add(totals.credited).saturating_add(totals.bonded);
    wire::ChainReconciliation {
        at: Some(at.into()),
        block: Some(block),
        escrows,
        open,
        foreign_escrows: foreign.escrows,
        foreign: Some(foreign.amount.into()),
        jobs,
        owed: Some(Fri(owed).into()),
        balance: Some(Fri(balance).into()),
        differences,
        findings,
        overdue,
    }
}

/// A transaction, with what it carries where that is known one by one.
#[must_use]
pub fn transaction(app: &App, of: TransactionListed, intents: Vec<IntentListed>) -> wire::ChainTransaction {
    let (fee, block, block_hash, reverted) = match of.landing {
        Some(landing) => (Some(landing.fee), Some(landing.block), landing.block_hash, landing.reverted),
        None => (None, None, None, None),
    };
    let page = Page::Transaction(Felt::from_bytes_be(&of.hash));
    wire::ChainTransaction {
        hash: hex_of(&of.hash),
        state: of.state,
        account: hex_of(&of.account),
        nonce: of.nonce,
        carries: of.carries,
        intents: intents.into_iter().map(intent).collect(),
        max_fee: of.max_fee.into(),
        fee: fee.map(Into::into),
        block,
        block_hash: block_hash.as_ref().map(hex_of),
        reverted,
        sends: of.sends,
        sent_at: of.sent_at.map(Into::into),
        created_at: of.created_at.into(),
        explorer: app.chain.as_ref().and_then(|chain| chain.explorer(page)),
    }
}

/// What a call from the coordinator's account would use and cost. Nothing is sent; the question is signed, and
/// its signature is good for nothing else.
///
/// # Errors
/// `chain_off`, wrong fields, `call_reverts`; `unavailable` where no node tells.
pub async fn estimate(app: &App, new: wire::NewEstimate) -> ApiResult<wire::ChainEstimate> {
    let call = call(&new)?;
    let ready = app.chain.as_ref().and_then(|chain| Some((chain, chain.signer()?, chain.pool.chain())));
    let Some((chain, signer, id)) = ready else {
        return Err(ApiError::because(
            Code::ChainOff,
            "no account sends from here: blockchain.account is not set",
        ));
    };
    let id = id.ok_or_else(|| unavailable("no node can be asked"))?;
    let nonce = read::nonce(&chain.pool, signer.address).await.map_err(|error| unavailable(&error))?;
    let nonce = nonce.ok_or_else(|| unavailable("the account is not on the chain"))?;
    let terms = Terms { chain: id, account: signer, nonce, bounds: Bounds::default() };
    let estimate =
        send::estimate(&chain.pool, &Unsigned::Invoke(vec![call]), terms).await.map_err(refused)?;
    let uncapped =
        FeePolicy { most_each: Fri(u128::MAX), most_a_day: Fri(u128::MAX), ..FeePolicy::default() };
    let most = uncapped.bounds(&estimate, Fri(0)).map_or(Fri(u128::MAX), |bounds| bounds.most());
    Ok(wire::ChainEstimate {
        l2_gas: estimate.l2_gas.amount,
        l1_data_gas: estimate.l1_data_gas.amount,
        l1_gas: estimate.l1_gas.amount,
        fee: estimate.fee().into(),
        most: most.into(),
    })
}

fn unavailable(words: impl std::fmt::Display) -> ApiError {
    ApiError::because(Code::Unavailable, format!("the chain cannot be asked: {words}")).retry_after(5)
}

fn refused(error: EstimateError) -> ApiError {
    match error {
        EstimateError::Reverts(_) => ApiError::because(Code::CallReverts, error.to_string()),
        EstimateError::Rpc(RpcError::Fault(fault)) => {
            ApiError::because(Code::CallReverts, format!("the node refuses the question: {}", fault.reason()))
        }
        other => unavailable(other),
    }
}

/// The call that is meant; everything wrong with it at once.
fn call(new: &wire::NewEstimate) -> ApiResult<Call> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: String, code: &str, detail: String| {
        errors.push(FieldError { pointer, detail, code: code.to_owned() });
    };
    let to = felt(&new.contract);
    if to.is_none() {
        wrong("/contract".into(), "format", NO_NUMBER.into());
    }
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let named = (1..=MAX_NAME).contains(&new.function.len()) && new.function.chars().all(letters);
    if !named {
        wrong("/function".into(), "format", format!("is 1 to {MAX_NAME} letters, digits and _"));
    }
    if new.calldata.len() > MAX_CALLDATA {
        wrong("/calldata".into(), "range", format!("holds at most {MAX_CALLDATA} numbers"));
    }
    let mut calldata = Vec::new();
    for (at, text) in new.calldata.iter().take(MAX_CALLDATA).enumerate() {
        match felt(text) {
            Some(number) => calldata.push(number),
            None => wrong(format!("/calldata/{at}"), "format", NO_NUMBER.into()),
        }
    }
    match to {
        Some(to) if errors.is_empty() => Ok(Call { to, selector: read::selector(&new.function), calldata }),
        _ => Err(ApiError::invalid(errors)),
    }
}

const NO_NUMBER: &str = "is 0x and 1 to 64 hex digits, below the field's prime";

/// A number of Starknet in hex; `None` where it is none, or its field has no such number.
#[must_use]
pub fn felt(text: &str) -> Option<Felt> {
    let digits = text.strip_prefix("0x").filter(|digits| (1..=64).contains(&digits.len()))?;
    let number = Felt::from_hex(text).ok()?;
    // What is beyond the prime is taken for what is left of it.
    let canonical = format!("{number:x}");
    (digits.trim_start_matches('0').eq_ignore_ascii_case(canonical.trim_start_matches('0'))).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_is_written_or_not_at_all() {
        assert_eq!(felt("0x0"), Some(Felt::ZERO));
        assert_eq!(felt("0x00aB"), Some(Felt::from(0xab_u8)));
        let largest = format!("{:#x}", Felt::MAX);
        assert_eq!(felt(&largest), Some(Felt::MAX));
        for wrong in [
            "",
            "0x",
            "12",
            "0xg",
            "0x-1",
            &format!("0x{}", "f".repeat(64)),
            &format!("0x{}", "0".repeat(65)),
        ] {
            assert_eq!(felt(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn everything_wrong_with_a_call_is_said_at_once() {
        let new =
            wire::NewEstimate { contract: "0x".into(), function: "a b".into(), calldata: vec!["1".into()] };
        let said = format!("{:?}", call(&new).unwrap_err());
        for place in ["/contract", "/function", "/calldata/0"] {
            assert!(said.contains(place), "{said}");
        }
    }
}
