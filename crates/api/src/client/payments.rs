//! Money, as tenants look at it and as the operator moves it.

use super::jobs::keyed;
use super::{Client, Error};
use crate::page::{Page, PageQuery};
use crate::payment::{
    Balance, BalanceQuery, LedgerEntry, LedgerQuery, LedgerTotals, NewDeposit, NewWithdrawal,
};
use ciro_core::id::TenantId;
use reqwest::Method;

impl Client {
    /// What a tenant has; the caller's own where none is named.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn payment_balance(&self, tenant: Option<TenantId>) -> Result<Balance, Error> {
        let request = self.request(Method::GET, "/v1/payments/balance").query(&BalanceQuery { tenant });
        self.decoded(request.send().await).await
    }

    /// A page of the ledger of a tenant, the newest first; the caller's own where none is named.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn payment_ledger(
        &self,
        tenant: Option<TenantId>,
        page: &PageQuery,
    ) -> Result<Page<LedgerEntry>, Error> {
        let PageQuery { limit, cursor, filter } = page.clone();
        let query = LedgerQuery { limit, cursor, filter, tenant };
        self.decoded(self.request(Method::GET, "/v1/payments/ledger").query(&query).send().await).await
    }

    /// All balances together, for the operator.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn payment_totals(&self) -> Result<LedgerTotals, Error> {
        self.get("/v1/payments/totals").await
    }

    /// Says that money came in for a tenant. The same `idempotency_key` brings it in once.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn payment_deposit(
        &self,
        deposit: &NewDeposit,
        idempotency_key: Option<&str>,
    ) -> Result<LedgerEntry, Error> {
        let request = self.request(Method::POST, "/v1/payments/deposits").json(deposit);
        self.decoded(keyed(request, idempotency_key).send().await).await
    }

    /// Says that money of a tenant went out. The same `idempotency_key` takes it out once.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn payment_withdraw(
        &self,
        withdrawal: &NewWithdrawal,
        idempotency_key: Option<&str>,
    ) -> Result<LedgerEntry, Error> {
        let request = self.request(Method::POST, "/v1/payments/withdrawals").json(withdrawal);
        self.decoded(keyed(request, idempotency_key).send().await).await
    }
}
