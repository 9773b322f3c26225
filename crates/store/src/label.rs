//! Labels of a job: notes beside it that are set when it is submitted and can be changed later, also
//! after its end. They are no part of what the job is: its spec, its version and its events stay.

use crate::audit::Noted;
use crate::error::Error;
use crate::read::labels_of;
use crate::sql::params;
use crate::writer::Store;
use ciro_core::id::{Hash, JobId, TenantKey};
use std::collections::BTreeMap;

/// What a job looks like to whoever wants to change it: moves with its row and with its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobVersion {
    /// Version of the row.
    pub rev: u32,
    /// Of the labels' text.
    pub labels: u64,
}

impl JobVersion {
    /// The version of a row with these labels.
    #[must_use]
    pub fn of(rev: u32, labels: Option<&str>) -> JobVersion {
        let Hash(hash) = Hash::of(labels.unwrap_or_default().as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = hash;
        JobVersion { rev, labels: u64::from_be_bytes([a, b, c, d, e, f, g, h]) }
    }
}

/// A change of labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelChange {
    /// New values; `None` takes a label away. Labels that are not named stay.
    pub labels: BTreeMap<String, Option<String>>,
    /// The version that it is made for, where it is made for one.
    pub expected: Option<Vec<JobVersion>>,
    /// The most labels that a job may have.
    pub most: usize,
}

/// What became of a change of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labelled {
    /// The labels are as asked for.
    Done,
    /// The job is not as the change expects it; nothing was changed.
    Moved,
    /// It would have this many labels, which is too many; nothing was changed.
    TooMany(usize),
}

impl Store {
    /// Changes labels of a job, ended or not.
    ///
    /// # Errors
    /// [`Error::NotFound`] when this tenant has no such job, or it is in the archive.
    pub async fn job_label(
        &self,
        tenant: TenantKey,
        id: JobId,
        change: LabelChange,
    ) -> Result<Labelled, Error> {
        self.rare(move |c| {
            c.note(Noted::Unchanged);
            let sql = "SELECT rev, labels FROM jobs WHERE uid = ?1 AND tenant = ?2";
            let found = c.row(sql, (id.0.as_bytes(), tenant.0), |r| {
                Ok((r.get::<u32>(0)?, r.get::<Option<String>>(1)?))
            })?;
            let (rev, before) = found.ok_or(Error::NotFound)?;
            let version = JobVersion::of(rev, before.as_deref());
            if change.expected.as_ref().is_some_and(|expected| !expected.contains(&version)) {
                return Ok(Labelled::Moved);
            }
            let mut labels = labels_of(before.as_deref());
            for (name, value) in change.labels.clone() {
                match value {
                    Some(value) => labels.insert(name, value),
                    None => labels.remove(&name),
                };
            }
            if labels.len() > change.most {
                return Ok(Labelled::TooMany(labels.len()));
            }
            let text = serde_json::to_string(&labels)
                .map_err(|error| Error::Malformed { table: "jobs", what: error.to_string() })?;
            let after = Some(text).filter(|_| !labels.is_empty());
            if after != before {
                let sql = "UPDATE jobs SET labels = ?3 WHERE uid = ?1 AND tenant = ?2";
                c.run(sql, params![id.0.as_bytes(), tenant.0, after])?;
            }
            Ok(Labelled::Done)
        })
        .await
    }
}
