//! Where a PostgreSQL database is, as people write it: `postgres://user:password@host:port/name`,
//! several hosts among which the one that can be written to is taken, or the folder of a socket
//! (`postgres:///name?host=/run/postgresql`). `?sslmode=verify-full&sslrootcert=<file>` encrypts.

use super::tls::Tls;
use crate::error::OpenError;
use std::path::Path;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// What says that PgBouncer stands in front, in transaction mode: prepared statements and settings of a
/// session do not outlive a transaction there.
const POOLED: (&str, &str) = ("pgbouncer", "true");
/// The one mode of encryption, and the file of the authorities that are trusted.
const VERIFIED: (&str, &str) = ("sslmode", "verify-full");
const TRUSTED: &str = "sslrootcert";
/// A host that does not answer is given up after so long, and the next one tried.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// What was sent and is not acknowledged by the other machine for so long ends the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(8);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;
const WHOM: &str = "the certificates, as PEM, of the authorities that may vouch for the server";
const NOT_CHECKED: &str = "encryption without a check of whom one talks to is not offered";

/// See the module. Shown without its password.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    /// Whether PgBouncer is in front.
    pub(super) pooled: bool,
    /// How it is encrypted.
    pub(super) tls: Tls,
    shown: String,
}

impl Address {
    /// Whether `text` names a PostgreSQL database at all.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Reads an address.
    ///
    /// # Errors
    /// [`OpenError::Address`] says what is wrong with it; never with the password.
    pub fn parse(text: &str) -> Result<Address, OpenError> {
        let wrong = |why: String| OpenError::Address { why };
        if !Address::is_one(text) {
            return Err(wrong("it begins with postgres://".into()));
        }
        let (text, ours) = without_ours(text);
        let mut config: Config = text.parse().map_err(|error| wrong(because(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(wrong("it names no host: postgres://user@host/name".into()));
        }
        let has = |(name, value): (&str, &str)| ours.iter().any(|(n, v)| n == name && v == value);
        let file = ours.iter().find(|(name, _)| name == TRUSTED).map(|(_, file)| file);
        let tls = match (has(VERIFIED), file) {
            (true, Some(file)) => Tls::trusting(Path::new(file)).map_err(wrong)?,
            (false, None) if config.get_ssl_mode() != SslMode::Require => Tls::default(),
            (true, None) => return Err(wrong(format!("sslmode=verify-full wants {TRUSTED}=<file>: {WHOM}"))),
            _ => {
                return Err(wrong(format!(
                    "{NOT_CHECKED}; write sslmode=verify-full and {TRUSTED}=<file>: {WHOM}"
                )));
            }
        };
        config.ssl_mode(if has(VERIFIED) { SslMode::Require } else { SslMode::Disable });
        config
            .connect_timeout(CONNECT_WITHIN)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            // After a failover the host that led comes back as a standby.
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        let shown = show(&config);
        Ok(Address { config, pooled: has(POOLED), tls, shown })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Address").field(&self.shown).finish()
    }
}

/// Takes what only we understand out of the query: names and values, as they were before they were
/// written in a URL.
fn without_ours(text: &str) -> (String, Vec<(String, String)>) {
    let Some((address, query)) = text.split_once('?') else { return (text.to_owned(), Vec::new()) };
    let (mut kept, mut ours) = (Vec::new(), Vec::new());
    for part in query.split('&') {
        match part.split_once('=') {
            Some((name, value))
                if (name, value) == POOLED || (name, value) == VERIFIED || name == TRUSTED =>
            {
                ours.push((name.to_owned(), unescaped(value)));
            }
            _ => kept.push(part),
        }
    }
    let text = if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) };
    (text, ours)
}

/// `%2F` and the like as the characters that they stand for; anything else as it is.
fn unescaped(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = value.get(value.len() - behind.len()..).and_then(|text| text.get(..2));
        match code.filter(|_| *first == b'%').and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn because(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

fn show(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        }
    });
    let hosts: Vec<String> = hosts.collect();
    let user = config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
    let name = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres://{user}{}/{name}", hosts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_what_is_secret() {
        let read = |text: &str| Address::parse(text).map(|a| (a.to_string(), a.pooled));
        let full =
            read("postgres://ciro:s3cret@db1,db2:6432/jobs?pgbouncer=true&application_name=x").unwrap();
        assert_eq!(full, ("postgres://ciro@db1:5432,db2:6432/jobs".into(), true));
        assert_eq!(read("postgresql://h/d").unwrap(), ("postgres://h:5432/d".into(), false));
        assert_eq!(read("postgres:///d?host=/run/pg&user=u").unwrap().0, "postgres://u@/run/pg:5432/d");
        for wrong in [
            "sqlite://x",
            "postgres:///d",
            "postgres://u:s3cret@h/d?sslmode=require",
            "postgres://u:s3cret@h/d?sslmode=verify-full",
            "postgres://u:s3cret@h/d?sslrootcert=/etc/hostname",
            "postgres://u:s3cret@h/d?sslmode=verify-full&sslrootcert=/etc/hostname",
            "postgres://u:s3cret@h:x/d",
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert_eq!(unescaped("%2Fa%20b%zz%"), "/a b%zz%");
    }
}
