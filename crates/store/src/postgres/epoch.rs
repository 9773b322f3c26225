//! Who may go on with a database: when programs of an older schema are shut out, or a new epoch begins,
//! those that were not seen and may be asleep find at their next turn that they may not.

use super::connection::Connection;
use super::turns::{NOBODY, now};
use super::{Postgres, explain};
use crate::Error;
use crate::error::OpenError;
use crate::verify::SILENT_MS;
use std::time::Duration;
use tokio_postgres::types::Type;

/// Longer than between two signs of life of a coordinator.
const WATCHED: Duration = Duration::from_secs(5);

/// Keeps the list of coordinators as it is: whoever joins waits for the end of the transaction.
pub(super) fn hold_list(c: &Connection) -> Result<(), Error> {
    c.batch("LOCK TABLE coordinators IN SHARE ROW EXCLUSIVE MODE")
}

/// Coordinators that gave a sign of life within a minute and whose programs know less than `schema`: what
/// they are called, their versions, and when it was.
pub(super) fn there(c: &Connection, schema: i64) -> Result<Vec<(String, String, i64)>, Error> {
    let sql = concat!(
        "SELECT name, version, seen_at FROM coordinators WHERE schema < $1 AND ended_at IS NULL AND seen_at > ",
        now!(),
        " - $2 ORDER BY name"
    );
    let rows = c.query(sql, &[(&schema, Type::INT8), (&SILENT_MS, Type::INT8)])?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}

/// Shuts out all whose programs know less than `schema`.
pub(super) fn shut_out(c: &Connection, schema: i64) -> Result<(), Error> {
    let sql = concat!(
        "UPDATE coordinators SET uid = $2, ended_at = coalesce(ended_at, ",
        now!(),
        ") WHERE schema < $1"
    );
    c.execute(sql, &[(&schema, Type::INT8), (&NOBODY.as_slice(), Type::BYTEA)]).map(drop)
}

impl Postgres {
    /// Waits whether a coordinator gives a sign of life, where there is one that may. What a server has
    /// that was recovered looks alive, and stands still.
    ///
    /// # Errors
    /// [`OpenError::InUse`].
    pub(crate) fn is_left_alone(&self) -> Result<(), Error> {
        let shown = self.c.address().to_string();
        let before = there(&self.c, i64::MAX).map_err(|error| explain(&shown, error))?;
        if before.is_empty() {
            return Ok(());
        }
        std::thread::sleep(WATCHED);
        let alive = there(&self.c, i64::MAX)?.into_iter().find(|seen| !before.contains(seen));
        match alive {
            Some((name, ..)) => Err(OpenError::InUse { address: shown, name }.into()),
            None => Ok(()),
        }
    }

    /// Shuts out everybody in a group of this one, which leaves the list with it.
    pub(crate) fn begin_alone(&self) -> Result<(), Error> {
        hold_list(&self.c)?;
        let (me, _) = self.me;
        self.c.execute("DELETE FROM coordinators WHERE key = $1", &[(&me.0, Type::INT8)])?;
        shut_out(&self.c, i64::MAX)
    }
}
