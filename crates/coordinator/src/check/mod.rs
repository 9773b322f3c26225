//! Everything that can be said of a start without starting: the settings, the files that they name,
//! the port, the disk, the clock. Each check is a function that returns what it found; nothing here
//! changes anything, and one that fails does not keep the others from being made.

mod files;
mod machine;

use crate::config::{Loaded, Origin, Sources};
use serde::Serialize;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// A start would succeed, and an operator should know this.
    Warning,
    /// A start would fail, or soon be sorry.
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Check {
        Check { name, state: State::Ok, detail: detail.into(), fix: None }
    }

    fn warning(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { state: State::Warning, fix: Some(fix.into()), ..Check::ok(name, detail) }
    }

    fn failed(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { state: State::Failed, fix: Some(fix.into()), ..Check::ok(name, detail) }
    }
}

/// Looks at everything that a start from these sources needs.
#[must_use]
pub fn check(sources: &Sources) -> Vec<Check> {
    let (loaded, errors) = sources.examine();
    let mut checks = settings(sources, &loaded);
    if errors.iter().next().is_some() {
        let fix = "ciro-coordinator settings explains every key";
        checks = errors.iter().map(|error| Check::failed("settings", error.to_string(), fix)).collect();
    }
    checks.extend(files::secrets(&loaded));
    // What is wrong itself says nothing of what it names.
    let is_right = |section: &str| !errors.iter().any(|error| error.key.starts_with(section));
    let mut running = false;
    if is_right("database") {
        let found = files::database(&loaded);
        running = found.running;
        checks.push(found.check);
        checks.push(machine::credentials(&loaded, found.admin_keys));
    }
    checks.extend(files::folders(&loaded));
    if is_right("server") {
        checks.push(machine::port(&loaded.config, running));
    }
    checks.extend([machine::disk(&loaded), machine::clock(&loaded), machine::open_files(&loaded.config)]);
    checks
}

fn settings(sources: &Sources, loaded: &Loaded) -> Vec<Check> {
    let file = sources.file.as_ref().map_or("no file".to_owned(), |file| file.display().to_string());
    let set = loaded.shown().iter().filter(|shown| !matches!(shown.origin, Origin::Default)).count();
    let preset = loaded.config.environment.name();
    let detail = format!("{file}, preset {preset}, {set} keys set");
    let mut checks = vec![Check::ok("settings", detail)];
    let warning = |words: &String| Check { fix: None, ..Check::warning("settings", words.clone(), "") };
    checks.extend(loaded.derived.warnings.iter().map(warning));
    checks
}
