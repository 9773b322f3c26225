//! JSON as Python's `json.dumps` writes it, which is the form in which an ABI is hashed: a space
//! behind every comma and colon.

use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// The text of `value`, its keys in the order in which they were read.
pub(crate) fn text(value: &Value) -> Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Pythonic))?;
    Ok(String::from_utf8(bytes)?)
}

struct Pythonic;

impl Formatter for Pythonic {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
