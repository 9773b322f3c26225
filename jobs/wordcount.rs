//! Counts words. A word is a longest run of bytes that are not ASCII white space, in ASCII lower
//! case. The result is `/out/counts.tsv`: a line `word TAB count LF` each, sorted by bytes.
//!
//! `wordcount map` counts the one file under `/in`; memory grows with the number of different
//! words. `wordcount reduce` adds up the results of `map` (or of `reduce`) that lie anywhere under
//! `/in`; it merges sorted files, so memory does not grow with them.

#[path = "lib/task.rs"]
mod task;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use task::{bad, files_under};

const RESULT: &str = "counts.tsv";
const READ_BYTES: usize = 256 * 1024;
/// Files merged at once.
const FAN_IN: usize = 64;

fn main() {
    let mode = std::env::args().nth(1);
    let done = match mode.as_deref() {
        Some("map") => map(),
        Some("reduce") => reduce(),
        _ => Err(bad("use `wordcount map` or `wordcount reduce`".into())),
    };
    task::finish("wordcount", done);
}

fn map() -> io::Result<()> {
    let files = files_under(&task::dir("in"))?;
    if files.len() != 1 {
        return Err(bad(format!(
            "map counts one file, there are {} under /in",
            files.len()
        )));
    }
    let mut words = Words::default();
    count(&mut File::open(&files[0])?, &mut words)?;
    words.write(&mut BufWriter::with_capacity(
        READ_BYTES,
        File::create(task::dir("out").join(RESULT))?,
    ))
}

/// Space, tab, line feed, vertical tab, form feed, carriage return: what `[:space:]` means in C.
fn is_space(byte: u8) -> bool {
    byte == b' ' || (byte >= 9 && byte <= 13)
}

/// What each byte becomes: all white space a space, all else as it stands in a word.
fn folded() -> [u8; 256] {
    let mut table = [0; 256];
    for byte in 0..=255_u8 {
        table[usize::from(byte)] = if is_space(byte) {
            b' '
        } else {
            byte.to_ascii_lowercase()
        };
    }
    table
}

fn count(input: &mut impl Read, words: &mut Words) -> io::Result<()> {
    let folded = folded();
    let mut buffer = vec![0; READ_BYTES];
    let mut begun = Vec::new();
    loop {
        let length = input.read(&mut buffer)?;
        if length == 0 {
            words.add(&begun);
            return Ok(());
        }
        for byte in &mut buffer[..length] {
            *byte = folded[usize::from(*byte)];
        }
        let mut pieces = buffer[..length].split(|byte| *byte == b' ');
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            if begun.is_empty() {
                words.add(piece);
            } else {
                begun.extend_from_slice(piece);
                words.add(&begun);
                begun.clear();
            }
        }
        begun.extend_from_slice(last);
    }
}

/// A hash table of our own: an entry costs 24 bytes and the word itself, and it never depends on
/// the order in which the standard library would iterate.
#[derive(Default)]
struct Words {
    entries: Vec<Entry>,
    /// Index of an entry plus one, or zero; a power of two long, at most half full.
    slots: Vec<u32>,
    text: Vec<Vec<u8>>,
}

#[derive(Clone, Copy)]
struct Entry {
    chunk: u32,
    start: u32,
    length: u32,
    hash: u32,
    count: u64,
}

const CHUNK_BYTES: usize = 1 << 20;

fn hash(word: &[u8]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in word {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    (hash ^ (hash >> 32)) as u32
}

impl Words {
    fn text(&self, entry: &Entry) -> &[u8] {
        let start = entry.start as usize;
        &self.text[entry.chunk as usize][start..start + entry.length as usize]
    }

    fn add(&mut self, word: &[u8]) {
        if word.is_empty() {
            return;
        }
        if self.slots.len() < 2 * (self.entries.len() + 1) {
            self.widen();
        }
        let hash = hash(word);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != 0 {
            let index = self.slots[slot] as usize - 1;
            let entry = self.entries[index];
            if entry.hash == hash && self.text(&entry) == word {
                self.entries[index].count += 1;
                return;
            }
            slot = (slot + 1) & mask;
        }
        let entry = self.keep(word, hash);
        self.entries.push(entry);
        self.slots[slot] = self.entries.len() as u32;
    }

    fn keep(&mut self, word: &[u8], hash: u32) -> Entry {
        let fits = |chunk: &Vec<u8>| chunk.capacity() - chunk.len() >= word.len();
        if !self.text.last().map_or(false, fits) {
            self.text.push(Vec::with_capacity(CHUNK_BYTES.max(word.len())));
        }
        let chunk = self.text.len() - 1;
        let start = self.text[chunk].len() as u32;
        self.text[chunk].extend_from_slice(word);
        Entry {
            chunk: chunk as u32,
            start,
            length: word.len() as u32,
            hash,
            count: 1,
        }
    }

    fn widen(&mut self) {
        let slots = (4 * (self.entries.len() + 1)).next_power_of_two().max(1024);
        self.slots = Vec::new();
        self.slots.resize(slots, 0);
        for (index, entry) in self.entries.iter().enumerate() {
            let mut slot = entry.hash as usize & (slots - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (slots - 1);
            }
            self.slots[slot] = index as u32 + 1;
        }
    }

    fn write(mut self, out: &mut impl Write) -> io::Result<()> {
        self.slots = Vec::new();
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable_by(|a, b| self.text(a).cmp(self.text(b)));
        for entry in &entries {
            write_line(out, self.text(entry), entry.count)?;
        }
        out.flush()
    }
}

fn write_line(out: &mut impl Write, word: &[u8], count: u64) -> io::Result<()> {
    out.write_all(word)?;
    writeln!(out, "\t{}", count)
}

/// Merges in rounds of [`FAN_IN`] files through `/tmp`, the last round into the result.
fn reduce() -> io::Result<()> {
    let mut files = files_under(&task::dir("in"))?;
    let mut round = 0;
    while files.len() > FAN_IN {
        let mut merged = Vec::new();
        for (number, group) in files.chunks(FAN_IN).enumerate() {
            let path = task::dir("tmp").join(format!("{}-{}", round, number));
            merge(group, &path)?;
            merged.push(path);
        }
        for file in files.iter().filter(|file| file.starts_with(task::dir("tmp"))) {
            std::fs::remove_file(file)?;
        }
        files = merged;
        round += 1;
    }
    merge(&files, &task::dir("out").join(RESULT))
}

fn merge(files: &[PathBuf], result: &Path) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(READ_BYTES, File::create(result)?);
    let mut counts = files
        .iter()
        .map(|path| Counts::open(path))
        .collect::<io::Result<Vec<_>>>()?;
    let mut heap = BinaryHeap::new();
    for (index, counts) in counts.iter_mut().enumerate() {
        if let Some((word, count)) = counts.next(Vec::new())? {
            heap.push(Reverse((word, index, count)));
        }
    }
    let mut current: Option<(Vec<u8>, u64)> = None;
    while let Some(Reverse((word, index, count))) = heap.pop() {
        let spare = match &mut current {
            Some((same, total)) if *same == word => {
                *total = total
                    .checked_add(count)
                    .ok_or_else(|| bad("a count is too large".into()))?;
                word
            }
            other => match other.replace((word, count)) {
                Some((done, total)) => {
                    write_line(&mut out, &done, total)?;
                    done
                }
                None => Vec::new(),
            },
        };
        if let Some((word, count)) = counts[index].next(spare)? {
            heap.push(Reverse((word, index, count)));
        }
    }
    if let Some((word, total)) = current {
        write_line(&mut out, &word, total)?;
    }
    out.flush()
}

/// A sorted file of counts, line by line.
struct Counts<'a> {
    path: &'a Path,
    lines: BufReader<File>,
    last: Vec<u8>,
}

impl<'a> Counts<'a> {
    fn open(path: &'a Path) -> io::Result<Self> {
        Ok(Counts {
            path,
            lines: BufReader::with_capacity(READ_BYTES, File::open(path)?),
            last: Vec::new(),
        })
    }

    /// The next word, in the memory of `spare`, and its count.
    fn next(&mut self, mut spare: Vec<u8>) -> io::Result<Option<(Vec<u8>, u64)>> {
        spare.clear();
        if self.lines.read_until(b'\n', &mut spare)? == 0 {
            return Ok(None);
        }
        let parsed = spare.iter().position(|byte| *byte == b'\t').and_then(|tab| {
            let number = std::str::from_utf8(spare.get(tab + 1..spare.len() - 1)?).ok()?;
            Some((tab, number.parse::<u64>().ok()?))
        });
        let (length, count) = parsed.ok_or_else(|| self.complaint(&spare, "is not `word TAB count`"))?;
        spare.truncate(length);
        if spare <= self.last {
            return Err(self.complaint(&spare, "is out of order"));
        }
        self.last.clear();
        self.last.extend_from_slice(&spare);
        Ok(Some((spare, count)))
    }

    fn complaint(&self, line: &[u8], what: &str) -> io::Error {
        let start = String::from_utf8_lossy(&line[..line.len().min(80)]);
        bad(format!("{}: line {:?} {}", self.path.display(), start, what))
    }
}
