//! Addresses on Starknet that money is paid to. Pure text and bounds: whether an account is there is
//! for the chain to say.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// The first number that is no address: 2^251 - 256, Starknet's bound of addresses (documentation of
/// Starknet, "Contract address").
const BOUND: [u8; 32] = {
    let mut bound = [0xff; 32];
    (bound[0], bound[31]) = (0x07, 0x00);
    bound
};

/// An address of a contract on Starknet, big-endian: never 0, always below 2^251 - 256. Its text is `0x`
/// and 64 hex digits; fewer digits are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayoutAddress([u8; 32]);

impl PayoutAddress {
    /// The address of these bytes; `None` for 0 and for what is too large.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Option<PayoutAddress> {
        (bytes != [0; 32] && bytes < BOUND).then_some(PayoutAddress(bytes))
    }

    /// Its bytes, the most significant first.
    #[must_use]
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for PayoutAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is no address of Starknet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address of Starknet is 0x and 1 to 64 hex digits, not 0 and below 2^251 - 256")]
pub struct PayoutAddressError;

impl FromStr for PayoutAddress {
    type Err = PayoutAddressError;

    fn from_str(text: &str) -> Result<PayoutAddress, PayoutAddressError> {
        let digits = text.strip_prefix("0x").ok_or(PayoutAddressError)?;
        if digits.is_empty() || digits.len() > 64 {
            return Err(PayoutAddressError);
        }
        let mut bytes = [0; 32];
        for (place, digit) in digits.chars().rev().enumerate() {
            let value = digit.to_digit(16).ok_or(PayoutAddressError)? as u8;
            bytes[31 - place / 2] |= value << (4 * (place % 2));
        }
        PayoutAddress::new(bytes).ok_or(PayoutAddressError)
    }
}

impl Serialize for PayoutAddress {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PayoutAddress {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_every_length_and_written_in_one() {
        let short: PayoutAddress = "0x4D2".parse().unwrap();
        assert_eq!(short.to_string(), format!("0x{:064x}", 1_234));
        assert_eq!(short.to_string().parse(), Ok(short));
        let last = format!("0x07{}feff", "ff".repeat(29));
        assert!(last.parse::<PayoutAddress>().is_ok(), "{last}");
        let bound = format!("0x07{}00", "ff".repeat(30));
        for wrong in ["", "0x", "0x0", "4d2", "0xg", "0x 1", "-0x1", &bound, &format!("0x{}", "1".repeat(65))]
        {
            assert_eq!(wrong.parse::<PayoutAddress>(), Err(PayoutAddressError), "{wrong}");
        }
    }
}
