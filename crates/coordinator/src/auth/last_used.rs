//! When each key was last used. It is noted where a token is looked up, which is every some seconds
//! while it is in use, kept in memory, and written down now and then: a write for each use would be
//! the dearest part of it.

use crate::app::App;
use crate::background::driver::Failure;
use ciro_core::id::KeyId;
use ciro_core::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Keys that are noted between two writes; further ones are noted when they come again.
pub(crate) const MAX_NOTED: usize = 16_384;
/// Keys of one write.
const PAGE: usize = 500;

/// What was noted since the last write.
#[derive(Debug, Default)]
pub struct LastUsed(Mutex<HashMap<KeyId, Timestamp>>);

impl LastUsed {
    /// A key was shown at `now`.
    pub(super) fn note(&self, id: KeyId, now: Timestamp) {
        let mut noted = self.0.lock();
        if noted.len() < MAX_NOTED || noted.contains_key(&id) {
            noted.insert(id, now);
        }
    }

    /// What is noted of a key and not written yet.
    #[must_use]
    pub fn of(&self, id: KeyId) -> Option<Timestamp> {
        self.0.lock().get(&id).copied()
    }

    /// Keys that are noted and not written yet.
    #[must_use]
    pub fn noted(&self) -> usize {
        self.0.lock().len()
    }

    /// Writes down what is noted. What could not be written stays noted.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) async fn write(&self, app: &App) -> Result<(), Failure> {
        loop {
            let page: Vec<_> = self.0.lock().iter().map(|(id, at)| (*id, *at)).take(PAGE).collect();
            if page.is_empty() {
                return Ok(());
            }
            app.store.keys_used(page.clone()).await?;
            let mut noted = self.0.lock();
            for (id, at) in page {
                if noted.get(&id) == Some(&at) {
                    noted.remove(&id);
                }
            }
        }
    }
}
