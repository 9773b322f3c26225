//! Calls on an open descriptor: read, write, seek, stat, list.

use super::abi::{
    DIRENT_BYTES, Errno, FLAG_APPEND, FLAGS_ALL, FileType, RIGHT_FD_READ, RIGHTS_DIR, RIGHTS_DIR_WRITE,
    RIGHTS_FILE, RIGHTS_FILE_WRITE, RIGHTS_LOG,
};
use super::descriptors::Descriptor;
use super::fault::Stop;
use super::guest::Guest;
use super::tree::Stat;

type Answer = Result<(), Stop>;

pub(super) fn fd_read(guest: &mut Guest<'_>, fd: u32, buffers: u32, count: u32, size: u32) -> Answer {
    let position = match guest.host.descriptors.get(fd)? {
        Descriptor::Empty => return guest.put_u32(size, 0),
        Descriptor::Log(_) => return Err(Errno::Badf.into()),
        Descriptor::Dir { .. } => return Err(Errno::Isdir.into()),
        Descriptor::File(file) => file.position,
    };
    let read = read_at(guest, fd, buffers, count, position)?;
    guest.host.descriptors.file_mut(fd, Errno::Badf)?.position += u64::from(read);
    guest.put_u32(size, read)
}

pub(super) fn fd_pread(
    guest: &mut Guest<'_>,
    fd: u32,
    buffers: u32,
    count: u32,
    offset: u64,
    size: u32,
) -> Answer {
    let read = read_at(guest, fd, buffers, count, offset)?;
    guest.put_u32(size, read)
}

/// Fills the buffers in order; a short answer means the end of the file, never anything else.
fn read_at(guest: &mut Guest<'_>, fd: u32, buffers: u32, count: u32, offset: u64) -> Result<u32, Stop> {
    let file = *guest.host.descriptors.file_mut(fd, Errno::Spipe)?;
    if !file.read {
        return Err(Errno::Badf.into());
    }
    let mut total = 0_usize;
    for buffer in guest.buffers(buffers, count)? {
        let wanted = buffer.len();
        let position = offset.checked_add(total as u64).ok_or(Errno::Overflow)?;
        let read = guest.host.tree.read(file.ino, position, &mut guest.memory[buffer])?;
        total += read;
        if read < wanted {
            break;
        }
    }
    Ok(total as u32)
}

pub(super) fn fd_write(guest: &mut Guest<'_>, fd: u32, buffers: u32, count: u32, size: u32) -> Answer {
    let written = match guest.host.descriptors.get(fd)? {
        Descriptor::Empty => return Err(Errno::Badf.into()),
        Descriptor::Dir { .. } => return Err(Errno::Isdir.into()),
        Descriptor::Log(stream) => {
            let stream = *stream;
            let mut written = 0;
            for buffer in guest.buffers(buffers, count)? {
                written += buffer.len() as u32;
                guest.host.logs.write(stream, &guest.memory[buffer])?;
            }
            written
        }
        Descriptor::File(file) => {
            let at = if file.append { guest.host.tree.stat(file.ino)?.size } else { file.position };
            let written = write_at(guest, fd, buffers, count, at)?;
            guest.host.descriptors.file_mut(fd, Errno::Badf)?.position = at + u64::from(written);
            written
        }
    };
    guest.put_u32(size, written)
}

pub(super) fn fd_pwrite(
    guest: &mut Guest<'_>,
    fd: u32,
    buffers: u32,
    count: u32,
    offset: u64,
    size: u32,
) -> Answer {
    let written = write_at(guest, fd, buffers, count, offset)?;
    guest.put_u32(size, written)
}

fn write_at(guest: &mut Guest<'_>, fd: u32, buffers: u32, count: u32, offset: u64) -> Result<u32, Stop> {
    let file = *guest.host.descriptors.file_mut(fd, Errno::Spipe)?;
    if !file.write {
        return Err(Errno::Badf.into());
    }
    let mut total = 0_usize;
    for buffer in guest.buffers(buffers, count)? {
        let position = offset.checked_add(total as u64).ok_or(Errno::Overflow)?;
        total += buffer.len();
        guest.host.tree.write(file.ino, position, &guest.memory[buffer])?;
    }
    Ok(total as u32)
}

pub(super) fn fd_seek(guest: &mut Guest<'_>, fd: u32, offset: i64, whence: u32, position: u32) -> Answer {
    let file = *guest.host.descriptors.file_mut(fd, Errno::Spipe)?;
    let base = match whence {
        0 => 0,
        1 => file.position,
        2 => guest.host.tree.stat(file.ino)?.size,
        _ => return Err(Errno::Inval.into()),
    };
    let target = base.checked_add_signed(offset).ok_or(Errno::Inval)?;
    guest.host.descriptors.file_mut(fd, Errno::Spipe)?.position = target;
    guest.put_u64(position, target)
}

pub(super) fn fd_tell(guest: &mut Guest<'_>, fd: u32, position: u32) -> Answer {
    let at = guest.host.descriptors.file_mut(fd, Errno::Spipe)?.position;
    guest.put_u64(position, at)
}

pub(super) fn fd_close(guest: &mut Guest<'_>, fd: u32) -> Answer {
    match guest.host.descriptors.remove(fd)?.ino() {
        Some(ino) => guest.host.tree.close(ino),
        None => Ok(()),
    }
}

pub(super) fn fd_renumber(guest: &mut Guest<'_>, from: u32, to: u32) -> Answer {
    match guest.host.descriptors.renumber(from, to)?.and_then(|replaced| replaced.ino()) {
        Some(ino) => guest.host.tree.close(ino),
        None => Ok(()),
    }
}

/// Results are sealed when the program ends, so there is nothing to force to a disk before.
pub(super) fn fd_sync(guest: &mut Guest<'_>, fd: u32) -> Answer {
    guest.host.descriptors.get(fd)?;
    Ok(())
}

pub(super) fn fd_datasync(guest: &mut Guest<'_>, fd: u32) -> Answer {
    fd_sync(guest, fd)
}

pub(super) fn fd_advise(guest: &mut Guest<'_>, fd: u32, _offset: u64, _length: u64, advice: u32) -> Answer {
    guest.host.descriptors.file_mut(fd, Errno::Spipe)?;
    if advice > 5 { Err(Errno::Inval.into()) } else { Ok(()) }
}

pub(super) fn fd_allocate(guest: &mut Guest<'_>, fd: u32, offset: u64, length: u64) -> Answer {
    let file = *guest.host.descriptors.file_mut(fd, Errno::Spipe)?;
    if !file.write {
        return Err(Errno::Badf.into());
    }
    let end = offset.checked_add(length).ok_or(Errno::Inval)?;
    if end > guest.host.tree.stat(file.ino)?.size {
        guest.host.tree.resize(file.ino, end)?;
    }
    Ok(())
}

pub(super) fn fd_filestat_set_size(guest: &mut Guest<'_>, fd: u32, size: u64) -> Answer {
    let file = *guest.host.descriptors.file_mut(fd, Errno::Spipe)?;
    if !file.write {
        return Err(Errno::Badf.into());
    }
    guest.host.tree.resize(file.ino, size)
}

/// Times are zero and stay zero; setting them on what may be written succeeds without effect.
pub(super) fn fd_filestat_set_times(
    guest: &mut Guest<'_>,
    fd: u32,
    _accessed: u64,
    _modified: u64,
    _flags: u32,
) -> Answer {
    let ino = guest.host.descriptors.get(fd)?.ino().ok_or(Errno::Badf)?;
    if guest.host.tree.stat(ino)?.writable { Ok(()) } else { Err(Errno::Rofs.into()) }
}

pub(super) fn fd_filestat_get(guest: &mut Guest<'_>, fd: u32, stat: u32) -> Answer {
    let found = match guest.host.descriptors.get(fd)?.ino() {
        Some(ino) => guest.host.tree.stat(ino)?,
        None => Stat { ino: 0, file_type: FileType::Unknown, size: 0, links: 1, writable: false },
    };
    put_filestat(guest, stat, found)
}

pub(super) fn put_filestat(guest: &mut Guest<'_>, at: u32, stat: Stat) -> Answer {
    let mut bytes = [0; 64];
    bytes[8..16].copy_from_slice(&stat.ino.to_le_bytes());
    bytes[16] = stat.file_type as u8;
    bytes[24..32].copy_from_slice(&stat.links.to_le_bytes());
    bytes[32..40].copy_from_slice(&stat.size.to_le_bytes());
    guest.put(at, &bytes)
}

pub(super) fn fd_fdstat_get(guest: &mut Guest<'_>, fd: u32, stat: u32) -> Answer {
    let (file_type, flags, base, inheriting) = match guest.host.descriptors.get(fd)? {
        Descriptor::Empty => (FileType::Unknown, 0, RIGHT_FD_READ | 1 << 27, 0),
        Descriptor::Log(_) => (FileType::Unknown, FLAG_APPEND as u16, RIGHTS_LOG, 0),
        Descriptor::File(file) => {
            let read = if file.read { RIGHT_FD_READ } else { 0 };
            let write = if file.write { RIGHTS_FILE_WRITE } else { 0 };
            (FileType::Regular, u16::from(file.append), RIGHTS_FILE | read | write, 0)
        }
        Descriptor::Dir { ino, .. } if guest.host.tree.stat(*ino)?.writable => {
            let base = RIGHTS_DIR | RIGHTS_DIR_WRITE;
            (FileType::Directory, 0, base, base | RIGHTS_FILE | RIGHT_FD_READ | RIGHTS_FILE_WRITE)
        }
        Descriptor::Dir { .. } => {
            (FileType::Directory, 0, RIGHTS_DIR, RIGHTS_DIR | RIGHTS_FILE | RIGHT_FD_READ)
        }
    };
    let mut bytes = [0; 24];
    bytes[0] = file_type as u8;
    bytes[2..4].copy_from_slice(&flags.to_le_bytes());
    bytes[8..16].copy_from_slice(&base.to_le_bytes());
    bytes[16..24].copy_from_slice(&inheriting.to_le_bytes());
    guest.put(stat, &bytes)
}

/// Appending is the one flag with an effect; the others describe waiting, and nothing here waits.
pub(super) fn fd_fdstat_set_flags(guest: &mut Guest<'_>, fd: u32, flags: u32) -> Answer {
    if flags & !FLAGS_ALL != 0 {
        return Err(Errno::Inval.into());
    }
    if let Descriptor::File(file) = guest.host.descriptors.get_mut(fd)? {
        file.append = flags & FLAG_APPEND != 0;
    }
    Ok(())
}

pub(super) fn fd_fdstat_set_rights(_: &mut Guest<'_>, _fd: u32, _base: u64, _inheriting: u64) -> Answer {
    Err(Errno::Nosys.into())
}

fn preopened(guest: &Guest<'_>, fd: u32) -> Result<&'static str, Errno> {
    match guest.host.descriptors.get(fd)? {
        Descriptor::Dir { preopened: Some(name), .. } => Ok(*name),
        _ => Err(Errno::Badf),
    }
}

pub(super) fn fd_prestat_get(guest: &mut Guest<'_>, fd: u32, prestat: u32) -> Answer {
    let name = preopened(guest, fd)?;
    let mut bytes = [0; 8];
    bytes[4..8].copy_from_slice(&(name.len() as u32).to_le_bytes());
    guest.put(prestat, &bytes)
}

pub(super) fn fd_prestat_dir_name(guest: &mut Guest<'_>, fd: u32, path: u32, length: u32) -> Answer {
    let name = preopened(guest, fd)?;
    if (length as usize) < name.len() {
        return Err(Errno::Nametoolong.into());
    }
    guest.put(path, name.as_bytes())
}

/// Writes entries from `cookie` on until the buffer is full; the last may be cut short, which is
/// how the interface says that there are more.
pub(super) fn fd_readdir(
    guest: &mut Guest<'_>,
    fd: u32,
    buffer: u32,
    length: u32,
    cookie: u64,
    used: u32,
) -> Answer {
    let dir = guest.host.descriptors.dir(fd)?;
    if cookie == 0 {
        let fresh = guest.host.tree.list(dir)?;
        if let Descriptor::Dir { listing, .. } = guest.host.descriptors.get_mut(fd)? {
            *listing = fresh;
        }
    }
    let mut bytes = Vec::new();
    if let Descriptor::Dir { listing, .. } = guest.host.descriptors.get(fd)? {
        let skipped = usize::try_from(cookie).unwrap_or(usize::MAX);
        for (index, entry) in listing.iter().enumerate().skip(skipped) {
            let mut head = [0; DIRENT_BYTES];
            head[0..8].copy_from_slice(&(index as u64 + 1).to_le_bytes());
            head[8..16].copy_from_slice(&entry.ino.to_le_bytes());
            head[16..20].copy_from_slice(&(entry.name.len() as u32).to_le_bytes());
            head[20] = entry.file_type as u8;
            bytes.extend_from_slice(&head);
            bytes.extend_from_slice(entry.name.as_bytes());
            if bytes.len() >= length as usize {
                break;
            }
        }
    }
    bytes.truncate(length as usize);
    guest.put(buffer, &bytes)?;
    guest.put_u32(used, bytes.len() as u32)
}
