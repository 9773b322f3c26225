//! One table on its way: how it is read in the order of its keys, written in pages, and told from another
//! one by a hash.

use super::MigratedTable;
use crate::error::Error;
use crate::postgres::text;
use crate::sql::{Bind, Link, Owned, Snapshot, Value};
use blake3::Hasher;

/// Rows of a page.
const PAGE: usize = 64;
/// A page is sent away when its content is longer, bytes.
const PAGE_BYTES: usize = 4 << 20;
/// Rows that say where keys go on; `Counters` has them.
const NOT_COUNTERS: &str = "WHERE name NOT IN ('last_job', 'last_position')";

/// A table of the schema that both sides have.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    columns: Vec<String>,
    key: Vec<String>,
}

/// The tables of a file, in the order in which the schema makes them: behind those that they refer to,
/// on either side.
pub(super) fn tables(file: &Link<'_>) -> Result<Vec<Table>, Error> {
    let sql =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY rowid";
    let names = file.rows(sql, (), |r| r.get::<String>(0))?;
    names.into_iter().map(|name| Table::of(file, name)).collect()
}

impl Table {
    fn of(file: &Link<'_>, name: String) -> Result<Table, Error> {
        let sql = "SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid";
        let found = file.rows(sql, [&name], |r| Ok((quoted(r.get(0)?), r.get::<u32>(1)?)))?;
        let mut key: Vec<_> = found.iter().filter(|(_, place)| *place > 0).collect();
        key.sort_by_key(|(_, place)| *place);
        let key = key.into_iter().map(|(column, _)| column.clone()).collect();
        Ok(Table { name, key, columns: found.into_iter().map(|(column, _)| column).collect() })
    }

    /// Whether rows are in it before any is copied: the schema makes them, or a trigger.
    pub(super) fn is_seeded(&self) -> bool {
        ["compatibility", "webhook_reader", "tenant_usage"].contains(&&*self.name)
    }

    pub(super) fn has_rows(&self, c: &Link<'_>) -> Result<bool, Error> {
        c.exists(&format!("SELECT 1 FROM {} LIMIT 1", quoted(&self.name)), ())
    }

    /// Copies all rows; what was read.
    pub(super) fn copy(
        &self,
        source: &Snapshot<'_>,
        target: &Link<'_>,
        told: &mut impl FnMut(u64),
    ) -> Result<MigratedTable, Error> {
        if self.is_seeded() {
            target.run(&format!("DELETE FROM {}", quoted(&self.name)), ())?;
        }
        let (many, one) = (self.insert(PAGE), self.insert(1));
        let write = |page: &mut Vec<Vec<Owned>>| {
            if page.len() == PAGE {
                run(target, &many, page)?;
            } else {
                page.chunks(1).try_for_each(|row| run(target, &one, row))?;
            }
            page.clear();
            Ok::<_, Error>(())
        };
        let (mut page, mut bytes) = (Vec::with_capacity(PAGE), 0);
        let read = self.walk(source, |row, count| {
            told(count);
            bytes += row.iter().map(Owned::len).sum::<usize>();
            page.push(row);
            if page.len() == PAGE || bytes >= PAGE_BYTES {
                bytes = 0;
                write(&mut page)?;
            }
            Ok(())
        })?;
        write(&mut page)?;
        Ok(read)
    }

    /// What is in it.
    pub(super) fn digest(
        &self,
        c: &Snapshot<'_>,
        told: &mut impl FnMut(u64),
    ) -> Result<MigratedTable, Error> {
        self.walk(c, |_, count| {
            told(count);
            Ok(())
        })
    }

    /// Hands out every row in the order of the keys, with its number; all of them as one hash.
    fn walk(
        &self,
        c: &Snapshot<'_>,
        mut each: impl FnMut(Vec<Owned>, u64) -> Result<(), Error>,
    ) -> Result<MigratedTable, Error> {
        let (mut hasher, mut rows) = (Hasher::new(), 0);
        let mut statement = c.prepare(&self.select())?;
        let mut cursor = statement.query(())?;
        while let Some(found) = cursor.next()? {
            let mut row = Vec::with_capacity(self.columns.len());
            for at in 0..self.columns.len() {
                row.push(portable(found.get(at)?));
            }
            row.iter().for_each(|value| feed(&mut hasher, value));
            rows += 1;
            each(row, rows)?;
        }
        let blake3 = hasher.finalize().to_hex().to_string();
        Ok(MigratedTable { table: self.name.clone(), rows, blake3 })
    }

    fn select(&self) -> String {
        let only = if self.name == "meta" { NOT_COUNTERS } else { "" };
        let (columns, key) = (self.columns.join(", "), self.key.join(", "));
        format!("SELECT {columns} FROM {} {only} ORDER BY {key}", quoted(&self.name))
    }

    fn insert(&self, rows: usize) -> String {
        let width = self.columns.len();
        let row = |no: usize| {
            let values: Vec<String> = (1..=width).map(|at| format!("?{}", no * width + at)).collect();
            format!("({})", values.join(", "))
        };
        let rows: Vec<String> = (0..rows).map(row).collect();
        format!("INSERT INTO {} ({}) VALUES {}", quoted(&self.name), self.columns.join(", "), rows.join(", "))
    }
}

fn run(c: &Link<'_>, sql: &str, rows: &[Vec<Owned>]) -> Result<(), Error> {
    let values: Vec<Value<'_>> = rows.iter().flatten().map(Bind::value).collect();
    c.run(sql, &values[..]).map(drop)
}

/// Some columns are called what SQL has a meaning for.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// Text as both sides hold it: a server has no room for one character, and the engine writes it so there.
fn portable(value: Owned) -> Owned {
    match value {
        Owned::Text(held) => Owned::Text(text(held)),
        other => other,
    }
}

/// What kind of value, how long, and its bytes: no two rows are fed alike.
fn feed(hasher: &mut Hasher, value: &Owned) {
    let (kind, number, bytes): (u8, i64, &[u8]) = match value {
        Owned::Null => (0, 0, &[]),
        Owned::Int(n) => (1, *n, &[]),
        Owned::Text(text) => (2, text.len() as i64, text.as_bytes()),
        Owned::Bytes(bytes) => (3, bytes.len() as i64, bytes),
    };
    hasher.update(&[kind]).update(&number.to_be_bytes()).update(bytes);
}
