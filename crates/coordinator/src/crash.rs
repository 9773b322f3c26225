//! Arming a crash point: only by its environment variable, never where the preset is `production`, and
//! said aloud on standard error.

use crate::config::Environment;
use anyhow::bail;
use ciro_core::crash;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;

/// Arms the point that the variables name, if they name one.
///
/// # Errors
/// When the preset is `production`, or the text is no point.
pub(crate) fn arm(variables: &[(String, String)], environment: Environment) -> anyhow::Result<()> {
    let Some((_, text)) = variables.iter().find(|(name, _)| name == crash::VARIABLE) else { return Ok(()) };
    if environment == Environment::Production {
        bail!(
            "{} is set: it has this program kill itself, for tests, and is refused in production; unset it",
            crash::VARIABLE
        );
    }
    crash::arm(text, end)?;
    let words = format!("WARNING: {}={text}: this process kills itself there", crash::VARIABLE);
    let _ = writeln!(std::io::stderr(), "{words}");
    Ok(())
}

/// As `kill -9` would.
fn end(name: &str) {
    let _ = writeln!(std::io::stderr(), "crash point reached: {name}");
    // It cannot fail: it is this process itself.
    let _ = kill(Pid::this(), Signal::SIGKILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_refuses_and_nobody_else_notices() {
        assert!(arm(&[], Environment::Production).is_ok());
        let asked = [(crash::VARIABLE.to_owned(), "submit.committed".to_owned())];
        let refused = arm(&asked, Environment::Production).unwrap_err().to_string();
        assert!(refused.contains("CIRO_CRASH_AT") && refused.contains("unset"), "{refused}");
    }
}
