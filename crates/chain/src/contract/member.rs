//! Members of events as JSON and back, so that an event can be kept and shown by its name: numbers of
//! Starknet in hex and amounts in decimal digits, both as text; other numbers as numbers.

use serde_json::{Map, Value};
use starknet_rust_core::types::{Felt, U256};

/// What can be a member of an event.
pub(super) trait Member: Sized {
    /// It as JSON.
    fn json(&self) -> Value;

    /// It from JSON; `None` where that is something else.
    fn of_json(value: &Value) -> Option<Self>;
}

impl Member for Felt {
    fn json(&self) -> Value {
        Value::from(format!("{self:#x}"))
    }

    fn of_json(value: &Value) -> Option<Felt> {
        Felt::from_hex(value.as_str()?).ok()
    }
}

impl Member for U256 {
    fn json(&self) -> Value {
        Value::from(format!("{self:#x}"))
    }

    fn of_json(value: &Value) -> Option<U256> {
        let digits = value.as_str()?.strip_prefix("0x")?;
        let (high, low) = digits.split_at_checked(digits.len().saturating_sub(32))?;
        let part = |digits: &str| u128::from_str_radix(digits, 16).ok();
        Some(U256::from_words(part(low)?, if high.is_empty() { 0 } else { part(high)? }))
    }
}

impl Member for u128 {
    fn json(&self) -> Value {
        Value::from(self.to_string())
    }

    fn of_json(value: &Value) -> Option<u128> {
        value.as_str()?.parse().ok()
    }
}

impl Member for bool {
    fn json(&self) -> Value {
        Value::from(*self)
    }

    fn of_json(value: &Value) -> Option<bool> {
        value.as_bool()
    }
}

macro_rules! numbers {
    ($($number:ty),+) => {
        $(impl Member for $number {
            fn json(&self) -> Value {
                Value::from(*self)
            }

            fn of_json(value: &Value) -> Option<$number> {
                value.as_u64()?.try_into().ok()
            }
        })+
    };
}
numbers!(u16, u32, u64);

impl<T: Member> Member for Vec<T> {
    fn json(&self) -> Value {
        self.iter().map(Member::json).collect()
    }

    fn of_json(value: &Value) -> Option<Vec<T>> {
        value.as_array()?.iter().map(Member::of_json).collect()
    }
}

/// A record of members, as an object.
macro_rules! record {
    ($type:ident { $($member:ident),+ }) => {
        impl crate::contract::member::Member for $type {
            fn json(&self) -> serde_json::Value {
                crate::contract::member::object([$((stringify!($member), crate::contract::member::Member::json(&self.$member))),+])
            }

            fn of_json(value: &serde_json::Value) -> Option<$type> {
                Some($type { $($member: crate::contract::member::Member::of_json(value.get(stringify!($member))?)?),+ })
            }
        }
    };
}
pub(super) use record;

/// An object of members, in their order.
pub(super) fn object<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
    Value::Object(members.collect::<Map<_, _>>())
}
