//! A worker that does nothing but speak the work channel: takes leases, reports each as done.
//! Everything about it is real except the work: its key, its session, its signatures.

use super::http::Connection;
use anyhow::{Context, Result, ensure};
use ciro_core::amount::Fri;
use ciro_core::attempt::Usage;
use ciro_core::id::{AttemptId, Hash};
use ciro_core::manifest::{Receipt, report_digest, session_digest};
use ciro_core::spec::Profile;
use ed25519_dalek::{Signer, SigningKey};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const MANIFEST: &str = r#"{"outputs":[],"exit_code":0,"fuel":0}"#;
/// What a real worker says beside it.
const INPUT: Hash = Hash([1; 32]);
const LAYERS: [&str; 4] = ["process", "rlimits", "no-new-privs", "memory-cgroup"];

/// What the workers of a run share.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Results that were accepted.
    pub(crate) accepted: AtomicU64,
    /// Leases that were received.
    pub(crate) leased: AtomicU64,
    /// Verdicts that were not `accepted`.
    pub(crate) refused: AtomicU64,
    /// Asks the workers to end.
    pub(crate) stop: AtomicBool,
}

/// What a worker offers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Offered {
    /// More than is ever asked for.
    Plenty,
    /// Less memory than any job of the benchmark wants.
    TooLittle,
}

/// A session of a worker.
#[derive(Debug)]
pub(crate) struct Worker {
    connection: Connection,
    key: SigningKey,
    session: String,
    ack: Option<u64>,
}

impl Worker {
    /// Registers a new worker and opens its session.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub(crate) async fn join(
        address: SocketAddr,
        admin_key: &str,
        no: u64,
        offered: Offered,
    ) -> Result<Worker> {
        let memory_bytes: u64 = match offered {
            Offered::Plenty => 1 << 55,
            Offered::TooLittle => 1 << 20,
        };
        let mut connection = Connection::open(address, admin_key).await?;
        let mut seed = *blake3::hash(&no.to_le_bytes()).as_bytes();
        seed[0] ^= std::process::id() as u8;
        let key = SigningKey::from_bytes(&seed);
        let answer = connection.call("POST", "/v1/work/challenges", "").await?;
        let challenge: serde_json::Value = serde_json::from_slice(answer.body)?;
        let nonce = challenge["nonce"].as_str().context("nonce")?.to_owned();
        let public = key.verifying_key().to_bytes();
        let raw = unhex(&nonce).context("nonce is hex")?;
        let signature = key.sign(&session_digest(&raw, &public)).to_bytes();
        let body = serde_json::json!({
            "nonce": nonce, "public_key": hex(&public), "signature": hex(&signature), "name": format!("bench-{no}"),
            "protocol": 1, "held": [],
            "capabilities": {
                "offer": {"cpu_millis": 1_000_000_000_u64, "memory_bytes": memory_bytes, "disk_bytes": 1_u64 << 55},
                "profiles": ["wasm-1", "wasm-1-arch"], "arch": "x86_64"
            }
        });
        let answer = connection.call("POST", "/v1/work/sessions", &body.to_string()).await?;
        ensure!(answer.status == 201, "session: {} {}", answer.status, answer.text()?);
        let session: serde_json::Value = serde_json::from_slice(answer.body)?;
        let token = session["token"].as_str().context("token")?.to_owned();
        let session = session["session"].as_str().context("session")?.to_owned();
        connection.set_token(&token);
        Ok(Worker { connection, key, session, ack: None })
    }

    /// Parks a call; the attempts of the leases that came.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub(crate) async fn poll(&mut self, max: u32, wait_ms: u64) -> Result<Vec<AttemptId>> {
        let ack = self.ack.take().map_or(String::new(), |d| d.to_string());
        let body = format!(r#"{{"wait_ms":{wait_ms},"max":{max},"ack":[{ack}]}}"#);
        let answer = self.connection.call("POST", "/v1/work/poll", &body).await?;
        ensure!(answer.status == 200, "poll: {} {}", answer.status, answer.text()?);
        let (attempts, delivery) = leases(answer.text()?);
        self.ack = delivery;
        Ok(attempts)
    }

    /// Reports `done` as succeeded and takes up to `take` new leases with the answer.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub(crate) async fn report(
        &mut self,
        done: &[AttemptId],
        take: u32,
        tally: &Tally,
    ) -> Result<Vec<AttemptId>> {
        let output = Some(Hash::of(MANIFEST.as_bytes()));
        let facts =
            format!(r#""input":"{INPUT}","profile":"wasm-1-arch","layers":["{}"]"#, LAYERS.join(r#"",""#));
        let escaped = MANIFEST.replace('"', "\\\"");
        let mut receipts = Vec::with_capacity(done.len());
        let mut body = String::with_capacity(done.len() * 220 + 300);
        body.push_str(r#"{"reports":["#);
        for (i, attempt) in done.iter().enumerate() {
            let receipt = Receipt {
                attempt: *attempt,
                outcome: "succeeded",
                input: Some(INPUT),
                output,
                profile: Profile::Wasm1Arch,
                layers: &LAYERS.join(","),
                usage: Usage::default(),
                price: Fri(0),
            };
            receipts.push(receipt.hash());
            if i > 0 {
                body.push(',');
            }
            body.push_str(&format!(
                r#"{{"attempt":"{attempt}","outcome":{{"type":"succeeded","manifest":"{escaped}"}},{facts}}}"#
            ));
        }
        let signature = self.key.sign(&report_digest(&self.session, &receipts)).to_bytes();
        let ack = self.ack.take().map_or(String::new(), |d| d.to_string());
        body.push_str(&format!(r#"],"signature":"{}","take":{take},"ack":[{ack}]}}"#, hex(&signature)));
        let answer = self.connection.call("POST", "/v1/work/reports", &body).await?;
        ensure!(answer.status == 200, "reports: {} {}", answer.status, answer.text()?);
        let text = answer.text()?;
        let accepted = text.matches(r#""verdict":"accepted""#).count() as u64;
        tally.accepted.fetch_add(accepted, Ordering::Relaxed);
        tally.refused.fetch_add(done.len() as u64 - accepted, Ordering::Relaxed);
        let (attempts, delivery) = leases(text);
        tally.leased.fetch_add(attempts.len() as u64, Ordering::Relaxed);
        self.ack = delivery;
        Ok(attempts)
    }

    /// Works until told to stop.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub(crate) async fn run(mut self, batch: u32, tally: Arc<Tally>) -> Result<()> {
        let mut held = Vec::new();
        while !tally.stop.load(Ordering::Relaxed) {
            held = if held.is_empty() {
                let attempts = self.poll(batch, 500).await?;
                tally.leased.fetch_add(attempts.len() as u64, Ordering::Relaxed);
                attempts
            } else {
                self.report(&held, batch, &tally).await?
            };
        }
        Ok(())
    }
}

/// Attempt ids of the leases in an answer, and its delivery. Read off the text: a full parse of
/// every lease would make the client the slower side.
fn leases(text: &str) -> (Vec<AttemptId>, Option<u64>) {
    let from = text.find(r#""leases":["#).unwrap_or(text.len());
    let found = text[from..].match_indices(r#"{"attempt":""#);
    let attempts = found
        .filter_map(|(at, key)| {
            let rest = &text[from + at + key.len()..];
            rest[..rest.find('"')?].parse().ok()
        })
        .collect();
    let delivery = text.find(r#""delivery":"#).and_then(|at| {
        let digits: String = text[at + 11..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    (attempts, delivery)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect()
}
