//! The connection of a reading thread: to a file, which stays, or to a server, which may go away and
//! come back. Reads that find no server hear so at once; the thread tries again now and then.

use super::Read;
use crate::Clock;
use crate::error::Error;
use crate::open::open_reader;
use crate::postgres::Address;
use crate::postgres::connection::Connection;
use crate::sql::Link;
use std::path::PathBuf;

/// How long nobody tries to connect after it failed, µs.
const PAUSE_US: u64 = 500_000;

/// Where the rows of a store are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// In a database on a server.
    Server(Box<Address>),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::File(path) => path.display().fmt(f),
            Source::Server(address) => address.fmt(f),
        }
    }
}

/// See the module.
pub(super) enum Reading {
    File(rusqlite::Connection),
    Server(Box<Server>),
}

/// A server, and the connection to it while there is one.
pub(super) struct Server {
    address: Address,
    connection: Option<Connection>,
    /// When it may be tried again, monotonic µs.
    not_before: u64,
}

impl Reading {
    /// Connects.
    ///
    /// # Errors
    /// When there is no such file, or no such server.
    pub(super) fn open(source: &Source) -> Result<Reading, Error> {
        Ok(match source {
            Source::File(path) => Reading::File(open_reader(path)?),
            Source::Server(address) => {
                let connection = Some(Connection::open_reader(address)?);
                let address = address.as_ref().clone();
                Reading::Server(Box::new(Server { address, connection, not_before: 0 }))
            }
        })
    }

    /// Runs a read.
    pub(super) fn run(&mut self, read: Read, clock: &dyn Clock) {
        match self {
            Reading::File(connection) => read(Ok(&Link::Sqlite(connection))),
            Reading::Server(server) => match server.connected(clock) {
                Ok(connection) => read(Ok(&Link::Postgres(connection))),
                Err(error) => read(Err(error)),
            },
        }
    }
}

impl Server {
    /// The connection; made again where it was lost.
    fn connected(&mut self, clock: &dyn Clock) -> Result<&Connection, Error> {
        if self.connection.as_ref().is_some_and(Connection::is_lost) {
            self.connection = None;
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None if clock.monotonic_us() < self.not_before => {
                return Err(Error::Unavailable { certain: true });
            }
            None => Connection::open_reader(&self.address)
                .inspect_err(|_| self.not_before = clock.monotonic_us() + PAUSE_US)?,
        };
        Ok(self.connection.insert(connection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::ManualClock;
    use crate::figures::Figures;
    use crate::read::Readers;
    use ciro_testkit as testkit;
    use std::sync::Arc;

    #[test]
    fn readers_find_a_server_that_came_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut server = testkit::Postgres::start(&[]).unwrap();
        let address = Address::parse(&server.address("postgres")).unwrap();
        let clock = Arc::new(ManualClock::new());
        let source = Source::Server(Box::new(address));
        let readers = Readers::open(&source, 1, clock.clone(), Arc::<Figures>::default()).unwrap();
        let read = || {
            runtime.block_on(readers.read(|c| {
                // More rows than the first page of a walk has, and a second walk beside it.
                c.snapshot(|c| {
                    let numbers = "SELECT n FROM generate_series(1, CAST(?1 AS BIGINT)) AS n";
                    let (mut all, mut few) = (c.prepare(numbers)?, c.prepare(numbers)?);
                    let (mut all, mut few) = (all.query([1_000])?, few.query([3])?);
                    let (mut sum, mut seen) = (0, 0);
                    while let Some(row) = all.next()? {
                        sum += row.get::<i64>(0)?;
                        seen += i64::from(few.next()?.is_some());
                    }
                    Ok((sum, seen))
                })
            }))
        };
        assert_eq!(read().unwrap(), (500_500, 3));

        server.kill().unwrap();
        assert!(matches!(read(), Err(Error::Unavailable { .. })));
        assert!(matches!(read(), Err(Error::Unavailable { .. })));
        server.restart().unwrap();
        // Nobody tries again before it is time.
        assert!(matches!(read(), Err(Error::Unavailable { .. })));
        clock.pass(PAUSE_US.div_ceil(1_000));
        assert_eq!(read().unwrap(), (500_500, 3));
    }
}
