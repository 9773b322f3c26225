//! The audit log: who changed what. A row is appended by the writer inside the transaction of the
//! change that it is about, so there is neither a change without its row nor a row without its
//! change; the single writer gives the rows of a tenant their order.
//!
//! `Store::audited` gives a handle of the store whose writes carry an [`AuditEntry`]. What a write
//! only learns inside its transaction (what was so before, that nothing changed) it says of itself:
//! a rare write through [`Transaction`], an order through its [`Noted`].

use crate::error::Error;
use crate::sql::{Link, Row, Value as Given, params};
use crate::writer::Store;
use ciro_core::audit::{AuditRow, GENESIS};
use ciro_core::id::{Hash, TenantId, TenantKey};
use ciro_core::time::Timestamp;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::ops::Deref;
use uuid::Uuid;

/// The most bytes of `before` and of `after`; of what is longer, length and hash are kept.
pub const MAX_AUDIT_VALUE: usize = 4_096;
/// The most bytes of each other text.
const MAX_TEXT: usize = 256;
/// Rows that one page of retention lets go.
const MAX_CUT: u64 = 500;

const COLUMNS: &str = "t.uid, a.position, a.at, a.actor, a.role, a.address, a.request_id, a.action, a.object, \
                       a.before, a.after, a.previous, a.hash";

/// What is to be written of a change: by whom, and what.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// In whose log: that of who did it.
    pub tenant: TenantKey,
    /// The id of a key or worker, `configured` (the key of the configuration), `system` or `console`.
    pub actor: String,
    /// The role that allowed it.
    pub role: &'static str,
    /// From which address.
    pub address: Option<IpAddr>,
    /// By which request.
    pub request_id: Option<String>,
    /// What was done, dotted: `worker.drain`.
    pub action: &'static str,
    /// The id of what it was done to.
    pub object: String,
    /// What was so before; no secrets.
    pub before: Option<Value>,
    /// What is so since; no secrets.
    pub after: Option<Value>,
}

impl AuditEntry {
    /// A change that the coordinator makes by itself.
    #[must_use]
    pub fn system(tenant: TenantKey, action: &'static str, object: impl ToString) -> AuditEntry {
        AuditEntry {
            tenant,
            actor: "system".into(),
            role: "system",
            address: None,
            request_id: None,
            action,
            object: object.to_string(),
            before: None,
            after: None,
        }
    }

    /// A change that somebody makes on the coordinator's machine, by a command of the program.
    #[must_use]
    pub fn console(tenant: TenantKey, action: &'static str, object: impl ToString) -> AuditEntry {
        AuditEntry { actor: "console".into(), role: "console", ..AuditEntry::system(tenant, action, object) }
    }

    /// With what was so before.
    #[must_use]
    pub fn before(self, before: Value) -> AuditEntry {
        AuditEntry { before: Some(before), ..self }
    }

    /// With what is so since.
    #[must_use]
    pub fn after(self, after: Value) -> AuditEntry {
        AuditEntry { after: Some(after), ..self }
    }
}

/// What a write says of itself to the audit log.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Noted {
    /// It did what its entry says.
    #[default]
    Done,
    /// It found everything as it was wanted: there is nothing to write down.
    Unchanged,
    /// What was so before and is so since; what is absent is as the entry says.
    Changed { before: Option<Value>, after: Option<Value> },
}

/// The connection inside a rare write.
#[derive(Debug)]
pub struct Transaction<'a> {
    link: Link<'a>,
    noted: RefCell<Noted>,
    tenants: Cell<bool>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(link: Link<'a>) -> Transaction<'a> {
        Transaction { link, noted: RefCell::default(), tenants: Cell::new(false) }
    }

    /// For the audit log: see [`Noted`].
    pub(crate) fn note(&self, noted: Noted) {
        *self.noted.borrow_mut() = noted;
    }

    /// The writer is to read again what it knows of tenants.
    pub(crate) fn tenants_changed(&self) {
        self.tenants.set(true);
    }

    /// What it noted, and whether tenants changed.
    pub(crate) fn said(self) -> (Noted, bool) {
        (self.noted.into_inner(), self.tenants.get())
    }
}

impl<'a> Deref for Transaction<'a> {
    type Target = Link<'a>;
    fn deref(&self) -> &Link<'a> {
        &self.link
    }
}

/// Where a tenant's log ends, and where what is kept of it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// The tenant.
    pub tenant: TenantId,
    /// Position of the last row, 0 where there is none.
    pub position: u64,
    /// Its hash.
    pub hash: Hash,
    /// Position of the last row that was let go, 0 where all are kept.
    pub cut: u64,
    /// Its hash: what the first row that is kept follows.
    pub cut_hash: Hash,
}

/// Which rows of a log are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only those before this position.
    pub before: Option<u64>,
    /// By one of these actors.
    pub actors: Vec<String>,
    /// One of these actions, or the first word of one.
    pub actions: Vec<String>,
    /// About one of these.
    pub objects: Vec<String>,
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

impl Store {
    /// Writes down what was done outside of the store: a backup, a reload of the configuration.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), Error> {
        self.audited(entry).rare(|_| Ok(())).await
    }

    /// Rows of a tenant's log, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn audit_list(
        &self,
        tenant: TenantKey,
        query: AuditQuery,
        limit: u32,
    ) -> Result<Vec<AuditRow>, Error> {
        self.read(move |c| {
            let Select { sql, values } = select(tenant, &query, limit.clamp(1, crate::read::MAX_PAGE));
            c.rows(&sql, values.as_slice(), from_row)
        })
        .await
    }

    /// Where a tenant's log ends.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such tenant.
    pub async fn audit_head(&self, tenant: TenantKey) -> Result<AuditHead, Error> {
        self.read(move |c| head(c, tenant)).await
    }
}

/// A query in the making.
struct Select<'q> {
    sql: String,
    values: Vec<Given<'q>>,
}

impl<'q> Select<'q> {
    /// Adds a condition on `value`, which stands in it as `?`.
    fn and(&mut self, condition: &str, value: Given<'q>) {
        self.values.push(value);
        self.sql.push_str(&condition.replace('?', &format!("?{}", self.values.len())));
    }

    /// One of `wanted`, where any are; each stands in the condition as `?`.
    fn any(&mut self, condition: &str, wanted: &'q [String]) {
        for (at, value) in wanted.iter().enumerate() {
            self.sql.push_str(if at == 0 { " AND (" } else { " OR " });
            self.and(condition, Given::Text(value));
        }
        if !wanted.is_empty() {
            self.sql.push(')');
        }
    }
}

fn select(tenant: TenantKey, query: &AuditQuery, limit: u32) -> Select<'_> {
    let sql = format!("SELECT {COLUMNS} FROM audit a JOIN tenants t ON t.key = a.tenant");
    let mut select = Select { sql, values: Vec::new() };
    select.and(" WHERE a.tenant = ?", Given::Int(tenant.0));
    let bounds = [
        (" AND a.position < ?", query.before.map(u64::cast_signed)),
        (" AND a.at >= ?", query.from.map(|t| t.0)),
        (" AND a.at < ?", query.until.map(|t| t.0)),
    ];
    for (condition, bound) in bounds {
        if let Some(bound) = bound {
            select.and(condition, Given::Int(bound));
        }
    }
    select.any("a.actor = ?", &query.actors);
    select.any("a.object = ?", &query.objects);
    select.any("a.action = ? OR substr(a.action, 1, length(?) + 1) = ? || '.'", &query.actions);
    select.and(" ORDER BY a.position DESC LIMIT ?", Given::Int(limit.into()));
    select
}

fn head(c: &Link<'_>, tenant: TenantKey) -> Result<AuditHead, Error> {
    let sql = "SELECT t.uid, h.position, h.hash, h.cut, h.cut_hash
               FROM tenants t LEFT JOIN audit_heads h ON h.tenant = t.key WHERE t.key = ?1";
    let found = c.row(sql, [tenant.0], |r| {
        Ok(AuditHead {
            tenant: TenantId(Uuid::from_bytes(r.get(0)?)),
            position: r.get::<Option<u64>>(1)?.unwrap_or(0),
            hash: r.get::<Option<[u8; 32]>>(2)?.map_or(GENESIS, Hash),
            cut: r.get::<Option<u64>>(3)?.unwrap_or(0),
            cut_hash: r.get::<Option<[u8; 32]>>(4)?.map_or(GENESIS, Hash),
        })
    })?;
    found.ok_or(Error::NotFound)
}

pub(crate) fn from_row(r: &Row<'_>) -> Result<AuditRow, Error> {
    Ok(AuditRow {
        tenant: TenantId(Uuid::from_bytes(r.get(0)?)),
        position: r.get(1)?,
        at: Timestamp(r.get(2)?),
        actor: r.get(3)?,
        role: r.get(4)?,
        address: r.get(5)?,
        request_id: r.get(6)?,
        action: r.get(7)?,
        object: r.get(8)?,
        before: r.get(9)?,
        after: r.get(10)?,
        previous: Hash(r.get(11)?),
        hash: Hash(r.get(12)?),
    })
}

/// The rows of a tenant's log from the first that is kept, for those that follow the chain.
pub(crate) fn chain_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM audit a LEFT JOIN tenants t ON t.key = a.tenant WHERE a.tenant = ?1 ORDER BY a.position"
    )
}

/// Appends what `entry` says to its tenant's log.
pub(crate) fn append(c: &Link<'_>, entry: &AuditEntry, noted: Noted, at: Timestamp) -> Result<(), Error> {
    let (before, after) = match noted {
        Noted::Unchanged => return Ok(()),
        Noted::Done => (None, None),
        Noted::Changed { before, after } => (before, after),
    };
    let head = head(c, entry.tenant)?;
    let mut row = AuditRow {
        tenant: head.tenant,
        position: head.position + 1,
        at,
        actor: text(&entry.actor),
        role: text(entry.role),
        address: entry.address.map(|address| address.to_string()),
        request_id: entry.request_id.as_deref().map(text),
        action: text(entry.action),
        object: text(&entry.object),
        before: before.or_else(|| entry.before.clone()).map(bounded),
        after: after.or_else(|| entry.after.clone()).map(bounded),
        previous: head.hash,
        hash: GENESIS,
    };
    let malformed = |error: serde_json::Error| Error::Malformed { table: "audit", what: error.to_string() };
    row.hash = row.digest().map_err(malformed)?;
    let sql = "INSERT INTO audit (tenant, position, at, actor, role, address, request_id, action, object, before, \
               after, previous, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    c.run(
        sql,
        params![
            entry.tenant.0,
            row.position,
            row.at.0,
            row.actor,
            row.role,
            row.address,
            row.request_id,
            row.action,
            row.object,
            row.before,
            row.after,
            row.previous.0,
            row.hash.0,
        ],
    )?;
    let sql = "INSERT INTO audit_heads (tenant, position, hash, cut, cut_hash) VALUES (?1, ?2, ?3, 0, ?4)
               ON CONFLICT (tenant) DO UPDATE SET position = excluded.position, hash = excluded.hash";
    c.run(sql, params![entry.tenant.0, row.position, row.hash.0, GENESIS.0])?;
    Ok(())
}

/// Lets the oldest rows of each log go that has more than `most`; the hash of the last of them stays.
/// At most one page in all.
pub(crate) fn cut(c: &Link<'_>, most: u64) -> Result<u64, Error> {
    let due = "SELECT tenant, cut, position FROM audit_heads WHERE position - cut > ?1 LIMIT 1";
    let found = c.row(due, [most], |r| Ok((r.get::<i64>(0)?, r.get::<u64>(1)?, r.get::<u64>(2)?)))?;
    let Some((tenant, cut, position)) = found else { return Ok(0) };
    let upto = cut + (position - cut - most).min(MAX_CUT);
    let hash = "UPDATE audit_heads SET cut = ?2,
                cut_hash = (SELECT hash FROM audit WHERE tenant = ?1 AND position = ?2) WHERE tenant = ?1";
    c.run(hash, (tenant, upto))?;
    let gone = "DELETE FROM audit WHERE tenant = ?1 AND position <= ?2";
    Ok(c.run(gone, (tenant, upto))? as u64)
}

/// A text within its bound, cut between characters.
fn text(text: &str) -> String {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or(0)].to_owned()
}

/// A value within its bound. Maps are sorted by name, so that equal values have equal texts.
fn bounded(value: Value) -> String {
    let text = value.to_string();
    if text.len() <= MAX_AUDIT_VALUE {
        return text;
    }
    json!({ "bytes": text.len(), "blake3": Hash::of(text.as_bytes()).to_string() }).to_string()
}
