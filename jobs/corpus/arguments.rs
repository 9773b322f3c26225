//! Arguments and environment: exactly what the job says, nothing of the machine.

use std::fmt::Write;

fn main() {
    let mut text = String::new();
    for (index, arg) in std::env::args().enumerate() {
        writeln!(text, "{} {:?}", index, arg).unwrap();
    }
    for (name, value) in std::env::vars() {
        writeln!(text, "{}={:?}", name, value).unwrap();
    }
    writeln!(
        text,
        "{:?} {:?}",
        std::env::var_os("PATH"),
        std::env::current_dir()
    )
    .unwrap();
    std::fs::write("/out/result.txt", text).unwrap();
}
