//! What follows from a job and from what the chain says of its deposit. Two sides change rows in their own
//! time, the engine a job's and whoever follows the chain those of its escrow; [`decide`] compares the
//! two as they stand and names the one thing that is to be done next. It is asked again after every
//! change of either, so that it does not matter in which order the two changed, or how often it is asked.
//!
//! Invariant: a job begins only behind a deposit that is what was asked for, that nobody can take back
//! and that is as final as the operator wants it. What the chain is asked to pay is what accepted
//! results earned, and is asked of it once it cannot change any more.

use super::chain::{ChainEscrow, ChainPayout, ChainState};
use super::escrow::{Deposit, Escrow, Provider};
use super::horizon::{Horizon, LOOK_AGAIN_MS, Missing, SOON_MS};
use crate::amount::Fri;
use crate::id::Hash;
use crate::job::{Holds, Job, Settlement, SettlementState};
use crate::time::Timestamp;
use std::fmt;

/// A job's own deadline and the one of its deposit are so far apart, seconds: a result that came in the
/// last moment still reaches the chain.
pub const DEPOSIT_MARGIN_S: u64 = 1_800;
/// The chain's clock may be so far behind what we think it is, seconds.
const DRIFT_S: u64 = 3;
/// A call that happened and changed nothing is made again after so long at first, ms; doubled each time
/// up to [`LONGEST_AGAIN_MS`].
const AGAIN_MS: u64 = 5_000;
/// The longest of these waits, and that behind a call that the chain would not have, ms.
const LONGEST_AGAIN_MS: u64 = 3_600_000;

/// What the chain is to be told about an escrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The deposit is taken: its client can no longer cancel.
    Assign,
    /// These earned so much, ascending by address.
    Result(Vec<ChainPayout>),
    /// Nobody earned anything: all of it goes back.
    Cancel,
    /// The time of the client, of the arbiter is over: credits are due.
    Settle(Vec<ChainPayout>),
    /// It is too late for a result: all of it goes back.
    Expire,
}

impl Ask {
    /// The kind of its intent.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Ask::Assign => "assign",
            Ask::Result(_) => "result",
            Ask::Cancel => "cancel",
            Ask::Settle(_) => "settle",
            Ask::Expire => "expire",
        }
    }
}

/// The next thing to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Wait,
    /// The chain is to be told.
    Send(Ask),
    /// The job is to hear what is wrong with its deposit, or that nothing is any more.
    Misfit(Option<Trouble>),
    /// The job may begin, or go on.
    Fund,
    /// The job's deposit is not there any more; it may come back.
    Lost,
    /// It will not come back: there is nothing to pay the job from.
    Gone,
    /// The client disputes the result, or no longer.
    Disputed(bool),
    /// The chain credited providers, treasury and client.
    Settled([Fri; 3]),
}

/// What [`decide`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is to be done.
    pub act: Act,
    /// When to look again if nobody wakes: `None` where only somebody else's change can matter.
    pub look_at: Option<Timestamp>,
    /// Why the money does not move, where somebody should know.
    pub trouble: Option<Trouble>,
}

/// Why a job's money does not move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Another amount was paid in.
    Amount {
        /// What was asked for.
        wanted: Fri,
        /// What is there.
        found: Fri,
    },
    /// It was paid in for something else.
    Spec,
    /// The contract takes more than was said when the job was accepted.
    Fee {
        /// Basis points that were said.
        said: u16,
        /// Those of the contract.
        found: u16,
    },
    /// It can be taken back before the job must have ended.
    Expires {
        /// The least second.
        needed: u64,
        /// Its own.
        found: u64,
    },
    /// It was on the chain, and is not any more.
    Missing,
    /// The chain has a result of a job that did not come from here.
    ReportedElsewhere,
    /// Work on it would be the operator's risk, who stands for no more.
    Exposure {
        /// What all jobs may put at risk together.
        most: Fri,
    },
    /// What the chain credited is not what was locked.
    Credits {
        /// What was locked.
        locked: Fri,
        /// What was credited.
        credited: Fri,
    },
}

impl Trouble {
    /// The name outside.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Trouble::Amount { .. } => "amount",
            Trouble::Spec => "spec_hash",
            Trouble::Fee { .. } => "fee",
            Trouble::Expires { .. } => "expires",
            Trouble::Missing => "missing",
            Trouble::ReportedElsewhere => "reported_elsewhere",
            Trouble::Exposure { .. } => "exposure",
            Trouble::Credits { .. } => "credits",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let back = "its client can cancel it on the chain, and pay in again for a new job";
        match self {
            Trouble::Amount { wanted, found } => {
                write!(f, "the deposit is {found} FRI, and {wanted} FRI were asked for: {back}")
            }
            Trouble::Spec => write!(f, "the deposit names another specification (spec_hash): {back}"),
            Trouble::Fee { said, found } => write!(
                f,
                "the contract takes {found} basis points, and {said} were said when the job was accepted: {back}"
            ),
            Trouble::Expires { needed, found } => write!(
                f,
                "the deposit can be taken back from second {found} on, and must stay until {needed}: {back}"
            ),
            Trouble::Missing => {
                f.write_str("a reorganisation of the chain took the deposit away; it is waited for")
            }
            Trouble::ReportedElsewhere => f.write_str(
                "the chain has a result of this job that is not known here: the database was restored from a backup, \
                 or somebody else is an operator of the contract",
            ),
            Trouble::Exposure { most } => write!(
                f,
                "it waits until other jobs are paid or given up: no more than {most} FRI are put at risk"
            ),
            Trouble::Credits { locked, credited } => {
                write!(f, "the chain credited {credited} FRI of {locked} FRI: see `ciro chain audit`")
            }
        }
    }
}

/// A hash as the contract takes it: its first 31 bytes, big-endian, so that it fits a felt.
#[must_use]
pub fn felt_of(hash: &Hash) -> [u8; 32] {
    let mut felt = [0; 32];
    felt[1..].copy_from_slice(&hash.0[..31]);
    felt
}

/// The second by which the result of a job should be on the chain: what its deposit has for a deadline.
#[must_use]
pub fn deposit_deadline(job: &Job) -> u64 {
    let ms = u64::try_from(job.expires_at.0).unwrap_or(0);
    ms.div_ceil(1_000).saturating_add(DEPOSIT_MARGIN_S)
}

/// Compares a job with its escrow on the chain. A job that is not paid from one has nothing to do.
#[must_use]
pub fn decide(job: &Job, spec_hash: &Hash, chain: Option<&ChainEscrow>, horizon: &Horizon) -> Decision {
    let Some((escrow, deposit)) = job.escrow.as_ref().and_then(|e| Some((&**e, e.deposit.as_ref()?))) else {
        return rest();
    };
    let case = Case { job, escrow, deposit, spec_hash, horizon };
    match (job.state.is_ended(), job.settlement.state, chain) {
        (_, _, Some(chain)) if chain.state.is_over() => case.over(chain),
        (false, SettlementState::Locked, _) => case.under_way(chain),
        (false, _, _) => case.waiting(chain),
        (true, SettlementState::Settled, None) => rest(),
        (true, SettlementState::Settled, _) if job.settlement.escrowed == Fri(0) => case.late(chain),
        (true, _, _) => case.ended(chain),
    }
}

/// What a job that has not begun waits for, or a lost one to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The client's deposit.
    Deposit,
    /// More of the chain behind its block, or behind that of its assignment.
    Chain(Missing),
    /// The deposit is to be assigned.
    Assignment,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Awaited::Deposit => f.write_str("waits for the deposit"),
            Awaited::Chain(Missing::Blocks(1)) => f.write_str("waits for another block of the chain"),
            Awaited::Chain(Missing::Blocks(more)) => write!(f, "waits for {more} more blocks of the chain"),
            Awaited::Chain(Missing::Proof) => {
                f.write_str("waits for Ethereum: a deposit of this amount counts once it is proved there")
            }
            Awaited::Assignment => f.write_str("waits until the deposit is assigned on the chain"),
        }
    }
}

/// What a job that waits for its deposit waits for, where nobody has to do anything about it; `None` for all
/// others.
#[must_use]
pub fn awaited(
    job: &Job,
    spec_hash: &Hash,
    chain: Option<&ChainEscrow>,
    horizon: &Horizon,
) -> Option<Awaited> {
    let escrow = job.escrow.as_deref()?;
    let deposit = escrow.deposit.as_ref()?;
    let case = Case { job, escrow, deposit, spec_hash, horizon };
    if job.state.is_ended() || job.settlement.state != SettlementState::Locking {
        return None;
    }
    let Some(chain) = chain else { return Some(Awaited::Deposit) };
    if case.misfit(chain).is_some() || chain.state > ChainState::Assigned || case.is_expired(chain) {
        return None;
    }
    let assigned = || (chain.state == ChainState::Open).then_some(Awaited::Assignment);
    case.missing(chain).map(Awaited::Chain).or_else(assigned)
}

/// Nothing is to be done until the job or the escrow changes.
const fn rest() -> Decision {
    Decision { act: Act::Wait, look_at: None, trouble: None }
}

struct Case<'a> {
    job: &'a Job,
    escrow: &'a Escrow,
    deposit: &'a Deposit,
    spec_hash: &'a Hash,
    horizon: &'a Horizon,
}

impl Case<'_> {
    fn then(&self, act: Act) -> Decision {
        Decision { act, look_at: self.horizon.after(LOOK_AGAIN_MS), trouble: None }
    }

    fn wait(&self) -> Decision {
        self.then(Act::Wait)
    }

    fn send(&self, ask: Ask) -> Decision {
        self.then(Act::Send(ask))
    }

    fn wait_for(&self, missing: Missing) -> Decision {
        Decision { look_at: self.horizon.after(missing.again_ms()), ..self.wait() }
    }

    fn troubled(&self, trouble: Trouble) -> Decision {
        Decision { trouble: Some(trouble), ..self.wait() }
    }

    /// What is wrong with a deposit.
    fn misfit(&self, chain: &ChainEscrow) -> Option<Trouble> {
        let (wanted, needed) = (self.escrow.amount, deposit_deadline(self.job));
        if chain.amount != wanted {
            Some(Trouble::Amount { wanted, found: chain.amount })
        } else if chain.spec_hash != felt_of(self.spec_hash) {
            Some(Trouble::Spec)
        } else if chain.fee_bps > self.escrow.fee_bps {
            Some(Trouble::Fee { said: self.escrow.fee_bps, found: chain.fee_bps })
        } else if chain.expires_at < needed {
            Some(Trouble::Expires { needed, found: chain.expires_at })
        } else {
            None
        }
    }

    /// The job waits for its deposit, for the first time or again.
    fn waiting(&self, chain: Option<&ChainEscrow>) -> Decision {
        let misfit = chain.and_then(|chain| self.misfit(chain));
        match (misfit, self.job.holds.has(Holds::DEPOSIT)) {
            (None, true) => {
                return Decision { look_at: self.horizon.after(SOON_MS), ..self.then(Act::Misfit(None)) };
            }
            (Some(trouble), false) => {
                return Decision { act: Act::Misfit(Some(trouble.clone())), ..self.troubled(trouble) };
            }
            (Some(trouble), true) => return self.troubled(trouble),
            (None, false) => {}
        }
        let Some(chain) = chain else {
            return if self.deposit.lost_at.is_some() {
                self.troubled(Trouble::Missing)
            } else {
                self.wait()
            };
        };
        let missing = self.missing(chain);
        match (chain.state, missing) {
            (ChainState::Open, _) if self.is_expired(chain) => self.wait(),
            (ChainState::Open | ChainState::Assigned, Some(missing)) => self.wait_for(missing),
            (ChainState::Open, None) => self.send(Ask::Assign),
            (ChainState::Assigned, None) => self.then(Act::Fund),
            _ => self.reported_elsewhere(chain),
        }
    }

    /// What the chain still needs before a deposit is taken, and before work begins behind it: it is taken
    /// like any other, and the larger it is, the surer must be that it stays.
    fn missing(&self, chain: &ChainEscrow) -> Option<Missing> {
        match chain.state {
            ChainState::Open => self.horizon.missing(chain.submitted_block),
            ChainState::Assigned => self.horizon.missing_behind(chain.state_block, chain.amount),
            _ => None,
        }
    }

    /// The job is under way behind its deposit.
    fn under_way(&self, chain: Option<&ChainEscrow>) -> Decision {
        match chain {
            None => self.then(Act::Lost),
            Some(chain) => match chain.state {
                ChainState::Open => self.then(Act::Lost),
                ChainState::Assigned => self.wait(),
                _ => self.reported_elsewhere(chain),
            },
        }
    }

    /// The job ended behind its deposit, and the chain is to pay.
    fn ended(&self, chain: Option<&ChainEscrow>) -> Decision {
        let Some(chain) = chain else {
            let over = self.horizon.time >= deposit_deadline(self.job);
            return if over { self.then(Act::Gone) } else { self.troubled(Trouble::Missing) };
        };
        let payouts = self.earned();
        match chain.state {
            ChainState::Open | ChainState::Assigned if self.is_expired(chain) => self.send(Ask::Expire),
            ChainState::Open | ChainState::Assigned if payouts.is_empty() => self.send(Ask::Cancel),
            ChainState::Open => match self.misfit(chain) {
                Some(trouble) => {
                    Decision { look_at: self.horizon.at(chain.expires_at), ..self.troubled(trouble) }
                }
                None => self.send(Ask::Assign),
            },
            ChainState::Assigned => self.send(Ask::Result(payouts)),
            _ => self.reported(chain),
        }
    }

    /// The chain has a result.
    fn reported(&self, chain: &ChainEscrow) -> Decision {
        let disputed = chain.state == ChainState::Disputed;
        let shown = self.job.settlement.state;
        if shown != SettlementState::Settled && disputed != (shown == SettlementState::Disputed) {
            return self.then(Act::Disputed(disputed));
        }
        self.settle_when_due(chain)
    }

    /// The chain has a result that the books know nothing of.
    fn reported_elsewhere(&self, chain: &ChainEscrow) -> Decision {
        Decision { trouble: Some(Trouble::ReportedElsewhere), ..self.settle_when_due(chain) }
    }

    /// Once nobody can disagree any more, or decide.
    fn settle_when_due(&self, chain: &ChainEscrow) -> Decision {
        let due = chain.clock.unwrap_or(chain.expires_at).saturating_add(DRIFT_S);
        if self.horizon.time >= due {
            return self.send(Ask::Settle(chain.payouts.clone()));
        }
        Decision { look_at: self.horizon.at(due), ..self.wait() }
    }

    /// The job ended without its deposit, which came after all: it goes back.
    fn late(&self, chain: Option<&ChainEscrow>) -> Decision {
        match chain {
            Some(chain) if chain.state > ChainState::Assigned => self.settle_when_due(chain),
            Some(chain) if self.is_expired(chain) => self.send(Ask::Expire),
            Some(_) => self.send(Ask::Cancel),
            None => rest(),
        }
    }

    /// The chain is done with it.
    fn over(&self, chain: &ChainEscrow) -> Decision {
        let Settlement { state, escrowed, .. } = self.job.settlement;
        let settled = state == SettlementState::Settled;
        // The job had ended without a deposit as far as the books know, and the chain has paid for its result.
        let unknown = settled && escrowed == Fri(0) && (chain.paid > Fri(0) || chain.fee > Fri(0));
        if settled && !unknown {
            return rest();
        }
        if let Some(missing) = self.horizon.missing(chain.state_block) {
            return self.wait_for(missing);
        }
        if !self.job.state.is_ended() {
            // A job that is being stopped for it already ends by itself.
            let stops = Decision { look_at: self.horizon.after(SOON_MS), ..self.wait() };
            return if self.job.stop.is_some() { stops } else { self.then(Act::Gone) };
        }
        let credits = [chain.paid, chain.fee, chain.refunded];
        let credited = Fri(credits.iter().fold(0, |sum, part| sum.saturating_add(part.0)));
        let locked = if unknown { self.escrow.amount } else { escrowed };
        if credited == locked {
            self.then(Act::Settled(credits))
        } else {
            self.troubled(Trouble::Credits { locked, credited })
        }
    }

    fn is_expired(&self, chain: &ChainEscrow) -> bool {
        self.horizon.time >= chain.expires_at
    }

    /// What each provider earned, in the order in which the contract takes them.
    fn earned(&self) -> Vec<ChainPayout> {
        let paid = self.escrow.payees.iter().filter(|payee| payee.earned > Fri(0));
        let payout = paid.filter_map(|payee| match payee.provider {
            Provider::Address(provider) => Some(ChainPayout { provider, amount: payee.earned }),
            Provider::Tenant(_) => None,
        });
        let mut earned: Vec<ChainPayout> = payout.collect();
        earned.sort_unstable_by_key(|payout| payout.provider);
        earned
    }
}

/// What became of the newest intent of a kind for an escrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Which one it was, counted from 0.
    pub generation: u32,
    /// Where it is.
    pub state: SentState,
}

/// Where an intent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentState {
    /// It waits, or transactions carry it.
    UnderWay,
    /// It happened and is final.
    Done {
        /// The block that has it.
        block: u64,
        /// Since when it is final.
        at: Timestamp,
    },
    /// The chain would not have it.
    Failed {
        /// Since when.
        at: Timestamp,
    },
}

/// Whether the chain is to be told something that it was told before, and is still to be done: the
/// generation of the intent; else when to look again. A call that happened without any effect was left
/// out by the contract, or a reorganisation took its effect away.
///
/// # Errors
/// When to look again.
pub fn next_generation(newest: Option<Sent>, horizon: &Horizon) -> Result<u32, Timestamp> {
    let Some(Sent { generation, state }) = newest else { return Ok(0) };
    let (since, pause) = match state {
        // Its end wakes nobody, where it had no effect.
        SentState::UnderWay => return Err(horizon.now.plus_ms(AGAIN_MS)),
        // Whoever follows the chain has not come so far.
        SentState::Done { block, .. } if block > horizon.block => {
            return Err(horizon.now.plus_ms(SOON_MS));
        }
        SentState::Done { at, .. } => {
            (at, AGAIN_MS.saturating_mul(1 << generation.min(10)).min(LONGEST_AGAIN_MS))
        }
        SentState::Failed { at } => (at, LONGEST_AGAIN_MS),
    };
    let again_at = since.plus_ms(pause);
    if horizon.now >= again_at { Ok(generation.saturating_add(1)) } else { Err(again_at) }
}

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod tests;
