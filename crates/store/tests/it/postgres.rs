//! Opening a PostgreSQL database: the schema is made once whoever starts, it is the one of SQLite, and
//! a person is told what is wrong with a server.

use crate::conforms::block_on;
use ciro_core::id::TenantId;
use ciro_core::time::Timestamp;
use ciro_store::conformance::ManualClock;
use ciro_store::postgres::{Address, Postgres};
use ciro_store::{Error, OpenError, Options, SCHEMA_VERSION, Store, Synchronous};
use ciro_testkit as testkit;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

fn open(address: &str) -> Result<Postgres, Error> {
    Postgres::open(&Address::parse(address)?, Synchronous::Full)
}

#[test]
fn several_that_start_at_once_make_the_schema_once() {
    let address = testkit::Postgres::shared().unwrap().database().unwrap();
    let starts: Vec<_> = (0..4).map(|_| address.clone()).map(|a| thread::spawn(move || open(&a))).collect();
    for start in starts {
        assert_eq!(start.join().unwrap().unwrap().schema().unwrap(), SCHEMA_VERSION);
    }
    // And again, on what is there.
    assert_eq!(open(&address).unwrap().schema().unwrap(), SCHEMA_VERSION);
}

#[test]
fn what_cannot_be_used_is_refused_in_words() {
    let server = testkit::Postgres::shared().unwrap();
    let address = server.database().unwrap();
    let name = address.rsplit('/').next().unwrap();
    drop(open(&address).unwrap());
    let newer = "UPDATE schema_version SET version = 1000; UPDATE compatibility SET oldest_program = 1000";
    server.psql(name, newer).unwrap();
    let refused = open(&address).unwrap_err();
    assert!(matches!(refused, Error::Open(OpenError::NewerSchema { found: 1000, .. })), "{refused}");
    assert!(!refused.to_string().contains("no-secret"), "{refused}");

    let foreign = server.database().unwrap();
    server.psql(foreign.rsplit('/').next().unwrap(), "CREATE TABLE others (x INT)").unwrap();
    let refused = open(&foreign).unwrap_err();
    assert!(matches!(refused, Error::Open(OpenError::NotOurs { .. })), "{refused}");

    let refused = open(&address.replace("no-secret", "guess")).unwrap_err();
    assert!(refused.to_string().contains("password authentication failed"), "{refused}");
    let refused = open(&server.address("nowhere")).unwrap_err();
    assert!(refused.to_string().contains("does not exist"), "{refused}");
    // Nobody listens on the port of a service that no machine has.
    let refused = open("postgres://u@127.0.0.1:9/d").unwrap_err();
    assert!(matches!(refused, Error::Unavailable { certain: true }), "{refused}");
}

/// Columns that only PostgreSQL has, for several coordinators.
const BEYOND: [&str; 5] = ["coordinators.", "head.", "schema_version.", "sessions.coordinator ", "turns."];

#[test]
fn the_schema_is_the_one_of_sqlite() {
    let server = testkit::Postgres::shared().unwrap();
    let address = server.database().unwrap();
    drop(open(&address).unwrap());
    let sql = "SELECT table_name || '.' || column_name || ' ' || data_type || CASE is_nullable \
               WHEN 'NO' THEN ' NOT NULL' ELSE '' END FROM information_schema.columns \
               WHERE table_schema = 'public' ORDER BY 1";
    let said = server.psql(address.rsplit('/').next().unwrap(), sql).unwrap();
    let theirs = said.lines().filter(|line| !BEYOND.iter().any(|beyond| line.starts_with(beyond)));
    let theirs: Vec<String> = theirs.map(str::to_owned).collect();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ciro.db");
    let clock = std::sync::Arc::new(ciro_store::conformance::ManualClock::new());
    let store = ciro_store::Store::open(ciro_store::Options::new(&file), clock).unwrap();
    drop(store);
    let names = BTreeMap::from([("INTEGER", "bigint"), ("BLOB", "bytea"), ("TEXT", "text")]);
    let c = rusqlite::Connection::open(&file).unwrap();
    // A key is never NULL there, whether it is said or not.
    let sql = "SELECT t.name, c.name, c.type, c.\"notnull\" OR c.pk > 0 FROM sqlite_schema t, \
               pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'";
    let mut statement = c.prepare(sql).unwrap();
    let ours = statement.query_map([], |r| {
        let (table, column, of): (String, String, String) = (r.get(0)?, r.get(1)?, r.get(2)?);
        let must = if r.get(3)? { " NOT NULL" } else { "" };
        Ok(format!("{table}.{column} {}{must}", names[of.as_str()]))
    });
    let mut ours: Vec<String> = ours.unwrap().collect::<Result<_, _>>().unwrap();
    ours.sort();
    let mut theirs = theirs;
    theirs.sort();
    assert_eq!(ours, theirs);
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let look = async || Ok(is_so().then_some(()));
    testkit::until(what, Duration::from_secs(30), look).await.unwrap();
}

#[test]
fn what_is_asked_while_the_turn_is_waited_for_goes_along() {
    let server = testkit::Postgres::shared().unwrap();
    let address = server.database().unwrap();
    let name = address.rsplit('/').next().unwrap().to_owned();
    // Whose data folder it is stands in it.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ciro.db");
    let options = Options { server: Some(Address::parse(&address).unwrap()), ..Options::new(file) };
    let store = Store::open(options, Arc::new(ManualClock::new())).unwrap();
    let there = |condition: &str| {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {condition}"
        );
        server.psql(&name, &sql).unwrap().trim() == "1"
    };
    let (ask, holder) = (
        |no: u128| {
            let store = store.clone();
            async move { store.tenant_ensure(TenantId(Uuid::from_u128(no)), no.to_string(), Timestamp(0)).await }
        },
        name.clone(),
    );
    block_on(async {
        // It is told to look around once it listens, which is a question in the queue, too.
        until("it listens", || there("query LIKE 'LISTEN%' AND state = 'idle'")).await;
        ask(1).await.unwrap();
        until("both were done", || store.figures().group_commands.view().sum == 2).await;
        let before = store.figures().group_commands.view();
        let held = "BEGIN; SELECT 1 FROM head FOR UPDATE; SELECT pg_sleep(60)";
        let holder = thread::spawn(move || server.psql(&holder, held));
        until("somebody holds the turn", || there("wait_event = 'PgSleep'")).await;
        let mut asked = JoinSet::new();
        asked.spawn(ask(2));
        until("the turn is waited for", || there("wait_event_type = 'Lock'")).await;
        (3..23).for_each(|no| drop(asked.spawn(ask(no))));
        until("the others are queued", || store.queue_level() == 20).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event = 'PgSleep'";
        server.psql(&name, end).unwrap();
        assert!(holder.join().unwrap().is_err());
        while let Some(answer) = asked.join_next().await {
            answer.unwrap().unwrap();
        }
        // Figures are noted behind the answers.
        let since = || store.figures().group_commands.view().since(&before);
        until("the figures", || since().sum >= 21).await;
        assert_eq!((since().count(), since().sum), (1, 21));
        store.close().await;
    });
}
