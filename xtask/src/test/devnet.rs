//! The contracts on a real network of Starknet: `starknet-devnet` as a process, and a client that
//! others wrote, driven by `contracts/tests/main.py`. What that script prints, a line for each thing
//! that it found to be so, is what was shown; there must be as many as the tests are known to show.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::report::Count;
use crate::{devnet, house, tools};

/// How many lines the script prints that begin with `ok`.
const SHOWN: usize = 56;
/// Random moves on the contract and on its model.
const MOVES: u32 = 250;
/// As many as the release gate asks for.
const MOVES_FULL: u32 = 5_000;

/// Runs the script; it starts the network itself and ends it.
pub(super) fn run(full: bool) -> Result<Count> {
    let program = devnet::installed()?;
    let python = tools::STARKNET_PY.install()?;
    let script = house::root().join("contracts/tests/main.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(program)
        .args(["--moves", &if full { MOVES_FULL } else { MOVES }.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the script that drives the contracts")?;
    let output = child.stdout.take().context("the output of the script is piped")?;
    let mut shown = 0;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        shown += usize::from(line.starts_with("ok "));
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the script that drives the contracts ended with {status}");
    }
    if shown != SHOWN {
        bail!("{shown} things were shown, not {SHOWN}; a test was lost, or one is new and not counted");
    }
    Ok(Count::passed(shown))
}
