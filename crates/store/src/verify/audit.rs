//! I25: every tenant's audit log is one unbroken chain, from its first row (or the last that was let
//! go) to its head, and nothing lets its rows change.

use super::report::Findings;
use crate::audit::{chain_sql, from_row};
use crate::error::Error;
use ciro_core::id::Hash;
use rusqlite::Connection;

/// The triggers without which rows could change.
const GUARDS: [&str; 4] = ["audit_fixed", "audit_kept", "audit_head_grows", "audit_head_kept"];

/// Where a log should end, and what its first row should follow.
struct Head {
    tenant: i64,
    position: u64,
    hash: Hash,
    cut: u64,
    cut_hash: Hash,
}

pub(super) fn check(c: &Connection, found: &mut Findings) -> Result<(), Error> {
    let guarded = "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = ?1";
    for guard in GUARDS {
        found.checked("I25", 1);
        if !c.prepare_cached(guarded)?.exists([guard])? {
            found.violated("I25", format!("the trigger {guard} is gone: rows could be changed"));
        }
    }
    for head in heads(c)? {
        follow(c, &head, found)?;
    }
    let headless = "SELECT DISTINCT tenant FROM audit WHERE tenant NOT IN (SELECT tenant FROM audit_heads)";
    for tenant in column(c, headless)? {
        found.violated("I25", format!("the log of tenant {tenant} has rows and no head"));
    }
    Ok(())
}

fn heads(c: &Connection) -> Result<Vec<Head>, Error> {
    let mut statement = c.prepare("SELECT tenant, position, hash, cut, cut_hash FROM audit_heads")?;
    let heads = statement.query_map([], |r| {
        Ok(Head {
            tenant: r.get(0)?,
            position: r.get(1)?,
            hash: Hash(r.get(2)?),
            cut: r.get(3)?,
            cut_hash: Hash(r.get(4)?),
        })
    })?;
    Ok(heads.collect::<Result<_, _>>()?)
}

fn column(c: &Connection, sql: &str) -> Result<Vec<i64>, Error> {
    let mut statement = c.prepare(sql)?;
    let found = statement.query_map([], |r| r.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Follows one chain. Behind a row that is wrong it goes on from what that row says, so that one
/// change is told once.
fn follow(c: &Connection, head: &Head, found: &mut Findings) -> Result<(), Error> {
    let (mut position, mut hash) = (head.cut, head.cut_hash);
    let mut statement = c.prepare(&chain_sql())?;
    let mut rows = statement.query([head.tenant])?;
    while let Some(row) = rows.next()? {
        found.checked("I25", 1);
        let at: u64 = row.get(1)?;
        let wrong = |what: &str| format!("tenant {}, position {at}: {what}", head.tenant);
        // What is not even a row of ours (a tenant that is not there, a hash of another length).
        let Ok(row) = from_row(row) else {
            found.violated("I25", wrong("the row cannot be read"));
            position = at;
            continue;
        };
        if !row.is_intact() {
            found.violated("I25", wrong("the row is not what was written"));
        } else if row.position != position + 1 {
            found.violated("I25", wrong(&format!("the row before it is not {}", position + 1)));
        } else if row.previous != hash {
            found.violated("I25", wrong("the row before it is another than was written"));
        }
        (position, hash) = (row.position, row.hash);
    }
    if (position, hash) != (head.position, head.hash) {
        let (tenant, last) = (head.tenant, head.position);
        found.violated("I25", format!("tenant {tenant}: the log ends at {position}, its head is {last}"));
    }
    Ok(())
}
