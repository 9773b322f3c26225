//! Whose address a request comes from. IPv6 counts by its /64, which is what one customer is given.
//! `X-Forwarded-For` is believed as far as listed proxies wrote it: from the right, up to the first
//! address that is not one of theirs.

use axum::http::HeaderMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The most entries of `X-Forwarded-For` that are looked at.
const MAX_HOPS: usize = 32;

/// An address or a range of them, as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: u128,
    mask: u128,
}

/// A text that is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address and no range such as 10.0.0.0/8 or fd00::/8")]
pub struct NotANetwork(String);

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Network, NotANetwork> {
        let wrong = || NotANetwork(text.to_owned());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = length.unwrap_or(longest);
        if length > longest {
            return Err(wrong());
        }
        // IPv4 lies in the last 32 bits of the mapped range.
        let mask = u128::MAX.checked_shl(longest - length).unwrap_or(0);
        let mask = if address.is_ipv4() { mask | !u128::from(u32::MAX) } else { mask };
        Ok(Network { address: bits(address) & mask, mask })
    }
}

impl Network {
    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.address
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// What counts as one caller: an IPv4 address, or the /64 of an IPv6 address.
#[must_use]
pub fn one_caller(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The address that a request comes from.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let listed = |address: IpAddr| proxies.iter().any(|proxy| proxy.contains(address));
    if proxies.is_empty() || !listed(peer) {
        return peer.to_canonical();
    }
    let mut nearest = peer;
    let values: Vec<&str> = headers.get_all("x-forwarded-for").iter().flat_map(|v| v.to_str()).collect();
    for hop in values.iter().rev().flat_map(|value| value.rsplit(',')).take(MAX_HOPS) {
        let Some(address) = hop_address(hop) else { break };
        nearest = address;
        if !listed(address) {
            break;
        }
    }
    nearest.to_canonical()
}

/// An address as proxies write it: alone, with a port, or in brackets.
fn hop_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']')?.0.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    text.split_once(':')?.0.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str]) -> String {
        let proxies: Vec<Network> =
            ["10.0.0.0/8", "fd00::/16"].iter().map(|text| text.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        one_caller(client(peer.parse().unwrap(), &headers, &proxies)).to_string()
    }

    #[test]
    fn what_a_stranger_claims_is_not_believed() {
        assert_eq!(seen("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(seen("::ffff:10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["1.2.3.4, 203.0.113.9, 10.9.9.9"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["1.2.3.4", "203.0.113.9:443", "10.9.9.9"]), "203.0.113.9");
        assert_eq!(seen("fd00::1", &["[2001:db8:1:2::7]:80"]), "2001:db8:1:2::");
        assert_eq!(seen("10.0.0.1", &["unknown, 10.9.9.9"]), "10.9.9.9", "the last that is known");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn an_ipv6_customer_is_one_caller() {
        assert_eq!(seen("2001:db8:1:2::7", &[]), seen("2001:db8:1:2:ffff::1", &[]));
        assert_ne!(seen("2001:db8:1:2::7", &[]), seen("2001:db8:1:3::7", &[]));
        assert_eq!(seen("::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn ranges_are_read_and_wrong_ones_are_not() {
        let contains =
            |range: &str, address: &str| range.parse::<Network>().unwrap().contains(address.parse().unwrap());
        assert!(contains("10.1.0.0/16", "10.1.255.255") && !contains("10.1.0.0/16", "10.2.0.0"));
        assert!(contains("0.0.0.0/0", "8.8.8.8") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1") && contains("127.0.0.1", "127.0.0.1"));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "proxy", "::1/129", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
