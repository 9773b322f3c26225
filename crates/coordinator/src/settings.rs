//! The settings of a running coordinator: what it started with, what applies now, and what waits
//! for a restart.
//!
//! Reading them again goes down the page once: all sources are read and checked as at a start; of
//! the new values only those of hot keys are taken over ([`hot`]), and only together: the log and
//! the store take theirs, then the snapshot is exchanged. Whatever is wrong leaves everything as it
//! was, and is said in the log, in `/status` and in `/v1/admin/config`.

use crate::app::App;
use crate::config::{
    Config, ConfigError, ConfigErrors, Loaded, Origin, Shown, differing, differing_values, fingerprint, hot,
    lookup, shown, tree_of, validate,
};
use crate::telemetry;
use ciro_api::config::{ConfigReload, Configuration, ReloadResult, Setting};
use ciro_core::time::Timestamp;
use ciro_store::AuditEntry;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Notify;

/// Asks a running coordinator to read its settings again. Asking while it reads is heard; asking
/// twice before it begins is asking once.
#[derive(Debug, Clone, Default)]
pub struct Reload(Arc<Notify>);

impl Reload {
    /// Asks.
    pub fn ask(&self) {
        self.0.notify_one();
    }
}

/// The last time that the settings were read again.
#[derive(Debug, Clone)]
pub struct LastReload {
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: ReloadResult,
    /// Keys that were taken over.
    pub changed: Vec<String>,
    /// What is wrong.
    pub errors: Vec<ConfigError>,
}

/// See the module.
#[derive(Debug)]
pub struct Settings {
    /// Read on every request: the lock is held for as long as it takes to count one more reader.
    current: RwLock<Arc<Config>>,
    book: Mutex<Book>,
    reload: Reload,
}

/// What is known beside the values that apply.
#[derive(Debug, Clone)]
pub struct Book {
    /// As the program started.
    pub started: Arc<Loaded>,
    /// As last read without an error.
    pub latest: Arc<Loaded>,
    /// What an operator should know of the values that apply.
    warnings: Vec<String>,
    /// Keys whose new value waits for a restart.
    pub pending: Vec<String>,
    /// The last time that the settings were read again.
    pub last: Option<LastReload>,
}

impl Settings {
    /// The settings of a start; `reload` asks for reading them again.
    #[must_use]
    pub fn new(started: Loaded, reload: Reload) -> Settings {
        let started = Arc::new(started);
        Settings {
            current: RwLock::new(Arc::new(started.config.clone())),
            book: Mutex::new(Book {
                warnings: started.derived.warnings.clone(),
                latest: Arc::clone(&started),
                started,
                pending: Vec::new(),
                last: None,
            }),
            reload,
        }
    }

    /// What applies now.
    #[must_use]
    pub fn current(&self) -> Arc<Config> {
        Arc::clone(&self.current.read())
    }

    /// A copy of what is known beside the values that apply.
    #[must_use]
    pub fn book(&self) -> Book {
        self.book.lock().clone()
    }

    /// What an operator should know.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let book = self.book.lock();
        let mut warnings = book.warnings.clone();
        if let Some(last) = book.last.as_ref().filter(|last| last.outcome == ReloadResult::Refused) {
            let wrong: Vec<String> = last.errors.iter().map(ToString::to_string).collect();
            warnings.push(format!(
                "the settings were read again and refused, the old ones still apply: {}",
                wrong.join("; ")
            ));
        }
        if !book.pending.is_empty() {
            warnings.push(format!("settings that need a restart have changed: {}", book.pending.join(", ")));
        }
        warnings
    }
}

impl Book {
    /// Who set the value of `key` that applies.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        if hot::is_hot(key) { self.latest.origin(key) } else { self.started.origin(key) }
    }
}

/// Reads the settings again whenever that is asked for, until the program drains.
pub async fn follow(app: App) {
    app.metrics.config_hash.set(fingerprint(&app.hot()));
    loop {
        tokio::select! {
            () = app.tasks.draining() => return,
            () = app.settings.reload.0.notified() => again(&app).await,
        }
    }
}

async fn again(app: &App) {
    // A log file that was moved away is let go of in any case.
    telemetry::reopen();
    let last = match take_over(app).await {
        Ok(changed) if changed.is_empty() => {
            LastReload { at: app.now(), outcome: ReloadResult::Unchanged, changed, errors: Vec::new() }
        }
        Ok(changed) => {
            LastReload { at: app.now(), outcome: ReloadResult::Applied, changed, errors: Vec::new() }
        }
        Err(errors) => LastReload {
            at: app.now(),
            outcome: ReloadResult::Refused,
            changed: Vec::new(),
            errors: errors.iter().cloned().collect(),
        },
    };
    let outcome = last.outcome;
    let pending = {
        let mut book = app.settings.book.lock();
        if outcome != ReloadResult::Refused {
            book.pending = waiting(&book);
        }
        book.last = Some(last.clone());
        book.pending.clone()
    };
    say(&last, &pending);
    app.metrics.config_hash.set(fingerprint(&app.hot()));
    app.metrics.config_pending.set(pending.len() as u64);
    app.metrics.reloaded(outcome);
}

fn say(last: &LastReload, pending: &[String]) {
    match last.outcome {
        ReloadResult::Refused => {
            for error in &last.errors {
                tracing::error!("the settings were read again and are wrong: {error}");
            }
            tracing::error!("the new settings were refused as a whole; the old ones still apply");
        }
        ReloadResult::Applied => tracing::info!(changed = last.changed.join(", "), "new settings apply"),
        ReloadResult::Unchanged => tracing::info!("the settings were read again; nothing new applies"),
    }
    if !pending.is_empty() {
        tracing::warn!(keys = pending.join(", "), "settings that need a restart have changed");
    }
}

/// Keys that were changed since the start and are not taken over.
fn waiting(book: &Book) -> Vec<String> {
    let changed = differing(&book.started, &book.latest);
    changed.into_iter().filter(|key| !hot::is_hot(key)).collect()
}

/// Reads all sources and takes the hot keys over; the keys whose value is another one now.
async fn take_over(app: &App) -> Result<Vec<String>, ConfigErrors> {
    let failed = |what: &str, words: String| Err(ConfigErrors::one(what, words));
    let started = app.settings.book().started;
    let Some(sources) = started.sources().cloned() else {
        return failed("configuration", "was made by a program and cannot be read again".to_owned());
    };
    let origin = sources.file.as_ref().map_or("environment".to_owned(), |file| file.display().to_string());
    let read = app.tasks.blocking(move || sources.load()).await;
    let new = match read {
        Ok(read) => read?,
        Err(error) => return failed("configuration", format!("could not be read: {error}")),
    };
    let config = hot::taken_over(&started.config, &new.config);
    let derived = validate(&config)?;
    let log = match telemetry::prepare(&config.log) {
        Ok(log) => log,
        Err(error) => return failed("log.file", error.to_string()),
    };
    let before = app.hot();
    let changed = differing_values(&before, &config);
    if !changed.is_empty() {
        let entry = AuditEntry::system(app.auth.tenant(), "config.reload", origin)
            .before(values(&before, &changed))
            .after(values(&config, &changed));
        if let Err(error) = app.store.audited(entry).tune(derived.store).await {
            return failed("configuration", format!("the store did not take it: {error}; ask again"));
        }
    }
    log.apply();
    app.rates.change(&config.rate_limits, derived.proxies);
    // Who is known carries the budget that was.
    app.auth.forget();
    *app.settings.current.write() = Arc::new(config);
    let mut book = app.settings.book.lock();
    book.warnings = derived.warnings;
    book.latest = Arc::new(new);
    Ok(changed)
}

/// What keys are set to, as it is shown.
fn values(config: &Config, keys: &[String]) -> Value {
    let tree = Value::Object(tree_of(config));
    keys.iter().map(|key| (key.clone(), lookup(&tree, key).cloned().unwrap_or_default())).collect()
}

/// The settings as administrators see them.
#[must_use]
pub fn to_wire(app: &App) -> Configuration {
    let (now, book) = (app.hot(), app.settings.book());
    let latest = Value::Object(tree_of(&book.latest.config));
    let setting = |shown: Shown| {
        let waits = book.pending.contains(&shown.key);
        let pending = waits.then(|| lookup(&latest, &shown.key).cloned().unwrap_or_default());
        Setting {
            key: shown.key,
            value: shown.value,
            origin: shown.origin.to_string(),
            hot: shown.hot,
            pending,
        }
    };
    let sources = book.started.sources();
    Configuration {
        file: sources.and_then(|sources| sources.file.as_ref()).map(|file| file.display().to_string()),
        hash: fingerprint(&now),
        restart_pending: !book.pending.is_empty(),
        last_reload: book.last.as_ref().map(|last| ConfigReload {
            at: last.at.into(),
            result: last.outcome,
            changed: last.changed.clone(),
            errors: last.errors.iter().map(ToString::to_string).collect(),
        }),
        settings: shown(&now, |key| book.origin(key)).into_iter().map(setting).collect(),
    }
}
