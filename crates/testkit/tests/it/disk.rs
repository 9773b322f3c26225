//! Disks that break and disks that fill up.

use anyhow::{Context, Result, ensure};
use ciro_testkit::faults::{SmallDisk, bad_fsync};
use ciro_testkit::{Coordinator, CoordinatorOptions, Ledger, Load, cycles, say, sleep_job, until, verify};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
/// Kills the process that it reaches: what a program that does not trust its disk any more does.
const SIGABRT: i32 = 6;

/// Whether the disk has what it was told to keep is unknown after a failed fsync: the coordinator
/// stops at once, and the next start finds everything that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_fsync_stops_the_coordinator() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let library = bad_fsync(folder.path())?;
    let runs = cycles(4, 40);
    let mut acknowledged = 0;
    for run in 0..runs {
        // Another moment each time; a first start has less than forty of them.
        let number = (45 + run * 13).to_string();
        let site = Site::start(&folder.path().join(&number), &library, &[("FSYNC_FAIL_AT", &number)]).await?;
        acknowledged += site.fail().await.with_context(|| format!("fsync {number}"))?;
    }
    say(&format!(
        "{runs} failed fsyncs: the coordinator stopped each time, {acknowledged} jobs acknowledged, 0 lost"
    ));
    Ok(())
}

/// The same while the write-ahead log is folded into the database file, which is nobody's call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_fsync_of_the_database_file_stops_the_coordinator() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let library = bad_fsync(folder.path())?;
    let place = folder.path().canonicalize()?.join("folding");
    let (file, from) = (place.join("coordinator.db"), place.join("now"));
    let text = |path: &Path| path.to_str().map(str::to_owned).context("the folder's name is text");
    let variables = [("FSYNC_FAIL_OF", &*text(&file)?), ("FSYNC_FAIL_FROM", &*text(&from)?)];
    let site = Site::start(&place, &library, &variables).await?;
    File::create_new(&from)?;
    let acknowledged = site.fail().await?;
    say(&format!("failed fsync of the database file: it stopped, {acknowledged} jobs acknowledged, 0 lost"));
    Ok(())
}

/// A coordinator one of whose fsyncs is going to fail.
struct Site {
    coordinator: Coordinator,
    ledger: Arc<Ledger>,
}

impl Site {
    async fn start(folder: &Path, library: &Path, variables: &[(&str, &str)]) -> Result<Site> {
        std::fs::create_dir(folder)?;
        let ledger = Arc::new(Ledger::create(&folder.join("ledger"))?);
        let library = library.to_str().context("the folder's name is text")?;
        let mut options = CoordinatorOptions::in_folder(folder).variable("LD_PRELOAD", library);
        for (name, value) in variables {
            options = options.variable(name, *value);
        }
        Ok(Site { coordinator: Coordinator::start(options).await?, ledger })
    }

    /// Puts load on it until the fsync fails, and starts it again on a good disk; returns how many
    /// jobs were acknowledged.
    async fn fail(mut self) -> Result<usize> {
        let coordinator = &mut self.coordinator;
        let load = Load::start(&coordinator.client()?, &self.ledger, 3);
        let status = coordinator.ended(SOON).await?;
        load.stop().await?;
        let errors = coordinator.process().errors();
        ensure!(errors.contains("bad_fsync: this one fails"), "no fsync failed:\n{errors}");
        ensure!(
            status.signal() == Some(SIGABRT),
            "it ended with {status}, not by stopping itself:\n{errors}"
        );
        coordinator.options_mut().variables.clear();
        coordinator.restart().await?;
        coordinator.client()?.job_submit(&sleep_job(1), None).await?;
        coordinator.stop().await?;
        verify(coordinator.database(), Some(&self.ledger))?;
        Ok(self.ledger.jobs().len())
    }
}

/// A full disk refuses new work with words, keeps answering, and takes work again when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_refuses_and_recovers() -> Result<()> {
    const DISK_MIB: u64 = 48;
    let folder = tempfile::tempdir()?;
    let disk = SmallDisk::create(folder.path(), DISK_MIB)?;
    let ledger = Ledger::create(&folder.path().join("ledger"))?;
    let options = CoordinatorOptions::in_folder(folder.path()).database(disk.path().join("coordinator.db"));
    let mut coordinator = Coordinator::start(options).await?;
    let client = coordinator.client()?;
    let first = client.job_submit(&sleep_job(1), None).await?;
    ledger.acknowledge(&[first.id], None)?;
    let ballast = disk.path().join("ballast");
    fill(&ballast)?;
    let refused =
        until("a submit to be refused", SOON, async || match client.job_submit(&sleep_job(1), None).await {
            Ok(created) => {
                ledger.acknowledge(&[created.id], None)?;
                Ok(None)
            }
            Err(error) => Ok(Some(error)),
        });
    let refused = refused.await?;
    ensure!(matches!(refused.status(), Some(503 | 507)), "a full disk is 503 or 507: {refused:?}");
    ensure!(refused.code().is_some_and(|code| code.contains("full")), "and says so: {refused:?}");
    client.job_get(first.id).await.context("reading still works")?;
    std::fs::remove_file(&ballast)?;
    until("a submit to be accepted again", SOON, async || {
        match client.job_submit(&sleep_job(1), None).await {
            Ok(created) => ledger.acknowledge(&[created.id], None).map(Some),
            Err(error) if error.is_retryable() => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
    .await?;
    coordinator.stop().await?;
    verify(coordinator.database(), Some(&ledger))?;
    say(&format!(
        "full disk: refused with `{}`, recovered, {} jobs kept",
        refused.code().unwrap_or_default(),
        ledger.jobs().len()
    ));
    Ok(())
}

/// Writes until there is no room.
fn fill(path: &Path) -> Result<()> {
    let mut file = File::create_new(path)?;
    for size in [1 << 20, 4096, 1] {
        let block = vec![b'x'; size];
        while file.write_all(&block).is_ok() {}
    }
    Ok(())
}
