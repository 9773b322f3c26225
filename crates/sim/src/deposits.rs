//! The chain as far as jobs that are paid from a deposit see it: deposits are made some time after the job,
//! are gone while a reorganisation lasts, and are paid out some time after the job has ended. And whoever
//! tells the coordinator, again and again until its rows say the same.

use crate::dice::Dice;
use crate::fault::FaultKind;
use crate::plan::{Fault, Micros, Plan, SECOND};
use ciro_core::command::Command;
use ciro_core::id::{JobId, JobKey};
use ciro_core::job::{Holds, SettlementState};
use ciro_core::money::decide::Trouble;
use ciro_store::JobRows;
use std::collections::BTreeMap;

/// A deposit is made within that time of its job, nine times of ten.
const MADE_WITHIN: Micros = 8 * SECOND;
/// The chain pays out within that time.
const PAID_WITHIN: Micros = 8 * SECOND;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Deposits {
    /// When each deposit is made; never as long as faults happen where `None`.
    made: BTreeMap<JobId, Option<Micros>>,
    /// When each job was first seen to wait for the chain to pay.
    owed: BTreeMap<JobId, Micros>,
}

impl Deposits {
    /// What the coordinator is to be told of the deposits of these jobs. `weather` has the faults of the
    /// moment, `healed` says that there are no more.
    pub(crate) fn told<'a>(
        &mut self,
        plan: &Plan,
        jobs: impl Iterator<Item = &'a JobRows>,
        weather: &BTreeMap<usize, Fault>,
        (now, healed): (Micros, bool),
    ) -> Vec<(JobKey, Command)> {
        jobs.filter_map(|rows| {
            let deposit = rows.job.escrow.as_ref().filter(|escrow| escrow.deposit.is_some())?;
            let (id, job) = (rows.job.id, rows.job.key);
            let made = *self.made.entry(id).or_insert_with(|| after(plan, id).map(|after| now + after));
            let there = made.map_or(healed, |at| at <= now) && !gone(weather, plan.seed, id);
            let said = rows.job.holds.has(Holds::DEPOSIT);
            let command = match (rows.job.settlement.state, there) {
                (SettlementState::Locking, _) if rows.job.state.is_ended() => return None,
                // Another one lies there as long as the right one does not. Where the right one takes its
                // place that is said first, if there is time.
                (SettlementState::Locking, false) if wrong(plan.seed, id) => {
                    Command::DepositTrouble { job, trouble: Some(Trouble::Spec) }
                }
                (SettlementState::Locking, true) if said && hesitates(plan.seed, id) => {
                    Command::DepositTrouble { job, trouble: None }
                }
                (SettlementState::Locking, true) => Command::Fund { job },
                (SettlementState::Locked, false) => Command::FundsLost { job },
                (SettlementState::Settling, true) => {
                    let owed = *self.owed.entry(id).or_insert(now);
                    if owed + Dice::of(plan.seed, &[0x5e77, number(id)]).below(PAID_WITHIN) > now {
                        return None;
                    }
                    let split = deposit.split();
                    Command::Settled { job, paid: split.paid(), fee: split.fee, refunded: split.refund }
                }
                _ => return None,
            };
            Some((job, command))
        })
        .collect()
    }
}

/// How long after its job a deposit is made.
fn after(plan: &Plan, job: JobId) -> Option<Micros> {
    let mut dice = Dice::of(plan.seed, &[0xde90, number(job)]);
    (!dice.happens(100)).then(|| dice.below(MADE_WITHIN))
}

/// Whether its client has paid in something else before.
fn wrong(seed: u64, job: JobId) -> bool {
    Dice::of(seed, &[0x3709, number(job)]).happens(150)
}

fn hesitates(seed: u64, job: JobId) -> bool {
    Dice::of(seed, &[0x4e51, number(job)]).happens(500)
}

/// Whether a reorganisation has taken a deposit away.
fn gone(weather: &BTreeMap<usize, Fault>, seed: u64, job: JobId) -> bool {
    let mut reorgs = weather.iter().filter(|(_, fault)| fault.kind == FaultKind::Reorg);
    reorgs
        .any(|(no, fault)| Dice::of(seed, &[0x4e04, *no as u64, number(job)]).happens(300 + fault.force / 2))
}

fn number(job: JobId) -> u64 {
    job.0.as_u64_pair().1
}
