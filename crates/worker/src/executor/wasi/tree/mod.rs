//! The guest's file tree: `/in` read only, `/out` and `/tmp` writable, nothing else. Directories
//! are sorted, and inode numbers count up in order of creation. This file owns the inodes and their
//! bytes; `names` walks and changes the directories.
//!
//! An inode lives while a directory names it or a descriptor holds it open.

mod names;

use super::abi::{Errno, FileType};
use super::fault::Stop;
use super::scratch::{InputRange, Scratch, ScratchFile};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Number of a file or directory; never used twice.
pub(crate) type Ino = u64;

pub(crate) const IN: Ino = 1;
pub(crate) const OUT: Ino = 2;
pub(crate) const TMP: Ino = 3;

const MAX_DEPTH: usize = 32;
#[derive(Debug)]
enum Body {
    Dir { entries: BTreeMap<String, Ino>, parent: Ino },
    Input(InputRange),
    Made(ScratchFile),
}

#[derive(Debug)]
struct Inode {
    body: Body,
    writable: bool,
    linked: bool,
    opens: u32,
}

/// What `stat` answers; times are always zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) ino: Ino,
    pub(crate) file_type: FileType,
    pub(crate) size: u64,
    pub(crate) links: u64,
    pub(crate) writable: bool,
}

/// One line of a directory listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) ino: Ino,
    pub(crate) file_type: FileType,
}

/// All inodes, and the directory that holds the bytes of those the guest made.
#[derive(Debug)]
pub(crate) struct Tree {
    inodes: BTreeMap<Ino, Inode>,
    next: Ino,
    inputs: usize,
    scratch: Scratch,
}

impl Tree {
    /// A tree whose `/in` holds `inputs`, by relative path; their numbers follow the sorted paths.
    pub(crate) fn new(inputs: BTreeMap<String, InputRange>, scratch: Scratch) -> Result<Self, Stop> {
        let mut tree = Tree { inodes: BTreeMap::new(), next: TMP + 1, inputs: 0, scratch };
        for (ino, writable) in [(IN, false), (OUT, true), (TMP, true)] {
            let body = Body::Dir { entries: BTreeMap::new(), parent: ino };
            tree.inodes.insert(ino, Inode { body, writable, linked: true, opens: 1 });
        }
        for (path, range) in inputs {
            let (mut dir, mut names) = (IN, path.split('/').peekable());
            while let Some(name) = names.next() {
                match (tree.child(dir, name)?, names.peek().is_some()) {
                    (Some(ino), true) => dir = ino,
                    (None, true) => {
                        dir = tree.insert(dir, name, Body::Dir { entries: BTreeMap::new(), parent: dir })?;
                    }
                    (None, false) => break,
                    (Some(_), false) => return Err(Errno::Exist.into()),
                }
            }
            let name = path.rsplit('/').next().unwrap_or(&path);
            tree.insert(dir, name, Body::Input(range))?;
        }
        tree.inputs = tree.inodes.len();
        Ok(tree)
    }

    fn inode(&self, ino: Ino) -> Result<&Inode, Errno> {
        self.inodes.get(&ino).ok_or(Errno::Badf)
    }

    fn inode_mut(&mut self, ino: Ino) -> Result<&mut Inode, Errno> {
        self.inodes.get_mut(&ino).ok_or(Errno::Badf)
    }

    fn entries(&self, dir: Ino) -> Result<&BTreeMap<String, Ino>, Errno> {
        match &self.inode(dir)?.body {
            Body::Dir { entries, .. } => Ok(entries),
            Body::Input(_) | Body::Made(_) => Err(Errno::Notdir),
        }
    }

    fn entries_mut(&mut self, dir: Ino) -> Result<&mut BTreeMap<String, Ino>, Errno> {
        match &mut self.inode_mut(dir)?.body {
            Body::Dir { entries, .. } => Ok(entries),
            Body::Input(_) | Body::Made(_) => Err(Errno::Notdir),
        }
    }

    fn child(&self, dir: Ino, name: &str) -> Result<Option<Ino>, Errno> {
        Ok(self.entries(dir)?.get(name).copied())
    }

    fn is_dir(&self, ino: Ino) -> bool {
        self.entries(ino).is_ok()
    }

    fn insert(&mut self, dir: Ino, name: &str, body: Body) -> Result<Ino, Stop> {
        if self.depth(dir) >= MAX_DEPTH {
            return Err(Errno::Nametoolong.into());
        }
        let (ino, writable) = (self.next, self.inode(dir)?.writable);
        self.entries_mut(dir)?.insert(name.to_owned(), ino);
        self.inodes.insert(ino, Inode { body, writable, linked: true, opens: 0 });
        self.next += 1;
        Ok(ino)
    }

    /// Holds an inode open: it stays readable when its name goes.
    pub(crate) fn open(&mut self, ino: Ino) -> Result<(), Stop> {
        let inode = self.inodes.get_mut(&ino).ok_or(Errno::Badf)?;
        match &mut inode.body {
            Body::Dir { .. } => {}
            Body::Input(range) => range.open()?,
            Body::Made(file) => self.scratch.open(file)?,
        }
        inode.opens += 1;
        Ok(())
    }

    pub(crate) fn close(&mut self, ino: Ino) -> Result<(), Stop> {
        let inode = self.inode_mut(ino)?;
        inode.opens = inode.opens.saturating_sub(1);
        if inode.opens == 0 {
            match &mut inode.body {
                Body::Dir { .. } => {}
                Body::Input(range) => range.handle = None,
                Body::Made(file) => file.handle = None,
            }
        }
        self.forget_if_unused(ino)
    }

    fn forget_if_unused(&mut self, ino: Ino) -> Result<(), Stop> {
        let inode = self.inode(ino)?;
        if inode.linked || inode.opens > 0 {
            return Ok(());
        }
        match self.inodes.remove(&ino) {
            Some(Inode { body: Body::Made(file), .. }) => self.scratch.remove(&file),
            _ => Ok(()),
        }
    }

    pub(crate) fn read(&self, ino: Ino, position: u64, buffer: &mut [u8]) -> Result<usize, Stop> {
        match &self.inode(ino)?.body {
            Body::Dir { .. } => Err(Errno::Isdir.into()),
            Body::Input(range) => range.read(position, buffer),
            Body::Made(file) => file.read(position, buffer),
        }
    }

    pub(crate) fn write(&mut self, ino: Ino, position: u64, bytes: &[u8]) -> Result<(), Stop> {
        match &mut self.inodes.get_mut(&ino).ok_or(Errno::Badf)?.body {
            Body::Made(file) => self.scratch.write(file, position, bytes),
            Body::Dir { .. } | Body::Input(_) => Err(Errno::Rofs.into()),
        }
    }

    pub(crate) fn resize(&mut self, ino: Ino, length: u64) -> Result<(), Stop> {
        match &mut self.inodes.get_mut(&ino).ok_or(Errno::Badf)?.body {
            Body::Made(file) => self.scratch.resize(file, length),
            Body::Dir { .. } => Err(Errno::Isdir.into()),
            Body::Input(_) => Err(Errno::Rofs.into()),
        }
    }

    pub(crate) fn stat(&self, ino: Ino) -> Result<Stat, Errno> {
        let inode = self.inode(ino)?;
        let (file_type, size) = match &inode.body {
            Body::Dir { .. } => (FileType::Directory, 0),
            Body::Input(range) => (FileType::Regular, range.length),
            Body::Made(file) => (FileType::Regular, file.length),
        };
        Ok(Stat { ino, file_type, size, links: u64::from(inode.linked), writable: inode.writable })
    }

    /// `.`, `..`, then the names in byte order.
    pub(crate) fn list(&self, dir: Ino) -> Result<Vec<Entry>, Errno> {
        let dots =
            [".", ".."].map(|name| Entry { name: name.into(), ino: dir, file_type: FileType::Directory });
        let mut entries = Vec::from(dots);
        for (name, ino) in self.entries(dir)? {
            let file_type = if self.is_dir(*ino) { FileType::Directory } else { FileType::Regular };
            entries.push(Entry { name: name.clone(), ino: *ino, file_type });
        }
        Ok(entries)
    }

    /// Files under `/out`: relative path, place in the worker's file system, length; by path.
    pub(crate) fn outputs(&self) -> BTreeMap<String, (PathBuf, u64)> {
        let mut found = BTreeMap::new();
        let mut open = vec![(String::new(), OUT)];
        while let Some((path, ino)) = open.pop() {
            match self.inode(ino).map(|inode| &inode.body) {
                Ok(Body::Dir { entries, .. }) => open.extend(entries.iter().map(|(name, ino)| {
                    let slash = if path.is_empty() { "" } else { "/" };
                    (format!("{path}{slash}{name}"), *ino)
                })),
                Ok(Body::Made(file)) => {
                    found.insert(path, (self.scratch.path(file), file.length));
                }
                Ok(Body::Input(_)) | Err(_) => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
