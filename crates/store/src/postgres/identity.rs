//! What a database is called and keeps secret, made by whoever is the first to start on it.

use super::Postgres;
use super::connection::Param;
use crate::Error;
use crate::open::{Identity, fresh_uuid, random};
use ciro_core::time::Timestamp;
use tokio_postgres::types::Type;
use uuid::Uuid;

impl Postgres {
    /// Reads the identity, making what is missing, and counts this start.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) fn identify(&self, now: Timestamp) -> Result<Identity, Error> {
        self.c.begin()?;
        let made = self.make(now);
        self.c.batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        made
    }

    fn make(&self, now: Timestamp) -> Result<Identity, Error> {
        // Several may start at once: one of them makes what is missing, and the others wait for it.
        self.c.batch("LOCK TABLE meta IN SHARE ROW EXCLUSIVE MODE")?;
        let secret = self.meta_or_make("server_secret", || random::<32>().map(Vec::from))?;
        let instance = self.meta_or_make("instance_id", || Ok(fresh_uuid(now)?.as_bytes().to_vec()))?;
        let epoch = self.meta_or_make("epoch", || Ok(0u64.to_be_bytes().to_vec()))?;
        let epoch = u64::from_be_bytes(epoch.try_into().map_err(|_| malformed("epoch"))?) + 1;
        let next = epoch.to_be_bytes();
        self.c
            .execute("UPDATE meta SET value = $1 WHERE name = 'epoch'", &[(&next.as_slice(), Type::BYTEA)])?;
        let uid = fresh_uuid(now)?;
        let params: [Param<'_>; 2] = [(&uid.as_bytes().as_slice(), Type::BYTEA), (&now.0, Type::INT8)];
        let sql = "INSERT INTO tenants (key, uid, name, created_at) VALUES (1, $1, 'default', $2) \
                   ON CONFLICT (key) DO NOTHING";
        self.c.execute(sql, &params)?;
        Ok(Identity {
            server_secret: secret.try_into().map_err(|_| malformed("server_secret"))?,
            instance: Uuid::from_slice(&instance).map_err(|_| malformed("instance_id"))?,
            epoch,
        })
    }

    fn meta_or_make(
        &self,
        name: &'static str,
        make: impl FnOnce() -> Result<Vec<u8>, Error>,
    ) -> Result<Vec<u8>, Error> {
        let found = self.c.query("SELECT value FROM meta WHERE name = $1", &[(&name, Type::TEXT)])?;
        if let Some(row) = found.first() {
            return Ok(row.try_get(0)?);
        }
        let value = make()?;
        let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)";
        self.c.execute(sql, &[(&name, Type::TEXT), (&value, Type::BYTEA)])?;
        Ok(value)
    }
}

fn malformed(name: &str) -> Error {
    Error::Malformed { table: "meta", what: format!("{name} has the wrong length") }
}
