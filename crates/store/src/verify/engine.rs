//! I24 and parts of I14 and I25: what the database itself has to say of its pages, indexes and references,
//! and the triggers that guard the books and the audit log. What only one of the databases has stands here and nowhere
//! else.

use super::report::Findings;
use crate::error::Error;
use crate::sql::{Link, Snapshot};
use rusqlite::Connection;

/// A trigger without which rows could change that never do, and the invariant that it guards.
type Guard = (&'static str, &'static str);

/// Those of the books and of the audit log.
const GUARDS: [Guard; 8] = [
    ("I14", "transfers_fixed"),
    ("I14", "transfers_kept"),
    ("I14", "accounts_grow"),
    ("I14", "accounts_kept"),
    ("I25", "audit_fixed"),
    ("I25", "audit_kept"),
    ("I25", "audit_head_grows"),
    ("I25", "audit_head_kept"),
];
/// Those without which a whole table could go at once, where that can be said in one statement.
const GUARDS_OF_ALL: [Guard; 4] = [
    ("I14", "transfers_whole"),
    ("I14", "accounts_whole"),
    ("I25", "audit_whole"),
    ("I25", "audit_heads_whole"),
];

/// I24: pages, indexes and references.
pub(super) fn intact(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    found.checked("I24", 1);
    match **c {
        Link::Sqlite(file) => {
            pages(file, found)?;
            if let Err(error) = references(file, found) {
                found.violated("I24", format!("references cannot be checked: {error}"));
            }
            Ok(())
        }
        Link::Postgres(_) => server_references(c, found),
    }
}

fn pages(c: &Connection, found: &mut Findings) -> Result<(), Error> {
    let mut statement = c.prepare("PRAGMA integrity_check(100)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            found.violated("I24", line);
        }
    }
    Ok(())
}

fn references(c: &Connection, found: &mut Findings) -> Result<(), Error> {
    let mut statement = c.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        dangling(found, &table, &parent);
    }
    Ok(())
}

/// Every reference of the schema, and which columns of a row say what columns of another.
const REFERENCES: &str = "SELECT f.conrelid::regclass::text, f.confrelid::regclass::text,
       string_agg(format('p.%I = c.%I', pa.attname, ca.attname), ' AND '),
       string_agg(format('c.%I IS NOT NULL', ca.attname), ' AND ')
  FROM pg_constraint f CROSS JOIN unnest(f.conkey, f.confkey) AS k (child, parent)
  JOIN pg_attribute ca ON ca.attrelid = f.conrelid AND ca.attnum = k.child
  JOIN pg_attribute pa ON pa.attrelid = f.confrelid AND pa.attnum = k.parent
  WHERE f.contype = 'f' AND f.connamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
  GROUP BY f.oid, f.conrelid, f.confrelid";

/// References that a server does not keep (0016), as [`REFERENCES`] says them: every row has them.
const UNKEPT: [(&str, &str, &str); 6] = [
    ("jobs", "tenants", "p.key = c.tenant"),
    ("jobs", "classes", "p.key = c.class"),
    ("job_specs", "jobs", "p.key = c.job"),
    ("tasks", "jobs", "p.key = c.job"),
    ("attempts", "tasks", "p.job = c.job AND p.no = c.no"),
    ("attempts", "workers", "p.key = c.worker"),
];

/// A server keeps the other references as long as nobody tells it not to; a restored dump may have been
/// told so. Pages are checked by the server when it reads them, where it was made with checksums.
fn server_references(c: &Link<'_>, found: &mut Findings) -> Result<(), Error> {
    let mut references = c.rows(REFERENCES, (), |r| {
        Ok((r.get::<String>(0)?, r.get::<String>(1)?, r.get::<String>(2)?, r.get::<String>(3)?))
    })?;
    references.extend(
        UNKEPT.map(|(table, parent, same)| (table.into(), parent.into(), same.into(), "true".into())),
    );
    for (table, parent, same, there) in references {
        let sql = format!(
            "SELECT count(*) FROM {table} c WHERE {there} AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE {same})"
        );
        for _ in 0..c.value::<u64>(&sql, ())? {
            dangling(found, &table, &parent);
        }
    }
    Ok(())
}

fn dangling(found: &mut Findings, table: &str, parent: &str) {
    found.violated("I24", format!("a row of {table} refers to a row of {parent} that is not there"));
}

/// I14 and I25: nothing lets rows of the books and of the audit log change.
pub(super) fn guarded(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    let (sql, more) = match **c {
        Link::Sqlite(_) => ("SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = ?1", &[][..]),
        Link::Postgres(_) => {
            ("SELECT 1 FROM pg_trigger WHERE tgname = ?1 AND tgenabled IN ('O', 'A')", &GUARDS_OF_ALL[..])
        }
    };
    for (id, guard) in GUARDS.iter().chain(more) {
        found.checked(id, 1);
        if !c.exists(sql, [guard])? {
            found.violated(id, format!("the trigger {guard} is gone: rows could be changed"));
        }
    }
    Ok(())
}
