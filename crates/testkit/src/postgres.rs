//! A private PostgreSQL: Debian's server on a free port, in a folder of its own, run as the user whom
//! the package made where the tests are root. It can be killed, stopped, started again, and followed by
//! a standby. It never outlives the tests: a keeper waits for their end, however they end.

use crate::coordinator::free_port;
use crate::process::Process;
use crate::wait::until;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a start may take on a loaded machine, recovery included.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Whom the package runs its servers as.
const UNPRIVILEGED: &str = "postgres";
/// The one user of the database, and its password.
const USER: &str = "ciro";
const PASSWORD: &str = "no-secret";

/// Has the server count every statement, BEGIN and COMMIT included.
pub const STATEMENTS_COUNTED: &str = "shared_preload_libraries = 'pg_stat_statements'";

/// Has the server keep its log where [`Postgres::recover`] finds it.
pub const LOG_ARCHIVED: [&str; 2] =
    ["archive_mode = on", "archive_command = 'mkdir -p ../archive && cp %p ../archive/%f'"];

/// Waits until its input ends, which the end of the tests does, then ends the server and its folder.
const KEEPER: &str = "cat >/dev/null
pid=$(head -n 1 \"$0/data/postmaster.pid\" 2>/dev/null)
if [ -n \"$pid\" ]; then
  kill -QUIT \"$pid\" 2>/dev/null
  while kill -0 \"$pid\" 2>/dev/null; do sleep 0.1; done
fi
rm -rf \"$0\"";

/// See the module.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    server: Option<Process>,
    databases: AtomicU32,
    /// Its end is what the keeper waits for.
    _kept: ChildStdin,
    keeper: Child,
}

impl Postgres {
    /// Makes an empty server with these settings beside its own (`synchronous_commit = on`), and starts
    /// it.
    ///
    /// # Errors
    /// When the package is not installed, or the server does not come up.
    pub fn start(settings: &[&str]) -> Result<Postgres> {
        Postgres::start_in(&std::env::temp_dir(), settings)
    }

    /// The same with its folder in this one.
    ///
    /// # Errors
    /// Those of [`Postgres::start`].
    pub fn start_in(root: &Path, settings: &[&str]) -> Result<Postgres> {
        let mut new = Postgres::place(root)?;
        let secret = new.folder.join("password");
        std::fs::write(&secret, PASSWORD)?;
        let initdb = unprivileged("initdb")?
            .args(["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256"])
            .args(["--username", USER, "--pwfile"])
            .arg(&secret)
            .arg("-D")
            .arg(new.data())
            .stdin(Stdio::null())
            .output()
            .context("cannot run initdb")?;
        ensure!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        new.configure(settings)?;
        new.restart()?;
        Ok(new)
    }

    /// The server that the tests of one program share; each has databases of its own on it.
    ///
    /// # Errors
    /// Those of [`Postgres::start`].
    pub fn shared() -> Result<&'static Postgres> {
        static SHARED: OnceLock<Result<Postgres>> = OnceLock::new();
        match SHARED.get_or_init(|| Postgres::start(&[])) {
            Ok(server) => Ok(server),
            Err(error) => bail!("the tests' PostgreSQL: {error:#}"),
        }
    }

    /// Makes an empty database; its address.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn database(&self) -> Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run("createdb", &["--template=template0", &name])?;
        Ok(self.address(&name))
    }

    /// The address of a database.
    #[must_use]
    pub fn address(&self, name: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{name}", self.port)
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements in a database through `psql`; what it printed, without headings.
    ///
    /// # Errors
    /// With what the server says.
    pub fn psql(&self, database: &str, statements: &str) -> Result<String> {
        let args = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statements];
        self.run("psql", &args)
    }

    /// Statements that the databases of [`Postgres::database`] were asked so far, where they are counted
    /// ([`STATEMENTS_COUNTED`]).
    ///
    /// # Errors
    /// With what the server says.
    pub fn statements(&self) -> Result<u64> {
        let sql = "SET client_min_messages = error; CREATE EXTENSION IF NOT EXISTS pg_stat_statements; \
                   SELECT coalesce(sum(s.calls), 0) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
                   WHERE d.datname LIKE 'test%'";
        let said = self.psql("postgres", sql)?;
        said.trim().parse().with_context(|| format!("{said:?} is no number"))
    }

    /// Kills the server and all processes of it, as a crash of its machine would but for the disk's cache.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the server is not running")?;
        // Where it stands still it starts no process that would be left behind with its memory.
        kill(Pid::from_raw(i32::try_from(server.id())?), Signal::SIGSTOP)?;
        let children = children_of(server.id())?;
        server.kill()?;
        for child in children {
            // It may have ended with its parent.
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        Ok(())
    }

    /// Ends the server in order, with its sessions.
    ///
    /// # Errors
    /// When it is not running, or does not end.
    pub fn stop(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the server is not running")?;
        kill(Pid::from_raw(i32::try_from(server.id())?), Signal::SIGINT)?;
        let patience = READY_WITHIN.as_millis() / 50;
        for _ in 0..patience {
            if server.ended()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the server does not end; it said:\n{}", server.last_words())
    }

    /// Starts the server on what is there, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        let mut command = unprivileged("postgres")?;
        command.arg("-D").arg(self.data());
        let mut server = Process::start(&mut command, &self.folder, "postgres")?;
        let patience = READY_WITHIN.as_millis() / 50;
        for _ in 0..patience {
            if let Some(status) = server.ended()? {
                bail!("the server ended with {status}:\n{}", server.last_words());
            }
            if self.run("pg_isready", &["-q"]).is_ok() {
                self.server = Some(server);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the server does not answer; it said:\n{}", server.last_words())
    }

    /// Stops the server where it is, with all its processes (SIGSTOP), or lets it go on.
    ///
    /// # Errors
    /// When it is not running.
    pub fn pause(&self, pause: bool) -> Result<()> {
        let server = self.server.as_ref().context("the server is not running")?;
        let signal = if pause { Signal::SIGSTOP } else { Signal::SIGCONT };
        let mut all = children_of(server.id())?;
        all.insert(0, i32::try_from(server.id())?);
        for pid in all {
            // A session may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), signal);
        }
        Ok(())
    }

    /// A copy that follows this server; with `synchronous` a commit waits for it from now on.
    ///
    /// # Errors
    /// When it cannot be copied, or does not come up.
    pub async fn standby(&self, synchronous: bool) -> Result<Postgres> {
        let mut new = Postgres::place(&std::env::temp_dir())?;
        let from = format!("{} application_name=standby", self.address("postgres"));
        let from = from.replacen(" application_name=", "?application_name=", 1);
        let copied = unprivileged("pg_basebackup")?
            .args(["--write-recovery-conf", "--checkpoint=fast", "--dbname", &from, "-D"])
            .arg(new.data())
            .stdin(Stdio::null())
            .output()
            .context("cannot run pg_basebackup")?;
        ensure!(copied.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&copied.stderr));
        new.configure(&[])?;
        new.restart()?;
        if synchronous {
            self.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'")?;
            self.control("reload")?;
            let state = async || {
                let said = self.psql("postgres", "TABLE pg_stat_replication")?;
                Ok(said.contains("|sync|").then_some(()))
            };
            until("the standby to be one that commits wait for", READY_WITHIN, state).await?;
        }
        Ok(new)
    }

    /// Copies the server's files beside it while it works (`pg_basebackup`), for [`Postgres::recover`].
    ///
    /// # Errors
    /// With what the program says.
    pub fn base_backup(&self) -> Result<()> {
        let copied = unprivileged("pg_basebackup")?
            .args(["--checkpoint=fast", "--wal-method=none", "--dbname", &self.address("postgres"), "-D"])
            .arg(self.folder.join("base"))
            .stdin(Stdio::null())
            .output()
            .context("cannot run pg_basebackup")?;
        ensure!(copied.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&copied.stderr));
        Ok(())
    }

    /// Waits until everything that was written so far is in the archive ([`LOG_ARCHIVED`]).
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn archive_log(&self) -> Result<()> {
        let last = self.psql("postgres", "SELECT pg_walfile_name(pg_switch_wal())")?;
        let archived = self.folder.join("archive").join(last.trim());
        until("the log to be archived", READY_WITHIN, async || Ok(archived.exists().then_some(()))).await
    }

    /// Starts the server, which was killed or stopped, from its base backup and the archived log, as it was
    /// at an instant (as `now()` shows it), and waits until it takes writes.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn recover(&mut self, instant: &str) -> Result<()> {
        let data = self.data();
        std::fs::rename(&data, self.folder.join("lost"))?;
        std::fs::rename(self.folder.join("base"), &data)?;
        let target = format!("recovery_target_time = '{instant}'");
        let from = "restore_command = 'cp ../archive/%f %p'";
        self.configure(&[from, &target, "recovery_target_action = 'promote'"])?;
        let signal = data.join("recovery.signal");
        std::fs::write(&signal, "")?;
        own(&signal)?;
        self.restart()?;
        let writes =
            async || Ok((self.psql("postgres", "SELECT pg_is_in_recovery()")?.trim() == "f").then_some(()));
        until("the recovered server to take writes", READY_WITHIN, writes).await
    }

    /// Makes a standby a server that takes writes.
    ///
    /// # Errors
    /// When it is none.
    pub fn promote(&self) -> Result<()> {
        self.control("promote")
    }

    /// Has `pg_ctl` tell the server something.
    fn control(&self, what: &str) -> Result<()> {
        let said = unprivileged("pg_ctl")?.arg(what).arg("-D").arg(self.data()).output();
        let said = said.context("cannot run pg_ctl")?;
        ensure!(said.status.success(), "pg_ctl {what}: {}", String::from_utf8_lossy(&said.stderr));
        Ok(())
    }

    /// A folder in this one, a port and a keeper.
    fn place(root: &Path) -> Result<Postgres> {
        let folder = tempfile::Builder::new().prefix("ciro-pg-").tempdir_in(root)?.keep();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start a shell")?;
        let kept = keeper.stdin.take().context("the keeper has no input")?;
        // A server does not start in a folder that others may look into.
        std::fs::DirBuilder::new().mode(0o700).create(folder.join("data"))?;
        own(&folder)?;
        own(&folder.join("data"))?;
        let databases = AtomicU32::new(0);
        Ok(Postgres { folder, port: free_port()?, server: None, databases, _kept: kept, keeper })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn configure(&self, settings: &[&str]) -> Result<()> {
        let file = self.data().join("postgresql.auto.conf");
        let mut text = std::fs::read_to_string(&file).unwrap_or_default();
        text += &format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nmax_connections = 100\n\
             shared_buffers = '64MB'\nwal_level = replica\nhot_standby = on\n",
            self.port,
            self.folder.display()
        );
        for setting in settings {
            text += setting;
            text.push('\n');
        }
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Runs a program of the server's package against it.
    fn run(&self, name: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(binary(name)?);
        command
            .args(args)
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", USER)
            .env("PGPASSWORD", PASSWORD)
            .stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot run {name}"))?;
        ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// PgBouncer in front of a server, in transaction mode; it ends with this.
#[derive(Debug)]
pub struct Bouncer {
    port: u16,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Bouncer {
    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Postgres {
    /// Starts PgBouncer in front of this server, with so many sessions for each database.
    ///
    /// # Errors
    /// When the package is not installed, or it does not answer.
    pub fn bouncer(&self, sessions: u32) -> Result<Bouncer> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let users = folder.path().join("users");
        std::fs::write(&users, format!("\"{USER}\" \"{PASSWORD}\"\n"))?;
        let file = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = {sessions}\nmax_client_conn = 100\nignore_startup_parameters = extra_float_digits\n",
            self.port,
            users.display()
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new("/usr/sbin/pgbouncer");
        for path in [folder.path(), &users, &file] {
            own(path)?;
        }
        if Uid::effective().is_root() {
            command.args(["-u", UNPRIVILEGED]);
        }
        command.arg(&file);
        let mut process = Process::start(&mut command, folder.path(), "pgbouncer")?;
        let patience = READY_WITHIN.as_millis() / 50;
        for _ in 0..patience {
            if let Some(status) = process.ended()? {
                bail!("pgbouncer ended with {status}:\n{}", process.last_words());
            }
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(Bouncer { port, _process: process, _folder: folder });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("pgbouncer does not answer; it said:\n{}", process.last_words())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // What fails here is the keeper's to do.
        let _ = self.kill();
        // Its input ends with this value; a second shell may be quicker, and nothing is left to do then.
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Makes a key and a certificate that vouches for itself, for a server on these names (`IP:127.0.0.1`), in a
/// folder that the server may read; the settings of the server, and the file of the certificate.
///
/// # Errors
/// When OpenSSL is not installed, or says no.
pub fn encrypted(folder: &Path, names: &str) -> Result<(Vec<String>, PathBuf)> {
    let at = |name: &str| folder.join(name);
    let (config, key, certificate) = (at("openssl.cnf"), at("server.key"), at("server.crt"));
    let text = format!(
        "[req]\ndistinguished_name = name\nx509_extensions = more\nprompt = no\n[name]\nCN = server\n\
         [more]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = {names}\n"
    );
    std::fs::write(&config, text)?;
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-config"])
        .arg(&config)
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .context("cannot run openssl")?;
    ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
    for path in [folder, &key, &certificate] {
        own(path)?;
    }
    let file = |name: &str, path: &Path| format!("{name} = '{}'", path.display());
    let settings = vec!["ssl = on".into(), file("ssl_cert_file", &certificate), file("ssl_key_file", &key)];
    Ok((settings, certificate))
}

/// A program of the newest server that is installed.
fn binary(name: &str) -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.filter_map(|version| {
        let number: u32 = version.file_name().to_string_lossy().parse().ok()?;
        let program = version.path().join("bin").join(name);
        program.exists().then_some((number, program))
    });
    let newest = found.max_by_key(|(number, _)| *number).map(|(_, program)| program);
    newest.with_context(|| {
        format!("{name} is not installed: run `cargo xtask setup`, or apt-get install postgresql")
    })
}

/// Gives a path to whoever the server is run as.
fn own(path: &Path) -> Result<()> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let user = nix::unistd::User::from_name(UNPRIVILEGED)?;
    let user = user.context("there is no user `postgres`: run `cargo xtask setup`")?;
    Ok(nix::unistd::chown(path, Some(user.uid), Some(user.gid))?)
}

/// A program that refuses to be run by root.
fn unprivileged(name: &str) -> Result<Command> {
    let program = binary(name)?;
    if !Uid::effective().is_root() {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", UNPRIVILEGED, "--regid", UNPRIVILEGED, "--init-groups"]).arg(program);
    command.current_dir(Path::new("/"));
    Ok(command)
}

/// Processes that one process started.
fn children_of(parent: u32) -> Result<Vec<i32>> {
    let listed = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
        .with_context(|| format!("cannot list the children of {parent}"))?;
    listed
        .split_whitespace()
        .map(|pid| pid.parse().with_context(|| format!("{pid:?} is no process")))
        .collect()
}
