//! Money on the wire: balances, the ledger of the coordinator's own books, and money that comes from
//! outside or goes there by the operator's word.

mod paid;

pub use paid::*;

use crate::job::Amount;
use crate::page::PageQuery;
use crate::time::Time;
use ciro_core::id::{JobId, TenantId, TransferId};
use ciro_core::money::{AccountKind, TransferCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What a tenant has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Balance {
    /// Whose.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// It can be spent on jobs, or taken out.
    pub available: Amount,
    /// It is locked for jobs that have not ended.
    pub held: Amount,
    /// Its workers earned it; it can be taken out.
    pub earned: Amount,
}

/// Whose money is looked at.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BalanceQuery {
    /// Another tenant than your own; the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
}

/// Which part of whose list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MoneyListQuery {
    /// Items in one answer, 1 to 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before; carries the filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 1024)]
    pub cursor: Option<String>,
    /// `field:value field>n`, separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 512, example = "job:job_01kav2…")]
    pub filter: Option<String>,
    /// Another tenant than your own; the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
}

impl MoneyListQuery {
    /// What every list takes.
    #[must_use]
    pub fn page(self) -> PageQuery {
        PageQuery { limit: self.limit, cursor: self.cursor, filter: self.filter }
    }
}

/// A transfer: an amount that one account gave and another got. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerEntry {
    /// Its place among all transfers.
    pub number: u64,
    /// When it was made.
    pub at: Time,
    /// What for: `deposit`, `withdraw`, `lock`, `pay`, `fee`, `refund`.
    #[schema(value_type = String, example = "deposit")]
    pub code: TransferCode,
    /// Of a deposit or withdrawal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<TransferId>,
    /// Who gave.
    pub from: LedgerSide,
    /// Who got.
    pub to: LedgerSide,
    /// How much.
    pub amount: Amount,
    /// The job that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub job: Option<JobId>,
    /// What it is called outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One side of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerSide {
    /// `available`, `held`, `earned`, `treasury` or `external`.
    #[schema(value_type = String, example = "available")]
    pub account: AccountKind,
    /// The tenant whose ledger this is, where the account is one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
}

impl LedgerEntry {
    /// The first line of a ledger as CSV (RFC 4180), with its end of line.
    pub const CSV_HEADER: &str =
        "number,at,code,from,from_tenant,to,to_tenant,fri,strk,job,id,reference,note\r\n";

    /// Its line as CSV, with its end of line.
    #[must_use]
    pub fn csv(&self) -> String {
        fn text(value: Option<&impl ToString>) -> String {
            value.map(ToString::to_string).unwrap_or_default()
        }
        let fields = [
            self.number.to_string(),
            self.at.to_string(),
            self.code.name().to_owned(),
            self.from.account.name().to_owned(),
            text(self.from.tenant.as_ref()),
            self.to.account.name().to_owned(),
            text(self.to.tenant.as_ref()),
            self.amount.fri.clone(),
            text(self.amount.strk.as_ref()),
            text(self.job.as_ref()),
            text(self.id.as_ref()),
            text(self.reference.as_ref()),
            text(self.note.as_ref()),
        ];
        format!("{}\r\n", fields.map(|field| quoted(&field)).join(","))
    }
}

/// A field of CSV. What a spreadsheet would take for a formula is told apart by a blank in front.
fn quoted(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let blank = if formula { " " } else { "" };
    match formula || field.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{blank}{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

/// Money that came from outside for a tenant, by the operator's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDeposit {
    /// For whom; your own tenant where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^tenant_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    pub tenant: Option<TenantId>,
    /// How much: at least 1 FRI, less than 2^112.
    pub amount: Amount,
    /// What it is called outside; a name comes in once, whoever repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub reference: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    pub note: Option<String>,
}

/// Money of a tenant that went out, by the operator's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWithdrawal {
    /// Whose; your own tenant's where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^tenant_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    pub tenant: Option<TenantId>,
    /// How much: at least 1 FRI, less than 2^112.
    pub amount: Amount,
    /// Out of which account: `available` (default) or `earned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    pub from: Option<WithdrawFrom>,
    /// What it is called outside; a name goes out once, whoever repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub reference: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    pub note: Option<String>,
}

/// The longest reference and note, characters.
pub const MAX_MONEY_CHARS: usize = 64;

/// An account that money can be taken out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawFrom {
    /// What can be spent on jobs.
    #[default]
    Available,
    /// What workers earned.
    Earned,
}

/// All balances of the coordinator together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerTotals {
    /// What tenants can spend.
    pub available: Amount,
    /// What is locked for jobs.
    pub held: Amount,
    /// What workers earned and is still here.
    pub earned: Amount,
    /// The operator's fees.
    pub treasury: Amount,
    /// What came in and did not go out again: the four together.
    pub external: Amount,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ciro_core::amount::Fri;
    use ciro_core::time::Timestamp;

    #[test]
    fn a_line_of_csv_keeps_its_fields_apart_and_has_no_formula() {
        let entry = LedgerEntry {
            number: 7,
            at: Time(Timestamp(0)),
            code: TransferCode::Deposit,
            id: None,
            from: LedgerSide { account: AccountKind::External, tenant: None },
            to: LedgerSide { account: AccountKind::Available, tenant: None },
            amount: Fri(1_500_000_000_000_000_000).into(),
            job: None,
            reference: Some("wire \"4\", May".into()),
            note: Some("=1+1".into()),
        };
        let line = entry.csv();
        assert_eq!(
            line,
            "7,1970-01-01T00:00:00.000Z,deposit,external,,available,,1500000000000000000,1.5,,,\
             \"wire \"\"4\"\", May\",\" =1+1\"\r\n"
        );
        assert_eq!(line.matches(',').count() - 1, LedgerEntry::CSV_HEADER.matches(',').count());
    }
}
