//! Tables, times and sizes as people read them.

use ciro_api::job::Amount;
use ciro_api::time::Time;
use ciro_core::time::Timestamp;
use comfy_table::{CellAlignment, Table, presets};

/// A table without lines, as wide as its content: ids are for copying and never broken.
#[must_use]
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.map(str::to_uppercase));
    table.add_rows(rows);
    finish(table)
}

/// Names and values, one pair a line; empty values are left out.
#[must_use]
pub(crate) fn record<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_rows(
        pairs
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| [name.to_owned(), value]),
    );
    finish(table)
}

fn finish(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        column.set_cell_alignment(CellAlignment::Left);
    }
    table.trim_fmt()
}

/// How long ago, or in how long.
#[must_use]
pub(crate) fn ago(time: Time, now: Timestamp) -> String {
    let past_ms = now.0 - time.0.0;
    match past_ms {
        -999..=999 => "now".into(),
        ms if ms < 0 => format!("in {}", coarse(ms.unsigned_abs())),
        ms => format!("{} ago", coarse(ms.unsigned_abs())),
    }
}

/// The time between two instants.
#[must_use]
pub(crate) fn between(from: Time, to: Time) -> String {
    span(u64::try_from(to.0.0 - from.0.0).unwrap_or(0))
}

/// Milliseconds as people say them.
#[must_use]
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
        _ => coarse(ms),
    }
}

fn coarse(ms: u64) -> String {
    match ms / 1_000 {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3_600 => format!("{} min", s / 60),
        s @ 3_600..172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

/// An amount as people read it and as it is counted: `1.5 STRK (1500000000000000000 FRI)`.
#[must_use]
pub(crate) fn strk(amount: &Amount) -> String {
    match &amount.strk {
        Some(strk) => format!("{strk} STRK ({} FRI)", amount.fri),
        None => format!("{} FRI", amount.fri),
    }
}

/// Bytes as people say them.
#[must_use]
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

/// Thousandths of a core as cores.
#[must_use]
pub(crate) fn cores(millis: u64) -> String {
    if millis.is_multiple_of(1_000) {
        (millis / 1_000).to_string()
    } else {
        format!("{}.{}", millis / 1_000, millis % 1_000 / 100)
    }
}

/// One line of a text that may have many.
#[must_use]
pub(crate) fn brief(text: &str, longest: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= longest {
        return line.to_owned();
    }
    line.chars().take(longest.saturating_sub(1)).chain(['…']).collect()
}

/// `k=v k=v`.
#[must_use]
pub(crate) fn pairs<K: AsRef<str>, V: ToString>(map: impl IntoIterator<Item = (K, V)>) -> String {
    let pairs: Vec<String> =
        map.into_iter().map(|(k, v)| format!("{}={}", k.as_ref(), v.to_string())).collect();
    pairs.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_like_speech() {
        assert_eq!([size(0), size(1023), size(1536), size(5 << 30)], ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!(
            [span(7), span(4_250), span(61_000), span(7_200_000)],
            ["7 ms", "4.2 s", "1 min 1 s", "2 h"]
        );
        assert_eq!([cores(2_000), cores(666)], ["2", "0.6"]);
        let now = Timestamp(1_000_000_000);
        assert_eq!(ago(Time(Timestamp(now.0 - 61_000)), now), "1 min ago");
        assert_eq!(ago(Time(Timestamp(now.0 + 3 * 86_400_000)), now), "in 3 d");
        assert_eq!(brief("one two\nthree", 5), "one …");
    }

    #[test]
    fn tables_have_no_lines_and_no_trailing_blanks() {
        let text =
            table(["id", "state"], [["job_1".into(), "queued".into()], ["job_22".into(), "ok".into()]]);
        assert_eq!(text, "ID      STATE\njob_1   queued\njob_22  ok");
        assert_eq!(
            record([("a", "1".into()), ("empty", String::new()), ("longer", "2".into())]),
            "a       1\nlonger  2"
        );
    }
}
