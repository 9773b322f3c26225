//! PostgreSQL behind a [`Link`](super::Link): the same texts as it reads them, and what goes in and
//! comes out in its types.

use super::cell::Cell;
use super::{AND_RARE, Value};
use crate::error::Error;
use crate::postgres::connection::{Connection, Param};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::error::Error as StdError;
use std::rc::Rc;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

/// Texts that a thread keeps: more than there are, but for those that vary with what is asked.
const MAX_TEXTS: usize = 1_024;

thread_local! {
    /// Texts as PostgreSQL reads them, by what they are here.
    static TEXTS: RefCell<FxHashMap<Box<str>, Rc<str>>> = RefCell::default();
}

/// The rows of a query.
pub(super) fn rows(c: &Connection, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
    c.read(&text(sql), &typed(values)?)
}

/// The rows of a query that looks for one key, for all of these.
pub(super) fn rows_of(c: &Connection, sql: &str, keys: &[i64]) -> Result<Vec<Row>, Error> {
    c.read(&text(sql).replace("= $1", "= ANY($1)"), &[(&keys, Type::INT8_ARRAY)])
}

/// How many rows a statement changed.
pub(super) fn run(c: &Connection, sql: &str, values: &[Value<'_>]) -> Result<usize, Error> {
    Ok(c.execute(&text(sql), &typed(values)?)? as usize)
}

/// Runs reads that see one instant.
pub(super) fn snapshot<T>(c: &Connection, reads: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    c.begin_snapshot()?;
    let read = reads();
    // Nothing was written; where it was the connection that failed, the server ends it by itself.
    let ended = c.batch("COMMIT");
    read.and_then(|read| ended.map(|()| read))
}

/// The text as PostgreSQL reads it, made once.
pub(super) fn text(sql: &str) -> Rc<str> {
    TEXTS.with_borrow_mut(|texts| {
        if let Some(known) = texts.get(sql) {
            return Rc::clone(known);
        }
        if texts.len() >= MAX_TEXTS {
            texts.clear();
        }
        let made: Rc<str> = translated(sql).into();
        texts.insert(sql.into(), Rc::clone(&made));
        made
    })
}

/// `?1` is `$1` there, and which index is taken is not for us to say: what is for the planner of SQLite
/// alone is left out.
fn translated(sql: &str) -> String {
    let mut words = sql.replace("NOT INDEXED ", "").replace(AND_RARE, "");
    while let Some(at) = words.find("INDEXED BY ") {
        let name = at + "INDEXED BY ".len();
        let end = words[name..].find(' ').map_or(words.len(), |length| name + length + 1);
        words.replace_range(at..end, "");
    }
    words.replace('?', "$")
}

/// What goes in, by reference, with its type; of what is not there the server finds the type.
pub(super) fn typed<'a>(values: &'a [Value<'a>]) -> Result<Vec<Param<'a>>, Error> {
    let typed = |value: &'a Value<'a>| -> Result<Param<'a>, Error> {
        Ok(match value {
            Value::Null => (&None::<&str>, Type::UNKNOWN),
            Value::Int(n) => (n, Type::INT8),
            Value::Text(text) => (text, Type::TEXT),
            Value::Bytes(bytes) => (bytes, Type::BYTEA),
            Value::TooLarge(n) => {
                return Err(Error::Malformed {
                    table: "query",
                    what: format!("{n} is too large to be stored"),
                });
            }
        })
    };
    values.iter().map(typed).collect()
}

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Cell::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Cell::Int(i32::from_sql(ty, raw)?.into()),
            Type::BOOL => Cell::Int(bool::from_sql(ty, raw)?.into()),
            Type::TEXT | Type::VARCHAR | Type::NAME => Cell::Text(raw),
            Type::BYTEA => Cell::Bytes(raw),
            _ => Cell::Other,
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Cell::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_what_the_server_reads() {
        let said = |sql: &str| text(sql).to_string();
        assert_eq!(said("SELECT ?1, ?12 FROM t"), "SELECT $1, $12 FROM t");
        assert_eq!(said("SELECT a FROM t INDEXED BY t_live WHERE b = ?1"), "SELECT a FROM t WHERE b = $1");
        assert_eq!(said("SELECT a FROM t NOT INDEXED GROUP BY a"), "SELECT a FROM t GROUP BY a");
    }
}
