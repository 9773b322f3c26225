//! The rows of a file in a database on a server whose rules do not keep wrong rows out: what is wrong
//! with the one is wrong with the other, and `verify` must say the same of both.

use crate::conforms::block_on;
use ciro_store::Synchronous;
use ciro_store::postgres::{Address, Postgres};
use ciro_testkit as testkit;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::fmt::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What lets rows in that the schema would refuse. References stay, so that there is something to check.
const NO_RULES: &str = "DO $$ DECLARE rule RECORD; BEGIN
  FOR rule IN SELECT conrelid::regclass AS of, conname FROM pg_constraint WHERE contype = 'c'
      AND connamespace = 'public'::regnamespace LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rule.of, rule.conname);
  END LOOP;
END $$;
ALTER TABLE idempotency DROP CONSTRAINT idempotency_pkey;
ALTER TABLE evidence DROP CONSTRAINT evidence_pkey;
ALTER TABLE jobs DROP CONSTRAINT jobs_uid_key;
DROP INDEX attempts_live, sessions_live, transfers_job";

/// A database without rows and without rules; its name.
fn template() -> &'static str {
    static MADE: OnceLock<String> = OnceLock::new();
    MADE.get_or_init(|| {
        let server = testkit::Postgres::shared().unwrap();
        let address = server.database().unwrap();
        drop(Postgres::open(&Address::parse(&address).unwrap(), Synchronous::Full).unwrap());
        let name = address.rsplit('/').next().unwrap().to_owned();
        server.psql(&name, NO_RULES).unwrap();
        name
    })
}

/// The name of a database on the tests' server with the rows of the file at `path`.
pub(crate) fn moved(path: &Path) -> String {
    static COPIES: AtomicU32 = AtomicU32::new(0);
    let server = testkit::Postgres::shared().unwrap();
    let name = format!("moved_{}", COPIES.fetch_add(1, Ordering::Relaxed));
    server.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {}", template())).unwrap();
    let rows = statements(&Connection::open(path).unwrap());
    let address = server.address(&name);
    block_on(async {
        let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await.unwrap();
        let insert = async {
            let done = client.batch_execute(&rows).await;
            drop(client);
            done
        };
        let (driven, done) = tokio::join!(connection, insert);
        driven.and(done).unwrap();
    });
    name
}

/// What puts the rows of a file into a database of the same schema, triggers and references aside.
fn statements(c: &Connection) -> String {
    let mut script = "SET session_replication_role = replica;\n".to_owned();
    let tables = texts(c, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'");
    writeln!(script, "TRUNCATE {} CASCADE;", tables.join(", ")).unwrap();
    for table in tables {
        let columns = texts(c, &format!("SELECT name FROM pragma_table_info('{table}')"));
        let named = format!("\"{}\"", columns.join("\", \""));
        let mut statement = c.prepare(&format!("SELECT {named} FROM {table}")).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> =
                (0..columns.len()).map(|at| literal(row.get_ref(at).unwrap())).collect();
            writeln!(script, "INSERT INTO {table} ({named}) VALUES ({});", values.join(", ")).unwrap();
        }
    }
    script
}

fn texts(c: &Connection, sql: &str) -> Vec<String> {
    let mut statement = c.prepare(sql).unwrap();
    let found = statement.query_map([], |r| r.get(0)).unwrap();
    found.collect::<Result<_, _>>().unwrap()
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text).replace('\'', "''")),
        ValueRef::Blob(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("'\\x{digits}'")
        }
        ValueRef::Real(_) => panic!("no column of ours holds such a number"),
    }
}
