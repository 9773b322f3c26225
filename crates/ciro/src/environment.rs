//! The one place that reads the process environment beside the flags that name a variable.

use std::ffi::OsString;
use std::path::PathBuf;

/// `CIRO_STATE`: the state folder of `ciro dev`.
pub(crate) fn state_folder() -> Option<PathBuf> {
    variable("CIRO_STATE").map(PathBuf::from)
}

/// The variables that set something of the coordinator.
pub(crate) fn settings() -> Vec<(String, String)> {
    let text = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.filter(|(name, _)| name.starts_with("CIRO__")).collect()
}

/// Whether the shell finds this program by its name alone.
pub(crate) fn finds(program: &str) -> bool {
    let path = variable("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
