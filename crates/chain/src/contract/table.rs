//! How functions, records and events are written down: each as one line of a table, from which come
//! its type, its encoding, and what it declares.

use crate::rpc::read::selector;
use crate::tx::Call;
use starknet_rust_core::codec::{self, Decode};
use starknet_rust_core::types::Felt;

/// A function of a contract with its arguments.
pub trait Function {
    /// Its name.
    const NAME: &'static str;
    /// What it answers; [`Nothing`] where it answers nothing.
    type Answer: for<'a> Decode<'a>;

    /// The arguments as the contract takes them.
    ///
    /// # Errors
    /// When an argument cannot be encoded.
    fn calldata(&self) -> Result<Vec<Felt>, DecodeError>;

    /// The call, for a transaction.
    ///
    /// # Errors
    /// When an argument cannot be encoded.
    fn call(&self, to: Felt) -> Result<Call, DecodeError> {
        Ok(Call { to, selector: selector(Self::NAME), calldata: self.calldata()? })
    }
}

/// The answer of a function that answers nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nothing;

impl<'a> Decode<'a> for Nothing {
    fn decode_iter<T: Iterator<Item = &'a Felt>>(_: &mut T) -> Result<Nothing, codec::Error> {
        Ok(Nothing)
    }
}

/// Numbers that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not encoded as this version knows it: {words}")]
pub struct DecodeError {
    what: String,
    words: String,
}

impl DecodeError {
    pub(crate) fn new(what: &str, words: impl Into<String>) -> DecodeError {
        DecodeError { what: what.to_owned(), words: words.into() }
    }
}

/// The name of a member or an argument, and its type in Rust.
pub type Argument = (&'static str, &'static str);

/// A function as it is declared here.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    /// `external`, which changes something, or `view`.
    pub kind: &'static str,
    /// Its name in the contract.
    pub name: &'static str,
    /// What it takes.
    pub arguments: &'static [Argument],
    /// What it answers.
    pub answer: &'static str,
}

/// A struct or an enum as it is declared here; the variants of an enum have no types.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// Its name, without the module.
    pub name: &'static str,
    /// What is in it, in order.
    pub members: &'static [Argument],
}

/// An event as it is declared here.
#[derive(Debug, Clone, Copy)]
pub struct DeclaredEvent {
    /// Its name.
    pub name: &'static str,
    /// What it can be found by.
    pub keys: &'static [Argument],
    /// The rest of it.
    pub data: &'static [Argument],
}

/// An argument's name, and how it is encoded behind those before it.
pub(super) type Part<F> = (&'static str, fn(&F, &mut Vec<Felt>) -> Result<(), codec::Error>);

pub(super) fn encoded<F>(function: &F, parts: &[Part<F>]) -> Result<Vec<Felt>, DecodeError> {
    let mut felts = Vec::new();
    for (name, encode) in parts {
        encode(function, &mut felts).map_err(|error| DecodeError::new(name, error.to_string()))?;
    }
    Ok(felts)
}

/// What is left of an event while it is read.
pub(super) struct Parts<'a> {
    name: &'static str,
    keys: std::slice::Iter<'a, Felt>,
    data: std::slice::Iter<'a, Felt>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(name: &'static str, keys: &'a [Felt], data: &'a [Felt]) -> Parts<'a> {
        Parts { name, keys: keys.iter(), data: data.iter() }
    }

    pub(super) fn key<T: Decode<'a>>(&mut self) -> Result<T, DecodeError> {
        T::decode_iter(&mut self.keys).map_err(|error| DecodeError::new(self.name, error.to_string()))
    }

    pub(super) fn datum<T: Decode<'a>>(&mut self) -> Result<T, DecodeError> {
        T::decode_iter(&mut self.data).map_err(|error| DecodeError::new(self.name, error.to_string()))
    }

    pub(super) fn end(self) -> Result<(), DecodeError> {
        match self.keys.len() + self.data.len() {
            0 => Ok(()),
            more => Err(DecodeError::new(self.name, format!("{more} numbers too many"))),
        }
    }
}

macro_rules! records {
    ($table:ident: $($(#[$doc:meta])* $name:ident { $($(#[$note:meta])* $member:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
            #[starknet(core = "starknet_rust_core")]
            pub struct $name { $($(#[$note])* pub $member: $type),* }
        )*
        /// The structs above, as they are declared.
        pub const $table: &[crate::contract::Record] = &[$(crate::contract::Record {
            name: stringify!($name),
            members: &[$((stringify!($member), stringify!($type))),*],
        }),*];
    };
}

macro_rules! functions {
    ($($(#[$doc:meta])* $kind:ident $name:ident = $type:ident ( $($argument:ident: $of:ty),* ) -> $answer:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $type { $(#[doc = concat!("`", stringify!($argument), "` of the function.")] pub $argument: $of),* }

            impl crate::contract::Function for $type {
                const NAME: &'static str = stringify!($name);
                type Answer = $answer;

                fn calldata(&self) -> Result<Vec<Felt>, crate::contract::DecodeError> {
                    crate::contract::table::encoded(
                        self,
                        &[$((stringify!($argument), |function, felts| {
                            starknet_rust_core::codec::Encode::encode(&function.$argument, felts)
                        })),*],
                    )
                }
            }
        )*
        /// The functions above, as they are declared.
        pub const FUNCTIONS: &[crate::contract::Declared] = &[$(crate::contract::Declared {
            kind: stringify!($kind),
            name: stringify!($name),
            arguments: &[$((stringify!($argument), stringify!($of))),*],
            answer: stringify!($answer),
        }),*];
    };
}

macro_rules! events {
    ($(#[$all:meta])* $enum:ident: $($(#[$doc:meta])* $name:ident [ $($key:ident: $of:ty),* ] { $($member:ident: $type:ty),* })*) => {
        $(#[$all])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $enum { $(
            $(#[$doc])*
            $name {
                $(#[doc = concat!("`", stringify!($key), "`, a key.")] $key: $of,)*
                $(#[doc = concat!("`", stringify!($member), "`.")] $member: $type,)*
            },
        )* }

        impl $enum {
            /// Reads an event; `None` where it is none of these.
            ///
            /// # Errors
            /// When it has the name of one and not its contents.
            pub fn read(keys: &[Felt], data: &[Felt]) -> Result<Option<$enum>, crate::contract::DecodeError> {
                let Some((first, keys)) = keys.split_first() else { return Ok(None) };
                let mut known = SELECTORS.iter();
                $(if known.next() == Some(first) {
                    let mut parts = crate::contract::table::Parts::of(stringify!($name), keys, data);
                    let event = $enum::$name { $($key: parts.key()?,)* $($member: parts.datum()?,)* };
                    return parts.end().map(|()| Some(event));
                })*
                Ok(None)
            }

            /// Its name.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $($enum::$name { .. } => stringify!($name),)* }
            }

            /// Its members by their names: an object, with felts in hex and amounts in decimal digits.
            #[must_use]
            pub fn members(&self) -> serde_json::Value {
                use crate::contract::member::{Member, object};
                match self {
                    $($enum::$name { $($key,)* $($member,)* } => object([
                        $((stringify!($key), Member::json($key)),)*
                        $((stringify!($member), Member::json($member)),)*
                    ]),)*
                }
            }

            /// Reads an event from its name and its members; `None` where it is none of these.
            ///
            /// # Errors
            /// When it has the name of one and not its members.
            pub fn of_members(name: &str, members: &serde_json::Value) -> Result<Option<$enum>, crate::contract::DecodeError> {
                fn of<T: crate::contract::member::Member>(members: &serde_json::Value, name: &str) -> Option<T> {
                    T::of_json(members.get(name)?)
                }
                let event = match name {
                    $(stringify!($name) => (|| Some($enum::$name {
                        $($key: of(members, stringify!($key))?,)*
                        $($member: of(members, stringify!($member))?,)*
                    }))(),)*
                    _ => return Ok(None),
                };
                let wrong = || crate::contract::DecodeError::new(name, format!("its members are {members}"));
                event.map(Some).ok_or_else(wrong)
            }
        }

        static SELECTORS: std::sync::LazyLock<Vec<Felt>> =
            std::sync::LazyLock::new(|| EVENTS.iter().map(|event| crate::rpc::read::selector(event.name)).collect());

        /// The events above, as they are declared.
        pub const EVENTS: &[crate::contract::DeclaredEvent] = &[$(crate::contract::DeclaredEvent {
            name: stringify!($name),
            keys: &[$((stringify!($key), stringify!($of))),*],
            data: &[$((stringify!($member), stringify!($type))),*],
        }),*];
    };
}

pub(super) use {events, functions, records};
