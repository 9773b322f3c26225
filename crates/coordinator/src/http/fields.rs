//! Fields of lists: each list has one table of them, from which its filter is read, errors say what
//! would have been right, and completion proposes. Nothing here knows which list it serves.

use super::error::{ApiError, ApiResult};
use super::filter::{Op, Term, Value, parse};
use super::unknown::{propose, unknown};
use ciro_api::filter::{MAX_PREFIX_CHARS, MAX_PROPOSALS, Proposal, Proposals, ProposalsQuery};
use ciro_api::time::Time;
use ciro_store::{Condition, Span, Test, Values};

/// How a name ends that stands for many: `label.<name>`.
const OPEN: &str = "<name>";

/// A field that a list can be filtered by.
pub(super) struct Field<F> {
    /// As it is written; `label.<name>` stands for all that begin with `label.`.
    pub(super) name: &'static str,
    /// What it holds, for people.
    pub(super) about: &'static str,
    /// What it is compared with.
    pub(super) takes: Takes,
    /// The field itself; of `label.<name>`, the one of that name.
    pub(super) is: fn(&str) -> F,
}

/// What a field is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Takes {
    /// These words.
    Words(fn() -> Vec<&'static str>),
    /// Any text.
    Text,
    /// A number from here to there.
    Number(i64, i64),
    /// An instant.
    Time,
}

/// One row of a table.
pub(super) const fn field<F>(
    name: &'static str,
    takes: Takes,
    is: fn(&str) -> F,
    about: &'static str,
) -> Field<F> {
    Field { name, about, takes, is }
}

/// The conditions of a filter.
///
/// # Errors
/// `bad_filter` at the column of what cannot be.
pub(super) fn read<F>(text: &str, fields: &[Field<F>]) -> ApiResult<Vec<Condition<F>>> {
    let terms = parse(text)?;
    let condition = |(at, term): (usize, &Term)| {
        let (field, rest) = find(fields, &term.field).ok_or_else(|| term.unknown_field(&names(fields)))?;
        only_once(term, &terms[..at])?;
        Ok(Condition { field: (field.is)(rest), negated: term.negated, test: field.takes.test(term)? })
    };
    terms.iter().enumerate().map(condition).collect()
}

/// The conditions of a filter of a list that looks for one value of a field, but of the field `several`, and
/// for none that is not.
///
/// # Errors
/// `bad_filter` at the column of what cannot be.
pub(super) fn read_plain<F>(text: &str, fields: &[Field<F>], several: &str) -> ApiResult<Vec<Condition<F>>> {
    let beyond = |term: &Term| term.negated || (term.values.len() > 1 && term.field != several);
    match parse(text)?.into_iter().find(beyond) {
        Some(term) if several.is_empty() => {
            Err(term.wrong("this list takes one value for a field, and no `-`"))
        }
        Some(term) => {
            Err(term.wrong(format!("this list takes several values for `{several}` alone, and no `-`")))
        }
        None => read(text, fields),
    }
}

/// The row of that name, and what stands for `<name>` in it.
fn find<'f, 't, F>(fields: &'f [Field<F>], name: &'t str) -> Option<(&'f Field<F>, &'t str)> {
    fields.iter().find_map(|field| match field.name.strip_suffix(OPEN) {
        Some(prefix) => name.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(|rest| (field, rest)),
        None => (field.name == name).then_some((field, "")),
    })
}

fn names<F>(fields: &[Field<F>]) -> Vec<&'static str> {
    fields.iter().map(|field| field.name).collect()
}

/// Two terms that name values of one field would mean "and", which no item can satisfy: say so.
fn only_once(term: &Term, before: &[Term]) -> ApiResult<()> {
    let names = |term: &Term| !term.negated && term.op == Op::Is;
    if names(term) && before.iter().any(|other| names(other) && other.field == term.field) {
        return Err(term.wrong(format!("`{}` stands twice; separate its values by commas", term.field)));
    }
    Ok(())
}

impl Takes {
    fn test(self, term: &Term) -> ApiResult<Test> {
        match self {
            Takes::Words(words) => {
                let known = words();
                term.only_is()?;
                texts(term, |value| match known.contains(&value.text.as_str()) {
                    true => Ok(value.text.clone()),
                    false => Err(value.wrong(unknown(&value.text, &known))),
                })
            }
            Takes::Text => {
                term.only_is()?;
                texts(term, |value| Ok(value.text.clone()))
            }
            Takes::Number(least, most) => {
                let read = |value: &Value| {
                    let number = value.text.parse().ok().filter(|n| (least..=most).contains(n));
                    let text = &value.text;
                    number.ok_or_else(|| {
                        value.wrong(format!("`{text}` is not a number from {least} to {most}"))
                    })
                };
                match term.op {
                    Op::Is => {
                        term.values.iter().map(|value| read(value).map(Span::only)).collect::<ApiResult<_>>()
                    }
                    op => read(term.one()?).map(|number| vec![span(op, number)]),
                }
                .map(Test::Within)
            }
            Takes::Time => {
                if term.op == Op::Is {
                    return Err(term.wrong(format!("`{}` takes `>`, `>=`, `<` or `<=`", term.field)));
                }
                let value = term.one()?;
                let time = instant(&value.text).ok_or_else(|| {
                    value.wrong(format!(
                        "`{}` is not a time such as 2026-11-22T13:48:18Z or 2026-11-22",
                        value.text
                    ))
                })?;
                Ok(Test::Within(vec![span(term.op, time)]))
            }
        }
    }

    fn operators(self) -> &'static str {
        match self {
            Takes::Words(_) | Takes::Text => "`:`",
            Takes::Number(..) => "`:`, `>`, `>=`, `<`, `<=`",
            Takes::Time => "`>`, `>=`, `<`, `<=` with a time such as 2026-11-22 or 2026-11-22T13:48:18Z",
        }
    }
}

fn texts(term: &Term, read: impl Fn(&Value) -> ApiResult<String>) -> ApiResult<Test> {
    term.values.iter().map(read).collect::<ApiResult<_>>().map(Test::OneOf)
}

fn span(op: Op, n: i64) -> Span {
    match op {
        Op::Is => Span::only(n),
        Op::Greater => Span::from(n.saturating_add(1)),
        Op::GreaterOrEqual => Span::from(n),
        Op::Less => Span::to(n.saturating_sub(1)),
        Op::LessOrEqual => Span::to(n),
    }
}

/// Milliseconds of a time, or of the midnight (UTC) that a day begins with.
fn instant(text: &str) -> Option<i64> {
    let time: Option<Time> = text.parse().ok();
    time.or_else(|| format!("{text}T00:00:00Z").parse().ok()).map(|time| time.0.0)
}

/// What a query asks to be proposed.
pub(super) enum Wanted<F> {
    /// Fields, of which those with an open name are to be spelled out.
    Fields,
    /// Values of this field, and the words that it takes beside those that are there.
    Values(F, Vec<&'static str>),
}

/// What is asked for.
///
/// # Errors
/// `bad_parameter` for a field that the list does not have.
pub(super) fn wanted<F>(query: &ProposalsQuery, fields: &[Field<F>]) -> ApiResult<Wanted<F>> {
    if query.prefix.as_ref().is_some_and(|prefix| prefix.chars().count() > MAX_PREFIX_CHARS) {
        let detail = format!("has more than {MAX_PREFIX_CHARS} characters");
        return Err(super::page::parameter("prefix", detail));
    }
    let Some(name) = &query.field else {
        return Ok(Wanted::Fields);
    };
    let (field, rest) =
        find(fields, name).ok_or_else(|| super::page::parameter("field", unknown(name, &names(fields))))?;
    let words = match field.takes {
        Takes::Words(words) => words(),
        _ => Vec::new(),
    };
    Ok(Wanted::Values((field.is)(rest), words))
}

/// The fields of a table; `open` are the names that were seen where a field's name is open.
pub(super) fn fields<F>(query: &ProposalsQuery, fields: &[Field<F>], open: &Values) -> Proposals {
    let spelled = fields.iter().flat_map(|field| {
        let about = format!("{}; takes {}", field.about, field.takes.operators());
        let one = |value: String, count| Proposal { value, about: Some(about.clone()), count };
        match field.name.strip_suffix(OPEN) {
            Some(prefix) => open.iter().map(|(name, n)| one(format!("{prefix}{name}"), Some(*n))).collect(),
            None => vec![one(field.name.to_owned(), None)],
        }
    });
    bounded(query, spelled.collect())
}

/// Values that were seen, and `words` that could be.
pub(super) fn values(query: &ProposalsQuery, words: Vec<&'static str>, mut seen: Values) -> Proposals {
    for word in words {
        seen.entry(word.to_owned()).or_default();
    }
    let items = seen.into_iter().map(|(value, n)| Proposal { value, about: None, count: Some(n) });
    bounded(query, items.collect())
}

fn bounded(query: &ProposalsQuery, mut items: Vec<Proposal>) -> Proposals {
    let prefix = query.prefix.as_deref().unwrap_or_default();
    items.retain(|item| item.value.starts_with(prefix));
    items.sort_by(|a, b| a.value.cmp(&b.value));
    items.truncate(MAX_PROPOSALS);
    Proposals { items }
}

impl Term {
    /// A complaint about a field that the list does not have.
    fn unknown_field(&self, known: &[&str]) -> ApiError {
        // A name of an open field is near when what comes before its dot is.
        let head = self.field.split_once('.').map(|(head, _)| format!("{head}.{OPEN}"));
        let near = head.and_then(|head| propose(&head, known).filter(|near| near.ends_with(OPEN)));
        match near {
            Some(near) => self.wrong(format!("`{}` is not known; did you mean `{near}`?", self.field)),
            None => self.wrong(unknown(&self.field, known)),
        }
    }

    fn only_is(&self) -> ApiResult<()> {
        match self.op {
            Op::Is => Ok(()),
            _ => Err(self.wrong(format!("`{}` takes `:` only", self.field))),
        }
    }

    fn one(&self) -> ApiResult<&Value> {
        match self.values.as_slice() {
            [value] => Ok(value),
            _ => Err(self.wrong(format!("`{}` takes one value here", self.field))),
        }
    }
}
