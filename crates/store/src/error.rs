//! Errors of the store, by what the caller can do about them.

use ciro_core::command::Refusal;
use ciro_core::id::Hash;
use ciro_core::money::MoneyError;
use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine refused: nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No such row, or not this tenant's.
    #[error("not found")]
    NotFound,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for a different request")]
    IdempotencyMismatch,
    /// An artifact that is named is not stored, or not granted to this tenant.
    #[error("artifact {0} is not stored")]
    ArtifactMissing(Hash),
    /// A bound is reached: come back later.
    #[error("{what} is at its limit of {limit}")]
    Limit {
        /// What is full.
        what: &'static str,
        /// Its bound.
        limit: u64,
    },
    /// A tenant uses as much as it may.
    #[error("the quota {quota} is used up: {level} of {cap}")]
    Quota {
        /// Its name.
        quota: &'static str,
        /// How much is used.
        level: u64,
        /// How much may be.
        cap: u64,
    },
    /// Money that does not move, and why: nothing was changed.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// Something of which there is only one belongs to another.
    #[error("this {what} is taken")]
    Taken {
        /// What it is.
        what: &'static str,
    },
    /// The writer's queue is full: come back in a moment.
    #[error("the writer's queue is full")]
    Overloaded,
    /// The session has ended or was never opened here.
    #[error("the session has ended")]
    SessionEnded,
    /// The disk is full: nothing was written.
    #[error("the disk that holds the database is full")]
    DiskFull,
    /// The database does not answer: nothing was written, and whether what was under way was, is said.
    #[error("the database does not answer")]
    Unavailable {
        /// Whether it is certain that nothing was written.
        certain: bool,
    },
    /// Another coordinator leads now: nothing was written.
    #[error("another coordinator leads")]
    NotLeading,
    /// The store is closing or has stopped.
    #[error("the store has stopped")]
    Stopped,
    /// The database could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Anything the caller can do nothing about.
    #[error("database error")]
    Database(#[from] rusqlite::Error),
    /// The same of a PostgreSQL server.
    #[error("database error: {}", said(.0))]
    Postgres(#[source] tokio_postgres::Error),
    /// A row that this version cannot read.
    #[error("malformed row in {table}: {what}")]
    Malformed {
        /// Where.
        table: &'static str,
        /// What.
        what: String,
    },
}

impl Error {
    /// Whether a row was refused by a constraint of the schema.
    pub(crate) fn is_constraint(&self) -> bool {
        match self {
            Error::Database(error) => error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation),
            // Class 23 is that of integrity constraints.
            Error::Postgres(error) => error.code().is_some_and(|code| code.code().starts_with("23")),
            _ => false,
        }
    }

    /// Whether the same may be tried again: nothing of it was done, and nothing was wrong with it.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Error::Unavailable { certain } => *certain,
            // Two transactions stood in each other's way (class 40).
            Error::Postgres(error) => error.code().is_some_and(|code| code.code().starts_with("40")),
            _ => false,
        }
    }

    /// Whether a page of the database cannot be read.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Error::Database(error) => error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt),
            Error::Postgres(error) => error
                .code()
                .is_some_and(|code| [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code)),
            _ => false,
        }
    }
}

/// What the server said, in its words.
fn said(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Why a database file could not be opened; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{path} is in use by another coordinator (its lock is held); stop that one first, or name another database"
    )]
    Locked {
        /// The file.
        path: String,
    },
    /// A file system without the locks and syncs that durability needs.
    #[error("{path} lies on a network file system ({kind}); put the database on a local disk")]
    NetworkFileSystem {
        /// The file.
        path: String,
        /// What was found.
        kind: &'static str,
    },
    /// No permission to write.
    #[error("{path} cannot be written; check its owner and permissions, and those of its folder")]
    ReadOnly {
        /// The file.
        path: String,
    },
    /// A newer program wrote it, and older ones may not use it.
    #[error(
        "{path} has schema {found}, which programs that know schemas from {oldest} on may use, and this one knows {known}; \
         start a newer program, or restore the backup from before the upgrade"
    )]
    NewerSchema {
        /// The database.
        path: String,
        /// Version found.
        found: i64,
        /// The oldest program that may use it, by the newest version that it knows.
        oldest: i64,
        /// Newest version known.
        known: i64,
    },
    /// The next migration takes away what programs need that use the database now.
    #[error(
        "{path} is not brought to schema {to} while coordinators use it whose programs need what that takes away: {who}; \
         start them again with a program that knows schema {oldest} or a newer one first (one that was killed counts as \
         gone after {after_s} s)"
    )]
    OlderPrograms {
        /// The database.
        path: String,
        /// The migration.
        to: i64,
        /// The coordinators, with the versions of their programs.
        who: String,
        /// The oldest program that may stay.
        oldest: i64,
        /// Silence after which one is taken for gone, s.
        after_s: i64,
    },
    /// Not one of ours.
    #[error("{path} is not a coordinator's database: {why}")]
    NotOurs {
        /// The file.
        path: String,
        /// Why not.
        why: String,
    },
    /// Not the address of a database.
    #[error("the database's address cannot be used: {why}")]
    Address {
        /// What is wrong with it.
        why: String,
    },
    /// A server that cannot be worked with.
    #[error("{address}: {why}")]
    Server {
        /// Where, without its password.
        address: String,
        /// Why not.
        why: String,
    },
    /// A coordinator works on it that would have to stop first.
    #[error("{address} is in use by the coordinator {name}, which gives signs of life; stop it first")]
    InUse {
        /// Where, without its password.
        address: String,
        /// What the coordinator is called.
        name: String,
    },
    /// A data folder of somebody else.
    #[error("the data folder {path} cannot be used: {why}")]
    DataDir {
        /// The folder.
        path: String,
        /// Why not, and what to do.
        why: String,
    },
    /// The folder cannot be made or read.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
}
