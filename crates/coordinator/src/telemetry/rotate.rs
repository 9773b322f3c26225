//! A log file that is set aside before it is too large or too old: `<file>.1` is the newest of those
//! set aside, and the oldest go once there are too many or they have too many bytes together.

use crate::clock::SystemClock;
use crate::config::Log;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Readable by the group, which is how operators and collectors of logs get at it.
const MODE: u32 = 0o640;

/// An open log file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    begun: SystemTime,
    bounds: Bounds,
    clock: SystemClock,
}

/// When it is set aside, and what is kept; 0 is no bound, but for `keep`.
#[derive(Debug)]
struct Bounds {
    bytes: u64,
    age: Duration,
    keep: u32,
    total_bytes: u64,
}

impl LogFile {
    /// Opens the file at `path` to append to it; its folder is made when it does not exist.
    pub(super) fn open(path: &Path, log: &Log) -> io::Result<LogFile> {
        let about = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let clock = SystemClock::new();
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(about)?;
        }
        let (file, size, begun) = open(path, &clock).map_err(about)?;
        let bounds = Bounds {
            bytes: log.rotate_bytes,
            age: Duration::from_millis(log.rotate_ms),
            keep: log.keep,
            total_bytes: log.total_bytes,
        };
        Ok(LogFile { path: path.to_owned(), file, size, begun, bounds, clock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the path again, whatever lies there now.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.size, self.begun) = open(&self.path, &self.clock)?;
        Ok(())
    }

    /// Appends a line, to a new file where this one is full. Where no new one can be begun, the
    /// line still goes to the old one.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let turned = if self.is_full(line.len() as u64) { self.turn() } else { Ok(()) };
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        turned
    }

    fn is_full(&self, more: u64) -> bool {
        let too_large = self.bounds.bytes > 0 && self.size + more > self.bounds.bytes;
        let age = self.clock.system_time().duration_since(self.begun).unwrap_or_default();
        self.size > 0 && (too_large || !self.bounds.age.is_zero() && age >= self.bounds.age)
    }

    /// Sets the file aside and begins a new one.
    fn turn(&mut self) -> io::Result<()> {
        let turned = self.set_aside().and_then(|()| self.reopen());
        // One that cannot be set aside is tried again only once it is as full again.
        (self.size, self.begun) = (0, self.clock.system_time());
        turned
    }

    fn set_aside(&self) -> io::Result<()> {
        let mut aside = self.aside()?;
        aside.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        for (number, _) in &aside {
            if *number >= self.bounds.keep {
                fs::remove_file(self.named(*number))?;
            } else {
                fs::rename(self.named(*number), self.named(number + 1))?;
            }
        }
        if self.bounds.keep == 0 {
            return fs::remove_file(&self.path);
        }
        fs::rename(&self.path, self.named(1))?;
        self.forget_oldest()
    }

    /// Keeps the newest files that fit beside one that is full.
    fn forget_oldest(&self) -> io::Result<()> {
        if self.bounds.total_bytes == 0 {
            return Ok(());
        }
        let mut room = self.bounds.total_bytes.saturating_sub(self.bounds.bytes);
        let mut aside = self.aside()?;
        aside.sort_unstable();
        for (number, size) in aside {
            match room.checked_sub(size) {
                Some(left) => room = left,
                None => {
                    room = 0;
                    fs::remove_file(self.named(number))?;
                }
            }
        }
        Ok(())
    }

    fn named(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    /// Numbers and sizes of the files that were set aside, in any order.
    fn aside(&self) -> io::Result<Vec<(u32, u64)>> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let own = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.strip_prefix(&own).and_then(|rest| rest.strip_prefix('.'));
            // `.01` is not one of ours, whatever number it is.
            let number = number.filter(|digits| !digits.starts_with(['0', '+'])).and_then(|n| n.parse().ok());
            if let Some(number) = number {
                found.push((number, entry.metadata()?.len()));
            }
        }
        Ok(found)
    }
}

/// The file, its size, and when it was begun.
fn open(path: &Path, clock: &SystemClock) -> io::Result<(File, u64, SystemTime)> {
    let file = OpenOptions::new().create(true).append(true).mode(MODE).open(path)?;
    let metadata = file.metadata()?;
    let now = clock.system_time();
    let begun =
        if metadata.len() == 0 { now } else { metadata.created().or_else(|_| metadata.modified())? };
    Ok((file, metadata.len(), begun.min(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(path: &Path) -> Log {
        let mut log = Log { file: Some(path.to_owned()), ..Log::default() };
        (log.rotate_bytes, log.rotate_ms, log.keep, log.total_bytes) = (10, 0, 3, 0);
        log
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_set_aside_and_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/c.log");
        let mut file = LogFile::open(&path, &log(&path)).unwrap();
        for line in ["aaaaaaa\n", "bbbbbbb\n", "ccccccc\n", "ddddddd\n", "eeeeeee\n", "ff\n"] {
            file.write(line.as_bytes()).unwrap();
        }
        let folder = path.parent().unwrap();
        assert_eq!(names(folder), ["c.log", "c.log.1", "c.log.2", "c.log.3"]);
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        // `e` and `f` together are longer than a file may be.
        assert_eq!((read("c.log").as_str(), read("c.log.1").as_str()), ("ff\n", "eeeeeee\n"));
        assert_eq!(read("c.log.3"), "ccccccc\n");
    }

    #[test]
    fn the_bytes_of_all_files_are_bounded_and_strangers_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.log");
        for stranger in ["c.log.old", "c.log.01", "c.logs"] {
            fs::write(folder.path().join(stranger), "x").unwrap();
        }
        let mut file = LogFile::open(&path, &Log { total_bytes: 28, ..log(&path) }).unwrap();
        for _ in 0..6 {
            file.write(b"1234567\n").unwrap();
        }
        assert_eq!(names(folder.path()), ["c.log", "c.log.01", "c.log.1", "c.log.2", "c.log.old", "c.logs"]);
    }

    #[test]
    fn a_file_that_was_moved_away_is_let_go_of_when_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.log");
        let mut file = LogFile::open(&path, &log(&path)).unwrap();
        file.write(b"one\n").unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        file.reopen().unwrap();
        file.write(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(fs::read_to_string(folder.path().join("moved")).unwrap(), "one\n");
    }
}
