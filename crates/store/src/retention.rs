//! What is let go, page by page: ended jobs into the archive, old events, and records that have
//! served their time. Each page is one bounded write, so that the writer is never held for long;
//! the caller goes on while pages come back full.

use crate::error::Error;
use crate::read::{row, rows};
use crate::rows::{ATTEMPT_COLUMNS, JOB_COLUMNS, JOB_WIDTH, attempt_from_row, job_from_row};
use crate::writer::Store;
use ciro_core::attempt::Attempt;
use ciro_core::id::JobKey;
use ciro_core::job::Job;
use ciro_core::task::TaskState;
use ciro_core::time::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;
use std::collections::BTreeMap;

/// The most rows that one page may delete.
pub const MAX_PAGE_ROWS: u32 = 500;

/// Attempts that an archived job's document lists; the rest is counted.
const MAX_ARCHIVED_ATTEMPTS: u32 = 100;

/// How long each thing is kept. Ages in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Ended jobs, before they are archived.
    pub job_age_ms: u64,
    /// Ended jobs, however young, beyond that many in all.
    pub max_jobs: u64,
    /// Events.
    pub event_age_ms: u64,
    /// Events, however young, beyond that many.
    pub max_events: u64,
    /// Late results.
    pub evidence_age_ms: u64,
    /// Signed report lists.
    pub report_age_ms: u64,
    /// Archived jobs.
    pub archive_age_ms: u64,
}

const DAY_MS: u64 = 24 * 3_600_000;

impl Default for RetentionPolicy {
    fn default() -> Self {
        RetentionPolicy {
            job_age_ms: 30 * DAY_MS,
            max_jobs: 1_000_000,
            event_age_ms: 7 * DAY_MS,
            max_events: 10_000_000,
            evidence_age_ms: 30 * DAY_MS,
            report_age_ms: 30 * DAY_MS,
            archive_age_ms: 365 * DAY_MS,
        }
    }
}

/// What one page let go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    /// Jobs moved to the archive.
    pub jobs: u64,
    /// Rows of tasks and attempts of large jobs on their way there.
    pub job_parts: u64,
    /// Events.
    pub events: u64,
    /// Idempotency records.
    pub idempotency: u64,
    /// Late results.
    pub evidence: u64,
    /// Report lists.
    pub reports: u64,
    /// References to artifacts whose time is over.
    pub references: u64,
    /// Grants of artifacts whose time is over.
    pub grants: u64,
    /// Archived jobs.
    pub archived: u64,
}
