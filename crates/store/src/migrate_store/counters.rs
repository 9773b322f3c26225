//! Where keys and positions go on, so that none is used twice: a server has a row for it, a file takes it
//! from what it keeps and notes only what is gone.

use crate::backup::{last_job, last_position};
use crate::error::Error;
use crate::sql::{Link, params};

/// The last that was used of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) position: i64,
    pub(super) last_job: i64,
    /// A file takes it from the lists that it keeps.
    last_list: i64,
}

/// Attempts outlive the lists that they stand in.
const LAST_LIST: &str = "SELECT max(coalesce((SELECT max(key) FROM report_lists), 0),
                         coalesce((SELECT max(receipt_list) FROM attempts), 0))";
const NOTED: &str = "INSERT INTO meta (name, value) VALUES ('last_job', ?1), ('last_position', ?2)";
/// Each key that the server counts by itself.
const COUNTED: &str = "SELECT quote_ident(table_name) FROM information_schema.columns
                       WHERE table_schema = current_schema() AND is_identity = 'YES' AND column_name = 'key'";

impl Counters {
    pub(super) fn read(c: &Link<'_>) -> Result<Counters, Error> {
        match c {
            Link::Sqlite(file) => Ok(Counters {
                position: last_position(file)?,
                last_job: last_job(file)?,
                last_list: c.value(LAST_LIST, ())?,
            }),
            Link::Postgres(_) => {
                let head = c.row("SELECT position, last_job, last_list FROM head", (), |r| {
                    Ok(Counters { position: r.get(0)?, last_job: r.get(1)?, last_list: r.get(2)? })
                })?;
                head.ok_or_else(|| Error::Malformed { table: "head", what: "it has no row".into() })
            }
        }
    }

    /// Writes them into a database that has the rows already.
    pub(super) fn write(&self, c: &Link<'_>) -> Result<(), Error> {
        let Counters { position, last_job, last_list } = self;
        match c {
            Link::Sqlite(_) => {
                let digits = |n: &i64| n.to_string().into_bytes();
                c.run(NOTED, [digits(last_job), digits(position)]).map(drop)
            }
            Link::Postgres(_) => {
                let sql = "UPDATE head SET position = ?1, last_job = ?2, last_list = ?3";
                c.run(sql, params![position, last_job, last_list])?;
                for table in c.rows(COUNTED, (), |r| r.get::<String>(0))? {
                    let sql = format!(
                        "SELECT setval(pg_get_serial_sequence('{table}', 'key'), \
                         (SELECT coalesce(max(key), 0) FROM {table}) + 1, false)"
                    );
                    c.value::<i64>(&sql, ())?;
                }
                Ok(())
            }
        }
    }
}
