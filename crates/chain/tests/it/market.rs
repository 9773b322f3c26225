//! Many jobs that are paid from deposits on one chain, and what must be true of all of them together: each is
//! paid once, and the contract, its token and the coordinator agree to the unit.

use crate::stage::{MOST, Stage, WINDOW, fri};
use anyhow::{Context, Result, ensure};
use ciro_chain::Felt;
use ciro_chain::audit;
use ciro_chain::contract::escrow::{EscrowEvent, GetJobs, GetTotals, Totals};
use ciro_chain::contract::{JobState, Payout};
use ciro_chain::rpc::read;
use ciro_core::id::JobId;
use ciro_core::money::ChainState;
use ciro_testkit::api::job::{Job, JobDeposit, NewJob};
use ciro_testkit::until;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// How long everything may take to end behind a fault: a call that had no effect is made again after some
/// seconds, then after twice as many.
const HEALED: Duration = Duration::from_secs(180);
/// Events of one question.
const CHUNK: u64 = 500;

/// To whom how much was credited for an escrow, and what was taken as a fee.
type Credit = (Felt, u128, u128);
/// What the contract credited for each escrow.
pub(crate) type Credits = BTreeMap<Felt, Vec<Credit>>;

pub(crate) struct Market {
    pub(crate) stage: Stage,
    /// The jobs that the coordinator knows, with what each is paid from.
    pub(crate) jobs: Vec<(JobId, JobDeposit)>,
    /// Deposits of jobs that it knows no more.
    pub(crate) lost: Vec<JobDeposit>,
}

pub(crate) fn escrow_of(deposit: &JobDeposit) -> Result<Felt> {
    Ok(Felt::from_hex(&deposit.escrow_id)?)
}

impl Market {
    pub(crate) fn new(stage: Stage) -> Market {
        Market { stage, jobs: Vec::new(), lost: Vec::new() }
    }

    /// A new job, whose deposit is not there yet.
    pub(crate) async fn submit(&mut self, job: NewJob) -> Result<JobId> {
        let (id, deposit) = self.stage.submit(job).await?;
        self.jobs.push((id, deposit));
        Ok(id)
    }

    /// A new job, whose deposit is.
    pub(crate) async fn fund(&mut self, job: NewJob) -> Result<JobId> {
        let id = self.submit(job).await?;
        self.stage.pay_in(&self.jobs.last().context("it was added")?.1).await?;
        Ok(id)
    }

    /// What the contract says of deposits.
    pub(crate) async fn on_chain<'a>(
        &self,
        deposits: impl Iterator<Item = &'a JobDeposit>,
    ) -> Result<Vec<JobState>> {
        let job_ids = deposits.map(escrow_of).collect::<Result<_>>()?;
        let jobs = self.stage.world.ask(self.stage.escrow, GetJobs { job_ids }).await;
        Ok(jobs.into_iter().map(|job| job.state).collect())
    }

    fn deposits(&self, from: usize) -> impl Iterator<Item = &JobDeposit> {
        self.jobs.iter().skip(from).map(|(_, deposit)| deposit)
    }

    /// A client whose deposit is not on the chain sends it, again.
    pub(crate) async fn pay_in(&self, from: usize) -> Result<()> {
        for (deposit, state) in self.deposits(from).zip(self.on_chain(self.deposits(from)).await?) {
            if state == JobState::None {
                self.stage.pay_in(deposit).await?;
            }
        }
        Ok(())
    }

    /// Until the contract says at least this of the deposits of some jobs.
    pub(crate) async fn reached(&self, jobs: Range<usize>, state: JobState) -> Result<()> {
        let look = async || {
            let deposits = self.deposits(jobs.start).take(jobs.len());
            let states = self.on_chain(deposits).await?;
            Ok(states.iter().all(|reached| *reached as u8 >= state as u8).then_some(()))
        };
        self.waited(until(&format!("deposits to be {state:?}"), HEALED, look).await).await
    }

    /// Until the money of every job is where it belongs, in the books and on the chain, which may have to be
    /// told again; the clock of the chain moves on where that is all that is waited for.
    pub(crate) async fn settled(&self) -> Result<()> {
        let open = async || {
            let mut waits = Vec::new();
            let states = self.on_chain(self.deposits(0)).await?;
            for ((id, _), state) in self.jobs.iter().zip(states) {
                let job = self.stage.client.job_get(*id).await?;
                // What the chain paid for a job that had ended without its deposit is taken over.
                let known = |escrowed: u128| escrowed > 0 || state != JobState::Released;
                let settled = match &job.settlement {
                    Some(of) => of.state == "settled" && known(fri(&of.escrowed)?),
                    None => false,
                };
                if !settled || !job.state.is_ended() || (state as u8) < JobState::Released as u8 {
                    waits.push(state);
                }
            }
            if !waits.is_empty() && waits.iter().all(|state| *state == JobState::Submitted) {
                self.stage.pass(WINDOW + 5).await?;
            }
            Ok(waits.is_empty().then_some(()))
        };
        self.waited(until("every job to be settled", HEALED, open).await).await
    }

    /// Says of a wait that came to nothing where everything stands.
    async fn waited<T>(&self, waited: Result<T>) -> Result<T> {
        let Err(error) = waited else { return waited };
        let mut words = String::new();
        for ((id, _), state) in self.jobs.iter().zip(self.on_chain(self.deposits(0)).await?) {
            if let Ok(Job { state: of_job, settlement, deposit, .. }) = self.stage.client.job_get(*id).await {
                let settlement = settlement.map(|settlement| settlement.state);
                let trouble = deposit.and_then(|deposit| deposit.trouble);
                words += &format!("{id}: {of_job:?} {settlement:?} {trouble:?}, on the chain {state:?}\n");
            }
        }
        let status = self.stage.client.raw(reqwest::Method::GET, "/status", None).await.unwrap_or_default();
        let last = self.stage.coordinator.process().last_words();
        Err(error.context(format!("{words}{}\n{last}", String::from_utf8_lossy(&status))))
    }

    /// What happened to the contract so far, as the devnet itself tells it.
    async fn events(&self) -> Result<Vec<EscrowEvent>> {
        let (pool, mut all, mut token) = (&self.stage.world.pool, Vec::new(), None);
        let head = read::head(pool).await?.number;
        loop {
            let page = read::events(pool, self.stage.escrow, (0, head), CHUNK, token.as_deref()).await?;
            for event in &page.events {
                all.extend(EscrowEvent::read(&event.keys, &event.data)?);
            }
            token = page.continuation_token;
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    /// What the contract credited so far.
    pub(crate) async fn credited(&self) -> Result<Credits> {
        let mut credits = Credits::new();
        for event in self.events().await? {
            if let EscrowEvent::PaymentReleased { job_id, worker, amount, fee } = event {
                credits.entry(job_id).or_default().push((worker, amount, fee));
            }
        }
        Ok(credits)
    }

    /// The payouts of each result.
    pub(crate) async fn completed(&self) -> Result<BTreeMap<Felt, Vec<Payout>>> {
        let completed = |event| match event {
            EscrowEvent::JobCompleted { job_id, payouts, .. } => Some((job_id, payouts)),
            _ => None,
        };
        Ok(self.events().await?.into_iter().filter_map(completed).collect())
    }

    /// Everybody has what the settled jobs say, nobody anything twice, and the contract what it owes.
    pub(crate) async fn assert_right(&self) -> Result<()> {
        let credits = self.credited().await?;
        let (mut sums, mut locked, mut released) = ([0; 3], 0, 0);
        let unsettled = self.lost.iter().map(|deposit| (None, deposit));
        for (id, deposit) in self.jobs.iter().map(|(id, deposit)| (Some(*id), deposit)).chain(unsettled) {
            let found = credits.get(&escrow_of(deposit)?).map_or(&[][..], Vec::as_slice);
            ensure!(found.len() <= 1, "{} was paid {} times: {found:?}", deposit.salt, found.len());
            released += found.len();
            let credit = found.first().copied();
            let told = match id {
                Some(id) => self.told(id, credit).await?,
                None => None,
            };
            // What came after the job had ended, or whose job is not known, is what the chain says of it.
            let parts = match (told, credit) {
                (Some(parts), _) => parts,
                (None, Some((_, paid, fee))) => [MOST - paid - fee, paid, fee],
                (None, None) => match self.on_chain([deposit].into_iter()).await?[0] {
                    JobState::None => [0; 3],
                    JobState::Open | JobState::Assigned | JobState::Submitted => {
                        locked += MOST;
                        [0; 3]
                    }
                    _ => [MOST, 0, 0],
                },
            };
            parts.into_iter().zip(&mut sums).for_each(|(part, sum)| *sum += part);
        }
        ensure!(credits.len() == released, "as many escrows were paid as jobs");
        let found = self.stage.credits().await;
        ensure!(found == sums, "credited {found:?}, and the jobs say {sums:?}");
        let owed = self.stage.world.ask(self.stage.escrow, GetTotals {}).await;
        let wanted = Totals { locked, credited: sums.iter().sum(), bonded: 0 };
        ensure!(owed == wanted, "the contract owes {owed:?}, not {wanted:?}");
        let has = self.stage.balance(self.stage.escrow).await?;
        ensure!(has == locked + wanted.credited, "the contract has {has} of {wanted:?}");
        Ok(())
    }

    /// How a job was shared out between client, provider and treasury; `None` where it had ended without its
    /// deposit. It is what the contract credited.
    async fn told(&self, id: JobId, credit: Option<Credit>) -> Result<Option<[u128; 3]>> {
        let job = self.stage.client.job_get(id).await?;
        let of = job.settlement.with_context(|| format!("{id} is paid for"))?;
        let (locked, held) = (fri(&of.escrowed)?, fri(&of.held)?);
        let (paid, fee, back) = (fri(&of.paid)?, fri(&of.fee)?, fri(&of.refunded)?);
        ensure!(of.state == "settled" && locked == paid + fee + back && held == 0, "{id}: {of:?}");
        if locked == 0 {
            ensure!(credit.is_none(), "{id}: {credit:?} is not known");
            return Ok(None);
        }
        match credit {
            Some(credit) => {
                ensure!(credit == (self.stage.accounts()[1], paid, fee), "{id}: {credit:?}, not {of:?}")
            }
            None => ensure!(paid + fee == 0, "{id} was not paid on the chain: {of:?}"),
        }
        Ok(Some([back, paid, fee]))
    }

    /// The events alone say the same: as many escrows were released as there are jobs that paid.
    pub(crate) async fn audit(&self) -> Result<u64> {
        let bounds = audit::Bounds { escrows: 10_000, accounts: 10_000 };
        let audited = audit::audit(&self.stage.world.pool, self.stage.escrow, (0, bounds), |_| {}).await?;
        let released = audited.audit.states().get(&ChainState::Released).copied().unwrap_or_default();
        let (findings, _) = audited.audit.end(&audited.totals, audited.balance);
        ensure!(findings.is_empty(), "{findings:?}");
        ensure!(released == self.credited().await?.len() as u64, "{released} were released");
        Ok(released)
    }
}
