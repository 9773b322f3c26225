//! I25: every tenant's audit log is one unbroken chain, from its first row (or the last that was let
//! go) to its head.

use super::report::Findings;
use crate::audit::{chain_sql, from_row};
use crate::error::Error;
use crate::sql::{Link, Snapshot};
use ciro_core::id::Hash;

/// Where a log should end, and what its first row should follow.
struct Head {
    tenant: i64,
    position: u64,
    hash: Hash,
    cut: u64,
    cut_hash: Hash,
}

pub(super) fn check(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    for head in heads(c)? {
        follow(c, &head, found)?;
    }
    let headless = "SELECT DISTINCT tenant FROM audit WHERE tenant NOT IN (SELECT tenant FROM audit_heads)";
    for tenant in c.rows(headless, (), |r| r.get::<i64>(0))? {
        found.violated("I25", format!("the log of tenant {tenant} has rows and no head"));
    }
    Ok(())
}

fn heads(c: &Link<'_>) -> Result<Vec<Head>, Error> {
    c.rows("SELECT tenant, position, hash, cut, cut_hash FROM audit_heads", (), |r| {
        Ok(Head {
            tenant: r.get(0)?,
            position: r.get(1)?,
            hash: Hash(r.get(2)?),
            cut: r.get(3)?,
            cut_hash: Hash(r.get(4)?),
        })
    })
}

/// Follows one chain. Behind a row that is wrong it goes on from what that row says, so that one
/// change is told once.
fn follow(c: &Snapshot<'_>, head: &Head, found: &mut Findings) -> Result<(), Error> {
    let (mut position, mut hash) = (head.cut, head.cut_hash);
    let mut statement = c.prepare(&chain_sql())?;
    let mut rows = statement.query([head.tenant])?;
    while let Some(row) = rows.next()? {
        found.checked("I25", 1);
        let at: u64 = row.get(1)?;
        let wrong = |what: &str| format!("tenant {}, position {at}: {what}", head.tenant);
        // What is not even a row of ours (a tenant that is not there, a hash of another length).
        let Ok(row) = from_row(&row) else {
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
