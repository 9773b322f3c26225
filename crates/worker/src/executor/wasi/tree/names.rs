//! Names in the tree. Every path is walked here, name by name, from a directory that the guest
//! already holds, and never above it: there is nothing to escape to.

use super::{Body, Errno, Ino, Inode, MAX_DEPTH, Stop, Tree};
use std::collections::BTreeMap;

const MAX_NAME_BYTES: usize = 255;
/// Files and directories that may exist at once, inputs not counted.
const MAX_MADE: usize = 16_384;

/// Where a path leads: a directory itself, or a name (taken or not) in one.
enum Place {
    Itself(Ino),
    Named { dir: Ino, name: String, must_be_dir: bool },
}

impl Tree {
    /// Names between `ino` and its root.
    pub(super) fn depth(&self, mut ino: Ino) -> usize {
        let mut depth = 0;
        while let Ok(Inode { body: Body::Dir { parent, .. }, .. }) = self.inode(ino)
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

    /// Walks all but the last name. `..` may not climb above `base`: a held directory is the
    /// whole world of the calls that name it.
    fn walk(&self, base: Ino, path: &str) -> Result<Place, Errno> {
        if path.is_empty() {
            return Err(Errno::Noent);
        }
        if path.starts_with('/') {
            return Err(Errno::Notcapable);
        }
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
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
                return Ok(Place::Named { dir: here, name: (*name).to_owned(), must_be_dir });
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
            Place::Named { dir, name, must_be_dir } => {
                let ino = self.child(dir, &name)?.ok_or(Errno::Noent)?;
                if must_be_dir && !self.is_dir(ino) { Err(Errno::Notdir) } else { Ok(ino) }
            }
        }
    }

    /// The writable directory and the name that a path to be made, moved or removed consists of.
    fn spot(&self, base: Ino, path: &str) -> Result<(Ino, String, bool), Errno> {
        match self.walk(base, path)? {
            Place::Itself(_) => Err(Errno::Inval),
            Place::Named { dir, .. } if !self.inode(dir)?.writable => Err(Errno::Rofs),
            Place::Named { dir, name, must_be_dir } => Ok((dir, name, must_be_dir)),
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
        self.insert(dir, &name, Body::Dir { entries: BTreeMap::new(), parent: dir })?;
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
                Ok(Inode { body: Body::Dir { parent, .. }, .. }) if *parent != dir => dir = *parent,
                _ => return false,
            }
        }
    }
}
