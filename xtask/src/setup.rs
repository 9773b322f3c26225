//! `cargo xtask setup`: what the tests need beyond rustc, cargo, python3 and gcc.
//!
//! Each need is probed by looking for the thing itself. What is missing comes from the system's
//! packages (Debian and its children, as root), or from a package registry into the cache folder (see
//! `tools`). When everything is there nothing runs, and it is fast.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{shell, tools};

/// Something of the system: how to see that it is there, and the packages that bring it.
struct Need {
    name: &'static str,
    used_for: &'static str,
    packages: &'static [&'static str],
    present: fn() -> bool,
}

const NEEDS: [Need; 12] = [
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
        name: "node and npm",
        used_for: "the Cairo compiler, which is a module of WebAssembly",
        packages: &["nodejs", "npm"],
        present: || found("node", &[]) && found("npm", &[]),
    },
    Need {
        name: "PostgreSQL's server",
        used_for: "a private server of the tests, on a free port and without privileges",
        packages: &["postgresql"],
        present: || {
            let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
            versions.into_iter().any(|version| version.path().join("bin/initdb").exists())
        },
    },
    Need {
        name: "PgBouncer",
        used_for: "standing in front of that server, in transaction mode",
        packages: &["pgbouncer"],
        present: || found("pgbouncer", &["/usr/sbin/pgbouncer"]),
    },
    Need {
        name: "python3 with venv",
        used_for: "schemathesis, which tries the API, and starknet.py, which tries the contracts",
        packages: &["python3", "python3-venv"],
        present: || shell::works("python3", &["-c", "import ensurepip, venv"]),
    },
];

const TOOLS: [tools::PythonTool; 2] = [tools::SCHEMATHESIS, tools::STARKNET_PY];

/// Installs what is missing; returns how many needs were looked at.
pub(crate) fn run() -> Result<usize> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.present)()).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    for tool in TOOLS {
        tool.install()?;
    }
    tools::cairo_compiler()?;
    tools::casm_compiler()?;
    println!("everything the tests need is here");
    Ok(NEEDS.len() + TOOLS.len() + 2)
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
    let started = NoServices::while_it_lasts()?;
    shell::run(apt().args(["install", "-y", "-q", "--no-install-recommends"]).args(&packages))?;
    drop(started);
    if let Some(need) = missing.iter().find(|need| !(need.present)()) {
        bail!("{} is still missing after `{by_hand}`; it is used for {}", need.name, need.used_for);
    }
    Ok(())
}

/// What Debian asks before a package starts its service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Packages bring services of the system, which are nothing that a test needs: while this lives, none is
/// started. A machine that has a policy of its own keeps it.
struct NoServices {
    made: bool,
}

impl NoServices {
    fn while_it_lasts() -> Result<Self> {
        let made = !Path::new(POLICY).exists();
        if made {
            std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")
                .with_context(|| format!("cannot write {POLICY}"))?;
            shell::run(Command::new("chmod").args(["755", POLICY]))?;
        }
        Ok(Self { made })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made {
            // Left behind it would keep every later service from starting; there is nobody to tell.
            let _ = std::fs::remove_file(POLICY);
        }
    }
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
