//! The contracts on a real network of Starknet: `starknet-devnet` as a process, and a client that
//! others wrote, driven by `contracts/tests/main.py`; and a running coordinator, driven by a customer with the
//! same client, `contracts/tests/customer.py`. What such a script prints, a line for each thing that it
//! found to be so, is what was shown; there must be as many as the tests are known to show.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::network::Network;
use super::report::Count;
use crate::{devnet, house, tools};

/// How many lines the script prints that begin with `ok`.
const SHOWN: usize = 56;
/// Random moves on the contract and on its model.
const MOVES: u32 = 250;
/// As many as the release gate asks for.
const MOVES_FULL: u32 = 5_000;
/// How many lines a customer's script prints that begin with `ok`.
const SHOWN_TO_CUSTOMER: usize = 6;
/// What its network's worker asks for an hour: 1 mSTRK a second.
const PRICE_FRI: &str = "3600000000000000000";

/// Runs the script; it starts the network itself and ends it.
pub(super) fn run(full: bool) -> Result<Count> {
    let program = devnet::installed()?;
    let mut script = python("main.py")?;
    script.arg(program).args(["--moves", &if full { MOVES_FULL } else { MOVES }.to_string()]);
    show(&mut script, SHOWN)
}

/// Has a customer of a `ciro dev` pay jobs in, dispute one, cancel one, and take out what is its own.
pub(super) fn run_customer(programs: &Path) -> Result<Count> {
    devnet::installed()?;
    let mut script = python("customer.py")?;
    let folder = tempfile::tempdir()?;
    let network = Network::start(programs, folder.path(), 1, &["--price-fri", PRICE_FRI])?;
    script.arg(".ciro-dev").current_dir(folder.path());
    let shown = show(&mut script, SHOWN_TO_CUSTOMER).with_context(|| network.said())?;
    network.stop()?;
    Ok(shown)
}

fn python(script: &str) -> Result<Command> {
    let mut command = Command::new(tools::STARKNET_PY.install()?);
    command.arg(house::root().join("contracts/tests").join(script));
    Ok(command)
}

/// Runs a script, shows what it says, and counts what it found to be so.
fn show(script: &mut Command, expected: usize) -> Result<Count> {
    let mut child = script.stdout(Stdio::piped()).spawn().context("cannot start the script")?;
    let output = child.stdout.take().context("the output of the script is piped")?;
    let mut shown = 0;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        shown += usize::from(line.starts_with("ok "));
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the script ended with {status}");
    }
    if shown != expected {
        bail!("{shown} things were shown, not {expected}; a test was lost, or one is new and not counted");
    }
    Ok(Count::passed(shown))
}
