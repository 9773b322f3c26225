//! Every dependency's licence, read as the SPDX expression it is, must be satisfied by the list
//! in `deny.toml`.

use super::{Violation, deny::Deny};
use crate::house::House;

pub(super) fn check(house: &House, deny: &Deny) -> Vec<Violation> {
    let foreign = house.metadata.packages.iter().filter(|package| package.source.is_some());
    foreign
        .filter_map(|package| judge(&package.name, package.license.as_deref(), &deny.licenses.allow))
        .collect()
}

fn judge(name: &str, licence: Option<&str>, allowed: &[String]) -> Option<Violation> {
    let what = match licence {
        None => "states no licence".to_owned(),
        Some(expression) if satisfied(expression, allowed) => return None,
        Some(expression) => format!("has the licence `{expression}`, which the list does not satisfy"),
    };
    let advice = "use another package, or, when its terms suit an MIT project, add it to deny.toml";
    Some(Violation::new(format!("package {name}"), what, advice))
}

/// Whether an expression can be met with licences of the list. What cannot be read is not met.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, allowed };
    reader.any() == Some(true) && reader.words.is_empty()
}

/// Recursive descent: `any` is joined by OR, `all` by AND, `one` is an id or a group.
struct Reader<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl<'a> Reader<'a> {
    fn any(&mut self) -> Option<bool> {
        let mut met = self.all()?;
        while self.take("OR") {
            met |= self.all()?;
        }
        Some(met)
    }

    fn all(&mut self) -> Option<bool> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Some(met)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let met = self.any()?;
            return self.take(")").then_some(met);
        }
        let mut id = self.next()?.to_owned();
        if self.take("WITH") {
            id = format!("{id} WITH {}", self.next()?);
        }
        Some(self.allowed.contains(&id))
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take(&mut self, word: &str) -> bool {
        let here = self.words.first() == Some(&word);
        if here {
            self.words = &self.words[1..];
        }
        here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_they_are_meant() {
        let allowed =
            ["MIT".to_owned(), "BSD-3-Clause".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
        for good in [
            "MIT",
            "GPL-3.0-only OR MIT",
            "MIT/Apache-2.0",
            "(Apache-2.0 OR MIT) AND BSD-3-Clause",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(satisfied(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "Apache-2.0", "", "(MIT", "MIT MIT"] {
            assert!(!satisfied(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn a_foreign_or_missing_licence_is_reported() {
        let allowed = ["MIT".to_owned()];
        assert!(judge("a", Some("MIT"), &allowed).is_none());
        assert!(judge("a", Some("GPL-3.0-only"), &allowed).is_some());
        assert!(judge("a", None, &allowed).is_some());
    }
}
