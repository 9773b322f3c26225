//! What the escrow contract is asked, as calls: one for each escrow, which the lane puts together.

use ciro_chain::Felt;
use ciro_chain::contract::escrow::{
    AssignJobs, Assignment, Cancel, Expire, JobResult, Settle, Settlement, SubmitResults,
};
use ciro_chain::contract::{DecodeError, Function, JobKey, Payout};
use ciro_chain::tx::Call;
use ciro_core::id::Hash;
use ciro_core::money::decide::{Ask, felt_of};
use ciro_core::money::{ChainPayout, Deposit};

/// Who asks whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    /// The escrow contract.
    pub(super) contract: Felt,
    /// The account that sends; what it is assigned is locked for the job.
    pub(super) account: Felt,
}

impl Asker {
    /// The call. `result` is the hash of what came out, where something did.
    pub(super) fn call(&self, of: &Deposit, ask: &Ask, result: Option<Hash>) -> Result<Call, DecodeError> {
        let job_id = Felt::from_bytes_be(&of.id);
        let job =
            JobKey { client: Felt::from_bytes_be(&of.client.bytes()), salt: Felt::from_bytes_be(&of.salt) };
        match ask {
            Ask::Assign => {
                AssignJobs { batch: vec![Assignment { job_id, worker: self.account }] }.call(self.contract)
            }
            Ask::Result(payouts) => {
                let result_hash = result.map_or(Felt::ZERO, |hash| Felt::from_bytes_be(&felt_of(&hash)));
                let result = JobResult { job_id, result_hash, payouts: on_chain(payouts) };
                SubmitResults { batch: vec![result] }.call(self.contract)
            }
            Ask::Cancel => Cancel { job }.call(self.contract),
            Ask::Settle(payouts) => {
                Settle { batch: vec![Settlement { job, payouts: on_chain(payouts) }] }.call(self.contract)
            }
            Ask::Expire => Expire { jobs: vec![job] }.call(self.contract),
        }
    }
}

fn on_chain(payouts: &[ChainPayout]) -> Vec<Payout> {
    let payout = |one: &ChainPayout| Payout {
        provider: Felt::from_bytes_be(&one.provider.bytes()),
        amount: one.amount.0,
    };
    payouts.iter().map(payout).collect()
}

/// What a call takes at most in a transaction of its own, L2 gas: as contracts/README.md has it for one
/// provider, and for each further one a first credit and its event.
pub(super) fn l2_gas(ask: &Ask) -> u64 {
    let further = |payouts: &[ChainPayout]| payouts.len().saturating_sub(1) as u64;
    match ask {
        Ask::Assign => 1_300_000,
        Ask::Result(payouts) => 1_900_000 + 100_000 * further(payouts),
        Ask::Cancel | Ask::Expire => 1_900_000,
        Ask::Settle(payouts) => 1_900_000 + 600_000 * further(payouts),
    }
}
