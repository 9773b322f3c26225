//! `ciro worker selftest`: whether this machine computes what it must (`golden`), or, with
//! `--escape`, what a worker's sandbox on it stops, as a table, with what it costs.

use super::golden;
use super::machine::MachineArgs;
use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::table;
use ciro_worker::selftest::{self, Figures, Overhead, Report, Verdict};

/// What to try.
#[derive(Debug, clap::Args)]
pub struct SelftestArgs {
    /// Try to get out of the sandbox instead, in every way of the corpus
    #[arg(long)]
    pub escape: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

pub(super) async fn run(args: &SelftestArgs, out: Output) -> Result<(), Failure> {
    if args.escape { escape(out).await } else { golden::run(&args.machine.state_dir, out).await }
}

async fn escape(out: Output) -> Result<(), Failure> {
    out.remark("trying the sandbox; this takes about a minute");
    let report = selftest::escape().await.map_err(|error| Failure::io("cannot try the sandbox", &error))?;
    out.one(&report, &report.failures().to_string(), || table(&report))?;
    if report.failures() > 0 {
        return Err(Failure::new(Exit::Failure, format!("{} tries were not contained", report.failures()))
            .hint("run no strangers' work on this machine until it is clear why"));
    }
    match report.figures.neighbour {
        Some(neighbour) if !neighbour.undisturbed => {
            Err(Failure::new(Exit::Failure, "bombs disturb an attempt beside them")
                .hint("offer fewer cores than there are: `ciro worker start --cpu-millis N`"))
        }
        _ => Ok(()),
    }
}

fn table(report: &Report) -> String {
    let rows = report.rows.iter().map(|row| {
        let verdict = match row.verdict {
            Verdict::Contained => "contained",
            Verdict::Late => "LATE",
            Verdict::Escaped => "ESCAPED",
            Verdict::Untried => "UNTRIED",
        };
        [
            row.probe.clone(),
            row.runtime.to_owned(),
            row.tries.clone(),
            verdict.to_owned(),
            shown(&row.how),
            format!("{} ms", row.wall_ms),
        ]
    });
    let count = |runtime: &str, kind: &str| {
        report.rows.iter().filter(|row| row.runtime == runtime && row.kind == kind).count()
    };
    let mut text = table::table(["probe", "runtime", "what it tries", "verdict", "how", "time"], rows);
    text.push_str(&format!(
        "\n\n{} native probes, {} native bombs, {} wasm probes, {} wasm bombs; {} not contained\n",
        count("native", "probe"),
        count("native", "bomb"),
        count("wasm", "probe"),
        count("wasm", "bomb"),
        report.failures()
    ));
    if let Some(reason) = &report.native_refused {
        text.push_str(&format!("native programs are refused here and were not tried: {reason}\n"));
    }
    text.push_str(&figures(&report.figures));
    text
}

/// The table has room for so much; `-o json` has it all.
fn shown(how: &str) -> String {
    const MOST: usize = 72;
    match how.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &how[..end]),
        None => how.to_owned(),
    }
}

fn figures(figures: &Figures) -> String {
    let ms = |us: u64| format!("{:.1} ms", us as f64 / 1_000.0);
    let both = |time: Overhead| format!("median {}, p99 {}", ms(time.p50_us), ms(time.p99_us));
    let mut text = format!("an attempt that does nothing, wasm (compiled before): {}\n", both(figures.wasm));
    if let Some(native) = figures.native {
        text.push_str(&format!("an attempt that does nothing, native: {}\n", both(native)));
    }
    if let Some(neighbour) = figures.neighbour {
        text.push_str(&format!(
            "a native neighbour alone: {}; beside bombs: {}; p99 times {:.2}, {}\n",
            both(neighbour.alone),
            both(neighbour.beside_bombs),
            neighbour.p99_ratio,
            if neighbour.undisturbed { "undisturbed" } else { "DISTURBED" }
        ));
    }
    text
}
