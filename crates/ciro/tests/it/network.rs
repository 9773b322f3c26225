//! A running `ciro dev` in a folder of its own, and `ciro` commands beside it.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const CIRO: &str = env!("CARGO_BIN_EXE_ciro");
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(90);
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// Ends what it starts when its standard input is closed, which the kernel does for us at the
/// latest: the shared network has no owner that could end it.
const WATCH: &str = r#""$0" "$@" & cat > /dev/null; kill -TERM $!; wait $!"#;

/// A network.
pub(crate) struct Network {
    pub(crate) folder: TempDir,
    child: Child,
    pub(crate) url: String,
    pub(crate) key: String,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn of(output: Output) -> Said {
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output of a command that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// Standard error of a command that must have ended with `code`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        self.err
    }

    /// Standard output as JSON, of a command that must have succeeded.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

/// The network of this program's tests.
pub(crate) fn shared() -> &'static Network {
    static SHARED: OnceLock<Network> = OnceLock::new();
    SHARED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = plain_program("sh", folder.path());
        command
            .args(["-c", WATCH, CIRO, "dev", "--port", "0", "--chain", "off", "--workers", "2"])
            .stdin(Stdio::piped());
        Network::of(folder, command)
    })
}

impl Network {
    /// Starts one in a fresh folder, on a free port unless the flags name one, and waits until it is ready.
    pub(crate) fn start(flags: &[&str]) -> Network {
        Network::start_in(tempfile::tempdir().unwrap(), flags)
    }

    /// Starts one in a folder that may hold the state of an earlier one.
    pub(crate) fn start_in(folder: TempDir, flags: &[&str]) -> Network {
        // One that was killed leaves its address behind.
        let _ = std::fs::remove_file(folder.path().join(".ciro-dev/server.json"));
        let mut command = plain(folder.path());
        command.args(["dev", "--chain", "off"]).args(flags).stdin(Stdio::null());
        if !flags.contains(&"--port") {
            command.args(["--port", "0"]);
        }
        Network::of(folder, command)
    }

    pub(crate) fn of(folder: TempDir, mut command: Command) -> Network {
        let log = std::fs::File::create(folder.path().join("dev.log")).unwrap();
        let mut child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let file = folder.path().join(".ciro-dev/server.json");
        let begun = Instant::now();
        let server: Value = loop {
            if let Some(server) =
                std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok())
            {
                break server;
            }
            let log = || std::fs::read_to_string(folder.path().join("dev.log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "`ciro dev` ended:\n{}", log());
            assert!(begun.elapsed() < READY_WITHIN, "`ciro dev` was not ready in time:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        };
        let text = |name: &str| server[name].as_str().unwrap().to_owned();
        Network { url: text("url"), key: text("admin_key"), folder, child }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What `ciro dev` printed.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("dev.log")).unwrap()
    }

    /// Writes a file into the folder.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// `ciro` with these arguments in the folder, which finds the network by itself.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = plain(self.folder.path());
        command.args(args);
        command
    }

    pub(crate) fn ciro(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).stdin(Stdio::null()).output().unwrap())
    }

    /// The same with standard input.
    pub(crate) fn ciro_with(&self, stdin: &str, args: &[&str]) -> Said {
        use std::io::Write;
        let mut command = self.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        Said::of(child.wait_with_output().unwrap())
    }

    /// Sends a signal to `ciro dev` and says how it ended.
    pub(crate) fn signal_and_wait(&mut self, signal: &str) -> std::process::ExitStatus {
        send(self.child.id(), signal);
        wait(&mut self.child)
    }

    /// Ends it as Ctrl-C does, and keeps its folder.
    pub(crate) fn stop(mut self) -> TempDir {
        let status = self.signal_and_wait("INT");
        assert!(status.success(), "{status}:\n{}", self.log());
        self.give_folder()
    }

    /// The folder of a network that has ended.
    pub(crate) fn give_folder(mut self) -> TempDir {
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            send(self.child.id(), "KILL");
            let _ = self.child.wait();
        }
    }
}

/// `ciro` in a folder, without what this program's environment might tell it.
pub(crate) fn plain(folder: &Path) -> Command {
    plain_program(CIRO, folder)
}

fn plain_program(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    for name in ["CIRO_SERVER", "CIRO_API_KEY", "CIRO_CONTEXT", "CIRO_STATE", "RUST_LOG"] {
        command.env_remove(name);
    }
    // Contexts of whoever runs the tests are none of ours.
    command.env("XDG_CONFIG_HOME", folder.join("config"));
    command
}

pub(crate) fn run(mut command: Command) -> Said {
    Said::of(command.stdin(Stdio::null()).output().unwrap())
}

pub(crate) fn send(pid: u32, signal: &str) {
    assert!(Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().unwrap().success());
}

pub(crate) fn wait(child: &mut Child) -> std::process::ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < ENDED_WITHIN, "it did not end in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}
