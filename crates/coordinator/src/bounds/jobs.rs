//! Jobs, their tasks and attempts, and the calls that move them.

use super::{Bound, Kind};
use crate::background::{batches, preparer, review};
use crate::catalogue::check;
use crate::explain::{MAX_COUNTED_BYTES, MAX_SHOWN};
use crate::http::problems::Code;
use crate::http::work::MAX_HELD;
use crate::{leases, logs, results};
use ciro_api::limit::Unit;
use ciro_api::{log, work};
use ciro_core::{manifest, retry, spec, split};
use ciro_store::bounds;

pub(super) const BOUNDS: &[Bound] = &[
    Bound::set("open_jobs", Kind::Queue, Unit::Jobs, "limits.open_jobs", |s| s.app.hot().limits.open_jobs)
        .at(|s| s.then.queue.map(|q| q.open_jobs))
        .refused(
            Code::LimitReached,
            "Further jobs are refused until some end; those that were accepted stay.",
        ),
    Bound::set("requirement_classes", Kind::Table, Unit::Entries, "limits.requirement_classes", |s| {
        u64::from(s.app.hot().limits.requirement_classes)
    })
    .at(|s| s.then.queue.map(|q| q.classes))
    .refused(
        Code::LimitReached,
        "A job with a new combination of requirements is refused; known ones go on.",
    ),
    Bound::fixed("batch", Kind::Size, Unit::Jobs, ciro_api::MAX_BATCH as u64)
        .of_each("batch")
        .refused(Code::ValidationFailed, "The batch is refused as a whole."),
    Bound::fixed("running_batches", Kind::Pool, Unit::Things, ciro_store::MAX_RUNNING_BATCHES)
        .of_each("tenant")
        .at(|s| s.then.census.as_ref().map(|census| census.most_running_batches))
        .refused(Code::LimitReached, "Further bulk actions are refused until one has ended."),
    Bound::fixed("batches", Kind::Table, Unit::Rows, ciro_store::MAX_BATCHES)
        .of_each("tenant")
        .at(|s| s.then.census.as_ref().map(|census| census.most_batches))
        .refused(Code::LimitReached, "Further bulk actions are refused; ended ones go after a day."),
    Bound::fixed("batch_step", Kind::Size, Unit::Jobs, batches::JOBS as u64)
        .of_each("batch and turn")
        .then("The next step follows at once, behind what others asked meanwhile."),
    Bound::fixed("batch_step_bytes", Kind::Size, Unit::Bytes, batches::STEP_BYTES as u64)
        .of_each("step of a batch")
        .then("The step ends there, and the next one follows."),
    Bound::fixed("named_jobs", Kind::Size, Unit::Jobs, ciro_api::batch::MAX_NAMED as u64)
        .of_each("bulk action")
        .refused(Code::ValidationFailed, "The bulk action is refused."),
    Bound::fixed("filter_proposals", Kind::Size, Unit::Things, ciro_api::filter::MAX_PROPOSALS as u64)
        .of_each("answer")
        .then("Further proposals are left out; a longer prefix finds them."),
    Bound::fixed("tasks", Kind::Size, Unit::Tasks, spec::MAX_TASKS as u64).of_each("job").refused(
        Code::ValidationFailed,
        "The job is refused, or fails with `too_many_tasks` when its input shows it.",
    ),
    Bound::fixed("chunk", Kind::Size, Unit::Bytes, split::MAX_CHUNK_BYTES)
        .of_each("chunk of an input")
        .refused(Code::ValidationFailed, "The job is refused."),
    Bound::fixed("planned_bytes", Kind::Size, Unit::Bytes, MAX_COUNTED_BYTES)
        .of_each("input of a plan")
        .then("The plan does not count the tasks that a larger input is cut into."),
    Bound::fixed("attempts_shown", Kind::Size, Unit::Attempts, MAX_SHOWN as u64)
        .of_each("explanation")
        .then("Further attempts of the job are not named."),
    Bound::fixed("workers_surveyed", Kind::Size, Unit::Workers, bounds::MAX_SURVEYED as u64)
        .of_each("explanation")
        .then("The others are not looked at, and the answer says so."),
    Bound::fixed("arguments", Kind::Size, Unit::Things, check::MAX_ARGS as u64)
        .of_each("job")
        .refused(Code::ValidationFailed, "The job is refused."),
    Bound::fixed("environment", Kind::Size, Unit::Things, check::MAX_ENV as u64)
        .of_each("job")
        .refused(Code::ValidationFailed, "The job is refused."),
    Bound::fixed("text", Kind::Size, Unit::Bytes, check::MAX_TEXT_BYTES as u64)
        .of_each("job's arguments and environment")
        .refused(Code::ValidationFailed, "The job is refused."),
    Bound::fixed("inputs", Kind::Size, Unit::Things, check::MAX_INPUTS as u64)
        .of_each("job")
        .refused(Code::ValidationFailed, "The job is refused."),
    Bound::fixed("labels", Kind::Size, Unit::Things, check::MAX_WORDS as u64)
        .of_each("job")
        .refused(Code::ValidationFailed, "The job is refused."),
    Bound::fixed("listed_errors", Kind::Size, Unit::Things, check::MAX_ERRORS as u64)
        .of_each("answer")
        .then("Further errors of the same request are not listed."),
    Bound::fixed("preparing_jobs", Kind::Pool, Unit::Jobs, preparer::AT_ONCE as u64)
        .at(|s| Some(s.app.metrics.preparing.get()))
        .then("Further splits wait; the oldest is next."),
    Bound::fixed("reviewed_jobs", Kind::Size, Unit::Jobs, review::PAGE as u64)
        .of_each("look at deadlines")
        .then("The others are looked at right after."),
    Bound::fixed("grants", Kind::Size, Unit::Attempts, retry::MAX_GRANTS as u64)
        .of_each("task")
        .then("The task fails."),
    Bound::fixed("crashes", Kind::Size, Unit::Attempts, retry::MAX_CRASHES as u64)
        .of_each("task")
        .then("A task whose workers vanished so often fails as poison."),
    Bound::fixed("leases", Kind::Size, Unit::Attempts, work::MAX_LEASES as u64)
        .of_each("call of a worker")
        .then("The worker gets the rest with its next call."),
    Bound::fixed("reports", Kind::Size, Unit::Attempts, work::MAX_REPORTS as u64)
        .of_each("call of a worker")
        .refused(Code::BadParameter, "The call is refused."),
    Bound::fixed("held_attempts", Kind::Size, Unit::Attempts, MAX_HELD as u64)
        .of_each("worker")
        .refused(Code::BadParameter, "The heartbeat is refused."),
    Bound::fixed("output_files", Kind::Size, Unit::Files, manifest::MAX_OUTPUT_FILES as u64)
        .of_each("attempt")
        .then("The report is refused."),
    Bound::fixed("manifest", Kind::Size, Unit::Bytes, manifest::MAX_MANIFEST_BYTES as u64)
        .of_each("attempt")
        .then("The report is refused."),
    Bound::fixed("reduced_files", Kind::Size, Unit::Files, leases::MAX_REDUCED_FILES as u64)
        .of_each("reducer")
        .then("The reducer is not handed out, and its lease is taken back."),
    Bound::fixed("result_parts", Kind::Size, Unit::Files, results::MAX_PARTS as u64)
        .of_each("result")
        .refused(
            Code::ValidationFailed,
            "The result is not put together; collect it by `concat` or a reducer.",
        ),
    Bound::fixed("assembling", Kind::Pool, Unit::Calls, results::ASSEMBLED_AT_ONCE as u64)
        .at(|s| Some(s.app.results.assembling() as u64))
        .then("Further results wait for their turn."),
    Bound::fixed("known_results", Kind::Map, Unit::Files, results::CACHED_PARTS)
        .at(|s| Some(s.app.results.cached_parts()))
        .then("The result that was asked for least is put together again."),
    Bound::fixed("known_specs", Kind::Map, Unit::Jobs, 2 * leases::GENERATION as u64)
        .at(|s| Some(s.app.specs.remembered() as u64))
        .then("The older half is forgotten; its specs are read from the database when they are leased."),
    Bound::fixed("log", Kind::Size, Unit::Bytes, log::MAX_LOG_BYTES)
        .of_each("attempt")
        .then("The log is full: the worker is told, and the program runs on."),
    Bound::fixed("log_chunk", Kind::Size, Unit::Bytes, log::MAX_LOG_CHUNK_BYTES as u64)
        .of_each("call of a worker")
        .refused(Code::BodyTooLarge, "The chunk is refused."),
    Bound::fixed("log_tail", Kind::Size, Unit::Lines, log::MAX_TAIL as u64)
        .of_each("call")
        .refused(Code::BadParameter, "A larger `tail` is refused."),
    Bound::fixed("read_logs", Kind::Size, Unit::Files, logs::MAX_FILES as u64)
        .of_each("call")
        .then("The logs of further attempts are left out; ask for them by task."),
    Bound::fixed("log_speakers", Kind::Size, Unit::Attempts, logs::following::SPEAKERS as u64)
        .of_each("follower of a job's logs")
        .then("What further live attempts print is told once there is room, at the latest with their end."),
    Bound::fixed("appended_logs", Kind::Pool, Unit::Calls, logs::STRIPES as u64)
        .then("Further appends wait for one of the others."),
];
