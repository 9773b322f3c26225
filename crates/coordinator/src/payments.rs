//! Operations on money: what a tenant has, what moved, and what comes in or goes out by the operator's
//! word. A tenant sees its own; the operator, of the tenant `default`, sees everybody's.

use crate::app::App;
use crate::auth::{Caller, Principal, Scope};
use crate::http::error::{ApiError, ApiResult};
use crate::http::problems::Code;
use ciro_api::job::Amount;
use ciro_api::payment as wire;
use ciro_api::problem::FieldError;
use ciro_core::amount::Fri;
use ciro_core::id::{TenantId, TenantKey, TransferId};
use ciro_core::money::{AMOUNT_END, Account, AccountKind};
use ciro_store::{Created, Error as StoreError, Idempotency, MoneyOrder, TransferRow};

/// A tenant whose money is looked at or moved.
#[derive(Debug, Clone, Copy)]
pub struct Whose {
    /// Inside.
    pub key: TenantKey,
    /// Outside.
    pub id: TenantId,
}

/// The tenant that is named, or the caller's own.
///
/// # Errors
/// `forbidden` where another tenant is named and the caller is not the operator; `tenant_not_found`.
pub async fn whose(app: &App, who: &Principal, named: Option<TenantId>) -> ApiResult<Whose> {
    who.require(Scope::PaymentsRead)?;
    let own = app.store.tenant_of(who.tenant()).await?;
    let Some(id) = named.filter(|id| *id != own.id) else { return Ok(Whose { key: own.key, id: own.id }) };
    operators(app, who)?;
    let found = app.store.tenant_by_id(id).await?;
    found.map(|tenant| Whose { key: tenant.key, id }).ok_or_else(|| ApiError::new(Code::TenantNotFound))
}

/// Goes on only for whoever moves the money of all tenants.
///
/// # Errors
/// `forbidden`.
pub fn operator(app: &App, who: &Principal) -> ApiResult<()> {
    who.require(Scope::PaymentsWrite)?;
    operators(app, who)
}

fn operators(app: &App, who: &Principal) -> ApiResult<()> {
    if app.auth.is_operator(who) {
        return Ok(());
    }
    Err(ApiError::because(Code::Forbidden, "this needs a key of the operator's tenant"))
}

/// What a tenant has.
///
/// # Errors
/// When the store cannot be read.
pub async fn balance(app: &App, whose: Whose) -> ApiResult<wire::Balance> {
    let accounts = app.store.accounts(whose.key).await?;
    let of = |kind| accounts.iter().find(|row| row.account.kind == kind).map_or(Fri(0), |row| row.balance());
    Ok(wire::Balance {
        tenant: whose.id,
        available: of(AccountKind::Available).into(),
        held: of(AccountKind::Held).into(),
        earned: of(AccountKind::Earned).into(),
    })
}

/// All balances together.
///
/// # Errors
/// `forbidden`; when the store cannot be read.
pub async fn totals(app: &App, who: &Principal) -> ApiResult<wire::LedgerTotals> {
    operator(app, who)?;
    let totals = app.store.ledger_totals().await?;
    let of = |kind| totals.iter().find(|total| total.kind == kind).map_or(Fri(0), |total| total.balance);
    Ok(wire::LedgerTotals {
        available: of(AccountKind::Available).into(),
        held: of(AccountKind::Held).into(),
        earned: of(AccountKind::Earned).into(),
        treasury: of(AccountKind::Treasury).into(),
        external: of(AccountKind::External).into(),
    })
}

/// Takes the operator's word that money came in.
///
/// # Errors
/// `forbidden`, `tenant_not_found`, wrong fields, `name_taken` for a reference of another deposit.
pub async fn deposit(
    app: &App,
    caller: &Caller,
    new: wire::NewDeposit,
    idempotency: Option<Idempotency>,
) -> ApiResult<Created<wire::LedgerEntry>> {
    operator(app, caller)?;
    let texts = (new.reference, new.note);
    let (whose, order) = order(app, caller, new.tenant, &new.amount, texts).await?;
    let store = app.store.audited(caller.did("payment.deposit", whose.id));
    let made = store.deposit(caller.tenant(), order, idempotency, app.now()).await.map_err(refused)?;
    Ok(shown(made, whose))
}

/// Takes the operator's word that money went out.
///
/// # Errors
/// `insufficient_funds`; the others as for [`deposit`].
pub async fn withdraw(
    app: &App,
    caller: &Caller,
    new: wire::NewWithdrawal,
    idempotency: Option<Idempotency>,
) -> ApiResult<Created<wire::LedgerEntry>> {
    operator(app, caller)?;
    let from = match new.from.unwrap_or_default() {
        wire::WithdrawFrom::Available => AccountKind::Available,
        wire::WithdrawFrom::Earned => AccountKind::Earned,
    };
    let texts = (new.reference, new.note);
    let (whose, order) = order(app, caller, new.tenant, &new.amount, texts).await?;
    let store = app.store.audited(caller.did("payment.withdraw", whose.id));
    let made = store.withdraw(caller.tenant(), order, from, idempotency, app.now()).await.map_err(refused)?;
    Ok(shown(made, whose))
}

async fn order(
    app: &App,
    caller: &Caller,
    tenant: Option<TenantId>,
    amount: &Amount,
    (reference, note): (Option<String>, Option<String>),
) -> ApiResult<(Whose, MoneyOrder)> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, code: &str, detail: String| {
        errors.push(FieldError { pointer: pointer.to_owned(), detail, code: code.to_owned() });
    };
    if amount.strk.is_some() {
        wrong("/amount/strk", "conflict", "amounts are taken in `fri`; answers add `strk`".into());
    }
    let fri = amount.fri.parse::<Fri>();
    match &fri {
        Err(error) => wrong("/amount/fri", "format", error.to_string()),
        Ok(fri) if fri.is_zero() || *fri >= AMOUNT_END => {
            wrong("/amount/fri", "range", "is at least 1 and less than 2^112".into());
        }
        Ok(_) => {}
    }
    for (pointer, text, least) in [("/reference", &reference, 1), ("/note", &note, 0)] {
        let Some(text) = text else { continue };
        let chars = text.chars().count();
        if !(least..=wire::MAX_MONEY_CHARS).contains(&chars) || text.chars().any(char::is_control) {
            let most = wire::MAX_MONEY_CHARS;
            let detail = format!("holds {least} to {most} characters, none of them a control character");
            wrong(pointer, "range", detail);
        }
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let whose = whose(app, caller, tenant).await?;
    let (id, amount) = (TransferId(app.clock.uuid()), fri.unwrap_or_default());
    Ok((whose, MoneyOrder { id, tenant: whose.key, amount, reference, note }))
}

fn shown(made: Created<TransferRow>, whose: Whose) -> Created<wire::LedgerEntry> {
    match made {
        Created::New(row) => Created::New(to_wire(row, whose)),
        Created::Replayed(row) => Created::Replayed(to_wire(row, whose)),
    }
}

fn refused(error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound => ApiError::new(Code::TenantNotFound),
        other => other.into(),
    }
}

/// A transfer as the tenant `whose` sees it: of accounts of others it is told the kind alone.
#[must_use]
pub fn to_wire(row: TransferRow, whose: Whose) -> wire::LedgerEntry {
    let side = |account: Account| wire::LedgerSide {
        account: account.kind,
        tenant: (account.tenant == whose.key && !account.kind.is_operators()).then_some(whose.id),
    };
    let transfer = row.transfer;
    wire::LedgerEntry {
        number: row.no,
        at: row.at.into(),
        code: transfer.code,
        id: row.id,
        from: side(transfer.debit),
        to: side(transfer.credit),
        amount: transfer.amount.into(),
        job: transfer.job,
        reference: row.reference,
        note: row.note,
    }
}
