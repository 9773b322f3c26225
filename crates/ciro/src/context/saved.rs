//! The file of saved contexts: servers under a name, and which of them is meant where none is named.
//! It lies in the user's configuration folder, holds keys, and is for its owner's eyes only.

use crate::environment;
use crate::error::{Exit, Failure};
use crate::output::Format;
use crate::private;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The longest name, bytes.
const MAX_NAME: usize = 64;
/// The most contexts.
const MAX_CONTEXTS: usize = 1_000;

/// A server, the key for it, and how its answers are written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    pub(crate) server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Format>,
}

impl std::fmt::Debug for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saved").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Everything that is saved.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one that is meant where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Saved>,
}

/// Where they are saved.
///
/// # Errors
/// When there is no configuration folder, because neither XDG_CONFIG_HOME nor HOME is set.
pub(crate) fn path() -> Result<PathBuf, Failure> {
    let folder = environment::config_folder()
        .ok_or_else(|| Failure::new(Exit::Failure, "neither XDG_CONFIG_HOME nor HOME is set"))?;
    Ok(folder.join("ciro").join("contexts.json"))
}

impl Contexts {
    /// What is saved; nothing where there is no file.
    ///
    /// # Errors
    /// When the file is not what it should be, or others may read it.
    pub(crate) fn read() -> Result<Contexts, Failure> {
        match path() {
            Ok(path) => Contexts::read_from(&path),
            Err(_) => Ok(Contexts::default()),
        }
    }

    fn read_from(path: &Path) -> Result<Contexts, Failure> {
        let shown = path.display();
        let cannot = |error: io::Error| Failure::io(format!("cannot read {shown}"), &error);
        let text = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contexts::default()),
            other => other.map_err(cannot)?,
        };
        if private::is_open_to_others(&std::fs::metadata(path).map_err(cannot)?) {
            return Err(Failure::new(Exit::Failure, format!("{shown} holds keys and others may read it"))
                .hint(format!("chmod 600 {shown}")));
        }
        serde_json::from_slice(&text).map_err(|error| {
            Failure::new(Exit::Failure, format!("{shown} is not understood: {error}"))
                .hint("mend it, or remove it and begin again with `ciro context add`")
        })
    }

    /// Writes them all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let path = path()?;
        if let Some(folder) = path.parent() {
            private::make_folder(folder)?;
        }
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::new(Exit::Failure, format!("cannot write JSON: {error}")))?;
        private::write(&path, &text)
    }

    /// The one of that name.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn named(&self, name: &str) -> Result<&Saved, Failure> {
        self.contexts.get(name).ok_or_else(|| {
            let names: Vec<_> = self.contexts.keys().map(String::as_str).collect();
            let near = ciro_coordinator::http::propose(name, &names);
            let hint = match (near, names.is_empty()) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, true) => "none is saved; `ciro context add NAME --server URL` saves one".into(),
                (None, false) => format!("there are {}", names.join(", ")),
            };
            Failure::new(Exit::NotFound, format!("no context is called `{name}`")).hint(hint)
        })
    }

    /// Saves one; the first is meant from then on.
    ///
    /// # Errors
    /// When the name cannot be one, or there are too many.
    pub(crate) fn put(&mut self, name: &str, saved: Saved) -> Result<(), Failure> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(Failure::usage(format!(
                "`{name}` cannot be a name: 1 to {MAX_NAME} letters, digits, `.`, `_` and `-`"
            )));
        }
        if self.contexts.len() >= MAX_CONTEXTS && !self.contexts.contains_key(name) {
            return Err(Failure::usage(format!("there are {MAX_CONTEXTS} contexts already"))
                .hint("`ciro context remove NAME` forgets one"));
        }
        self.contexts.insert(name.to_owned(), saved);
        self.current.get_or_insert_with(|| name.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_others_may_read_or_is_not_understood_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contexts.json");
        assert!(Contexts::read_from(&path).unwrap().contexts.is_empty());
        private::write(&path, br#"{"contexts":{"a":{"server":"http://h"}}}"#).unwrap();
        assert_eq!(Contexts::read_from(&path).unwrap().named("a").unwrap().server, "http://h");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Contexts::read_from(&path).unwrap_err().hint.unwrap().starts_with("chmod 600"));
        private::write(&path, br#"{"contexts":{"a":{"url":"http://h"}}}"#).unwrap();
        assert!(Contexts::read_from(&path).unwrap_err().message.contains("is not understood"));
    }

    #[test]
    fn the_first_context_is_meant_until_another_is_chosen() {
        let saved = |server: &str| Saved { server: server.into(), api_key: None, output: None };
        let mut contexts = Contexts::default();
        contexts.put("one", saved("http://1")).unwrap();
        contexts.put("two", saved("http://2")).unwrap();
        assert_eq!(contexts.current.as_deref(), Some("one"));
        assert_eq!(contexts.named("tow").unwrap_err().hint.unwrap(), "did you mean `two`?");
        assert!(contexts.put("a/b", saved("http://3")).is_err());
    }
}
