//! The coordinator under measurement: a release build in a process of its own, with a fresh
//! database on the disk of the working folder.

use super::http::Connection;
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The admin key that the benchmark configures.
const ADMIN_KEY: &str = "bench-admin-key-0123456789abcdef0123456789abcdef";
/// A file in the folder of its own.
const SQLITE: &str = "sqlite://./bench.db";
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running coordinator.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    program: PathBuf,
    dir: TempDir,
    database: String,
    settings: Vec<(String, String)>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Resident memory, bytes.
    pub(crate) rss_bytes: u64,
}

impl Server {
    /// Starts `program` on a fresh database below `root` and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(crate) fn start(program: &Path, root: &Path) -> Result<Server> {
        Server::start_with(program, root, &[])
    }

    /// The same with settings of its own, as variables of its environment.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(crate) fn start_with(program: &Path, root: &Path, settings: &[(&str, &str)]) -> Result<Server> {
        Server::start_on(program, root, SQLITE, settings)
    }

    /// The same on the database at this URL.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(crate) fn start_on(
        program: &Path,
        root: &Path,
        database: &str,
        settings: &[(&str, &str)],
    ) -> Result<Server> {
        let dir = tempfile::tempdir_in(root)?;
        let address = free_address()?;
        let database = database.to_owned();
        let settings: Vec<_> = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let child = spawn(program, dir.path(), address, &database, &settings)?;
        let server = Server { child, program: program.to_owned(), dir, database, settings, address };
        server.wait_ready()?;
        Ok(server)
    }

    /// The key that may do everything.
    #[must_use]
    pub(crate) fn admin_key(&self) -> &'static str {
        ADMIN_KEY
    }

    /// Kills it and starts it again on the same database; how long until it was ready.
    ///
    /// # Errors
    /// When it does not get ready again.
    pub(crate) fn restart(&mut self) -> Result<Duration> {
        self.child.kill()?;
        self.child.wait()?;
        let begun = Instant::now();
        self.child = spawn(&self.program, self.dir.path(), self.address, &self.database, &self.settings)?;
        self.wait_ready()?;
        Ok(begun.elapsed())
    }

    fn wait_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if answers_ready(self.address) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("the coordinator was not ready within {} s", READY_WITHIN.as_secs())
    }

    /// CPU time and memory so far.
    ///
    /// # Errors
    /// When the process is gone.
    pub(crate) fn used(&self) -> Result<Used> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in brackets may hold anything; fields are counted behind it.
        let fields: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        let pages: u64 = statm.split_whitespace().nth(1).context("statm")?.parse()?;
        Ok(Used { cpu: Duration::from_millis(ticks * 10), rss_bytes: pages * 4_096 })
    }

    /// A figure that it says of itself.
    ///
    /// # Errors
    /// When it does not answer, or says nothing of that name.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let mut client = Connection::open(self.address, ADMIN_KEY).await?;
        let answer = client.call("GET", "/metrics", "").await?;
        let line = answer.text()?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("the server says nothing of {name}"))?.trim().parse()?)
    }

    /// Completed jobs, as it counts them.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn completed(&self) -> Result<u64> {
        let mut client = Connection::open(self.address, ADMIN_KEY).await?;
        let answer = client.call("GET", "/v1/jobs/stats", "").await?;
        let stats: serde_json::Value = serde_json::from_slice(answer.body)?;
        stats["by_state"]["completed"]
            .as_u64()
            .with_context(|| format!("no count of completed jobs: {stats}"))
    }

    /// Bytes of the database and its log.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn disk_bytes(&self) -> Result<u64> {
        let mut sum = 0;
        for entry in std::fs::read_dir(self.dir.path())? {
            let entry = entry?;
            // The log is folded in from time to time; what stays is the file.
            if entry.file_name() == "bench.db" {
                sum += entry.metadata()?.len();
            }
        }
        Ok(sum)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(
    program: &Path,
    dir: &Path,
    address: SocketAddr,
    database: &str,
    settings: &[(String, String)],
) -> Result<Child> {
    let log = std::fs::File::create(dir.join("coordinator.log"))?;
    Command::new(program)
        .current_dir(dir)
        .args(["--host", "127.0.0.1", "--port", &address.port().to_string(), "--database", database])
        .env("CIRO__AUTH__ADMIN_KEY", ADMIN_KEY)
        .env("CIRO__LIMITS__OPEN_JOBS", "3000000")
        .env("RUST_LOG", "warn")
        .envs(settings.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}; build it with cargo build --release", program.display()))
}

fn free_address() -> Result<SocketAddr> {
    let probe = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(probe.local_addr()?)
}

fn answers_ready(address: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return false };
    let mut head = [0; 12];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && stream.write_all(b"GET /health/ready HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n").is_ok()
        && stream.read_exact(&mut head).is_ok()
        && matches!(&head[9..], b"200" | b"204")
}
