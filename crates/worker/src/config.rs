//! The settings of a worker, and the two ways to them: flags with their environment variables, and
//! the struct itself for a program that runs workers inside.

use crate::error::Error;
use ciro_core::amount::Fri;
use ciro_core::payout::PayoutAddress;
use clap::Args;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The most leases beyond its free resources that a worker may hold ready.
pub const MAX_PREFETCH: u16 = 256;
const MAX_NAME_BYTES: usize = 100;
const MAX_LABELS: usize = 64;
const MAX_LABEL_BYTES: usize = 100;
/// Artifacts that are kept for the next attempt, where the disk has ten times as much.
const CACHE_BYTES: u64 = 4 << 30;
const DRAIN_GRACE_MS: u64 = 30_000;
const MIB: u64 = 1 << 20;

/// A worker's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// URL of the coordinator.
    pub coordinator: String,
    /// Needed until the coordinator knows the worker's key.
    pub join_token: Option<SecretString>,
    /// For people.
    pub name: String,
    /// Where the key, cached artifacts and the files of running attempts are; this worker's alone.
    pub state_dir: PathBuf,
    /// Offered instead of what was found, thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// Offered instead of what was found, bytes.
    pub memory_bytes: Option<u64>,
    /// Offered instead of what was found, bytes.
    pub disk_bytes: Option<u64>,
    /// Jobs may ask for them.
    pub labels: BTreeMap<String, String>,
    /// Attempts of a kind that run at once, for kinds that are bounded; 0 takes none.
    pub max_by_kind: BTreeMap<String, u32>,
    /// Asked for an hour of one attempt.
    pub price: Fri,
    /// Where its share of escrows on the chain goes; without it, it is given no work that is paid from one.
    pub payout: Option<PayoutAddress>,
    /// It is given no work that nobody pays for.
    pub paid_only: bool,
    /// Leases beyond the free resources that are held ready; at most [`MAX_PREFETCH`].
    pub prefetch: u16,
    /// How long running attempts may go on when the worker is asked to end, ms.
    pub drain_grace_ms: u64,
    /// Artifacts kept on disk for the next attempt, bytes; `None` is 4 GiB, or a tenth of a disk with
    /// less than 40 GiB free.
    pub cache_bytes: Option<u64>,
    /// The program whose hidden subcommand runs an attempt; `None` is the running one.
    pub attempt_program: Option<PathBuf>,
}

impl Config {
    /// Settings with defaults for all that has one.
    #[must_use]
    pub fn new(
        coordinator: impl Into<String>,
        name: impl Into<String>,
        state_dir: impl Into<PathBuf>,
    ) -> Config {
        Config {
            coordinator: coordinator.into(),
            join_token: None,
            name: name.into(),
            state_dir: state_dir.into(),
            cpu_millis: None,
            memory_bytes: None,
            disk_bytes: None,
            labels: BTreeMap::new(),
            max_by_kind: BTreeMap::new(),
            price: Fri(0),
            payout: None,
            paid_only: false,
            prefetch: 0,
            drain_grace_ms: DRAIN_GRACE_MS,
            cache_bytes: None,
            attempt_program: None,
        }
    }

    /// Bytes of artifacts that are kept where the disk has `free_bytes`.
    pub(crate) fn cache_bytes(&self, free_bytes: u64) -> u64 {
        self.cache_bytes.unwrap_or_else(|| CACHE_BYTES.min(free_bytes / 10))
    }

    /// Checks what can be checked without the machine and the coordinator.
    ///
    /// # Errors
    /// The first wrong setting, by its flag.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |setting, problem: String| Err(Error::Config { setting, problem });
        if self.name.is_empty() || self.name.len() > MAX_NAME_BYTES {
            return wrong("--name", format!("use 1 to {MAX_NAME_BYTES} bytes"));
        }
        if self.prefetch > MAX_PREFETCH {
            return wrong("--prefetch", format!("{} is too many; at most {MAX_PREFETCH}", self.prefetch));
        }
        if self.cpu_millis == Some(0) {
            return wrong("--cpu-millis", "a worker without CPU runs nothing; 1000 is one core".into());
        }
        if self.memory_bytes.is_some_and(|bytes| bytes < MIB) {
            return wrong("--memory", "a worker with less than 1MiB runs nothing".into());
        }
        if self.labels.len() > MAX_LABELS {
            return wrong("--label", format!("{} are too many; at most {MAX_LABELS}", self.labels.len()));
        }
        if self.max_by_kind.len() > MAX_LABELS {
            return wrong("--max", format!("{} are too many; at most {MAX_LABELS}", self.max_by_kind.len()));
        }
        let long = |text: &String| text.is_empty() || text.len() > MAX_LABEL_BYTES;
        match self.labels.iter().find(|(key, value)| long(key) || long(value)) {
            Some((key, _)) => {
                wrong("--label", format!("`{key}`: use 1 to {MAX_LABEL_BYTES} bytes for key and value"))
            }
            None => Ok(()),
        }
    }
}

/// The flags of `start`.
#[derive(Debug, Clone, Args)]
pub struct StartArgs {
    /// URL of the coordinator, http:// or https://; of several that share a database all of them, with commas
    /// between
    #[arg(long, env = "CIRO_COORDINATOR", value_name = "URL")]
    pub coordinator: String,
    /// Join token; needed the first time, afterwards the worker's own key is enough
    #[arg(long = "token", env = "CIRO_JOIN_TOKEN", value_name = "JOIN_TOKEN", hide_env_values = true)]
    pub join_token: Option<String>,
    /// Name shown in lists [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Folder of the worker's key, its cache and its running attempts; one worker per folder
    #[arg(long = "state", value_name = "DIR", default_value = ".ciro-worker")]
    pub state_dir: PathBuf,
    /// CPU to offer, thousandths of a core [default: all that this process may use]
    #[arg(long, value_name = "N")]
    pub cpu_millis: Option<u64>,
    /// Memory to offer, such as 8GiB [default: what this process may use, less a tenth]
    #[arg(long = "memory", value_name = "SIZE", value_parser = size)]
    pub memory_bytes: Option<u64>,
    /// Scratch disk to offer, such as 50GiB [default: what is free, less a tenth]
    #[arg(long = "disk", value_name = "SIZE", value_parser = size)]
    pub disk_bytes: Option<u64>,
    /// Inputs and modules to keep on disk for the next attempt, such as 20GiB; 0 keeps none [default: 4GiB,
    /// or a tenth of what is free]
    #[arg(long = "cache", value_name = "SIZE", value_parser = size)]
    pub cache_bytes: Option<u64>,
    /// A label that jobs may ask for, such as region=eu; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// At most so many attempts of a kind at once, such as render=2; 0 takes none; may be repeated
    #[arg(long = "max", value_name = "KIND=N", value_parser = kind_bound)]
    pub max_by_kind: Vec<(String, u32)>,
    /// Price of an hour of one attempt, in FRI (1e-18 STRK); leases at a lower one are declined
    #[arg(long = "price-fri", value_name = "FRI", default_value = "0")]
    pub price: Fri,
    /// Account on Starknet that what it earns from escrows on the chain is paid to; work that is paid from an
    /// escrow needs it
    #[arg(long, env = "CIRO_PAYOUT", value_name = "ADDRESS")]
    pub payout: Option<PayoutAddress>,
    /// Take no job that nobody pays for: only those paid from a balance, and with --payout those paid from an
    /// escrow on Starknet
    #[arg(long)]
    pub paid_only: bool,
    /// Leases to hold ready beyond what runs; useful for many short tasks
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub prefetch: u16,
    /// When asked to end: how long running attempts may go on, ms
    #[arg(long, value_name = "MS", default_value_t = DRAIN_GRACE_MS)]
    pub drain_grace_ms: u64,
}

impl StartArgs {
    /// The settings that these flags mean.
    #[must_use]
    pub fn into_config(self) -> Config {
        let name = self.name.unwrap_or_else(host_name);
        Config {
            join_token: self.join_token.map(SecretString::from),
            cpu_millis: self.cpu_millis,
            memory_bytes: self.memory_bytes,
            disk_bytes: self.disk_bytes,
            cache_bytes: self.cache_bytes,
            labels: self.labels.into_iter().collect(),
            max_by_kind: self.max_by_kind.into_iter().collect(),
            price: self.price,
            payout: self.payout,
            paid_only: self.paid_only,
            prefetch: self.prefetch,
            drain_grace_ms: self.drain_grace_ms,
            ..Config::new(self.coordinator, name, self.state_dir)
        }
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "worker".to_owned() } else { name.to_owned() }
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => MIB,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err("write a whole number of B, KiB, MiB, GiB or TiB, such as 8GiB".into()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| "not a number of bytes below 2^64".into())
}

fn kind_bound(text: &str) -> Result<(String, u32), String> {
    match text.split_once('=').map(|(kind, most)| (kind, most.parse())) {
        Some((kind, Ok(most))) if !kind.is_empty() && kind.len() <= MAX_LABEL_BYTES => {
            Ok((kind.to_owned(), most))
        }
        _ => Err("write KIND=N, such as render=2".into()),
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE, such as region=eu".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_wrong_settings_are_named() {
        assert_eq!(size("8GiB"), Ok(8 << 30));
        assert_eq!(size("4096"), Ok(4096));
        for bad in ["", "GiB", "8 GiB", "8GB", "-1", "18446744073709551615KiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        let config = Config::new("http://localhost", "one", "state");
        assert!(config.validate().is_ok());
        let wrong = Config { prefetch: 257, ..config };
        assert_eq!(wrong.validate().unwrap_err().to_string(), "--prefetch: 257 is too many; at most 256");
    }
}
