//! Where lines go: standard error, or a file. A line that the file does not take goes to standard
//! error, so that a full disk silences nobody.

use super::rotate::LogFile;
use crate::config::Log;
use parking_lot::Mutex;
use std::io::{self, Write};
use tracing_subscriber::fmt::MakeWriter;

/// Where lines go.
#[derive(Debug)]
pub(super) enum Place {
    /// Standard error.
    Stderr,
    /// A file.
    File(Box<LogFile>),
}

impl Place {
    /// What the settings say.
    pub(super) fn of(log: &Log) -> io::Result<Place> {
        Ok(match &log.file {
            None => Place::Stderr,
            Some(path) => Place::File(Box::new(LogFile::open(path, log)?)),
        })
    }
}

/// See the module. Lines are written as wholes, one after the other.
#[derive(Debug)]
pub(super) struct Sink(Mutex<Place>);

impl Sink {
    pub(super) fn new(place: Place) -> Sink {
        Sink(Mutex::new(place))
    }

    /// Writes to another place from now on.
    pub(super) fn exchange(&self, place: Place) {
        *self.0.lock() = place;
    }

    /// Opens the file again, where there is one.
    pub(super) fn reopen(&self) {
        if let Place::File(file) = &mut *self.0.lock()
            && let Err(error) = file.reopen()
        {
            complain(&format!("the log file {} cannot be opened again: {error}\n", file.path().display()));
        }
    }
}

impl Write for &Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &mut *self.0.lock() {
            Place::Stderr => io::stderr().write_all(line)?,
            Place::File(file) => match file.write(line) {
                Ok(()) => {}
                Err(error) => {
                    complain(&format!("the log file {} takes no line: {error}\n", file.path().display()));
                    io::stderr().write_all(line)?;
                }
            },
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nobody can be told when standard error itself is gone.
fn complain(words: &str) {
    let _ = io::stderr().write_all(words.as_bytes());
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = &'a Sink;
    fn make_writer(&'a self) -> &'a Sink {
        self
    }
}
