//! The filter grammar of every list: `field:value field>n label.k=v -negated`, terms separated by
//! spaces and joined by "and", values separated by commas and joined by "or", quotes around a value
//! with spaces. Errors point at the column.

use super::error::ApiError;
use super::problems::Code;

/// One term of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Where it begins, from 1.
    pub column: usize,
    /// Whether it begins with `-`.
    pub negated: bool,
    /// What is looked at.
    pub field: String,
    /// How it is compared.
    pub op: Op,
    /// With what; at least one.
    pub values: Vec<Value>,
}

/// A value of a term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Where it begins, from 1.
    pub column: usize,
    /// It, without its quotes.
    pub text: String,
}

/// How a term compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `:` or `=`
    Is,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

/// The terms of a filter.
///
/// # Errors
/// `bad_filter` at the column where it cannot be read.
pub fn parse(text: &str) -> Result<Vec<Term>, ApiError> {
    let chars: Vec<char> = text.chars().collect();
    let mut terms = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if chars[at] == ' ' {
            at += 1;
            continue;
        }
        let (term, next) = term(&chars, at)?;
        terms.push(term);
        at = next;
    }
    Ok(terms)
}

fn term(chars: &[char], start: usize) -> Result<(Term, usize), ApiError> {
    let negated = chars[start] == '-';
    let mut at = start + usize::from(negated);
    let mut field = String::new();
    while let Some(c) = chars.get(at).filter(|c| c.is_ascii_alphanumeric() || "._-/".contains(**c)) {
        field.push(*c);
        at += 1;
    }
    if field.is_empty() {
        return Err(wrong(at, "a field's name is expected"));
    }
    let op = match (chars.get(at), chars.get(at + 1)) {
        (Some('>'), Some('=')) => Op::GreaterOrEqual,
        (Some('<'), Some('=')) => Op::LessOrEqual,
        (Some('>'), _) => Op::Greater,
        (Some('<'), _) => Op::Less,
        (Some(':' | '='), _) => Op::Is,
        _ => {
            return Err(wrong(at, format!("`:`, `=`, `>` or `<` is expected behind `{field}`")));
        }
    };
    at += if matches!(op, Op::GreaterOrEqual | Op::LessOrEqual) { 2 } else { 1 };
    let mut values = Vec::new();
    loop {
        let (text, next) = value(chars, at)?;
        values.push(Value { column: at + 1, text });
        at = next;
        match chars.get(at) {
            Some(',') => at += 1,
            Some(' ') | None => break,
            Some(_) => return Err(wrong(at, "a space or a comma is expected behind a quoted value")),
        }
    }
    Ok((Term { column: start + 1, negated, field, op, values }, at))
}

fn value(chars: &[char], start: usize) -> Result<(String, usize), ApiError> {
    if chars.get(start) == Some(&'"') {
        let length = chars[start + 1..].iter().position(|c| *c == '"');
        let length = length.ok_or_else(|| wrong(start, "the quote is not closed"))?;
        let end = start + 1 + length;
        return Ok((chars[start + 1..end].iter().collect(), end + 1));
    }
    let text: String = chars[start..].iter().take_while(|c| !matches!(c, ' ' | ',')).collect();
    if text.is_empty() {
        return Err(wrong(start, "a value is expected"));
    }
    let end = start + text.chars().count();
    Ok((text, end))
}

fn wrong(at: usize, detail: impl Into<String>) -> ApiError {
    let detail = format!("column {}: {}", at + 1, detail.into());
    ApiError::because(Code::BadFilter, detail.clone()).at("filter", "bad_filter", detail)
}

impl Term {
    /// A complaint about this term.
    #[must_use]
    pub fn wrong(&self, detail: impl Into<String>) -> ApiError {
        wrong(self.column - 1, detail)
    }
}

impl Value {
    /// A complaint about this value.
    #[must_use]
    pub fn wrong(&self, detail: impl Into<String>) -> ApiError {
        wrong(self.column - 1, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_term_by_term_and_errors_name_the_column() {
        let terms = parse("state:queued,running  -label.team=\"a b\" priority>=7").unwrap();
        let values = |t: &Term| {
            let shown = t.values.iter().map(|value| format!("{}@{}", value.text, value.column));
            shown.collect::<Vec<_>>().join("|")
        };
        let shown: Vec<_> =
            terms.iter().map(|t| (t.column, t.negated, t.field.as_str(), t.op, values(t))).collect();
        assert_eq!(
            shown,
            [
                (1, false, "state", Op::Is, "queued@7|running@14".to_owned()),
                (23, true, "label.team", Op::Is, "a b@35".to_owned()),
                (41, false, "priority", Op::GreaterOrEqual, "7@51".to_owned()),
            ]
        );
        for (text, column) in
            [("state", 6), ("a:b :c", 5), ("a:\"b", 3), ("a:b,", 5), ("-", 2), ("a:\"b\"c", 6)]
        {
            let error = parse(text).unwrap_err().into_problem("/", "r");
            let detail = error.detail.unwrap();
            assert!(detail.starts_with(&format!("column {column}:")), "{text}: {detail}");
        }
    }
}
