//! What the group under way has written and the database has not seen: one set of rows for each table.
//! They go out together, in one round trip, before anything is read that they could change, and with
//! COMMIT.
//!
//! Invariant: a row is in the buffer once. What moves it a second time sends the first away before.

use super::columns::{Fixed, Rows};
use super::connection::{Call, Param};
use super::tables::{
    AccountSums, Accounts, Calls, Escrows, Events, Grown, Growth, Lists, Money, MovedAttempts, MovedJobs,
    MovedTasks, NewAttempts, NewJobs, NewTasks, References, Set, Shrinking, Shrunk, Sight, Sights, Specs,
    Transfers,
};
use crate::database::Remembered;
use ciro_core::id::{AttemptKey, Hash, JobKey, TaskKey, TenantKey};
use ciro_core::job::JobState;
use ciro_core::money::{Account, Sums};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pub(super) new_jobs: NewJobs,
    pub(super) specs: Specs,
    pub(super) moved_jobs: MovedJobs,
    pub(super) locked: Escrows,
    pub(super) money: Money,
    pub(super) transfers: Transfers,
    moved_accounts: Accounts,
    pub(super) new_tasks: NewTasks,
    pub(super) moved_tasks: MovedTasks,
    pub(super) new_attempts: NewAttempts,
    pub(super) moved_attempts: MovedAttempts,
    pub(super) events: Events,
    pub(super) calls: Calls,
    pub(super) references: References,
    pub(super) lists: Lists,
    grown: Grown,
    shrunk: Shrunk,
    sights: Sights,
    /// What went through accounts that the group moves.
    pub(super) accounts: BTreeMap<Account, Sums>,
    /// Jobs more or fewer in a state.
    pub(super) counts: FxHashMap<(TenantKey, String, JobState), i64>,
    /// What tenants may see of artifacts at least until then, ms.
    pub(super) seen_until: FxHashMap<(TenantKey, Hash), i64>,
    /// Keys of what is here.
    pub(super) jobs: FxHashSet<JobKey>,
    pub(super) tasks: FxHashSet<TaskKey>,
    pub(super) attempts: FxHashSet<AttemptKey>,
    pub(super) remembered: FxHashMap<(TenantKey, [u8; 16]), Remembered>,
}

impl Buffer {
    /// Brings what was added up into rows. In an order that is always the same, so that the database is
    /// asked the same by the same group.
    pub(super) fn settle(&mut self) {
        let mut counts: Vec<_> = self.counts.drain().filter(|(_, more)| *more != 0).collect();
        counts.sort_unstable();
        for ((tenant, kind, state), more) in counts {
            let (tenant, state) = (tenant.0, state as i64);
            if more > 0 {
                self.grown.push(Growth { tenant, kind, state, jobs: more });
            } else {
                self.shrunk.push(Shrinking { tenant, kind, state, less: -more });
            }
        }
        for (account, sums) in std::mem::take(&mut self.accounts) {
            let (tenant, kind) = (account.tenant.0, account.kind as i64);
            let (debits, credits) = (sums.debits.padded(), sums.credits.padded());
            self.moved_accounts.push(AccountSums { tenant, kind, debits, credits });
        }
        let mut sights: Vec<_> = self.seen_until.drain().collect();
        sights.sort_unstable();
        for ((tenant, hash), expires_at) in sights {
            self.sights.push(Sight { tenant: tenant.0, hash: Fixed(hash.0), expires_at });
        }
    }

    /// The statements that take what is here, in the order in which tables refer to each other.
    pub(super) fn statements(&self) -> Vec<(&'static str, Vec<Param<'_>>)> {
        let mut all = Vec::new();
        add(&mut all, &self.new_jobs);
        add(&mut all, &self.specs);
        add(&mut all, &self.new_tasks);
        add(&mut all, &self.moved_jobs);
        add(&mut all, &self.locked);
        add(&mut all, &self.money);
        add(&mut all, &self.moved_tasks);
        add(&mut all, &self.lists);
        // The end of an attempt makes its slot free for the next.
        add(&mut all, &self.moved_attempts);
        add(&mut all, &self.new_attempts);
        add(&mut all, &self.events);
        add(&mut all, &self.moved_accounts);
        add(&mut all, &self.transfers);
        add(&mut all, &self.grown);
        add(&mut all, &self.shrunk);
        add(&mut all, &self.calls);
        add(&mut all, &self.references);
        add(&mut all, &self.sights);
        all
    }

    /// Forgets what is here.
    pub(super) fn clear(&mut self) {
        self.new_jobs.clear();
        self.specs.clear();
        self.moved_jobs.clear();
        self.locked.clear();
        self.money.clear();
        self.moved_accounts.clear();
        self.transfers.clear();
        self.accounts.clear();
        self.new_tasks.clear();
        self.moved_tasks.clear();
        self.new_attempts.clear();
        self.moved_attempts.clear();
        self.events.clear();
        self.calls.clear();
        self.references.clear();
        self.lists.clear();
        self.grown.clear();
        self.shrunk.clear();
        self.sights.clear();
        self.counts.clear();
        self.seen_until.clear();
        self.jobs.clear();
        self.tasks.clear();
        self.attempts.clear();
        self.remembered.clear();
    }
}

fn add<'a, S: Set>(all: &mut Vec<(&'static str, Vec<Param<'a>>)>, set: &'a S) {
    if set.len() > 0 {
        all.push((S::sql(), set.params()));
    }
}

/// The calls of statements.
pub(super) fn calls<'a>(statements: &'a [(&'static str, Vec<Param<'a>>)]) -> Vec<Call<'a>> {
    statements.iter().map(|(sql, params)| Call { sql, params }).collect()
}
