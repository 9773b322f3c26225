//! Rows on their way to one table, column by column, as one statement takes them: `unnest` of one
//! array for each column. Sets cost PostgreSQL a third of what statements for single rows cost.

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// Bytes of a length that is known, without an allocation of their own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> ToSql for Fixed<N> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::BYTEA
    }

    to_sql_checked!();
}

/// What a column can hold, and the type of an array of it.
pub(super) trait Column {
    const ARRAY: Type;
    /// As it is cast to in a statement.
    const CAST: &'static str;
}

impl Column for i64 {
    const ARRAY: Type = Type::INT8_ARRAY;
    const CAST: &'static str = "int8[]";
}

impl Column for String {
    const ARRAY: Type = Type::TEXT_ARRAY;
    const CAST: &'static str = "text[]";
}

impl Column for Vec<u8> {
    const ARRAY: Type = Type::BYTEA_ARRAY;
    const CAST: &'static str = "bytea[]";
}

impl<const N: usize> Column for Fixed<N> {
    const ARRAY: Type = Type::BYTEA_ARRAY;
    const CAST: &'static str = "bytea[]";
}

impl<T: Column> Column for Option<T> {
    const ARRAY: Type = T::ARRAY;
    const CAST: &'static str = T::CAST;
}

/// What a set of rows is to a statement.
pub(super) trait Rows {
    /// `unnest` of all columns, under the alias `new` with their names.
    const COLUMNS: &'static [(&'static str, &'static str)];

    /// The columns as values of a statement.
    fn params(&self) -> Vec<super::connection::Param<'_>>;
    /// How many rows there are.
    fn len(&self) -> usize;
    /// Forgets the rows and keeps their room.
    fn clear(&mut self);

    /// The names of the columns, with commas.
    fn names() -> String {
        Self::COLUMNS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// The rows as a table `new`.
    fn table() -> String {
        let arrays = (1..).zip(Self::COLUMNS).map(|(at, (_, cast))| format!("${at}::{cast}"));
        format!("unnest({}) AS new({})", arrays.collect::<Vec<_>>().join(", "), Self::names())
    }
}

/// Declares a row of a table and a set of them, which keeps a vector for each column.
macro_rules! rows {
    ($(#[$doc:meta])* $set:ident of $row:ident { $($column:ident: $of:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $row {
            $(pub(super) $column: $of),+
        }

        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $set {
            $($column: Vec<$of>),+
        }

        impl $set {
            pub(super) fn push(&mut self, row: $row) {
                $(self.$column.push(row.$column);)+
            }
        }

        impl $crate::postgres::columns::Rows for $set {
            const COLUMNS: &'static [(&'static str, &'static str)] = &[
                $((stringify!($column), <$of as $crate::postgres::columns::Column>::CAST)),+
            ];

            fn params(&self) -> Vec<$crate::postgres::connection::Param<'_>> {
                vec![$((&self.$column, <$of as $crate::postgres::columns::Column>::ARRAY)),+]
            }

            fn len(&self) -> usize {
                [$(self.$column.len()),+][0]
            }

            fn clear(&mut self) {
                $(self.$column.clear();)+
            }
        }
    };
}
pub(super) use rows;
