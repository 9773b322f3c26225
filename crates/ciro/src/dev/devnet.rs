//! The devnet of `ciro dev`: a process that ends with this one, however this one ends. A shell between the
//! two waits for the end of its input, which the kernel brings about at the latest.

use crate::environment;
use crate::error::{Exit, Failure};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use tokio::time::timeout;

const PROGRAM: &str = "starknet-devnet";
/// The one that the contracts and the lane are tested on.
pub(super) const VERSION: &str = "0.10.1";
/// Its accounts are the same at each start.
const SEED: &str = "7";
/// Between two blocks, s: the contracts go by the time of blocks.
const BLOCK_EVERY: &str = "2";
const START: Duration = Duration::from_secs(30);
const KEEPER: &str = r#""$0" "$@" & cat > /dev/null; kill "$!" 2> /dev/null; wait "$!""#;

/// A running devnet.
#[derive(Debug)]
pub(super) struct Devnet {
    /// Where it listens.
    pub(super) url: String,
    keeper: Child,
}

/// The program, where it is installed.
pub(super) fn found() -> Option<PathBuf> {
    environment::tool(PROGRAM, VERSION)
}

/// How to get it, in one line.
pub(super) fn how_to_get() -> String {
    format!("cargo install {PROGRAM} --version {VERSION} --locked")
}

impl Devnet {
    /// Starts one with a new chain and so many accounts; what it says goes to `log`.
    pub(super) async fn start(program: &Path, accounts: usize, log: &Path) -> Result<Devnet, Failure> {
        let io = |what: &str| {
            let what = what.to_owned();
            move |error| Failure::io(what, &error)
        };
        // A socket's path must be short, which that of the state folder need not be.
        let folder = tempfile::tempdir().map_err(io("cannot make a folder"))?;
        let socket = folder.path().join("port");
        let listener = UnixListener::bind(&socket).map_err(io("cannot listen for the devnet's port"))?;
        let output = File::create(log).map_err(io("cannot write the devnet's log"))?;
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER]).arg(program).args(["--port", "0", "--seed", SEED]);
        command.args(["--accounts", &accounts.to_string(), "--block-generation-on", BLOCK_EVERY]);
        command.env("UNIX_SOCKET", &socket).env("RUST_LOG", "warn").stdin(Stdio::piped());
        command.stdout(output.try_clone().map_err(io("cannot write the devnet's log"))?).stderr(output);
        // Ctrl-C is for this program, which ends it when nobody needs it any more.
        let keeper = command.process_group(0).spawn().map_err(io("cannot start the devnet"))?;
        let mut devnet = Devnet { url: String::new(), keeper };
        let port = timeout(START, async {
            let (mut stream, _) = listener.accept().await?;
            let mut port = [0_u8; 2];
            stream.read_exact(&mut port).await?;
            std::io::Result::Ok(u16::from_be_bytes(port))
        });
        let Ok(port) = port.await else {
            let late =
                format!("the devnet did not start within {} s; see {}", START.as_secs(), log.display());
            return Err(Failure::new(Exit::Timeout, late));
        };
        let port = port.map_err(io("the devnet did not tell its port"))?;
        devnet.url = format!("http://127.0.0.1:{port}");
        Ok(devnet)
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        // The end of its input ends the devnet, then the shell.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
