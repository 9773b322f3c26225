//! What comes out of a query: a row, cell by cell. A cell that holds something else than what is asked
//! for is an error that names its column.

use crate::error::Error;
use rusqlite::types::ValueRef;

/// One row of an answer, as long as the answer stands on it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

/// What a cell holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    Null,
    Int(i64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    /// What no column of ours has.
    Other,
}

impl<'a> Row<'a> {
    /// What stands in a column, from 0.
    pub(crate) fn get<T: FromCell<'a>>(&self, at: usize) -> Result<T, Error> {
        T::from_cell(self.cell(at)?).map_err(|why| self.unfit(at, why))
    }

    fn cell(&self, at: usize) -> Result<Cell<'a>, Error> {
        match self {
            Row::Sqlite(row) => Ok(match row.get_ref(at)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(n) => Cell::Int(n),
                ValueRef::Text(text) => Cell::Text(text),
                ValueRef::Blob(bytes) => Cell::Bytes(bytes),
                ValueRef::Real(_) => Cell::Other,
            }),
            Row::Postgres(row) => Ok(row.try_get(at)?),
        }
    }

    /// What all of its columns hold, one behind the other; bytes in hex.
    pub(crate) fn line(&self) -> Result<String, Error> {
        let mut line = String::new();
        for at in 0..self.width() {
            match self.cell(at)? {
                Cell::Int(n) => line.push_str(&n.to_string()),
                Cell::Text(text) => line.push_str(&String::from_utf8_lossy(text)),
                Cell::Bytes(bytes) => bytes.iter().for_each(|byte| line.push_str(&format!("{byte:02x}"))),
                Cell::Null | Cell::Other => line.push('?'),
            }
        }
        Ok(line)
    }

    fn width(&self) -> usize {
        match self {
            Row::Sqlite(row) => row.as_ref().column_count(),
            Row::Postgres(row) => row.len(),
        }
    }

    #[cold]
    fn unfit(&self, at: usize, Unfit(why): Unfit) -> Error {
        let name = match self {
            Row::Sqlite(row) => row.as_ref().column_name(at).unwrap_or("?"),
            Row::Postgres(row) => row.columns().get(at).map_or("?", |column| column.name()),
        };
        Error::Malformed { table: "query", what: format!("column {name}: {why}") }
    }
}

/// Why a cell is not what was asked for.
#[derive(Debug)]
pub(crate) struct Unfit(pub(super) &'static str);

/// What can be taken from a cell.
pub(crate) trait FromCell<'a>: Sized {
    /// It, where the cell holds such a thing.
    fn from_cell(cell: Cell<'a>) -> Result<Self, Unfit>;
}

impl<'a, T: FromCell<'a>> FromCell<'a> for Option<T> {
    fn from_cell(cell: Cell<'a>) -> Result<Self, Unfit> {
        match cell {
            Cell::Null => Ok(None),
            cell => T::from_cell(cell).map(Some),
        }
    }
}

impl FromCell<'_> for i64 {
    fn from_cell(cell: Cell<'_>) -> Result<Self, Unfit> {
        match cell {
            Cell::Int(n) => Ok(n),
            _ => Err(Unfit("no number")),
        }
    }
}

macro_rules! numbers {
    ($($number:ty),+) => {
        $(impl FromCell<'_> for $number {
            fn from_cell(cell: Cell<'_>) -> Result<Self, Unfit> {
                <$number>::try_from(i64::from_cell(cell)?).map_err(|_| Unfit("a number out of its range"))
            }
        })+
    };
}
numbers!(i32, u64, u32, u16, u8, usize);

impl FromCell<'_> for bool {
    fn from_cell(cell: Cell<'_>) -> Result<Self, Unfit> {
        i64::from_cell(cell).map(|n| n != 0)
    }
}

impl<'a> FromCell<'a> for &'a str {
    fn from_cell(cell: Cell<'a>) -> Result<Self, Unfit> {
        match cell {
            Cell::Text(text) => std::str::from_utf8(text).map_err(|_| Unfit("a text that is not UTF-8")),
            _ => Err(Unfit("no text")),
        }
    }
}

impl FromCell<'_> for String {
    fn from_cell(cell: Cell<'_>) -> Result<Self, Unfit> {
        <&str>::from_cell(cell).map(str::to_owned)
    }
}

impl<'a> FromCell<'a> for &'a [u8] {
    fn from_cell(cell: Cell<'a>) -> Result<Self, Unfit> {
        match cell {
            Cell::Bytes(bytes) => Ok(bytes),
            _ => Err(Unfit("no bytes")),
        }
    }
}

impl FromCell<'_> for Vec<u8> {
    fn from_cell(cell: Cell<'_>) -> Result<Self, Unfit> {
        <&[u8]>::from_cell(cell).map(<[u8]>::to_vec)
    }
}

impl<const N: usize> FromCell<'_> for [u8; N] {
    fn from_cell(cell: Cell<'_>) -> Result<Self, Unfit> {
        <&[u8]>::from_cell(cell)?.try_into().map_err(|_| Unfit("bytes of another length"))
    }
}
