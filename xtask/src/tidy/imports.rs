//! Who may import whom. The table is the house's floor plan (ARCHITECTURE.md draws it); a new
//! crate gets its line here in the commit that adds it.

use cargo_metadata::DependencyKind;

use super::Violation;
use crate::house::{House, TextFile};

struct Room {
    name: &'static str,
    /// Crates of ours that it may import.
    may: &'static [&'static str],
    /// Crates of others that it must never import.
    never: &'static [&'static str],
}

const SERVERS: &[&str] = &["axum", "rusqlite"];

const ROOMS: [Room; 10] = [
    Room {
        name: "ciro-core",
        may: &[],
        never: &[
            "axum",
            "chrono",
            "getrandom",
            "hyper",
            "jiff",
            "rand",
            "reqwest",
            "rusqlite",
            "time",
            "tokio",
            "tokio-util",
            "tower",
        ],
    },
    Room { name: "ciro-api", may: &["ciro-core"], never: SERVERS },
    Room { name: "ciro-store", may: &["ciro-core"], never: &["axum", "reqwest"] },
    Room { name: "ciro-chain", may: &["ciro-core"], never: SERVERS },
    Room {
        name: "ciro-coordinator",
        may: &["ciro-core", "ciro-api", "ciro-store", "ciro-chain"],
        never: &["rusqlite", "wasmtime"],
    },
    Room { name: "ciro-worker", may: &["ciro-core", "ciro-api"], never: SERVERS },
    Room { name: "ciro-sim", may: &["ciro-core", "ciro-store"], never: SERVERS },
    Room {
        name: "ciro",
        may: &[
            "ciro-core",
            "ciro-api",
            "ciro-store",
            "ciro-chain",
            "ciro-sim",
            "ciro-coordinator",
            "ciro-worker",
        ],
        never: SERVERS,
    },
    Room {
        name: "ciro-testkit",
        may: &[
            "ciro-core",
            "ciro-api",
            "ciro-store",
            "ciro-chain",
            "ciro-coordinator",
            "ciro-worker",
            "ciro",
        ],
        never: &[],
    },
    Room { name: "xtask", may: &[], never: &["axum", "rusqlite", "tokio", "wasmtime"] },
];

/// Only tests may use it, so only a dev-dependency on it is permitted, to every crate.
const TESTKIT: &str = "ciro-testkit";

/// One line of a manifest: `from` depends on `to`.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) ours: bool,
    pub(super) for_tests: bool,
}

pub(super) fn edges(house: &House) -> Vec<Edge> {
    let mut edges = Vec::new();
    for package in house.packages() {
        for dependency in &package.dependencies {
            edges.push(Edge {
                from: package.name.to_string(),
                to: dependency.name.clone(),
                ours: dependency.path.is_some(),
                for_tests: dependency.kind == DependencyKind::Development,
            });
        }
    }
    edges
}

pub(super) fn check(edges: &[Edge]) -> Vec<Violation> {
    edges.iter().filter_map(judge).collect()
}

fn judge(edge: &Edge) -> Option<Violation> {
    let Edge { from, to, .. } = edge;
    let Some(room) = ROOMS.iter().find(|room| room.name == from) else {
        return Some(Violation::new(
            format!("package {from}"),
            "has no line in the import table",
            "say in xtask/src/tidy/imports.rs and in ARCHITECTURE.md what it may import",
        ));
    };
    let permitted = if edge.for_tests && to == TESTKIT {
        true
    } else if edge.ours {
        room.may.contains(&to.as_str())
    } else {
        edge.for_tests || !room.never.contains(&to.as_str())
    };
    (!permitted).then(|| {
        Violation::new(
            format!("package {from}"),
            format!("imports {to}, which the import table forbids"),
            "move the code to the room that may import it (ARCHITECTURE.md, \"The map\")",
        )
    })
}

/// The ways to reach for a clock or for chance that no manifest shows.
const IMPURE: [&str; 5] = ["SystemTime", "Instant::now", "now_v7", "thread_rng", "std::time::Instant"];

/// The domain takes time and chance as arguments.
pub(super) fn purity(files: &[TextFile]) -> Vec<Violation> {
    let domain = files.iter().filter(|file| file.path.starts_with("crates/core/src/"));
    let mut violations = Vec::new();
    for file in domain {
        for (number, line) in file.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(word) = IMPURE.iter().find(|word| code.contains(**word)) {
                violations.push(Violation::new(
                    format!("{}:{}", file.path, number + 1),
                    format!("uses {word} inside the domain"),
                    "take the time or the id as an argument; it is made at the edge",
                ));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, for_tests: bool) -> Edge {
        Edge { from: from.into(), to: to.into(), ours: to.starts_with("ciro"), for_tests }
    }

    #[test]
    fn the_table_is_obeyed_or_reported() {
        let good = [
            edge("ciro-api", "ciro-core", false),
            edge("ciro-core", "serde", false),
            edge("ciro-core", "ciro-testkit", true),
            edge("ciro-store", "rusqlite", false),
        ];
        assert_eq!(check(&good), []);
        let bad = [
            edge("ciro-core", "ciro-store", false),
            edge("ciro-core", "tokio", false),
            edge("ciro-store", "ciro-api", false),
            edge("ciro-coordinator", "ciro-worker", false),
            edge("ciro-coordinator", "rusqlite", false),
            edge("ciro-worker", "ciro-store", true),
            edge("ciro-api", "ciro-testkit", false),
            edge("ciro-garage", "ciro-core", false),
        ];
        assert_eq!(check(&bad).len(), bad.len());
    }

    #[test]
    fn a_clock_in_the_domain_is_reported_with_its_line() {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let files = [
            file("crates/core/src/a.rs", "//! No SystemTime here.\nlet id = Uuid::now_v7();\n"),
            file("crates/worker/src/a.rs", "let now = Instant::now();\n"),
        ];
        let found = purity(&files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "crates/core/src/a.rs:2");
    }
}
