//! Whether the Starknet endpoint answers, and for which network: asked in the background behind a
//! breaker. An endpoint that cannot be reached makes the component degraded and nothing else.

use super::driver::{By, Failure, Next, Timing, start};
use crate::app::App;
use crate::breaker::Breaker;
use ciro_api::system::ComponentState;
use parking_lot::Mutex;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(15);
/// Time between two looks at a breaker that is not closed.
const SOON: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
const NAME: &str = "chain";

/// Starts the check where an endpoint is configured; else the component is off.
pub fn spawn(app: &App) -> Result<(), Failure> {
    let Some(url) = &app.config.blockchain.rpc_url else {
        app.health.report(NAME, ComponentState::Off, "blockchain.rpc_url is not set", app.now());
        return Ok(());
    };
    app.health.report(NAME, ComponentState::Degraded, "not asked yet", app.now());
    // A second installation is refused and changes nothing: the provider is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().connect_timeout(PATIENCE).timeout(PATIENCE).no_proxy();
    let client = client.redirect(reqwest::redirect::Policy::none()).build()?;
    let probe = Arc::new(Probe { client, url: endpoint(url)?, breaker: Mutex::new(Breaker::new()) });
    start(app, "chain", Timing { every: EVERY, woken: None, by: By::Each }, move |app| {
        let probe = Arc::clone(&probe);
        async move { Ok(probe.activate(&app).await) }
    });
    Ok(())
}

/// The endpoint of a URL, if it is one.
///
/// # Errors
/// What is wrong with it, in words.
pub fn endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        other => Err(format!("is a `{other}` URL, and http or https is needed")),
    }
}

struct Probe {
    client: Client,
    url: Url,
    breaker: Mutex<Breaker>,
}

impl Probe {
    async fn activate(&self, app: &App) -> Next {
        if !self.breaker.lock().admits(app.now()) {
            return Next::After(SOON);
        }
        let answer = self.chain_id().await;
        let now = app.now();
        let mut breaker = self.breaker.lock();
        let (state, words) = match &answer {
            Ok(found) => {
                breaker.worked();
                judge(app, found)
            }
            Err(error) => {
                breaker.failed(now);
                tracing::debug!(error, "the Starknet endpoint does not answer");
                (ComponentState::Degraded, format!("cannot be reached: {error}"))
            }
        };
        let name = breaker.name();
        drop(breaker);
        app.health.report(NAME, state, words, now);
        app.health.update(NAME, now, |component| {
            component.breaker = Some(name.to_owned());
            if let Err(error) = answer {
                component.last_error = Some(error);
            }
        });
        Next::After(if state == ComponentState::Ok { EVERY } else { SOON })
    }

    /// The chain's id as the endpoint tells it: a felt in hex.
    async fn chain_id(&self) -> Result<String, String> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "starknet_chainId", "params": [] });
        let sent = self.client.post(self.url.clone()).json(&call).send().await;
        // Without its URL, which may carry a key of the provider.
        let response = sent.map_err(|error| chained(&error.without_url()))?;
        let status = response.status();
        let body: Value =
            response.json().await.map_err(|_| format!("HTTP {status} without a JSON-RPC answer"))?;
        match body.get("result").and_then(Value::as_str) {
            Some(id) => Ok(id.to_owned()),
            None => Err(format!("HTTP {status} without a chain id")),
        }
    }
}

fn judge(app: &App, found: &str) -> (ComponentState, String) {
    match app.config.blockchain.chain_id.as_deref() {
        Some(wanted) if felt_of(found) != felt_of(wanted) => (
            ComponentState::Degraded,
            format!("the endpoint serves {found}, and the configuration names {wanted}"),
        ),
        Some(wanted) => (ComponentState::Ok, wanted.to_owned()),
        None => (ComponentState::Ok, found.to_owned()),
    }
}

/// The number of a chain id, which is written in hexadecimal or as a Starknet short string: its ASCII
/// bytes read as one number.
pub(crate) fn felt_of(name: &str) -> String {
    let mut text = String::from("0x");
    if let Some(digits) = name.strip_prefix("0x").or_else(|| name.strip_prefix("0X")) {
        text.push_str(&digits.trim_start_matches('0').to_ascii_lowercase());
        return text;
    }
    for byte in name.bytes() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn chained(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_are_short_strings_and_endpoints_are_http() {
        for name in ["SN_MAIN", "0x534e5f4d41494e", "0x00534E5F4D41494E"] {
            assert_eq!(felt_of(name), "0x534e5f4d41494e");
        }
        assert!(endpoint("https://rpc.example.org/v0_10").is_ok());
        assert!(endpoint("ws://rpc.example.org").is_err() && endpoint("rpc.example.org").is_err());
    }
}
