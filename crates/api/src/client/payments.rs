//! Money, as tenants look at it and as the operator moves it.

use super::jobs::keyed;
use super::{Client, Error};
use crate::page::{Page, PageQuery};
use crate::payment::{
    Balance, BalanceQuery, Earnings, EarningsQuery, LedgerEntry, LedgerTotals, MoneyListQuery, NewDeposit,
    NewWithdrawal, PaymentEscrow, PaymentSettlement,
};
use ciro_core::id::TenantId;
use reqwest::Method;
use serde::de::DeserializeOwned;

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
        self.money_list("/v1/payments/ledger", tenant, page).await
    }

    /// A page of what is locked for the jobs of a tenant, the newest first; the caller's own where none is
    /// named.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn payment_escrows(
        &self,
        tenant: Option<TenantId>,
        page: &PageQuery,
    ) -> Result<Page<PaymentEscrow>, Error> {
        self.money_list("/v1/payments/escrows", tenant, page).await
    }

    /// A page of how the money of a tenant's ended jobs was shared out, the newest first; the caller's own
    /// where none is named.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn payment_settlements(
        &self,
        tenant: Option<TenantId>,
        page: &PageQuery,
    ) -> Result<Page<PaymentSettlement>, Error> {
        self.money_list("/v1/payments/settlements", tenant, page).await
    }

    /// What the workers of a tenant earned.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn payment_earnings(&self, query: &EarningsQuery) -> Result<Earnings, Error> {
        self.decoded(self.request(Method::GET, "/v1/payments/earnings").query(query).send().await).await
    }

    async fn money_list<T: DeserializeOwned>(
        &self,
        path: &str,
        tenant: Option<TenantId>,
        page: &PageQuery,
    ) -> Result<Page<T>, Error> {
        let PageQuery { limit, cursor, filter } = page.clone();
        let query = MoneyListQuery { limit, cursor, filter, tenant };
        self.decoded(self.request(Method::GET, path).query(&query).send().await).await
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
