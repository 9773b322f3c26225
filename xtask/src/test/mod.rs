//! `cargo xtask test`: every test there is, part by part, the fast ones first.
//!
//! A part is a name, what it shows, and a function that runs it and counts. All parts run even
//! when one fails; then comes one table and one closing line, `N passed, N failed`. Everything is
//! built once, with the profile that all parts share, and test binaries are started directly, so
//! a part costs what its tests cost.

mod build;
mod cairo;
mod contract;
mod devnet;
mod libtest;
mod network;
mod report;
mod simulation;
mod tour;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{check, contracts, jobs, setup, shell, tidy};
use build::Built;
use report::{Count, Row};

/// Which tests to run, and how thoroughly.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only this part; may be given several times (see --list)
    #[arg(long = "part", value_name = "NAME")]
    parts: Vec<String>,
    /// Print the parts and what each shows, and run nothing
    #[arg(long)]
    list: bool,
    /// Run the loops of the release gate (hundreds of kills) instead of the short ones
    #[arg(long)]
    full: bool,
}

/// How thoroughly the loops run; the tests read it from the variable `CIRO_CYCLES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cycles {
    Short,
    Full,
}

impl Cycles {
    fn name(self) -> &'static str {
        match self {
            Self::Short => "ci",
            Self::Full => "full",
        }
    }
}

type Work = Box<dyn Fn(Option<&Built>, Cycles) -> Result<Count>>;

struct Part {
    name: String,
    shows: String,
    /// Whether it needs the workspace to be built first.
    built: bool,
    work: Work,
}

/// Modules of the testkit's tests that kill, pause and cut the power; they take minutes.
const TROUBLE: [&str; 6] = ["backup::", "crash::", "crew::", "pause::", "postgres::", "power::"];
/// Modules that break the network, the disk, the clock, and the programs at every step.
const FAULTS: [&str; 3] = ["misfortune::", "network::", "points::"];
/// Its tests need a program that may have to be built first, so that the quick parts come before it.
const ON_DEVNET: &str = "ciro-chain";
/// Measures while it loads the machine, so that it runs alone.
const OVERLOAD: &str = "overload::";

/// Needs a program that takes long to build, so the build begins with the first part.
const DEVNET: &str = "devnet";
/// So does this one.
const CUSTOMER: &str = "customer";

/// Runs the chosen parts; says whether everything passed. The closing line is the last one.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let parts = parts()?;
    if args.list {
        for part in &parts {
            println!("{:<16} {}", part.name, part.shows);
        }
        return Ok(true);
    }
    let chosen = choose(parts, &args.parts)?;
    let cycles = if args.full { Cycles::Full } else { Cycles::Short };
    if chosen
        .iter()
        .any(|part| [DEVNET, CUSTOMER, tour::PAYMENTS.part, "it-chain"].contains(&part.name.as_str()))
    {
        crate::devnet::begin()?;
    }
    let rows = run_all(&chosen, cycles);
    println!("\n{}", report::table(&rows));
    let total: Count = rows.iter().map(|row| row.count).sum();
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(total.failed == 0)
}

fn choose(parts: Vec<Part>, names: &[String]) -> Result<Vec<Part>> {
    if let Some(unknown) = names.iter().find(|name| !parts.iter().any(|part| part.name == **name)) {
        let known: Vec<_> = parts.iter().map(|part| part.name.as_str()).collect();
        bail!("there is no part `{unknown}`; the parts are {}", known.join(", "));
    }
    Ok(parts.into_iter().filter(|part| names.is_empty() || names.contains(&part.name)).collect())
}

fn run_all(parts: &[Part], cycles: Cycles) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut built = None;
    for part in parts {
        let built = if part.built { Some(built.get_or_insert_with(|| build_all(&mut rows))) } else { None };
        let row = measure(&part.name, &part.shows, || match built {
            Some(Err(NotBuilt)) => bail!("not run, because the build failed"),
            Some(Ok(built)) => (part.work)(Some(built), cycles),
            None => (part.work)(None, cycles),
        });
        rows.push(row);
    }
    rows
}

/// The build failed; its own row of the table says why.
struct NotBuilt;

fn build_all(rows: &mut Vec<Row>) -> Result<Built, NotBuilt> {
    let mut built = Err(NotBuilt);
    let row = measure("build", "everything, once", || {
        built = Ok(build::everything()?);
        Ok(Count::passed(1))
    });
    rows.push(row);
    built
}

fn measure(name: &str, shows: &str, work: impl FnOnce() -> Result<Count>) -> Row {
    println!("\n=== {name}: {shows}");
    let started = Instant::now();
    let outcome = work().and_then(something_ran);
    Row::new(name, started.elapsed(), outcome)
}

/// A part in which nothing ran shows nothing, so it has failed.
fn something_ran(count: Count) -> Result<Count> {
    if count.passed + count.failed == 0 {
        bail!("no test ran");
    }
    Ok(count)
}

/// All parts in the order in which they run.
fn parts() -> Result<Vec<Part>> {
    let mut parts = vec![
        part("setup", "installs what the tests need", false, |_, _| setup::run().map(Count::passed)),
        part("tidy", "the house rules that the compiler cannot check", false, |_, _| {
            let findings = tidy::inspect()?;
            Ok(Count { passed: findings.held, failed: findings.broken.len() })
        }),
        part("unit", "the tests inside the crates", true, |built, cycles| {
            libtest::run_all(&Built::of(built)?.unit, &[], cycles.name())
        }),
    ];
    let (on_devnet, others): (Vec<_>, Vec<_>) =
        build::packages_with_tests()?.into_iter().partition(|package| package == ON_DEVNET);
    parts.extend(others.into_iter().map(integration));
    parts.push(part("jobs", "the job programs rebuild to the same bytes", false, |_, _| {
        jobs::run(true).map(|()| Count::passed(1))
    }));
    for page in tour::PAGES {
        let shows = format!("the commands of {}, as written", page.path);
        parts
            .push(part(page.part, shows, true, move |built, _| tour::run(&Built::of(built)?.programs, page)));
    }
    if shell::works("cargo", &["clippy", "--version"]) {
        parts.push(part("lint", "clippy, warnings as errors", false, |_, _| {
            check::clippy().map(|()| Count::passed(1))
        }));
    } else {
        println!("note: clippy is not installed, so there is no part `lint`: rustup component add clippy");
    }
    parts.push(part(
        "api",
        "schemathesis: every operation against the OpenAPI document",
        true,
        |built, cycles| contract::run(&Built::of(built)?.programs, cycles == Cycles::Full),
    ));
    parts.push(part("cairo", "the contracts' arithmetic and packing, tested in Cairo", false, |_, _| {
        cairo::run()
    }));
    parts.push(part("contracts", "the contracts rebuild to the same bytes", false, |_, _| {
        contracts::run(true).map(Count::passed)
    }));
    parts.push(part(
        DEVNET,
        "the contracts on a real network, driven by somebody else's client",
        false,
        |_, cycles| devnet::run(cycles == Cycles::Full),
    ));
    parts.push(part(
        CUSTOMER,
        "a customer with somebody else's client pays for jobs of a running network",
        true,
        |built, _| devnet::run_customer(&Built::of(built)?.programs),
    ));
    let page = tour::PAYMENTS;
    let shows = format!("the commands of {}, as written", page.path);
    parts.push(part(page.part, shows, true, move |built, _| {
        crate::devnet::installed()?;
        tour::run(&Built::of(built)?.programs, page)
    }));
    parts.extend(on_devnet.into_iter().map(|package| {
        let Part { name, shows, built, work } = integration(package);
        let work: Work = Box::new(move |built, cycles| {
            crate::devnet::installed()?;
            work(built, cycles)
        });
        Part { name, shows, built, work }
    }));
    parts.push(part(
        "sim",
        "simulated histories under faults keep every promise, and planted bugs are found",
        true,
        |built, cycles| simulation::run(&Built::of(built)?.programs, cycles == Cycles::Full),
    ));
    parts.push(part(
        "overload",
        "ten times too much: refused in order, nothing accepted is lost",
        true,
        |built, cycles| {
            libtest::run_all(&Built::of(built)?.integration("ciro-testkit"), &[OVERLOAD], cycles.name())
        },
    ));
    parts.push(part(
        "crash",
        "kills, pauses, power cuts and restored backups; nothing accepted is lost",
        true,
        |built, cycles| {
            libtest::run_all(&Built::of(built)?.integration("ciro-testkit"), &TROUBLE, cycles.name())
        },
    ));
    parts.push(part(
        "faults",
        "a kill at every crash point, bad networks, disks and clocks; nothing accepted is lost",
        true,
        |built, cycles| {
            libtest::run_all(&Built::of(built)?.integration("ciro-testkit"), &FAULTS, cycles.name())
        },
    ));
    Ok(parts)
}

fn integration(package: String) -> Part {
    let name = format!("it-{}", package.trim_start_matches("ciro-"));
    let shows = format!("{package} through the door its users use");
    let work = move |built: Option<&Built>, cycles: Cycles| {
        let skips: Vec<&str> = if package == "ciro-testkit" {
            TROUBLE.iter().chain(&FAULTS).chain([&OVERLOAD]).flat_map(|module| ["--skip", module]).collect()
        } else {
            Vec::new()
        };
        libtest::run_all(&Built::of(built)?.integration(&package), &skips, cycles.name())
    };
    part(name, shows, true, work)
}

fn part(
    name: impl Into<String>,
    shows: impl Into<String>,
    built: bool,
    work: impl Fn(Option<&Built>, Cycles) -> Result<Count> + 'static,
) -> Part {
    Part { name: name.into(), shows: shows.into(), built, work: Box::new(work) }
}
