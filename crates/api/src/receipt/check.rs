//! Whether a receipt is what its worker signed, and where not. Needs no server.
//!
//! Lines go through three sieves: each must be the line of its field and nothing else; the fields
//! must fit each other (manifest and output, fields and hash, hash and list); the signature must be
//! the key's over session and list. Where a hash or a signature covers many fields, the sums say
//! which of them was touched.

use super::text::{FIELDS, PRICED_FIELDS, fields_of, json, sum};
use super::{FORMAT, OUTCOMES, PRICED_FORMAT, Receipt};
use ciro_core::amount::Fri;
use ciro_core::id::Hash;
use ciro_core::manifest::{Manifest, report_digest, verify_signature};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::{BTreeMap, BTreeSet};

/// The fields that a receipt's hash covers.
const HASHED: [&str; 10] =
    ["job", "task", "fence", "outcome", "input", "output", "profile", "layers", "usage", "price"];
/// The fields that the signature covers, and itself.
const SIGNED: [&str; 4] = ["session", "receipts", "signature", "worker_key"];

/// One thing about a receipt that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The field, or the brace.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The receipt, as far as its lines could be read.
    pub receipt: Option<Receipt>,
    /// What does not fit; a receipt without faults is its worker's word.
    pub faults: Vec<Fault>,
}

impl Checked {
    /// Checks one receipt's lines, as a [`super::BlockReader`] gives them. `worker_key` is the public key that
    /// must have signed it, where that is known.
    #[must_use]
    pub fn of(lines: &[Vec<u8>], worker_key: Option<&[u8; 32]>) -> Checked {
        let mut faults = Faults::default();
        let (receipt, touched) = match read(lines, &mut faults) {
            Some(read) if faults.list.is_empty() => read,
            _ => return Checked { receipt: None, faults: faults.list },
        };
        examine(&receipt, &touched, worker_key, &mut faults);
        Checked { receipt: Some(receipt), faults: faults.list }
    }
}

#[derive(Default)]
struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    fn add(&mut self, field: &str, what: impl Into<String>) {
        if self.list.iter().all(|fault| fault.field != field) {
            self.list.push(Fault { field: field.to_owned(), what: what.into() });
        }
    }

    /// Those of `fields` that were touched; what they do together is wrong, and no single one of
    /// them says so.
    fn add_touched(&mut self, fields: &[&str], touched: &BTreeSet<&str>, else_field: &str, what: &str) {
        let mut guilty = fields.iter().filter(|field| touched.contains(*field)).peekable();
        if guilty.peek().is_none() {
            return self.add(else_field, what);
        }
        for field in guilty {
            self.add(field, format!("its line was changed after the receipt was written: {what}"));
        }
    }
}

/// The receipt and the fields whose lines do not have their sums.
fn read(lines: &[Vec<u8>], faults: &mut Faults) -> Option<(Receipt, BTreeSet<&'static str>)> {
    let fields = layout(lines, faults)?;
    let mut values = Vec::with_capacity(fields.len() + 2);
    for (at, line) in lines.iter().enumerate() {
        let (field, expected) = match at {
            0 => ("{", "it is `{` alone".to_owned()),
            at if at <= fields.len() => {
                let field = fields[at - 1];
                (field, format!("it is `  \"{field}\": …`"))
            }
            _ => ("}", "it is `}` alone".to_owned()),
        };
        match value_of(fields, at, line) {
            Some(value) => values.push(value),
            None => {
                faults.add(field, format!("line {} of the receipt is not as it must be: {expected}", at + 1));
                // Behind a line too many or too few every other one looks wrong.
                return None;
            }
        }
    }
    if lines.len() < fields.len() + 2 {
        let field = fields.get(lines.len().saturating_sub(1)).copied().unwrap_or("}");
        faults.add(field, "the receipt ends before this line");
        return None;
    }
    let mut read = Fields { fields, values: &values[1..=fields.len()], next: 0, faults };
    let receipt = Receipt {
        format: read.read()?,
        job: read.read()?,
        task: read.read()?,
        fence: read.read()?,
        outcome: read.read()?,
        input: read.read()?,
        output: read.read()?,
        manifest: read.read()?,
        profile: read.read()?,
        layers: read.read()?,
        usage: read.read()?,
        price: if fields == PRICED_FIELDS { read.read()? } else { Fri::default() },
        hash: read.read()?,
        session: read.read()?,
        receipts: read.read()?,
        position: read.read()?,
        signature: read.read()?,
        worker_key: read.read()?,
    };
    let sums: BTreeMap<String, String> = read.read()?;
    let plain = fields.len() - 1;
    if sums.len() != plain || !fields[..plain].iter().all(|field| sums.contains_key(*field)) {
        faults.add("sums", "it does not have one sum for each field");
        return None;
    }
    let named = fields[..plain].iter().zip(&lines[1..]);
    let touched = named.filter(|(field, line)| sums.get(**field) != Some(&sum(&line[..line.len() - 1])));
    Some((receipt, touched.map(|(field, _)| *field).collect()))
}

/// The fields that the second line says; nothing where it is the line of its field and names a format
/// that is not known.
fn layout(lines: &[Vec<u8>], faults: &mut Faults) -> Option<&'static [&'static str]> {
    let line = lines.get(1).and_then(|line| value_of(&FIELDS, 1, line));
    let Some(format) = line.and_then(|value| serde_json::from_str::<String>(value).ok()) else {
        return Some(&FIELDS);
    };
    let fields = fields_of(&format);
    if fields.is_none() && lines[0] == b"{\n" {
        let known = format!("this program reads `{FORMAT}` and `{PRICED_FORMAT}`");
        faults.add("format", format!("`{format}` is not known here; {known}"));
        return None;
    }
    Some(fields.unwrap_or(&FIELDS))
}

/// The JSON on a line, or nothing where the line is not its field's.
fn value_of<'a>(fields: &[&str], at: usize, line: &'a [u8]) -> Option<&'a str> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    match at {
        0 => (line == "{").then_some(line),
        at if at <= fields.len() => {
            let value = line.strip_prefix(&format!("  \"{}\": ", fields[at - 1]))?;
            let value = if at == fields.len() { Some(value) } else { value.strip_suffix(',') };
            value.filter(|value| serde_json::from_str::<IgnoredAny>(value).is_ok())
        }
        _ => (line == "}").then_some(line),
    }
}

/// Values that are read one after the other.
struct Fields<'a> {
    fields: &'static [&'static str],
    values: &'a [&'a str],
    next: usize,
    faults: &'a mut Faults,
}

impl Fields<'_> {
    fn read<T: DeserializeOwned + Serialize>(&mut self) -> Option<T> {
        let (field, text) = (self.fields[self.next], self.values[self.next]);
        self.next += 1;
        let value: T = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => {
                self.faults.add(field, format!("it cannot be read: {error}"));
                return None;
            }
        };
        if json(&value).is_ok_and(|written| written == text) {
            return Some(value);
        }
        self.faults.add(field, "it is not written the one way in which receipts write it");
        None
    }
}

fn examine(r: &Receipt, touched: &BTreeSet<&str>, worker_key: Option<&[u8; 32]>, faults: &mut Faults) {
    if r.format == PRICED_FORMAT && r.price.is_zero() {
        faults.add("price", "a receipt without a price is of another format");
    }
    if OUTCOMES.contains(&r.outcome.as_str()) {
        check_output(r, touched, faults);
    } else {
        faults.add("outcome", format!("`{}` is none of {}", r.outcome, OUTCOMES.join(", ")));
    }
    let computed = r.computed_hash();
    let at = r.receipts.get(r.position as usize);
    if computed != r.hash && at == Some(&computed) {
        let what =
            format!("the fields hash to {computed}, as the signed list has it; the receipt says {}", r.hash);
        faults.add("hash", what);
    } else if computed != r.hash && faults.list.is_empty() {
        let hashed = if r.price.is_zero() { &HASHED[..HASHED.len() - 1] } else { &HASHED };
        let what = format!("{} hash to {computed}, the receipt says {}", hashed.join(", "), r.hash);
        faults.add_touched(&HASHED, touched, "hash", &what);
    }
    check_list(r, at, computed, touched, faults);
    check_signature(r, touched, worker_key, faults);
    if faults.list.is_empty()
        && let Some(field) = touched.first()
    {
        faults.add(
            "sums",
            format!("its entry for `{field}` is not the sum of that line, which fits all the rest"),
        );
    }
}

/// Manifest and output, which only a success has.
fn check_output(r: &Receipt, touched: &BTreeSet<&str>, faults: &mut Faults) {
    let succeeded = r.outcome == OUTCOMES[0];
    let (manifest, output) = match (&r.manifest, r.output) {
        (Some(manifest), Some(output)) if succeeded => (manifest, output),
        (None, None) if !succeeded => return,
        _ => {
            let what = "a success has a manifest and its hash as output, and nothing else has them";
            return faults.add_touched(&["outcome", "output", "manifest"], touched, "manifest", what);
        }
    };
    let hash = Hash::of(manifest.as_bytes());
    if hash != output {
        let fits = Receipt { output: Some(hash), ..r.clone() }.computed_hash() == r.hash;
        if fits {
            faults.add("output", format!("the manifest's hash is {hash}, the receipt says {output}"));
        } else {
            faults.add("manifest", format!("its hash is {hash}, the receipt's output is {output}"));
        }
    } else if let Err(error) = Manifest::parse(manifest) {
        faults.add("manifest", error.to_string());
    }
}

fn check_list(r: &Receipt, at: Option<&Hash>, computed: Hash, touched: &BTreeSet<&str>, faults: &mut Faults) {
    if at == Some(&r.hash) || at == Some(&computed) {
        return;
    }
    if let Some(place) = r.receipts.iter().position(|hash| *hash == r.hash) {
        faults.add("position", format!("the receipt stands at {place} of its list, it says {}", r.position));
    } else if computed == r.hash {
        let what = format!("the list of {} hashes does not have the receipt's", r.receipts.len());
        faults.add_touched(&["receipts"], touched, "receipts", &what);
    } else {
        faults.add("hash", format!("{} is not in the signed list, nor is what the fields hash to", r.hash));
    }
}

fn check_signature(r: &Receipt, touched: &BTreeSet<&str>, expected: Option<&[u8; 32]>, faults: &mut Faults) {
    let Some(key) = unhex::<32>(&r.worker_key) else {
        return faults.add("worker_key", "it is not 64 lower-case hex digits");
    };
    let Some(signature) = unhex::<64>(&r.signature) else {
        return faults.add("signature", "it is not 128 lower-case hex digits");
    };
    let digest = report_digest(&r.session.to_string(), &r.receipts);
    if !verify_signature(&key, &digest, &signature) {
        let what = "the signature is not the worker key's over this session and these receipts";
        faults.add_touched(&SIGNED, touched, "signature", what);
    }
    if let Some(expected) = expected.filter(|expected| **expected != key) {
        let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
        faults.add("worker_key", format!("it is {}, and {expected} was to have signed", r.worker_key));
    }
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().as_chunks::<2>();
    if text.len() != 2 * N || !pairs.1.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs.0) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}
