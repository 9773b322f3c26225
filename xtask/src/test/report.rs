//! The table at the end of a run.

use std::fmt::Write;
use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

use anyhow::{Error, Result};

/// How many tests went well and how many did not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: usize,
    pub(super) failed: usize,
}

impl Count {
    pub(super) fn passed(passed: usize) -> Self {
        Self { passed, failed: 0 }
    }
}

impl Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

/// One part's line of the table.
#[derive(Debug)]
pub(super) struct Row {
    part: String,
    time: Duration,
    pub(super) count: Count,
    verdict: String,
}

impl Row {
    /// A part that ended with an error counts as one failed test, and says why.
    pub(super) fn new(part: &str, time: Duration, outcome: Result<Count>) -> Self {
        let (count, verdict) = match outcome {
            Ok(count) if count.failed == 0 => (count, "ok".to_owned()),
            Ok(count) => (count, "FAILED".to_owned()),
            Err(error) => (Count { passed: 0, failed: 1 }, failure(&error)),
        };
        Self { part: part.to_owned(), time, count, verdict }
    }
}

fn failure(error: &Error) -> String {
    let whole = format!("{error:#}");
    println!("FAILED: {whole}");
    format!("FAILED: {}", whole.lines().next().unwrap_or_default())
}

/// Part, tests, time, verdict.
pub(super) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.part.len()).chain([4]).max().unwrap_or_default();
    let mut text = format!("{:<width$}  {:>6}  {:>6}  {:>8}  verdict\n", "part", "passed", "failed", "time");
    for Row { part, time, count, verdict } in rows {
        let seconds = time.as_secs_f64();
        let line =
            format!("{part:<width$}  {:>6}  {:>6}  {seconds:>6.1} s  {verdict}", count.passed, count.failed);
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_failed_test_with_its_reason() {
        let rows = [
            Row::new("unit", Duration::from_millis(1_250), Ok(Count::passed(12))),
            Row::new("api", Duration::from_secs(70), Err(anyhow::anyhow!("no test ran"))),
        ];
        let expected = "part  passed  failed      time  verdict\n\
                        unit      12       0     1.2 s  ok\n\
                        api        0       1    70.0 s  FAILED: no test ran\n";
        assert_eq!(table(&rows), expected);
    }
}
