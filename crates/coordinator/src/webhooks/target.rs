//! Where a webhook may go. A client names the URL and this program calls it, from a place that sees
//! more than the client does; so only what every host of the internet could call as well is called.
//! The text is judged here, before any parser has made something nicer of it; names are judged by
//! the addresses that they have at the moment of the call (`sending`).

use ciro_core::address::{Reach, reach};
use reqwest::Url;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest URL, bytes.
pub const MAX_URL_BYTES: usize = 2_048;
const MAX_HOST_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;
const HTTPS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;

/// What a URL may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Ports on other machines.
    pub ports: Vec<u16>,
    /// Whether this machine may be called, with `http` too and on any port.
    pub allow_loopback: bool,
}

/// A URL that may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The URL.
    pub url: Url,
    /// Whether it names this machine and no other.
    pub loopback: bool,
}

/// What a host is, by its text alone.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Loopback,
    Name,
}

impl Rules {
    /// Judges a URL as a client wrote it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn judge(&self, text: &str) -> Result<Target, String> {
        if text.len() > MAX_URL_BYTES {
            return Err(format!("is {} bytes long, at most {MAX_URL_BYTES} are taken", text.len()));
        }
        if let Some(strange) =
            text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '\\' | '<' | '>' | '"' | '`'))
        {
            return Err(format!(
                "holds {strange:?}: write it percent-encoded, and a host in its ASCII form (xn--…)"
            ));
        }
        let (scheme, rest) = text.split_once("://").ok_or("is not a URL such as https://example.com/hook")?;
        let plain = match scheme.to_ascii_lowercase().as_str() {
            "https" => false,
            "http" => true,
            _ => return Err("begins with neither https:// nor http://".to_owned()),
        };
        if text.contains('#') {
            return Err("has a fragment (#…), which is never sent".to_owned());
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains(['@', '%']) {
            return Err("has a user or an encoded character in front of its path".to_owned());
        }
        let (host, port) = host_and_port(authority)?;
        let host_is = host_of(host)?;
        let loopback = self.judge_host(&host_is, plain)?;
        let port = port.unwrap_or(if plain { HTTP_PORT } else { HTTPS_PORT });
        if !loopback && !self.ports.contains(&port) {
            return Err(format!("names port {port}, and {} are allowed", listed(&self.ports)));
        }
        let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
        agree(&url, host, port)?;
        Ok(Target { url, loopback })
    }

    /// Whether the host is this machine; refuses what may not be called at all.
    fn judge_host(&self, host: &Host, plain: bool) -> Result<bool, String> {
        let loopback = match host {
            Host::Address(address) => match reach(*address) {
                Reach::Public => false,
                Reach::Loopback => true,
                Reach::Special(what) => return Err(format!("names {what}, and only public ones are called")),
            },
            Host::Loopback => true,
            Host::Name => false,
        };
        match (loopback, plain) {
            (true, _) if !self.allow_loopback => {
                Err("names this machine, which webhooks may not call (webhooks.allow_loopback)".to_owned())
            }
            (false, true) => Err("is not https".to_owned()),
            _ => Ok(loopback),
        }
    }

    /// Whether a name that stands for these addresses may be called; `loopback` where the URL named
    /// this machine. One address that may not be called spoils them all.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn judge_addresses(&self, addresses: &[IpAddr], loopback: bool) -> Result<(), String> {
        if addresses.is_empty() {
            return Err("the name has no address".to_owned());
        }
        let wrong = addresses.iter().find_map(|address| match reach(*address) {
            Reach::Public if !loopback => None,
            Reach::Loopback if loopback && self.allow_loopback => None,
            Reach::Public | Reach::Loopback => Some("this machine, or another where this one was meant"),
            Reach::Special(what) => Some(what),
        });
        wrong.map_or(Ok(()), |what| Err(format!("the name leads to {what}, and only public ones are called")))
    }
}

fn listed(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match authority.find(']') {
        Some(end) => match authority.split_at(end + 1) {
            (host, "") => (host, None),
            (host, rest) => (host, Some(rest.strip_prefix(':').ok_or("has something behind its address")?)),
        },
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let Some(text) = port else { return Ok((host, None)) };
    let canonical = !text.starts_with(['0', '+']) && text.parse::<u16>().is_ok();
    if canonical { Ok((host, text.parse().ok())) } else { Err(format!("names the port `{text}`")) }
}

/// What the text of a host is. Numbers have one spelling: four decimal ones with dots between them.
fn host_of(text: &str) -> Result<Host, String> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or("has half an address")?;
        let address: Ipv6Addr =
            inner.parse().map_err(|_| "names an address that is none (zones are not taken)")?;
        return Ok(Host::Address(address.into()));
    }
    if text.is_empty() || text.len() > MAX_HOST_BYTES {
        return Err("has no host, or one that is too long".to_owned());
    }
    let labels: Vec<&str> = text.split('.').collect();
    let sound = |label: &&str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if !labels.iter().all(sound) {
        return Err(
            "has a host that is no name: letters, digits and `-`, with single dots between".to_owned()
        );
    }
    let last = labels.last().copied().unwrap_or_default();
    if is_number(last) {
        let address: Ipv4Addr =
            text.parse().map_err(|_| "writes an address in an unusual form; write 192.0.2.1")?;
        return Ok(Host::Address(address.into()));
    }
    match last.to_ascii_lowercase().as_str() {
        "localhost" => Ok(Host::Loopback),
        _ if labels.len() < 2 => {
            Err("has a host without a dot, which is a name of a local network".to_owned())
        }
        "local" | "internal" | "lan" | "intranet" | "private" | "corp" | "home" | "arpa" | "onion" => {
            Err(format!("has a host under `.{last}`, which is not public"))
        }
        _ => Ok(Host::Name),
    }
}

/// Whether parsers of URLs would read a host that ends so as a number.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    label.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// What will be called is what was judged: parsers of URLs disagree, and that has been a way in.
fn agree(url: &Url, host: &str, port: u16) -> Result<(), String> {
    let same_host = url.host_str().is_some_and(|parsed| match host.strip_prefix('[') {
        None => parsed.eq_ignore_ascii_case(host),
        Some(_) => {
            let inner = |text: &str| text.trim_matches(['[', ']']).parse::<Ipv6Addr>().ok();
            inner(parsed).is_some() && inner(parsed) == inner(host)
        }
    });
    let plain_user = url.username().is_empty() && url.password().is_none();
    if same_host && plain_user && url.port_or_known_default() == Some(port) {
        Ok(())
    } else {
        Err("can be read in two ways".to_owned())
    }
}

#[cfg(test)]
mod tests;
