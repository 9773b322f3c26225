//! Three coordinators go to the next version one by one: both versions work side by side on one schema,
//! and no call of a user fails. What this program's next version does to the database is done as that one
//! would at its start; this program then plays the version that was there before.

use crate::crew::{Crew, goes_on};
use anyhow::{Context, Result, ensure};
use ciro_store::postgres::{Address, migrate_as_later};
use ciro_store::{Migration, SCHEMA_VERSION};
use ciro_testkit::{Load, program, say, verify};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_blocking};

const HEAL: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(20);
const CLIENTS: u32 = 3;
const NEXT: i64 = SCHEMA_VERSION + 1;

/// The next version adds, in tables that every group writes to: this one goes on.
const ADDS: Migration<'static> = Migration {
    sql: "ALTER TABLE jobs ADD COLUMN next_note TEXT; \
          ALTER TABLE attempts ADD COLUMN next_count BIGINT NOT NULL DEFAULT 0; \
          ALTER TABLE sessions ADD COLUMN next_at BIGINT; \
          CREATE TABLE next_things (key BIGINT PRIMARY KEY, job BIGINT REFERENCES jobs (key)); \
          CREATE INDEX next_noted ON jobs (key) WHERE next_note IS NOT NULL",
    oldest: SCHEMA_VERSION,
};
/// The one after it takes away what this version needs.
const TAKES: Migration<'static> =
    Migration { sql: "ALTER TABLE jobs RENAME COLUMN labels TO tags", oldest: NEXT };
/// Calls are made by the command line, which repeats one that found a coordinator away.
const CALLS: [&[&str]; 3] =
    [&["job", "submit", "sleep", "1"], &["job", "list", "--limit", "3"], &["job", "stats"]];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinators_go_to_the_next_version_one_by_one_and_no_call_fails() -> Result<()> {
    let mut crew = Crew::start().await?;
    let workers = crew.workers()?;
    let user = User::start(&crew)?;
    let load = Load::start(&crew.env.client, &crew.env.ledger, CLIENTS);
    for no in 0..3 {
        goes_on(&load, &workers).await?;
        crew.member_mut(no).stop().await?;
        if no == 0 {
            later(&crew, &[ADDS]).await?;
        }
        goes_on(&load, &workers).await.context("without it")?;
        crew.member_mut(no).restart().await?;
        goes_on(&load, &workers).await.with_context(|| format!("{no} is back"))?;
    }
    // A record in words that only a later version knows: everybody reads the rows.
    let record = "BEGIN; SELECT FROM head FOR UPDATE; INSERT INTO turns (no, coordinator, term, told) \
                  SELECT turn + 1, 0, term, '\\x02ff' FROM head; UPDATE head SET turn = turn + 1; COMMIT";
    crew.server.psql(database(&crew)?, record)?;
    goes_on(&load, &workers).await.context("behind a record of another version")?;
    let listed = crew.env.client.coordinators().await?;
    ensure!((listed.schema, listed.oldest_schema) == (NEXT, SCHEMA_VERSION), "{listed:#?}");
    ensure!(listed.items.iter().all(|one| one.schema == SCHEMA_VERSION), "{listed:#?}");

    // What takes something away waits for the last one that needs it, and says for whom.
    let refused = later(&crew, &[ADDS, TAKES]).await.err().context("it is refused")?;
    let words = format!("{refused:#}");
    let named = ["a (", "b (", "c (", &format!("knows schema {NEXT}")];
    ensure!(named.iter().all(|part| words.contains(part)), "{words}");
    goes_on(&load, &workers).await.context("behind a migration that was refused")?;

    let calls = user.stop().await?;
    let counts = load.stop().await?;
    let states = crew.env.each_ended_once(HEAL).await?;
    drop(workers);
    verify(Path::new(&crew.address), Some(&crew.env.ledger))?;
    say(&format!(
        "3 coordinators went to the next version one by one: {calls} calls of the command line, none failed; {counts:?}; \
         {} jobs acknowledged, {states:?}",
        crew.env.ledger.jobs().len()
    ));
    left_behind(&mut crew).await
}

/// Who was not heard of when its version was shut out stops when it is back, and is not started again.
async fn left_behind(crew: &mut Crew) -> Result<()> {
    crew.member(0).process().pause()?;
    // What whoever leads does after 6 s, or the next one that does.
    crew.member_mut(1).stop().await?;
    crew.member_mut(2).stop().await?;
    crew.server.psql(database(crew)?, "UPDATE coordinators SET ended_at = seen_at WHERE name = 'a'")?;
    later(crew, &[ADDS, TAKES]).await?;
    crew.member(0).process().resume()?;
    let status = crew.member_mut(0).ended(SOON).await?;
    let said = crew.member(0).process().errors();
    ensure!(!status.success() && said.contains("was upgraded or began a new epoch"), "{status}: {said}");
    let refused = crew.member_mut(1).restart().await.err().context("it is not started")?;
    let words = format!("{refused:#}");
    ensure!(
        words.contains(&format!("has schema {}", NEXT + 1)) && words.contains("newer program"),
        "{words}"
    );
    Ok(())
}

fn database(crew: &Crew) -> Result<&str> {
    crew.address.rsplit('/').next().context("an address names a database")
}

/// Migrates as a later version of the program does at its start.
async fn later(crew: &Crew, migrations: &'static [Migration<'static>]) -> Result<()> {
    let address = Address::parse(&crew.address)?;
    Ok(spawn_blocking(move || migrate_as_later(&address, migrations)).await??)
}

/// Somebody who makes one call behind the other, each of which must succeed.
struct User {
    stop: Arc<AtomicBool>,
    calls: JoinHandle<Result<u64>>,
}

impl User {
    fn start(crew: &Crew) -> Result<User> {
        let stop = Arc::new(AtomicBool::new(false));
        let (urls, key) = (crew.urls(), crew.env.coordinator.admin_key.clone());
        let (ended, ciro) = (Arc::clone(&stop), program("ciro")?);
        let calls = spawn_blocking(move || {
            let mut made = 0;
            for args in CALLS.iter().cycle() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let mut command = Command::new(&ciro);
                let output = command.args(["--server", &urls, "--api-key", &key]).args(*args).output()?;
                let said = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "{args:?}: {}: {said}", output.status);
                made += 1;
            }
            Ok(made)
        });
        Ok(User { stop, calls })
    }

    async fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.calls.await?
    }
}
