//! The chain as this coordinator sees it: its nodes, and what was last seen of the account that sends and of
//! the contract. Whoever looks after the nodes keeps it fresh ([`Chain::look`]); everybody else reads, and
//! asks no node for it.

pub mod shown;

use crate::config::Blockchain;
use ciro_chain::Felt;
use ciro_chain::check::{self, Escrow, Expected, Finding};
use ciro_chain::contract::artifact::{Contract, Hashes};
use ciro_chain::contract::escrow::Totals;
use ciro_chain::contract::{DecodeError, ViewError};
use ciro_chain::keys::Account;
use ciro_chain::network::{Page, explorer};
use ciro_chain::rpc::read::{self, Header};
use ciro_chain::rpc::{Pool, PoolOptions};
use ciro_core::amount::Fri;
use ciro_core::time::Timestamp;
use ciro_store::ChainSum;
use parking_lot::RwLock;
use std::sync::{Arc, OnceLock};

/// Time between two looks at account and contract while they are as they should be, ms.
const LOOK_EVERY_MS: u64 = 60_000;

/// Why a chain cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The endpoints.
    #[error("blockchain.rpc_url: {0}")]
    Url(#[from] ciro_chain::rpc::UrlError),
    /// What was built into the program.
    #[error(transparent)]
    Artifact(#[from] DecodeError),
}

/// See the module.
#[derive(Debug)]
pub struct Chain {
    /// The nodes.
    pub pool: Arc<Pool>,
    /// The escrow contract, where one is named.
    pub contract: Option<Felt>,
    /// The hashes of the class that it should have.
    pub expected: Hashes,
    min_balance: Fri,
    signer: OnceLock<Arc<Account>>,
    seen: RwLock<Seen>,
    compared: RwLock<Compared>,
}

/// Comparisons of the books with the contract.
#[derive(Debug, Clone, Default)]
pub struct Compared {
    /// The last one; `None` before the first.
    pub last: Option<Reconciled>,
    /// Since when there was none and why, where that is too long.
    pub overdue: Option<String>,
}

/// What was last seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// When; `None` before the first look.
    pub at: Option<Timestamp>,
    /// The newest block.
    pub head: Option<Header>,
    /// The account that sends.
    pub account: Option<SeenAccount>,
    /// The class of the contract.
    pub class: Option<Felt>,
    /// The contract, where it is what it should be.
    pub escrow: Option<Escrow>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// Why the look did not come to its end.
    pub error: Option<String>,
}

/// What a comparison of what was read with the contract came to.
#[derive(Debug, Clone)]
pub struct Reconciled {
    /// When.
    pub at: Timestamp,
    /// The block of the sums.
    pub block: u64,
    /// Escrows that were compared one by one.
    pub escrows: u64,
    /// Escrows that are not over.
    pub open: u64,
    /// Those of them that no job is paid from.
    pub foreign: ChainSum,
    /// Jobs that were settled and were compared with their escrows.
    pub jobs: u64,
    /// What the contract says that it owes.
    pub totals: Totals,
    /// What it has of the token.
    pub balance: u128,
    /// In how many respects they differ.
    pub differences: u64,
    /// The first of them, for people.
    pub findings: Vec<String>,
}

/// An account as it was seen.
#[derive(Debug, Clone, Copy)]
pub struct SeenAccount {
    /// What it has.
    pub balance: Fri,
    /// Its next nonce; `None` where it is not on the chain.
    pub nonce: Option<u64>,
}

impl Chain {
    /// The chain that the settings name; `None` where they name no node. No node is asked.
    ///
    /// # Errors
    /// When a URL is none, or the program is damaged.
    pub fn of(config: &Blockchain) -> Result<Option<Chain>, ChainError> {
        if config.rpc_url.is_none() {
            return Ok(None);
        }
        let options = PoolOptions { chain: config.chain(), ..PoolOptions::default() };
        Ok(Some(Chain {
            pool: Arc::new(Pool::new(&config.urls(), options)?),
            contract: config.contract(),
            expected: Contract::JobEscrow.hashes()?,
            min_balance: config.min_balance,
            signer: OnceLock::new(),
            seen: RwLock::default(),
            compared: RwLock::default(),
        }))
    }

    /// Says who signs, once it is unlocked.
    pub fn signs(&self, account: Arc<Account>) {
        // A coordinator has one account as long as it runs.
        let _ = self.signer.set(account);
    }

    /// Who signs.
    #[must_use]
    pub fn signer(&self) -> Option<&Arc<Account>> {
        self.signer.get()
    }

    /// What was last seen.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.read().clone()
    }

    /// Keeps what the last comparison came to.
    pub fn reconciled(&self, done: Reconciled) {
        *self.compared.write() = Compared { last: Some(done), overdue: None };
    }

    /// Says since when there was no comparison, and why.
    pub fn overdue(&self, words: String) {
        self.compared.write().overdue = Some(words);
    }

    /// What comparisons came to.
    #[must_use]
    pub fn comparisons(&self) -> Compared {
        self.compared.read().clone()
    }

    /// Where people look at something, on public networks: a devnet has the id of the public test network,
    /// and no explorer.
    #[must_use]
    pub fn explorer(&self, page: Page) -> Option<String> {
        let chain = self.pool.chain().filter(|_| !self.pool.is_local())?;
        explorer(chain, page)
    }

    /// Looks at the head, and when it is time, or something was wrong, at account and contract. What is
    /// found for the first time is logged. At least one node must be good.
    pub async fn look(&self, now: Timestamp) {
        let before = self.seen();
        let young = before.at.is_some_and(|at| now.since_ms(at) < LOOK_EVERY_MS);
        let mut seen = before.clone();
        let looked = if young && before.findings.is_empty() && before.error.is_none() {
            self.look_at_head(&mut seen).await
        } else {
            self.look_at_all(&mut seen, now).await
        };
        seen.error = looked.err().map(|error| error.to_string());
        for finding in seen.findings.iter().filter(|finding| !before.findings.contains(finding)) {
            tracing::error!("on the chain: {finding}");
        }
        *self.seen.write() = seen;
    }

    async fn look_at_head(&self, seen: &mut Seen) -> Result<(), ViewError> {
        let number = read::head(&self.pool).await?.number;
        seen.head = read::header(&self.pool, number).await?;
        Ok(())
    }

    async fn look_at_all(&self, seen: &mut Seen, now: Timestamp) -> Result<(), ViewError> {
        self.look_at_head(seen).await?;
        let mut findings = Vec::new();
        let address = self.signer().map(|signer| signer.address);
        if let Some(address) = address {
            let (balance, found) = check::account(&self.pool, address, self.min_balance).await?;
            let nonce = read::nonce(&self.pool, address).await?;
            seen.account = Some(SeenAccount { balance, nonce });
            findings.extend(found);
        }
        if let Some(contract) = self.contract {
            let expected = Expected { address: contract, class: Some(self.expected.class_hash) };
            let (class, found) = check::contract(&self.pool, expected).await?;
            (seen.class, seen.escrow) = (class, None);
            match found {
                Some(finding) => findings.push(finding),
                None => {
                    let (escrow, found) = check::escrow(&self.pool, contract, address).await?;
                    seen.escrow = Some(escrow);
                    findings.extend(found);
                }
            }
        }
        (seen.findings, seen.at) = (findings, Some(now));
        Ok(())
    }
}
