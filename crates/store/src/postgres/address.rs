//! Where a PostgreSQL database is, as people write it: `postgres://user:password@host:port/name`,
//! several hosts among which the one that can be written to is taken, or the folder of a socket
//! (`postgres:///name?host=/run/postgresql`).

use crate::error::OpenError;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// What says that PgBouncer stands in front, in transaction mode: prepared statements and settings of a
/// session do not outlive a transaction there.
const POOLED: &str = "pgbouncer=true";
/// A host that does not answer is given up after so long, and the next one tried.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// What was sent and is not acknowledged by the other machine for so long ends the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(8);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;

/// See the module. Shown without its password.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    /// Whether PgBouncer is in front.
    pub(super) pooled: bool,
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
        let (text, pooled) = without_pooled(text);
        let mut config: Config = text.parse().map_err(|error| wrong(because(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(wrong("it names no host: postgres://user@host/name".into()));
        }
        if config.get_ssl_mode() == SslMode::Require {
            return Err(wrong(
                "sslmode=require: this program speaks no TLS to a database; put it on a private network, or a \
                 tunnel or a PgBouncer on this machine between them"
                    .into(),
            ));
        }
        config
            .connect_timeout(CONNECT_WITHIN)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            // After a failover the host that led comes back as a standby.
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        let shown = show(&config);
        Ok(Address { config, pooled, shown })
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

/// Takes what only we understand out of the query.
fn without_pooled(text: &str) -> (String, bool) {
    let Some((address, query)) = text.split_once('?') else { return (text.to_owned(), false) };
    let kept: Vec<&str> = query.split('&').filter(|part| *part != POOLED).collect();
    let pooled = kept.len() < query.split('&').count();
    let text = if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) };
    (text, pooled)
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
        for wrong in
            ["sqlite://x", "postgres:///d", "postgres://h/d?sslmode=require", "postgres://u:s3cret@h:x/d"]
        {
            let error = read(wrong).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
