//! Answers by route: how many of which status, and how long it took until they began.
//! On the path of every request: one look into a map that hardly ever changes, then two additions.

use axum::extract::MatchedPath;
use ciro_store::{Counter, DURATIONS_US, Histogram, HistogramView};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// Statuses that are counted by themselves.
const STATUSES: [u16; 23] = [
    200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 416, 422, 426, 429, 500,
    503, 507,
];

/// A route and a method.
#[derive(Debug)]
struct Key {
    /// The route's template; `None` where no route matched.
    path: Option<MatchedPath>,
    method: &'static str,
}

impl Key {
    fn route(&self) -> &str {
        self.path.as_ref().map_or("none", MatchedPath::as_str)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.method == other.method && self.route() == other.route()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.route().hash(state);
        self.method.hash(state);
    }
}

#[derive(Debug)]
struct Route {
    /// One for each of [`STATUSES`], and one for all others.
    answers: [Counter; STATUSES.len() + 1],
    seconds: Histogram,
}

impl Default for Route {
    fn default() -> Route {
        Route { answers: Default::default(), seconds: Histogram::new(&DURATIONS_US) }
    }
}

impl Route {
    fn count(&self, status: u16, took: Option<Duration>) {
        let at = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len());
        self.answers[at].inc();
        if let Some(took) = took {
            self.seconds.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }
}

/// Answers by route and method. No more entries than the contract has operations, and one for each
/// method where no route matched.
#[derive(Debug, Default)]
pub struct Http(RwLock<HashMap<Key, Route>>);

impl Http {
    /// Counts an answer; `took` is absent where the call was parked. Unusual methods are `OTHER`.
    pub fn answered(
        &self,
        path: Option<MatchedPath>,
        method: &'static str,
        status: u16,
        took: Option<Duration>,
    ) {
        let key = Key { path, method };
        {
            let routes = self.0.read();
            if let Some(route) = routes.get(&key) {
                return route.count(status, took);
            }
        }
        self.0.write().entry(key).or_default().count(status, took);
    }

    /// Answers by route, method and status; only what happened.
    #[must_use]
    pub fn answers(&self) -> Vec<([String; 3], u64)> {
        let mut found = Vec::new();
        for (key, route) in self.0.read().iter() {
            let names = STATUSES.iter().map(u16::to_string).chain(["other".to_owned()]);
            for (status, count) in names.zip(&route.answers) {
                let count = count.get();
                if count > 0 {
                    found.push(([key.route().to_owned(), key.method.to_owned(), status], count));
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// Time until answers began, by route and method, µs.
    #[must_use]
    pub fn durations(&self) -> Vec<([String; 2], HistogramView)> {
        let routes = self.0.read();
        let all = routes
            .iter()
            .map(|(key, route)| ([key.route().to_owned(), key.method.to_owned()], route.seconds.view()));
        let mut found: Vec<_> = all.filter(|(_, view)| view.count() > 0).collect();
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        found
    }
}
