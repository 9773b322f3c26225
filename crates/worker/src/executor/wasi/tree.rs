//! The guest's file tree: `/in` read only, `/out` and `/tmp` writable, nothing else. Directories
//! are sorted, inode numbers count up in order of creation, and every path is walked here, name
//! by name, from a directory the guest already holds: there is nothing to escape to.
//!
//! An inode lives while a directory names it or a descriptor holds it open.

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

const MAX_NAME_BYTES: usize = 255;
const MAX_DEPTH: usize = 32;
/// Files and directories that may exist at once, inputs not counted.
const MAX_MADE: usize = 16_384;

#[derive(Debug)]
enum Body {
    Dir {
        entries: BTreeMap<String, Ino>,
        parent: Ino,
    },
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

/// Where a path leads: a directory itself, or a name (taken or not) in one.
enum Place {
    Itself(Ino),
    Named {
        dir: Ino,
        name: String,
        must_be_dir: bool,
    },
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
        let mut tree = Tree {
            inodes: BTreeMap::new(),
            next: TMP + 1,
            inputs: 0,
            scratch,
        };
        for (ino, writable) in [(IN, false), (OUT, true), (TMP, true)] {
            let body = Body::Dir {
                entries: BTreeMap::new(),
                parent: ino,
            };
            tree.inodes.insert(
                ino,
                Inode {
                    body,
                    writable,
                    linked: true,
                    opens: 1,
                },
            );
        }
        for (path, range) in inputs {
            let (mut dir, mut names) = (IN, path.split('/').peekable());
            while let Some(name) = names.next() {
                match (tree.child(dir, name)?, names.peek().is_some()) {
                    (Some(ino), true) => dir = ino,
                    (None, true) => {
                        dir = tree.insert(
                            dir,
                            name,
                            Body::Dir {
                                entries: BTreeMap::new(),
                                parent: dir,
                            },
                        )?;
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

    /// Names between `ino` and its root.
    fn depth(&self, mut ino: Ino) -> usize {
        let mut depth = 0;
        while let Ok(Inode {
            body: Body::Dir { parent, .. },
            ..
        }) = self.inode(ino)
            && *parent != ino
        {
            (ino, depth) = (*parent, depth + 1);
        }
        depth
    }

    /// Names below `ino`, along the longest path.
    fn height(&self, ino: Ino) -> usize {
        let mut level: Vec<Ino> = vec![ino];
        let mut height = 0;
        loop {
            let below = level.iter().filter_map(|dir| self.entries(*dir).ok());
            let below: Vec<Ino> = below.flat_map(|entries| entries.values().copied()).collect();
            if below.is_empty() {
                return height;
            }
            (level, height) = (below, height + 1);
        }
    }

    fn insert(&mut self, dir: Ino, name: &str, body: Body) -> Result<Ino, Stop> {
        if self.depth(dir) >= MAX_DEPTH {
            return Err(Errno::Nametoolong.into());
        }
        let (ino, writable) = (self.next, self.inode(dir)?.writable);
        self.entries_mut(dir)?.insert(name.to_owned(), ino);
        self.inodes.insert(
            ino,
            Inode {
                body,
                writable,
                linked: true,
                opens: 0,
            },
        );
        self.next += 1;
        Ok(ino)
    }

    /// Walks all but the last name. `..` may not climb above `base`: a held directory is the
    /// whole world of the calls that name it.
    fn walk(&self, base: Ino, path: &str) -> Result<Place, Errno> {
        if path.is_empty() {
            return Err(Errno::Noent);
        }
        if path.starts_with('/') {
            return Err(Errno::Notcapable);
        }
        let names: Vec<&str> = path
            .split('/')
            .filter(|name| !name.is_empty() && *name != ".")
            .collect();
        let mut above = vec![base];
        for (index, name) in names.iter().enumerate() {
            let here = above.last().copied().unwrap_or(base);
            let last = index + 1 == names.len();
            if *name == ".." {
                above.pop();
                if above.is_empty() {
                    return Err(Errno::Notcapable);
                }
            } else if name.len() > MAX_NAME_BYTES {
                return Err(Errno::Nametoolong);
            } else if last {
                let must_be_dir = path.ends_with('/') || path.ends_with("/.");
                self.entries(here)?;
                return Ok(Place::Named {
                    dir: here,
                    name: (*name).to_owned(),
                    must_be_dir,
                });
            } else {
                let below = self.child(here, name)?.ok_or(Errno::Noent)?;
                self.entries(below)?;
                above.push(below);
            }
        }
        Ok(Place::Itself(above.last().copied().unwrap_or(base)))
    }

    /// The inode at `path`.
    pub(crate) fn find(&self, base: Ino, path: &str) -> Result<Ino, Errno> {
        match self.walk(base, path)? {
            Place::Itself(ino) => Ok(ino),
            Place::Named {
                dir,
                name,
                must_be_dir,
            } => {
                let ino = self.child(dir, &name)?.ok_or(Errno::Noent)?;
                if must_be_dir && !self.is_dir(ino) {
                    Err(Errno::Notdir)
                } else {
                    Ok(ino)
                }
            }
        }
    }

    /// The writable directory and the name that a path to be made, moved or removed consists of.
    fn spot(&self, base: Ino, path: &str) -> Result<(Ino, String, bool), Errno> {
        match self.walk(base, path)? {
            Place::Itself(_) => Err(Errno::Inval),
            Place::Named { dir, .. } if !self.inode(dir)?.writable => Err(Errno::Rofs),
            Place::Named {
                dir,
                name,
                must_be_dir,
            } => Ok((dir, name, must_be_dir)),
        }
    }

    /// A spot that a new name may take: its directory is still part of the tree, and there is room.
    fn free_spot(&self, base: Ino, path: &str) -> Result<(Ino, String, bool), Errno> {
        let (dir, name, must_be_dir) = self.spot(base, path)?;
        if !self.inode(dir)?.linked {
            return Err(Errno::Noent);
        }
        if self.inodes.len() - self.inputs >= MAX_MADE {
            return Err(Errno::Nospc);
        }
        Ok((dir, name, must_be_dir))
    }

    pub(crate) fn make_file(&mut self, base: Ino, path: &str) -> Result<Ino, Stop> {
        let (dir, name, must_be_dir) = self.free_spot(base, path)?;
        if must_be_dir {
            return Err(Errno::Isdir.into());
        }
        let file = self.scratch.create()?;
        self.insert(dir, &name, Body::Made(file))
    }

    pub(crate) fn make_dir(&mut self, base: Ino, path: &str) -> Result<(), Stop> {
        if self.find(base, path).is_ok() {
            return Err(Errno::Exist.into());
        }
        let (dir, name, _) = self.free_spot(base, path)?;
        self.insert(
            dir,
            &name,
            Body::Dir {
                entries: BTreeMap::new(),
                parent: dir,
            },
        )?;
        Ok(())
    }

    pub(crate) fn remove_dir(&mut self, base: Ino, path: &str) -> Result<(), Stop> {
        let (dir, name, _) = self.spot(base, path)?;
        let ino = self.child(dir, &name)?.ok_or(Errno::Noent)?;
        if !self.entries(ino)?.is_empty() {
            return Err(Errno::Notempty.into());
        }
        self.unlink(dir, &name, ino)
    }

    pub(crate) fn remove_file(&mut self, base: Ino, path: &str) -> Result<(), Stop> {
        let (dir, name, must_be_dir) = self.spot(base, path)?;
        let ino = self.child(dir, &name)?.ok_or(Errno::Noent)?;
        if self.is_dir(ino) {
            return Err(Errno::Isdir.into());
        }
        if must_be_dir {
            return Err(Errno::Notdir.into());
        }
        self.unlink(dir, &name, ino)
    }

    fn unlink(&mut self, dir: Ino, name: &str, ino: Ino) -> Result<(), Stop> {
        self.entries_mut(dir)?.remove(name);
        self.inode_mut(ino)?.linked = false;
        self.forget_if_unused(ino)
    }

    /// Moves a file or directory, over an existing file or an empty directory of the same kind.
    pub(crate) fn rename(&mut self, from: (Ino, &str), to: (Ino, &str)) -> Result<(), Stop> {
        let (old_dir, old_name, old_slash) = self.spot(from.0, from.1)?;
        let ino = self.child(old_dir, &old_name)?.ok_or(Errno::Noent)?;
        let moves_dir = self.is_dir(ino);
        let (new_dir, new_name, new_slash) = self.spot(to.0, to.1)?;
        if (old_slash || new_slash) && !moves_dir {
            return Err(Errno::Notdir.into());
        }
        if !self.inode(new_dir)?.linked {
            return Err(Errno::Noent.into());
        }
        if moves_dir && self.lies_within(new_dir, ino) {
            return Err(Errno::Inval.into());
        }
        if self.depth(new_dir) + 1 + self.height(ino) > MAX_DEPTH {
            return Err(Errno::Nametoolong.into());
        }
        if let Some(taken) = self.child(new_dir, &new_name)? {
            if taken == ino {
                return Ok(());
            }
            match (moves_dir, self.is_dir(taken)) {
                (true, false) => return Err(Errno::Notdir.into()),
                (false, true) => return Err(Errno::Isdir.into()),
                (true, true) if !self.entries(taken)?.is_empty() => return Err(Errno::Notempty.into()),
                _ => self.unlink(new_dir, &new_name, taken)?,
            }
        }
        self.entries_mut(old_dir)?.remove(&old_name);
        self.entries_mut(new_dir)?.insert(new_name, ino);
        if let Body::Dir { parent, .. } = &mut self.inode_mut(ino)?.body {
            *parent = new_dir;
        }
        Ok(())
    }

    fn lies_within(&self, mut dir: Ino, ancestor: Ino) -> bool {
        loop {
            if dir == ancestor {
                return true;
            }
            match self.inode(dir) {
                Ok(Inode {
                    body: Body::Dir { parent, .. },
                    ..
                }) if *parent != dir => dir = *parent,
                _ => return false,
            }
        }
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
            Some(Inode {
                body: Body::Made(file),
                ..
            }) => self.scratch.remove(&file),
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
        Ok(Stat {
            ino,
            file_type,
            size,
            links: u64::from(inode.linked),
            writable: inode.writable,
        })
    }

    /// `.`, `..`, then the names in byte order.
    pub(crate) fn list(&self, dir: Ino) -> Result<Vec<Entry>, Errno> {
        let dots = [".", ".."].map(|name| Entry {
            name: name.into(),
            ino: dir,
            file_type: FileType::Directory,
        });
        let mut entries = Vec::from(dots);
        for (name, ino) in self.entries(dir)? {
            let file_type = if self.is_dir(*ino) {
                FileType::Directory
            } else {
                FileType::Regular
            };
            entries.push(Entry {
                name: name.clone(),
                ino: *ino,
                file_type,
            });
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
#[path = "tree_tests.rs"]
mod tests;
