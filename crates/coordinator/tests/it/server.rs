//! A running coordinator and a client of it.

use anyhow::Result;
use ciro_api::key::Role;
use ciro_coordinator::auth::{mint_key, role_name};
use ciro_coordinator::config::Config;
use ciro_coordinator::{Ready, run};
use ciro_core::id::{KeyId, TenantId};
use ciro_core::time::Timestamp;
use ciro_store::{ApiKey, Store};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A coordinator of one test.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) admin: String,
    pub(crate) join: String,
    pub(crate) folder: TempDir,
    pub(crate) http: reqwest::Client,
    pub(crate) stop: CancellationToken,
    task: JoinSet<Result<()>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) json: Value,
    pub(crate) text: String,
}

/// A configuration for a database in `folder`, on a free port of loopback.
pub(crate) fn config_in(folder: &Path) -> Config {
    let mut config = Config { server_port: 0, ..Config::default() };
    config.database.url = format!("sqlite://{}", folder.join("coordinator.db").display());
    config
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Server {
        Server::start_in(TempDir::new().unwrap(), change).await
    }

    pub(crate) async fn start_in(folder: TempDir, change: impl FnOnce(&mut Config)) -> Server {
        let mut config = config_in(folder.path());
        change(&mut config);
        let (tell, told) = oneshot::channel();
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(run(config, stop.clone(), move |ready: Ready| tell.send(ready).unwrap()));
        let Ok(ready) = told.await else { panic!("did not start: {:?}", task.join_next().await) };
        let _ = rustls::crypto::ring::default_provider().install_default();
        Server {
            url: ready.url,
            admin: ready.first_start.admin_key.unwrap_or_default(),
            join: ready.first_start.join_token.unwrap_or_default(),
            folder,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            stop,
            task,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).timeout(Duration::from_secs(30))
    }

    /// A call with a key (or none) and a JSON body (or none).
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.request(method.parse().unwrap(), path);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        send(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Some(&self.admin), None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, Some(&self.admin), Some(body)).await
    }

    /// A submitted job that no worker takes.
    pub(crate) async fn job(&self) -> String {
        let answer = self.post("/v1/jobs", &json!({ "kind": "sleep", "args": ["1"] })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn key(&self, role: &str) -> String {
        let answer = self.post("/v1/api-keys", &json!({ "name": role, "role": role })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json["key"].as_str().unwrap().to_owned()
    }

    /// Ends it in order and gives the folder back.
    pub(crate) async fn end(mut self) -> TempDir {
        self.stop.cancel();
        self.task.join_next().await.unwrap().unwrap().unwrap();
        self.folder
    }

    /// How the run ended, within `limit`.
    pub(crate) async fn ended(&mut self, limit: Duration) -> Result<()> {
        tokio::time::timeout(limit, self.task.join_next()).await.expect("it has not ended").unwrap().unwrap()
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, headers, json, text }
}

impl Answer {
    /// Asserts that this is a complete problem document with that status and code.
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.json["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!(self.json["status"], status);
        assert_eq!(self.json["type"], format!("/problems/{}", code.replace('_', "-")));
        assert_eq!(self.json["request_id"], self.headers["x-request-id"].to_str().unwrap());
        for field in ["title", "instance", "hint"] {
            assert!(self.json[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {self:?}");
        }
        assert!(self.headers.contains_key("x-ciro-version"));
    }
}

/// A database in `folder` that already has another tenant, and that tenant's admin key.
pub(crate) async fn with_other_tenant(folder: &Path) -> String {
    let options = ciro_store::Options::new(folder.join("coordinator.db"));
    let store = Store::open(options, Arc::new(ciro_coordinator::clock::SystemClock::new())).unwrap();
    let now = Timestamp(1_000_000_000_000);
    let tenant = store.tenant_ensure(TenantId(uuid::Uuid::from_u128(77)), "other".into(), now).await.unwrap();
    let id = KeyId(uuid::Uuid::from_u128(78));
    let text = mint_key(id, [9; 32]);
    let hash = *blake3::keyed_hash(&store.identity().server_secret, text.as_bytes()).as_bytes();
    let key = ApiKey {
        id,
        tenant: tenant.key,
        name: "other's admin".into(),
        role: role_name(Role::Admin).into(),
        hash,
        created_at: now,
        expires_at: None,
        revoked_at: None,
        replaces: None,
        last_used_at: None,
    };
    store.key_create(key, None).await.unwrap();
    store.close().await;
    text
}
