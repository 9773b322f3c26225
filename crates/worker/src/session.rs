//! Opening a session: the worker proves its key over a nonce of the coordinator and says what it
//! offers and what it still holds. The join token goes along only where the key alone was refused.

use crate::config::Config;
use crate::error::Error;
use crate::executor::Executor;
use crate::hardware::Hardware;
use crate::identity::Identity;
use ciro_api::PROTOCOL;
use ciro_api::client::{self, Client};
use ciro_api::work::{OpenSession, Session};
use ciro_core::id::AttemptId;
use ciro_core::resources::Offer;
use ciro_core::spec::Profile;
use ciro_core::worker::Capabilities;
use secrecy::ExposeSecret;

const JOIN_HINT: &str =
    "; it needs a join token of this coordinator (--token or CIRO_JOIN_TOKEN) that is still valid";
const VERSION_HINT: &str = "; install a worker of the coordinator's version";

/// Profiles that the executor always runs.
const PROFILES: [Profile; 2] = [Profile::Wasm1, Profile::Wasm1Arch];

/// What a worker offers under these settings on this machine.
pub(crate) fn capabilities(config: &Config, hardware: &Hardware, executor: &Executor) -> Capabilities {
    let found = hardware.offer();
    let native = executor.readiness().is_enough().then_some(Profile::Native);
    Capabilities {
        offer: Offer {
            cpu_millis: config.cpu_millis.unwrap_or(found.cpu_millis),
            memory_bytes: config.memory_bytes.unwrap_or(found.memory_bytes),
            disk_bytes: config.disk_bytes.unwrap_or(found.disk_bytes),
            ..found
        },
        profiles: PROFILES.into_iter().chain(native).collect(),
        sandbox: executor.layers().into_iter().map(str::to_owned).collect(),
        arch: hardware.arch.to_owned(),
        labels: config.labels.clone(),
        price: config.price,
        payout: config.payout,
        paid_only: config.paid_only,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        prefetch: config.prefetch,
        max_by_kind: config.max_by_kind.clone(),
    }
}

/// Everything that an opening says but the attempts.
#[derive(Debug)]
pub(crate) struct Introduction {
    pub(crate) identity: Identity,
    pub(crate) capabilities: Capabilities,
    pub(crate) config: Config,
}

impl Introduction {
    /// Opens a session with the key, and where that is refused with the join token.
    pub(crate) async fn open(&self, client: &Client, held: Vec<AttemptId>) -> Result<Session, client::Error> {
        match self.try_open(client, held.clone()).await {
            Err(error) if is_unknown(&error) => match &self.config.join_token {
                Some(token) => self.try_open(&client.with_token(token.expose_secret()), held).await,
                None => Err(error),
            },
            opened => opened,
        }
    }

    async fn try_open(&self, client: &Client, held: Vec<AttemptId>) -> Result<Session, client::Error> {
        let challenge = client.work_challenge().await?;
        let signature = self.identity.sign_session(&challenge.nonce);
        let open = OpenSession {
            public_key: self.identity.public_key_text(),
            // What is not a nonce the coordinator refuses in its own words.
            signature: signature.unwrap_or_default(),
            nonce: challenge.nonce,
            name: self.config.name.clone(),
            protocol: PROTOCOL,
            capabilities: self.capabilities.clone(),
            held,
        };
        client.work_session(&open).await
    }
}

fn is_unknown(error: &client::Error) -> bool {
    matches!(error.status(), Some(401 | 403))
}

/// The refusal as an end, where trying again cannot help.
pub(crate) fn refusal(error: client::Error) -> Result<client::Error, Error> {
    let hint = match error.status() {
        Some(401 | 403) => JOIN_HINT,
        Some(426) => VERSION_HINT,
        Some(400 | 409 | 413 | 422) if !error.is_retryable() => "",
        _ => return Ok(error),
    };
    Err(Error::Refused { refusal: error, hint })
}
