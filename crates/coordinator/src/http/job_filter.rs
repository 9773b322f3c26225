//! What the filter of the job list may ask for.

use super::error::ApiResult;
use super::filter::{Op, Term, parse};
use ciro_api::time::Time;
use ciro_core::job::JobState;
use ciro_core::time::Timestamp;
use ciro_store::JobFilter;

const FIELDS: [&str; 5] = ["state", "kind", "priority", "created", "label.<name>"];

/// The filter of a job list.
///
/// # Errors
/// `bad_filter` at the column of the term that cannot be.
pub(super) fn job_filter(text: &str) -> ApiResult<JobFilter> {
    let mut filter = JobFilter::default();
    for term in parse(text)? {
        match term.field.as_str() {
            "state" => {
                let states = term.values_as("a state of jobs", state_named)?;
                if term.negated {
                    filter.not_states.extend(states)
                } else {
                    only(&term, &mut filter.states, states)?
                }
            }
            "kind" => {
                let kinds = term.values_as("a kind", |kind| Some(kind.to_owned()))?;
                if term.negated {
                    filter.not_kinds.extend(kinds)
                } else {
                    only(&term, &mut filter.kinds, kinds)?
                }
            }
            "priority" => priority(&term, &mut filter)?,
            "created" => created(&term, &mut filter)?,
            field => match field.strip_prefix("label.") {
                Some(name) if !name.is_empty() => {
                    if term.op != Op::Is {
                        return Err(term.wrong("a label takes `=` only"));
                    }
                    let pair = (name.to_owned(), term.value_as("a value", |value| Some(value.to_owned()))?);
                    if term.negated { filter.not_labels.push(pair) } else { filter.labels.push(pair) }
                }
                _ => return Err(term.unknown_field(&FIELDS)),
            },
        }
    }
    Ok(filter)
}

fn state_named(name: &str) -> Option<JobState> {
    JobState::ALL.into_iter().find(|state| state.name() == name)
}

/// Two terms of one field would mean "and", which no job can satisfy: say so.
fn only<T>(term: &Term, place: &mut Vec<T>, values: Vec<T>) -> ApiResult<()> {
    if !place.is_empty() {
        return Err(term.wrong(format!("`{}` stands twice; separate its values by commas", term.field)));
    }
    *place = values;
    Ok(())
}

fn priority(term: &Term, filter: &mut JobFilter) -> ApiResult<()> {
    let number = |text: &str| text.parse::<u8>().ok().filter(|n| (1..=10).contains(n));
    let of = "a priority from 1 to 10";
    if term.negated {
        filter.not_priorities.extend(term.values_as(of, number)?);
        return Ok(());
    }
    let value = term.value_as(of, number)?;
    let (least, most) = match term.op {
        Op::Is => (Some(value), Some(value)),
        Op::Greater => (Some(value + 1), None),
        Op::GreaterOrEqual => (Some(value), None),
        Op::Less => (None, Some(value - 1)),
        Op::LessOrEqual => (None, Some(value)),
    };
    filter.priority_min = filter.priority_min.max(least);
    filter.priority_max = match (filter.priority_max, most) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    Ok(())
}

fn created(term: &Term, filter: &mut JobFilter) -> ApiResult<()> {
    let time = |text: &str| text.parse::<Time>().ok().map(|time| time.0);
    let value = term.value_as("an RFC 3339 time such as 2026-11-22T13:48:18Z", time)?;
    let after = Timestamp(value.0.saturating_add(1));
    match (term.negated, term.op) {
        (false, Op::Greater) => filter.created_from = filter.created_from.max(Some(after)),
        (false, Op::GreaterOrEqual) => filter.created_from = filter.created_from.max(Some(value)),
        (false, Op::Less) => before(filter, value),
        (false, Op::LessOrEqual) => before(filter, after),
        _ => return Err(term.wrong("`created` takes `>`, `>=`, `<` or `<=`, and no `-`")),
    }
    Ok(())
}

fn before(filter: &mut JobFilter, value: Timestamp) {
    filter.created_before = Some(filter.created_before.map_or(value, |known| known.min(value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_lands_in_its_place_and_misspelt_ones_are_answered() {
        let filter = job_filter(
            "state:queued,running -kind:sleep priority>3 priority<=8 label.team=a created>=1970-01-01T00:00:01Z",
        );
        let filter = filter.unwrap();
        assert_eq!(filter.states, [JobState::Queued, JobState::Running]);
        assert_eq!(
            (filter.not_kinds, filter.labels),
            (vec!["sleep".to_owned()], vec![("team".to_owned(), "a".to_owned())])
        );
        assert_eq!((filter.priority_min, filter.priority_max), (Some(4), Some(8)));
        assert_eq!(filter.created_from, Some(Timestamp(1_000)));
        for bad in [
            "stat:queued",
            "state:quued",
            "priority:11",
            "state:queued state:running",
            "label.=x",
            "created:1",
            "state>a",
        ] {
            assert!(job_filter(bad).is_err(), "{bad}");
        }
        let words = job_filter("a:b stat:queued").unwrap_err().into_problem("/", "r").detail;
        assert!(words.is_some_and(|w| w.starts_with("column 1:")));
        let words = job_filter("kind:a stat:queued").unwrap_err().into_problem("/", "r").detail.unwrap();
        assert_eq!(words, "column 8: `stat` is not known; did you mean `state`?");
    }
}
