//! `cargo xtask setup`: what the tests need beyond rustc, cargo, python3 and gcc.
//!
//! Each need is probed by looking for the thing itself. What is missing comes from the system's
//! packages (Debian and its children, as root) or, for the one Python tool, into a virtual
//! environment under the cache folder. When everything is there nothing runs, and it is fast.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

const SCHEMATHESIS_VERSION: &str = "4.32.5";

/// Something of the system: how to see that it is there, and the packages that bring it.
struct Need {
    name: &'static str,
    used_for: &'static str,
    packages: &'static [&'static str],
    present: fn() -> bool,
}

const NEEDS: [Need; 9] = [
    Need {
        name: "Debian's frozen rustc with its WebAssembly target",
        used_for: "rebuilding the job programs to the same bytes",
        packages: &["rustc", "libstd-rust-dev-wasm32", "lld"],
        present: || {
            Path::new("/usr/bin/rustc").exists()
                && found_wasm_target()
                && found("wasm-ld", &["/usr/bin/wasm-ld", "/usr/bin/rust-lld", "/usr/bin/lld"])
        },
    },
    Need {
        name: "bwrap",
        used_for: "running native programs in their sandbox",
        packages: &["bubblewrap"],
        present: || found("bwrap", &["/usr/bin/bwrap"]),
    },
    Need {
        name: "Debian's clang and C library for WebAssembly, and the programs to compare with",
        used_for: "compiling programs that others wrote to jobs",
        packages: &["clang-14", "lld", "libclang-rt-14-dev-wasm32", "wasi-libc", "bc", "cmark"],
        present: || {
            let library = Path::new("/usr/lib/wasm32-wasi/libc.a").exists();
            let builtins = Path::new("/usr/lib/llvm-14/lib/clang/14.0.6/lib/wasi").exists();
            library && builtins && ["clang-14", "bc", "cmark"].iter().all(|name| found(name, &[]))
        },
    },
    Need {
        name: "mkfs.ext4",
        used_for: "the file system whose power is cut",
        packages: &["e2fsprogs"],
        present: || found("mkfs.ext4", &["/sbin/mkfs.ext4", "/usr/sbin/mkfs.ext4"]),
    },
    Need {
        name: "mount and losetup",
        used_for: "mounting that file system",
        packages: &["mount"],
        present: || {
            found("mount", &["/bin/mount"]) && found("losetup", &["/sbin/losetup", "/usr/sbin/losetup"])
        },
    },
    Need {
        name: "a C compiler",
        used_for: "SQLite, and the library that makes fsync fail",
        packages: &["gcc", "libc6-dev"],
        present: || found("cc", &[]) || found("gcc", &[]),
    },
    Need {
        name: "openssl",
        used_for: "certificates of a receiver of webhooks, and checking signatures as its documentation says",
        packages: &["openssl"],
        present: || found("openssl", &[]),
    },
    Need {
        name: "mandoc",
        used_for: "reading the manual pages as `man` does",
        packages: &["mandoc"],
        present: || found("mandoc", &["/usr/bin/mandoc"]),
    },
    Need {
        name: "python3 with venv",
        used_for: "schemathesis, which tries the API against its OpenAPI document",
        packages: &["python3", "python3-venv"],
        present: || shell::works("python3", &["-c", "import ensurepip, venv"]),
    },
];

/// Installs what is missing; returns how many needs were looked at.
pub(crate) fn run() -> Result<usize> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.present)()).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    let schemathesis = schemathesis_in(&cache()?);
    if !is_current(&schemathesis) {
        create_environment(&schemathesis)?;
    }
    println!("everything the tests need is here");
    Ok(NEEDS.len() + 1)
}

/// The program that tries the API, as `setup` installed it.
pub(crate) fn schemathesis() -> Result<PathBuf> {
    let program = schemathesis_in(&cache()?);
    if !is_current(&program) {
        bail!("schemathesis {SCHEMATHESIS_VERSION} is not installed; run `cargo xtask setup`");
    }
    Ok(program)
}

fn install(missing: &[&Need]) -> Result<()> {
    for need in missing {
        println!("missing: {} ({})", need.name, need.used_for);
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    let by_hand = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if shell::which("apt-get").is_none() {
        bail!("this system has no apt-get; install what is listed above, then run this again");
    }
    if !is_root() {
        bail!("installing needs root; run this, then try again:\n  sudo apt-get update && sudo {by_hand}");
    }
    shell::run(apt().arg("update").arg("-q"))?;
    shell::run(apt().args(["install", "-y", "-q", "--no-install-recommends"]).args(&packages))?;
    if let Some(need) = missing.iter().find(|need| !(need.present)()) {
        bail!("{} is still missing after `{by_hand}`; it is used for {}", need.name, need.used_for);
    }
    Ok(())
}

fn create_environment(program: &Path) -> Result<()> {
    let bin = program.parent().context("a program lies in a folder")?;
    let environment = bin.parent().context("a virtual environment is a folder")?;
    println!("installing schemathesis {SCHEMATHESIS_VERSION} into the cache folder");
    shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment))?;
    shell::run(
        Command::new(bin.join("pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("schemathesis=={SCHEMATHESIS_VERSION}")),
    )
    .context("pip could not install schemathesis; is the package registry reachable?")?;
    if !is_current(program) {
        bail!("schemathesis was installed but does not start; remove the cache folder and try again");
    }
    Ok(())
}

fn schemathesis_in(cache: &Path) -> PathBuf {
    cache.join(format!("schemathesis-{SCHEMATHESIS_VERSION}/bin/schemathesis"))
}

fn is_current(schemathesis: &Path) -> bool {
    shell::works(schemathesis, &["--version"])
}

/// Where tools are kept between runs: `$CIRO_CACHE`, else `~/.cache/ciro`.
fn cache() -> Result<PathBuf> {
    if let Some(folder) = shell::env("CIRO_CACHE") {
        return Ok(folder.into());
    }
    let home =
        shell::env("HOME").context("neither CIRO_CACHE nor HOME is set; set CIRO_CACHE to a folder")?;
    Ok(Path::new(&home).join(".cache/ciro"))
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn found(program: &str, places: &[&str]) -> bool {
    shell::which(program).is_some() || places.iter().any(|place| Path::new(place).exists())
}

/// Debian 12 calls the target `wasm32-wasi`; later ones add a suffix.
fn found_wasm_target() -> bool {
    let targets = std::fs::read_dir("/usr/lib/rustlib").into_iter().flatten().flatten();
    targets.into_iter().any(|target| target.file_name().to_string_lossy().starts_with("wasm32-wasi"))
}

fn is_root() -> bool {
    shell::output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}
