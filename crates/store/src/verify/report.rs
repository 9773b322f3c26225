//! What a check found: one line for each number of the catalogue.

use super::jobs::Rows;
use ciro_core::invariant::Violation;
use serde::Serialize;
use std::collections::BTreeMap;

/// Examples that a line of the report shows; the rest is counted.
const MAX_EXAMPLES: usize = 20;

/// The catalogue: number, what it says, and whether this check covers it.
const CATALOGUE: [(&str, &str, bool); 31] = [
    ("I1", "every acknowledged submit is stored", true),
    ("I2", "one idempotency key made one thing", true),
    ("I3", "a key that was used for another request changed nothing", true),
    ("I4", "events are dense and explain the rows", true),
    ("I5", "one live attempt per slot", true),
    ("I6", "fences only grow", true),
    ("I7", "attempts stay within their limits and inside their job's life", true),
    ("I8", "an attempt that ended stays ended", true),
    ("I9", "one accepted result per completed task", true),
    ("I10", "an accepted result is what was signed", true),
    ("I11", "a repeated result changed nothing", true),
    ("I12", "one settlement per job, one credit per provider", true),
    ("I13", "escrow is paid, taken as fee, refunded or held", true),
    ("I14", "debits equal credits", true),
    ("I15", "the contract holds what is owed", true),
    ("I16", "only verified results are paid", true),
    ("I17", "one nonce, one list of calls", true),
    ("I18", "signed before sent", true),
    ("I19", "one outbox row per change", false),
    ("I20", "readers' cursors never pass what was not delivered", false),
    ("I21", "a message has its effect once", false),
    ("I22", "one leader per term", false),
    ("I23", "terms never fall", false),
    ("I24", "the database is intact", true),
    ("I25", "the audit chain verifies", true),
    ("I26", "a restore brings nothing of the lost time back", true),
    ("I27", "tables stay within their bounds", true),
    ("I28", "no job is past its deadline", true),
    ("I29", "no secrets in outputs", false),
    ("I30", "tenants do not see each other", false),
    ("I31", "blocks are connected", true),
];

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file, or the server's address.
    pub path: String,
    /// Whether nothing was found.
    pub clean: bool,
    /// Whether a coordinator was using it.
    pub running: bool,
    /// Rows that were looked at.
    pub rows: Counted,
    /// One line for each number of the catalogue.
    pub invariants: Vec<Finding>,
}

/// Rows that were looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Jobs.
    pub jobs: u64,
    /// Jobs in the archive.
    pub archived: u64,
    /// Tasks.
    pub tasks: u64,
    /// Attempts.
    pub attempts: u64,
    /// Events.
    pub events: u64,
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Number in the catalogue.
    pub id: &'static str,
    /// What must hold.
    pub says: &'static str,
    /// Whether it does.
    pub status: Status,
    /// How many things were held against it.
    pub checked: u64,
    /// How many of them were wrong.
    pub violations: u64,
    /// Some of those.
    pub examples: Vec<String>,
}

/// Whether an invariant holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Status {
    /// It holds for everything that was checked.
    #[serde(rename = "ok")]
    Ok,
    /// It does not.
    #[serde(rename = "violated")]
    Violated,
    /// It is about parts that this database does not have.
    #[serde(rename = "n/a")]
    NotApplicable,
}

/// Findings as they come in.
#[derive(Debug, Default)]
pub(super) struct Findings {
    lines: BTreeMap<&'static str, Line>,
}

#[derive(Debug, Default)]
struct Line {
    checked: u64,
    violations: u64,
    examples: Vec<String>,
}

impl Findings {
    /// `n` more things were held against an invariant.
    pub(super) fn checked(&mut self, id: &'static str, n: u64) {
        self.lines.entry(id).or_default().checked += n;
    }

    /// One of them was wrong.
    pub(super) fn violated(&mut self, id: &'static str, what: String) {
        let line = self.lines.entry(id).or_default();
        line.violations += 1;
        if line.examples.len() < MAX_EXAMPLES {
            line.examples.push(what);
        }
    }

    /// Nothing to check is nothing proved.
    pub(super) fn require_rows(&mut self, rows: &Rows) {
        let Counted { jobs, archived, .. } = rows.counted;
        if jobs + archived == 0 {
            self.violated("I1", "rows were required and the database has no job".into());
        }
    }

    pub(super) fn into_report(mut self, path: String, running: bool, rows: Rows) -> Report {
        let invariants: Vec<Finding> = CATALOGUE
            .into_iter()
            .map(|(id, says, covered)| {
                let line = self.lines.remove(id).unwrap_or_default();
                let status = match (covered, line.violations) {
                    (false, _) => Status::NotApplicable,
                    (true, 0) => Status::Ok,
                    (true, _) => Status::Violated,
                };
                Finding {
                    id,
                    says,
                    status,
                    checked: line.checked,
                    violations: line.violations,
                    examples: line.examples,
                }
            })
            .collect();
        let clean = invariants.iter().all(|f| f.status != Status::Violated);
        Report { path, clean, running, rows: rows.counted, invariants }
    }
}

impl Report {
    /// What does not hold, with the examples of each.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let wrong = self.invariants.iter().filter(|finding| finding.violations > 0);
        let examples = |finding: &Finding| finding.examples.join("; ");
        wrong.map(|finding| Violation { invariant: finding.id, what: examples(finding) }).collect()
    }

    /// The line of an invariant.
    #[must_use]
    pub fn finding(&self, id: &str) -> Option<&Finding> {
        self.invariants.iter().find(|f| f.id == id)
    }
}
