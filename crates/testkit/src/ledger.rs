//! What a client was promised, kept where no fault of the system under test reaches it: one line for
//! each acknowledged call, on disk before the client goes on.

use anyhow::{Context, Result};
use ciro_core::id::JobId;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// One acknowledged call.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The jobs that its answer named.
    pub jobs: Vec<JobId>,
    /// The key that it was made with.
    pub key: Option<String>,
}

/// Every acknowledged call.
#[derive(Debug)]
pub struct Ledger {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    file: File,
    entries: Vec<Entry>,
    hears: bool,
}

impl Ledger {
    /// An empty one in a new file.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> Result<Ledger> {
        let file = File::create_new(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Ledger { kept: Mutex::new(Kept { file, entries: Vec::new(), hears: true }) })
    }

    /// Remembers an acknowledgement; it is on disk when this returns. One that comes while the
    /// ledger does not hear is nobody's promise.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn acknowledge(&self, jobs: &[JobId], key: Option<&str>) -> Result<()> {
        let mut line = key.unwrap_or("-").to_owned();
        for job in jobs {
            write!(line, " {job}")?;
        }
        line.push('\n');
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.hears {
            return Ok(());
        }
        kept.file.write_all(line.as_bytes())?;
        kept.file.sync_data()?;
        kept.entries.push(Entry { jobs: jobs.to_vec(), key: key.map(str::to_owned) });
        Ok(())
    }

    /// Whether acknowledgements count from here on: a machine without power answers nobody, so what
    /// a program says after its disk began to lose things was never heard.
    pub fn hear(&self, hears: bool) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).hears = hears;
    }

    /// Every acknowledged call.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).entries.clone()
    }

    /// Every acknowledged job.
    #[must_use]
    pub fn jobs(&self) -> BTreeSet<JobId> {
        self.entries().into_iter().flat_map(|entry| entry.jobs).collect()
    }
}
