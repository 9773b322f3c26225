//! Which program may use which schema. A schema is called by the number of its last migration, a program
//! by the last one that it knows. Older programs go on beside a migration that only adds what they need
//! not know, and can be started again on it: so coordinators are brought to a new version one by one.
//! A migration that takes something away ends that for the programs that still need it.
//!
//! Data moves one way: each migration says the oldest program that may use what it leaves ([`OLDEST`]),
//! whoever applies it writes that into the database (`compatibility`), and a program that finds a schema
//! newer than its own reads it there.

use super::SCHEMA_VERSION;
use crate::error::OpenError;

/// For each migration in order, the oldest program that may use a database which has it; never less than
/// the one before. A migration that only adds repeats the number before it. One that takes away what
/// programs up to `n` need says `n + 1`, and is not applied while one of those runs. `CONTRIBUTING.md`
/// says what "only adds" means.
pub(crate) const OLDEST: [i64; SCHEMA_VERSION as usize] =
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 13, 13, 16, 16, 16, 16, 16];

/// The migration that brought `compatibility`.
pub(crate) const MARKED: i64 = 14;

/// A migration.
#[derive(Debug, Clone, Copy)]
pub struct Migration<'a> {
    /// What it does.
    pub sql: &'a str,
    /// The oldest program that may use what it leaves.
    pub oldest: i64,
}

/// Each migration of a database with its entry in [`OLDEST`].
pub(crate) fn migrations<'a>(sql: &[&'a str]) -> Vec<Migration<'a>> {
    sql.iter().zip(OLDEST).map(|(&sql, oldest)| Migration { sql, oldest }).collect()
}

/// The schema that a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// How many migrations were applied; 0 in an empty database.
    pub version: i64,
    /// The oldest program that may use it.
    pub oldest_program: i64,
}

impl Schema {
    /// One that says nothing of other programs.
    pub(crate) fn only(version: i64) -> Schema {
        Schema { version, oldest_program: version }
    }

    /// Lets a program in that knows `known` migrations.
    ///
    /// # Errors
    /// [`OpenError::NewerSchema`].
    pub(crate) fn admit(self, path: &str, known: i64) -> Result<(), OpenError> {
        if self.version <= known || self.oldest_program <= known {
            return Ok(());
        }
        let Schema { version: found, oldest_program: oldest } = self;
        Err(OpenError::NewerSchema { path: path.to_owned(), found, oldest, known })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_migration_says_who_may_stay() {
        let versions = 1..=SCHEMA_VERSION;
        assert!(OLDEST.iter().zip(versions).all(|(oldest, version)| *oldest <= version), "{OLDEST:?}");
        assert!(OLDEST.is_sorted(), "who was shut out is not let in again: {OLDEST:?}");
    }

    #[test]
    fn a_newer_schema_lets_in_whom_it_names() {
        let schema = Schema { version: 20, oldest_program: 17 };
        for known in [17, 19, 20, 21] {
            schema.admit("it", known).unwrap();
        }
        let refused = schema.admit("it", 16).unwrap_err().to_string();
        assert!(refused.contains("schema 20") && refused.contains("from 17 on"), "{refused}");
    }
}
