//! `ciro stats`: figures of the server over time, as lines that fit a terminal.

use crate::again::again;
use crate::cli::Context;
use crate::clock;
use crate::error::Failure;
use crate::table;
use crate::units;
use ciro_api::series::{Series, SeriesKind, TimeSeriesAnswer, TimeSeriesQuery};
use clap::Subcommand;

/// Heights of a line's points, the lowest first.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Figures of the server over time.
#[derive(Debug, Subcommand)]
pub enum StatsCommand {
    /// Show a metric of the last day as a line, or name those that there are
    #[command(after_help = "Examples:\n  ciro stats timeseries\n  \
        ciro stats timeseries ciro_queue_ready_tasks\n  \
        ciro stats timeseries ciro_writer_commit_seconds --window 24h\n  \
        ciro stats timeseries ciro_jobs_accepted --window 10m --step 10s -o json")]
    Timeseries(TimeSeriesArgs),
}

/// Which figures, and how far back.
#[derive(Debug, clap::Args)]
pub struct TimeSeriesArgs {
    /// The metric, or one of its series; without it all are named
    pub metric: Option<String>,
    /// How far back, at most 24h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = units::duration_ms)]
    pub window: u64,
    /// Time between two values; without it there are about sixty
    #[arg(long, value_name = "TIME", value_parser = units::duration_ms)]
    pub step: Option<u64>,
}

pub(crate) async fn run(command: StatsCommand, context: &Context) -> Result<(), Failure> {
    let StatsCommand::Timeseries(args) = command;
    let query = TimeSeriesQuery { metric: args.metric, window_ms: Some(args.window), step_ms: args.step };
    let answer = again(async || context.client.time_series(&query).await).await?;
    let named = query.metric.is_none();
    let id = answer.series.iter().map(|series| series.name.clone()).collect::<Vec<_>>().join("\n");
    context.out.one(&answer, &id, || if named { names(&answer) } else { lines(&answer) })
}

fn names(answer: &TimeSeriesAnswer) -> String {
    let rows = answer.series.iter().map(|series| [series.name.clone(), series.help.clone()]);
    format!("{}\n\n{}", table::table(["series", "what it is"], rows), since(answer))
}

fn lines(answer: &TimeSeriesAnswer) -> String {
    let rows = answer.series.iter().map(|series| {
        let known: Vec<f64> = series.values.iter().flatten().copied().collect();
        let shown = |number: Option<f64>| number.map_or_else(|| "–".to_owned(), |n| counted(series, n));
        [
            series.name.clone(),
            shown(known.iter().copied().reduce(f64::min)),
            shown(known.iter().copied().reduce(f64::max)),
            shown(series.values.last().copied().flatten()),
            line(&series.values),
        ]
    });
    let rows = table::table(["series", "least", "most", "last", "line"], rows);
    let help = answer.series.first().map_or("", |series| series.help.as_str());
    format!("{help}; a value each {}\n\n{rows}\n\n{}", table::span(answer.step_ms), since(answer))
}

fn since(answer: &TimeSeriesAnswer) -> String {
    format!("The server began to remember {}.", table::ago(answer.since, clock::now()))
}

/// A number in the unit that the name ends in.
fn counted(series: &Series, number: f64) -> String {
    let name = series.name.split(['{', ':']).next().unwrap_or_default();
    let shown = match name.rsplit('_').next() {
        Some("bytes") => table::size(number.max(0.0) as u64),
        Some("seconds") if series.kind == SeriesKind::Value && number < 1.0 => {
            format!("{:.1} ms", number * 1_000.0)
        }
        Some("seconds") if series.kind == SeriesKind::Value => {
            table::span((number.max(0.0) * 1_000.0) as u64)
        }
        _ if number.fract() == 0.0 => format!("{number}"),
        _ => format!("{number:.2}"),
    };
    if series.kind == SeriesKind::Rate { format!("{shown}/s") } else { shown }
}

/// Each value as a bar between 0 and the largest; a blank where nothing was known.
fn line(values: &[Option<f64>]) -> String {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let height = |value: f64| {
        let share = if most > 0.0 { value.max(0.0) / most } else { 0.0 };
        HEIGHTS[((share * 7.0).round() as usize).min(7)]
    };
    let line: String = values.iter().map(|value| value.map_or(' ', height)).collect();
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, kind: SeriesKind) -> Series {
        Series { name: name.to_owned(), kind, help: String::new(), values: Vec::new() }
    }

    #[test]
    fn a_line_has_a_point_for_each_value_and_numbers_have_their_unit() {
        assert_eq!(line(&[Some(0.0), None, Some(7.0), Some(14.0)]), "▁ ▅█");
        assert_eq!(line(&[Some(0.0), Some(0.0), None]), "▁▁");
        let of = |name: &str, kind, number| counted(&series(name, kind), number);
        assert_eq!(of("ciro_database_bytes", SeriesKind::Value, 2_048.0), "2.0 KiB");
        assert_eq!(of("ciro_writer_commit_seconds:p99", SeriesKind::Value, 0.002_5), "2.5 ms");
        assert_eq!(of("ciro_lease_seconds", SeriesKind::Value, 61.0), "1 min 1 s");
        assert_eq!(of("ciro_jobs_ended{state=\"failed\"}", SeriesKind::Rate, 1.5), "1.50/s");
        assert_eq!(of("ciro_jobs{state=\"failed\"}", SeriesKind::Value, 3.0), "3");
    }
}
