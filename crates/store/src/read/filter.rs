//! What a list can be filtered by: conditions on its fields, all of which must hold. The shell reads
//! them from text, each list holds its rows against them; a condition does not know which list it is of.

use std::borrow::Borrow;

/// One condition on a field `F` of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition<F> {
    /// What is looked at.
    pub field: F,
    /// Whether the test must fail.
    pub negated: bool,
    /// What is asked of it.
    pub test: Test,
}

/// What is asked of a field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// It is one of these texts.
    OneOf(Vec<String>),
    /// It lies within one of these spans.
    Within(Vec<Span>),
}

/// Numbers, or instants in ms, from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub least: i64,
    /// The last.
    pub most: i64,
}

impl Span {
    /// One number alone.
    #[must_use]
    pub const fn only(n: i64) -> Span {
        Span { least: n, most: n }
    }

    /// `n` and everything above.
    #[must_use]
    pub const fn from(n: i64) -> Span {
        Span { least: n, most: i64::MAX }
    }

    /// `n` and everything below.
    #[must_use]
    pub const fn to(n: i64) -> Span {
        Span { least: i64::MIN, most: n }
    }
}

impl<F> Condition<F> {
    /// A condition that must hold.
    #[must_use]
    pub fn new(field: F, test: Test) -> Condition<F> {
        Condition { field, negated: false, test }
    }

    /// A condition that must not hold.
    #[must_use]
    pub fn not(field: F, test: Test) -> Condition<F> {
        Condition { field, negated: true, test }
    }

    /// Holds the texts of a field against it: one of them is enough. A field without a text is none
    /// of those that are named.
    pub fn holds_for_text<T: Borrow<str>>(&self, values: impl IntoIterator<Item = T>) -> bool {
        let found = match &self.test {
            Test::OneOf(wanted) => {
                values.into_iter().any(|value| wanted.iter().any(|word| word == value.borrow()))
            }
            Test::Within(_) => false,
        };
        found != self.negated
    }

    /// Holds the number of a field against it; a field without one lies in no span.
    pub fn holds_for_number(&self, value: Option<i64>) -> bool {
        let found = match &self.test {
            Test::OneOf(_) => false,
            Test::Within(spans) => {
                value.is_some_and(|n| spans.iter().any(|span| (span.least..=span.most).contains(&n)))
            }
        };
        found != self.negated
    }
}
