//! Every bound of the coordinator: each queue, table, pool, ring, map, wait and size, once, with
//! its cap, how much of it is taken now, and what happens beyond it. `/v1/limits`, two metrics and
//! `ciro limits` are rendered from this list; whoever adds a bound adds a line to its part.
//!
//! A bound *of each* thing (bytes of one artifact) has no level. A bound of a tenant has the level
//! of the tenant that is nearest to it.

mod data;
mod http;
mod jobs;
mod store;
mod webhooks;

use crate::http::problems::Code;
use crate::metrics::{Seen, Snapshot};
pub use ciro_api::limit::Kind;
use ciro_api::limit::{Limit, Unit};

/// One bound.
#[derive(Debug)]
pub struct Bound {
    /// Its name, also the label of its metrics.
    pub name: &'static str,
    kind: Kind,
    unit: Unit,
    of_each: Option<&'static str>,
    cap: Cap,
    level: Option<fn(&Seen<'_>) -> Option<u64>>,
    beyond: &'static str,
    code: Option<Code>,
}

#[derive(Debug)]
enum Cap {
    /// The same everywhere.
    Fixed(u64),
    /// A setting of this name.
    Set(&'static str, fn(&Seen<'_>) -> u64),
    /// What the system gives; absent where it does not say.
    Found(fn(&Seen<'_>) -> Option<u64>),
}

/// Every bound.
pub fn all() -> impl Iterator<Item = &'static Bound> {
    [http::BOUNDS, jobs::BOUNDS, store::BOUNDS, data::BOUNDS, webhooks::BOUNDS].into_iter().flatten()
}

/// Every bound as it is now.
pub async fn now(app: &crate::app::App) -> Vec<Limit> {
    let then = Snapshot::take(app).await;
    all().map(|bound| bound.to_wire(&Seen { app, then: &then })).collect()
}

impl Bound {
    const fn fixed(name: &'static str, kind: Kind, unit: Unit, cap: u64) -> Bound {
        Bound::new(name, kind, unit, Cap::Fixed(cap))
    }

    /// A bound that the setting `path` sets.
    const fn set(
        name: &'static str,
        kind: Kind,
        unit: Unit,
        path: &'static str,
        cap: fn(&Seen<'_>) -> u64,
    ) -> Bound {
        Bound::new(name, kind, unit, Cap::Set(path, cap))
    }

    /// A bound that the system sets.
    const fn found(name: &'static str, kind: Kind, unit: Unit, cap: fn(&Seen<'_>) -> Option<u64>) -> Bound {
        Bound::new(name, kind, unit, Cap::Found(cap))
    }

    const fn new(name: &'static str, kind: Kind, unit: Unit, cap: Cap) -> Bound {
        Bound { name, kind, unit, of_each: None, cap, level: None, beyond: "", code: None }
    }

    const fn of_each(mut self, what: &'static str) -> Bound {
        self.of_each = Some(what);
        self
    }

    const fn at(mut self, level: fn(&Seen<'_>) -> Option<u64>) -> Bound {
        self.level = Some(level);
        self
    }

    /// What happens beyond it, to callers without a problem.
    const fn then(mut self, beyond: &'static str) -> Bound {
        self.beyond = beyond;
        self
    }

    /// What happens beyond it, and the problem that callers are answered with.
    const fn refused(mut self, code: Code, beyond: &'static str) -> Bound {
        self.beyond = beyond;
        self.code = Some(code);
        self
    }

    /// Most that there may be; `None` where nothing bounds it.
    #[must_use]
    pub fn cap(&self, seen: &Seen<'_>) -> Option<u64> {
        match self.cap {
            Cap::Fixed(cap) => Some(cap),
            Cap::Set(_, cap) => Some(cap(seen)),
            Cap::Found(cap) => cap(seen),
        }
    }

    /// How much there is; `None` where it is a bound of each thing, or not known.
    #[must_use]
    pub fn level(&self, seen: &Seen<'_>) -> Option<u64> {
        self.level.and_then(|level| level(seen))
    }

    /// Whether callers are refused beyond it.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.code.is_some()
    }

    fn to_wire(&self, seen: &Seen<'_>) -> Limit {
        Limit {
            name: self.name.to_owned(),
            kind: self.kind,
            unit: self.unit,
            of_each: self.of_each.map(str::to_owned),
            cap: self.cap(seen),
            level: self.level(seen),
            setting: match self.cap {
                Cap::Set(path, _) => Some(path.to_owned()),
                Cap::Fixed(_) | Cap::Found(_) => None,
            },
            beyond: self.beyond.to_owned(),
            code: self.code.map(|code| code.entry().word.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_bound_has_a_name_of_its_own_and_says_what_happens_beyond_it() {
        let mut names = HashSet::new();
        for bound in all() {
            let name = bound.name;
            assert!(names.insert(name), "{name} stands twice");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert!(bound.beyond.ends_with('.'), "{name}: {}", bound.beyond);
        }
    }

    #[test]
    fn every_limit_and_every_row_of_retention_that_can_be_set_is_listed() {
        let config = serde_json::to_value(crate::config::Config::default()).unwrap_or_default();
        let listed: HashSet<&str> = all()
            .filter_map(|bound| match bound.cap {
                Cap::Set(path, _) => Some(path),
                Cap::Fixed(_) | Cap::Found(_) => None,
            })
            .collect();
        let keys = |section: &str| {
            let keys = config[section].as_object().into_iter().flatten().map(|(key, _)| key);
            keys.map(|key| format!("{section}.{key}")).collect::<Vec<_>>()
        };
        let rows = keys("retention").into_iter().filter(|key| key.ends_with("_rows"));
        let wanted: Vec<String> = keys("limits").into_iter().chain(rows).collect();
        assert!(wanted.len() > 8, "{wanted:?}");
        for key in wanted {
            assert!(listed.contains(key.as_str()), "{key} is not in the list of bounds");
        }
    }
}
