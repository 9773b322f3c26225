//! Deposits on the chain that jobs are paid from: whether they are taken, on which terms, and what a
//! client is to pay in for a job. Whoever looks after the nodes learns the terms from the contract; they
//! are part of what a job is accepted with.
//!
//! The salt of a deposit is the job's id: with it and the client's address, everybody can find the one
//! from the other, and nothing else has to be kept.

use crate::app::App;
use crate::config::Blockchain;
use crate::http::error::{ApiError, ApiResult, internal};
use crate::http::problems::Code;
use ciro_api::job as wire;
use ciro_chain::Felt;
use ciro_chain::contract::escrow::{Limits, Order, SubmitJob};
use ciro_chain::contract::token::Approve;
use ciro_chain::contract::{Function, job_id};
use ciro_core::amount::Fri;
use ciro_core::id::JobId;
use ciro_core::job::{Job, SettlementState};
use ciro_core::money::decide::{awaited, deposit_deadline, felt_of};
use ciro_core::money::{ChainEscrow, Deposit, Horizon, PaidFrom, Payment};
use ciro_core::payout::PayoutAddress;
use ciro_core::spec::JobSpec;
use ciro_store::JobDetail;
use parking_lot::RwLock;

/// When to come back while the contract was not read yet, s.
const UNKNOWN_RETRY_S: u32 = 5;

/// What the contract asks of a deposit now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What is paid with.
    pub token: Felt,
    /// Of what providers are paid, in basis points.
    pub fee_bps: u16,
    /// Seconds in which a client may dispute a result.
    pub window_s: u32,
}

/// Whether deposits are taken, and on which terms.
#[derive(Debug)]
pub struct Deposits {
    contract: Option<Felt>,
    /// The most that all of them together may put at risk.
    most: Option<Fri>,
    terms: RwLock<Option<Terms>>,
}

impl Deposits {
    /// As the settings say: they are taken where there are a contract and an account that sends.
    #[must_use]
    pub fn of(config: &Blockchain) -> Deposits {
        let contract = config.contract().filter(|_| config.sends());
        Deposits { contract, most: config.max_exposure, terms: RwLock::new(None) }
    }

    /// The contract, where deposits are taken.
    #[must_use]
    pub fn contract(&self) -> Option<Felt> {
        self.contract
    }

    /// Keeps what the contract asks.
    pub fn learn(&self, terms: Terms) {
        *self.terms.write() = Some(terms);
    }

    /// What the contract asks, as far as it was read.
    #[must_use]
    pub fn terms(&self) -> Option<Terms> {
        *self.terms.read()
    }

    fn offered(&self) -> ApiResult<Terms> {
        if self.contract.is_none() {
            let detail =
                "this coordinator takes no deposits: its operator has named no contract, or no account";
            return Err(ApiError::because(Code::ValidationFailed, detail).at(
                "/payment/escrow",
                "not_offered",
                detail,
            ));
        }
        self.terms().ok_or_else(|| {
            let detail = "the escrow contract was not read yet: /status says how the nodes are";
            ApiError::because(Code::Unavailable, detail).retry_after(UNKNOWN_RETRY_S)
        })
    }

    /// How a new job is paid; `None` where nobody pays. `fee_bps` is the operator's share of what is paid
    /// from a balance; that of a deposit is the contract's.
    ///
    /// # Errors
    /// Where deposits are not taken, their terms are not known yet, or one is larger than could ever be taken.
    pub fn payment(&self, id: JobId, spec: &JobSpec, fee_bps: u16) -> ApiResult<Option<Payment>> {
        let fee_bps = match spec.payment {
            None => return Ok(None),
            Some(PaidFrom::Balance) => fee_bps,
            Some(PaidFrom::Escrow { .. }) => self.offered()?.fee_bps,
        };
        let payment = spec.paid(fee_bps, |client| deposit(id, client, spec.split.is_some()));
        let deposited = payment.filter(|payment| payment.deposit.is_some());
        if let (Some(Payment { amount, .. }), Some(most)) = (deposited, self.most)
            && amount > most
        {
            let detail = format!(
                "this coordinator puts no more than {most} FRI at risk for all jobs that are paid from deposits \
                 (`exposure.limit` of /v1/chain/status), so that the job would wait for ever: ask for less, or submit it in parts"
            );
            return Err(ApiError::because(Code::ValidationFailed, detail.clone()).at(
                "/max_cost/fri",
                "range",
                detail,
            ));
        }
        Ok(payment)
    }
}

fn deposit(id: JobId, client: PayoutAddress, splits: bool) -> Deposit {
    let mut salt = [0; 32];
    salt[16..].copy_from_slice(id.0.as_bytes());
    let escrow = job_id(Felt::from_bytes_be(&client.bytes()), Felt::from_bytes_be(&salt));
    Deposit { client, salt, id: escrow.to_bytes_be(), splits, lost_at: None }
}

/// What is to be paid in for a job, and where that is; `None` for one that is paid otherwise.
///
/// # Errors
/// When the store cannot be read.
pub async fn shown(app: &App, of: &JobDetail) -> ApiResult<Option<wire::JobDeposit>> {
    let Some(deposit) = of.job.escrow.as_ref().and_then(|escrow| escrow.deposit) else { return Ok(None) };
    let (chain, trouble) = app.store.escrow_seen(of.job.key).await?;
    let terms = app.deposits.terms();
    let order = order(&of.job, &deposit, &of.spec_hash.0);
    let max_fee_bps = of.job.escrow.as_ref().map_or(0, |escrow| escrow.fee_bps);
    let waits = of.job.settlement.state == SettlementState::Locking && chain.is_none();
    let calls = match (waits, app.deposits.contract, terms) {
        (true, Some(contract), Some(terms)) => calls(&order, contract, terms, max_fee_bps)?,
        _ => Vec::new(),
    };
    Ok(Some(wire::JobDeposit {
        contract: app.deposits.contract.map(hex),
        token: terms.map(|terms| hex(terms.token)),
        client: deposit.client.to_string(),
        escrow_id: hex(Felt::from_bytes_be(&deposit.id)),
        salt: hex(order.salt),
        spec_hash: hex(order.spec_hash),
        amount: Fri(order.amount).into(),
        deadline: order.deadline,
        max_fee_bps,
        waits_for: waits_for(app, of, chain.as_ref()).await?.filter(|_| trouble.is_none()),
        state: chain.map(|chain| chain.state.name().to_owned()),
        trouble,
        calls,
    }))
}

/// What the job waits for before it begins, by what the chain was read to.
async fn waits_for(app: &App, of: &JobDetail, chain: Option<&ChainEscrow>) -> ApiResult<Option<String>> {
    if of.job.settlement.state != SettlementState::Locking {
        return Ok(None);
    }
    let read = app.store.chain_cursor().await?;
    let newest = read.and_then(|cursor| cursor.newest);
    let horizon = Horizon {
        block: newest.map_or(0, |block| block.number),
        proven: read.and_then(|cursor| cursor.proved),
        finality: app.config.blockchain.counts(),
        time: newest.map_or(0, |block| block.at),
        now: app.now(),
    };
    Ok(awaited(&of.job, &of.spec_hash, chain, &horizon).map(|awaited| awaited.to_string()))
}

fn order(job: &Job, deposit: &Deposit, spec_hash: &[u8; 32]) -> Order {
    Order {
        salt: Felt::from_bytes_be(&deposit.salt),
        spec_hash: Felt::from_bytes_be(&felt_of(&ciro_core::id::Hash(*spec_hash))),
        amount: job.escrow.as_ref().map_or(0, |escrow| escrow.amount.0),
        deadline: deposit_deadline(job),
    }
}

/// What the client's account is to call, both in one transaction: the contract may take the amount, and
/// takes it for the job.
fn calls(
    order: &Order,
    contract: Felt,
    terms: Terms,
    max_fee_bps: u16,
) -> ApiResult<Vec<wire::ContractCall>> {
    let approve = Approve { spender: contract, amount: order.amount.into() };
    let limits = Limits { max_fee_bps, min_window: terms.window_s };
    let submit = SubmitJob { order: order.clone(), limits };
    Ok(vec![call(terms.token, &approve)?, call(contract, &submit)?])
}

fn call<F: Function>(to: Felt, function: &F) -> ApiResult<wire::ContractCall> {
    let calldata = function.calldata().map_err(|error| internal(&error))?;
    Ok(wire::ContractCall {
        contract_address: hex(to),
        entry_point: F::NAME.to_owned(),
        calldata: calldata.iter().map(|felt| format!("{felt:#x}")).collect(),
    })
}

fn hex(felt: Felt) -> String {
    felt.to_fixed_hex_string()
}
