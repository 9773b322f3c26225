//! Whether this machine can build CIRO: the compiler, and the C compiler that SQLite needs.
//! A machine that only runs it needs neither.

use super::Check;
use std::path::Path;
use std::process::Command;

/// The oldest compiler that builds this version.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

pub(super) fn checks() -> Vec<Check> {
    // In a checkout a missing compiler is a fault; elsewhere nobody misses it.
    let building = Path::new("Cargo.toml").exists() && Path::new("rust-toolchain.toml").exists();
    let absent = |name: &str, fix: &str| match building {
        true => Check::failed(name, "not found", fix),
        false => Check::off(name, "not found; only needed to build"),
    };
    let rustc = match first_line("rustc") {
        Some(line) if is_recent(&line) => Check::ok("compiler", line),
        Some(line) => Check::failed(
            "compiler",
            format!("{line}; {OLDEST} is the oldest that builds this"),
            "rustup update",
        ),
        None => absent("compiler", "install Rust from https://rustup.rs"),
    };
    let cc = match first_line("cc") {
        Some(line) => Check::ok("C compiler", line),
        None => absent("C compiler", "apt-get install gcc libc6-dev"),
    };
    vec![rustc, cc]
}

fn first_line(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned);
    text.filter(|_| output.status.success())
}

/// `rustc 1.95.0 (…)` against `1.95`.
fn is_recent(line: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let version = text.split(|c: char| !(c.is_ascii_digit() || c == '.')).find(|part| part.contains('.'));
        version.unwrap_or_default().split('.').filter_map(|n| n.parse().ok()).collect()
    };
    numbers(line) >= numbers(OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(
            is_recent("rustc 1.95.0 (abc 2026-04-01)")
                && is_recent("rustc 1.100.1")
                && is_recent("rustc 2.0.0-nightly")
        );
        assert!(!is_recent("rustc 1.9.0") && !is_recent("rustc 1.63.0 (4b91a6ea7)"));
    }
}
