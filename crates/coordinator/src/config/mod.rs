//! What an operator can set: one struct per part, whose doc comments are the reference text.
//! Defaults come first, then the preset of the environment, the file, the process environment and
//! the flags; [`Sources::load`] lays them over each other and reports every error at once.
//! [`hot`] names what a running coordinator takes over when its settings are read again.

mod backups;
mod blockchain;
mod compare;
mod file;
mod generate;
pub mod hot;
mod load;
mod log;
mod payments;
mod rate_limits;
mod reference;
mod show;
mod stats;
mod validate;
mod webhooks;

pub use backups::Backups;
pub use blockchain::{Blockchain, ChainFinality};
pub(crate) use compare::{differing, differing_values, fingerprint};
pub use file::FileFormat;
pub(crate) use file::MAX_BYTES as MAX_SETTINGS_BYTES;
pub use generate::generate;
pub use load::{Flags, Loaded, Origin, Sources, load};
pub(crate) use load::{lookup, tree_of};
pub use log::{Log, LogFormat};
pub use payments::Payments;
pub use rate_limits::RateLimits;
pub use reference::reference;
pub use show::{Shown, shown};
pub use stats::Stats;
pub use validate::{ConfigError, ConfigErrors, Derived, validate};
pub use webhooks::Webhooks;

use ciro_store::postgres::Address;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::PathBuf;
use utoipa::ToSchema;

const DAY_MS: u64 = 24 * 3_600_000;
/// What stands for a secret wherever settings are shown.
pub const HIDDEN: &str = "***";

/// The configuration of a coordinator.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which preset applies: `development`, `staging`, `production` or `test`.
    pub environment: Environment,
    /// What this coordinator is called among those that share its database, the same at every start;
    /// `<host>:<port>` unless set.
    #[schema(example = "east-1", max_length = 100)]
    pub name: Option<String>,
    /// Address to listen on. Anything but loopback needs `auth.admin_key`, or a database that already
    /// has an admin key.
    pub server_host: String,
    /// Port to listen on; 0 picks one.
    pub server_port: u16,
    /// Folder of artifacts and logs of attempts; `<database file>.d` unless set, `./coordinator.d` on
    /// PostgreSQL.
    #[schema(value_type = Option<String>, example = "/var/lib/ciro/data")]
    pub data_dir: Option<PathBuf>,
    /// What is logged, how, and where to.
    pub log: Log,
    /// Rows and events.
    pub database: Database,
    /// Who may call.
    pub auth: Auth,
    /// The right to run a task for a while.
    pub lease: Lease,
    /// What bounds memory, sockets and queues.
    pub limits: Limits,
    /// How much each caller may ask for.
    pub rate_limits: RateLimits,
    /// How long things are kept.
    pub retention: Retention,
    /// Backups that the coordinator makes by itself or when it is asked.
    pub backups: Backups,
    /// Which worker gets a task.
    pub placement: Placement,
    /// Money of jobs that are paid for.
    pub payments: Payments,
    /// Figures over time, in memory.
    pub stats: Stats,
    /// What is told to URLs of clients.
    pub webhooks: Webhooks,
    /// Starknet. Without `rpc_url` the component is off.
    pub blockchain: Blockchain,
    /// A Kafka section of an older file: read, and reported as off, because this build has no Kafka part.
    #[schema(value_type = Option<Object>, deprecated)]
    pub kafka: Option<serde_json::Value>,
    /// A libp2p section of an older file: read, and reported as off, because this build has no p2p part.
    #[schema(value_type = Option<Object>, deprecated)]
    pub network: Option<serde_json::Value>,
}

/// A set of defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// As the defaults say.
    #[default]
    Development,
    /// JSON logs.
    Staging,
    /// JSON logs.
    Production,
    /// Any free port, short times.
    Test,
}

/// Rows and events.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite://<path>`, a file on a local disk; or `postgres://<user>:<password>@<host>:<port>/<name>`,
    /// a database of its own on a PostgreSQL server (15 or newer; `?sslmode=verify-full&sslrootcert=<file>` encrypts). `?pgbouncer=true` where
    /// PgBouncer stands in front in transaction mode.
    #[serde(serialize_with = "without_password")]
    pub url: String,
    /// Connections that read.
    #[schema(minimum = 1, maximum = 16)]
    pub readers: usize,
    /// Page cache of the writing connection to a file, KiB.
    #[schema(minimum = 256, maximum = 4_194_304)]
    pub cache_kib: u32,
    /// What an acknowledgement waits for: `full` (the disk has it) or `normal` (the system has it: a
    /// power cut can lose acknowledged jobs).
    pub synchronous: Synchronous,
    /// Opens a file on a network file system although its locks and syncs cannot be trusted.
    pub allow_network_fs: bool,
    /// Most pages of the file, 4 KiB each; 0 is no bound.
    pub max_pages: u32,
}

/// Wherever settings are shown, the password of the database is not.
fn without_password<S: Serializer>(url: &str, s: S) -> Result<S::Ok, S::Error> {
    let address = Address::is_one(url).then(|| Address::parse(url));
    match address {
        None => s.serialize_str(url),
        Some(Ok(address)) => s.collect_str(&address),
        Some(Err(_)) => s.serialize_str(HIDDEN),
    }
}

/// What an acknowledgement waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// The disk has it.
    #[default]
    Full,
    /// The system has it.
    Normal,
}

/// Who may call.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// An administrator's key of your own, at least 32 visible characters, or `file:<path>` of a file
    /// that holds it. With it the first start makes no admin key, and nothing answers without a key.
    #[schema(value_type = Option<String>, example = "file:/etc/ciro/admin-key")]
    pub admin_key: Option<Secret>,
}

/// The right to run a task for a while.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lease {
    /// Length of a lease, ms.
    #[schema(minimum = 200, maximum = 3_600_000)]
    pub ttl_ms: u64,
    /// How often workers send a heartbeat, ms; a third of the lease unless set, and at most half of it.
    #[schema(minimum = 50, maximum = 1_200_000, example = 10_000)]
    pub heartbeat_ms: Option<u64>,
    /// Heartbeats a second above which leases are stretched.
    #[schema(minimum = 1)]
    pub heartbeat_cap: u32,
    /// An attempt whose progress and CPU time stand still for so long is revoked, ms.
    #[schema(minimum = 1_000)]
    pub stall_after_ms: u64,
    /// How long attempts may still report once their job is stopped, ms.
    pub stop_grace_ms: u64,
    /// Memory that a task can be raised to after it ran out of it, bytes.
    #[schema(minimum = 1_048_576)]
    pub memory_cap_bytes: u64,
    /// How long a job may wait for its first grant, ms.
    #[schema(minimum = 1_000)]
    pub max_queue_ms: u64,
    /// How often a waiting job is looked at, ms.
    #[schema(minimum = 100)]
    pub review_ms: u64,
}

/// What bounds memory, sockets and queues.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted.
    #[schema(minimum = 16)]
    pub connections: usize,
    /// Connections of one address (IPv6: of one /64) at once, except of `rate_limits.trusted_proxies`;
    /// further ones get 503 and are closed.
    #[schema(minimum = 1)]
    pub connections_per_address: usize,
    /// Time for the head of a request, from its first byte; also for the first byte of a connection, ms.
    #[schema(minimum = 50, maximum = 600_000)]
    pub head_ms: u64,
    /// Time for the body of a request, from its first byte, ms. Uploads of artifacts may go on for as long
    /// as they do not stand still.
    #[schema(minimum = 50, maximum = 600_000)]
    pub body_ms: u64,
    /// A connection without a request is closed after so long, ms.
    #[schema(minimum = 50, maximum = 3_600_000)]
    pub idle_ms: u64,
    /// A client that takes nothing of an answer for so long is cut off, ms.
    #[schema(minimum = 50, maximum = 3_600_000)]
    pub send_ms: u64,
    /// Requests in hand at once, except heartbeats and reports; further ones get 503. Reads without a key
    /// are turned away at half of it, lists and figures at three quarters, submits at nine tenths.
    #[schema(minimum = 16)]
    pub requests_in_flight: usize,
    /// Event streams and status calls that wait, all callers together; further ones get 429.
    #[schema(minimum = 1)]
    pub waiting_calls: usize,
    /// Requests that wait for the writer; further ones get 503. Submits are turned away at nine tenths;
    /// heartbeats and reports have as many slots again for themselves.
    #[schema(minimum = 16)]
    pub writer_queue: usize,
    /// Submits get 503 while requests wait for the writer longer than this, ms.
    #[schema(minimum = 1)]
    pub writer_wait_ms: u64,
    /// Jobs that have not ended; further ones get 429.
    #[schema(minimum = 1)]
    pub open_jobs: u64,
    /// Different requirements of jobs; further ones get 429.
    #[schema(minimum = 1)]
    pub requirement_classes: u32,
    /// Bytes of one artifact.
    #[schema(minimum = 1)]
    pub artifact_bytes: u64,
    /// Bytes of artifacts that a tenant holds grants of.
    #[schema(minimum = 1)]
    pub tenant_artifact_bytes: u64,
    /// Time that shutdown gives to requests in hand, ms.
    pub drain_ms: u64,
}

/// How long things are kept.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Ended jobs, before they move to the archive, ms.
    pub jobs_ms: u64,
    /// Most ended jobs outside the archive.
    pub jobs_rows: u64,
    /// Results and logs of ended jobs, ms.
    pub results_ms: u64,
    /// Results that came too late to count, ms.
    pub evidence_ms: u64,
    /// Events, ms.
    pub events_ms: u64,
    /// Most events.
    pub events_rows: u64,
    /// Most rows of one tenant's audit log; the hash of the last that went stays.
    #[schema(minimum = 100)]
    pub audit_rows: u64,
    /// An artifact that nothing needs, since it was last touched, ms.
    pub artifacts_ms: u64,
    /// How often retention looks, ms.
    #[schema(minimum = 50)]
    pub every_ms: u64,
}

/// Which worker gets a task.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// `balanced`, `least_loaded`, `round_robin` or `cheapest`.
    pub policy: String,
}

impl Lease {
    /// How often the worker that holds leases of `ttl_ms` sends a heartbeat, ms. Leases that are
    /// stretched for a large fleet ask for fewer heartbeats.
    #[must_use]
    pub fn heartbeat_ms(&self, ttl_ms: u64) -> u64 {
        let set = self.heartbeat_ms.filter(|_| ttl_ms <= self.ttl_ms);
        set.unwrap_or(ttl_ms / 3)
    }
}

impl Config {
    /// Reads a tree of values; unknown keys and variants are errors.
    pub(crate) fn deserialize_from(tree: &serde_json::Value) -> Result<Config, String> {
        Config::deserialize(tree).map_err(|error| {
            let words = error.to_string();
            crate::http::nearest(&words).unwrap_or(words)
        })
    }
}

impl Environment {
    /// Every preset.
    pub const ALL: [Environment; 4] =
        [Environment::Development, Environment::Staging, Environment::Production, Environment::Test];

    /// Its name in the settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Environment::Development => "development",
            Environment::Staging => "staging",
            Environment::Production => "production",
            Environment::Test => "test",
        }
    }
}

/// A text that is shown by nothing, whether logged, printed or serialised.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

/// What is no text is not repeated in the error, because it was meant as a secret.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Secret, D::Error> {
        match serde_json::Value::deserialize(d)? {
            serde_json::Value::String(text) => Ok(Secret::new(&text)),
            _ => Err(serde::de::Error::custom("a text is expected")),
        }
    }
}

impl Secret {
    /// A secret with this text.
    #[must_use]
    pub fn new(text: &str) -> Secret {
        Secret(SecretString::from(text))
    }

    /// Its text, for those who need it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(HIDDEN)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            environment: Environment::Development,
            name: None,
            server_host: "127.0.0.1".to_owned(),
            server_port: 8080,
            data_dir: None,
            log: Log::default(),
            database: Database::default(),
            auth: Auth::default(),
            lease: Lease::default(),
            limits: Limits::default(),
            rate_limits: RateLimits::default(),
            retention: Retention::default(),
            backups: Backups::default(),
            placement: Placement::default(),
            payments: Payments::default(),
            stats: Stats::default(),
            webhooks: Webhooks::default(),
            blockchain: Blockchain::default(),
            kafka: None,
            network: None,
        }
    }
}

impl Default for Database {
    fn default() -> Database {
        Database {
            url: "sqlite://./coordinator.db".to_owned(),
            readers: 2,
            cache_kib: 8 * 1024,
            synchronous: Synchronous::Full,
            allow_network_fs: false,
            max_pages: 0,
        }
    }
}

impl Default for Lease {
    fn default() -> Lease {
        Lease {
            ttl_ms: 30_000,
            heartbeat_ms: None,
            heartbeat_cap: 1_000,
            stall_after_ms: 3_600_000,
            stop_grace_ms: 10_000,
            memory_cap_bytes: 64 << 30,
            max_queue_ms: 7 * DAY_MS,
            review_ms: 600_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 16_384,
            connections_per_address: 8_192,
            head_ms: 5_000,
            body_ms: 30_000,
            idle_ms: 60_000,
            send_ms: 30_000,
            requests_in_flight: 1_024,
            waiting_calls: 1_024,
            writer_queue: 4_096,
            writer_wait_ms: 500,
            open_jobs: 2_000_000,
            requirement_classes: 10_000,
            artifact_bytes: 64 << 30,
            tenant_artifact_bytes: 1 << 40,
            drain_ms: 30_000,
        }
    }
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            jobs_ms: 30 * DAY_MS,
            jobs_rows: 1_000_000,
            results_ms: 7 * DAY_MS,
            evidence_ms: 30 * DAY_MS,
            events_ms: 7 * DAY_MS,
            events_rows: 10_000_000,
            audit_rows: 200_000,
            artifacts_ms: DAY_MS,
            every_ms: 60_000,
        }
    }
}

impl Default for Placement {
    fn default() -> Placement {
        Placement { policy: "balanced".to_owned() }
    }
}
