//! Labels of a job that are changed after it was submitted, and the version by which a caller says
//! which job it means to change.

use crate::app::App;
use crate::catalogue::{MAX_LABELS, check_labels};
use crate::http::error::{ApiError, ApiResult};
use crate::http::problems::Code;
use ciro_api::job::JobPatch;
use ciro_api::problem::FieldError;
use ciro_core::id::{JobId, TenantKey};
use ciro_store::{Error as StoreError, JobVersion, LabelChange, Labelled};

/// Changes labels; those that are not named stay.
///
/// # Errors
/// Every wrong label; `job_not_found`, `gone` for an archived job, `precondition_failed`.
pub async fn patch(
    app: &App,
    tenant: TenantKey,
    id: JobId,
    patch: JobPatch,
    expected: Option<Vec<JobVersion>>,
) -> ApiResult<()> {
    let set = patch.labels.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
    let wrong = check_labels(&set.collect());
    if !wrong.is_empty() {
        return Err(ApiError::invalid(wrong));
    }
    let change = LabelChange { labels: patch.labels, expected, most: MAX_LABELS };
    match app.store.job_label(tenant, id, change).await {
        Ok(Labelled::Done) => Ok(()),
        Ok(Labelled::Moved) => Err(ApiError::new(Code::PreconditionFailed)),
        Ok(Labelled::TooMany(count)) => {
            let detail = format!("the job would have {count} labels, at most {MAX_LABELS}");
            Err(ApiError::invalid(vec![FieldError {
                pointer: "/labels".into(),
                detail,
                code: "range".into(),
            }]))
        }
        Err(StoreError::NotFound) => match app.store.job_archived(tenant, id).await? {
            Some(_) => {
                Err(ApiError::because(Code::Gone, "the job is in the archive: its labels stay as they are"))
            }
            None => Err(ApiError::new(Code::JobNotFound)),
        },
        Err(error) => Err(error.into()),
    }
}

/// The version as an entity tag.
#[must_use]
pub fn tag(version: JobVersion) -> String {
    format!("\"{}-{:016x}\"", version.rev, version.labels)
}

/// The versions that an `If-Match` names; `None` for `*`. What is no tag of a job names no version, and a
/// weak one never matches.
#[must_use]
pub fn expected(header: &str) -> Option<Vec<JobVersion>> {
    if header.trim() == "*" {
        return None;
    }
    Some(header.split(',').filter_map(|tag| version(tag.trim())).collect())
}

fn version(tag: &str) -> Option<JobVersion> {
    let (rev, labels) = tag.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
    Some(JobVersion { rev: rev.parse().ok()?, labels: u64::from_str_radix(labels, 16).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_they_are_written() {
        let version = JobVersion::of(7, Some("{\"a\":\"b\"}"));
        assert_ne!(version, JobVersion::of(7, None));
        assert_eq!(expected(&tag(version)), Some(vec![version]));
        assert_eq!(expected(&format!("\"x\", {}", tag(version))), Some(vec![version]));
        assert_eq!(expected(&format!("W/{}", tag(version))), Some(vec![]));
        assert_eq!((expected("*"), expected("nonsense")), (None, Some(vec![])));
    }
}
