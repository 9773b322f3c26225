//! What every database under the store must do, written once: stories through the public methods
//! of [`Store`], each on a fresh database, each ending with a clean `verify`. A second database
//! runs the same list. Only tests call it.

mod accounts;
mod arrays;
mod audit;
mod batches;
mod crossings;
mod following;
mod leases;
mod ledger;
mod lists;
mod looking;
mod model;
mod paid;
mod payments;
mod placing;
mod planted;
mod quotas;
mod random;
mod retention;
mod sample;
mod stage;
mod stories;
mod trees;
mod webhooks;
pub(crate) mod world;

pub use model::{Move, Opens, follows_memory};
pub use planted::plant_escrow;
pub use random::random_history;
pub use sample::sample;
pub use stage::{ByHand, InMemory, Stage};
pub use world::{ManualClock, World};

use crate::open::Options;
use crate::{Clock, Error, Store};
use ciro_core::id::JobId;
use ciro_core::invariant::Violation;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// How a story ends: every assertion held, or why it could not be told.
pub type Told = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A place for one database: opened, closed and opened again by one story, then checked.
pub trait Database<S = Store>: Send + Sync {
    /// Opens it, making it the first time.
    ///
    /// # Errors
    /// What the store says.
    fn open(&self, tune: fn(&mut Options), clock: Arc<dyn Clock>) -> Result<S, Error>;

    /// Checks it, as `verify` does: what is wrong with it.
    ///
    /// # Errors
    /// What the check says.
    fn verify(&self, acknowledged: Vec<JobId>) -> Result<Vec<Violation>, Error>;
}

/// A story that is being told.
pub type Telling = Pin<Box<dyn Future<Output = Told> + Send>>;

/// One story.
pub struct Case<S: Stage = Store> {
    /// What it shows.
    pub name: &'static str,
    /// How the store is opened.
    pub tune: fn(&mut Options),
    /// Tells it.
    pub tell: fn(World<S>) -> Telling,
}

impl<S: Stage> Clone for Case<S> {
    fn clone(&self) -> Case<S> {
        *self
    }
}

impl<S: Stage> Copy for Case<S> {}

impl<S: Stage> std::fmt::Debug for Case<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<S: Stage> Case<S> {
    /// Tells the story on a fresh database.
    ///
    /// # Errors
    /// When it could not be told to its end.
    pub async fn run(&self, database: Box<dyn Database<S>>) -> Told {
        let world = World::open(database, self.tune)?;
        (self.tell)(world).await
    }
}

macro_rules! cases {
    ($($module:ident :: $name:ident),+ $(,)?) => {
        vec![$(Case {
            name: concat!(stringify!($module), "::", stringify!($name)),
            tune: $module::tune,
            tell: |world| Box::pin($module::$name(world)),
        }),+]
    };
}

/// The stories of the engine's commands: every store and every database tells them.
#[must_use]
pub fn engine_cases<S: Stage>() -> Vec<Case<S>> {
    cases![
        stories::a_job_goes_from_submit_to_its_result,
        stories::a_batch_is_accepted_whole_or_not_at_all,
        stories::a_repeated_submit_makes_nothing_new,
        stories::limits_refuse_before_anything_is_written,
        stories::an_accepted_job_and_its_lease_survive_a_restart,
        stories::what_has_no_place_is_refused,
        leases::a_silent_worker_loses_its_lease_and_its_late_result_is_kept,
        leases::three_lost_workers_poison_a_task,
        leases::the_price_of_a_grant_stands_on_the_attempt,
        leases::failures_are_retried_by_their_class,
        leases::a_cancelled_job_ends_and_commit_order_decides,
        leases::a_delivery_that_nobody_acknowledges_is_revoked,
        leases::a_removed_worker_hands_its_work_back,
        leases::a_pause_of_the_store_costs_nobody_a_lease,
        placing::work_for_nobody_goes_to_the_first_worker_that_can,
        placing::work_for_a_full_worker_goes_to_it_when_it_has_room,
        placing::a_label_that_no_job_named_before_tells_workers_apart,
        crossings::a_list_that_an_acknowledgement_overtook_costs_no_lease,
        crossings::a_heartbeat_says_which_call_is_parked,
        crossings::a_draining_worker_that_is_heard_again_still_drains,
        crossings::a_suspended_worker_gets_nothing_until_it_is_resumed,
        crossings::only_what_has_begun_can_stand_still,
        crossings::a_stop_is_told_until_it_is_heard,
        crossings::a_clock_that_is_set_back_loses_no_task,
        crossings::memory_is_raised_to_what_the_largest_worker_has,
        arrays::an_array_is_written_in_pages_and_reduced,
        arrays::a_failed_task_ends_its_job_by_the_policy,
        arrays::a_large_job_is_stopped_page_by_page_around_what_still_runs,
        arrays::a_job_that_cannot_be_prepared_fails,
        arrays::a_job_past_its_deadline_is_expired,
        payments::what_was_accepted_is_paid_whatever_becomes_of_the_job,
        payments::a_deposit_begins_a_job_and_holds_it_when_it_is_lost,
        trees::reducers_open_with_the_last_task_that_they_read_across_restarts,
        trees::the_last_two_tasks_of_a_reducer_may_end_in_one_group,
        trees::a_reducer_reads_what_the_policy_left_and_fails_with_what_it_reads,
        trees::a_tree_that_is_stopped_in_the_middle_ends_as_a_whole,
    ]
}

/// Every story.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = engine_cases();
    cases.extend(cases![
        lists::lists_are_complete_and_in_order_while_jobs_arrive,
        lists::filters_find_what_they_say,
        lists::every_order_is_walked_to_its_end,
        lists::positions_are_dense_and_sequences_have_no_gap,
        lists::a_tenant_sees_nothing_of_another,
        lists::figures_are_those_of_the_rows,
        accounts::keys_are_made_once_and_revoked,
        accounts::a_key_takes_the_place_of_another,
        audit::what_changed_is_written_down_and_nothing_else,
        audit::a_long_log_is_cut_and_still_verifies,
        ledger::money_comes_in_and_goes_out_once,
        ledger::what_is_not_there_does_not_go_out,
        ledger::each_sees_its_own_transfers_in_pages,
        payments::a_submit_that_the_balance_does_not_cover_is_refused_whole,
        paid::what_became_of_money_is_listed_also_from_the_archive,
        paid::earnings_are_counted_by_day,
        quotas::quotas_refuse_hold_back_and_survive_a_restart,
        quotas::leases_follow_the_weights_and_an_edit_of_them,
        accounts::artifacts_are_seen_through_grants_and_collected,
        batches::a_step_happens_once_and_survives_a_restart,
        batches::batches_are_bounded_and_a_stopped_one_takes_no_step,
        batches::labels_change_beside_the_job,
        retention::old_rows_go_page_by_page,
        following::what_the_chain_takes_back_goes_with_all_that_came_of_it,
        following::what_is_over_for_long_goes_with_its_events,
        looking::who_looked_at_an_older_state_writes_nothing,
        webhooks::deliveries_are_made_once_and_end,
        webhooks::what_a_reader_still_needs_is_kept_and_the_rest_goes,
    ]);
    cases
}
