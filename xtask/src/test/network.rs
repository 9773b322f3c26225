//! A local network for the parts that talk to a running server: `ciro dev` in a folder of its
//! own, asked to end like a person would ask, and killed only when it does not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::shell;

const READY_WITHIN: Duration = Duration::from_secs(60);
const ENDED_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Flags of a network that needs no devnet, where one may be installed.
pub(super) const WITHOUT_CHAIN: [&str; 2] = ["--chain", "off"];

/// What `ciro dev` writes once it is ready.
#[derive(Debug, Deserialize)]
pub(super) struct Server {
    pub(super) url: String,
    pub(super) admin_key: String,
}

/// A running `ciro dev`.
#[derive(Debug)]
pub(super) struct Network {
    child: Child,
    log: PathBuf,
    pub(super) server: Server,
}

impl Network {
    /// Starts one in `folder`, with its state in `.ciro-dev` as a newcomer would have it.
    pub(super) fn start(programs: &Path, folder: &Path, workers: u32, flags: &[&str]) -> Result<Self> {
        let log = folder.join("dev.log");
        let output = std::fs::File::create(&log)?;
        let child = Command::new(programs.join("ciro"))
            .args(["dev", "--port", "0", "--workers", &workers.to_string()])
            .args(flags)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start `ciro dev`")?;
        let mut network =
            Self { child, log, server: Server { url: String::new(), admin_key: String::new() } };
        network.server = network.wait_until_ready(&folder.join(".ciro-dev/server.json"))?;
        Ok(network)
    }

    fn wait_until_ready(&mut self, file: &Path) -> Result<Server> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Some(server) = std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok())
            {
                return Ok(server);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("`ciro dev` ended with {status} before it was ready:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("`ciro dev` was not ready within {} s:\n{}", READY_WITHIN.as_secs(), self.said())
    }

    /// The last lines it printed.
    pub(super) fn said(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The body of a GET that must be answered with 200.
    pub(super) fn get(&self, path: &str) -> Result<String> {
        let host = self.server.url.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(host).with_context(|| format!("cannot connect to {host}"))?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let key = &self.server.admin_key;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).with_context(|| format!("no answer to GET {path}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
        let status = head.lines().next().unwrap_or_default();
        if !status.contains(" 200") {
            bail!("GET {path} was answered with `{status}`");
        }
        Ok(body.to_owned())
    }

    /// Runs a script of bash in the folder of this network, with the programs in its path and no
    /// server named, so that the command line finds this one by itself. `PORT` is one that is free.
    pub(super) fn script(&self, programs: &Path, folder: &Path, script: &str) -> Result<()> {
        let path = shell::env("PATH").unwrap_or_default();
        let search = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&path));
        let mut bash = Command::new("bash");
        bash.args(["-euxc", script]).current_dir(folder).env("PATH", std::env::join_paths(search)?);
        bash.env("PORT", TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string());
        for name in ["CIRO_SERVER", "CIRO_API_KEY", "CIRO_STATE"] {
            bash.env_remove(name);
        }
        let status = bash.status().context("cannot start bash")?;
        if !status.success() {
            bail!("the script ended with {status}; `ciro dev` said:\n{}", self.said());
        }
        Ok(())
    }

    /// Asks it to end, as Ctrl-C does, and says whether it ended well.
    pub(super) fn stop(mut self) -> Result<()> {
        self.ask_to_end();
        let deadline = Instant::now() + ENDED_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                if status.success() || status.code() == Some(130) {
                    return Ok(());
                }
                bail!("`ciro dev` ended with {status}:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("`ciro dev` did not end within {} s of Ctrl-C:\n{}", ENDED_WITHIN.as_secs(), self.said())
    }

    fn ask_to_end(&self) {
        let pid = self.child.id().to_string();
        // When it is gone already there is nothing to ask.
        let _ = Command::new("kill").args(["-INT", &pid]).stderr(Stdio::null()).status();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.is_alive() {
            self.ask_to_end();
            std::thread::sleep(Duration::from_millis(500));
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
