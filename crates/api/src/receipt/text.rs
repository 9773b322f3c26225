//! A receipt as a file: a JSON object with one field on each line, always the same ones in the same
//! order, so that every byte belongs to a field. The last field, `sums`, holds a short sum of each
//! line before it; it is not signed and only helps to name a line that was damaged. A file may hold
//! several receipts one after the other.

use super::Receipt;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

/// The longest line that is read, bytes: a manifest of the largest size, each byte of it escaped.
pub const MAX_LINE_BYTES: usize = 2 << 20;
/// Hex digits of a line's sum.
const SUM_DIGITS: usize = 8;

/// The fields of a receipt's file, a line each.
pub const FIELDS: [&str; 18] = [
    "format",
    "job",
    "task",
    "fence",
    "outcome",
    "input",
    "output",
    "manifest",
    "profile",
    "layers",
    "usage",
    "hash",
    "session",
    "receipts",
    "position",
    "signature",
    "worker_key",
    "sums",
];
/// Lines of one receipt, with the braces around.
pub(super) const LINES: usize = FIELDS.len() + 2;

impl Receipt {
    /// The receipt as a file.
    ///
    /// # Errors
    /// Never in practice; kept for the serialiser's sake.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut lines = Vec::with_capacity(FIELDS.len());
        for (field, value) in FIELDS.iter().zip(self.values()?) {
            lines.push(format!("  \"{field}\": {value},"));
        }
        let named = FIELDS.iter().zip(&lines).map(|(field, line)| (*field, sum(line.as_bytes())));
        lines.push(format!("  \"sums\": {}", serde_json::to_string(&named.collect::<BTreeMap<_, _>>())?));
        Ok(format!("{{\n{}\n}}\n", lines.join("\n")))
    }

    /// The values in the order of [`FIELDS`], without the sums.
    fn values(&self) -> Result<[String; FIELDS.len() - 1], serde_json::Error> {
        Ok([
            json(&self.format)?,
            json(&self.job)?,
            json(&self.task)?,
            json(&self.fence)?,
            json(&self.outcome)?,
            json(&self.input)?,
            json(&self.output)?,
            json(&self.manifest)?,
            json(&self.profile)?,
            json(&self.layers)?,
            json(&self.usage)?,
            json(&self.hash)?,
            json(&self.session)?,
            json(&self.receipts)?,
            json(&self.position)?,
            json(&self.signature)?,
            json(&self.worker_key)?,
        ])
    }
}

pub(super) fn json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(value)
}

/// The sum of a line: the beginning of its BLAKE3 hash.
pub(super) fn sum(line: &[u8]) -> String {
    let mut hash = ciro_core::id::Hash::of(line).to_string();
    hash.truncate(SUM_DIGITS);
    hash
}

/// The receipts of a file, one at a time, as lines that may be damaged.
#[derive(Debug)]
pub struct BlockReader<R> {
    source: R,
}

impl<R: BufRead> BlockReader<R> {
    /// Reads from `source`.
    pub fn new(source: R) -> BlockReader<R> {
        BlockReader { source }
    }

    /// The lines of the next receipt, each with its newline; nothing at the end of the file.
    ///
    /// # Errors
    /// When the source cannot be read, or holds a line longer than any of a receipt.
    pub fn next_block(&mut self) -> io::Result<Option<Vec<Vec<u8>>>> {
        let mut lines = Vec::new();
        while lines.len() < LINES {
            let mut line = Vec::new();
            let most = MAX_LINE_BYTES as u64 + 1;
            let length = self.source.by_ref().take(most).read_until(b'\n', &mut line)?;
            if length > MAX_LINE_BYTES {
                let text =
                    format!("a line is longer than {MAX_LINE_BYTES} bytes: this is no file of receipts");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            if length == 0 {
                break;
            }
            let ends = line == b"}\n" || line == b"}";
            lines.push(line);
            if ends {
                break;
            }
        }
        Ok((!lines.is_empty()).then_some(lines))
    }
}
