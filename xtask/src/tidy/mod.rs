//! `cargo xtask tidy`: the house rules that the compiler cannot check.
//!
//! Each rule is a function from the repository to the places where it is broken; none of them
//! changes anything. The lists of licences and of permitted duplicates stand in `deny.toml`,
//! so that cargo-deny, where it is installed, judges by the same ones.

mod deny;
mod imports;
mod layout;
mod licences;
mod links;
mod mutants;
mod sql;
mod versions;
mod words;

use std::fmt;

use anyhow::{Result, bail};

use crate::house::{House, TextFile};
use crate::shell;

/// One broken rule: where, what is wrong, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    place: String,
    what: String,
    advice: String,
}

impl Violation {
    fn new(place: impl Into<String>, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), advice: advice.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n      do: {}", self.place, self.what, self.advice)
    }
}

/// What the rules look at.
#[derive(Debug)]
struct Evidence {
    house: House,
    files: Vec<TextFile>,
    deny: deny::Deny,
}

type Rule = fn(&Evidence) -> Result<Vec<Violation>>;

const RULES: [(&str, Rule); 11] = [
    ("imports: who may import whom", |e| Ok(imports::check(&imports::edges(&e.house)))),
    ("mutants: planted bugs are in nothing that is shipped", |e| {
        Ok(mutants::check(&mutants::switches(&e.house)))
    }),
    ("purity: the domain has no clock and no chance", |e| Ok(imports::purity(&e.files))),
    ("sql: only the store speaks it", |e| Ok(sql::check(&e.files))),
    ("layout: one integration-test binary a crate", |e| Ok(layout::check(&layout::tests_of(&e.house)))),
    ("words: headers, sizes, unfinished work", |e| Ok(words::check(&e.files))),
    ("links: documents point at what exists", |e| Ok(links::check(&e.files, &e.house.root))),
    ("licences: every dependency's is on the list", |e| Ok(licences::check(&e.house, &e.deny))),
    ("sources: everything comes from the default registry", |e| Ok(versions::sources(&e.house))),
    ("duplicates: no second version without a reason", |e| {
        Ok(versions::duplicates(&versions::of(&e.house), &e.deny))
    }),
    ("format: rustfmt has nothing to change", |e| format(&e.house)),
];

/// What a run found: the number of rules that held and the rules that did not.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) held: usize,
    pub(crate) broken: Vec<(&'static str, Vec<Violation>)>,
}

/// Runs every rule and prints what it found.
pub(crate) fn inspect() -> Result<Findings> {
    let house = House::load()?;
    let files = house.files()?;
    let deny = deny::Deny::read(&house.root)?;
    let evidence = Evidence { house, files, deny };
    let mut findings = Findings::default();
    for (name, rule) in RULES {
        let violations = rule(&evidence)?;
        println!("{} {name}", if violations.is_empty() { "ok    " } else { "BROKEN" });
        for violation in &violations {
            println!("    - {violation}");
        }
        if violations.is_empty() {
            findings.held += 1;
        } else {
            findings.broken.push((name, violations));
        }
    }
    Ok(findings)
}

pub(crate) fn run() -> Result<()> {
    let findings = inspect()?;
    cargo_deny()?;
    if !findings.broken.is_empty() {
        let count: usize = findings.broken.iter().map(|(_, violations)| violations.len()).sum();
        bail!("house rules broken: {}; places: {count} (listed above)", findings.broken.len());
    }
    Ok(())
}

fn format(house: &House) -> Result<Vec<Violation>> {
    if !shell::works("cargo", &["fmt", "--version"]) {
        println!("note: rustfmt is not installed, so the format was not looked at");
        return Ok(Vec::new());
    }
    let output =
        shell::cargo().args(["fmt", "--all", "--", "--check", "-l"]).current_dir(&house.root).output()?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let mut violations: Vec<_> = listed
        .lines()
        .filter(|line| line.ends_with(".rs"))
        .map(|line| {
            let place = line.strip_prefix(&format!("{}/", house.root.display())).unwrap_or(line);
            Violation::new(place, "is not formatted", "run `cargo fmt --all`")
        })
        .collect();
    if violations.is_empty() && !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        violations.push(Violation::new("cargo fmt", said, "make the sources parse"));
    }
    Ok(violations)
}

fn cargo_deny() -> Result<()> {
    if shell::which("cargo-deny").is_none() {
        println!("note: cargo-deny is not installed; its lists were checked by the rules above");
        return Ok(());
    }
    shell::run(shell::cargo().args(["deny", "check", "bans", "licenses", "sources"]))
}
