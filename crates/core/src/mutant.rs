//! Bugs that are planted on purpose, each where one could have been made: they show that whatever
//! looks for faults can find one. One at a time is chosen by [`plant`], for the thread that asks.
//!
//! Invariant: without the feature `mutants`, which no program of ours is built with, [`planted`] is
//! `false` at compile time and nothing of them is left.

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A report counts for whatever attempt of its task is live, whoever sent it.
    NoFenceCheck,
    /// Callers are answered before their group is on disk.
    AckBeforeCommit,
    /// A result is taken for an attempt that the reaper has revoked.
    RevivedAttempt,
    /// A task that is tried again takes the fence that it had.
    RetryForgetsFence,
    /// Events are written in the transaction after the one of their rows.
    EventOutsideTransaction,
    /// A stop ends the tasks that still run and leaves their attempts as they are.
    CancelDropsLiveAttempt,
    /// What an attempt held is not given back when it ends.
    CapacityLeak,
    /// A cancel of a job that has ended brings it back.
    EndedJobReopened,
    /// Of two tasks of a job that end in one group, the second is not counted.
    OpenTasksLostUpdate,
    /// Leases are handed out that the transaction does not hold.
    IndexAheadOfDisk,
    /// The reaper passes over leases that ran out.
    LeaseNeverExpires,
    /// What a repeated submit is answered with is not kept.
    CallForgotten,
    /// Failed attempts are not counted against their limit.
    EndlessRetry,
    /// A tenant's cap of running attempts is not held.
    QuotaIgnored,
    /// A start does not read who holds leases.
    LeasesForgottenAtStart,
    /// A delivery that nobody acknowledged is not taken back.
    LostDelivery,
    /// Memory keeps what a group did that was undone.
    UndoneGroupRemembered,
    /// Attempts earn whatever became of them.
    PaysTheUnaccepted,
    /// What a job did not use stays where it was locked.
    RefundForgotten,
    /// A job whose deposit is lost goes on.
    LostFundsIgnored,
    /// What providers of a job are owed is moved twice.
    PaidTwice,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 21] = [
        Mutant::NoFenceCheck,
        Mutant::AckBeforeCommit,
        Mutant::RevivedAttempt,
        Mutant::RetryForgetsFence,
        Mutant::EventOutsideTransaction,
        Mutant::CancelDropsLiveAttempt,
        Mutant::CapacityLeak,
        Mutant::EndedJobReopened,
        Mutant::OpenTasksLostUpdate,
        Mutant::IndexAheadOfDisk,
        Mutant::LeaseNeverExpires,
        Mutant::CallForgotten,
        Mutant::EndlessRetry,
        Mutant::QuotaIgnored,
        Mutant::LeasesForgottenAtStart,
        Mutant::LostDelivery,
        Mutant::UndoneGroupRemembered,
        Mutant::PaysTheUnaccepted,
        Mutant::RefundForgotten,
        Mutant::LostFundsIgnored,
        Mutant::PaidTwice,
    ];

    /// The name in commands and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mutant::NoFenceCheck => "no_fence_check",
            Mutant::AckBeforeCommit => "ack_before_commit",
            Mutant::RevivedAttempt => "revived_attempt",
            Mutant::RetryForgetsFence => "retry_forgets_fence",
            Mutant::EventOutsideTransaction => "event_outside_transaction",
            Mutant::CancelDropsLiveAttempt => "cancel_drops_live_attempt",
            Mutant::CapacityLeak => "capacity_leak",
            Mutant::EndedJobReopened => "ended_job_reopened",
            Mutant::OpenTasksLostUpdate => "open_tasks_lost_update",
            Mutant::IndexAheadOfDisk => "index_ahead_of_disk",
            Mutant::LeaseNeverExpires => "lease_never_expires",
            Mutant::CallForgotten => "call_forgotten",
            Mutant::EndlessRetry => "endless_retry",
            Mutant::QuotaIgnored => "quota_ignored",
            Mutant::LeasesForgottenAtStart => "leases_forgotten_at_start",
            Mutant::LostDelivery => "lost_delivery",
            Mutant::UndoneGroupRemembered => "undone_group_remembered",
            Mutant::PaysTheUnaccepted => "pays_the_unaccepted",
            Mutant::RefundForgotten => "refund_forgotten",
            Mutant::LostFundsIgnored => "lost_funds_ignored",
            Mutant::PaidTwice => "paid_twice",
        }
    }

    /// The mutant of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Mutant> {
        Mutant::ALL.into_iter().find(|mutant| mutant.name() == name)
    }
}

#[cfg(feature = "mutants")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in what this thread runs from now on; `None` takes it away.
#[cfg(feature = "mutants")]
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

/// Whether this bug is planted.
#[cfg(feature = "mutants")]
#[must_use]
pub fn planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}

/// Whether this bug is planted: it is not.
#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn planted(_: Mutant) -> bool {
    false
}
