//! Relative links in documents point at files that exist. Links into the web are not followed.

use std::path::Path;

use super::Violation;
use crate::house::TextFile;

pub(super) fn check(files: &[TextFile], root: &Path) -> Vec<Violation> {
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    documents
        .flat_map(|file| broken(file, |target| root.join(folder_of(&file.path)).join(target).exists()))
        .collect()
}

fn broken(file: &TextFile, exists: impl Fn(&str) -> bool) -> Vec<Violation> {
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for target in targets(line).filter(|target| !exists(target)) {
            found.push(Violation::new(
                format!("{}:{}", file.path, number + 1),
                format!("links to {target}, which does not exist"),
                "correct the link, or write the document it promises",
            ));
        }
    }
    found
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The files that a line of Markdown links to, without their anchors.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split_once(')')?.0;
        let elsewhere = target.contains("://") || target.starts_with("mailto:") || target.starts_with('#');
        let file = target.split('#').next()?;
        (!elsewhere && !file.is_empty()).then_some(file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_nothing_is_reported() {
        let file = TextFile {
            path: "docs/a.md".into(),
            text: "[a](b.md#x) [c](https://example.com)\n[d](#e) and [f](missing.md)\n".into(),
        };
        let found = broken(&file, |target| target == "b.md");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "docs/a.md:2");
    }
}
