//! Unknown names: finds the known one that was probably meant.

/// How many edits away a known name may be to be proposed.
const FAR: usize = 3;

/// What to say about a complaint of serde about an unknown field or variant: the name, and the
/// nearest known one or all of them. `None` when the complaint is about something else.
pub(crate) fn nearest(words: &str) -> Option<String> {
    let rest = words.strip_prefix("unknown field ").or_else(|| words.strip_prefix("unknown variant "))?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let name = quoted.next()?;
    let known: Vec<&str> = quoted.collect();
    Some(unknown(name, &known))
}

/// What to say about a name that is none of `known`.
pub(super) fn unknown(name: &str, known: &[&str]) -> String {
    match propose(name, known) {
        Some(near) => format!("`{name}` is not known; did you mean `{near}`?"),
        None if known.is_empty() => format!("`{name}` is not known; nothing is taken here"),
        None => format!("`{name}` is not known; it takes {}", known.join(", ")),
    }
}

/// The name of `known` that is nearest to `name`, if one is near.
#[must_use]
pub fn propose<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |candidate: &&str| strsim::damerau_levenshtein(&name.to_ascii_lowercase(), candidate);
    let near = known.iter().min_by_key(|candidate| distance(candidate))?;
    (distance(near) <= FAR.min(name.len() / 2 + 1)).then_some(*near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_answered_with_the_nearest_or_with_all() {
        let words = "unknown field `priorty`, expected one of `kind`, `priority` at line 1 column 9";
        assert_eq!(nearest(words).unwrap(), "`priorty` is not known; did you mean `priority`?");
        assert_eq!(
            nearest("unknown field `zzzzzz`, expected `kind`").unwrap(),
            "`zzzzzz` is not known; it takes kind"
        );
        assert_eq!(nearest("missing field `kind`"), None);
    }
}
