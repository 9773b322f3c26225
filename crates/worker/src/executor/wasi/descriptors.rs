//! The guest's descriptors: 0 input, 1 and 2 logs, 3 to 5 the directories `/in`, `/out` and
//! `/tmp`, then what it opens, always the lowest free number.

use super::abi::Errno;
use super::logs::Stream;
use super::tree::{Entry, IN, Ino, OUT, TMP};
use std::collections::BTreeMap;

/// Descriptors that may be open at once.
pub(crate) const MAX_DESCRIPTORS: u32 = 256;

/// An open regular file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenFile {
    pub(crate) ino: Ino,
    pub(crate) position: u64,
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) append: bool,
}

/// What a number stands for.
#[derive(Debug)]
pub(crate) enum Descriptor {
    /// Standard input where the job names none.
    Empty,
    Log(Stream),
    /// A directory; `listing` is what the last enumeration from the start saw, so that changes
    /// made meanwhile neither hide nor repeat an entry.
    Dir {
        ino: Ino,
        preopened: Option<&'static str>,
        listing: Vec<Entry>,
    },
    File(OpenFile),
}

impl Descriptor {
    /// The inode that is held open by it.
    pub(crate) fn ino(&self) -> Option<Ino> {
        match self {
            Descriptor::Empty | Descriptor::Log(_) => None,
            Descriptor::Dir { ino, .. } | Descriptor::File(OpenFile { ino, .. }) => Some(*ino),
        }
    }
}

/// Numbers in use.
#[derive(Debug)]
pub(crate) struct Descriptors(BTreeMap<u32, Descriptor>);

impl Descriptors {
    /// The six that every program starts with. The caller has opened what `stdin` names.
    pub(crate) fn new(stdin: Option<Ino>) -> Self {
        let input = match stdin {
            Some(ino) => {
                Descriptor::File(OpenFile { ino, position: 0, read: true, write: false, append: false })
            }
            None => Descriptor::Empty,
        };
        let dir = |ino, name| Descriptor::Dir { ino, preopened: Some(name), listing: Vec::new() };
        let first = [
            input,
            Descriptor::Log(Stream::Out),
            Descriptor::Log(Stream::Err),
            dir(IN, "/in"),
            dir(OUT, "/out"),
            dir(TMP, "/tmp"),
        ];
        Descriptors((0..).zip(first).collect())
    }

    pub(crate) fn get(&self, fd: u32) -> Result<&Descriptor, Errno> {
        self.0.get(&fd).ok_or(Errno::Badf)
    }

    pub(crate) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.0.get_mut(&fd).ok_or(Errno::Badf)
    }

    pub(crate) fn dir(&self, fd: u32) -> Result<Ino, Errno> {
        match self.get(fd)? {
            Descriptor::Dir { ino, .. } => Ok(*ino),
            Descriptor::Empty | Descriptor::Log(_) | Descriptor::File(_) => Err(Errno::Notdir),
        }
    }

    /// An open regular file; a stream that cannot seek answers `on_stream`.
    pub(crate) fn file_mut(&mut self, fd: u32, on_stream: Errno) -> Result<&mut OpenFile, Errno> {
        match self.get_mut(fd)? {
            Descriptor::File(file) => Ok(file),
            Descriptor::Dir { .. } => Err(Errno::Isdir),
            Descriptor::Empty | Descriptor::Log(_) => Err(on_stream),
        }
    }

    /// Puts `descriptor` on the lowest free number.
    pub(crate) fn add(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        let fd = self.free()?;
        self.0.insert(fd, descriptor);
        Ok(fd)
    }

    /// The lowest free number.
    pub(crate) fn free(&self) -> Result<u32, Errno> {
        (0..MAX_DESCRIPTORS).find(|fd| !self.0.contains_key(fd)).ok_or(Errno::Mfile)
    }

    pub(crate) fn remove(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        self.0.remove(&fd).ok_or(Errno::Badf)
    }

    /// Moves `from` onto `to`; the answer is what was there.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Result<Option<Descriptor>, Errno> {
        self.get(to)?;
        if from == to {
            return Ok(None);
        }
        let moved = self.remove(from)?;
        Ok(self.0.insert(to, moved))
    }
}
