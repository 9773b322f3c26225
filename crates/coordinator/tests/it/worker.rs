//! A worker without a sandbox: the real work channel, with whatever files the test says.

use crate::env::{DEADLINE, declared};
use ciro_api::client::Client;
use ciro_api::job::Usage;
use ciro_api::work::{Lease, OpenSession, Outcome, Poll, Report, Reports, Session, VerdictKind};
use ciro_core::id::Hash;
use ciro_core::manifest::{Manifest, OutputFile, report_digest, session_digest};
use ciro_core::resources::Offer;
use ciro_core::spec::Profile;
use ciro_core::worker::Capabilities;
use ed25519_dalek::{Signer, SigningKey};
use std::io::Cursor;
use std::time::Instant;

/// A worker with a session.
pub(crate) struct FakeWorker {
    /// Speaks for the session.
    pub(crate) client: Client,
    session: Session,
    key: SigningKey,
    ack: Vec<u64>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

impl FakeWorker {
    /// Registers with an administrator's token, and offers plenty.
    pub(crate) async fn join(admin: &Client, seed: u8) -> FakeWorker {
        FakeWorker::join_as(admin, seed, |_| {}).await
    }

    /// Registers with an administrator's token, and says something else of itself.
    pub(crate) async fn join_as(
        admin: &Client,
        seed: u8,
        change: impl FnOnce(&mut Capabilities),
    ) -> FakeWorker {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let public = key.verifying_key().to_bytes();
        let nonce = admin.work_challenge().await.unwrap().nonce;
        let digest = session_digest(&unhex(&nonce), &public);
        let plenty = 1 << 44;
        let offer =
            Offer { cpu_millis: plenty, memory_bytes: plenty, disk_bytes: plenty, ..Offer::default() };
        let mut capabilities = Capabilities {
            offer,
            profiles: vec![Profile::Wasm1, Profile::Wasm1Arch],
            arch: "x86_64".into(),
            ..Capabilities::default()
        };
        change(&mut capabilities);
        let open = OpenSession {
            public_key: hex(&public),
            signature: hex(&key.sign(&digest).to_bytes()),
            nonce,
            name: format!("fake-{seed}"),
            protocol: ciro_api::PROTOCOL,
            capabilities,
            held: Vec::new(),
        };
        let session = admin.work_session(&open).await.unwrap();
        FakeWorker { client: admin.with_token(&session.token), session, key, ack: Vec::new() }
    }

    /// Speaks for its session.
    pub(crate) fn token(&self) -> String {
        self.session.token.clone()
    }

    /// Waits for leases.
    pub(crate) async fn take(&mut self, max: u32) -> Vec<Lease> {
        let begun = Instant::now();
        loop {
            let poll = Poll { wait_ms: 1_000, max, ack: std::mem::take(&mut self.ack) };
            let work = self.client.work_poll(&poll).await.unwrap();
            self.ack.extend(work.delivery);
            if !work.leases.is_empty() {
                return work.leases;
            }
            assert!(begun.elapsed() < DEADLINE, "no lease came");
        }
    }

    /// Uploads files and reports them as the result of a lease.
    pub(crate) async fn succeed(&mut self, lease: &Lease, files: &[(&str, &[u8])]) {
        let mut outputs: Vec<OutputFile> = Vec::new();
        for (path, bytes) in files {
            let new = declared(bytes);
            self.client.artifact_put(&new, &mut Cursor::new(bytes.to_vec()), |_| {}).await.unwrap();
            outputs.push(OutputFile { path: (*path).into(), length: new.size, blake3: new.blake3 });
        }
        outputs.sort();
        let manifest = Manifest { outputs, exit_code: 0, fuel: 1 }.canonical().unwrap();
        let verdict = self.report(lease, Outcome::Succeeded { manifest }).await;
        assert_eq!(verdict, VerdictKind::Accepted);
    }

    /// Reports what became of a lease.
    pub(crate) async fn report(&mut self, lease: &Lease, outcome: Outcome) -> VerdictKind {
        let report = Report {
            attempt: lease.attempt,
            outcome,
            input: Some(lease.input_hash()),
            profile: lease.profile(),
            layers: vec!["rlimits".to_owned()],
            usage: Usage::default(),
            price: lease.price,
        };
        let digest = report_digest(&self.session.session.to_string(), &[report.receipt_hash()]);
        let reports = Reports {
            signature: hex(&self.key.sign(&digest).to_bytes()),
            reports: vec![report],
            take: 0,
            ack: std::mem::take(&mut self.ack),
        };
        self.client.work_reports(&reports).await.unwrap().verdicts[0].verdict
    }

    /// Reads bytes as a worker does.
    pub(crate) async fn fetch(&self, hash: Hash) -> Result<Vec<u8>, ciro_api::client::Error> {
        let mut bytes = self.client.artifact_read(hash, None).await?;
        let mut all = Vec::new();
        while let Some(piece) = bytes.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}
