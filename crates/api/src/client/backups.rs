//! Backups, as an administrator calls them.

use super::jobs::keyed;
use super::{Client, Error};
use crate::backup::{Backup, NewBackup};
use crate::page::{Page, PageQuery};
use ciro_core::id::BackupId;
use reqwest::Method;

impl Client {
    /// Begins a backup; [`Client::backup_get`] says how far it is. Repeated with the same
    /// `idempotency_key` it names the first one.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn backup_create(
        &self,
        new: &NewBackup,
        idempotency_key: Option<&str>,
    ) -> Result<Backup, Error> {
        let request = self.request(Method::POST, "/v1/admin/backups").json(new);
        self.decoded(keyed(request, idempotency_key).send().await).await
    }

    /// A page of backups, the newest first.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn backup_list(&self, page: &PageQuery) -> Result<Page<Backup>, Error> {
        self.decoded(self.request(Method::GET, "/v1/admin/backups").query(page).send().await).await
    }

    /// A backup.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn backup_get(&self, id: BackupId) -> Result<Backup, Error> {
        self.get(&format!("/v1/admin/backups/{id}")).await
    }

    /// Begins to check a backup; [`Client::backup_get`] says how far it is and what was found.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn backup_verify(&self, id: BackupId) -> Result<Backup, Error> {
        let path = format!("/v1/admin/backups/{id}/verify");
        self.decoded(self.request(Method::POST, &path).send().await).await
    }
}
