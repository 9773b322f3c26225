//! Disks that fail now and then, fill up at any point, or may only be read any more, and wall clocks that
//! are set. What the coordinator cannot keep it refuses in words, or it stops; what it acknowledged is
//! there afterwards, on a good disk.

use anyhow::{Context, Result, ensure};
use ciro_api::client::Error;
use ciro_core::job::JobState;
use ciro_testkit::faults::{Clock, SmallDisk, bad_fsync, bad_io};
use ciro_testkit::{
    Coordinator, CoordinatorOptions, Env, Ledger, Load, cycles, say, side_by_side, sleep_job, until, verify,
};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);
/// How long a bad disk is borne with before it is good again.
const BORNE: Duration = Duration::from_millis(1_500);
/// What the library says of an fsync that fails and is a folder's.
const OF_A_FOLDER: &str = "bad_fsync: of a folder";
/// Acknowledgements after which nobody is going to hear of it any more.
const ENOUGH: u64 = 50;
/// Cases at the same time.
const LANES: usize = 4;
const PACE: Duration = Duration::from_millis(10);
/// How a program ends that does not trust its disk any more.
const SIGABRT: i32 = 6;
const HOUR_MS: i64 = 3_600_000;

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy)]
enum Bad {
    /// The fsync of this number fails, counted from the start of the program.
    Fsync(u32),
    /// So many of a thousand writes and fsyncs fail, drawn from a seed.
    Some { permille: u32, seed: u32 },
    /// Every write is refused.
    ReadOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    /// It stopped.
    Stopped,
    /// It went on, and refused what it could not keep.
    Refused,
    /// Nothing failed that anybody had to hear of.
    Unharmed,
    /// SQLite does not look at whether a folder was synced (`unixSync` of `os_unix.c`), so nobody heard.
    Unheard,
}

/// Runs a coordinator on a bad disk under load, and then on a good one.
async fn on_a_bad_disk(libraries: &[PathBuf; 2], bad: Bad) -> Result<Became> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().canonicalize()?;
    let ledger = Arc::new(Ledger::create(&place.join("ledger"))?);
    let text = |path: &Path| path.to_str().map(str::to_owned).context("the folder's name is text");
    let (data, from) = (place.join("data"), place.join("now"));
    std::fs::create_dir(&data)?;
    let options = CoordinatorOptions::in_folder(&place).database(data.join("coordinator.db"));
    let options = match bad {
        Bad::Fsync(number) => {
            options.variable("LD_PRELOAD", text(&libraries[0])?).variable("FSYNC_FAIL_AT", number.to_string())
        }
        Bad::Some { .. } | Bad::ReadOnly => options
            .variable("LD_PRELOAD", text(&libraries[1])?)
            .variable("IO_FAIL_BELOW", text(&data)?)
            .variable("IO_FAIL_FROM", text(&from)?),
    };
    let options = match bad {
        Bad::Some { permille, seed } => options
            .variable("IO_FAIL_PERMILLE", permille.to_string())
            .variable("IO_FAIL_SEED", seed.to_string()),
        Bad::ReadOnly => options
            .variable("IO_FAIL_PERMILLE", "1000")
            .variable("IO_FAIL_SEED", "1")
            .variable("IO_FAIL_READ_ONLY", "1"),
        Bad::Fsync(_) => options,
    };
    // An early fsync that fails is met by a start, which says so and ends.
    let mut coordinator = match Coordinator::start(options.clone()).await {
        Ok(coordinator) => coordinator,
        Err(error) => {
            ensure!(matches!(bad, Bad::Fsync(_)), "it did not start: {error:#}");
            return after_a_failed_start(&place, options).await;
        }
    };
    let client = coordinator.client()?;
    let first = client.job_submit(&sleep_job(1), None).await;
    if let Ok(created) = &first {
        ledger.acknowledge(&[created.id], None)?;
    }
    File::create(&from)?;
    let load = Load::paced(&client, &ledger, 2, PACE);
    let over = Instant::now() + if matches!(bad, Bad::Fsync(_)) { SOON } else { BORNE };
    let mut ended = None;
    let mut unheard = false;
    while ended.is_none() && !unheard && Instant::now() < over {
        ended = coordinator.has_ended()?;
        unheard = coordinator.process().errors().contains(OF_A_FOLDER) && load.acknowledged() > ENOUGH;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::remove_file(&from)?;
    let became = match ended {
        Some(status) => {
            ensure!(!status.success(), "it calls a broken disk a success");
            Became::Stopped
        }
        None if load.counts.unanswered.load(Ordering::Relaxed) > 0 => Became::Refused,
        None if unheard => Became::Unheard,
        None => Became::Unharmed,
    };
    load.stop().await?;
    if ended.is_none() {
        coordinator.kill()?;
    }
    coordinator.options_mut().variables.clear();
    coordinator.restart().await.context("on a good disk it starts")?;
    let again = coordinator.client()?.job_submit(&sleep_job(1), None).await?;
    ledger.acknowledge(&[again.id], None)?;
    coordinator.stop().await?;
    verify(coordinator.database(), Some(&ledger))?;
    Ok(became)
}

/// Whatever a start left that met a bad disk, the next one makes a database of it.
async fn after_a_failed_start(place: &Path, options: CoordinatorOptions) -> Result<Became> {
    let options = CoordinatorOptions { variables: Vec::new(), ..options };
    let mut coordinator = Coordinator::start(options).await?;
    let ledger = Ledger::create(&place.join("second_ledger"))?;
    let created = coordinator.client()?.job_submit(&sleep_job(1), None).await?;
    ledger.acknowledge(&[created.id], None)?;
    coordinator.stop().await?;
    verify(coordinator.database(), Some(&ledger))?;
    Ok(Became::Stopped)
}

#[test]
fn a_bad_disk_loses_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let libraries = [bad_fsync(folder.path())?, bad_io(folder.path())?];
    let mut cases = vec![Bad::ReadOnly];
    let fsyncs = cycles(8, 200);
    // All of the first 200, or those that make a new file and some of the others.
    cases.extend((1..=fsyncs).map(|n| Bad::Fsync(if n <= 4 { n } else { n * 200 / fsyncs })));
    for permille in [10, 50] {
        cases.extend((0..cycles(2, 20)).map(|seed| Bad::Some { permille, seed }));
    }
    let count = cases.len();
    let work = async |bad| {
        let became = on_a_bad_disk(&libraries, bad).await.with_context(|| format!("{bad:?}"))?;
        ensure!(
            !matches!((bad, became), (Bad::Fsync(_) | Bad::ReadOnly, Became::Unharmed)),
            "{bad:?} harmed nobody"
        );
        Ok(became)
    };
    let became = side_by_side(cases, LANES, work)?;
    let of = |what: Became| became.iter().filter(|became| **became == what).count();
    say(&format!(
        "{count} bad disks: stopped {}, refused {}, unharmed {}, unheard by SQLite {}; nothing lost",
        of(Became::Stopped),
        of(Became::Refused),
        of(Became::Unharmed),
        of(Became::Unheard)
    ));
    Ok(())
}

/// A disk of which `left_kib` are left when the load begins; whether the coordinator stopped.
async fn on_a_full_disk(left_kib: u64) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let disk = SmallDisk::create(folder.path(), 40)?;
    let ledger = Arc::new(Ledger::create(&folder.path().join("ledger"))?);
    let options = CoordinatorOptions::in_folder(folder.path()).database(disk.path().join("coordinator.db"));
    let mut coordinator = Coordinator::start(options).await?;
    let client = coordinator.client()?;
    let ballast = disk.path().join("ballast");
    let free = free_bytes(disk.path())?;
    let mut file = File::create_new(&ballast)?;
    let mut wanted = free.saturating_sub(left_kib << 10);
    let block = vec![b'x'; 64 << 10];
    while wanted > 0 {
        let size = wanted.min(block.len() as u64) as usize;
        file.write_all(&block[..size])?;
        wanted -= size as u64;
    }
    // As long as it is open its room is not free.
    drop(file);
    let refused = until("a submit to be refused", SOON, async || {
        let jobs = ciro_api::job::NewBatch { jobs: vec![sleep_job(1); 20] };
        let sent = client.request(reqwest::Method::POST, "/v1/jobs:batch").json(&jobs).send().await;
        match ciro_api::client::decode::<ciro_api::job::CreatedBatch>(sent).await {
            Ok(created) => {
                let ids: Vec<_> = created.items.iter().map(|job| job.id).collect();
                ledger.acknowledge(&ids, None)?;
                Ok(None)
            }
            Err(error) => Ok(Some(error)),
        }
    });
    clear(&refused.await?)?;
    std::fs::remove_file(&ballast)?;
    let mut stopped = false;
    until("a submit to be accepted again", SOON, async || {
        if let Some(status) = coordinator.has_ended()? {
            let words = coordinator.process().last_words();
            ensure!(status.signal() == Some(SIGABRT), "it ended with {status}:\n{words}");
            stopped = true;
            coordinator.restart().await?;
        }
        match client.job_submit(&sleep_job(1), None).await {
            Ok(created) => ledger.acknowledge(&[created.id], None).map(Some),
            Err(error) if error.is_retryable() => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
    .await
    .with_context(|| coordinator.process().last_words())?;
    coordinator.stop().await?;
    verify(coordinator.database(), Some(&ledger))?;
    Ok(stopped)
}

/// Words that say what is wrong, or the silence of a coordinator that stopped.
fn clear(error: &Error) -> Result<()> {
    let named = matches!(error.status(), Some(503 | 507));
    ensure!(named || matches!(error, Error::Transport(_)), "a full disk is 503 or 507: {error:?}");
    Ok(())
}

/// Bytes that are free where `path` lies.
fn free_bytes(path: &Path) -> Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    Ok(stat.blocks_available() * stat.fragment_size())
}

#[test]
fn a_disk_that_fills_up_anywhere_loses_nothing() -> Result<()> {
    let points = cycles(6, 50);
    let cases: Vec<u64> = (0..points).map(|n| u64::from(n) * 1_600 / u64::from(points)).collect();
    let work = async |left| on_a_full_disk(left).await.with_context(|| format!("{left} KiB left"));
    let done = side_by_side(cases, LANES, work)?;
    let stopped = done.iter().filter(|stopped| **stopped).count();
    say(&format!("{} disks that filled up: {stopped} stopped, the rest refused; nothing lost", done.len()));
    Ok(())
}

/// Sets the wall clocks of the coordinator and a worker while leases are held.
async fn clocks(name: &str, coordinator_ms: &[i64], worker_ms: i64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("of_worker"))?;
    let (ours, theirs) = (Clock::create(folder.path())?, Clock::create(&folder.path().join("of_worker"))?);
    let mut env = Env::start(|mut options| {
        options.variables.extend(ours.variables());
        // Long enough for a worker on a machine that has much else to do.
        options.lease_ttl_ms(8_000)
    })
    .await?;
    let worker = env.real_worker_with("real", &["--max", "sleep=2"], theirs.variables())?;
    let light = env.light_worker("light", 10)?;
    env.workers_online(2, SOON).await?;
    theirs.set(worker_ms)?;
    let mut held = Vec::new();
    for step in coordinator_ms {
        let before = Instant::now();
        for _ in 0..4 {
            held.push(env.submit(&sleep_job(3_000)).await?);
        }
        let last = held.last().context("some were submitted")?;
        env.leased(*last, SOON).await?;
        ours.set(*step)?;
        for job in &held {
            env.expect(*job, JobState::Completed, SOON)
                .await
                .with_context(|| format!("{name}: {step} ms"))?;
        }
        ensure!(before.elapsed() < SOON, "no job waits for the clock");
    }
    for job in &held {
        let attempts = env.attempts(*job).await?;
        ensure!(attempts.len() == 1, "{name}: a step of the clock costs no lease: {attempts:?}");
    }
    let errors = env.coordinator.process().errors();
    ensure!(!errors.contains("panicked"), "{name}: {errors}");
    drop((worker, light));
    env.each_ended_once(SOON).await?;
    env.stop_and_verify().await?;
    Ok(())
}

#[test]
fn a_clock_that_is_set_costs_no_lease() -> Result<()> {
    let year = 365 * 24 * HOUR_MS;
    let mut cases: Vec<(&str, Vec<i64>, i64)> = vec![
        ("two hours on", vec![2 * HOUR_MS], 0),
        ("two hours back", vec![-2 * HOUR_MS], 0),
        ("to and fro", vec![2 * HOUR_MS, -2 * HOUR_MS, 0], 0),
        ("a worker two hours ahead", vec![0], 2 * HOUR_MS),
        ("a worker two hours behind, a coordinator a second on", vec![1_000], -2 * HOUR_MS),
    ];
    if cycles(0, 1) > 0 {
        for ms in
            [-1_000, 1_000, -30_000, 30_000, -HOUR_MS, HOUR_MS, -24 * HOUR_MS, 24 * HOUR_MS, -year, year]
        {
            cases.push(("a coordinator", vec![ms], 0));
            cases.push(("a worker", vec![0], ms));
            cases.push(("both", vec![ms], ms));
            cases.push(("against each other", vec![ms], -ms));
            cases.push(("and back", vec![ms, 0], 0));
        }
    }
    let count = cases.len();
    side_by_side(cases, LANES, async |(name, ours, theirs)| clocks(name, &ours, theirs).await)?;
    say(&format!("{count} clocks that were set: every job done by its first attempt"));
    Ok(())
}
