//! Paying a job's deposit in: who signs is the client, what is signed is what the coordinator's answer
//! says, after a look at it.

use super::network::{Network, NetworkArgs};
use super::signer::SignerArgs;
use super::submit::{FeeArgs, submit};
use super::tx;
use crate::error::{Exit, Failure};
use ciro_api::job::{ContractCall, JobDeposit};
use ciro_chain::Felt;
use ciro_chain::keys::Account;
use ciro_chain::rpc::read::{self, selector};
use ciro_chain::tx::{Call, Unsigned};
use ciro_core::amount::Fri;
use ciro_core::payout::PayoutAddress;

/// Who pays a deposit in, and through which nodes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PayInArgs {
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    fee: FeeArgs,
}

/// An account that can pay in.
pub(crate) struct Payer {
    network: Network,
    account: Account,
    fee: FeeArgs,
}

impl PayInArgs {
    /// Unlocks the account that pays.
    ///
    /// # Errors
    /// When no node answers, or the account cannot be unlocked.
    pub(crate) async fn unlock(&self) -> Result<Payer, Failure> {
        ciro_chain::keys::keep_memory_private()
            .map_err(|error| Failure::io("cannot keep this program's memory private", &error))?;
        let network = self.network.connect().await?;
        let account = self.signer.unlock(network.chain)?;
        Ok(Payer { network, account, fee: self.fee })
    }
}

impl Payer {
    /// Its address.
    ///
    /// # Errors
    /// When it is no address that can be paid to.
    pub(crate) fn client(&self) -> Result<PayoutAddress, Failure> {
        PayoutAddress::new(self.account.address.to_bytes_be())
            .ok_or_else(|| Failure::usage(format!("{:#x} is no account's address", self.account.address)))
    }

    /// Pays a deposit in, at most `most`; a word on the transaction.
    ///
    /// # Errors
    /// When the answer asks for something else, or the chain does not take it.
    pub(crate) async fn pay_in(&self, deposit: &JobDeposit, most: Option<Fri>) -> Result<String, Failure> {
        let asked = deposit.amount.fri.parse::<Fri>().ok();
        if most.is_some() && asked != most {
            let (asked, most) = (&deposit.amount.fri, most.unwrap_or_default());
            return Err(Failure::new(
                Exit::Failure,
                format!("the coordinator asks for a deposit of {asked} FRI, and the job may cost {most} FRI"),
            ));
        }
        let nonce = read::nonce(&self.network.pool, self.account.address).await?.ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("there is no account at {:#x} yet", self.account.address))
                .hint("`ciro chain account deploy` puts it on the chain")
        })?;
        let unsigned = Unsigned::Invoke(calls(deposit)?);
        let landed = submit(&self.network, &self.account, nonce, self.fee.policy(), &unsigned).await?;
        let shown = tx::Shown::of(landed, &self.network);
        Ok(match shown.explorer {
            Some(page) => format!("{}, {page}", shown.hash),
            None => shown.hash,
        })
    }
}

/// The calls of an answer: the contract may take the amount, and takes it. Nothing else is signed.
fn calls(deposit: &JobDeposit) -> Result<Vec<Call>, Failure> {
    let strange = || {
        Failure::new(Exit::Failure, "the coordinator's answer does not name the calls of a deposit")
            .hint("`ciro job get` shows the deposit; its contract may not have been read yet")
    };
    let named = |call: &ContractCall, to: &Option<String>, name: &str| {
        to.as_ref() == Some(&call.contract_address) && call.entry_point == name
    };
    match deposit.calls.as_slice() {
        [approve, submit]
            if named(approve, &deposit.token, "approve")
                && approve.calldata.len() == 3
                && named(submit, &deposit.contract, "submit_job") => {}
        _ => return Err(strange()),
    }
    let call = |call: &ContractCall| {
        let calldata = call.calldata.iter().map(|felt| Felt::from_hex(felt).ok()).collect::<Option<Vec<_>>>();
        Some(Call {
            to: Felt::from_hex(&call.contract_address).ok()?,
            selector: selector(&call.entry_point),
            calldata: calldata?,
        })
    };
    let calls = deposit.calls.iter().map(call).collect::<Option<Vec<_>>>().ok_or_else(strange)?;
    let amount = deposit.amount.fri.parse::<u128>().map(Felt::from).map_err(|_| strange())?;
    let contract = deposit.contract.as_ref().and_then(|contract| Felt::from_hex(contract).ok());
    // What may be taken is the amount, by that contract.
    if contract.is_none()
        || calls[0].calldata.first().copied() != contract
        || calls[0].calldata[1..] != [amount, Felt::ZERO]
    {
        return Err(strange());
    }
    Ok(calls)
}
