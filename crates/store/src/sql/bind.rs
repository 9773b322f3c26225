//! What goes into a statement, by reference: nothing is copied on the way.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

/// One of the values that a statement is run with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    /// A number that no database has room for; refused when the statement is run.
    TooLarge(u64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// What can be one of the values of a statement.
pub(crate) trait Bind {
    /// It as such.
    fn value(&self) -> Value<'_>;
}

impl Bind for Value<'_> {
    fn value(&self) -> Value<'_> {
        *self
    }
}

impl<T: Bind + ?Sized> Bind for &T {
    fn value(&self) -> Value<'_> {
        (**self).value()
    }
}

impl<T: Bind> Bind for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, Bind::value)
    }
}

macro_rules! numbers {
    ($($number:ty),+) => {
        $(impl Bind for $number {
            fn value(&self) -> Value<'_> {
                Value::Int(i64::from(*self))
            }
        })+
    };
}
numbers!(i64, i32, u32, u16, u8, bool);

impl Bind for u64 {
    fn value(&self) -> Value<'_> {
        i64::try_from(*self).map_or(Value::TooLarge(*self), Value::Int)
    }
}

impl Bind for usize {
    fn value(&self) -> Value<'_> {
        i64::try_from(*self).map_or(Value::TooLarge(*self as u64), Value::Int)
    }
}

impl Bind for str {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Bind for String {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl<const N: usize> Bind for [u8; N] {
    fn value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl Bind for Vec<u8> {
    fn value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(n) => ValueRef::Integer(*n),
            Value::TooLarge(n) => return n.to_sql(),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// All values of a statement: an array of what is alike, a tuple, [`params!`] where there are many, or
/// `()` for none.
pub(crate) trait Params {
    /// Does something with them.
    fn with<R>(&self, f: impl FnOnce(&[Value<'_>]) -> R) -> R;
}

impl Params for () {
    fn with<R>(&self, f: impl FnOnce(&[Value<'_>]) -> R) -> R {
        f(&[])
    }
}

impl Params for &[Value<'_>] {
    fn with<R>(&self, f: impl FnOnce(&[Value<'_>]) -> R) -> R {
        f(self)
    }
}

impl<const N: usize> Params for &[Value<'_>; N] {
    fn with<R>(&self, f: impl FnOnce(&[Value<'_>]) -> R) -> R {
        f(*self)
    }
}

impl<T: Bind, const N: usize> Params for [T; N] {
    fn with<R>(&self, f: impl FnOnce(&[Value<'_>]) -> R) -> R {
        f(&self.each_ref().map(Bind::value))
    }
}

macro_rules! tuples {
    ($(($($name:ident),+))+) => {
        $(impl<$($name: Bind),+> Params for ($($name,)+) {
            #[expect(non_snake_case, reason = "each value is named as its type")]
            fn with<R>(&self, f: impl FnOnce(&[Value<'_>]) -> R) -> R {
                let ($($name,)+) = self;
                f(&[$($name.value()),+])
            }
        })+
    };
}
tuples! {
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, F)
    (A, B, C, D, E, F, G)
}

/// Values of a statement, in order.
macro_rules! params {
    ($($value:expr),+ $(,)?) => {
        &[$($crate::sql::Bind::value(&$value)),+]
    };
}
pub(crate) use params;

#[cfg(test)]
mod tests {
    use crate::sql::Link;
    use rusqlite::Connection;

    #[test]
    fn what_goes_in_comes_out() {
        let c = Connection::open_in_memory().unwrap();
        let link = Link::Sqlite(&c);
        let (text, bytes, absent) = ("a'b".to_owned(), [7_u8; 16], None::<i64>);
        let found = link.row("SELECT ?1, ?2, ?3, ?4, ?5", params![text, bytes, absent, 9_u64, true], |r| {
            Ok((r.get::<String>(0)?, r.get::<[u8; 16]>(1)?, r.get::<Option<i64>>(2)?, r.get(3)?, r.get(4)?))
        });
        assert_eq!(found.unwrap(), Some((text, bytes, None, 9_u16, true)));
        assert!(link.exists("SELECT ?1", [u64::MAX]).is_err(), "no database has room for it");
    }
}
