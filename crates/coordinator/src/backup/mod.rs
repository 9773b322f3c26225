//! Backups: a folder that holds one instant of the database, the artifacts that it names and the logs
//! of attempts, with a manifest that names every file by its hash.
//!
//! Data moves one way. `make` copies the database first and asks the copy what it names, so that
//! whatever is put beside it belongs to that instant; it works beside a running coordinator, as a
//! reader, and needs nothing from it. `check` holds a folder against its manifest. `restore` turns it
//! into a database that begins a new epoch, and `epoch` has one begin that other tools brought back. `keep` lists a folder of backups and lets the oldest go.
//!
//! Invariant: a folder gets its name only when everything in it is verified and on disk; whatever is
//! unfinished is called `….partial` and carries no manifest.

mod check;
pub mod command;
pub mod epoch;
mod error;
mod files;
mod keep;
mod lists;
mod make;
mod manifest;
mod progress;
mod restore;

/// What is told where a backup is asked for of a database on a server.
pub const FILES_ONLY: &str = "backups of the coordinator are of SQLite files: back up a PostgreSQL database with \
     pg_dump, or with pg_basebackup and its archived log, and the data folder beside it (docs/backup.md)";

pub use check::{Checked, check};
pub use error::BackupError;
pub use keep::{Keeping, Kept, clear_unfinished, kept, let_go};
pub use make::{Making, make};
pub use manifest::{FORMAT, Listed, MANIFEST, Manifest, Sealed};
pub use progress::{Phase, Progress, Watch, unwatched};
pub use restore::{RestoreReport, Restoring, restore};
