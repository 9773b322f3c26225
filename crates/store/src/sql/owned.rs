//! Values that outlive their row: what goes from one database to another.

use super::cell::{Cell, FromCell, Unfit};
use super::{Bind, Value};

/// What a cell held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owned {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Owned {
    /// Bytes of its content.
    pub(crate) fn len(&self) -> usize {
        match self {
            Owned::Null => 0,
            Owned::Int(_) => 8,
            Owned::Text(text) => text.len(),
            Owned::Bytes(bytes) => bytes.len(),
        }
    }
}

impl FromCell<'_> for Owned {
    fn from_cell(cell: Cell<'_>) -> Result<Self, Unfit> {
        Ok(match cell {
            Cell::Null => Owned::Null,
            Cell::Int(n) => Owned::Int(n),
            Cell::Text(_) => Owned::Text(String::from_cell(cell)?),
            Cell::Bytes(bytes) => Owned::Bytes(bytes.to_vec()),
            Cell::Other => return Err(Unfit("of a type that no column of ours has")),
        })
    }
}

impl Bind for Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Owned::Null => Value::Null,
            Owned::Int(n) => Value::Int(*n),
            Owned::Text(text) => Value::Text(text),
            Owned::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}
