//! What the filter of the worker list may ask for, and how a worker is held against it.

use super::error::ApiResult;
use super::fields::{Field, Takes, field, read};
use ciro_core::worker::WorkerState;
use ciro_store::{Condition, Values, WorkerListed};

/// A field that workers are filtered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WorkerField {
    State,
    Name,
    Arch,
    Version,
    Profile,
    Gpu,
    Cores,
    Attempts,
    Created,
    Label(String),
}

/// Every field of workers.
pub(super) const FIELDS: &[Field<WorkerField>] = &[
    field("state", Takes::Words(states), |_| WorkerField::State, "where the worker is"),
    field("name", Takes::Text, |_| WorkerField::Name, "what its provider calls it"),
    field("arch", Takes::Text, |_| WorkerField::Arch, "architecture of its processor"),
    field("version", Takes::Text, |_| WorkerField::Version, "version of its agent"),
    field("profile", Takes::Text, |_| WorkerField::Profile, "a profile that it runs"),
    field("gpu", Takes::Text, |_| WorkerField::Gpu, "model of one of its GPUs"),
    field("cores", Takes::Number(0, i64::MAX), |_| WorkerField::Cores, "whole cores that it offers"),
    field("attempts", Takes::Number(0, i64::MAX), |_| WorkerField::Attempts, "attempts that it holds"),
    field("created", Takes::Time, |_| WorkerField::Created, "when it first registered"),
    field("label.<name>", Takes::Text, |name| WorkerField::Label(name.to_owned()), "its provider's words"),
];

fn states() -> Vec<&'static str> {
    WorkerState::ALL.into_iter().map(WorkerState::name).collect()
}

/// What a worker must be to be listed.
#[derive(Debug)]
pub(super) struct WorkerFilter(Vec<Condition<WorkerField>>);

impl WorkerFilter {
    /// # Errors
    /// `bad_filter` at the column of what cannot be.
    pub(super) fn parse(text: &str) -> ApiResult<WorkerFilter> {
        read(text, FIELDS).map(WorkerFilter)
    }

    pub(super) fn matches(&self, row: &WorkerListed) -> bool {
        self.0.iter().all(|condition| match number_of(row, &condition.field) {
            Some(number) => condition.holds_for_number(Some(number)),
            None => condition.holds_for_text(texts_of(row, &condition.field)),
        })
    }
}

fn number_of(row: &WorkerListed, field: &WorkerField) -> Option<i64> {
    match field {
        WorkerField::Cores => i64::try_from(row.worker.capabilities.offer.cpu_millis / 1_000).ok(),
        WorkerField::Attempts => Some(row.attempts.into()),
        WorkerField::Created => Some(row.worker.created_at.0),
        _ => None,
    }
}

fn texts_of<'r>(row: &'r WorkerListed, field: &WorkerField) -> Vec<&'r str> {
    let (worker, said) = (&row.worker, &row.worker.capabilities);
    match field {
        WorkerField::State => vec![worker.state.name()],
        WorkerField::Name => vec![&worker.name],
        WorkerField::Arch => vec![&said.arch],
        WorkerField::Version => vec![&said.version],
        WorkerField::Profile => said.profiles.iter().map(|profile| profile.name()).collect(),
        WorkerField::Gpu => said.offer.gpus.iter().map(|gpu| gpu.model.as_str()).collect(),
        WorkerField::Label(name) => said.labels.get(name).map(String::as_str).into_iter().collect(),
        WorkerField::Cores | WorkerField::Attempts | WorkerField::Created => Vec::new(),
    }
}

/// The values of a field that these workers have.
pub(super) fn values_of(rows: &[WorkerListed], field: &WorkerField) -> Values {
    counted(rows.iter().flat_map(|row| texts_of(row, field)))
}

/// The names of the labels that these workers have.
pub(super) fn label_names(rows: &[WorkerListed]) -> Values {
    counted(rows.iter().flat_map(|row| row.worker.capabilities.labels.keys().map(String::as_str)))
}

fn counted<'t>(texts: impl Iterator<Item = &'t str>) -> Values {
    let mut values = Values::new();
    for text in texts {
        *values.entry(text.to_owned()).or_default() += 1;
    }
    values
}
