//! What every program here needs: where its files lie, which task of how many it is, settings
//! written `name=value`, and one way to fail.
//!
//! As a module a program sees `/in`, `/out` and `/tmp`. Built for a machine of its own, which is
//! how the tests make their reference results, it takes them below the folder that the variable
//! `JOBS_ROOT` names.

use std::io;
use std::path::{Path, PathBuf};

/// Ends the program: exit code 0, or the error on standard error and exit code 2.
pub fn finish(program: &str, done: io::Result<()>) {
    if let Err(error) = done {
        eprintln!("{}: {}", program, error);
        std::process::exit(2);
    }
}

/// An error that says what is wrong with what was given.
pub fn bad(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// `/in`, `/out` or `/tmp`.
pub fn dir(name: &str) -> PathBuf {
    #[cfg(target_os = "wasi")]
    let root = PathBuf::from("/");
    #[cfg(not(target_os = "wasi"))]
    let root = PathBuf::from(std::env::var_os("JOBS_ROOT").unwrap_or_else(|| "/".into()));
    root.join(name)
}

/// A file's text.
pub fn read_text(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {}", path.display(), error)))
}

/// Writes a file under `/out`.
pub fn write(name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = dir("out").join(name);
    std::fs::write(&path, bytes)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {}", path.display(), error)))
}

/// All files below a directory, sorted by path.
pub fn files_under(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The files of that name that the tasks before a reducer left, in the order of the tasks.
pub fn left_by_tasks(name: &str) -> io::Result<Vec<PathBuf>> {
    let files = files_under(&dir("in"))?;
    Ok(files
        .into_iter()
        .filter(|path| path.file_name().map_or(false, |own| own == name))
        .collect())
}

/// A number in the environment.
pub fn variable(name: &str) -> io::Result<Option<u64>> {
    match std::env::var(name) {
        Err(_) => Ok(None),
        Ok(text) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(bad(format!("{} is {:?}, not a number", name, text))),
        },
    }
}

/// Which task this is, of how many; a job that is not split is one task.
#[derive(Clone, Copy)]
pub struct Place {
    pub index: u64,
    pub count: u64,
}

impl Place {
    pub fn read() -> io::Result<Place> {
        let index = variable("CIRO_TASK_INDEX")?.unwrap_or(0);
        let count = variable("CIRO_TASK_COUNT")?.unwrap_or(1);
        if index >= count {
            return Err(bad(format!("task {} of {} does not exist", index, count)));
        }
        Ok(Place { index, count })
    }

    /// This task's part of `total` things: first and one past the last. Parts differ by one at most.
    pub fn share(self, total: u64) -> (u64, u64) {
        let cut = |part: u64| (u128::from(total) * u128::from(part) / u128::from(self.count)) as u64;
        (cut(self.index), cut(self.index + 1))
    }
}

/// Whether the job is split: then a reducer makes the result of what the tasks leave.
pub fn is_split() -> bool {
    std::env::var_os("CIRO_TASK_COUNT").is_some()
}

/// Whether this reducer is the last one, which makes the result; one below leaves what it read,
/// merged, for the next.
pub fn is_last_reducer() -> bool {
    std::env::var("CIRO_REDUCE_ROOT").map_or(true, |root| root != "0")
}

/// Settings written `name=value` among the arguments.
pub struct Settings {
    given: Vec<(String, String)>,
}

impl Settings {
    /// Of these arguments; `known` are the names that exist, for the refusal of any other.
    pub fn of(args: &[String], known: &[&str]) -> io::Result<Settings> {
        let mut given: Vec<(String, String)> = Vec::new();
        for arg in args {
            let (name, value) = match arg.split_once('=') {
                Some(pair) => pair,
                None => {
                    return Err(bad(format!(
                        "{:?} is not name=value; known are {}",
                        arg,
                        known.join(", ")
                    )))
                }
            };
            if !known.contains(&name) {
                return Err(bad(format!(
                    "no setting is named {:?}; known are {}",
                    name,
                    known.join(", ")
                )));
            }
            if given.iter().any(|(other, _)| other == name) {
                return Err(bad(format!("{} is given twice", name)));
            }
            given.push((name.into(), value.into()));
        }
        Ok(Settings { given })
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        let found = self.given.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A whole number between bounds.
    pub fn whole(&self, name: &str, default: u64, least: u64, most: u64) -> io::Result<u64> {
        let number = match self.text(name) {
            None => default,
            Some(text) => text
                .replace('_', "")
                .parse()
                .map_err(|_| bad(format!("{}={} is not a whole number", name, text)))?,
        };
        if number < least || number > most {
            return Err(bad(format!(
                "{}={} is not between {} and {}",
                name, number, least, most
            )));
        }
        Ok(number)
    }

    /// A number between bounds.
    pub fn number(&self, name: &str, default: f64, least: f64, most: f64) -> io::Result<f64> {
        let number: f64 = match self.text(name) {
            None => default,
            Some(text) => text
                .parse()
                .map_err(|_| bad(format!("{}={} is not a number", name, text)))?,
        };
        if !(number >= least && number <= most) {
            return Err(bad(format!(
                "{}={} is not between {} and {}",
                name, number, least, most
            )));
        }
        Ok(number)
    }
}
