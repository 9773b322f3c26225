//! Which nodes are asked, and for which chain.

use crate::error::{Exit, Failure};
use ciro_chain::Felt;
use ciro_chain::network::{ChainId, Page, explorer};
use ciro_chain::rpc::{Pool, PoolOptions};

/// Which nodes, and which chain.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// A node's JSON-RPC endpoint, specification 0.10; several, the most trusted first
    #[arg(
        long = "rpc",
        value_name = "URL",
        env = "STARKNET_RPC",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(super) urls: Vec<String>,
    /// The chain that is meant: mainnet, sepolia, or an id; another one is refused [default: the first node's]
    #[arg(long, value_name = "CHAIN", env = "STARKNET_NETWORK")]
    pub(super) network: Option<ChainId>,
}

/// Nodes that were looked at, at least one of them good.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) pool: Pool,
    pub(super) chain: ChainId,
}

impl NetworkArgs {
    /// Whether nodes are named; else the coordinator is asked.
    pub(super) fn names_nodes(&self) -> bool {
        !self.urls.is_empty()
    }

    /// The nodes, looked at; some or all of them may not be good.
    pub(super) async fn look(&self) -> Result<Pool, Failure> {
        let options = PoolOptions { chain: self.network, ..PoolOptions::default() };
        let pool = Pool::new(&self.urls, options)?;
        pool.refresh().await;
        Ok(pool)
    }

    /// The nodes and their chain.
    pub(super) async fn connect(&self) -> Result<Network, Failure> {
        let pool = self.look().await?;
        match pool.chain() {
            Some(chain) => Ok(Network { pool, chain }),
            None => Err(none_good(&pool)),
        }
    }
}

/// Why none of the nodes can be asked.
pub(super) fn none_good(pool: &Pool) -> Failure {
    let each = pool
        .status()
        .into_iter()
        .map(|status| format!("{}: {}", status.endpoint, status.reason.unwrap_or_default()));
    let failure = Failure::new(
        Exit::Unavailable,
        format!("no node can be asked: {}", each.collect::<Vec<_>>().join("; ")),
    );
    failure.hint("`ciro chain status` shows each; --rpc names others, --network another chain")
}

impl Network {
    /// Where people look at something, on public networks.
    pub(super) fn explorer(&self, page: Page) -> Option<String> {
        // A devnet has the id of the public test network, and no explorer.
        if self.pool.is_local() { None } else { explorer(self.chain, page) }
    }
}

/// A number in hex or decimal, as addresses and hashes are typed.
///
/// # Errors
/// A sentence that says what is accepted.
pub(super) fn felt(text: &str) -> Result<Felt, String> {
    let parsed = if text.starts_with("0x") { Felt::from_hex(text) } else { Felt::from_dec_str(text) };
    parsed.map_err(|_| "expected a number of Starknet in hex or decimal: 0x49d3…".into())
}
