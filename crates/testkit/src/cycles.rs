//! How thoroughly the loops run: a few times with every change, hundreds of times before a release.

/// The variable that chooses: `ci` (also when unset) or `full`.
const VARIABLE: &str = "CIRO_CYCLES";

/// How often a loop runs: `ci` times with every change, `full` times before a release.
///
/// # Panics
/// When the variable says neither `ci` nor `full`: a misspelt word must not pass for the long run.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one setting of the tests is read here")]
pub fn cycles(ci: u32, full: u32) -> u32 {
    match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("ci") => ci,
        Ok("full") => full,
        Ok(other) => panic!("{VARIABLE} is `ci` or `full`, not `{other}`"),
    }
}
