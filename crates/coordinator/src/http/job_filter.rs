//! What the filter of the job list may ask for.

use super::error::ApiResult;
use super::fields::{Field, Takes, field, read};
use ciro_core::job::JobState;
use ciro_store::{JobField, JobFilter};

/// Every field of jobs.
pub(super) const FIELDS: &[Field<JobField>] = &[
    field("state", Takes::Words(states), |_| JobField::State, "where the job is"),
    field("kind", Takes::Text, |_| JobField::Kind, "what it runs"),
    field("priority", Takes::Number(1, 10), |_| JobField::Priority, "1 to 10, 10 the most urgent"),
    field("tasks", Takes::Number(0, i64::MAX), |_| JobField::Tasks, "how many tasks it has"),
    field("created", Takes::Time, |_| JobField::Created, "when it was accepted"),
    field("ended", Takes::Time, |_| JobField::Ended, "when it ended"),
    field("failure", Takes::Text, |_| JobField::Failure, "the word that says why it did not complete"),
    field("label.<name>", Takes::Text, |name| JobField::Label(name.to_owned()), "your own words"),
];

fn states() -> Vec<&'static str> {
    JobState::ALL.map(JobState::name).to_vec()
}

/// The filter of a job list.
///
/// # Errors
/// `bad_filter` at the column of what cannot be.
pub(crate) fn job_filter(text: &str) -> ApiResult<JobFilter> {
    read(text, FIELDS).map(JobFilter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ciro_core::time::Timestamp;
    use ciro_store::{Condition, Span, Test};

    fn words(text: &str) -> String {
        job_filter(text).unwrap_err().into_problem("/", "r").detail.unwrap()
    }

    #[test]
    fn every_field_lands_in_its_place() {
        let text = "state:queued,running -kind:sleep priority>3 priority:2,4 label.team=\"a b\",c \
                    created>=1970-01-01T00:00:01Z ended<1970-01-02 -failure:oom tasks<=9";
        let within = |span| Test::Within(vec![span]);
        let named = |words: &[&str]| Test::OneOf(words.iter().map(|w| (*w).to_owned()).collect());
        let day = Timestamp(86_400_000).0;
        assert_eq!(
            job_filter(text).unwrap().0,
            [
                Condition::new(JobField::State, named(&["queued", "running"])),
                Condition::not(JobField::Kind, named(&["sleep"])),
                Condition::new(JobField::Priority, within(Span::from(4))),
                Condition::new(JobField::Priority, Test::Within(vec![Span::only(2), Span::only(4)])),
                Condition::new(JobField::Label("team".into()), named(&["a b", "c"])),
                Condition::new(JobField::Created, within(Span::from(1_000))),
                Condition::new(JobField::Ended, within(Span::to(day - 1))),
                Condition::not(JobField::Failure, named(&["oom"])),
                Condition::new(JobField::Tasks, within(Span::to(9))),
            ]
        );
    }

    #[test]
    fn what_cannot_be_is_answered_with_its_column_and_what_could_be() {
        for (text, answer) in [
            ("a:b stat:queued", "column 1: `a` is not known; it takes state, kind, priority, tasks, created"),
            ("kind:a stat:queued", "column 8: `stat` is not known; did you mean `state`?"),
            ("lable.x=1", "column 1: `lable.x` is not known; did you mean `label.<name>`?"),
            ("label.=x", "column 1: `label.` is not known"),
            ("state:queued,quued", "column 14: `quued` is not known; did you mean `queued`?"),
            ("state:zzzzzzzzzz", "column 7: `zzzzzzzzzz` is not known; it takes awaiting_funds, preparing"),
            ("state>queued", "column 1: `state` takes `:` only"),
            ("priority:3,11", "column 12: `11` is not a number from 1 to 10"),
            ("priority>3,4", "column 1: `priority` takes one value here"),
            ("created:2026-11-22", "column 1: `created` takes `>`, `>=`, `<` or `<=`"),
            ("created>yesterday", "column 9: `yesterday` is not a time such as"),
            ("state:queued state:running", "column 14: `state` stands twice; separate its values by commas"),
        ] {
            assert!(words(text).starts_with(answer), "{text}: {}", words(text));
        }
    }
}
