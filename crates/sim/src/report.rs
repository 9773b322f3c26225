//! What many histories came to, and why one failed. Nothing in it was measured by a clock: the same seeds
//! give the same report everywhere.

use crate::fault::{FaultKind, Hits};
use crate::measure::Measure;
use crate::moves::Moves;
use crate::plan::Plan;
use crate::run::Series;
use crate::world::History;
use ciro_core::invariant::Violation;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The first seed.
    pub first_seed: u64,
    /// Seeds that were run.
    pub seeds: u64,
    /// Commands that changed something.
    pub commands: u64,
    /// Of one seed, on average.
    pub commands_per_seed: u64,
    /// Questions that the writer was asked, signs of life and parked calls among them.
    pub questions: u64,
    /// Jobs that were accepted.
    pub jobs: u64,
    /// Virtual seconds in all.
    pub virtual_seconds: u64,
    /// How often each kind of fault came to bear.
    pub faults: Hits,
    /// The least of one seed, in each respect.
    pub fewest: Measure,
    /// Seeds that had not enough in their first spell and went on.
    pub longer: u64,
    /// States and the commands that lead out of them, of those that the engine's tables have.
    pub moves: Reached,
    /// Follows from everything that happened.
    pub digest: String,
    /// Seeds that failed.
    pub failing_seeds: Vec<u64>,
    /// Why the first of them failed.
    pub failure: Option<Failure>,
    #[serde(skip)]
    made: Moves,
    #[serde(skip)]
    digests: BTreeMap<u64, u64>,
    #[serde(skip)]
    lasted: u64,
}

/// How much of the state machines was seen.
#[derive(Debug, Default, Serialize)]
pub struct Reached {
    /// Moves that commands of this version can make.
    pub legal: usize,
    /// Those that were made.
    pub reached: usize,
    /// Those that were not.
    pub missing: Vec<String>,
}

/// One thing that does not hold.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// Number in the catalogue of invariants, or of the guarantees.
    pub invariant: &'static str,
    /// What, where.
    pub what: String,
}

/// Why a seed failed, made small.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What does not hold.
    pub broken: Vec<Broken>,
    /// What had to happen for it.
    pub items: Vec<String>,
    /// What happened, the last lines of it.
    pub trace: Vec<String>,
    /// The command that shows it again.
    pub replay: String,
}

impl Failure {
    pub(crate) fn new(series: &Series, plan: &Plan, found: Vec<Violation>, trace: Vec<String>) -> Failure {
        let line = |(no, item): (usize, &crate::plan::Item)| {
            format!("{no}: at {}.{:03} s {:?}", item.at / 1_000_000, item.at / 1_000 % 1_000, item.act)
        };
        Failure {
            seed: plan.seed,
            broken: found.into_iter().map(|v| Broken { invariant: v.invariant, what: v.what }).collect(),
            items: plan.kept().map(line).collect(),
            trace,
            replay: replay(series, plan),
        }
    }
}

/// The command line that runs a plan again.
fn replay(series: &Series, plan: &Plan) -> String {
    let all = FaultKind::all().count() == series.kinds.len();
    let names: Vec<&str> = series.kinds.iter().map(|kind| kind.name()).collect();
    let faults = match (all, names.is_empty()) {
        (true, _) => "all".to_owned(),
        (_, true) => "none".to_owned(),
        _ => names.join(","),
    };
    let skipped: Vec<String> = plan.skipped.iter().map(ToString::to_string).collect();
    let skip = if skipped.is_empty() { String::new() } else { format!(" --skip {}", skipped.join(",")) };
    format!("ciro sim --seed {} --seeds 1 --faults {faults}{skip} --trace", plan.seed)
}

impl Report {
    pub(crate) fn add(&mut self, seed: u64, history: &History) {
        let measure = history.measure;
        self.fewest = if self.seeds == 0 { measure } else { self.fewest.least(measure) };
        self.longer += u64::from(history.spells > 1);
        self.seeds += 1;
        self.commands += measure.commands;
        self.questions += history.questions;
        self.jobs += measure.jobs;
        self.lasted += history.lasted;
        self.faults.add(&history.hits);
        self.made.add(&history.moves);
        self.digests.insert(seed, history.digest);
        if !history.violations.is_empty() {
            self.failing_seeds.push(seed);
        }
    }

    pub(crate) fn merged(mut self, other: Report) -> Report {
        if self.seeds == 0 {
            return other;
        }
        if other.seeds > 0 {
            self.fewest = self.fewest.least(other.fewest);
        }
        self.longer += other.longer;
        self.seeds += other.seeds;
        self.commands += other.commands;
        self.questions += other.questions;
        self.jobs += other.jobs;
        self.lasted += other.lasted;
        self.faults.add(&other.faults);
        self.made.add(&other.made);
        self.digests.extend(other.digests);
        self.failing_seeds.extend(other.failing_seeds);
        self
    }

    /// Works out what follows from the sums.
    pub(crate) fn settle(&mut self, series: &Series) {
        self.first_seed = series.first;
        self.commands_per_seed = self.commands / self.seeds.max(1);
        self.virtual_seconds = self.lasted / 1_000_000;
        let missing = self.made.missing();
        self.moves = Reached { legal: Moves::legal(), reached: self.made.reached(), missing };
        let mut hasher = blake3::Hasher::new();
        for (seed, digest) in &self.digests {
            hasher.update(&seed.to_le_bytes()).update(&digest.to_le_bytes());
        }
        self.digest = hasher.finalize().to_hex().to_string();
        self.failing_seeds.sort_unstable();
        self.failure = self.failing_seeds.first().and_then(|seed| series.explain(*seed));
    }

    /// Kinds of `wanted` that never came to bear.
    #[must_use]
    pub fn never_hit(&self, wanted: &BTreeSet<FaultKind>) -> Vec<&'static str> {
        wanted.iter().filter(|kind| self.faults.of(**kind) == 0).map(|kind| kind.name()).collect()
    }

    /// Moves that were made although the tables of this version have no command for them.
    #[must_use]
    pub fn unbuilt_moves(&self) -> usize {
        self.made.unbuilt()
    }
}
