//! A devnet, a pool over it, and accounts that pay each other.

use ciro_chain::Felt;
use ciro_chain::keys::{Account, SigningKey};
use ciro_chain::network::{ChainId, STRK};
use ciro_chain::rpc::{Patience, Pool, PoolOptions, read};
use ciro_chain::tx::fee::FeePolicy;
use ciro_chain::tx::outcome::{Landed, Sent};
use ciro_chain::tx::sign::Terms;
use ciro_chain::tx::{Bounds, Call, Signed, Unsigned, send};
use ciro_core::amount::Fri;
use ciro_testkit::{Devnet, DevnetOptions, until};
use std::time::Duration;

pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) devnet: Devnet,
    pub(crate) pool: Pool,
    pub(crate) accounts: Vec<Account>,
}

pub(crate) fn options() -> PoolOptions {
    // Short, so that a node that is paused does not hold the test up.
    let patience = Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(3) };
    PoolOptions { chain: Some(ChainId::SEPOLIA), patience, ..PoolOptions::default() }
}

pub(crate) async fn pool(urls: &[&str]) -> Pool {
    let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
    let pool = Pool::new(&urls, options()).unwrap();
    pool.refresh().await;
    pool
}

impl World {
    pub(crate) async fn start(options: DevnetOptions) -> World {
        let devnet = Devnet::start(options).await.unwrap();
        let pool = pool(&[devnet.url()]).await;
        let accounts = devnet.accounts().await.unwrap().into_iter().map(|account| Account {
            address: Felt::from_hex(&account.address).unwrap(),
            key: SigningKey::from_hex(&account.private_key).unwrap(),
        });
        let accounts = accounts.collect();
        World { devnet, pool, accounts }
    }

    pub(crate) fn terms(&self, account: usize, nonce: u64) -> Terms<'_> {
        Terms { chain: ChainId::SEPOLIA, account: &self.accounts[account], nonce, bounds: Bounds::default() }
    }

    pub(crate) async fn nonce(&self, account: usize) -> u64 {
        read::nonce(&self.pool, self.accounts[account].address).await.unwrap().unwrap()
    }

    /// A transfer, signed with bounds from an estimate at the account's next nonce.
    pub(crate) async fn signed(&self, account: usize, nonce: u64, amount: u64) -> Signed {
        self.signed_calls(account, nonce, vec![self.transfer(1, amount)]).await
    }

    /// The same with any calls.
    pub(crate) async fn signed_calls(&self, account: usize, nonce: u64, calls: Vec<Call>) -> Signed {
        let transfer = Unsigned::Invoke(calls);
        let next = self.nonce(account).await;
        let estimate = send::estimate(&self.pool, &transfer, self.terms(account, next)).await.unwrap();
        let bounds = FeePolicy::default().bounds(&estimate, Fri(0)).unwrap();
        transfer.sign(Terms { bounds, ..self.terms(account, nonce) }).unwrap()
    }

    pub(crate) fn transfer(&self, to: usize, amount: impl Into<Felt>) -> Call {
        let calldata = vec![self.accounts[to].address, amount.into(), Felt::ZERO];
        Call { to: STRK, selector: read::selector("transfer"), calldata }
    }

    /// Lets an account spend so much of another's.
    pub(crate) async fn approve(&self, owner: usize, spender: usize, amount: u64) {
        let calldata = vec![self.accounts[spender].address, amount.into(), Felt::ZERO];
        let call = Call { to: STRK, selector: read::selector("approve"), calldata };
        let signed = self.signed_calls(owner, self.nonce(owner).await, vec![call]).await;
        assert_eq!(send::send(&self.pool, &signed).await, Sent::Accepted);
        self.landed(signed.hash).await;
    }

    /// Moves what somebody may spend of another's.
    pub(crate) fn transfer_from(&self, owner: usize, to: usize, amount: u64) -> Call {
        let (owner, to) = (self.accounts[owner].address, self.accounts[to].address);
        Call {
            to: STRK,
            selector: read::selector("transfer_from"),
            calldata: vec![owner, to, amount.into(), Felt::ZERO],
        }
    }

    pub(crate) async fn landed(&self, hash: Felt) -> Landed {
        until("the transaction to land", LONG, async || Ok(send::look(&self.pool, hash).await?))
            .await
            .unwrap()
    }
}
