//! Numbers and layouts of WASI preview 1, as the guest sees them in its memory.
//! Source: the `wasi_snapshot_preview1` witx definition of the WebAssembly/WASI repository.

/// Module name of every import of this interface.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// Error numbers. Only those that this layer answers are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Errno {
    Badf = 8,
    Exist = 20,
    Fault = 21,
    Ilseq = 25,
    Inval = 28,
    Isdir = 31,
    Mfile = 33,
    Nametoolong = 37,
    Noent = 44,
    Nospc = 51,
    Nosys = 52,
    Notdir = 54,
    Notempty = 55,
    Notsup = 58,
    Overflow = 61,
    Rofs = 69,
    Spipe = 70,
    Notcapable = 76,
}

/// File types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FileType {
    Unknown = 0,
    Directory = 3,
    Regular = 4,
}

pub(crate) const OPEN_CREATE: u32 = 1;
pub(crate) const OPEN_DIRECTORY: u32 = 2;
pub(crate) const OPEN_EXCLUSIVE: u32 = 4;
pub(crate) const OPEN_TRUNCATE: u32 = 8;

pub(crate) const FLAG_APPEND: u32 = 1;
pub(crate) const FLAGS_ALL: u32 = 31;

pub(crate) const RIGHT_FD_READ: u64 = 1 << 1;
pub(crate) const RIGHT_FD_WRITE: u64 = 1 << 6;
const RIGHT_FD_ALLOCATE: u64 = 1 << 8;
const RIGHT_FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
/// Any of these means that the file is opened to be changed.
pub(crate) const RIGHTS_CHANGE: u64 = RIGHT_FD_WRITE | RIGHT_FD_ALLOCATE | RIGHT_FD_FILESTAT_SET_SIZE;
/// seek, tell, advise, set flags, stat, poll: held by every regular file.
pub(crate) const RIGHTS_FILE: u64 = 1 << 2 | 1 << 3 | 1 << 5 | 1 << 7 | 1 << 21 | 1 << 27;
/// datasync, sync, write, allocate, set size, set times: held by a file that is open for writing.
pub(crate) const RIGHTS_FILE_WRITE: u64 = 1 | 1 << 4 | RIGHTS_CHANGE | 1 << 23;
/// open, readdir, readlink, stat of a path, stat: held by every directory.
pub(crate) const RIGHTS_DIR: u64 = 1 << 3 | 1 << 13 | 1 << 14 | 1 << 15 | 1 << 18 | 1 << 21;
/// create, rename, set size and times, remove, unlink: held by a writable directory.
pub(crate) const RIGHTS_DIR_WRITE: u64 =
    1 << 9 | 1 << 10 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 20 | 1 << 25 | 1 << 26;
/// write, set flags, stat, poll: held by the log streams.
pub(crate) const RIGHTS_LOG: u64 = RIGHT_FD_WRITE | 1 << 3 | 1 << 21 | 1 << 27;

pub(crate) const CLOCK_REALTIME: u32 = 0;
pub(crate) const CLOCK_MONOTONIC: u32 = 1;

pub(crate) const EVENT_CLOCK: u8 = 0;
pub(crate) const EVENT_FD_READ: u8 = 1;
pub(crate) const EVENT_FD_WRITE: u8 = 2;
pub(crate) const SUBSCRIPTION_BYTES: u32 = 48;
pub(crate) const EVENT_BYTES: u32 = 32;
pub(crate) const CLOCK_ABSOLUTE: u16 = 1;

pub(crate) const DIRENT_BYTES: usize = 24;
