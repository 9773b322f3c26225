//! The orders of the job list, and how a cursor says where a walk in one of them is.

use super::error::{ApiError, ApiResult};
use super::problems::Code;
use ciro_api::job::JobSort;
use ciro_core::id::JobKey;
use ciro_store::{JobMark, JobOrder, SortKey};

/// Between the parts of a mark; no order and no number has it.
const BETWEEN: char = '~';

/// The store's order.
pub(super) fn order(sort: JobSort) -> JobOrder {
    let by = match sort {
        JobSort::Created | JobSort::CreatedDown => SortKey::Created,
        JobSort::Priority | JobSort::PriorityDown => SortKey::Priority,
        JobSort::State | JobSort::StateDown => SortKey::State,
    };
    JobOrder { by, descending: sort.name().starts_with('-') }
}

/// The order that is asked for, and where a walk in it goes on.
///
/// # Errors
/// `bad_cursor` for a cursor of another order.
pub(super) fn resume(asked: Option<JobSort>, after: Option<&str>) -> ApiResult<(JobSort, Option<JobMark>)> {
    let Some(after) = after else {
        return Ok((asked.unwrap_or_default(), None));
    };
    let (sort, mark) = read(after).ok_or_else(|| ApiError::new(Code::BadCursor))?;
    if asked.is_some_and(|asked| asked != sort) {
        let detail = format!("the cursor belongs to the order `{}`", sort.name());
        return Err(ApiError::because(Code::BadCursor, detail));
    }
    Ok((sort, Some(mark)))
}

/// What a cursor says of where a page ended.
pub(super) fn mark(sort: JobSort, mark: JobMark) -> String {
    let key = mark.key.map_or(String::new(), |key| key.0.to_string());
    format!("{}{BETWEEN}{}{BETWEEN}{key}", sort.name(), mark.lane)
}

fn read(text: &str) -> Option<(JobSort, JobMark)> {
    let mut parts = text.split(BETWEEN);
    let (sort, lane, key) = (parts.next()?, parts.next()?, parts.next()?);
    let key = if key.is_empty() { None } else { Some(JobKey(key.parse().ok()?)) };
    Some((JobSort::named(sort)?, JobMark { lane: lane.parse().ok()?, key }))
}
