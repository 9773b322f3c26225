//! Several endpoints of one chain: who is asked, and who is not and why.
//!
//! [`Pool::refresh`] looks at all of them, judges ([`super::standing`]) and closes or opens their
//! breakers; it is called at the start and every few seconds. Calls go to the endpoints that are
//! good, in the order of the settings: a read that gets no answer goes on to the next one, a write
//! goes to one endpoint at a time and moves on only where it is certain that nothing arrived.

use super::breaker::Breaker;
use super::endpoint::{Endpoint, Patience, UrlError};
use super::error::RpcError;
use super::probe::{self, Sight};
use super::standing::{Standing, agree, judge};
use crate::network::ChainId;
use ciro_core::time::Timestamp;
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use starknet_rust_core::types::Felt;
use std::time::Instant;

/// What a pool goes by.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// The chain that is meant; without it the first endpoint that answers decides.
    pub chain: Option<ChainId>,
    /// How many blocks an endpoint may be behind the others.
    pub max_lag: u64,
    /// How long an endpoint is waited for.
    pub patience: Patience,
}

impl Default for PoolOptions {
    fn default() -> PoolOptions {
        PoolOptions { chain: None, max_lag: 5, patience: Patience::default() }
    }
}

/// Endpoints of one chain.
#[derive(Debug)]
pub struct Pool {
    members: Vec<Member>,
    options: PoolOptions,
    /// What its time is counted from: breakers must not hear of steps of the wall clock.
    started: Instant,
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Member {
    endpoint: Endpoint,
    health: Mutex<Health>,
}

#[derive(Debug)]
struct Health {
    standing: Standing,
    breaker: Breaker,
    sight: Option<Sight>,
    last_error: Option<String>,
}

/// How an endpoint is, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointStatus {
    /// Scheme, host and port.
    pub endpoint: String,
    /// `good`, `demoted` or `unknown`.
    pub standing: &'static str,
    /// Why it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `closed`, `open` or `half_open`.
    pub breaker: &'static str,
    /// The chain that it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// The version of the specification that it speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    /// Its newest block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<u64>,
}

impl Pool {
    /// A pool of the endpoints at these URLs, none of them looked at yet.
    ///
    /// # Errors
    /// When a text is no URL with http or https, with its place; when there is none.
    pub fn new(urls: &[String], options: PoolOptions) -> Result<Pool, UrlError> {
        if urls.is_empty() {
            return Err(UrlError("no endpoint is named".into()));
        }
        let member = |(i, url): (usize, &String)| {
            let endpoint = Endpoint::new(url, options.patience)
                .map_err(|error| UrlError(format!("endpoint {} {error}", i + 1)))?;
            Ok(Member { endpoint, health: Mutex::new(Health::new()) })
        };
        let members = urls.iter().enumerate().map(member).collect::<Result<_, _>>()?;
        Ok(Pool { members, options, started: Instant::now(), writing: tokio::sync::Mutex::new(()) })
    }

    /// Looks at every endpoint whose breaker lets it, and judges all of them.
    pub async fn refresh(&self) {
        let sights = join_all(self.members.iter().map(|member| self.look(member))).await;
        let known: Vec<Option<&Sight>> = sights.iter().map(Option::as_ref).collect();
        let mut standings = judge(self.options.chain, self.options.max_lag, &known);
        self.compare(&mut standings, &known).await;
        for ((member, standing), sight) in self.members.iter().zip(standings).zip(sights) {
            let mut health = member.health.lock();
            health.standing = standing;
            health.sight = sight;
        }
    }

    async fn look(&self, member: &Member) -> Option<Sight> {
        if !member.health.lock().breaker.admits(self.now()) {
            return None;
        }
        let seen = probe::look(&member.endpoint).await;
        self.note(member, seen.as_ref().err());
        seen.ok()
    }

    /// Has the good ones name the hash of a block that all of them have.
    async fn compare(&self, standings: &mut [Standing], sights: &[Option<&Sight>]) {
        let good = |i: usize| standings.get(i) == Some(&Standing::Good);
        let heads = sights.iter().enumerate().filter(|(i, _)| good(*i));
        let heads: Vec<u64> = heads.filter_map(|(_, sight)| Some((*sight)?.head?.number)).collect();
        let Some(lowest) = heads.iter().min().filter(|_| heads.len() > 1) else { return };
        // The newest blocks may differ for a moment without anybody lying.
        let number = lowest.saturating_sub(self.options.max_lag);
        let asked = self.members.iter().enumerate().map(|(i, member)| {
            let asked = good(i);
            async move { if asked { probe::hash_at(&member.endpoint, number).await } else { None } }
        });
        let hashes: Vec<Option<Felt>> = join_all(asked).await;
        agree(standings, number, &hashes);
    }

    /// Asks one method of the first good endpoint that answers.
    ///
    /// # Errors
    /// What the last one failed with, or that there is none.
    pub async fn read<T: DeserializeOwned>(&self, method: &str, params: &Value) -> Result<T, RpcError> {
        self.first_that_answers(|endpoint| endpoint.call(method, params)).await
    }

    /// Asks many things in one request of the first good endpoint that answers. What a single one
    /// failed with stands in its place.
    ///
    /// # Errors
    /// What the last endpoint failed with, or that there is none.
    pub async fn read_many(
        &self,
        calls: &[(&str, Value)],
    ) -> Result<Vec<Result<Box<RawValue>, RpcError>>, RpcError> {
        self.first_that_answers(|endpoint| endpoint.batch(calls)).await
    }

    async fn first_that_answers<'p, T, F>(&'p self, ask: impl Fn(&'p Endpoint) -> F) -> Result<T, RpcError>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let mut last = None;
        for member in self.members.iter().filter(|member| member.is_usable()) {
            let answer = ask(&member.endpoint).await;
            let broken = answer.as_ref().err().filter(|error| error.is_the_endpoints());
            self.note(member, broken);
            match answer {
                Err(error) if error.is_the_endpoints() => last = Some(error),
                answer => return answer,
            }
        }
        Err(last.unwrap_or_else(|| self.none_left()))
    }

    /// Sends parameters, as the bytes they are, to the first good endpoint; one write at a time. It
    /// goes on to the next one only when this one was not reached.
    ///
    /// # Errors
    /// What it failed with. [`RpcError::is_without_effect`] says whether it may have arrived.
    pub async fn write(&self, method: &str, params: &str) -> Result<Box<RawValue>, RpcError> {
        let _turn = self.writing.lock().await;
        let mut last = None;
        for member in self.members.iter().filter(|member| member.is_usable()) {
            let answer = member.endpoint.call_raw(method, params).await;
            let broken = answer.as_ref().err().filter(|error| error.is_the_endpoints());
            self.note(member, broken);
            match answer {
                Err(error @ RpcError::Unreachable { .. }) => last = Some(error),
                answer => return answer,
            }
        }
        Err(last.unwrap_or_else(|| self.none_left()))
    }

    fn note(&self, member: &Member, error: Option<&RpcError>) {
        let mut health = member.health.lock();
        match error {
            None => health.breaker.worked(),
            Some(error) => {
                health.breaker.failed(self.now(), chance());
                let words = error.to_string();
                let without_name = words.strip_prefix(member.endpoint.name()).unwrap_or(&words);
                health.last_error = Some(without_name.trim_start().to_owned());
            }
        }
    }

    fn none_left(&self) -> RpcError {
        let each = self.status().into_iter().map(|status| {
            let why = status.reason.unwrap_or_else(|| format!("its breaker is {}", status.breaker));
            format!("{}: {why}", status.endpoint)
        });
        RpcError::NoneLeft(each.collect::<Vec<_>>().join("; "))
    }

    /// How each endpoint is, in the order of the settings.
    #[must_use]
    pub fn status(&self) -> Vec<EndpointStatus> {
        self.members.iter().map(Member::status).collect()
    }

    /// The chain that is meant, where one was named.
    #[must_use]
    pub fn meant(&self) -> Option<ChainId> {
        self.options.chain
    }

    /// The chain of the first good endpoint.
    #[must_use]
    pub fn chain(&self) -> Option<ChainId> {
        let good = self.members.iter().map(|member| member.health.lock());
        let mut good = good.filter(|health| health.standing == Standing::Good);
        good.find_map(|health| health.sight.as_ref().map(|sight| sight.chain))
    }

    /// Whether every endpoint is on this machine, as a devnet is.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.members.iter().all(|member| member.endpoint.is_local())
    }

    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

impl Member {
    fn is_usable(&self) -> bool {
        let health = self.health.lock();
        health.standing == Standing::Good && health.breaker.is_closed()
    }

    fn status(&self) -> EndpointStatus {
        let health = self.health.lock();
        let (standing, reason) = match &health.standing {
            Standing::Good if health.breaker.is_closed() => ("good", None),
            Standing::Demoted(words) => ("demoted", Some(words.clone())),
            _ => ("unknown", Some(health.last_error.clone().unwrap_or_else(|| "not looked at yet".into()))),
        };
        let sight = health.sight.as_ref();
        EndpointStatus {
            endpoint: self.endpoint.name().to_owned(),
            standing,
            reason,
            breaker: health.breaker.name(),
            chain: sight.map(|sight| sight.chain.to_string()),
            spec: sight.map(|sight| sight.spec.clone()),
            head: sight.and_then(|sight| sight.head).map(|head| head.number),
        }
    }
}

impl Health {
    fn new() -> Health {
        Health { standing: Standing::Unknown, breaker: Breaker::new(), sight: None, last_error: None }
    }
}

/// A number nobody can foretell; without a source of them rests are not spread, which harms nobody.
fn chance() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => 0,
    }
}
