//! A database on a PostgreSQL server, to which several coordinators may write.

mod address;
pub(crate) mod connection;
mod failure;
mod migrate;

pub use address::Address;

use crate::Error;
use crate::error::OpenError;
use crate::open::Synchronous;
use connection::Connection;

/// The oldest server that the schema is tried on.
const OLDEST: i32 = 150_000;

/// See the module.
#[derive(Debug)]
pub struct Postgres {
    c: Connection,
}

impl Postgres {
    /// Connects, and brings the schema to what this program knows.
    ///
    /// # Errors
    /// [`OpenError`], each saying what to do; [`Error::Unavailable`] where nobody answers.
    pub fn open(address: &Address, synchronous: Synchronous) -> Result<Postgres, Error> {
        let shown = address.to_string();
        let c = Connection::open(address, synchronous).map_err(|error| explain(&shown, error))?;
        check_server(&c, &shown)?;
        let was = migrate::migrate(&c, &shown).map_err(|error| explain(&shown, error))?;
        if was > 0 && was < crate::SCHEMA_VERSION {
            tracing::info!(from = was, to = crate::SCHEMA_VERSION, "migrated the database");
        }
        Ok(Postgres { c })
    }

    /// The version of its schema.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and the like.
    pub fn schema(&self) -> Result<i64, Error> {
        let rows = self.c.query("SELECT version FROM schema_version", &[])?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
    }
}

/// The version of the schema of a database, 0 for an empty one.
///
/// # Errors
/// [`OpenError::NotOurs`].
pub(crate) fn schema_version(c: &Connection, shown: &str) -> Result<i64, Error> {
    migrate::version(c, shown)
}

/// Whether the server can keep what is promised.
fn check_server(c: &Connection, shown: &str) -> Result<(), Error> {
    let sql = "SELECT current_setting('server_version_num')::INT4, current_setting('server_encoding'), \
               current_setting('fsync'), current_setting('full_page_writes')";
    let rows = c.query(sql, &[])?;
    let Some(row) = rows.first() else { return Ok(()) };
    let refused = |why: String| Error::from(OpenError::Server { address: shown.into(), why });
    let version: i32 = row.try_get(0)?;
    if version < OLDEST {
        return Err(refused(format!("it is PostgreSQL {}; 15 or newer is needed", version / 10_000)));
    }
    let encoding: &str = row.try_get(1)?;
    if encoding != "UTF8" {
        return Err(refused(format!("its encoding is {encoding}; make one with ENCODING 'UTF8'")));
    }
    let (fsync, pages): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
    if fsync == "off" || pages == "off" {
        tracing::warn!(
            fsync,
            full_page_writes = pages,
            "acknowledged work does not survive a power cut of the database"
        );
    }
    Ok(())
}

/// Names what a person can do something about.
fn explain(shown: &str, error: Error) -> Error {
    let Error::Postgres(failed) = &error else { return error };
    let Some(said) = failed.as_db_error() else { return error };
    // Classes 28 (who), 3D and 3F (which database, which schema), 42501 (may not).
    let code = said.code().code();
    if code.starts_with("28") || code.starts_with("3D") || code.starts_with("3F") || code == "42501" {
        return OpenError::Server { address: shown.into(), why: said.message().to_owned() }.into();
    }
    error
}
