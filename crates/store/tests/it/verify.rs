//! `verify` finds what is wrong: one planted violation for each number that it covers.

use crate::conforms::{Sqlite, block_on};
use crate::moved::moved;
use ciro_core::id::JobId;
use ciro_core::reduction::Reduction;
use ciro_core::spec::MAX_TASKS;
use ciro_core::time::Timestamp;
use ciro_store::conformance::sample;
use ciro_store::postgres::Address;
use ciro_store::verify::{self, Finding, Report, Status, VerifyOptions};
use ciro_testkit as testkit;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use uuid::Uuid;

/// What a lane leaves: one intent that happened, in a nonce with two transactions.
const CHAIN: &str = r#"
    INSERT INTO chain_intents (key, dedupe, kind, calls, felts, l2_gas, state, created_at, updated_at, ended_at)
    VALUES (1, 'job 1', 'settle', '[]', 3, 100, 2, 5, 5, 5);
    INSERT INTO chain_nonces (key, account, nonce, state, created_at, ended_at)
    VALUES (1, CAST(zeroblob(31) || x'07' AS BLOB), 9, 1, 5, 5);
    INSERT INTO chain_links (nonce, place, intent) VALUES (1, 0, 1);
    INSERT INTO chain_transactions (key, hash, nonce, signed, max_fee, state, sends, sent_at, created_at, updated_at)
    SELECT n, CAST(zeroblob(31) || n.x AS BLOB), 1, '{"hash":"0x' || n.n || '","params":"{\"invoke_transaction\":{\"nonce\":\"0x9\",\"sender_address\":\"0x7\",\"calldata\":[\"0x1\"]}}"}',
           printf('%039d', 7), n.state, 1, 6, 5, 6
    FROM (SELECT 1 AS n, x'01' AS x, 'l2' AS state UNION ALL SELECT 2, x'02', 'replaced') AS n;
"#;

/// What a follower leaves: three blocks, and an escrow that was paid.
const FOLLOWED: &str = r#"
    INSERT INTO chain_cursor (one, contract, from_block, head) VALUES (1, CAST(zeroblob(31) || x'63' AS BLOB), 4, 6);
    INSERT INTO chain_blocks (number, hash, parent, at)
    SELECT n, CAST(zeroblob(31) || x AS BLOB), CAST(zeroblob(31) || p AS BLOB), 1000 + n
    FROM (SELECT 4 AS n, x'04' AS x, x'03' AS p UNION ALL SELECT 5, x'05', x'04' UNION ALL SELECT 6, x'06', x'05');
    INSERT INTO chain_escrows (id, client, salt, amount, spec_hash, fee_bps, window_s, expires_at, state, submitted_block,
                               state_block, state_at, paid, fee, refunded)
    SELECT hash, hash, hash, printf('%039d', 100), hash, 250, 60, 9000, 5, 4, 5, 1005, printf('%039d', 58),
           printf('%039d', 2), printf('%039d', 40) FROM chain_blocks WHERE number = 4;
    INSERT INTO chain_events (key, block, block_hash, place, tx, at, name, escrow, body)
    SELECT e.key, e.block, b.hash, e.place, b.hash, b.at, e.name, x.id, e.body FROM chain_escrows x, chain_blocks b
    JOIN (SELECT 1 AS key, 4 AS block, 0 AS place, 'JobSubmitted' AS name, '{"payment":"100"}' AS body
          UNION ALL SELECT 2, 5, 0, 'PaymentReleased', '{"worker":"0x7","amount":"58","fee":"2"}'
          UNION ALL SELECT 3, 5, 1, 'JobRefunded', '{"amount":"40"}') AS e ON e.block = b.number;
"#;

/// A database with a bit of everything, made once and copied by each test.
fn sound(folder: &Path) -> PathBuf {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = MADE.get_or_init(|| {
        let database = Sqlite::fresh();
        let path = database.path();
        let kept = block_on(sample(database)).unwrap();
        plant(&path, CHAIN);
        plant(&path, FOLLOWED);
        let bytes = std::fs::read(path).unwrap();
        drop(kept);
        bytes
    });
    let copy = folder.join("ciro.db");
    std::fs::write(&copy, bytes).unwrap();
    copy
}

fn check(path: &Path, options: &VerifyOptions) -> Report {
    verify::run(path, options).unwrap()
}

/// Changes the file behind every rule: no constraints, no references, tables without their keys.
fn plant(path: &Path, sql: &str) {
    let c = Connection::open(path).unwrap();
    c.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    c.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;").unwrap();
    c.execute_batch(sql).unwrap();
}

/// A table again with the same columns and rows, but nothing that keeps rows out.
fn unguarded(table: &str) -> String {
    format!(
        "CREATE TABLE copy AS SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE copy RENAME TO {table};"
    )
}

/// What is planted is found, in the file and on a server that has the same rows.
fn expect(id: &str, sql: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = sound(folder.path());
    plant(&path, sql);
    let (file, server) = (check(&path, &VerifyOptions::default()), check_on(&moved(&path)));
    for report in [&file, &server] {
        let line = report.finding(id).unwrap();
        assert_eq!(line.status, Status::Violated, "{id} does not see: {sql}\n{report:#?}");
        assert!(!report.clean && !line.examples.is_empty());
    }
    let [file, server] = [file, server].map(|report| {
        // What a file's pages, schema and triggers have to say, a server's do not.
        report
            .invariants
            .into_iter()
            .filter(|line| !["I14", "I24", "I25"].contains(&line.id))
            .collect::<Vec<_>>()
    });
    for (file, server) in file.iter().zip(&server) {
        let said = |line: &Finding| (line.checked, line.violations, line.status);
        assert_eq!(said(file), said(server), "{sql}:\n{file:#?}\n{server:#?}");
        // Of many only some are shown, and which they are is for the database to say.
        if file.examples.len() as u64 == file.violations {
            let sorted = |line: &Finding| line.examples.iter().cloned().collect::<BTreeSet<_>>();
            assert_eq!(sorted(file), sorted(server), "{sql}");
        }
    }
}

/// What is planted in the schema of a file, or under it, is found there.
fn expect_in_file(id: &str, sql: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = sound(folder.path());
    plant(&path, sql);
    let report = check(&path, &VerifyOptions::default());
    assert_eq!(report.finding(id).unwrap().status, Status::Violated, "{id} does not see: {sql}\n{report:#?}");
}

/// The same of a database on a server.
fn expect_on_server(id: &str, sql: &str) {
    let folder = tempfile::tempdir().unwrap();
    let name = moved(&sound(folder.path()));
    assert_eq!(check_on(&name).finding(id).unwrap().status, Status::Ok, "before: {sql}");
    testkit::Postgres::shared().unwrap().psql(&name, sql).unwrap();
    let report = check_on(&name);
    assert_eq!(report.finding(id).unwrap().status, Status::Violated, "{id} does not see: {sql}\n{report:#?}");
}

fn check_on(name: &str) -> Report {
    let address = testkit::Postgres::shared().unwrap().address(name);
    verify::run_on(&Address::parse(&address).unwrap(), &VerifyOptions::default()).unwrap()
}

#[test]
fn a_sound_database_is_clean_and_every_line_was_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = sound(folder.path());
    let report = check(&path, &VerifyOptions { require_rows: true, ..VerifyOptions::default() });
    assert!(report.clean, "{report:#?}");
    assert_eq!(report.invariants.len(), 31);
    for line in &report.invariants {
        let covered = line.status != Status::NotApplicable;
        assert_eq!(
            covered,
            line.checked > 0,
            "{}: a line that held nothing against anything proves nothing",
            line.id
        );
    }
    let covered: Vec<_> = report.invariants.iter().filter(|l| l.status == Status::Ok).map(|l| l.id).collect();
    assert_eq!(
        covered,
        [
            "I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13", "I14", "I15",
            "I16", "I17", "I18", "I24", "I25", "I26", "I27", "I28", "I31"
        ]
    );
}

#[test]
fn a_check_of_a_server_says_what_that_of_a_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = sound(folder.path());
    let (file, server) = (check(&path, &VerifyOptions::default()), check_on(&moved(&path)));
    assert!(server.clean && !server.running, "{server:#?}");
    assert_eq!(file.rows, server.rows);
    assert!(!server.path.contains("no-secret"), "{}", server.path);
}

#[test]
fn i1_an_acknowledged_job_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = sound(folder.path());
    let acknowledged = Some(vec![JobId(Uuid::from_u128(42))]);
    let report = check(&path, &VerifyOptions { acknowledged, ..VerifyOptions::default() });
    assert_eq!(report.finding("I1").unwrap().status, Status::Violated);
    expect("I1", "UPDATE idempotency SET created_ids = randomblob(16)");
    expect("I1", "UPDATE idempotency SET created_ids = randomblob(48)");
}

#[test]
fn an_empty_database_proves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = sound(folder.path());
    plant(&path, "DELETE FROM jobs; DELETE FROM tasks; DELETE FROM attempts; DELETE FROM job_archive;");
    let report = check(&path, &VerifyOptions { require_rows: true, ..VerifyOptions::default() });
    assert!(
        report.finding("I1").unwrap().examples.iter().any(|e| e.contains("rows were required")),
        "{report:#?}"
    );
}

#[test]
fn i2_a_key_or_a_job_twice() {
    let twice = "INSERT INTO idempotency SELECT * FROM idempotency LIMIT 1;";
    expect("I2", &format!("{}{twice}", unguarded("idempotency")));
    expect(
        "I2",
        "INSERT INTO idempotency SELECT tenant, randomblob(16), fingerprint, created_ids, expires_at FROM idempotency LIMIT 1",
    );
    let uid = "UPDATE jobs SET uid = (SELECT uid FROM jobs ORDER BY key LIMIT 1);";
    expect("I2", &format!("{}{uid}", unguarded("jobs")));
}

#[test]
fn i3_a_record_that_answers_wrongly() {
    expect("I3", "UPDATE idempotency SET created_ids = x''");
    expect(
        "I3",
        "INSERT INTO tenants (key, uid, name, created_at) VALUES (9, randomblob(16), 'x', 0); UPDATE idempotency SET tenant = 9",
    );
}

#[test]
fn i4_events_that_do_not_explain_the_rows() {
    expect("I4", "UPDATE jobs SET state = 6 WHERE state = 4");
    expect("I4", "DELETE FROM events WHERE position = (SELECT position FROM events WHERE seq = 2 LIMIT 1)");
    expect(
        "I4",
        "UPDATE events SET position = position + 1000 WHERE position = (SELECT max(position) FROM events)",
    );
    expect("I4", "UPDATE tasks SET fence = fence + 1, grants = grants + 1");
    expect("I4", "UPDATE jobs SET open_tasks = open_tasks + 1");
    expect("I4", "UPDATE job_counts SET jobs = jobs + 1");
    expect("I4", "UPDATE events SET body = 'nonsense' WHERE seq = 1");
    expect("I4", "DELETE FROM jobs WHERE key = (SELECT min(key) FROM jobs)");
}

#[test]
fn i5_two_live_attempts_in_a_slot() {
    let second = "INSERT INTO attempts (job, no, fence, slot, state, worker, session, granted_at, expires_at)
        SELECT job, no, fence + 1, slot, 0, worker, session, granted_at, expires_at FROM attempts WHERE ended_at IS NULL;";
    expect("I5", &format!("DROP INDEX attempts_live; {second}"));
}

#[test]
fn i6_a_fence_ahead_of_its_task() {
    expect("I6", "UPDATE attempts SET fence = fence + 5 WHERE ended_at IS NULL");
    expect("I6", "UPDATE tasks SET fence = fence + 1 WHERE fence > 0");
}

#[test]
fn i7_more_than_the_limits_or_outside_of_its_job() {
    expect("I7", "UPDATE tasks SET grants = 17, fence = 17");
    expect("I7", "UPDATE tasks SET attempts = 200");
    expect("I7", "UPDATE attempts SET state = 1, ended_at = NULL WHERE state = 3");
}

#[test]
fn i8_an_ended_attempt_that_lives() {
    expect("I8", "UPDATE attempts SET ended_at = NULL WHERE state = 3");
    expect("I8", "UPDATE attempts SET class = 'lost' WHERE state = 3");
}

#[test]
fn i9_two_accepted_results_or_none() {
    expect("I9", "UPDATE attempts SET state = 5 WHERE state = 3");
    expect("I9", "UPDATE attempts SET state = 3 WHERE state = 7");
    expect("I9", "UPDATE tasks SET accepted = accepted + 1 WHERE accepted IS NOT NULL");
}

#[test]
fn i10_a_result_that_was_not_signed() {
    expect("I10", "UPDATE attempts SET manifest = '{}' WHERE state = 3");
    expect("I10", "UPDATE evidence SET manifest = '{}'");
    expect("I10", "UPDATE attempts SET cpu_ms = cpu_ms + 1 WHERE receipt_list IS NOT NULL");
    expect("I10", "UPDATE attempts SET layers = 'process' WHERE receipt_list IS NOT NULL");
    expect("I10", "UPDATE attempts SET input_hash = zeroblob(32) WHERE receipt_list IS NOT NULL");
    expect("I10", "UPDATE attempts SET state = 6 WHERE state = 3");
    expect("I10", "UPDATE report_lists SET signature = zeroblob(64)");
    expect("I10", "UPDATE report_lists SET receipts = zeroblob(length(receipts))");
    expect(
        "I10",
        "UPDATE attempts SET receipt_list = (SELECT max(key) FROM report_lists) + 1 WHERE state = 3",
    );
}

#[test]
fn i11_a_repeated_result_that_was_kept_as_another() {
    expect(
        "I11",
        "INSERT INTO evidence SELECT job, no, fence, worker, granted_at, manifest_hash, manifest FROM attempts WHERE state = 3",
    );
    let twice = "INSERT INTO evidence SELECT * FROM evidence LIMIT 1;";
    expect("I11", &format!("{}{twice}", unguarded("evidence")));
}

/// The columns of the audit log.
const AUDIT: [&str; 13] = [
    "tenant",
    "position",
    "at",
    "actor",
    "role",
    "address",
    "request_id",
    "action",
    "object",
    "before",
    "after",
    "previous",
    "hash",
];

/// The database with one bit of the second row of its audit log changed.
fn with_flipped_bit(path: &Path, column: &str) {
    plant(path, "DROP TRIGGER audit_fixed");
    let guard = "CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit BEGIN
                 SELECT raise(ABORT, 'rows of the audit log never change'); END;";
    let c = Connection::open(path).unwrap();
    c.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let read = format!("SELECT {column} FROM audit WHERE position = 2");
    let changed = match c.query_row(&read, [], |r| r.get::<_, Value>(0)).unwrap() {
        Value::Integer(n) => Value::Integer(n ^ 64),
        Value::Text(text) => {
            let mut bytes = text.into_bytes();
            bytes[0] ^= 1;
            Value::Text(String::from_utf8(bytes).unwrap())
        }
        Value::Blob(mut bytes) => {
            bytes[31] ^= 1;
            Value::Blob(bytes)
        }
        other => panic!("{column} holds {other:?}: a bit that is not there cannot be changed"),
    };
    let write = format!("UPDATE audit SET {column} = ?1 WHERE position = 2");
    assert_eq!(c.execute(&write, [changed]).unwrap(), 1);
    c.execute_batch(guard).unwrap();
}

#[test]
fn i25_one_bit_in_each_column_of_the_audit_log() {
    for column in AUDIT {
        let folder = tempfile::tempdir().unwrap();
        let path = sound(folder.path());
        with_flipped_bit(&path, column);
        let report = check(&path, &VerifyOptions::default());
        let line = report.finding("I25").unwrap();
        let named = |e: &String| e.contains("position 2:") || e.contains("before it is not 2");
        assert!(line.examples.iter().any(named), "{column}: {line:#?}");
    }
}

#[test]
fn i25_rows_of_the_audit_log_that_are_gone_or_can_go() {
    let free = "DROP TRIGGER audit_kept;";
    expect("I25", &format!("{free} DELETE FROM audit WHERE position = 3"));
    expect("I25", &format!("{free} DELETE FROM audit WHERE position = 1"));
    expect("I25", &format!("{free} DELETE FROM audit"));
    expect("I25", "DROP TRIGGER audit_head_kept; DELETE FROM audit_heads");
    expect("I25", "UPDATE audit_heads SET hash = randomblob(32)");
    expect("I25", "UPDATE audit_heads SET cut_hash = randomblob(32)");
    expect("I25", "UPDATE audit_heads SET position = position + 1");
    for guard in ["audit_fixed", "audit_kept"] {
        expect_in_file("I25", &format!("DROP TRIGGER {guard}"));
        expect_on_server("I25", &format!("ALTER TABLE audit DISABLE TRIGGER {guard}"));
    }
    for guard in ["audit_head_grows", "audit_head_kept"] {
        expect_in_file("I25", &format!("DROP TRIGGER {guard}"));
        expect_on_server("I25", &format!("DROP TRIGGER {guard} ON audit_heads"));
    }
    expect_on_server("I25", "DROP TRIGGER audit_whole ON audit");
    let folder = tempfile::tempdir().unwrap();
    let c = Connection::open(sound(folder.path())).unwrap();
    for change in [
        "UPDATE audit SET object = 'another'",
        "DELETE FROM audit",
        "DELETE FROM audit_heads",
        "UPDATE audit_heads SET position = position - 1",
    ] {
        let refused = c.execute(change, []).unwrap_err().to_string();
        assert!(refused.contains("audit log"), "{change}: {refused}");
    }
}

#[test]
fn i12_jobs_that_are_not_shared_out_as_they_earned() {
    let (fixed, kept) = ("DROP TRIGGER transfers_fixed;", "DROP TRIGGER transfers_kept;");
    expect("I12", &format!("{kept} DELETE FROM transfers WHERE code = 4"));
    expect("I12", &format!("{kept} DELETE FROM transfers WHERE code = 6"));
    expect("I12", &format!("{fixed} UPDATE transfers SET credit_tenant = 2 WHERE code = 4"));
    let again =
        "INSERT INTO transfers SELECT no + 100, at, code, amount, debit_tenant, debit_kind, credit_tenant,
                 credit_kind, job, NULL, NULL, NULL FROM transfers WHERE code = 4";
    expect("I12", &format!("DROP INDEX transfers_job; {again}"));
    expect("I12", "UPDATE accounts SET credits = replace(credits, '3', '4') WHERE kind = 1");
    expect("I12", "UPDATE jobs SET settlement = 4 WHERE settlement = 2");
    expect("I12", "UPDATE jobs SET settlement = 2 WHERE settlement = 4");
    let folder = tempfile::tempdir().unwrap();
    let c = Connection::open(sound(folder.path())).unwrap();
    let refused = c.execute(again, []).unwrap_err().to_string();
    assert!(refused.contains("UNIQUE constraint"), "a provider is paid once for a job: {refused}");
}

#[test]
fn i13_amounts_of_a_job_that_do_not_add_up() {
    let one = "'000000000000000000000000000000000000001'";
    for column in ["escrowed", "paid", "fee", "refunded"] {
        expect("I13", &format!("UPDATE jobs SET {column} = {one} WHERE settlement = 4"));
    }
    expect("I13", &format!("UPDATE jobs SET held = {one} WHERE settlement = 2"));
    expect("I13", &format!("UPDATE jobs SET paid = {one}, escrowed = {one} WHERE settlement = 0"));
    expect("I13", "UPDATE escrows SET fee_bps = fee_bps + 1");
    expect("I13", "DELETE FROM escrows");
}

#[test]
fn i16_somebody_who_earns_without_a_result() {
    let more = r#"replace(payees, '"e":"6', '"e":"7')"#;
    expect("I16", &format!("UPDATE escrows SET payees = {more}"));
    expect("I16", "UPDATE escrows SET payees = '[]'");
    expect("I16", "UPDATE attempts SET price = '000000000000000000000000000000000000001' WHERE payee = 0");
    expect("I16", "UPDATE attempts SET payee = 3 WHERE payee = 0");
    expect("I16", "UPDATE attempts SET payee = 0 WHERE payee IS NULL");
    expect("I16", "UPDATE attempts SET wall_ms = 1 WHERE payee = 0");
}

#[test]
fn i14_books_that_do_not_add_up() {
    let (fixed, kept) = ("DROP TRIGGER transfers_fixed;", "DROP TRIGGER transfers_kept;");
    let one = "'000000000000000000000000000000000000001'";
    expect("I14", &format!("{fixed} UPDATE transfers SET amount = {one} WHERE no = 1"));
    expect("I14", &format!("{fixed} UPDATE transfers SET credit_tenant = 2 WHERE no = 2"));
    expect("I14", &format!("{fixed} UPDATE transfers SET credit_kind = 1 WHERE no = 1"));
    expect("I14", &format!("{fixed} UPDATE transfers SET amount = 'much' WHERE no = 2"));
    expect("I14", &format!("{kept} DELETE FROM transfers WHERE no = 2"));
    expect("I14", &format!("{kept} DELETE FROM transfers"));
    expect("I14", "UPDATE accounts SET credits = replace(credits, '00', '01') WHERE kind = 0");
    expect("I14", "DROP TRIGGER accounts_kept; DELETE FROM accounts WHERE kind = 4");
    expect("I14", &format!("INSERT INTO accounts VALUES (77, 0, {one}, {one})"));
    for guard in ["transfers_fixed", "transfers_kept"] {
        expect_in_file("I14", &format!("DROP TRIGGER {guard}"));
        expect_on_server("I14", &format!("ALTER TABLE transfers DISABLE TRIGGER {guard}"));
    }
    for guard in ["accounts_grow", "accounts_kept"] {
        expect_in_file("I14", &format!("DROP TRIGGER {guard}"));
        expect_on_server("I14", &format!("DROP TRIGGER {guard} ON accounts"));
    }
    expect_on_server("I14", "DROP TRIGGER transfers_whole ON transfers");
    expect_on_server("I14", "DROP TRIGGER accounts_whole ON accounts");
    let folder = tempfile::tempdir().unwrap();
    let c = Connection::open(sound(folder.path())).unwrap();
    for (change, why) in [
        ("UPDATE transfers SET note = 'another'", "transfers never change"),
        ("DELETE FROM transfers", "transfers are kept"),
        ("DELETE FROM accounts", "accounts are kept"),
        ("UPDATE accounts SET credits = debits WHERE kind = 0", "only grow"),
        ("UPDATE accounts SET debits = replace(debits, '000', '001') WHERE kind = 0", "CHECK constraint"),
        ("INSERT INTO transfers SELECT no + 100, at, 4, amount, 1, 1, 99, 2, randomblob(16), NULL, NULL, NULL FROM transfers",
            "FOREIGN KEY"),
        ("INSERT INTO transfers SELECT no + 100, at, code, amount, debit_tenant, debit_kind, credit_tenant, credit_kind,
          NULL, randomblob(16), reference, NULL FROM transfers WHERE reference IS NOT NULL", "UNIQUE constraint"),
    ] {
        let refused = c.execute(change, []).unwrap_err().to_string();
        assert!(refused.contains(why), "{change}: {refused}");
    }
}

#[test]
fn i24_a_damaged_file() {
    expect("I24", "UPDATE attempts SET worker = 12345");
    expect_in_file("I24", "UPDATE jobs SET priority = 77");
    let folder = tempfile::tempdir().unwrap();
    let path = sound(folder.path());
    let c = Connection::open(&path).unwrap();
    let (page, size): (u64, u64) = (
        c.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs_tenant'", [], |r| r.get(0))
            .unwrap(),
        c.query_row("PRAGMA page_size", [], |r| r.get(0)).unwrap(),
    );
    drop(c);
    let mut bytes = std::fs::read(&path).unwrap();
    let end = (page * size) as usize;
    bytes[end - 40..end].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let report = check(&path, &VerifyOptions::default());
    assert_eq!(report.finding("I24").unwrap().status, Status::Violated, "{report:#?}");
}

#[test]
fn i27_a_table_beyond_its_bound() {
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6)";
    let evidence = format!(
        "INSERT INTO evidence {many} SELECT e.job, e.no, e.fence, e.worker, e.at, randomblob(32), e.manifest FROM n, (SELECT * FROM evidence LIMIT 1) e"
    );
    expect("I27", &evidence);
    expect("I27", &format!("UPDATE jobs SET tasks_total = {}", Reduction::over(MAX_TASKS).total() + 1));
    expect("I27", "UPDATE tenant_usage SET artifact_bytes = artifact_bytes + 1");
    let session = "INSERT INTO sessions (uid, worker, token_hash, opened_at)
        SELECT randomblob(16), worker, token_hash, opened_at FROM sessions WHERE ended_at IS NULL;";
    expect("I27", &format!("DROP INDEX sessions_live; {session}"));
    let folder = tempfile::tempdir().unwrap();
    let mut options = VerifyOptions::default();
    options.bounds.classes = 0;
    let report = check(&sound(folder.path()), &options);
    assert_eq!(report.finding("I27").unwrap().status, Status::Violated);
}

#[test]
fn i28_a_job_that_nobody_looks_at() {
    expect("I28", "UPDATE jobs SET next_deadline = 5 WHERE next_deadline IS NOT NULL");
    expect("I28", "UPDATE jobs SET next_deadline = NULL");
    expect("I28", "UPDATE workers SET removed_at = 1");
}

#[test]
fn i15_escrows_that_are_not_what_their_events_come_to() {
    expect("I15", "UPDATE chain_escrows SET paid = printf('%039d', 59), refunded = printf('%039d', 39)");
    expect("I15", "UPDATE chain_escrows SET state = 3");
    expect("I15", "UPDATE chain_events SET body = replace(body, '58', '57') WHERE key = 2");
    let twice = "INSERT INTO chain_events (key, block, block_hash, place, tx, at, name, escrow, body)
                 SELECT 4, block, block_hash, 2, tx, at, name, escrow, body FROM chain_events WHERE key = 2;
                 UPDATE chain_events SET body = replace(replace(body, '58', '29'), '\"2\"', '\"1\"') WHERE name = 'PaymentReleased';";
    expect("I15", twice);
    expect(
        "I15",
        "UPDATE escrows SET escrow_id = (SELECT id FROM chain_escrows)
         WHERE job = (SELECT min(key) FROM jobs JOIN escrows ON job = key WHERE settlement = 4)",
    );
}

#[test]
fn i17_two_uses_of_a_nonce_or_of_an_intent() {
    let twice = unguarded("chain_nonces");
    expect("I17", "UPDATE chain_intents SET state = 1, ended_at = NULL");
    expect("I17", "UPDATE chain_nonces SET state = 0, ended_at = NULL");
    expect("I17", "INSERT INTO chain_nonces (key, account, nonce, state, created_at, ended_at) SELECT 2, account, 10, 1, 5, 5
                   FROM chain_nonces; INSERT INTO chain_links (nonce, place, intent) VALUES (2, 0, 1);");
    expect_in_file(
        "I17",
        &format!("{twice} INSERT INTO chain_nonces SELECT 2, account, nonce, 2, 5, 5 FROM chain_nonces;"),
    );
    for (was, is) in [("0x9", "0xa"), ("0x7", "0x8"), ("0x1\\", "0x2\\")] {
        let sql =
            format!("UPDATE chain_transactions SET signed = replace(signed, '{was}', '{is}') WHERE key = 2");
        expect("I17", &sql);
    }
}

#[test]
fn i18_what_was_sent_is_what_is_stored() {
    expect("I18", "UPDATE chain_transactions SET created_at = 7");
    expect("I18", "UPDATE chain_transactions SET hash = CAST(zeroblob(31) || x'05' AS BLOB) WHERE key = 2");
    expect("I18", "UPDATE chain_transactions SET signed = '{}' WHERE key = 1");
}

#[test]
fn i31_blocks_and_what_came_of_them() {
    expect("I31", "UPDATE chain_blocks SET parent = hash WHERE number = 5");
    expect("I31", "DELETE FROM chain_blocks WHERE number = 5");
    expect("I31", "UPDATE chain_events SET block_hash = CAST(zeroblob(31) || x'09' AS BLOB) WHERE key = 2");
    expect("I31", "UPDATE chain_events SET at = 7 WHERE key = 3");
    expect("I31", "UPDATE chain_events SET block = 9 WHERE key = 3");
    expect("I31", "DELETE FROM chain_events WHERE key = 1");
    expect("I31", "DELETE FROM chain_escrows");
    expect("I31", "DELETE FROM chain_cursor");
}

#[test]
fn what_cannot_be_checked_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let missing = verify::run(&folder.path().join("none.db"), &VerifyOptions::default());
    assert!(missing.unwrap_err().to_string().contains("no such database file"));
    let path = sound(folder.path());
    plant(&path, "PRAGMA user_version = 99");
    assert!(
        verify::run(&path, &VerifyOptions::default()).unwrap().clean,
        "a newer schema that lets this one in"
    );
    plant(&path, "UPDATE compatibility SET oldest_program = 99");
    let newer = verify::run(&path, &VerifyOptions { now: Some(Timestamp(0)), ..VerifyOptions::default() });
    assert!(newer.unwrap_err().to_string().contains("99"));
}
