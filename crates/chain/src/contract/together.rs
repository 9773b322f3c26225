//! Calls that go together in one transaction: a function of JobEscrow that takes nothing but one array is
//! called once with all of theirs, which is far cheaper than once for each (contracts/README.md).

use super::escrow::FUNCTIONS;
use crate::rpc::read::selector;
use crate::tx::Call;
use starknet_rust_core::types::Felt;
use std::sync::LazyLock;

/// The functions that take nothing but one array.
static OF_ONE_ARRAY: LazyLock<Vec<Felt>> = LazyLock::new(|| {
    let of_one_array = FUNCTIONS.iter().filter(|function| {
        function.kind == "external"
            && matches!(function.arguments, [(_, argument)] if argument.starts_with("Vec<"))
    });
    of_one_array.map(|function| selector(function.name)).collect()
});

/// The calls with those put together that follow each other and call the same such function of the same
/// contract. What happens, and in which order, is the same.
#[must_use]
pub fn together(calls: Vec<Call>) -> Vec<Call> {
    let mut merged: Vec<Call> = Vec::with_capacity(calls.len());
    for call in calls {
        match merged.last_mut().and_then(|last| joined(last, &call)) {
            Some(()) => {}
            None => merged.push(call),
        }
    }
    merged
}

/// Puts the elements of `next` behind those of `last`, where the two can be one call.
fn joined(last: &mut Call, next: &Call) -> Option<()> {
    if last.to != next.to || last.selector != next.selector || !OF_ONE_ARRAY.contains(&next.selector) {
        return None;
    }
    let (count, elements) = next.calldata.split_first()?;
    let first = last.calldata.first_mut()?;
    *first += *count;
    last.calldata.extend_from_slice(elements);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::escrow::{AssignJobs, Assignment, Cancel, Expire, Settle, Settlement, SubmitJobs};
    use crate::contract::{Function, JobKey, Payout};
    use starknet_rust_core::codec::Decode;

    const CONTRACT: Felt = Felt::THREE;

    fn assign(ids: &[u64]) -> Call {
        let batch = ids.iter().map(|id| Assignment { job_id: Felt::from(*id), worker: Felt::ONE }).collect();
        AssignJobs { batch }.call(CONTRACT).unwrap()
    }

    fn settle(jobs: &[(u64, usize)]) -> Call {
        let one = |(salt, payouts): &(u64, usize)| Settlement {
            job: JobKey { client: Felt::ONE, salt: Felt::from(*salt) },
            payouts: (0..*payouts)
                .map(|n| Payout { provider: Felt::from(n + 1), amount: n as u128 + 1 })
                .collect(),
        };
        Settle { batch: jobs.iter().map(one).collect() }.call(CONTRACT).unwrap()
    }

    #[test]
    fn what_follows_each_other_becomes_one_call_of_all_elements() {
        assert_eq!(together(vec![assign(&[1]), assign(&[2, 3]), assign(&[4])]), [assign(&[1, 2, 3, 4])]);
        let merged = together(vec![settle(&[(1, 2)]), settle(&[(2, 0)]), settle(&[(3, 64)])]);
        assert_eq!(merged, [settle(&[(1, 2), (2, 0), (3, 64)])]);
        let decoded = Vec::<Settlement>::decode(&merged[0].calldata).unwrap();
        assert_eq!(decoded.iter().map(|one| one.payouts.len()).collect::<Vec<_>>(), [2, 0, 64]);
        assert_eq!(together(Vec::new()), []);
    }

    #[test]
    fn no_call_passes_another_one() {
        let apart = [assign(&[1]), settle(&[(1, 1)]), assign(&[2])];
        assert_eq!(together(apart.to_vec()), apart);
    }

    #[test]
    fn other_functions_and_other_contracts_stay_as_they_are() {
        let job = JobKey { client: Felt::ONE, salt: Felt::TWO };
        let cancel = Cancel { job: job.clone() }.call(CONTRACT).unwrap();
        let limits = crate::contract::escrow::Limits { max_fee_bps: 0, min_window: 0 };
        let submit = SubmitJobs { orders: Vec::new(), limits }.call(CONTRACT).unwrap();
        let expire = |to: Felt| Expire { jobs: vec![job.clone()] }.call(to).unwrap();
        let apart =
            [cancel.clone(), cancel, submit.clone(), submit, expire(CONTRACT), expire(Felt::from(4_u8))];
        assert_eq!(together(apart.to_vec()), apart);
        assert_eq!(OF_ONE_ARRAY.len(), 4, "assign_jobs, submit_results, settle, expire");
    }
}
