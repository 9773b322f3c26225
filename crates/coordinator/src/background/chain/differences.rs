//! Where books and contract differ, as far as this coordinator knows. A difference stays until what it is about
//! was looked at again and agrees: that it was not looked at this time says nothing.
//!
//! Each new one, and each that is gone, is an entry of the audit log, which whoever leads writes. From there a
//! coordinator knows at its start what differed before, so that this is looked at first, and nothing is written
//! twice.

use crate::app::App;
use crate::chain::shown::{felt, hex_of};
use ciro_core::id::JobId;
use ciro_store::{AuditEntry, AuditQuery, Error};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Differences that are kept; what is beyond is found again once others are gone.
const MOST: usize = 500;
/// Differences that are told one by one.
const MAX_TOLD: usize = 100;
/// The newest entries of the log that are looked at.
const LOGGED: u32 = 200;
/// What the log calls a new difference, and one that is gone; both begin with [`WORD`].
const DIFFER: &str = "books.differ";
const AGREE: &str = "books.agree";
const WORD: &str = "books";

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    /// What is locked in all.
    Locked,
    /// What the contract has, and what it owes.
    Balance,
    /// One escrow.
    Escrow([u8; 32]),
    /// What a job was settled with.
    Job(JobId),
}

impl About {
    /// As the log names it.
    fn name(self) -> String {
        match self {
            About::Locked => "locked".to_owned(),
            About::Balance => "balance".to_owned(),
            About::Escrow(id) => hex_of(&id),
            About::Job(job) => job.to_string(),
        }
    }

    fn named(name: &str) -> Option<About> {
        match name {
            "locked" => Some(About::Locked),
            "balance" => Some(About::Balance),
            other => felt(other)
                .map(|id| About::Escrow(id.to_bytes_be()))
                .or_else(|| other.parse().ok().map(About::Job)),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Differences {
    known: BTreeMap<About, String>,
    /// Those that the log has.
    logged: BTreeSet<About>,
}

impl Differences {
    /// Those that the log says were there last.
    pub(super) async fn of_log(app: &App) -> Result<Differences, Error> {
        let query = AuditQuery { actions: vec![WORD.to_owned()], ..AuditQuery::default() };
        let rows = app.store.audit_list(app.auth.tenant(), query, LOGGED).await?;
        let (mut all, mut seen) = (Differences::default(), BTreeSet::new());
        // The newest first: what stands there last of something is how it was.
        for row in rows {
            let Some(about) = About::named(&row.object).filter(|about| seen.insert(*about)) else { continue };
            if row.action == DIFFER {
                all.known.insert(about, format!("{} differed when it was last looked at", row.object));
                all.logged.insert(about);
            }
        }
        Ok(all)
    }

    /// Notes how it is with something that was looked at.
    pub(super) fn note(&mut self, about: About, differs: Option<String>) {
        match differs {
            None => drop(self.known.remove(&about)),
            Some(words) if self.known.len() < MOST || self.known.contains_key(&about) => {
                self.known.insert(about, words);
            }
            Some(_) => {}
        }
    }

    /// The escrows that differ.
    pub(super) fn escrows(&self) -> Vec<[u8; 32]> {
        let escrow = |about: &About| if let About::Escrow(id) = about { Some(*id) } else { None };
        self.known.keys().filter_map(escrow).collect()
    }

    /// The jobs that differ.
    pub(super) fn jobs(&self) -> Vec<JobId> {
        let job = |about: &About| if let About::Job(job) = about { Some(*job) } else { None };
        self.known.keys().filter_map(job).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.known.len() as u64
    }

    /// They, for people; at most so many as are told one by one.
    pub(super) fn told(&self) -> Vec<String> {
        self.known.values().take(MAX_TOLD).cloned().collect()
    }

    /// Writes down what is new and what is gone; what cannot be written is tried again the next time.
    pub(super) async fn log(&mut self, app: &App, block: u64) {
        let is: BTreeSet<About> = self.known.keys().copied().collect();
        if app.store.leads().borrow().is_none() {
            self.logged = is;
            return;
        }
        let entry = |action, about: About| AuditEntry::system(app.auth.tenant(), action, about.name());
        for about in is.symmetric_difference(&self.logged.clone()) {
            let entry = match self.known.get(about) {
                Some(words) => entry(DIFFER, *about).after(json!({ "block": block, "difference": words })),
                None => entry(AGREE, *about).after(json!({ "block": block })),
            };
            if let Err(error) = app.store.audit(entry).await {
                tracing::warn!(%error, about = about.name(), "the audit log could not be written");
                return;
            }
            if self.known.contains_key(about) {
                self.logged.insert(*about);
            } else {
                self.logged.remove(about);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn what_differs_is_named_and_read_again() {
        let mut id = [7; 32];
        id[0] = 0;
        for about in [About::Locked, About::Balance, About::Escrow(id), About::Job(JobId(Uuid::from_u128(9)))]
        {
            assert_eq!(About::named(&about.name()), Some(about));
        }
        assert_eq!(About::named("somebody's"), None);
    }

    #[test]
    fn a_difference_stays_until_it_was_looked_at_and_there_are_never_too_many() {
        let mut all = Differences::default();
        let about = |n: usize| About::Job(JobId(Uuid::from_u128(n as u128)));
        (0..MOST + 9).for_each(|n| all.note(about(n), Some(n.to_string())));
        assert_eq!((all.count(), all.told().len(), all.jobs().len()), (MOST as u64, MAX_TOLD, MOST));
        all.note(about(3), Some("still".to_owned()));
        all.note(about(4), None);
        assert_eq!((all.count(), all.told()[3].as_str()), (MOST as u64 - 1, "still"));
        assert!(all.escrows().is_empty());
    }
}
