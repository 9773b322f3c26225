//! Whether this machine can hold a native program, found out by holding one: our own binary, run as a
//! probe through the very launcher that runs programs, looks at each layer from inside and says which
//! one works; another takes more memory than it may and has to be ended for it.

use super::super::launch::{Executor, LogChunk, LogStream};
use super::super::outcome::{AttemptOutcome, End};
use super::super::request::{AttemptRequest, Program};
use super::launcher;
use crate::selftest;
use ciro_core::spec::NATIVE_LAYERS;
use std::io;
use std::path::Path;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What a probe may say, pieces of log.
const PIECES: usize = 16;

/// What a try of the sandbox found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Layers that hold a native program here.
    pub layers: Vec<&'static str>,
    /// Layers of the minimum that do not.
    pub missing: Vec<&'static str>,
    /// Why, and what to do about it; `None` where nothing is missing.
    pub reason: Option<String>,
}

impl Readiness {
    pub(crate) fn untried() -> Readiness {
        Readiness {
            missing: NATIVE_LAYERS.to_vec(),
            reason: Some("the sandbox was not tried".into()),
            ..Readiness::default()
        }
    }

    /// Whether native programs can be run.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.missing.is_empty()
    }

    /// Why `program` is not run here; our own probes always are.
    pub(crate) fn refusal(&self, program: &Program) -> Option<String> {
        let needs = match program {
            Program::Native(native) => !selftest::is_probe(native),
            Program::Wasm(_) => false,
        };
        (needs && !self.is_enough()).then(|| {
            format!(
                "this worker's sandbox lacks {}: {}",
                self.missing.join(", "),
                self.reason.as_deref().unwrap_or_default()
            )
        })
    }

    /// Tries what this machine can do.
    pub(crate) async fn try_here(executor: &Executor, dir: &Path) -> Readiness {
        let mut layers = executor.group_layers();
        let mut reason = None;
        match inside(executor, dir).await {
            Ok(found) => layers.extend(found),
            Err(why) => reason = Some(why),
        }
        if reason.is_none()
            && layers.contains(&"memory-cgroup")
            && let Err(why) = memory(executor, dir).await
        {
            layers.retain(|layer| *layer != "memory-cgroup");
            reason = Some(why);
        }
        let missing: Vec<&str> = NATIVE_LAYERS.into_iter().filter(|layer| !layers.contains(layer)).collect();
        if missing.is_empty() {
            return Readiness { layers, missing, reason: None };
        }
        let groups = "run the worker as root, or under systemd with Delegate=yes, for its control groups";
        let reason = reason.unwrap_or_else(|| match missing.iter().any(|layer| layer.ends_with("cgroup")) {
            true => groups.to_owned(),
            false => "the kernel does not let this user make them".to_owned(),
        });
        // Without the minimum nothing is run, so nothing is promised.
        Readiness { layers: Vec::new(), missing, reason: Some(reason) }
    }
}

/// The layers that a probe found to work, from inside.
async fn inside(executor: &Executor, dir: &Path) -> Result<Vec<&'static str>, String> {
    if launcher::bwrap().is_none() {
        return Err(
            "bwrap is not installed: install the Debian package bubblewrap, version 0.8 or newer".into()
        );
    }
    let bench =
        selftest::Bench::below(dir).map_err(|error| format!("make a folder for the probe: {error}"))?;
    let request = bench.native(&selftest::layers_args()).map_err(|error: io::Error| error.to_string())?;
    let (outcome, said) = hear(executor, &request).await;
    match outcome.end {
        End::Exited { code: 0 } => Ok(selftest::layers_found(&said)),
        end => Err(format!("a probe could not be run ({end}): {}", said.trim())),
    }
}

/// Whether a probe that takes too much memory is ended for it.
async fn memory(executor: &Executor, dir: &Path) -> Result<(), String> {
    let bench =
        selftest::Bench::below(dir).map_err(|error| format!("make a folder for the probe: {error}"))?;
    let request = bench.native(&selftest::memory_args()).map_err(|error: io::Error| error.to_string())?;
    match hear(executor, &request).await.0.end {
        End::OutOfMemory { .. } => Ok(()),
        end => Err(format!("a probe that took more memory than its limit was not ended for it ({end})")),
    }
}

/// Runs a probe and keeps what it says.
async fn hear(executor: &Executor, request: &AttemptRequest) -> (AttemptOutcome, String) {
    let (logs, mut pieces) = mpsc::channel::<LogChunk>(PIECES);
    let listen = async {
        let mut said = Vec::new();
        while let Some(piece) = pieces.recv().await {
            if matches!(piece.stream, LogStream::Stdout | LogStream::Stderr) {
                said.extend_from_slice(&piece.bytes);
            }
        }
        String::from_utf8_lossy(&said).into_owned()
    };
    tokio::join!(executor.run(request, logs, CancellationToken::new()), listen)
}
