//! Real text of the machine, and the independent count of its words.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders of every Debian that hold prose.
const PLACES: [&str; 4] =
    ["/usr/share/doc", "/usr/share/perl", "/usr/share/common-licenses", "/usr/lib/python3"];
/// The count as everybody can make it, by programs that are not ours.
const PIPELINE: &str = r"tr A-Z a-z <text | tr -s '[:space:]' '\n' | grep -v '^$' | LC_ALL=C sort | uniq -c |
    sed -E 's/^ *([0-9]+) (.*)$/\2\t\1/'";

/// At least `bytes` of text from files of the machine.
pub(crate) fn of_the_machine(bytes: usize) -> Result<Vec<u8>> {
    let mut text = Vec::with_capacity(bytes + (1 << 20));
    for place in PLACES {
        collect(Path::new(place), bytes, &mut text)?;
    }
    ensure!(!text.is_empty(), "no text in {PLACES:?}");
    // A machine with little to read says it again.
    let once = text.len();
    while text.len() < bytes {
        text.extend_from_within(..once);
    }
    Ok(text)
}

fn collect(folder: &Path, bytes: usize, text: &mut Vec<u8>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    for path in paths {
        if text.len() >= bytes {
            break;
        }
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(&path, bytes, text)?;
        } else if let Ok(more) = fs::read(&path)
            && std::str::from_utf8(&more).is_ok_and(|more| !more.contains('\0'))
        {
            text.extend(more);
            text.push(b'\n');
        }
    }
    Ok(())
}

/// `word<TAB>count` lines of `text`, sorted, by `tr`, `sort` and `uniq`.
pub(crate) fn counted_by_the_shell(folder: &Path, text: &[u8]) -> Result<Vec<u8>> {
    fs::write(folder.join("text"), text)?;
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", PIPELINE]).env("LC_ALL", "C").current_dir(folder).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && errors.is_empty(), "the pipeline failed: {errors}");
    Some(output.stdout).filter(|counts| !counts.is_empty()).context("the pipeline counted nothing")
}
