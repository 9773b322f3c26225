//! Why a job waits: the workers held against what a task requires, one by one, with the very
//! function that placement asks; and one word for what stands in the way.

use super::filter::{Candidate, Mismatch, Rejection, takes};
use crate::amount::Fri;
use crate::job::{Job, JobState};
use crate::resources::Lack;
use crate::spec::{Profile, Requirement};
use std::collections::BTreeMap;

/// What turned a worker away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filter {
    /// Not heard of.
    Offline,
    /// Takes nothing new.
    Draining,
    /// Was stopped by the operator.
    Suspended,
    /// Does not run the profile.
    Profile,
    /// Its sandbox lacks that layer.
    Layer(String),
    /// Lacks that label, or has it with another value.
    Label(String),
    /// Asks for more than the job pays.
    Price,
    /// Named no address of the chain, which the job is paid on.
    Payout,
    /// Takes paid jobs only, and nobody pays for this one.
    Unpaid,
    /// Has too few cores.
    Cpu,
    /// Has too little memory.
    Memory,
    /// Has too little disk.
    Disk,
    /// Has too little of that provider-defined resource.
    Custom(String),
    /// Has no such GPUs.
    Gpu,
    /// Could, and the tenant runs as much as it may.
    Quota,
    /// Holds as many of the job's kind as it will; some take none.
    Kind,
    /// Declined or spoiled this task a short while ago.
    Excluded,
    /// Other work holds what the task needs.
    Busy,
    /// Could, and does not ask for work at the moment.
    NotAsking,
}

impl Filter {
    /// The filter behind a rejection.
    #[must_use]
    pub fn of(rejection: &Rejection) -> Filter {
        match rejection {
            Rejection::Offline => Filter::Offline,
            Rejection::Draining => Filter::Draining,
            Rejection::Suspended => Filter::Suspended,
            Rejection::Mismatch(Mismatch::Profile) => Filter::Profile,
            Rejection::Mismatch(Mismatch::Layer { layer }) => Filter::Layer((*layer).to_owned()),
            Rejection::Mismatch(Mismatch::Label { key }) => Filter::Label(key.clone()),
            Rejection::Mismatch(Mismatch::Price { .. }) => Filter::Price,
            Rejection::Mismatch(Mismatch::Payout) => Filter::Payout,
            Rejection::Mismatch(Mismatch::Unpaid) => Filter::Unpaid,
            Rejection::Lacks(lack) => Filter::lack(lack),
            Rejection::Quota => Filter::Quota,
            Rejection::Mismatch(Mismatch::Kind) | Rejection::FullOfKind => Filter::Kind,
            Rejection::Excluded => Filter::Excluded,
            Rejection::Busy(_) => Filter::Busy,
            Rejection::NotAsking => Filter::NotAsking,
        }
    }

    fn lack(lack: &Lack) -> Filter {
        match lack {
            Lack::Cpu { .. } => Filter::Cpu,
            Lack::Memory { .. } => Filter::Memory,
            Lack::Disk { .. } => Filter::Disk,
            Lack::Custom { name, .. } => Filter::Custom(name.clone()),
            Lack::Gpu => Filter::Gpu,
        }
    }

    /// The name outside.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Filter::Offline => "offline",
            Filter::Draining => "draining",
            Filter::Suspended => "suspended",
            Filter::Profile => "profile",
            Filter::Layer(_) => "layer",
            Filter::Label(_) => "label",
            Filter::Price => "price",
            Filter::Payout => "payout",
            Filter::Unpaid => "unpaid",
            Filter::Cpu => "cpu",
            Filter::Memory => "memory",
            Filter::Disk => "disk",
            Filter::Custom(_) => "custom",
            Filter::Gpu => "gpu",
            Filter::Quota => "quota",
            Filter::Kind => "kind",
            Filter::Excluded => "excluded",
            Filter::Busy => "busy",
            Filter::NotAsking => "not_asking",
        }
    }

    /// Which layer, label or provider-defined resource.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        match self {
            Filter::Layer(name) | Filter::Label(name) | Filter::Custom(name) => Some(name),
            _ => None,
        }
    }
}

/// Workers that one filter turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rejected {
    /// How many.
    pub workers: u32,
    /// The best that one of them offers of what is missing: the most cores (thousandths), bytes,
    /// GPUs or units, or the lowest price (FRI an hour). Absent where there is no measure.
    pub best: Option<u128>,
}

/// One thing about a requirement, given up or lowered, all else being as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relaxed {
    /// Another profile.
    Profile(Profile),
    /// Without that label.
    Label(String),
    /// Paying so much an hour of one attempt.
    Price(Fri),
    /// Thousandths of a core.
    Cpu(u64),
    /// Bytes of memory.
    Memory(u64),
    /// Bytes of disk.
    Disk(u64),
    /// So much of a provider-defined resource.
    Custom(String, u64),
    /// Without GPUs.
    Gpu,
}

impl Relaxed {
    /// `requirement` with this one thing changed.
    #[must_use]
    pub fn apply(&self, requirement: &Requirement) -> Requirement {
        let mut relaxed = requirement.clone();
        let resources = &mut relaxed.resources;
        match self {
            Relaxed::Profile(profile) => relaxed.profile = *profile,
            Relaxed::Label(key) => drop(relaxed.constraints.remove(key)),
            Relaxed::Price(price) => relaxed.max_price = Some(*price),
            Relaxed::Cpu(millis) => resources.cpu_millis = *millis,
            Relaxed::Memory(bytes) => resources.memory_bytes = *bytes,
            Relaxed::Disk(bytes) => resources.disk_bytes = *bytes,
            Relaxed::Custom(name, n) => drop(resources.custom.insert(name.clone(), *n)),
            Relaxed::Gpu => resources.gpus.clear(),
        }
        relaxed
    }

    /// Whether it gives up less than `other`, which is about the same thing.
    fn is_milder(&self, other: &Relaxed) -> bool {
        match (self, other) {
            (Relaxed::Price(a), Relaxed::Price(b)) => a < b,
            (Relaxed::Cpu(a), Relaxed::Cpu(b))
            | (Relaxed::Memory(a), Relaxed::Memory(b))
            | (Relaxed::Disk(a), Relaxed::Disk(b))
            | (Relaxed::Custom(_, a), Relaxed::Custom(_, b)) => a > b,
            _ => false,
        }
    }
}

/// Workers held against one requirement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// All that were looked at.
    pub workers: u32,
    /// Those that take a task now.
    pub now: u32,
    /// Those that take one now or will, as soon as they are free, ask, or are no longer excluded.
    pub able: u32,
    /// The others, by the first filter that turned each away; those that will be able included.
    pub rejected: BTreeMap<Filter, Rejected>,
    /// Single changes with which a worker would take a task now, the mildest of each kind.
    pub would_run: BTreeMap<Filter, Relaxed>,
    /// Single changes with which a worker could take one once it is free.
    pub would_fit: BTreeMap<Filter, Relaxed>,
    /// The lowest and the highest price of the able ones, FRI an hour.
    pub price: Option<(Fri, Fri)>,
}

impl Survey {
    /// Holds one more worker against `requirement`.
    pub fn see(&mut self, requirement: &Requirement, worker: &Candidate<'_>) {
        self.workers += 1;
        let rejection = takes(requirement, worker).err();
        if rejection.as_ref().is_none_or(Rejection::passes) {
            self.able += 1;
            let price = worker.capabilities.price;
            let (low, high) = self.price.unwrap_or((price, price));
            self.price = Some((low.min(price), high.max(price)));
        }
        let Some(rejection) = rejection else {
            self.now += 1;
            return;
        };
        let filter = Filter::of(&rejection);
        for relaxed in relaxations(requirement, &rejection, worker) {
            match takes(&relaxed.apply(requirement), worker) {
                Ok(_) => keep_milder(&mut self.would_run, &filter, relaxed),
                Err(later) if later.passes() && !rejection.passes() => {
                    keep_milder(&mut self.would_fit, &filter, relaxed);
                }
                Err(_) => {}
            }
        }
        let offered = offered(&rejection, worker);
        let rejected = self.rejected.entry(filter).or_default();
        rejected.workers += 1;
        rejected.best = match (rejected.best, offered) {
            (Some(best), Some(more)) if matches!(rejection, Rejection::Mismatch(_)) => Some(best.min(more)),
            (Some(best), Some(more)) => Some(best.max(more)),
            (best, more) => best.or(more),
        };
    }

    /// Workers that one filter turned away.
    #[must_use]
    pub fn rejected_by(&self, filter: &Filter) -> u32 {
        self.rejected.get(filter).map_or(0, |rejected| rejected.workers)
    }
}

/// Changes that may satisfy this worker; whether one does is for [`takes`] to say.
fn relaxations(requirement: &Requirement, rejection: &Rejection, worker: &Candidate<'_>) -> Vec<Relaxed> {
    match rejection {
        Rejection::Mismatch(Mismatch::Profile) => {
            // Another runtime is another program.
            let twin = |p: &&Profile| p.layers() == requirement.profile.layers();
            worker.capabilities.profiles.iter().find(twin).map(|p| Relaxed::Profile(*p)).into_iter().collect()
        }
        Rejection::Mismatch(Mismatch::Label { key }) => vec![Relaxed::Label(key.clone())],
        Rejection::Mismatch(Mismatch::Price { asked }) => vec![Relaxed::Price(*asked)],
        Rejection::Lacks(lack) | Rejection::Busy(lack) => {
            let now = shrunk(lack, worker, worker.held);
            let idle = shrunk(lack, worker, &crate::resources::Held::default());
            now.into_iter().chain(idle).collect()
        }
        Rejection::Mismatch(Mismatch::Layer { .. })
        | Rejection::Offline
        | Rejection::Draining
        | Rejection::Suspended
        | Rejection::Mismatch(Mismatch::Kind | Mismatch::Payout | Mismatch::Unpaid)
        | Rejection::Quota
        | Rejection::FullOfKind
        | Rejection::Excluded
        | Rejection::NotAsking => Vec::new(),
    }
}

/// What is lacking, lowered to what is free beside `held`; nothing where that is nothing.
fn shrunk(lack: &Lack, worker: &Candidate<'_>, held: &crate::resources::Held) -> Option<Relaxed> {
    let offer = &worker.capabilities.offer;
    let some = |n: u64| Some(n).filter(|n| *n > 0);
    match lack {
        Lack::Cpu { .. } => some(offer.free_cpu_millis(held)).map(Relaxed::Cpu),
        Lack::Memory { .. } => some(offer.free_memory_bytes(held)).map(Relaxed::Memory),
        Lack::Disk { .. } => Some(Relaxed::Disk(offer.free_disk_bytes(held))),
        Lack::Custom { name, .. } => Some(Relaxed::Custom(name.clone(), offer.free_custom(name, held))),
        Lack::Gpu => Some(Relaxed::Gpu),
    }
}

fn keep_milder(kept: &mut BTreeMap<Filter, Relaxed>, filter: &Filter, relaxed: Relaxed) {
    // What is busy is told by what it lacks: memory, cores.
    let about = match &relaxed {
        Relaxed::Cpu(_) => Filter::Cpu,
        Relaxed::Memory(_) => Filter::Memory,
        Relaxed::Disk(_) => Filter::Disk,
        Relaxed::Custom(name, _) => Filter::Custom(name.clone()),
        Relaxed::Gpu => Filter::Gpu,
        Relaxed::Profile(_) | Relaxed::Label(_) | Relaxed::Price(_) => filter.clone(),
    };
    match kept.get_mut(&about) {
        Some(before) if !relaxed.is_milder(before) => {}
        Some(before) => *before = relaxed,
        None => drop(kept.insert(about, relaxed)),
    }
}

/// What a rejected worker has of what is missing.
fn offered(rejection: &Rejection, worker: &Candidate<'_>) -> Option<u128> {
    match rejection {
        Rejection::Mismatch(Mismatch::Price { asked }) => Some(asked.0),
        Rejection::Lacks(
            Lack::Cpu { free, .. }
            | Lack::Memory { free, .. }
            | Lack::Disk { free, .. }
            | Lack::Custom { free, .. },
        ) => Some(u128::from(*free)),
        Rejection::Lacks(Lack::Gpu) => Some(worker.capabilities.offer.gpus.len() as u128),
        _ => None,
    }
}

/// A job's tasks that have not ended, by what they wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Could be granted now.
    pub ready: u64,
    /// Wait for their time: backoff, or an exclusion to end.
    pub delayed: u64,
    /// Have a live attempt.
    pub live: u64,
    /// Ready tasks of the tenant that come first.
    pub ahead: u64,
}

/// What stands in the way of a job, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing: it has ended.
    Ended,
    /// It is being stopped.
    Stopping,
    /// Somebody or something holds it.
    Held,
    /// It is being cut into tasks.
    Preparing,
    /// Nothing: all that can run does.
    Running,
    /// Its tasks wait for other tasks.
    Blocked,
    /// Its tasks are tried again later.
    Backoff,
    /// The workers that could have declined or spoiled it a short while ago.
    Excluded,
    /// The tenant runs as much as it may.
    Quota,
    /// The workers that could have no room or do not ask at the moment.
    Busy,
    /// There are no workers.
    NoWorkers,
    /// Every worker is offline, draining or suspended.
    WorkersAway,
    /// No worker has or may what it needs.
    NoWorkerFits,
    /// A worker takes it; others come first.
    Behind,
    /// A worker takes it, and it is next.
    Next,
}

impl Reason {
    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Ended => "ended",
            Reason::Stopping => "stopping",
            Reason::Held => "held",
            Reason::Preparing => "preparing",
            Reason::Running => "running",
            Reason::Blocked => "blocked",
            Reason::Backoff => "backoff",
            Reason::Excluded => "excluded",
            Reason::Quota => "quota",
            Reason::Busy => "busy",
            Reason::NoWorkers => "no_workers",
            Reason::WorkersAway => "workers_away",
            Reason::NoWorkerFits => "no_worker_fits",
            Reason::Behind => "behind",
            Reason::Next => "next",
        }
    }
}

/// Says it. `survey` is about the first of the job's tasks that waits.
#[must_use]
pub fn reason(job: &Job, tasks: &Waiting, survey: &Survey) -> Reason {
    match job.state {
        state if state.is_ended() => Reason::Ended,
        _ if job.stop.is_some() => Reason::Stopping,
        _ if !job.holds.is_empty() => Reason::Held,
        JobState::AwaitingFunds => Reason::Held,
        JobState::Preparing => Reason::Preparing,
        _ if tasks.ready > 0 => of_workers(tasks, survey),
        _ if tasks.delayed > 0 && is_excluded(survey) => Reason::Excluded,
        _ if tasks.delayed > 0 => Reason::Backoff,
        _ if tasks.live > 0 => Reason::Running,
        _ => Reason::Blocked,
    }
}

/// Whether exclusions alone keep every able worker away.
fn is_excluded(survey: &Survey) -> bool {
    survey.able > 0 && survey.able == survey.rejected_by(&Filter::Excluded)
}

fn of_workers(tasks: &Waiting, survey: &Survey) -> Reason {
    let away = [Filter::Offline, Filter::Draining, Filter::Suspended];
    let away: u32 = away.iter().map(|filter| survey.rejected_by(filter)).sum();
    match survey {
        Survey { workers: 0, .. } => Reason::NoWorkers,
        Survey { now: 1.., .. } if tasks.ahead > 0 => Reason::Behind,
        Survey { now: 1.., .. } => Reason::Next,
        survey if is_excluded(survey) => Reason::Excluded,
        survey if survey.rejected_by(&Filter::Quota) > 0 => Reason::Quota,
        Survey { able: 1.., .. } => Reason::Busy,
        survey if away == survey.workers => Reason::WorkersAway,
        _ => Reason::NoWorkerFits,
    }
}

#[cfg(test)]
mod tests;
