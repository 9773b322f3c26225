//! I24 and a part of I25, where the database is a file: its pages, indexes and references, and the
//! triggers that guard the audit log. What only SQLite has stands here and nowhere else.

use super::report::Findings;
use crate::error::Error;
use crate::sql::{Link, Snapshot};
use rusqlite::Connection;

/// The triggers without which rows of the audit log could change.
const GUARDS: [&str; 4] = ["audit_fixed", "audit_kept", "audit_head_grows", "audit_head_kept"];

/// I24: pages, indexes and references.
pub(super) fn intact(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    let Link::Sqlite(c) = **c;
    let mut statement = c.prepare("PRAGMA integrity_check(100)")?;
    let mut rows = statement.query([])?;
    found.checked("I24", 1);
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            found.violated("I24", line);
        }
    }
    if let Err(error) = references(c, found) {
        found.violated("I24", format!("references cannot be checked: {error}"));
    }
    Ok(())
}

fn references(c: &Connection, found: &mut Findings) -> Result<(), Error> {
    let mut statement = c.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        found.violated("I24", format!("a row of {table} refers to a row of {parent} that is not there"));
    }
    Ok(())
}

/// I25: nothing lets rows of the audit log change.
pub(super) fn guarded(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    let Link::Sqlite(c) = **c;
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = ?1";
    for guard in GUARDS {
        found.checked("I25", 1);
        if !c.prepare_cached(sql)?.exists([guard])? {
            found.violated("I25", format!("the trigger {guard} is gone: rows could be changed"));
        }
    }
    Ok(())
}
