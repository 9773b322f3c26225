//! The contracts on a real network of Starknet: `starknet-devnet` as a process, and a client that
//! others wrote, driven by `contracts/tests/lives.py`. What that script prints, a line for each thing
//! that it found to be so, is what was shown.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::report::Count;
use crate::{devnet, house, tools};

/// Runs the script; it starts the network itself and ends it.
pub(super) fn run() -> Result<Count> {
    let program = devnet::installed()?;
    let python = tools::STARKNET_PY.install()?;
    let script = house::root().join("contracts/tests/lives.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(program)
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
    Ok(Count::passed(shown))
}
