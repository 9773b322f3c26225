//! What every source file owes its reader: a first sentence that says what the file owns, a
//! length that can be read in one sitting, a name that says something, and no unfinished work.

use super::Violation;
use crate::house::TextFile;

const LONGEST_LINES: usize = 600;

/// Files that are read as a table and may be longer, each with its reason.
const LONG: &[(&str, &str)] = &[];

/// Words of unfinished work, in two halves so that this file does not contain them.
const UNFINISHED: [(&str, &str); 9] = [
    ("TO", "DO"),
    ("FIX", "ME"),
    ("to", "do!("),
    ("unimple", "mented!("),
    ("place", "holder"),
    ("dum", "my"),
    ("not imple", "mented"),
    ("#[ig", "nore"),
    ("#[al", "low("),
];

/// File names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] =
    ["common", "helper", "helpers", "manager", "misc", "processor", "util", "utils"];

pub(super) fn check(files: &[TextFile]) -> Vec<Violation> {
    let mut violations: Vec<_> =
        files.iter().filter(|file| file.path.ends_with(".rs")).flat_map(judge).collect();
    let stale = LONG.iter().filter(|(path, _)| !files.iter().any(|file| file.path == *path && is_long(file)));
    violations.extend(stale.map(|(path, _)| {
        Violation::new(
            *path,
            "is listed as a long file and is not one",
            "take it off the list in tidy/words.rs",
        )
    }));
    violations
}

fn is_long(file: &TextFile) -> bool {
    file.text.lines().count() > LONGEST_LINES
}

fn judge(file: &TextFile) -> Vec<Violation> {
    let mut found = Vec::new();
    if !file.text.starts_with("//!") {
        found.push(Violation::new(
            &file.path,
            "does not begin with `//!`",
            "begin with a sentence that says what the file owns and how data moves through it",
        ));
    }
    if is_long(file) && !LONG.iter().any(|(path, _)| *path == file.path) {
        found.push(Violation::new(
            &file.path,
            format!("has more than {LONGEST_LINES} lines"),
            "split it at a seam, or list it in tidy/words.rs with the reason why it is read as a table",
        ));
    }
    let stem = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
    if EMPTY_NAMES.contains(&stem) {
        found.push(Violation::new(&file.path, "has a name that says nothing", "name it for what it owns"));
    }
    for (number, line) in file.text.lines().enumerate() {
        if let Some(word) = unfinished(line) {
            found.push(Violation::new(
                format!("{}:{}", file.path, number + 1),
                format!("says `{word}`"),
                "finish it, or leave it out; a lint is silenced with #[expect(…, reason = …)]",
            ));
        }
    }
    found
}

fn unfinished(line: &str) -> Option<String> {
    let words = UNFINISHED.iter().map(|(head, tail)| format!("{head}{tail}"));
    words.into_iter().find(|word| line.contains(word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_good_file_passes() {
        assert_eq!(check(&[file("crates/a/src/lease.rs", "//! Leases.\n")]), []);
    }

    #[test]
    fn each_fault_is_reported() {
        let unfinished = format!("//! A.\nfn f() {{ {}{}) }}\n", "to", "do!(");
        let long = format!("//! A.\n{}", "\n".repeat(LONGEST_LINES));
        for (path, text) in [
            ("crates/a/src/lease.rs", "fn main() {}\n"),
            ("crates/a/src/lease.rs", unfinished.as_str()),
            ("crates/a/src/lease.rs", long.as_str()),
            ("crates/a/src/utils.rs", "//! A.\n"),
        ] {
            assert_eq!(check(&[file(path, text)]).len(), 1, "{path}");
        }
    }
}
