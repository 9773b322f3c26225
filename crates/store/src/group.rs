//! One group: take the turn where others write too, apply what was queued, place ready work, commit, then
//! answer. A group that fails unexpectedly is rolled back and its questions are asked again one by one,
//! so that one bad row cannot take its neighbours with it. A disk that is full is left alone for a while
//! after that: each try costs reading everything again, and lets every parked call go. A COMMIT of a file
//! that fails for any reason but a full disk aborts the process: memory must never be ahead of the disk.
//! A server that does not answer is waited for ([`Away`]), and everything is read again.

#[cfg(test)]
mod tests;

use crate::Error;
use crate::audit::Noted;
use crate::away::Away;
use crate::batch::BatchStepped;
use crate::database::{Database, Writes};
use crate::explain::{Explanation, FleetSurvey};
use crate::inline::Point;
use crate::request::{
    Ask, HeartbeatAnswer, OpenedSession, QueueStatus, Reply, ReportVerdict, Reported, Submitted, WorkerSeen,
};
use crate::state::State;
use crate::tenant::TenantUsage;
use crate::writer::MAX_GROUP;
use ciro_core::crash::crash_point;
use ciro_core::id::{JobKey, SessionKey, TenantKey, WorkerKey};
use ciro_core::mutant::{Mutant, planted};
use ciro_core::spec::Requirement;
use rusqlite::ErrorCode;
use std::cell::Cell;
use std::ops::RangeInclusive;
use tokio::sync::watch;

/// How long the disk is left alone after a group that did not fit on it, ms: nothing that makes the
/// database larger is tried, and who asks for that is refused.
pub const FULL_MS: RangeInclusive<u64> = 1_000..=60_000;
/// It is so many times as long as reading everything again took, within those bounds: what only fails
/// leaves the writer to the questions of others.
const FULL_SHARE: u64 = 4;

/// The most bytes that the questions of one group bring.
pub const MAX_GROUP_BYTES: usize = 4 << 20;

/// The questions of one group, and what they will be answered once it is on disk.
pub(crate) struct Group<D: Database> {
    asks: Vec<Ask<D::Writes>>,
    answers: Vec<Answer>,
    groups: u64,
    commands: u64,
    longest_ms: u64,
    away: Option<Away>,
    /// The last question of all was among those that were gathered.
    closing: bool,
}

/// An answer that waits for COMMIT.
enum Answer {
    Submit(Reply<Submitted>, Result<Submitted, Error>),
    Unit(Reply<()>, Result<(), Error>),
    Session(Reply<OpenedSession>, Result<OpenedSession, Error>),
    Batch(Reply<BatchStepped>, Result<BatchStepped, Error>),
    Reports(Reply<Reported>, SessionKey, Result<Vec<ReportVerdict>, Error>),
    Heartbeat(Reply<HeartbeatAnswer>, Result<HeartbeatAnswer, Error>),
    Status(Reply<QueueStatus>),
    Seen(Reply<Vec<WorkerSeen>>, Vec<WorkerKey>),
    Explain(Reply<Box<Explanation>>, TenantKey, JobKey),
    Survey(Reply<FleetSurvey>, Box<Requirement>),
    Usage(Reply<TenantUsage>, TenantKey),
}

impl<D: Database> Default for Group<D> {
    fn default() -> Group<D> {
        Group {
            asks: Vec::new(),
            answers: Vec::new(),
            groups: 0,
            commands: 0,
            longest_ms: 0,
            away: None,
            closing: false,
        }
    }
}

impl<D: Database> Group<D> {
    /// Takes what is queued, up to `cap` commands and [`MAX_GROUP_BYTES`]; whether the writer is to
    /// close.
    pub(crate) fn fill(
        &mut self,
        first: Ask<D::Writes>,
        more: impl Fn() -> Option<Ask<D::Writes>>,
        cap: usize,
    ) -> bool {
        if matches!(first, Ask::Close) {
            return true;
        }
        self.asks.push(first);
        let closing = fill(&mut self.asks, more, cap);
        self.commands += weight(&self.asks);
        closing
    }

    /// Questions that were taken and not answered yet.
    pub(crate) fn taken(&self) -> usize {
        self.asks.len()
    }

    /// Whether the writer is to close, as it turned out while the group was run.
    pub(crate) const fn is_closing(&self) -> bool {
        self.closing
    }

    /// Runs what was taken, in more than one group where its rows are too many for one. Without
    /// questions it only does what time asks for. `more` is asked for what was queued meanwhile, where
    /// the turn had to be waited for; by the first group, so that there is a last.
    pub(crate) fn run(
        &mut self,
        state: &mut State<D>,
        more: impl Fn() -> Option<Ask<D::Writes>>,
        changed: &watch::Sender<i64>,
    ) {
        if let Some(away) = self.away.take() {
            self.away = away.try_again(state);
            if self.away.is_some() {
                self.refuse_all();
                return;
            }
        }
        if state.is_full(state.mono) && state.is_full(state.clock.monotonic_ms()) {
            self.asks.extract_if(.., |ask| ask.grows()).for_each(|ask| refuse(ask, &Error::DiskFull));
        }
        let first = Cell::new(true);
        let more = || if first.get() { more() } else { None };
        loop {
            let asks = std::mem::take(&mut self.asks);
            if let Err(Failed { error, asks }) = self.attempt(state, asks, &more, changed) {
                self.one_by_one(state, error, asks, changed);
            }
            first.set(false);
            if self.away.is_some() {
                self.refuse_all();
            }
            if self.asks.is_empty() {
                return;
            }
        }
    }

    /// How long the writer may sleep when nothing is queued, ms.
    pub(crate) fn wait_ms(&self, state: &State<D>) -> u64 {
        match &self.away {
            Some(away) => away.wait_ms(state.clock.monotonic_ms()),
            None => state.wait_ms(),
        }
    }

    /// Nothing is done while the database is away.
    fn refuse_all(&mut self) {
        self.asks.drain(..).for_each(|ask| refuse(ask, &Error::Unavailable { certain: true }));
    }

    /// Memory follows the disk again after `error`, or the database is away.
    fn restore(&mut self, state: &mut State<D>, error: &Error) {
        let began = state.clock.monotonic_ms();
        let restored = state
            .db
            .rollback()
            .and_then(|()| if planted(Mutant::UndoneGroupRemembered) { Ok(()) } else { state.rebuild() });
        match restored {
            Ok(()) if is_full(error) => {
                let now = state.clock.monotonic_ms();
                let share = now.saturating_sub(began) * FULL_SHARE;
                state.full_until = now + share.clamp(*FULL_MS.start(), *FULL_MS.end());
            }
            Ok(()) => {}
            Err(error) if D::SHARED && !matches!(error, Error::Malformed { .. }) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the database is away: nothing is accepted until it answers"
                );
                state.fleet.release_parked();
                state.sweeps.clear();
                state.unfinished = false;
                self.away = Some(Away::begins(state));
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the database cannot be read any more: stopping"
                );
                std::process::abort();
            }
        }
    }

    /// Goes as far as `point` with what was taken, for a process that ends there.
    pub(crate) fn run_to(&mut self, state: &mut State<D>, point: Point) -> Result<(), Error> {
        state.begin_group();
        let done = decide(state, &mut self.asks)?;
        if planted(Mutant::AckBeforeCommit) {
            let rest = self.asks.split_off(done.len());
            let asks = std::mem::replace(&mut self.asks, rest);
            self.tell(state, asks, done);
        }
        match point {
            Point::Decided => Ok(()),
            Point::Written => state.write(),
            Point::Committed => state.finish(),
        }
    }

    /// Where others write too, the turn is waited for first: what is queued meanwhile comes along, so that
    /// groups are the larger the more coordinators want the turn.
    fn gather(
        &mut self,
        state: &mut State<D>,
        asks: &mut Vec<Ask<D::Writes>>,
        more: &impl Fn() -> Option<Ask<D::Writes>>,
    ) -> Result<(), Error> {
        if !D::SHARED || self.closing || !asks.iter().any(Ask::writes) {
            return Ok(());
        }
        state.begin()?;
        let before = asks.len();
        self.closing = fill(asks, more, MAX_GROUP);
        self.commands += weight(&asks[before..]);
        state.figures.taken.add((asks.len() - before) as u64);
        Ok(())
    }

    fn attempt(
        &mut self,
        state: &mut State<D>,
        mut asks: Vec<Ask<D::Writes>>,
        more: &impl Fn() -> Option<Ask<D::Writes>>,
        changed: &watch::Sender<i64>,
    ) -> Result<(), Failed<D::Writes>> {
        crash_point("writer.taken");
        let early = planted(Mutant::AckBeforeCommit);
        state.begin_group();
        let done = self.gather(state, &mut asks, more).and_then(|()| decide(state, &mut asks));
        match done.and_then(|done| if early { Ok(done) } else { durable(state, done) }) {
            Ok(done) => {
                self.groups += 1;
                self.asks = asks.split_off(done.len());
                let size = weight(&asks);
                self.tell(state, asks, done);
                crash_point("writer.answered");
                if early && let Err(error) = state.finish() {
                    return Err(Failed { error, asks: Vec::new() });
                }
                let took_us = state.clock.monotonic_us().saturating_sub(state.mono_us);
                self.longest_ms = self.longest_ms.max(took_us / 1_000);
                if size > 0 {
                    state.figures.group_us.observe(took_us);
                    state.figures.group_commands.observe(size);
                    state.figures.group_rows.observe(state.rows as u64);
                }
                changed.send_if_modified(|p| std::mem::replace(p, state.position) != state.position);
                Ok(())
            }
            Err(error) => Err(Failed { error, asks }),
        }
    }

    /// After an unexpected failure: nothing of the group is on disk. Each question runs alone; the
    /// one that fails again is answered with its error.
    fn one_by_one(
        &mut self,
        state: &mut State<D>,
        error: Error,
        asks: Vec<Ask<D::Writes>>,
        changed: &watch::Sender<i64>,
    ) {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            group.size = asks.len(),
            "a group was rolled back"
        );
        state.figures.rolled_back.inc();
        abort_unless_recoverable(&error);
        self.restore(state, &error);
        let (error, asks) = match error.is_transient() && self.away.is_none() {
            true => match self.attempt(state, asks, &|| None, changed) {
                Ok(()) => return,
                Err(Failed { error, asks }) => {
                    self.restore(state, &error);
                    (error, asks)
                }
            },
            false => (error, asks),
        };
        let alone = asks.len() <= 1 || matches!(error, Error::Unavailable { .. });
        // Signs of life of workers do not fail with the work that was to be placed for them.
        let again = |ask: &Ask<D::Writes>| !alone || is_full(&error) && !ask.writes();
        let mut full = false;
        for ask in asks {
            if !again(&ask) || self.away.is_some() {
                refuse(ask, &error);
                continue;
            }
            // To try each on a full disk would read the whole memory again for each.
            if full && ask.writes() {
                refuse(ask, &Error::DiskFull);
                continue;
            }
            if let Err(Failed { error, asks }) = self.attempt(state, vec![ask], &|| None, changed) {
                tracing::error!(error = &error as &dyn std::error::Error, "a command failed alone");
                abort_unless_recoverable(&error);
                self.restore(state, &error);
                full |= is_full(&error);
                asks.into_iter().for_each(|ask| refuse(ask, &error));
            }
        }
    }

    /// Answers what was done with each question.
    fn tell(&mut self, state: &mut State<D>, asks: Vec<Ask<D::Writes>>, done: Vec<Did>) {
        self.answers = asks.into_iter().zip(done).filter_map(|(ask, did)| did.answer(ask)).collect();
        self.answer(state);
    }

    fn answer(&mut self, state: &mut State<D>) {
        for answer in self.answers.drain(..) {
            // A caller that went away is no error: the effect is durable.
            match answer {
                Answer::Submit(reply, r) => drop(reply.send(r)),
                Answer::Unit(reply, r) => drop(reply.send(r)),
                Answer::Session(reply, r) => drop(reply.send(r)),
                Answer::Batch(reply, r) => drop(reply.send(r)),
                Answer::Heartbeat(reply, r) => drop(reply.send(r)),
                Answer::Reports(reply, session, r) => {
                    let (mono, now) = (state.mono, state.now);
                    let r = r
                        .map(|verdicts| Reported { verdicts, work: state.fleet.collect(session, mono, now) });
                    drop(reply.send(r));
                }
                Answer::Seen(reply, workers) => drop(reply.send(Ok(state.fleet.seen(&workers)))),
                // As things stand after this group, its grants included.
                Answer::Explain(reply, tenant, job) => {
                    let found = state.explain(tenant, job).map(Box::new);
                    found.as_ref().err().into_iter().for_each(abort_unless_recoverable);
                    drop(reply.send(found));
                }
                Answer::Survey(reply, requirement) => {
                    drop(reply.send(Ok(state.survey(&requirement, false, |_| false))));
                }
                Answer::Usage(reply, tenant) => drop(reply.send(Ok(state.usage(tenant)))),
                Answer::Status(reply) => {
                    let status = QueueStatus {
                        groups: self.groups,
                        commands: self.commands,
                        longest_group_ms: self.longest_ms,
                        ..state.status()
                    };
                    drop(reply.send(Ok(status)));
                }
            }
        }
        state.fleet.answer_parked(state.mono, state.now);
    }
}

/// Takes what is queued behind `asks`, up to `cap` commands and [`MAX_GROUP_BYTES`] in all; whether the
/// writer is to close.
fn fill<W: Writes>(asks: &mut Vec<Ask<W>>, more: impl Fn() -> Option<Ask<W>>, cap: usize) -> bool {
    let (mut size, mut bytes) = (weight(asks) as usize, asks.iter().map(Ask::bytes).sum::<usize>());
    while size < cap
        && bytes < MAX_GROUP_BYTES
        && let Some(ask) = more()
    {
        if matches!(ask, Ask::Close) {
            return true;
        }
        size += ask.weight();
        bytes += ask.bytes();
        asks.push(ask);
    }
    false
}

/// Commands of questions.
fn weight<W: Writes>(asks: &[Ask<W>]) -> u64 {
    asks.iter().map(|ask| ask.weight() as u64).sum()
}

/// Has the group on disk.
fn durable<D: Database>(state: &mut State<D>, done: Vec<Did>) -> Result<Vec<Did>, Error> {
    state.finish()?;
    if planted(Mutant::IndexAheadOfDisk) {
        state.place()?;
    }
    Ok(done)
}

/// Does what time asks for and what the questions ask for, as far as there is room, and places ready
/// work; what was done with each of them. Nothing of it is on disk yet, and nobody was told.
fn decide<D: Database>(state: &mut State<D>, asks: &mut [Ask<D::Writes>]) -> Result<Vec<Did>, Error> {
    state.noticed |= asks.iter().any(|ask| matches!(ask, Ask::Noticed));
    let mut done = Vec::with_capacity(asks.len());
    state.expect(asks)?;
    state.turn()?;
    for ask in asks {
        if !done.is_empty() && !state.has_room() {
            break;
        }
        done.push(handle(state, ask)?);
    }
    if !planted(Mutant::IndexAheadOfDisk) {
        state.place()?;
    }
    Ok(done)
}

/// A group that was not committed, with its questions.
struct Failed<W: Writes> {
    error: Error,
    asks: Vec<Ask<W>>,
}

/// What a handler did, until its question is taken apart for the answer.
enum Did {
    Submit(Result<Submitted, Error>),
    Unit(Result<(), Error>),
    /// A write that says of itself what it changed.
    Noted(Result<Noted, Error>),
    Session(Result<OpenedSession, Error>),
    Batch(Result<BatchStepped, Error>),
    Reports(Result<Vec<ReportVerdict>, Error>),
    Heartbeat(Result<HeartbeatAnswer, Error>),
    /// Nothing: it is answered from memory once the group is on disk.
    Asked,
    Parked,
}

impl Did {
    /// What there is to be said of a question that was not done.
    fn refused<W: Writes>(ask: &Ask<W>, error: Error) -> Did {
        match ask {
            Ask::Submit(..) => Did::Submit(Err(error)),
            Ask::Command(..) | Ask::Tune(..) => Did::Unit(Err(error)),
            Ask::Batch(..) => Did::Batch(Err(error)),
            Ask::Audited(ask, _) | Ask::Led(_, ask) => Did::refused(ask, error),
            _ => Did::Noted(Err(error)),
        }
    }

    /// What there is to be written down of it.
    fn noted(&self) -> Noted {
        match self {
            Did::Noted(Ok(noted)) => noted.clone(),
            Did::Submit(Ok(submitted)) if !submitted.replayed => Noted::Done,
            Did::Unit(Ok(())) => Noted::Done,
            _ => Noted::Unchanged,
        }
    }

    fn answer<W: Writes>(self, ask: Ask<W>) -> Option<Answer> {
        match (ask, self) {
            (Ask::Submit(_, reply), Did::Submit(r)) => Some(Answer::Submit(reply, r)),
            (Ask::Command(_, reply) | Ask::Tune(_, reply), Did::Unit(r)) => Some(Answer::Unit(reply, r)),
            (Ask::Worker(_, _, reply) | Ask::Rare(_, reply), Did::Noted(r)) => {
                Some(Answer::Unit(reply, r.map(drop)))
            }
            (Ask::Audited(ask, _) | Ask::Led(_, ask), did) => did.answer(*ask),
            (Ask::OpenSession(_, reply), Did::Session(r)) => Some(Answer::Session(reply, r)),
            (Ask::Batch(_, reply), Did::Batch(r)) => Some(Answer::Batch(reply, r)),
            (Ask::Reports(call, _, reply), Did::Reports(r)) => Some(Answer::Reports(reply, call.session, r)),
            (Ask::Heartbeat(_, _, reply), Did::Heartbeat(r)) => Some(Answer::Heartbeat(reply, r)),
            (Ask::Status(reply), Did::Asked) => Some(Answer::Status(reply)),
            (Ask::Seen(workers, reply), Did::Asked) => Some(Answer::Seen(reply, workers)),
            (Ask::Explain(tenant, job, reply), Did::Asked) => Some(Answer::Explain(reply, tenant, job)),
            (Ask::Survey(requirement, reply), Did::Asked) => Some(Answer::Survey(reply, requirement)),
            (Ask::Usage(tenant, reply), Did::Asked) => Some(Answer::Usage(reply, tenant)),
            _ => None,
        }
    }
}

/// Does one question. Expected refusals are answers; only what is unexpected fails the group.
fn handle<D: Database>(state: &mut State<D>, ask: &mut Ask<D::Writes>) -> Result<Did, Error> {
    Ok(match ask {
        Ask::Submit(submit, _) => Did::Submit(expected(state.submit(submit))?),
        Ask::Command(command, _) => Did::Unit(expected(state.apply(command).map(drop))?),
        Ask::OpenSession(open, _) => Did::Session(expected(state.open_session(open))?),
        Ask::Reports(call, acks, _) => Did::Reports(expected(state.reports(call, acks))?),
        Ask::Heartbeat(beat, acks, _) => Did::Heartbeat(expected(state.heartbeat(beat, acks))?),
        Ask::Worker(worker, order, _) => Did::Noted(expected(state.order_worker(*worker, *order))?),
        Ask::Batch(step, _) => Did::Batch(expected(state.batch_step(step))?),
        Ask::Rare(run, _) => Did::Noted(expected(state.rare(run))?),
        Ask::Audited(ask, entry) => {
            let did = handle(state, ask)?;
            state.audit(entry, did.noted())?;
            did
        }
        Ask::Led(term, ask) => match state.is_led_in(*term) {
            Err(error) => return Ok(Did::refused(ask, error)),
            Ok(()) => handle(state, ask)?,
        },
        Ask::Tune(options, _) => {
            state.tune(options);
            Did::Unit(Ok(()))
        }
        Ask::Status(_) | Ask::Seen(..) | Ask::Explain(..) | Ask::Survey(..) | Ask::Usage(..) => Did::Asked,
        Ask::Poll(poll, acks, reply) => {
            // Parked calls are answered by the fleet; its own end of the channel is a fresh one.
            let (closed, _) = tokio::sync::oneshot::channel();
            let reply = std::mem::replace(reply, closed);
            state.poll(poll, acks, reply);
            Did::Parked
        }
        Ask::Noticed | Ask::Close => Did::Parked,
    })
}

/// Splits what a caller is told from what rolls the group back.
fn expected<T>(result: Result<T, Error>) -> Result<Result<T, Error>, Error> {
    match result {
        Err(
            error @ (Error::Database(_)
            | Error::Postgres(_)
            | Error::Malformed { .. }
            | Error::DiskFull
            | Error::Unavailable { .. }),
        ) => Err(error),
        other => Ok(other),
    }
}

fn refuse<W: Writes>(ask: Ask<W>, error: &Error) {
    let again = || {
        if is_full(error) {
            Error::DiskFull
        } else if let Error::Unavailable { certain } = *error {
            Error::Unavailable { certain }
        } else {
            Error::Malformed { table: "group", what: error.to_string() }
        }
    };
    // A caller that went away needs no answer.
    match ask {
        Ask::Submit(_, reply) => drop(reply.send(Err(again()))),
        Ask::Command(_, reply) | Ask::Worker(_, _, reply) | Ask::Rare(_, reply) | Ask::Tune(_, reply) => {
            drop(reply.send(Err(again())))
        }
        Ask::OpenSession(_, reply) => drop(reply.send(Err(again()))),
        Ask::Batch(_, reply) => drop(reply.send(Err(again()))),
        Ask::Poll(_, _, reply) => drop(reply.send(Err(again()))),
        Ask::Reports(_, _, reply) => drop(reply.send(Err(again()))),
        Ask::Heartbeat(_, _, reply) => drop(reply.send(Err(again()))),
        Ask::Status(reply) => drop(reply.send(Err(again()))),
        Ask::Seen(_, reply) => drop(reply.send(Err(again()))),
        Ask::Explain(_, _, reply) => drop(reply.send(Err(again()))),
        Ask::Survey(_, reply) => drop(reply.send(Err(again()))),
        Ask::Usage(_, reply) => drop(reply.send(Err(again()))),
        Ask::Audited(ask, _) | Ask::Led(_, ask) => refuse(*ask, error),
        Ask::Noticed | Ask::Close => {}
    }
}

pub(crate) fn is_full(error: &Error) -> bool {
    match error {
        Error::DiskFull => true,
        Error::Database(e) => e.sqlite_error_code() == Some(ErrorCode::DiskFull),
        _ => false,
    }
}

/// Errors of the disk or of the file itself are not to be limped along with.
pub(crate) fn abort_unless_recoverable(error: &Error) {
    let fatal = match error {
        Error::Database(e) => matches!(
            e.sqlite_error_code(),
            Some(
                ErrorCode::SystemIoFailure
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::CannotOpen
            )
        ),
        _ => false,
    };
    if fatal {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the disk or the database file failed: stopping"
        );
        std::process::abort();
    }
}
