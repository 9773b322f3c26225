//! I10 by signatures: every kept list of receipts is its worker's word, and the receipt of every
//! attempt, put together from its row, stands in the list that it names.

use super::report::Findings;
use crate::error::Error;
use crate::rows::{ATTEMPT_COLUMNS, ATTEMPT_WIDTH, attempt_from_row};
use crate::sql::Snapshot;
use ciro_core::id::{ClassKey, Hash, JobId, SessionId};
use ciro_core::manifest::{report_digest, verify_signature};
use ciro_core::spec::{Profile, Requirement};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Holds lists against their signatures, and attempts against their lists.
pub(super) fn check(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    lists(c, found)?;
    attempts(c, found)
}

fn lists(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    let mut statement = c.prepare(
        "SELECT l.key, l.receipts, l.signature, s.uid, w.public_key FROM report_lists l
         LEFT JOIN sessions s ON s.key = l.session LEFT JOIN workers w ON w.key = s.worker",
    )?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        found.checked("I10", 1);
        let (key, signer): (i64, Option<[u8; 16]>) = (row.get(0)?, row.get(3)?);
        let (Some(session), Some(public_key)) = (signer, row.get::<Option<[u8; 32]>>(4)?) else {
            found.violated(
                "I10",
                format!("list {key} of receipts was signed under a session that is not known"),
            );
            continue;
        };
        let receipts = hashes(row.get::<&[u8]>(1).unwrap_or_default());
        let digest = report_digest(&SessionId(Uuid::from_bytes(session)).to_string(), &receipts);
        if !verify_signature(&public_key, &digest, &row.get(2)?) {
            found.violated("I10", format!("list {key} of receipts: the signature is not its worker's"));
        }
    }
    Ok(())
}

fn attempts(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    // Lists are let go from the oldest on: one that is missing among younger ones was lost.
    let oldest: Option<i64> = c.value("SELECT min(key) FROM report_lists", ())?;
    let profiles = profiles(c)?;
    let list = "SELECT receipts FROM report_lists WHERE key = ?1";
    let mut at: Option<(i64, Option<Vec<Hash>>)> = None;
    let mut statement = c.prepare(&format!(
        "SELECT {ATTEMPT_COLUMNS}, (SELECT uid FROM jobs WHERE key = attempts.job),
                (SELECT class FROM jobs WHERE key = attempts.job)
         FROM attempts WHERE receipt_list IS NOT NULL ORDER BY job, no, fence"
    ))?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        // A row that cannot be read, or of no job, is found elsewhere.
        let Ok(attempt) = attempt_from_row(&row) else { continue };
        let Some(uid) = row.get::<Option<[u8; 16]>>(ATTEMPT_WIDTH)? else { continue };
        let Some(profile) = profiles.get(&ClassKey(row.get(ATTEMPT_WIDTH + 1)?)) else { continue };
        let Some(key) = attempt.signed.as_ref().map(|signed| signed.list.0) else { continue };
        found.checked("I10", 1);
        if at.as_ref().is_none_or(|(kept, _)| *kept != key) {
            let receipts = c.row(list, [key], |r| r.get(0).map(hashes))?;
            at = Some((key, receipts));
        }
        let job = JobId(Uuid::from_bytes(uid));
        let name = || format!("{job}: attempt {}/{}", attempt.key.task.no, attempt.key.fence);
        let Some(receipt) = attempt.receipt(job, *profile).map(|receipt| receipt.hash()) else {
            found.violated("I10", format!("{} names a receipt and is {}", name(), attempt.state.name()));
            continue;
        };
        match at.as_ref().and_then(|(_, receipts)| receipts.as_ref()) {
            Some(receipts) if receipts.contains(&receipt) => {}
            Some(_) => found
                .violated("I10", format!("{} hashes to {receipt}, which list {key} does not have", name())),
            None if oldest.is_none_or(|oldest| key < oldest) => {}
            None => found.violated("I10", format!("{}: list {key} of its receipt is missing", name())),
        }
    }
    Ok(())
}

fn profiles(c: &Snapshot<'_>) -> Result<BTreeMap<ClassKey, Profile>, Error> {
    let mut statement = c.prepare("SELECT key, requirement FROM classes")?;
    let mut rows = statement.query(())?;
    let mut profiles = BTreeMap::new();
    while let Some(row) = rows.next()? {
        if let Ok(requirement) = serde_json::from_str::<Requirement>(row.get::<&str>(1).unwrap_or_default()) {
            profiles.insert(ClassKey(row.get(0)?), requirement.profile);
        }
    }
    Ok(profiles)
}

/// The hashes that a list holds end to end.
fn hashes(blob: &[u8]) -> Vec<Hash> {
    blob.as_chunks::<32>().0.iter().map(|hash| Hash(*hash)).collect()
}
