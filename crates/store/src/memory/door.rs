//! What submits and reports touch beside jobs. Artifacts and bulk actions are made by rare writes: in
//! memory there are none.

use super::{Memory, check};
use crate::Error;
use crate::database::{BatchMove, DoorTables, Remembered, Role};
use crate::request::Idempotency;
use ciro_core::id::{ClassKey, Hash, JobId, JobKey, ReceiptListKey, SessionKey, TenantKey};
use ciro_core::spec::Requirement;
use ciro_core::time::Timestamp;

impl DoorTables for Memory {
    fn remembered(
        &self,
        tenant: TenantKey,
        key: &[u8; 16],
        now: Timestamp,
    ) -> Result<Option<Remembered>, Error> {
        let call = self.calls.get(&(tenant, *key)).filter(|(_, until)| *until > now);
        Ok(call.map(|(call, _)| call.clone()))
    }

    fn remember(
        &mut self,
        tenant: TenantKey,
        call: &Idempotency,
        ids: &[JobId],
        until: Timestamp,
    ) -> Result<(), Error> {
        let Idempotency { key, fingerprint } = *call;
        self.calls.put((tenant, key), (Remembered { fingerprint, ids: ids.to_vec() }, until));
        Ok(())
    }

    fn insert_class(&mut self, requirement: &Requirement) -> Result<ClassKey, Error> {
        let known = self.classes.iter().any(|(_, class)| class == requirement);
        check(!known, "classes", || format!("{requirement:?} is there"))?;
        let key = ClassKey(self.classes.last().map_or(1, |last| last.0 + 1));
        self.classes.put(key, requirement.clone());
        Ok(key)
    }

    fn is_granted(&self, _: TenantKey, _: Hash, _: Timestamp) -> Result<bool, Error> {
        Ok(false)
    }

    fn is_stored(&self, _: Hash) -> Result<bool, Error> {
        Ok(false)
    }

    fn refer(
        &mut self,
        (_, job): (TenantKey, JobKey),
        hash: Hash,
        role: Role,
        _: Timestamp,
    ) -> Result<(), Error> {
        check(false, "artifact_refs", || {
            format!("job {} names {hash} as {role:?}, which is not stored", job.0)
        })
    }

    fn insert_list(
        &mut self,
        _: SessionKey,
        _: &(Vec<Hash>, [u8; 64]),
        _: Timestamp,
    ) -> Result<ReceiptListKey, Error> {
        let key = ReceiptListKey(self.lists.last().map_or(1, |last| last.0 + 1));
        self.lists.put(key, ());
        Ok(key)
    }

    fn batch_at(&self, _: i64, _: JobKey) -> Result<Option<TenantKey>, Error> {
        Ok(None)
    }

    fn move_batch(&mut self, moved: &BatchMove) -> Result<(), Error> {
        check(false, "batches", || format!("no bulk action {}", moved.batch))
    }
}
