//! `ciro limits`: every bound of the server, with a bar for those that fill.

use crate::again::again;
use crate::cli::Context;
use crate::error::Failure;
use crate::output::{self, Format};
use crate::table;
use ciro_api::limit::{Limit, Limits, Unit};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Characters of a bar.
const BAR: u64 = 20;
/// Between two looks of `--watch`.
const EVERY: Duration = Duration::from_secs(2);

/// Which bounds, and for how long.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ciro limits\n  ciro limits --watch\n  \
    ciro limits -o json | jq '.items[] | select(.level and .cap and .level > 0.8 * .cap)'")]
pub struct LimitsArgs {
    /// Those of each single thing (bytes of an artifact, rows of a page) too
    #[arg(long)]
    pub all: bool,
    /// Look again every two seconds until interrupted
    #[arg(long)]
    pub watch: bool,
}

pub(crate) async fn run(args: &LimitsArgs, context: &Context) -> Result<(), Failure> {
    loop {
        let limits = again(async || context.client.limits().await).await?;
        show(&limits, args, context)?;
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn show(limits: &Limits, args: &LimitsArgs, context: &Context) -> Result<(), Failure> {
    if args.watch && context.out.format == Format::Table && io::stdout().is_terminal() {
        // Home, and everything below it away.
        output::text("\x1b[H\x1b[J")?;
    }
    context.out.many(&limits.items, |limit| limit.name.clone(), |items| rows(items, args.all))
}

fn rows(items: &[Limit], all: bool) -> String {
    let shown = items.iter().filter(|limit| all || limit.level.is_some());
    let rows = shown.map(|limit| {
        let of = limit.of_each.as_ref().map(|what| format!(" of each {what}")).unwrap_or_default();
        let code = limit.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        [
            format!("{}{of}", limit.name),
            limit.level.map_or_else(|| "–".to_owned(), |level| counted(level, limit.unit)),
            limit.cap.map_or_else(|| "none".to_owned(), |cap| counted(cap, limit.unit)),
            limit.level.zip(limit.cap).map_or_else(String::new, |(level, cap)| bar(level, cap)),
            format!("{}{code}", limit.beyond),
        ]
    });
    table::table(["bound", "level", "cap", "taken", "beyond"], rows)
}

fn counted(n: u64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => table::size(n),
        Unit::Ms => table::span(n),
        _ => n.to_string(),
    }
}

/// `████░░░░░░░░░░░░░░░░  20 %`.
fn bar(level: u64, cap: u64) -> String {
    let share = u128::from(level) * 100 / u128::from(cap.max(1));
    let filled = usize::try_from(share.min(100) * u128::from(BAR) / 100).unwrap_or_default();
    let empty = BAR as usize - filled;
    format!("{}{} {share:>3} %", "█".repeat(filled), "░".repeat(empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_the_share_and_never_breaks() {
        assert_eq!(bar(5, 20), "█████░░░░░░░░░░░░░░░  25 %");
        assert_eq!(bar(0, 0), format!("{}   0 %", "░".repeat(20)));
        assert_eq!(bar(300, 100), format!("{} 300 %", "█".repeat(20)));
        assert_eq!(bar(u64::MAX, u64::MAX), format!("{} 100 %", "█".repeat(20)));
    }
}
