//! Runs test binaries and reads their verdicts. Output is shown as it comes; the counts are taken
//! from the harness's own closing lines, so a binary that dies without one has failed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::build::TestBinary;
use super::report::Count;

/// The longest that one binary may take; a test that waits for ever must not hold up the rest.
const LIMIT: Duration = Duration::from_secs(45 * 60);
/// The same for the long loops.
const LIMIT_FULL: Duration = Duration::from_secs(6 * 60 * 60);

/// Runs each binary with the same arguments, all of them even when one fails.
pub(super) fn run_all(binaries: &[TestBinary], args: &[&str], cycles: &str) -> Result<Count> {
    let limit = if cycles == "full" { LIMIT_FULL } else { LIMIT };
    let mut total = Count::default();
    for binary in binaries {
        let mut command = Command::new(&binary.program);
        command.args(args).current_dir(&binary.folder).env("CIRO_CYCLES", cycles);
        println!("--- {} {}", binary.package, args.join(" "));
        total = total + run(&mut command, limit)?;
    }
    Ok(total)
}

fn run(command: &mut Command, limit: Duration) -> Result<Count> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start a test binary")?;
    let stdout = child.stdout.take().context("the output of a test binary is piped")?;
    let (sender, lines) = sync_channel(64);
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    let (mut count, in_time) = follow(&lines, Instant::now() + limit);
    if !in_time {
        println!("FAILED: still running after {} minutes; killed", limit.as_secs() / 60);
        child.kill().context("cannot kill a test binary")?;
    }
    let status = child.wait()?;
    if !status.success() && count.failed == 0 {
        println!("FAILED: the test binary ended with {status} and no verdict");
        count.failed = 1;
    }
    Ok(count)
}

/// Shows the lines and adds up the verdicts until the output ends (true) or time is up (false).
fn follow(lines: &Receiver<String>, deadline: Instant) -> (Count, bool) {
    let mut count = Count::default();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                println!("{line}");
                count = count + verdict(&line).unwrap_or_default();
            }
            Err(RecvTimeoutError::Disconnected) => return (count, true),
            Err(RecvTimeoutError::Timeout) => return (count, false),
        }
    }
}

/// Reads `test result: ok. 5 passed; 0 failed; 0 ignored; …`. A test that was left out counts as
/// failed: it shows nothing.
fn verdict(line: &str) -> Option<Count> {
    let numbers = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut count = Count::default();
    for item in numbers.split("; ") {
        let Some((number, what)) = item.split_once(' ') else {
            continue;
        };
        match what {
            "passed" => count.passed = number.parse().ok()?,
            "failed" | "ignored" => count.failed += number.parse::<usize>().ok()?,
            _ => {}
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Count {
        run(Command::new("sh").args(["-c", script]), limit).expect("sh starts")
    }

    const LONG_ENOUGH: Duration = Duration::from_secs(60);

    #[test]
    fn verdicts_are_added_up() {
        let script = "echo 'test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.00s'
                      echo 'test result: FAILED. 1 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out'; exit 101";
        assert_eq!(shell(script, LONG_ENOUGH), Count { passed: 6, failed: 3 });
    }

    #[test]
    fn a_binary_that_dies_without_a_verdict_has_failed() {
        assert_eq!(shell("echo running 3 tests; kill -9 $$", LONG_ENOUGH), Count { passed: 0, failed: 1 });
    }

    #[test]
    fn a_binary_that_never_ends_is_killed() {
        assert_eq!(shell("exec sleep 600", Duration::from_millis(50)), Count { passed: 0, failed: 1 });
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(verdict("test crash::kill ... ok"), None);
    }
}
