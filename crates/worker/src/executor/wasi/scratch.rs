//! Where the bytes of files lie: inputs are ranges of files of the worker, read only; files that
//! the guest makes are numbered files in the attempt's own directory, under one quota.
//! Names chosen by the guest never reach the worker's file system.

use super::fault::{Fault, Stop, host_error};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// A range of a file of the worker; opened on first use.
#[derive(Debug)]
pub(crate) struct InputRange {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) handle: Option<File>,
}

impl InputRange {
    pub(crate) fn open(&mut self) -> Result<(), Stop> {
        if self.handle.is_none() {
            let file = File::open(&self.file).map_err(|e| host_error("open an input", &e))?;
            self.handle = Some(file);
        }
        Ok(())
    }

    /// Fills as much of `buffer` as the range still holds at `position`, never less.
    pub(crate) fn read(&self, position: u64, buffer: &mut [u8]) -> Result<usize, Stop> {
        let wanted = self.length.saturating_sub(position).min(buffer.len() as u64) as usize;
        let handle = opened(self.handle.as_ref())?;
        handle
            .read_exact_at(&mut buffer[..wanted], self.offset + position)
            .map_err(|e| host_error("read an input", &e))?;
        Ok(wanted)
    }
}

/// A file that the guest made.
#[derive(Debug)]
pub(crate) struct ScratchFile {
    number: u64,
    pub(crate) length: u64,
    pub(crate) handle: Option<File>,
}

impl ScratchFile {
    pub(crate) fn read(&self, position: u64, buffer: &mut [u8]) -> Result<usize, Stop> {
        let wanted = self.length.saturating_sub(position).min(buffer.len() as u64) as usize;
        opened(self.handle.as_ref())?
            .read_exact_at(&mut buffer[..wanted], position)
            .map_err(|e| host_error("read back a file of the program", &e))?;
        Ok(wanted)
    }
}

fn opened(handle: Option<&File>) -> Result<&File, Stop> {
    handle.ok_or_else(|| Fault::Host("a file is used that is not open".into()).into())
}

/// The attempt's own directory and its quota.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) dir: PathBuf,
    pub(crate) limit_bytes: u64,
    used_bytes: u64,
    next: u64,
}

impl Scratch {
    pub(crate) fn new(dir: PathBuf, limit_bytes: u64) -> Self {
        Scratch { dir, limit_bytes, used_bytes: 0, next: 0 }
    }

    /// Path of a file in the worker's file system.
    pub(crate) fn path(&self, file: &ScratchFile) -> PathBuf {
        self.dir.join(file.number.to_string())
    }

    pub(crate) fn create(&mut self) -> Result<ScratchFile, Stop> {
        let mut file = ScratchFile { number: self.next, length: 0, handle: None };
        self.next += 1;
        let made = OpenOptions::new().read(true).write(true).create_new(true).open(self.path(&file));
        file.handle = Some(made.map_err(|e| host_error("create a file for the program", &e))?);
        Ok(file)
    }

    pub(crate) fn open(&self, file: &mut ScratchFile) -> Result<(), Stop> {
        if file.handle.is_none() {
            let again = OpenOptions::new().read(true).write(true).open(self.path(file));
            file.handle = Some(again.map_err(|e| host_error("open a file of the program", &e))?);
        }
        Ok(())
    }

    /// Writes all of `bytes`; a gap before them reads as zeros.
    pub(crate) fn write(&mut self, file: &mut ScratchFile, position: u64, bytes: &[u8]) -> Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = position.saturating_add(bytes.len() as u64);
        if end > file.length {
            self.reserve(file.length, end)?;
        }
        opened(file.handle.as_ref())?
            .write_all_at(bytes, position)
            .map_err(|e| host_error("write a file of the program", &e))?;
        file.length = file.length.max(end);
        Ok(())
    }

    pub(crate) fn resize(&mut self, file: &mut ScratchFile, length: u64) -> Result<(), Stop> {
        self.reserve(file.length, length)?;
        opened(file.handle.as_ref())?
            .set_len(length)
            .map_err(|e| host_error("resize a file of the program", &e))?;
        file.length = length;
        Ok(())
    }

    pub(crate) fn remove(&mut self, file: &ScratchFile) -> Result<(), Stop> {
        self.used_bytes = self.used_bytes.saturating_sub(file.length);
        std::fs::remove_file(self.path(file)).map_err(|e| host_error("remove a file of the program", &e))
    }

    fn reserve(&mut self, before: u64, after: u64) -> Result<(), Fault> {
        let used = self.used_bytes.saturating_sub(before).saturating_add(after);
        if used > self.limit_bytes {
            return Err(Fault::OutputExceeded { limit_bytes: self.limit_bytes });
        }
        self.used_bytes = used;
        Ok(())
    }
}
