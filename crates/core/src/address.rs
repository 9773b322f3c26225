//! Which addresses of the internet this side may call on somebody else's word. A caller who can
//! name a URL must not reach with it what only we can reach: this machine, its neighbours, the
//! cloud's metadata. Pure: an address goes in, a judgement comes out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Global unicast: one host of the internet.
    Public,
    /// This machine.
    Loopback,
    /// Anything else, and what it is.
    Special(&'static str),
}

/// Where `address` leads. What embeds an IPv4 address in an IPv6 one is special whatever it
/// embeds: nobody has to write it so.
#[must_use]
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

/// IPv4 networks that are not global unicast (IANA's registry of special addresses).
#[rustfmt::skip]
const SPECIAL_V4: [([u8; 4], u32, &str); 15] = [
    ([0, 0, 0, 0], 8, "an address of no host"),
    ([10, 0, 0, 0], 8, "a private address"),
    ([100, 64, 0, 0], 10, "an address behind a carrier's translation"),
    ([169, 254, 0, 0], 16, "a link-local address"),
    ([172, 16, 0, 0], 12, "a private address"),
    ([192, 0, 0, 0], 24, "an address of protocols"),
    ([192, 0, 2, 0], 24, "an address of documentation"),
    ([192, 31, 196, 0], 24, "an address of name servers' sinks"),
    ([192, 52, 193, 0], 24, "an address of multicast relays"),
    ([192, 88, 99, 0], 24, "an address of 6to4 relays"),
    ([192, 168, 0, 0], 16, "a private address"),
    ([198, 18, 0, 0], 15, "an address of benchmarks"),
    ([198, 51, 100, 0], 24, "an address of documentation"),
    ([203, 0, 113, 0], 24, "an address of documentation"),
    ([224, 0, 0, 0], 3, "a multicast or reserved address"),
];

fn reach_v4(address: Ipv4Addr) -> Reach {
    if address.is_loopback() {
        return Reach::Loopback;
    }
    let bits = address.to_bits();
    let within =
        |net: &[u8; 4], length: u32| bits >> (32 - length) == u32::from_be_bytes(*net) >> (32 - length);
    let found = SPECIAL_V4.iter().find(|(net, length, _)| within(net, *length));
    found.map_or(Reach::Public, |(_, _, what)| Reach::Special(what))
}

/// IPv6 networks with a name of their own; the first that fits counts.
#[rustfmt::skip]
const SPECIAL_V6: [(u128, u32, &str); 12] = [
    (0x0000_0000_0000_0000_0000_ffff_0000_0000, 96, "an IPv4 address in disguise"),
    (0x0000_0000_0000_0000_0000_0000_0000_0000, 96, "an IPv4 address in disguise"),
    (0x0064_ff9b_0000_0000_0000_0000_0000_0000, 32, "an IPv4 address in disguise"),
    (0x2001_0000_0000_0000_0000_0000_0000_0000, 32, "an IPv4 address in disguise"),
    (0x2001_0000_0000_0000_0000_0000_0000_0000, 23, "an address of protocols"),
    (0x2001_0db8_0000_0000_0000_0000_0000_0000, 32, "an address of documentation"),
    (0x2002_0000_0000_0000_0000_0000_0000_0000, 16, "an IPv4 address in disguise"),
    (0x3fff_0000_0000_0000_0000_0000_0000_0000, 20, "an address of documentation"),
    (0xfc00_0000_0000_0000_0000_0000_0000_0000, 7, "a private address"),
    (0xfe80_0000_0000_0000_0000_0000_0000_0000, 10, "a link-local address"),
    (0xfec0_0000_0000_0000_0000_0000_0000_0000, 10, "a private address"),
    (0xff00_0000_0000_0000_0000_0000_0000_0000, 8, "a multicast or reserved address"),
];

/// Global unicast is given out of this block alone: `2000::/3`.
const GLOBAL_V6: u128 = 0b001;

fn reach_v6(address: Ipv6Addr) -> Reach {
    if address.is_loopback() {
        return Reach::Loopback;
    }
    let bits = address.to_bits();
    let within = |net: u128, length: u32| bits >> (128 - length) == net >> (128 - length);
    match SPECIAL_V6.iter().find(|(net, length, _)| within(*net, *length)) {
        Some((_, _, what)) => Reach::Special(what),
        None if bits >> 125 == GLOBAL_V6 => Reach::Public,
        None => Reach::Special("a reserved address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Reach {
        reach(text.parse().expect("an address"))
    }

    #[test]
    fn the_edges_of_every_network_are_where_they_should_be() {
        for public in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2606:4700::1111",
            "2003::1",
            "2400:cb00::1",
            "3ffe:ffff::",
            "3fff:1000::",
        ] {
            assert_eq!(of(public), Reach::Public, "{public}");
        }
        for loopback in ["127.0.0.1", "127.0.0.0", "127.255.255.255", "::1"] {
            assert_eq!(of(loopback), Reach::Loopback, "{loopback}");
        }
        for special in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.255",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.0",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:1ff:ffff::",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "4000::",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "1fff::1",
        ] {
            assert!(matches!(of(special), Reach::Special(_)), "{special}");
        }
    }
}
