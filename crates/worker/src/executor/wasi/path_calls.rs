//! Calls on a path relative to an open directory. The tree walks the path; nothing here touches
//! the worker's file system by a name that the guest chose.
#![expect(clippy::too_many_arguments, reason = "the interface declares these parameters")]

use super::abi::{
    Errno, FLAG_APPEND, FLAGS_ALL, OPEN_CREATE, OPEN_DIRECTORY, OPEN_EXCLUSIVE, OPEN_TRUNCATE, RIGHT_FD_READ,
    RIGHT_FD_WRITE, RIGHTS_CHANGE,
};
use super::descriptors::{Descriptor, OpenFile};
use super::fault::Stop;
use super::fd_calls::put_filestat;
use super::guest::Guest;
use super::tree::Ino;

type Answer = Result<(), Stop>;

/// The directory and the path that a call names.
fn place(guest: &Guest<'_>, fd: u32, path: u32, length: u32) -> Result<(Ino, String), Stop> {
    Ok((guest.host.descriptors.dir(fd)?, guest.path(path, length)?))
}

pub(super) fn path_open(
    guest: &mut Guest<'_>,
    fd: u32,
    _look_up: u32,
    path: u32,
    length: u32,
    flags: u32,
    rights: u64,
    _inheriting: u64,
    fd_flags: u32,
    opened: u32,
) -> Answer {
    let (base, path) = place(guest, fd, path, length)?;
    let creates = flags & OPEN_CREATE != 0;
    if creates && flags & OPEN_DIRECTORY != 0 || fd_flags & !FLAGS_ALL != 0 {
        return Err(Errno::Inval.into());
    }
    guest.host.descriptors.free()?;
    let ino = match guest.host.tree.find(base, &path) {
        Ok(_) if creates && flags & OPEN_EXCLUSIVE != 0 => return Err(Errno::Exist.into()),
        Err(Errno::Noent) if creates => guest.host.tree.make_file(base, &path)?,
        found => found?,
    };
    let descriptor = match guest.host.tree.stat(ino)?.file_type {
        super::abi::FileType::Directory => open_dir(ino, flags, rights)?,
        _ => open_file(guest, ino, flags, rights, fd_flags)?,
    };
    guest.host.tree.open(ino)?;
    if flags & OPEN_TRUNCATE != 0 {
        guest.host.tree.resize(ino, 0)?;
    }
    let number = guest.host.descriptors.add(descriptor)?;
    guest.put_u32(opened, number)
}

fn open_dir(ino: Ino, flags: u32, rights: u64) -> Result<Descriptor, Errno> {
    let to_write = flags & OPEN_DIRECTORY == 0 && rights & RIGHT_FD_WRITE != 0;
    if to_write || flags & (OPEN_CREATE | OPEN_TRUNCATE) != 0 {
        return Err(Errno::Isdir);
    }
    Ok(Descriptor::Dir { ino, preopened: None, listing: Vec::new() })
}

fn open_file(
    guest: &Guest<'_>,
    ino: Ino,
    flags: u32,
    rights: u64,
    fd_flags: u32,
) -> Result<Descriptor, Errno> {
    if flags & OPEN_DIRECTORY != 0 {
        return Err(Errno::Notdir);
    }
    let write = rights & RIGHTS_CHANGE != 0;
    if (write || flags & OPEN_TRUNCATE != 0) && !guest.host.tree.stat(ino)?.writable {
        return Err(Errno::Rofs);
    }
    let read = rights & RIGHT_FD_READ != 0;
    let append = fd_flags & FLAG_APPEND != 0;
    Ok(Descriptor::File(OpenFile { ino, position: 0, read, write, append }))
}

pub(super) fn path_filestat_get(
    guest: &mut Guest<'_>,
    fd: u32,
    _flags: u32,
    path: u32,
    length: u32,
    stat: u32,
) -> Answer {
    let (base, path) = place(guest, fd, path, length)?;
    let found = guest.host.tree.stat(guest.host.tree.find(base, &path)?)?;
    put_filestat(guest, stat, found)
}

/// Times are zero and stay zero; setting them on what may be written succeeds without effect.
pub(super) fn path_filestat_set_times(
    guest: &mut Guest<'_>,
    fd: u32,
    _flags: u32,
    path: u32,
    length: u32,
    _accessed: u64,
    _modified: u64,
    _which: u32,
) -> Answer {
    let (base, path) = place(guest, fd, path, length)?;
    let found = guest.host.tree.stat(guest.host.tree.find(base, &path)?)?;
    if found.writable { Ok(()) } else { Err(Errno::Rofs.into()) }
}

pub(super) fn path_create_directory(guest: &mut Guest<'_>, fd: u32, path: u32, length: u32) -> Answer {
    let (base, path) = place(guest, fd, path, length)?;
    guest.host.tree.make_dir(base, &path)
}

pub(super) fn path_remove_directory(guest: &mut Guest<'_>, fd: u32, path: u32, length: u32) -> Answer {
    let (base, path) = place(guest, fd, path, length)?;
    guest.host.tree.remove_dir(base, &path)
}

pub(super) fn path_unlink_file(guest: &mut Guest<'_>, fd: u32, path: u32, length: u32) -> Answer {
    let (base, path) = place(guest, fd, path, length)?;
    guest.host.tree.remove_file(base, &path)
}

pub(super) fn path_rename(
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    length: u32,
    new_fd: u32,
    new_path: u32,
    new_length: u32,
) -> Answer {
    let (from_base, from) = place(guest, fd, path, length)?;
    let (to_base, to) = place(guest, new_fd, new_path, new_length)?;
    guest.host.tree.rename((from_base, &from), (to_base, &to))
}

/// There are no links here: what exists is not one.
pub(super) fn path_readlink(
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    length: u32,
    _buffer: u32,
    _size: u32,
    _used: u32,
) -> Answer {
    let (base, path) = place(guest, fd, path, length)?;
    guest.host.tree.find(base, &path)?;
    Err(Errno::Inval.into())
}

pub(super) fn path_link(
    _: &mut Guest<'_>,
    _fd: u32,
    _flags: u32,
    _path: u32,
    _length: u32,
    _new_fd: u32,
    _new_path: u32,
    _new_length: u32,
) -> Answer {
    Err(Errno::Nosys.into())
}

pub(super) fn path_symlink(
    _: &mut Guest<'_>,
    _old_path: u32,
    _old_length: u32,
    _fd: u32,
    _path: u32,
    _length: u32,
) -> Answer {
    Err(Errno::Nosys.into())
}
