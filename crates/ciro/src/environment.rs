//! The one place that reads the process environment beside the flags that name a variable.

use secrecy::SecretString;
use std::ffi::OsString;
use std::path::PathBuf;

/// `CIRO_STATE`: the state folder of `ciro dev`.
pub(crate) fn state_folder() -> Option<PathBuf> {
    variable("CIRO_STATE").map(PathBuf::from)
}

/// `CIRO_SERVER` and `CIRO_API_KEY`, for those that see no flags.
pub(crate) fn server_and_key() -> (Option<String>, Option<String>) {
    let text = |name| variable(name).and_then(|value| value.into_string().ok());
    (text("CIRO_SERVER"), text("CIRO_API_KEY"))
}

/// `CIRO_CONTEXT`: the saved server that is meant.
pub(crate) fn context() -> Option<String> {
    variable("CIRO_CONTEXT").and_then(|name| name.into_string().ok())
}

/// Where programs keep what their user sets: `XDG_CONFIG_HOME`, else `.config` in the home folder.
pub(crate) fn config_folder() -> Option<PathBuf> {
    let named = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    named.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".config")))
}

/// `STARKNET_KEYSTORE_PASSWORD`: the passphrase of a keystore, as other tools of Starknet read it.
pub(crate) fn keystore_passphrase() -> Option<SecretString> {
    variable("STARKNET_KEYSTORE_PASSWORD").and_then(|text| text.into_string().ok()).map(SecretString::from)
}

/// A program of Starknet's tools: where the shell finds it by its name, else where `cargo xtask setup` keeps
/// this version of it.
pub(crate) fn tool(name: &str, version: &str) -> Option<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name));
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".cache/ciro"));
    let cache = variable("CIRO_CACHE").map(PathBuf::from).or_else(home);
    let kept = cache.map(|cache| cache.join(format!("{name}-{version}/bin")).join(name));
    on_path.chain(kept).find(|program| program.is_file())
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
