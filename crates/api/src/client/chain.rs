//! Starknet, as the coordinator sees it.

use super::{Client, Error};
use crate::chain::{
    ChainContracts, ChainEstimate, ChainEvent, ChainReconciliation, ChainStatus, ChainTransaction,
    NewEstimate,
};
use crate::page::{Page, PageQuery};
use reqwest::Method;

impl Client {
    /// How the chain is.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn chain_status(&self) -> Result<ChainStatus, Error> {
        self.get("/v1/chain/status").await
    }

    /// The contracts that the coordinator works with.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn chain_contracts(&self) -> Result<ChainContracts, Error> {
        self.get("/v1/chain/contracts").await
    }

    /// What the last comparison of the books with the contract came to; the operator's.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn chain_reconcile(&self) -> Result<ChainReconciliation, Error> {
        self.get("/v1/chain/reconcile").await
    }

    /// A page of the transactions that the coordinator sent, the newest first; the operator's.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn chain_transactions(&self, page: &PageQuery) -> Result<Page<ChainTransaction>, Error> {
        self.decoded(self.request(Method::GET, "/v1/chain/transactions").query(page).send().await).await
    }

    /// A page of what happened to the contract, the newest first.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn chain_events(&self, page: &PageQuery) -> Result<Page<ChainEvent>, Error> {
        self.decoded(self.request(Method::GET, "/v1/chain/events").query(page).send().await).await
    }

    /// A transaction that the coordinator sent; the operator's.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn chain_transaction(&self, hash: &str) -> Result<ChainTransaction, Error> {
        self.get(&format!("/v1/chain/transactions/{hash}")).await
    }

    /// What a call from the coordinator's account would cost; the operator's.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn chain_estimate(&self, call: &NewEstimate) -> Result<ChainEstimate, Error> {
        self.decoded(self.request(Method::POST, "/v1/chain/estimate").json(call).send().await).await
    }
}
