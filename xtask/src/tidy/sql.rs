//! SQL is spoken in one crate. Elsewhere a statement in a string literal is a decision that
//! escaped the store.

use super::Violation;
use crate::house::TextFile;

/// How a statement begins. Upper case, as the store writes it; prose is not.
const BEGINNINGS: [&str; 9] = [
    "SELECT ",
    "INSERT INTO ",
    "INSERT OR ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "CREATE INDEX ",
    "ALTER TABLE ",
    "PRAGMA ",
    "BEGIN IMMEDIATE",
];

pub(super) fn check(files: &[TextFile]) -> Vec<Violation> {
    files.iter().filter(|file| outside_the_store(&file.path)).flat_map(statements).collect()
}

/// The tests' private server: it is asked about itself, not about what is kept there.
const PRIVATE_SERVER: &str = "crates/testkit/src/postgres.rs";

fn outside_the_store(path: &str) -> bool {
    path.ends_with(".rs")
        && path.starts_with("crates/")
        && path.contains("/src/")
        && !path.starts_with("crates/store/")
        && path != PRIVATE_SERVER
}

fn statements(file: &TextFile) -> Vec<Violation> {
    let numbered = file.text.lines().enumerate();
    numbered
        .filter(|(_, line)| literals(line).any(|text| BEGINNINGS.iter().any(|b| text.starts_with(b))))
        .map(|(number, _)| {
            Violation::new(
                format!("{}:{}", file.path, number + 1),
                "a statement of SQL outside the store",
                "give crates/store a method named for the intent and call that",
            )
        })
        .collect()
}

/// What follows each quotation mark of a line: enough to see how a literal begins.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).map(str::trim_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_outside_the_store_is_reported() {
        let file = |path: &str| TextFile {
            path: path.into(),
            text: "let a = \"Select a worker\";\ndb.run(r\"DELETE FROM jobs\");\n".into(),
        };
        let found = check(&[file("crates/coordinator/src/jobs.rs"), file("crates/store/src/job.rs")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "crates/coordinator/src/jobs.rs:2");
    }
}
