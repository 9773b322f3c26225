//! `ciro-light-worker URL JOIN_TOKEN NAME SLOTS [LABEL=VALUE…]`: a light worker as a process of its
//! own, so that a test can stop it where it is. Each change of its tally is a line of its output.

use anyhow::{Context, Result};
use ciro_testkit::{LightOptions, LightWorker, Tally};
use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often it looks whether the tally changed.
const LOOK: Duration = Duration::from_millis(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next =
        |what: &'static str| arguments.next().with_context(|| format!("the argument {what} is missing"));
    let (url, token, name) = (next("URL")?, next("JOIN_TOKEN")?, next("NAME")?);
    let slots = next("SLOTS")?.parse().context("SLOTS is a number")?;
    let labels = arguments.map(|label| {
        let (key, value) = label.split_once('=').context("a label is KEY=VALUE")?;
        Ok((key.to_owned(), value.to_owned()))
    });
    let options =
        LightOptions { name, slots, labels: labels.collect::<Result<_>>()?, ..LightOptions::default() };
    let worker = LightWorker::start(&url, &token, options)?;
    let mut said = String::new();
    loop {
        let line = describe(&worker.tally);
        if line != said {
            writeln!(std::io::stdout(), "{line}")?;
            said = line;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn describe(tally: &Tally) -> String {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (leases, accepted) = (count(&tally.leases), count(&tally.accepted));
    format!("leases={leases} accepted={accepted} lease_lost={}", count(&tally.lease_lost))
}
