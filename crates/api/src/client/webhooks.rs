//! Webhooks, as those call them whom the coordinator is to call.

use super::jobs::keyed;
use super::{Client, Error};
use crate::page::{Page, PageQuery};
use crate::webhook::{
    CreatedWebhook, Delivery, DeliveryDetail, NewWebhook, RotatedSecret, Webhook, WebhookChange,
};
use ciro_core::id::{DeliveryId, WebhookId};
use reqwest::Method;

impl Client {
    /// Makes a webhook. Its secret is in this answer and nowhere else: a repeated call with the same
    /// `idempotency_key` makes no second one and is answered with `secret_already_shown`.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn webhook_create(
        &self,
        new: &NewWebhook,
        idempotency_key: Option<&str>,
    ) -> Result<CreatedWebhook, Error> {
        let request = self.request(Method::POST, "/v1/webhooks").json(new);
        self.decoded(keyed(request, idempotency_key).send().await).await
    }

    /// A page of webhooks.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn webhook_list(&self, page: &PageQuery) -> Result<Page<Webhook>, Error> {
        self.decoded(self.request(Method::GET, "/v1/webhooks").query(page).send().await).await
    }

    /// A webhook.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn webhook_get(&self, id: WebhookId) -> Result<Webhook, Error> {
        self.get(&format!("/v1/webhooks/{id}")).await
    }

    /// Changes a webhook, and gives it as it then is.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn webhook_change(&self, id: WebhookId, change: &WebhookChange) -> Result<Webhook, Error> {
        self.decoded(self.request(Method::PATCH, &format!("/v1/webhooks/{id}")).json(change).send().await)
            .await
    }

    /// Removes a webhook with what waits for it.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn webhook_delete(&self, id: WebhookId) -> Result<(), Error> {
        self.succeeded(self.request(Method::DELETE, &format!("/v1/webhooks/{id}")).send().await)
            .await
            .map(drop)
    }

    /// Sends a message that is about nothing, and gives its delivery, which is then to be looked at.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn webhook_test(
        &self,
        id: WebhookId,
        idempotency_key: Option<&str>,
    ) -> Result<Delivery, Error> {
        let request = self.request(Method::POST, &format!("/v1/webhooks/{id}/test"));
        self.decoded(keyed(request, idempotency_key).send().await).await
    }

    /// Gives a webhook another secret, shown by this answer and nothing else.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn webhook_rotate(
        &self,
        id: WebhookId,
        idempotency_key: Option<&str>,
    ) -> Result<RotatedSecret, Error> {
        let request = self.request(Method::POST, &format!("/v1/webhooks/{id}/rotate-secret"));
        self.decoded(keyed(request, idempotency_key).send().await).await
    }

    /// A page of a webhook's deliveries, the newest first.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn delivery_list(&self, id: WebhookId, page: &PageQuery) -> Result<Page<Delivery>, Error> {
        let path = format!("/v1/webhooks/{id}/deliveries");
        self.decoded(self.request(Method::GET, &path).query(page).send().await).await
    }

    /// A delivery, with its body and its attempts.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn delivery_get(&self, id: WebhookId, delivery: DeliveryId) -> Result<DeliveryDetail, Error> {
        self.get(&format!("/v1/webhooks/{id}/deliveries/{delivery}")).await
    }

    /// Has a delivery sent again, now.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn delivery_redeliver(&self, id: WebhookId, delivery: DeliveryId) -> Result<Delivery, Error> {
        let path = format!("/v1/webhooks/{id}/deliveries/{delivery}/redeliver");
        self.decoded(self.request(Method::POST, &path).send().await).await
    }
}
