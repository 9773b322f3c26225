//! `ciro dev`: a whole network in one process. A devnet first, where one is installed, then the coordinator,
//! then the workers, each with a folder of its own; once the API answers and every worker is online,
//! `server.json` says where. It ends in the other order. A second signal ends at once.

mod announce;
mod balance;
mod chain;
mod coordinator;
mod devnet;
mod keys;
mod share;

use crate::connect::{SERVER_FILE, STATE_FOLDER, ServerArgs, ServerFile};
use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::private;
use crate::signals;
use chain::{Chain, WhenChain};
use ciro_api::client::Client;
use ciro_api::system::{Component, ComponentState, Status};
use ciro_core::amount::Fri;
use ciro_core::resources::Offer;
use coordinator::Coordinator;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The port unless another one is asked for.
pub(crate) const PORT: u16 = 8080;
/// How long everything together may take to be up.
const READY_WITHIN: Duration = Duration::from_secs(60);
const BEGUN_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Running attempts get that long to end when the network is stopped; then they are handed back.
const WORKER_GRACE_MS: u64 = 2_000;

const EXAMPLES: &str = "\
Once it is ready it writes DIR/server.json (url, admin_key), by which `ciro` in the same folder or below finds it.

Examples:
  ciro dev
  ciro dev --port 0 --workers 1 --state /tmp/try
  ciro dev --chain off --price-fri 3600000000000000000    paid from balances: 1 mSTRK a second
  RUST_LOG=info ciro dev                            with the log";

/// What to run.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct DevArgs {
    /// Port of the API; 0 picks a free one
    #[arg(long, value_name = "N", default_value_t = PORT)]
    pub port: u16,
    /// How many workers
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// What each worker asks for an hour of one attempt, in FRI (1e-18 STRK)
    #[arg(long = "price-fri", value_name = "FRI", default_value = "0")]
    pub price: Fri,
    /// Whether a devnet of Starknet is started, with the contracts on it
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub chain: WhenChain,
}

/// What is up.
struct Parts {
    url: String,
    chain: Chain,
    price: Fri,
    state: PathBuf,
    /// Commands in the current folder find it without being told.
    found_from_here: bool,
}

pub(crate) async fn run(args: DevArgs, server: &ServerArgs, out: Output) -> Result<(), Failure> {
    signals::log_to_stderr("warn");
    let state = server.named_state().unwrap_or_else(|| PathBuf::from(STATE_FOLDER));
    let found_from_here = server.state_dir.is_none();
    let end = CancellationToken::new();
    let network = up_and_down(&args, &state, found_from_here, out, &end);
    signals::until_asked(network, &end, || out.remark("\n  stopping (again to stop at once)")).await
}

/// Brings everything up, stays until it is asked to end or a part fails, and takes it down.
async fn up_and_down(
    args: &DevArgs,
    state: &Path,
    found_from_here: bool,
    out: Output,
    end: &CancellationToken,
) -> Result<(), Failure> {
    let whole = prepare(state)?;
    coordinator::free(args.port)?;
    out.remark("  bringing it up …");
    let chain = Chain::start(args.chain, state).await;
    let mut coordinator = Coordinator::start(state, args.port, chain.settings()).await?;
    // From here on the database is ours, so what an earlier run left behind may go.
    let _ = std::fs::remove_file(state.join(SERVER_FILE));
    let (url, price) = (coordinator.url.clone(), args.price);
    let parts = Parts { url, chain, price, state: state.to_owned(), found_from_here };
    let mut workers = Workers { tasks: JoinSet::new(), end: CancellationToken::new() };
    let stay = async {
        bring_up(args.workers, &parts, &whole, &mut coordinator, &mut workers, out).await?;
        tokio::select! {
            failure = workers.broken(out) => Err(failure),
            failure = coordinator.failed(state) => Err(failure),
        }
    };
    let outcome = tokio::select! {
        biased;
        () = end.cancelled() => Ok(()),
        failed = stay => failed,
    };
    let _ = std::fs::remove_file(state.join(SERVER_FILE));
    workers.stop().await;
    let stopped = coordinator.stop(state).await;
    outcome.and(stopped)
}

/// Everything up to the moment when the network is ready for its first job.
async fn bring_up(
    count: u16,
    parts: &Parts,
    whole: &Offer,
    coordinator: &mut Coordinator,
    workers: &mut Workers,
    out: Output,
) -> Result<(), Failure> {
    let say = |words: &dyn Fn() -> Result<(), Failure>| if out.quiet { Ok(()) } else { words() };
    let client = Client::new(&parts.url, Some(&coordinator.admin_key))?;
    ready(&client).await?;
    let database = format!("SQLite  {}", coordinator.database.display());
    say(&|| announce::head(&parts.state))?;
    say(&|| announce::chain(&parts.chain))?;
    say(&|| announce::part("database", &database, coordinator.took))?;
    let (joined, offer) = (Instant::now(), share::share(whole, count));
    workers.start(count, &client, parts, &offer, coordinator.join_token.take()).await?;
    tokio::select! {
        up = online(&client, count) => up?,
        failure = workers.first_to_end() => return Err(failure),
    }
    say(&|| announce::part("workers", &announce::offer(count, &offer), joined.elapsed()))?;
    let balance = balance::fund(&client).await?;
    say(&|| announce::balance(&balance))?;
    let status = begun(&client).await?;
    say(&|| announce::components(&status, &parts.chain))?;
    write_server_file(parts, &coordinator.admin_key)?;
    say(&|| announce::next(parts))
}

/// The state folder, and what the machine has for the workers.
fn prepare(state: &Path) -> Result<Offer, Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state);
    made.map_err(|error| {
        Failure::io(format!("cannot make the state folder {}", state.display()), &error)
            .hint("name another one: `ciro dev --state DIR`")
    })?;
    match ciro_worker::detect(state) {
        Ok(found) => Ok(found.capabilities.offer),
        Err(error) => Err(Failure::new(Exit::Failure, format!("cannot tell what this machine has: {error}"))),
    }
}

async fn ready(client: &Client) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        match client.raw(reqwest::Method::GET, "/health/ready", None).await {
            Ok(_) => return Ok(()),
            Err(error) if began.elapsed() > READY_WITHIN => return Err(error.into()),
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

async fn online(client: &Client, wanted: u16) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let online = client.worker_stats().await?.by_state.get("online").copied().unwrap_or(0);
        if online >= u64::from(wanted) {
            return Ok(());
        }
        if began.elapsed() > READY_WITHIN {
            let message =
                format!("{online} of {wanted} workers are online after {} s", READY_WITHIN.as_secs());
            return Err(
                Failure::new(Exit::Timeout, message).hint("`RUST_LOG=info ciro dev` says what they do")
            );
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// How every part is once it has had a moment to begin, well or not.
async fn begun(client: &Client) -> Result<Status, Failure> {
    let began = Instant::now();
    loop {
        let status = client.status().await?;
        let well = |part: &Component| matches!(part.state, ComponentState::Ok | ComponentState::Off);
        if status.components.values().all(well) || began.elapsed() > BEGUN_WITHIN {
            return Ok(status);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Written beside its final name, so that no reader sees half of it.
fn write_server_file(parts: &Parts, admin_key: &str) -> Result<(), Failure> {
    let file = ServerFile { url: parts.url.clone(), admin_key: admin_key.to_owned() };
    private::write(&parts.state.join(SERVER_FILE), &serde_json::to_vec_pretty(&file).unwrap_or_default())
}

/// The workers of this process.
struct Workers {
    /// Each ends with what there is to say about it.
    tasks: JoinSet<String>,
    end: CancellationToken,
}

impl Workers {
    async fn start(
        &mut self,
        count: u16,
        client: &Client,
        parts: &Parts,
        offer: &Offer,
        join_token: Option<String>,
    ) -> Result<(), Failure> {
        let folder = parts.state.join("workers");
        // Workers of an earlier run are known by their own keys.
        let known = client.worker_stats().await?.total >= u64::from(count);
        let token = match join_token {
            Some(token) => Some(token),
            None if known => None,
            None => Some(keys::join_token(client).await?),
        };
        for n in 1..=count {
            let config = ciro_worker::Config {
                join_token: token.clone().map(Into::into),
                cpu_millis: Some(offer.cpu_millis),
                memory_bytes: Some(offer.memory_bytes),
                disk_bytes: Some(offer.disk_bytes),
                price: parts.price,
                payout: parts.chain.payout(),
                drain_grace_ms: WORKER_GRACE_MS,
                ..ciro_worker::Config::new(&parts.url, format!("dev-{n}"), folder.join(n.to_string()))
            };
            let end = self.end.clone();
            self.tasks.spawn(async move {
                match ciro_worker::run(config, end).await {
                    Ok(()) => format!("worker dev-{n} has ended"),
                    Err(error) => format!("worker dev-{n} has ended: {error}"),
                }
            });
        }
        Ok(())
    }

    /// A worker that ends before all are up cannot be had.
    async fn first_to_end(&mut self) -> Failure {
        let words = match self.tasks.join_next().await {
            Some(Ok(words)) => words,
            Some(Err(error)) => format!("a worker broke down: {error}"),
            None => return std::future::pending().await,
        };
        Failure::new(Exit::Failure, words)
    }

    /// Tells of each worker that ends, since the API can remove them, and completes when
    /// one breaks down.
    async fn broken(&mut self, out: Output) -> Failure {
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(words) => out.remark(&format!("  {words}")),
                Err(error) => return Failure::new(Exit::Failure, format!("a worker broke down: {error}")),
            }
        }
        std::future::pending().await
    }

    async fn stop(&mut self) {
        self.end.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
