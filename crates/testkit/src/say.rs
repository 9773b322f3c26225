//! What a test did, for people: past the harness, which shows the output of failures only.

use std::io::Write;

/// Writes a line of figures to standard output.
pub fn say(line: &str) {
    // Whoever does not read it misses nothing that the test checks.
    let _ = writeln!(std::io::stdout(), "{line}");
}
