//! I12 and I14: the coordinator's own books. Every transfer is walked over once, in order, and what went through
//! each account is counted again.

use super::report::Findings;
use crate::error::Error;
use crate::escrow::{escrow_columns, escrow_from_row};
use crate::ledger::{ACCOUNT, TRANSFER, account_from_row, transfer_from_row};
use crate::rows::{JOB_COLUMNS, JOB_WIDTH, job_from_row};
use crate::sql::Snapshot;
use ciro_core::amount::Fri;
use ciro_core::money::{Account, AccountKind, MoneyError, Sums, Transfer, TransferCode};
use std::collections::BTreeMap;

pub(super) fn check(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    let counted = count(c, found)?;
    compare(c, &counted, found)?;
    balance(&counted, found);
    jobs(c, found)?;
    let strange = "SELECT tenant, kind FROM accounts
                   WHERE tenant <> 0 AND NOT EXISTS (SELECT 1 FROM tenants WHERE key = accounts.tenant)";
    for (tenant, kind) in c.rows(strange, (), |r| Ok((r.get::<i64>(0)?, r.get::<i64>(1)?)))? {
        found.violated("I14", format!("account {tenant}/{kind} is of a tenant that is not there"));
    }
    Ok(())
}

type Accounts = BTreeMap<Account, Sums>;

/// What went through each account, by the transfers.
fn count(c: &Snapshot<'_>, found: &mut Findings) -> Result<Accounts, Error> {
    let mut counted = Accounts::new();
    let mut statement = c.prepare(&format!("SELECT {TRANSFER} FROM transfers ORDER BY no"))?;
    let mut rows = statement.query(())?;
    let mut before = 0;
    while let Some(row) = rows.next()? {
        found.checked("I14", 1);
        let no: u64 = row.get(0)?;
        if no != before + 1 {
            found
                .violated("I14", format!("transfer {no}: the one before it is not {}", no.saturating_sub(1)));
        }
        before = no;
        match transfer_from_row(&row) {
            Err(error) => found.violated("I14", format!("transfer {no} cannot be read: {error}")),
            Ok(row) if !row.transfer.is_possible() => {
                found.violated("I14", format!("transfer {no} cannot be: {:?}", row.transfer));
            }
            Ok(row) => {
                if let Err(error) = apply(&mut counted, &row.transfer) {
                    found.violated("I14", format!("transfer {no}: {error}"));
                }
            }
        }
    }
    Ok(counted)
}

/// Counts a transfer, whatever its account could give: what is missing is said once, not with every
/// transfer that follows.
fn apply(counted: &mut Accounts, transfer: &Transfer) -> Result<(), MoneyError> {
    let Transfer { debit, credit, amount, .. } = *transfer;
    let add = |sum: Fri| Fri(sum.0.saturating_add(amount.0));
    let given = counted.entry(debit).or_default();
    let first = given.debited(debit.kind, amount);
    *given = Sums { debits: add(given.debits), ..*given };
    let got = counted.entry(credit).or_default();
    let second = got.credited(credit.kind, amount);
    *got = Sums { credits: add(got.credits), ..*got };
    first.and(second).map(drop)
}

/// I12: what moved for each job that is paid from a balance is what its row and its payees say: it was
/// locked once, and shared out once where it has ended. Transfers of jobs that are gone have been held
/// against them while they were there; what they held is given away.
fn jobs(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    let mut open = 0_u128;
    let sql = format!(
        "SELECT {JOB_COLUMNS}, {} FROM jobs JOIN escrows e ON e.job = jobs.key WHERE e.client IS NULL \
         ORDER BY jobs.key",
        escrow_columns!()
    );
    let of_job = format!("SELECT {TRANSFER} FROM transfers WHERE job = ?1 ORDER BY no");
    let mut statement = c.prepare(&sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        found.checked("I12", 1);
        // Rows that cannot be read are told of where each job is looked at.
        let (Ok(job), Ok(escrow)) = (job_from_row(&row), escrow_from_row(&row, JOB_WIDTH)) else { continue };
        let moved = c.rows(&of_job, [job.id.0.as_bytes()], transfer_from_row);
        let Ok(moved) = moved else { continue };
        let mut due = vec![Transfer::own(job.tenant, TransferCode::Lock, escrow.amount, job.id)];
        if job.state.is_ended() {
            due.extend(escrow.transfers(job.tenant, job.id));
        } else {
            open = open.saturating_add(escrow.amount.0);
        }
        if moved.len() != due.len() || !due.iter().all(|due| moved.iter().any(|row| row.transfer == *due)) {
            let said = |t: &Transfer| format!("{} {} to {}", t.code.name(), t.amount, t.credit.tenant.0);
            let is: Vec<String> = moved.iter().map(|row| said(&row.transfer)).collect();
            let due: Vec<String> = due.iter().map(said).collect();
            let (is, due) = (is.join(", "), due.join(", "));
            found.violated("I12", format!("{}: moved is {is}; due is {due}", job.id));
        }
    }
    held(c, open, found)
}

/// What is held is held for jobs that go on.
fn held(c: &Snapshot<'_>, open: u128, found: &mut Findings) -> Result<(), Error> {
    let sql = format!("SELECT {ACCOUNT} FROM accounts WHERE kind = {}", AccountKind::Held as u8);
    let mut all = 0_u128;
    let mut statement = c.prepare(&sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        // One that cannot be read is told of above.
        all = all.saturating_add(account_from_row(&row).map_or(0, |row| row.balance().0));
    }
    found.checked("I12", 1);
    if all != open {
        found.violated("I12", format!("{all} FRI are held, jobs that go on have locked {open} FRI"));
    }
    Ok(())
}

/// The sums that accounts keep are those of the transfers.
fn compare(c: &Snapshot<'_>, counted: &Accounts, found: &mut Findings) -> Result<(), Error> {
    let mut kept = Accounts::new();
    let mut statement = c.prepare(&format!("SELECT {ACCOUNT} FROM accounts ORDER BY tenant, kind"))?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let (tenant, kind): (i64, i64) = (row.get(0)?, row.get(1)?);
        match account_from_row(&row) {
            Err(error) => found.violated("I14", format!("account {tenant}/{kind} cannot be read: {error}")),
            Ok(row) => drop(kept.insert(row.account, row.sums)),
        }
    }
    for account in kept.keys().chain(counted.keys().filter(|account| !kept.contains_key(account))) {
        found.checked("I14", 1);
        let of = |sums: &Accounts| sums.get(account).copied().unwrap_or_default();
        let (says, are) = (of(&kept), of(counted));
        if says != are {
            let (tenant, kind) = (account.tenant.0, account.kind.name());
            found.violated(
                "I14",
                format!(
                    "account {tenant}/{kind} has given {} and got {}; the transfers say {} and {}",
                    says.debits, says.credits, are.debits, are.credits
                ),
            );
        }
    }
    Ok(())
}

/// What is on all accounts is what came from outside and did not go back.
fn balance(counted: &Accounts, found: &mut Findings) {
    let all = |outside: bool| {
        let of = counted.iter().filter(|(account, _)| (account.kind == AccountKind::External) == outside);
        of.fold(0_u128, |sum, (account, sums)| sum.saturating_add(sums.balance(account.kind).0))
    };
    let (inside, outside) = (all(false), all(true));
    found.checked("I14", 1);
    if inside != outside {
        found.violated(
            "I14",
            format!("{inside} FRI are on accounts, {outside} FRI came in and did not go out"),
        );
    }
}
