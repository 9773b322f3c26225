//! What kind of call a request is: what it costs, and when it is turned away because there is too
//! much to do. The order is the one in which things can be missed: reads without a key, lists and
//! figures, submits, the rest; workers are never turned away.

use axum::http::Method;

/// Units of a list, or of figures over many rows.
const LIST_UNITS: u64 = 5;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Sessions, polls, heartbeats, reports and logs of workers.
    Work,
    /// Whether the process is alive and ready.
    Health,
    /// A call that waits or streams, bounded by its own count.
    Waiting,
    /// Anything that is asked for without a key, or needs none.
    Anonymous,
    /// A list, or figures over many rows.
    List,
    /// New jobs.
    Submit,
    /// One thing read or changed.
    Rest,
}

/// What the door needs to know of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) class: Class,
    /// Units.
    pub(crate) cost: u64,
    /// Whether it is answered whoever calls, so that no token is looked up for it.
    pub(crate) open: bool,
}

/// Routes that are open to everybody.
const OPEN: [&str; 6] = ["", "/v1/version", "/v1/kinds", "/openapi.json", "/problems", "/problems/{code}"];
/// Reads of one thing whose route does not end with its id.
const ONE: [&str; 3] = ["/v1/jobs/{id}/status", "/v1/jobs/{id}/result", "/v1/jobs/{id}/result/files/{*path}"];

impl Asked {
    /// Of a request for the route `template` (empty where there is none).
    pub(crate) fn of(method: &Method, template: &str, has_query: bool, has_token: bool) -> Asked {
        let plain = |class| Asked { class, cost: 1, open: false };
        if template.starts_with("/v1/work/") {
            return Asked { cost: 0, ..plain(Class::Work) };
        }
        if template.starts_with("/health") {
            return Asked { cost: 0, open: true, ..plain(Class::Health) };
        }
        if OPEN.contains(&template) {
            return Asked { open: true, ..plain(Class::Anonymous) };
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let list = reads && !template.ends_with('}') && !ONE.contains(&template);
        let class = match () {
            () if !has_token => Class::Anonymous,
            () if has_query && template.ends_with("/{id}/status") => Class::Waiting,
            () if list => Class::List,
            () if *method == Method::POST && submits(template) => Class::Submit,
            () => Class::Rest,
        };
        Asked { cost: if list { LIST_UNITS } else { 1 }, ..plain(class) }
    }
}

fn submits(template: &str) -> bool {
    template.starts_with("/v1/jobs") && !template.ends_with("cancel")
}

impl Class {
    /// How many there are.
    pub(crate) const COUNT: usize = Class::Rest as usize + 1;
    /// All that are ever turned away, in the order in which they are.
    pub(crate) const SHED: [Class; 4] = [Class::Anonymous, Class::List, Class::Submit, Class::Rest];

    /// At how many requests in hand this is turned away, of `limit`; `None` for what never is.
    pub(crate) fn room(self, limit: usize) -> Option<usize> {
        match self {
            Class::Work | Class::Health | Class::Waiting => None,
            Class::Anonymous => Some(limit / 2),
            Class::List => Some(limit - limit / 4),
            Class::Submit => Some(limit - limit / 10),
            Class::Rest => Some(limit),
        }
    }

    /// Its name in the metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Class::Work => "work",
            Class::Health => "health",
            Class::Waiting => "waiting",
            Class::Anonymous => "anonymous",
            Class::List => "list",
            Class::Submit => "submit",
            Class::Rest => "rest",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(method: &Method, template: &str) -> (Class, u64) {
        let asked = Asked::of(method, template, false, true);
        (asked.class, asked.cost)
    }

    #[test]
    fn routes_are_classed_by_what_they_cost_and_whom_they_serve() {
        for (method, template, expected) in [
            (Method::POST, "/v1/work/heartbeat", (Class::Work, 0)),
            (Method::GET, "/health/ready", (Class::Health, 0)),
            (Method::GET, "/metrics", (Class::List, 5)),
            (Method::GET, "/v1/status", (Class::List, 5)),
            (Method::GET, "/v1/jobs", (Class::List, 5)),
            (Method::GET, "/v1/jobs/stats", (Class::List, 5)),
            (Method::GET, "/v1/jobs/{id}/events", (Class::List, 5)),
            (Method::GET, "/v1/jobs/{id}", (Class::Rest, 1)),
            (Method::GET, "/v1/jobs/{id}/status", (Class::Rest, 1)),
            (Method::HEAD, "/v1/artifacts/{hash}", (Class::Rest, 1)),
            (Method::POST, "/v1/jobs", (Class::Submit, 1)),
            (Method::POST, "/v1/jobs:batch", (Class::Submit, 1)),
            (Method::POST, "/v1/jobs/{id}/retry", (Class::Submit, 1)),
            (Method::POST, "/v1/jobs/{id}/cancel", (Class::Rest, 1)),
            (Method::DELETE, "/v1/jobs/{id}", (Class::Rest, 1)),
            (Method::POST, "/v1/artifacts", (Class::Rest, 1)),
        ] {
            assert_eq!(class(&method, template), expected, "{method} {template}");
        }
        assert_eq!(Asked::of(&Method::GET, "/metrics", false, false).class, Class::Anonymous);
        assert_eq!(Asked::of(&Method::GET, "/v1/jobs/{id}/status", true, true).class, Class::Waiting);
    }

    #[test]
    fn what_can_be_missed_most_easily_goes_first() {
        let rooms: Vec<_> = Class::SHED.iter().map(|class| class.room(64).unwrap()).collect();
        assert_eq!(rooms, [32, 48, 58, 64]);
        assert_eq!(Class::Work.room(64), None);
    }
}
