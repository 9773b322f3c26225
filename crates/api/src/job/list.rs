//! How lists of jobs are asked for, and what of a job can be changed.

use crate::page::PageQuery;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// Which jobs, in which order, how many, and from where.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobListQuery {
    /// Items in one answer, 1 to 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before; carries filter and order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 1024)]
    pub cursor: Option<String>,
    /// `field:value field>n label.k=v -negated`, separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 512, example = "state:queued,running kind:wordcount")]
    pub filter: Option<String>,
    /// What comes first; `-` for the greatest. Jobs of one priority or state come newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub sort: Option<JobSort>,
}

impl JobListQuery {
    /// What every list takes.
    #[must_use]
    pub fn page(self) -> PageQuery {
        PageQuery { limit: self.limit, cursor: self.cursor, filter: self.filter }
    }
}

/// What is to be changed of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobPatch {
    /// New values of labels; `null` takes one away. Labels that are not named stay.
    pub labels: BTreeMap<String, Option<String>>,
}

/// The order of a list of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub enum JobSort {
    /// The oldest first.
    #[serde(rename = "created")]
    Created,
    /// The newest first.
    #[default]
    #[serde(rename = "-created")]
    CreatedDown,
    /// The least urgent first.
    #[serde(rename = "priority")]
    Priority,
    /// The most urgent first.
    #[serde(rename = "-priority")]
    PriorityDown,
    /// In the order of a job's life: those that wait first.
    #[serde(rename = "state")]
    State,
    /// Ended ones first.
    #[serde(rename = "-state")]
    StateDown,
}

impl JobSort {
    /// Every order.
    pub const ALL: [JobSort; 6] = [
        JobSort::Created,
        JobSort::CreatedDown,
        JobSort::Priority,
        JobSort::PriorityDown,
        JobSort::State,
        JobSort::StateDown,
    ];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            JobSort::Created => "created",
            JobSort::CreatedDown => "-created",
            JobSort::Priority => "priority",
            JobSort::PriorityDown => "-priority",
            JobSort::State => "state",
            JobSort::StateDown => "-state",
        }
    }

    /// The order that is written so.
    #[must_use]
    pub fn named(name: &str) -> Option<JobSort> {
        JobSort::ALL.into_iter().find(|sort| sort.name() == name)
    }
}
