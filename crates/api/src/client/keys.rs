//! API keys, as an administrator calls them.

use super::jobs::keyed;
use super::{Client, Error};
use crate::key::{CreatedKey, Key, NewKey, RotateKey, RotatedKey};
use crate::page::{Page, PageQuery};
use ciro_core::id::KeyId;
use reqwest::Method;

impl Client {
    /// Makes a key. Its secret is in this answer and nowhere else: a repeated call with the same
    /// `idempotency_key` makes no second key and is answered with `secret_already_shown`.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn key_create(&self, key: &NewKey, idempotency_key: Option<&str>) -> Result<CreatedKey, Error> {
        let request = self.request(Method::POST, "/v1/api-keys").json(key);
        self.decoded(keyed(request, idempotency_key).send().await).await
    }

    /// A page of keys.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn key_list(&self, page: &PageQuery) -> Result<Page<Key>, Error> {
        self.decoded(self.request(Method::GET, "/v1/api-keys").query(page).send().await).await
    }

    /// Makes a key that takes the place of another one, which goes on for a while. A repeated call with
    /// the same `idempotency_key` makes no second one and is answered with `secret_already_shown`.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn key_rotate(
        &self,
        id: KeyId,
        how: &RotateKey,
        idempotency_key: Option<&str>,
    ) -> Result<RotatedKey, Error> {
        let request = self.request(Method::POST, &format!("/v1/api-keys/{id}/rotate")).json(how);
        self.decoded(keyed(request, idempotency_key).send().await).await
    }

    /// Ends a key; it is refused from now on.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn key_revoke(&self, id: KeyId) -> Result<(), Error> {
        let path = format!("/v1/api-keys/{id}");
        self.succeeded(self.request(Method::DELETE, &path).send().await).await.map(drop)
    }
}
