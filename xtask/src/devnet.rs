//! `starknet-devnet`, the network that the contracts are tried on. Building it takes about eighteen
//! minutes of two idle cores, so it is built once, into the cache folder, and `cargo xtask test` begins
//! with it in the background, at the lowest priority, while its other parts run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::{shell, tools};

const VERSION: &str = "0.10.1";
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The installation that runs in the background, until somebody waits for it.
static BEGUN: Mutex<Option<JoinHandle<Result<PathBuf>>>> = Mutex::new(None);

/// Begins to install it, when it is missing, beside whatever else is done.
pub(crate) fn begin() -> Result<()> {
    let places = Places::new()?;
    if !places.is_installed() {
        println!(
            "installing starknet-devnet {VERSION} into the cache folder, beside the rest: some 18 minutes, once"
        );
        let running = std::thread::spawn(move || places.install());
        *BEGUN.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }
    Ok(())
}

/// The program. Waits for the installation that was begun, and says how far it is; without one,
/// installs now.
pub(crate) fn installed() -> Result<PathBuf> {
    let begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner).take();
    let places = Places::new()?;
    let running = begun.unwrap_or_else(|| std::thread::spawn(move || places.install()));
    let places = Places::new()?;
    let mut told = Instant::now();
    while !running.is_finished() {
        std::thread::sleep(Duration::from_millis(200));
        if told.elapsed() >= TOLD_EVERY {
            println!("waiting for starknet-devnet: {} packages compiled", places.compiled());
            told = Instant::now();
        }
    }
    running.join().map_err(|_| anyhow!("the installation of starknet-devnet ended abruptly"))?
}

struct Places {
    root: PathBuf,
    program: PathBuf,
    log: PathBuf,
}

impl Places {
    fn new() -> Result<Self> {
        let name = format!("starknet-devnet-{VERSION}");
        let cache = tools::cache()?;
        let root = cache.join(&name);
        Ok(Self { program: root.join("bin/starknet-devnet"), log: cache.join(format!("{name}.log")), root })
    }

    fn is_installed(&self) -> bool {
        self.program.exists() && shell::works(&self.program, &["--version"])
    }

    /// One at a time on a machine: the others wait and find it there.
    fn install(&self) -> Result<PathBuf> {
        fs::create_dir_all(&self.root)?;
        let lock = File::create(self.root.with_extension("lock"))?;
        lock.lock().context("cannot wait for another installation of starknet-devnet")?;
        if self.is_installed() {
            return Ok(self.program.clone());
        }
        self.build()?;
        if !self.is_installed() {
            bail!("starknet-devnet was built but does not start; see {}", self.log.display());
        }
        Ok(self.program.clone())
    }

    fn build(&self) -> Result<()> {
        let log = File::create(&self.log).with_context(|| format!("cannot write {}", self.log.display()))?;
        let target = self.root.join("build");
        let cargo = shell::cargo();
        let status = Command::new("nice")
            .args(["-n", "19"])
            .arg(cargo.get_program())
            .args(["install", "starknet-devnet", "--version", VERSION, "--locked", "--root"])
            .arg(&self.root)
            .env("CARGO_TARGET_DIR", &target)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .context("cannot start `nice cargo install starknet-devnet`")?;
        if !status.success() {
            bail!("`cargo install starknet-devnet` ended with {status}:\n{}", tail(&self.log));
        }
        fs::remove_dir_all(&target).context("cannot remove what the build left")
    }

    fn compiled(&self) -> usize {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.trim_start().starts_with("Compiling ")).count()
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
