//! The coordinator's own books as they are stored: accounts with the sums of what went through them, and
//! the transfers between them, which never change ([`ciro_core::money`] says what they mean). Money comes
//! in and goes out by the operator's word, in the rare writes here; what jobs move, the writer moves.
//!
//! Invariant: a transfer and both of its accounts are written in one transaction, and no account gives
//! what it has not: neither this program nor the schema lets it.

use crate::account::{Created, remember, replayed};
use crate::audit::{Noted, Transaction};
use crate::error::Error;
use crate::read::MAX_PAGE;
use crate::request::Idempotency;
use crate::sql::{Link, Row, Value, params};
use crate::writer::Store;
use ciro_core::amount::Fri;
use ciro_core::id::{JobId, TenantKey, TransferId};
use ciro_core::money::{Account, AccountKind, MoneyError, OPERATOR, Sums, Transfer, TransferCode};
use ciro_core::time::Timestamp;
use serde_json::json;
use uuid::Uuid;

/// The most bytes of a reference and of a note.
pub const MAX_MONEY_TEXT: usize = 256;

/// Money that came from outside for a tenant, or goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoneyOrder {
    /// Minted at the edge.
    pub id: TransferId,
    /// Whose money.
    pub tenant: TenantKey,
    /// How much.
    pub amount: Fri,
    /// What it is called outside, at most [`MAX_MONEY_TEXT`] bytes: money of one name comes in once and
    /// goes out once.
    pub reference: Option<String>,
    /// For people, at most [`MAX_MONEY_TEXT`] bytes.
    pub note: Option<String>,
}

/// A transfer as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRow {
    /// Its place among all transfers, from 1, without gaps.
    pub no: u64,
    /// When it was made.
    pub at: Timestamp,
    /// From where to where, and how much.
    pub transfer: Transfer,
    /// The public id of a deposit or withdrawal.
    pub id: Option<TransferId>,
    /// What it is called outside.
    pub reference: Option<String>,
    /// For people.
    pub note: Option<String>,
}

/// An account and what went through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountRow {
    /// Whose, and what for.
    pub account: Account,
    /// What went through it.
    pub sums: Sums,
}

impl AccountRow {
    /// What is there.
    #[must_use]
    pub const fn balance(&self) -> Fri {
        self.sums.balance(self.account.kind)
    }
}

/// Which transfers are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransferQuery {
    /// Those that take from or give to an account of this tenant; `None` is all, for the operator.
    pub tenant: Option<TenantKey>,
    /// Only those before this number.
    pub before: Option<u64>,
    /// Of this kind only.
    pub code: Option<TransferCode>,
    /// About this job only.
    pub job: Option<JobId>,
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

/// All balances of a kind together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindTotal {
    /// The kind.
    pub kind: AccountKind,
    /// What is on all accounts of it; of [`AccountKind::External`], what is owed to those outside.
    pub balance: Fri,
}

impl Store {
    /// Takes the operator's word that money came in for a tenant; with `idempotency` of the tenant `by`,
    /// an identical call within 24 h gets the transfer of the first, and a reference that was used for the
    /// same gets its transfer at any time.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such tenant, [`Error::Taken`] when the reference was used for
    /// something else, [`Error::Money`] for an amount that cannot be, [`Error::IdempotencyMismatch`].
    pub async fn deposit(
        &self,
        by: TenantKey,
        order: MoneyOrder,
        idempotency: Option<Idempotency>,
        now: Timestamp,
    ) -> Result<Created<TransferRow>, Error> {
        let transfer = Transfer::deposit(order.tenant, order.amount);
        self.rare(move |c| ordered(c, by, &order, transfer, idempotency, now)).await
    }

    /// Takes the operator's word that money of a tenant goes out, from what is `available` or `earned`;
    /// repeated calls as for [`Store::deposit`].
    ///
    /// # Errors
    /// [`Error::Money`] with what is there when that is not enough, or when `from` is no account that
    /// money can leave; the others as for [`Store::deposit`].
    pub async fn withdraw(
        &self,
        by: TenantKey,
        order: MoneyOrder,
        from: AccountKind,
        idempotency: Option<Idempotency>,
        now: Timestamp,
    ) -> Result<Created<TransferRow>, Error> {
        let transfer = Transfer::withdraw(order.tenant, from, order.amount);
        self.rare(move |c| ordered(c, by, &order, transfer, idempotency, now)).await
    }

    /// The accounts of a tenant, or of [`OPERATOR`], in order of their kinds; those that
    /// nothing went through yet are empty.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn accounts(&self, tenant: TenantKey) -> Result<Vec<AccountRow>, Error> {
        self.read(move |c| {
            let kinds = AccountKind::ALL.into_iter().map(|kind| Account { tenant, kind });
            let own = kinds.filter(|account| account.kind.is_operators() == (tenant == OPERATOR));
            c.snapshot(|c| own.map(|account| Ok(AccountRow { account, sums: sums(c, account)? })).collect())
        })
        .await
    }

    /// Transfers, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn transfers(&self, query: TransferQuery, limit: u32) -> Result<Vec<TransferRow>, Error> {
        self.read(move |c| {
            let Select { sql, values } = select(&query, limit.clamp(1, MAX_PAGE));
            c.rows(&sql, values.as_slice(), transfer_from_row)
        })
        .await
    }

    /// What is on all accounts of each kind: that of all tenants and the treasury is what is owed to those
    /// outside.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn ledger_totals(&self) -> Result<Vec<KindTotal>, Error> {
        self.read(|c| {
            let mut totals = AccountKind::ALL.map(|kind| KindTotal { kind, balance: Fri(0) });
            for row in c.rows(&format!("SELECT {ACCOUNT} FROM accounts"), (), account_from_row)? {
                let total = &mut totals[row.account.kind as usize].balance;
                *total = Fri(total.0.saturating_add(row.balance().0));
            }
            Ok(totals.to_vec())
        })
        .await
    }
}

/// A deposit or withdrawal, made once.
fn ordered(
    c: &Transaction<'_>,
    by: TenantKey,
    order: &MoneyOrder,
    transfer: Transfer,
    idempotency: Option<Idempotency>,
    now: Timestamp,
) -> Result<Created<TransferRow>, Error> {
    if let Some(ids) = replayed(c, by, idempotency, now)? {
        let first = TransferId(ids.first().copied().ok_or(Error::NotFound)?);
        c.note(Noted::Unchanged);
        return by_id(c, first)?.map(Created::Replayed).ok_or(Error::NotFound);
    }
    if !transfer.is_possible() {
        return Err(MoneyError::Impossible.into());
    }
    if let Some(first) = by_reference(c, transfer.code, order.reference.as_deref())? {
        if first.transfer != transfer {
            return Err(Error::Taken { what: "reference" });
        }
        c.note(Noted::Unchanged);
        return Ok(Created::Replayed(first));
    }
    if !c.exists("SELECT 1 FROM tenants WHERE key = ?1", [order.tenant.0])? {
        return Err(Error::NotFound);
    }
    let before = sums(c, own(&transfer))?.balance(own(&transfer).kind);
    let no = post(c, &transfer, Some(order), now)?;
    let after = sums(c, own(&transfer))?.balance(own(&transfer).kind);
    remember(c, by, idempotency, &[order.id.0], now)?;
    c.note(Noted::Changed {
        before: Some(json!({ "balance": before })),
        after: Some(json!({
            "balance": after, "amount": order.amount, "account": own(&transfer).kind, "reference": order.reference,
        })),
    });
    let (id, reference, note) = (Some(order.id), order.reference.clone(), order.note.clone());
    Ok(Created::New(TransferRow { no, at: now, transfer, id, reference, note }))
}

/// The tenant's side of a deposit or withdrawal.
fn own(transfer: &Transfer) -> Account {
    if transfer.debit.kind.is_operators() { transfer.credit } else { transfer.debit }
}

/// Writes a transfer and what it does to its accounts; its number.
fn post(c: &Link<'_>, transfer: &Transfer, order: Option<&MoneyOrder>, now: Timestamp) -> Result<u64, Error> {
    let Transfer { debit, credit, amount, .. } = *transfer;
    let given = sums(c, debit)?.debited(debit.kind, amount)?;
    let got = sums(c, credit)?.credited(credit.kind, amount)?;
    write_sums(c, debit, given)?;
    write_sums(c, credit, got)?;
    let no = last_transfer(c)? + 1;
    insert(c, no, now, transfer, order)?;
    Ok(no.unsigned_abs())
}

/// The number of the last transfer; 0 where there is none.
pub(crate) fn last_transfer(c: &Link<'_>) -> Result<i64, Error> {
    c.value("SELECT coalesce(max(no), 0) FROM transfers", ())
}

/// Writes a transfer; what it does to its accounts is the caller's to write.
pub(crate) fn insert(
    c: &Link<'_>,
    no: i64,
    at: Timestamp,
    transfer: &Transfer,
    order: Option<&MoneyOrder>,
) -> Result<(), Error> {
    let Transfer { code, debit, credit, amount, job } = *transfer;
    let sql = "INSERT INTO transfers (no, at, code, amount, debit_tenant, debit_kind, credit_tenant, credit_kind, \
               job, uid, reference, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    c.run(
        sql,
        params![
            no,
            at.0,
            code as u8,
            amount.padded(),
            debit.tenant.0,
            debit.kind as u8,
            credit.tenant.0,
            credit.kind as u8,
            job.map(|job| job.0.into_bytes()),
            order.map(|order| order.id.0.into_bytes()),
            order.and_then(|order| order.reference.as_deref()).map(bounded),
            order.and_then(|order| order.note.as_deref()).map(bounded),
        ],
    )
    .map(drop)
}

/// What a tenant of a new database has, where it begins with anything; a database that is opened again
/// has it already.
pub(crate) fn begin_with(c: &Link<'_>, tenant: TenantKey, amount: Fri) -> Result<(), Error> {
    let id = TransferId(Uuid::from_u128(tenant.0.unsigned_abs().into()));
    if amount == Fri(0) || by_id(c, id)?.is_some() {
        return Ok(());
    }
    let order = MoneyOrder { id, tenant, amount, reference: None, note: None };
    post(c, &Transfer::deposit(tenant, amount), Some(&order), Timestamp(0)).map(drop)
}

/// A text within its bound, cut between characters.
fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_MONEY_TEXT)]
}

pub(crate) fn sums(c: &Link<'_>, account: Account) -> Result<Sums, Error> {
    let sql = format!("SELECT {ACCOUNT} FROM accounts WHERE tenant = ?1 AND kind = ?2");
    let found = c.row(&sql, (account.tenant.0, account.kind as u8), account_from_row)?;
    Ok(found.map(|row| row.sums).unwrap_or_default())
}

pub(crate) fn write_sums(c: &Link<'_>, account: Account, sums: Sums) -> Result<(), Error> {
    let sql = "INSERT INTO accounts (tenant, kind, debits, credits) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (tenant, kind) DO UPDATE SET debits = excluded.debits, credits = excluded.credits";
    let (debits, credits) = (sums.debits.padded(), sums.credits.padded());
    c.run(sql, (account.tenant.0, account.kind as u8, debits, credits)).map(drop)
}

fn by_id(c: &Link<'_>, id: TransferId) -> Result<Option<TransferRow>, Error> {
    let sql = format!("SELECT {TRANSFER} FROM transfers WHERE uid = ?1");
    c.row(&sql, [id.0.as_bytes()], transfer_from_row)
}

fn by_reference(
    c: &Link<'_>,
    code: TransferCode,
    reference: Option<&str>,
) -> Result<Option<TransferRow>, Error> {
    let Some(reference) = reference else { return Ok(None) };
    let sql = format!("SELECT {TRANSFER} FROM transfers WHERE code = ?1 AND reference = ?2");
    c.row(&sql, (code as u8, bounded(reference)), transfer_from_row)
}

/// Columns of an account, in the order in which [`account_from_row`] reads them.
pub(crate) const ACCOUNT: &str = "tenant, kind, debits, credits";

pub(crate) fn account_from_row(r: &Row<'_>) -> Result<AccountRow, Error> {
    let account = Account { tenant: TenantKey(r.get(0)?), kind: kind(r.get(1)?)? };
    Ok(AccountRow { account, sums: Sums { debits: fri(r, 2)?, credits: fri(r, 3)? } })
}

/// Columns of a transfer, in the order in which [`transfer_from_row`] reads them.
pub(crate) const TRANSFER: &str = "no, at, code, amount, debit_tenant, debit_kind, credit_tenant, credit_kind, \
                                   job, uid, reference, note";

pub(crate) fn transfer_from_row(r: &Row<'_>) -> Result<TransferRow, Error> {
    let code = TransferCode::from_number(r.get(2)?)
        .ok_or_else(|| Error::Malformed { table: "transfers", what: "an unknown code".into() })?;
    let uuid = |bytes: Option<[u8; 16]>| bytes.map(Uuid::from_bytes);
    Ok(TransferRow {
        no: r.get(0)?,
        at: Timestamp(r.get(1)?),
        transfer: Transfer {
            code,
            amount: fri(r, 3)?,
            debit: Account { tenant: TenantKey(r.get(4)?), kind: kind(r.get(5)?)? },
            credit: Account { tenant: TenantKey(r.get(6)?), kind: kind(r.get(7)?)? },
            job: uuid(r.get(8)?).map(JobId),
        },
        id: uuid(r.get(9)?).map(TransferId),
        reference: r.get(10)?,
        note: r.get(11)?,
    })
}

fn kind(number: i64) -> Result<AccountKind, Error> {
    AccountKind::from_number(number).ok_or_else(|| Error::Malformed {
        table: "accounts",
        what: format!("no kind has the number {number}"),
    })
}

fn fri(r: &Row<'_>, at: usize) -> Result<Fri, Error> {
    let text: &str = r.get(at)?;
    text.parse().map_err(|_| Error::Malformed { table: "accounts", what: format!("{text} is no amount") })
}

/// A query in the making.
#[derive(Default)]
struct Select<'q> {
    sql: String,
    values: Vec<Value<'q>>,
}

impl<'q> Select<'q> {
    /// What a value is called in the text.
    fn place(&mut self, value: Value<'q>) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }
}

/// Both sides of a tenant's transfers are indexed by number: each gives at most a page, and the newest of
/// both are wanted. One that leads from an account of the tenant to another of it is on both sides.
fn select(query: &TransferQuery, limit: u32) -> Select<'_> {
    let mut select = Select::default();
    let mut wanted = String::new();
    let conditions = [
        ("no < ", query.before.map(|no| Value::Int(i64::try_from(no).unwrap_or(i64::MAX)))),
        ("code = ", query.code.map(|code| Value::Int(code as i64))),
        ("at >= ", query.from.map(|t| Value::Int(t.0))),
        ("at < ", query.until.map(|t| Value::Int(t.0))),
        ("job = ", query.job.as_ref().map(|job| Value::Bytes(job.0.as_bytes()))),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            wanted.push_str(&format!(" AND {condition}{}", select.place(value)));
        }
    }
    let page = format!("ORDER BY no DESC LIMIT {}", select.place(Value::Int(limit.into())));
    select.sql = match query.tenant {
        None => format!("SELECT {TRANSFER} FROM transfers WHERE no > 0{wanted} {page}"),
        Some(tenant) => {
            let tenant = select.place(Value::Int(tenant.0));
            let side = |of: &str| {
                format!("SELECT * FROM (SELECT {TRANSFER} FROM transfers WHERE {of}{wanted} {page}) AS side")
            };
            let gave = side(&format!("debit_tenant = {tenant}"));
            let got = side(&format!("credit_tenant = {tenant} AND debit_tenant <> {tenant}"));
            format!("SELECT * FROM ({gave} UNION ALL {got}) AS sides {page}")
        }
    };
    select
}
