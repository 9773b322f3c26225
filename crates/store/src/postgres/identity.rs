//! What a database is called and keeps secret, made by whoever is the first to start on it; and which data
//! folder is its own: coordinators that share a database share the bytes of artifacts too, so the folder
//! carries the name of the database, and the database knows that it has one.

use super::Postgres;
use super::connection::Param;
use crate::Error;
use crate::error::OpenError;
use crate::open::{Identity, fresh_uuid, random};
use ciro_core::time::Timestamp;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The file of a data folder that says whose it is.
const MARK: &str = "database-id";

impl Postgres {
    /// Reads the identity, making what is missing, and counts this start.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) fn identify(&self, now: Timestamp) -> Result<Identity, Error> {
        self.alone(|| self.make(now))
    }

    /// Holds the name of its database that a folder carries against this one's, which is committed by now;
    /// whoever is the first with a folder marks both.
    ///
    /// # Errors
    /// [`OpenError::DataDir`] where it is not the folder that the others use; when the database does not
    /// answer.
    pub(crate) fn take_folder(&self, data_dir: &Path, instance: Uuid) -> Result<(), Error> {
        self.alone(|| self.hold_against(data_dir, instance))
    }

    /// Several may start at once: one of them makes what is missing, and the others wait for it.
    fn alone<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.c.begin()?;
        let done = self.c.batch("LOCK TABLE meta IN SHARE ROW EXCLUSIVE MODE").and_then(|()| work());
        if done.is_err() && self.c.is_lost() {
            return done;
        }
        self.c.batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        done
    }

    fn make(&self, now: Timestamp) -> Result<Identity, Error> {
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

    fn hold_against(&self, data_dir: &Path, instance: Uuid) -> Result<(), Error> {
        let (mark, wanted) = (data_dir.join(MARK), instance.to_string());
        let io = |source| OpenError::Io { path: mark.display().to_string(), source };
        let wrong =
            |why: String| Error::from(OpenError::DataDir { path: data_dir.display().to_string(), why });
        match std::fs::read_to_string(&mark) {
            Ok(found) if found.trim() == wanted => {}
            Ok(found) => return Err(wrong(format!("it belongs to another database ({})", found.trim()))),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error).into()),
            Err(_) if self.has_folder()? => {
                return Err(wrong(format!(
                    "it is not the folder that this database has its artifacts in: its file {MARK} is missing; name the \
                     folder that all coordinators share, or, if the artifacts are lost or were copied here without \
                     it, write {wanted} into that file"
                )));
            }
            Err(_) => write_mark(&mark, &wanted).map_err(io)?,
        }
        let sql = "INSERT INTO meta (name, value) VALUES ('data_dir', '') ON CONFLICT (name) DO NOTHING";
        self.c.execute(sql, &[]).map(drop)
    }

    fn has_folder(&self) -> Result<bool, Error> {
        Ok(!self.c.query("SELECT 1 FROM meta WHERE name = 'data_dir'", &[])?.is_empty())
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

/// Complete and on disk under its name, or not there.
fn write_mark(mark: &Path, text: &str) -> std::io::Result<()> {
    let folder = mark.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let partial = mark.with_extension("partial");
    std::fs::write(&partial, format!("{text}\n"))?;
    File::open(&partial)?.sync_all()?;
    std::fs::rename(&partial, mark)?;
    File::open(folder)?.sync_all()
}

fn malformed(name: &str) -> Error {
    Error::Malformed { table: "meta", what: format!("{name} has the wrong length") }
}
