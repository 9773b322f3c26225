//! Money: integers of the token's smallest unit (FRI, 1e-18 STRK). Never a float.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// An amount in FRI. Text outside is a decimal string; in the databases it is zero-padded to 39
/// digits so that text order is number order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fri(pub u128);

impl Fri {
    /// Nothing.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// The 39-digit form that the databases store.
    #[must_use]
    pub fn padded(self) -> String {
        format!("{:039}", self.0)
    }

    /// In STRK, every digit that counts and no more: `1.5`, `0.000000000000000001`.
    #[must_use]
    pub fn strk(self) -> String {
        const WHOLE: u128 = 1_000_000_000_000_000_000;
        let text = format!("{}.{:018}", self.0 / WHOLE, self.0 % WHOLE);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl fmt::Display for Fri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is not a whole number of FRI below 2^128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an amount is a whole number of FRI in decimal digits")]
pub struct AmountError;

impl FromStr for Fri {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits { text.parse().map(Fri).map_err(|_| AmountError) } else { Err(AmountError) }
    }
}

impl Serialize for Fri {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fri {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strk_has_every_digit_that_counts() {
        let table = [
            (0, "0"),
            (1, "0.000000000000000001"),
            (1_500_000_000_000_000_000, "1.5"),
            (20 * 10_u128.pow(18), "20"),
        ];
        for (fri, strk) in table {
            assert_eq!(Fri(fri).strk(), strk);
        }
        assert_eq!(Fri(u128::MAX).strk(), "340282366920938463463.374607431768211455");
    }
}
