//! What groups write again and again: the columns of each set of rows, and the statement that takes it.
//!
//! A statement that changes rows names the version that each was read at, and fails the group where it
//! finds fewer than it was given (`ciro_exactly`, 0012): its answer is not looked at, because COMMIT is
//! already on its way behind it.

use super::columns::{Fixed, Rows, rows};
use std::sync::LazyLock;

/// A set of rows and its one statement.
pub(super) trait Set: Rows {
    /// The statement.
    fn sql() -> &'static str;
}

/// `INSERT` of a whole set, with what is to happen to rows that are there.
macro_rules! inserted {
    ($set:ident, $table:literal, $conflict:literal) => {
        impl Set for $set {
            fn sql() -> &'static str {
                static SQL: LazyLock<String> = LazyLock::new(|| {
                    let (names, table) = ($set::names(), $set::table());
                    format!("INSERT INTO {} ({names}) SELECT {names} FROM {table} {}", $table, $conflict)
                });
                &SQL
            }
        }
    };
}

/// `UPDATE` of the columns behind `$keys` from a whole set, each row where `$same` holds.
macro_rules! updated {
    ($set:ident, $table:literal, $keys:literal, $same:literal) => {
        impl Set for $set {
            fn sql() -> &'static str {
                static SQL: LazyLock<String> = LazyLock::new(|| {
                    let columns = <$set as Rows>::COLUMNS;
                    let moved = columns[$keys..].iter().map(|(name, _)| format!("{name} = new.{name}"));
                    let moved = moved.collect::<Vec<_>>().join(", ");
                    format!(
                        "WITH moved AS (UPDATE {table} AS old SET {moved} FROM {new} WHERE {same} RETURNING 1) \
                         SELECT ciro_exactly((SELECT count(*) FROM moved), cardinality($1), '{table}')",
                        table = $table,
                        new = $set::table(),
                        same = $same
                    )
                });
                &SQL
            }
        }
    };
}

rows! {
    /// New jobs.
    NewJobs of NewJob {
        key: i64, uid: Fixed<16>, tenant: i64, rev: i64, seq: i64, state: i64, stop_cause: Option<i64>,
        stop_revoke_at: Option<i64>, holds: i64, kind: String, priority: i64, class: i64, retry_max: i64,
        retry_flags: i64, on_failure: i64, tasks_total: i64, open_tasks: i64, completed_tasks: i64,
        failed_tasks: i64, has_reducer: i64, labels: Option<String>, created_at: i64, updated_at: i64,
        started_at: Option<i64>, ended_at: Option<i64>, next_deadline: Option<i64>, expires_at: i64,
        hard_deadline: i64, failure: Option<String>, retry_of: Option<Fixed<16>>,
    }
}
inserted!(NewJobs, "jobs", "");

rows! {
    /// Their specs.
    Specs of Spec { job: i64, hash: Fixed<32>, spec: String }
}
inserted!(Specs, "job_specs", "");

rows! {
    /// What is locked for paid jobs, and who earned what of it.
    Escrows of Locked {
        job: i64, amount: String, fee_bps: i64, wall_ms: i64, payees: String, client: Option<Fixed<32>>,
        salt: Option<Fixed<32>>, splits: Option<i64>, lost_at: Option<i64>,
        escrow_id: Option<Fixed<32>>, look_at: Option<i64>,
    }
}
inserted!(
    Escrows,
    "escrows",
    "ON CONFLICT (job) DO UPDATE SET payees = excluded.payees, lost_at = excluded.lost_at, \
     look_at = coalesce(excluded.look_at, escrows.look_at), \
     wakes = escrows.wakes + (excluded.look_at IS NOT NULL)::int"
);

rows! {
    /// Sums of paid jobs.
    Money of MovedMoney {
        key: i64, settlement: i64, escrowed: String, paid: String, fee: String, refunded: String, held: String,
    }
}
updated!(Money, "jobs", 1, "old.key = new.key");

rows! {
    /// What went through accounts.
    Accounts of AccountSums { tenant: i64, kind: i64, debits: String, credits: String }
}
inserted!(
    Accounts,
    "accounts",
    "ON CONFLICT (tenant, kind) DO UPDATE SET debits = excluded.debits, credits = excluded.credits"
);

rows! {
    /// Money that jobs moved.
    Transfers of NewTransfer {
        no: i64, at: i64, code: i64, amount: String, debit_tenant: i64, debit_kind: i64, credit_tenant: i64,
        credit_kind: i64, job: Option<Fixed<16>>,
    }
}
inserted!(Transfers, "transfers", "");

rows! {
    /// Jobs that moved.
    MovedJobs of MovedJob {
        key: i64, base: i64, rev: i64, seq: i64, state: i64, tasks_total: i64, open_tasks: i64,
        completed_tasks: i64, failed_tasks: i64, updated_at: i64, started_at: Option<i64>,
        ended_at: Option<i64>, next_deadline: Option<i64>, stop_cause: Option<i64>,
        stop_revoke_at: Option<i64>, holds: i64, failure: Option<String>,
    }
}
updated!(MovedJobs, "jobs", 2, "old.key = new.key AND old.rev = new.base");

rows! {
    /// New tasks.
    NewTasks of NewTask {
        job: i64, no: i64, rev: i64, state: i64, slots: i64, fence: i64, attempts: i64, grants: i64,
        crashes: i64, memory_doublings: i64, accepted: Option<i64>, not_before: i64,
        next_deadline: Option<i64>, waits_for: i64, input_artifact: Option<Fixed<32>>,
        input_offset: Option<i64>, input_length: Option<i64>, input_hash: Option<Fixed<32>>,
        failure: Option<i64>,
    }
}
inserted!(NewTasks, "tasks", "");

rows! {
    /// Tasks that moved.
    MovedTasks of MovedTask {
        job: i64, no: i64, base: i64, rev: i64, state: i64, slots: i64, fence: i64, attempts: i64,
        grants: i64, crashes: i64, memory_doublings: i64, accepted: Option<i64>, not_before: i64,
        next_deadline: Option<i64>, failure: Option<i64>, waits_for: i64,
    }
}
updated!(MovedTasks, "tasks", 3, "old.job = new.job AND old.no = new.no AND old.rev = new.base");

rows! {
    /// Attempts that were granted, some of which have ended already.
    NewAttempts of NewAttempt {
        job: i64, no: i64, fence: i64, slot: i64, state: i64, worker: i64, session: i64,
        gpus: Option<String>, granted_at: i64, expires_at: i64, started_at: Option<i64>,
        ended_at: Option<i64>, class: Option<String>, message: Option<String>, exit_code: Option<i64>,
        manifest_hash: Option<Fixed<32>>, manifest: Option<String>, wall_ms: Option<i64>,
        cpu_ms: Option<i64>, peak_memory_bytes: Option<i64>, receipt_list: Option<i64>,
        input_hash: Option<Fixed<32>>, layers: Option<String>, price: Option<String>,
        payee: Option<i64>,
    }
}
inserted!(NewAttempts, "attempts", "");

rows! {
    /// Live attempts that moved. They are told by their state and not by `ended_at`, which a partial index
    /// goes by: the planner takes that to be all but empty, and reads the whole of it for each row.
    MovedAttempts of MovedAttempt {
        job: i64, no: i64, fence: i64, state: i64, started_at: Option<i64>, ended_at: Option<i64>,
        class: Option<String>, message: Option<String>, exit_code: Option<i64>,
        manifest_hash: Option<Fixed<32>>, manifest: Option<String>, wall_ms: Option<i64>,
        cpu_ms: Option<i64>, peak_memory_bytes: Option<i64>, receipt_list: Option<i64>,
        input_hash: Option<Fixed<32>>, layers: Option<String>,
    }
}
updated!(
    MovedAttempts,
    "attempts",
    3,
    "old.job = new.job AND old.no = new.no AND old.fence = new.fence AND old.state < 3"
);

rows! {
    /// Events.
    Events of Event {
        position: i64, tenant: i64, job: Option<i64>, seq: Option<i64>, worker: Option<i64>, kind: i64,
        at: i64, body: String,
    }
}
inserted!(Events, "events", "");

rows! {
    /// States that more jobs are in.
    Grown of Growth { tenant: i64, kind: String, state: i64, jobs: i64 }
}
inserted!(
    Grown,
    "job_counts",
    "ON CONFLICT (tenant, kind, state) DO UPDATE SET jobs = job_counts.jobs + excluded.jobs"
);

rows! {
    /// States that fewer jobs are in. Not one statement with the other: a row that says less than none
    /// may not even be proposed.
    Shrunk of Shrinking { tenant: i64, kind: String, state: i64, less: i64 }
}
impl Set for Shrunk {
    fn sql() -> &'static str {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!(
                "UPDATE job_counts AS old SET jobs = old.jobs - new.less FROM {} \
                 WHERE old.tenant = new.tenant AND old.kind = new.kind AND old.state = new.state",
                Shrunk::table()
            )
        });
        &SQL
    }
}

rows! {
    /// Creating calls that may be repeated.
    Calls of CreatingCall { tenant: i64, key: Fixed<16>, fingerprint: Fixed<16>, created_ids: Vec<u8>, expires_at: i64 }
}
inserted!(
    Calls,
    "idempotency",
    "ON CONFLICT (tenant, key) DO UPDATE SET fingerprint = excluded.fingerprint, \
     created_ids = excluded.created_ids, expires_at = excluded.expires_at"
);

rows! {
    /// What jobs need of artifacts.
    References of Reference { job: i64, hash: Fixed<32>, role: i64 }
}
inserted!(References, "artifact_refs", "ON CONFLICT DO NOTHING");

rows! {
    /// What tenants see of artifacts.
    Sights of Sight { tenant: i64, hash: Fixed<32>, expires_at: i64 }
}
inserted!(
    Sights,
    "artifact_grants",
    "ON CONFLICT (tenant, hash) DO UPDATE \
     SET expires_at = greatest(artifact_grants.expires_at, excluded.expires_at)"
);

rows! {
    /// Signed lists of receipts.
    Lists of List { key: i64, session: i64, at: i64, receipts: Vec<u8>, signature: Fixed<64> }
}
inserted!(Lists, "report_lists", "");
