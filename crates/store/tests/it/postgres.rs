//! Opening a PostgreSQL database: the schema is made once whoever starts, it is the one of SQLite, and
//! a person is told what is wrong with a server.

use ciro_store::postgres::{Address, Postgres};
use ciro_store::{Error, OpenError, SCHEMA_VERSION, Synchronous};
use ciro_testkit as testkit;
use std::collections::BTreeMap;
use std::thread;

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
