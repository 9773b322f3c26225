//! A receipt as a file: a JSON object with one field on each line, always the same ones in the same
//! order, so that every byte belongs to a field. The last field, `sums`, holds a short sum of each
//! line before it; it is not signed and only helps to name a line that was damaged. A file may hold
//! several receipts one after the other.

use super::{FORMAT, PRICED_FORMAT, Receipt};
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
/// The fields of the file of a receipt with a price, a line each.
pub const PRICED_FIELDS: [&str; FIELDS.len() + 1] = {
    let mut fields = [PRICE; FIELDS.len() + 1];
    let mut at = 0;
    while at < FIELDS.len() {
        fields[if at < PRICE_AT { at } else { at + 1 }] = FIELDS[at];
        at += 1;
    }
    fields
};
const PRICE: &str = "price";
/// How many fields stand before the price: those that its hash covers too.
const PRICE_AT: usize = 11;

/// The fields of a receipt of that format, which the line of it says; nothing where it is not known.
pub(super) fn fields_of(format: &str) -> Option<&'static [&'static str]> {
    match format {
        FORMAT => Some(&FIELDS),
        PRICED_FORMAT => Some(&PRICED_FIELDS),
        _ => None,
    }
}

/// The fields of the receipt that begins with these lines; those of one without a price where its
/// second line does not say.
fn expected(lines: &[Vec<u8>]) -> &'static [&'static str] {
    let priced = format!("  \"format\": \"{PRICED_FORMAT}\",\n");
    match lines.get(1) {
        Some(line) if *line == priced.as_bytes() => &PRICED_FIELDS,
        _ => &FIELDS,
    }
}

impl Receipt {
    /// The receipt as a file.
    ///
    /// # Errors
    /// Never in practice; kept for the serialiser's sake.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        let fields = fields_of(&self.format).unwrap_or(&FIELDS);
        let mut lines = Vec::with_capacity(fields.len());
        for (field, value) in fields.iter().zip(self.values(fields == PRICED_FIELDS)?) {
            lines.push(format!("  \"{field}\": {value},"));
        }
        let named = fields.iter().zip(&lines).map(|(field, line)| (*field, sum(line.as_bytes())));
        lines.push(format!("  \"sums\": {}", serde_json::to_string(&named.collect::<BTreeMap<_, _>>())?));
        Ok(format!("{{\n{}\n}}\n", lines.join("\n")))
    }

    /// The values in the order of the fields, without the sums.
    fn values(&self, priced: bool) -> Result<Vec<String>, serde_json::Error> {
        let mut values = vec![
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
        ];
        if priced {
            values.insert(PRICE_AT, json(&self.price)?);
        }
        Ok(values)
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
        // The lines of a receipt are its fields with the braces around.
        while lines.len() < expected(&lines).len() + 2 {
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
