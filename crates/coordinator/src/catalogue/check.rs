//! What a client may write in a job. Every wrong place is named, with a pointer into the body, so
//! that one answer is enough to mend them all.

use ciro_api::job::{GpuRequest, Input};
use ciro_api::problem::FieldError;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// The most wrong places that one answer names.
pub(crate) const MAX_ERRORS: usize = 50;
/// Arguments and environment together, bytes with their terminators; a worker takes 128 KiB and
/// the coordinator adds variables of its own.
pub(crate) const MAX_TEXT_BYTES: usize = 120 * 1024;
pub(crate) const MAX_ARGS: usize = 256;
pub(crate) const MAX_ENV: usize = 256;
pub(crate) const MAX_INPUTS: usize = 64;
const MAX_NAME_BYTES: usize = 128;
/// Labels or constraints of one job.
pub(crate) const MAX_WORDS: usize = 64;
const MAX_WORD_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 256;

/// Wrong places found so far.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    errors: Vec<FieldError>,
}

impl Checks {
    pub(crate) fn add(&mut self, pointer: impl Into<String>, code: &str, detail: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(FieldError {
                pointer: pointer.into(),
                code: code.into(),
                detail: detail.into(),
            });
        }
    }

    pub(crate) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    pub(super) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// `value`, which has to lie between `least` and `most`.
    pub(crate) fn range<T: PartialOrd + Display + Copy>(
        &mut self,
        pointer: &str,
        value: T,
        least: T,
        most: T,
    ) -> T {
        if value < least || value > most {
            self.add(pointer, "range", format!("{value} is not between {least} and {most}"));
        }
        value
    }

    fn at_most(&mut self, pointer: &str, what: &str, count: usize, most: usize) {
        if count > most {
            self.add(pointer, "too_many", format!("{count} {what}, at most {most} are taken"));
        }
    }

    /// Arguments of a program.
    pub(super) fn args(&mut self, pointer: &str, args: &[String]) {
        self.at_most(pointer, "arguments", args.len(), MAX_ARGS);
        for (i, _) in args.iter().enumerate().filter(|(_, arg)| arg.contains('\0')) {
            self.add(format!("{pointer}/{i}"), "format", "an argument cannot hold a NUL byte");
        }
    }

    /// Environment of a program, and its size together with the arguments.
    pub(super) fn env(&mut self, env: &BTreeMap<String, String>, args: &[String]) {
        self.at_most("/env", "variables", env.len(), MAX_ENV);
        for (name, value) in env {
            let at = || format!("/env/{}", escaped(name));
            let mut bytes = name.bytes();
            let head = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
            if !head || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                self.add(
                    at(),
                    "format",
                    "a variable's name is letters, digits and `_`, and begins with no digit",
                );
            }
            if name.starts_with("CIRO_") {
                self.add(at(), "reserved", "names that begin with `CIRO_` are set by the coordinator");
            }
            if value.contains('\0') {
                self.add(at(), "format", "a value cannot hold a NUL byte");
            }
        }
        let texts = args.iter().chain(env.iter().flat_map(|(name, value)| [name, value]));
        let bytes: usize = texts.map(|text| text.len() + 1).sum();
        if bytes > MAX_TEXT_BYTES {
            let detail = format!(
                "arguments and environment take {bytes} bytes, at most {MAX_TEXT_BYTES}; pass large values as an input"
            );
            self.add("/args", "too_long", detail);
        }
    }

    /// Inputs and which of them is standard input.
    pub(super) fn inputs(&mut self, inputs: &[Input], stdin: Option<&str>) {
        self.at_most("/inputs", "inputs", inputs.len(), MAX_INPUTS);
        let mut seen = BTreeSet::new();
        for (i, input) in inputs.iter().enumerate() {
            if !is_file_name(&input.name) {
                let detail = format!(
                    "a name is 1 to {MAX_NAME_BYTES} bytes without `/` and control characters, not `.` or `..`"
                );
                self.add(format!("/inputs/{i}/name"), "format", detail);
            } else if !seen.insert(input.name.as_str()) {
                self.add(
                    format!("/inputs/{i}/name"),
                    "duplicate",
                    format!("two inputs are named `{}`", input.name),
                );
            }
        }
        if let Some(name) = stdin.filter(|name| !seen.contains(name)) {
            self.add("/stdin", "unknown", format!("no input is named `{name}`"));
        }
    }

    /// Words that are matched or searched for: labels and constraints.
    pub(crate) fn words(&mut self, pointer: &str, words: &BTreeMap<String, String>) {
        self.at_most(pointer, "entries", words.len(), MAX_WORDS);
        for (key, value) in words {
            let at = || format!("{pointer}/{}", escaped(key));
            if !is_word(key) {
                let detail = format!("a key is 1 to {MAX_WORD_BYTES} letters, digits, `.`, `_`, `-` and `/`");
                self.add(at(), "format", detail);
            }
            if value.len() > MAX_VALUE_BYTES || value.chars().any(char::is_control) {
                let detail = format!("a value is at most {MAX_VALUE_BYTES} bytes without control characters");
                self.add(at(), "format", detail);
            }
        }
    }

    /// GPUs that a task wants.
    pub(super) fn gpus(&mut self, gpus: &[GpuRequest]) {
        self.at_most("/resources/gpus", "requests", gpus.len(), 16);
        for (i, gpu) in gpus.iter().enumerate() {
            let at = |field: &str| format!("/resources/gpus/{i}/{field}");
            self.range(&at("count"), gpu.count, 1, 64);
            self.range(&at("vram_mib"), gpu.vram_mib, 0, 1 << 20);
            for (field, text) in [("vendor", &gpu.vendor), ("model", &gpu.model)] {
                if text.as_ref().is_some_and(|t| t.is_empty() || t.len() > MAX_NAME_BYTES) {
                    self.add(at(field), "format", format!("1 to {MAX_NAME_BYTES} bytes, or left out"));
                }
            }
        }
    }

    /// Provider-defined resources.
    pub(super) fn custom(&mut self, custom: &BTreeMap<String, u64>) {
        self.at_most("/resources/custom", "entries", custom.len(), 16);
        for (name, count) in custom {
            let at = format!("/resources/custom/{}", escaped(name));
            if !is_word(name) {
                self.add(
                    at.clone(),
                    "format",
                    format!("a name is 1 to {MAX_WORD_BYTES} letters, digits, `.`, `_`, `-` and `/`"),
                );
            }
            self.range(&at, *count, 0, 1_000_000_000);
        }
    }
}

fn is_file_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.chars().any(|c| c == '/' || c.is_control())
}

/// What is wrong with labels that are set on a job later.
pub(crate) fn check_labels(labels: &BTreeMap<String, String>) -> Vec<FieldError> {
    let mut checks = Checks::default();
    checks.words("/labels", labels);
    checks.into_errors()
}

fn is_word(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
    (1..=MAX_WORD_BYTES).contains(&word.len()) && word.bytes().all(plain)
}

/// A key as a part of a JSON pointer (RFC 6901), cut where it is absurdly long.
fn escaped(key: &str) -> String {
    let cut: String = key.chars().take(MAX_NAME_BYTES).collect();
    cut.replace('~', "~0").replace('/', "~1")
}
