//! Following a job's logs, as Server-Sent Events: over retries and over the tasks of a split job. The
//! job's own events say which attempts speak: a grant begins one; its end sends what is left of its
//! log and ends it; the job's end ends the stream. In between the logs of those that are live are
//! looked at for more. Attempts that had ended when the follower came are listed before, by task.
//!
//! Invariant: each frame's id is a [`Cursor`] that says exactly what was told with it and before it,
//! so whoever comes back with it, to this process or the next, misses nothing and hears nothing twice.

use super::LogFile;
use super::cursor::{Cursor, Listed};
use super::reading::{lines, tail};
use crate::app::App;
use crate::streams::Permit;
use bytes::Bytes;
use ciro_api::log::{LogLine, LogMark, LogQuery};
use ciro_core::attempt::AttemptState;
use ciro_core::event::JobEvent;
use ciro_core::id::{JobId, JobKey, TenantKey};
use ciro_core::job::{Job, JobState};
use ciro_core::time::Timestamp;
use ciro_store::{AttemptListed, EventRow, EventSubject};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// How often a follower looks although nothing was appended: for what happened to the job.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The longest silence of a stream, in looks.
const SILENT_LOOKS: u32 = 15;
/// A client that takes nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// Frames that wait for a client.
const FRAMES: usize = 64;
/// Pause between two looks of one follower, so that a busy coordinator is not asked for each line.
const PACE: Duration = Duration::from_millis(100);
/// Attempts that speak before their end at the same time; what others print is told once there is
/// room for them, at the latest with their end. It bounds the ids of frames.
pub const SPEAKERS: usize = 64;
/// Events, and attempts, that are read at once.
const PAGE: u32 = 200;

/// The frames of a job's logs, from `after` on.
#[must_use]
pub fn follow(
    app: &App,
    tenant: TenantKey,
    job: (JobKey, JobId),
    query: LogQuery,
    after: Option<Cursor>,
    permit: Permit,
) -> ReceiverStream<Result<Bytes, Infallible>> {
    let (frames, stream) = mpsc::channel(FRAMES);
    let follower = Follower {
        app: app.clone(),
        tenant,
        job,
        query,
        frames,
        cursor: Cursor::default(),
        live: BTreeSet::new(),
    };
    app.metrics.waiting.inc();
    app.tasks.spawn(async move {
        let app = follower.app.clone();
        tokio::select! {
            biased;
            () = app.tasks.draining() => {}
            _ended = follower.run(after) => {}
        }
        app.metrics.waiting.dec();
        drop(permit);
    });
    ReceiverStream::new(stream)
}

/// Why following ended: all there is was said, or nobody takes it.
struct Ended;

/// What a look at the job's events found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Something,
    /// Events that were not told are no longer kept.
    Gap,
}

struct Follower {
    app: App,
    tenant: TenantKey,
    job: (JobKey, JobId),
    query: LogQuery,
    frames: mpsc::Sender<Result<Bytes, Infallible>>,
    cursor: Cursor,
    /// Attempts whose begin is told and whose end is not.
    live: BTreeSet<LogFile>,
}

/// What began and ended while earlier attempts were listed: events tell it.
#[derive(Default)]
struct Meanwhile {
    seq: u32,
    granted: BTreeSet<LogFile>,
    ended: BTreeSet<LogFile>,
}

impl Follower {
    async fn run(mut self, mut after: Option<Cursor>) -> Result<(), Ended> {
        loop {
            let row = self.row().await?;
            match after.take() {
                Some(cursor) if cursor.seq > row.seq => self.reset("ahead").await?,
                Some(cursor) if cursor.listed.is_some() => {
                    self.cursor = cursor;
                    self.list().await?;
                }
                Some(cursor) => {
                    self.cursor = cursor;
                    self.live = self.live_now().await?;
                }
                None => {
                    self.cursor = Cursor { seq: row.seq, ..Cursor::default() };
                    match self.query.tail {
                        Some(count) => self.begin_at_the_tail(count as usize).await?,
                        None => self.list().await?,
                    }
                }
            }
            self.go_on().await?;
            self.reset("too_old").await?;
        }
    }

    /// Tells what happens until the job has ended, or until events are missing.
    async fn go_on(&mut self) -> Result<(), Ended> {
        let mut appended = self.app.logs.appended();
        let mut silent = 0;
        loop {
            appended.borrow_and_update();
            let happened = self.take_events().await?;
            if happened == Found::Gap {
                return Ok(());
            }
            let spoken = self.listen().await?;
            if happened == Found::Nothing && !spoken {
                let row = self.row().await?;
                if row.seq > self.cursor.seq {
                    // What the row counts is in the log by now, unless it is no longer kept.
                    if self.events(self.cursor.seq).await?.is_empty() {
                        return Ok(());
                    }
                    continue;
                }
                if row.state.is_ended() {
                    return self.end(Some(row.state)).await;
                }
                silent += 1;
            } else {
                silent = 0;
            }
            if silent >= SILENT_LOOKS {
                self.send(": still here\n\n".to_owned()).await?;
                silent = 0;
            }
            tokio::time::sleep(PACE).await;
            // Time passing is a reason to look as good as a line.
            let _ = tokio::time::timeout(LOOK_AGAIN, appended.changed()).await;
        }
    }

    /// The job's row; an archived job has nothing more to say.
    async fn row(&self) -> Result<Job, Ended> {
        match self.app.store.job_row(self.tenant, self.job.0).await.map_err(|_| Ended)? {
            Some(row) => Ok(row),
            None => self.end(None).await.and(Err(Ended)),
        }
    }

    async fn live_now(&self) -> Result<BTreeSet<LogFile>, Ended> {
        let live = self.app.store.attempts_live_keys(self.tenant, self.job.0).await.map_err(|_| Ended)?;
        let files = live.into_iter().map(|(task, fence)| LogFile { task, fence });
        Ok(files.filter(|file| self.wants(*file)).collect())
    }

    fn wants(&self, file: LogFile) -> bool {
        self.query.task.is_none_or(|task| task == file.task)
            && self.query.attempt.is_none_or(|fence| fence == file.fence)
    }

    async fn events(&self, after: u32) -> Result<Vec<EventRow>, Ended> {
        let rows = self.app.store.events_of_job(self.tenant, self.job.0, after, PAGE).await;
        rows.map_err(|_| Ended)
    }

    /// Tells all that happened since the last look.
    async fn take_events(&mut self) -> Result<Found, Ended> {
        let mut found = Found::Nothing;
        loop {
            let rows = self.events(self.cursor.seq).await?;
            if rows.is_empty() {
                return Ok(found);
            }
            for row in rows {
                let EventSubject::Job { sequence, event, .. } = row.subject else { continue };
                if sequence != self.cursor.seq + 1 {
                    return Ok(Found::Gap);
                }
                self.take(sequence, &event, row.at).await?;
            }
            found = Found::Something;
        }
    }

    async fn take(&mut self, sequence: u32, event: &JobEvent, at: Timestamp) -> Result<(), Ended> {
        let ends = ends(event);
        for (n, (file, not_before)) in (0..).zip(&ends).skip(self.cursor.ends as usize) {
            let bytes = self.cursor.open.get(file).copied().unwrap_or_default();
            if self.wants(*file) {
                self.speak(*file, bytes).await?;
            }
            self.cursor.open.remove(file);
            self.live.remove(file);
            (self.cursor.seq, self.cursor.ends) =
                if n + 1 == ends.len() { (sequence, 0) } else { (sequence - 1, n as u32 + 1) };
            if self.wants(*file) && self.is_recent(at) {
                let mark = self.attempt(*file).await?.map(|a| mark_end(&a));
                self.mark(
                    "attempt.ended",
                    mark.map(|m| LogMark { not_before: not_before.map(Into::into), ..m }),
                )
                .await?;
            }
        }
        (self.cursor.seq, self.cursor.ends) = (sequence, 0);
        if let JobEvent::Granted { task, fence, .. } = event {
            let file = LogFile { task: *task, fence: *fence };
            if self.wants(file) {
                self.live.insert(file);
                let mark = self.attempt(file).await?.map(|a| mark_begin(&a));
                self.mark("attempt.begun", mark).await?;
            }
        }
        match event.ended() {
            Some(state) => self.end(Some(state)).await,
            None => Ok(()),
        }
    }

    /// Whether what ended at this time is asked for.
    fn is_recent(&self, ended_at: Timestamp) -> bool {
        self.query.since.is_none_or(|since| ended_at >= since.0)
    }

    async fn attempt(&self, file: LogFile) -> Result<Option<AttemptListed>, Ended> {
        let before = Some((file.task, file.fence - 1));
        let page =
            self.app.store.attempt_list(self.tenant, self.job.0, before, 1).await.map_err(|_| Ended)?;
        let found = page.items.into_iter().next();
        Ok(found.filter(|a| (a.attempt.key.task.no, a.attempt.key.fence) == (file.task, file.fence)))
    }

    /// Sends what the live attempts printed since the last look; whether there was any.
    async fn listen(&mut self) -> Result<bool, Ended> {
        let (app, job, open) = (self.app.clone(), self.job.1, self.cursor.open.clone());
        let live = self.live.clone();
        let grown = self.app.tasks.blocking(move || {
            let known = |file: &LogFile| open.get(file).copied().unwrap_or_default();
            live.into_iter().filter(|file| app.logs.length(job, *file) > known(file)).collect::<Vec<_>>()
        });
        let mut any = false;
        for file in grown.await.map_err(|_| Ended)? {
            let told = self.cursor.open.get(&file).copied();
            if told.is_some() || self.cursor.open.len() < SPEAKERS {
                any |= self.speak(file, told.unwrap_or_default()).await?;
            }
        }
        Ok(any)
    }

    /// Sends what a log holds from `bytes` on; whether there was any.
    async fn speak(&mut self, file: LogFile, bytes: u64) -> Result<bool, Ended> {
        let new = self.read(file, bytes).await?;
        for (end, line) in lines(&new, file, &self.query) {
            self.cursor.open.insert(file, bytes + end);
            self.line(&line).await?;
        }
        if !new.is_empty() {
            self.cursor.open.insert(file, bytes + new.len() as u64);
        }
        Ok(!new.is_empty())
    }

    async fn read(&self, file: LogFile, from: u64) -> Result<Vec<u8>, Ended> {
        let (app, job) = (self.app.clone(), self.job.1);
        let new = self.app.tasks.blocking(move || app.logs.read(job, file, from)).await;
        new.map_err(|_| Ended)?.map_err(|_| Ended)
    }

    /// Tells the attempts that there are, by task: all of those that have ended, the begin of those
    /// that are live. What events tell from here on is left to them.
    async fn list(&mut self) -> Result<(), Ended> {
        let mut meanwhile = Meanwhile { seq: self.cursor.seq, ..Meanwhile::default() };
        let mut after = match (self.cursor.listed, self.query.task) {
            (Some((file, _)), _) => Some((file.task, file.fence - 1)),
            (None, Some(task)) => task.checked_sub(1).map(|before| (before, u32::MAX)),
            (None, None) => None,
        };
        loop {
            let page = self.app.store.attempt_list(self.tenant, self.job.0, after, PAGE).await;
            let page = page.map_err(|_| Ended)?;
            self.look_at(&mut meanwhile).await?;
            let beyond = |file: &LogFile| self.query.task.is_some_and(|task| file.task > task);
            let over = page.items.last().is_some_and(|last| beyond(&file_of(last)));
            for attempt in page.items {
                let file = file_of(&attempt);
                if self.wants(file) && !meanwhile.granted.contains(&file) {
                    let live = attempt.attempt.state.is_live() || meanwhile.ended.contains(&file);
                    self.list_one(&attempt, file, live).await?;
                }
            }
            after = page.next.filter(|_| !over);
            if after.is_none() {
                self.cursor.listed = None;
                return Ok(());
            }
        }
    }

    /// Which attempts began and ended since the listing began.
    async fn look_at(&self, meanwhile: &mut Meanwhile) -> Result<(), Ended> {
        loop {
            let rows = self.events(meanwhile.seq).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                let EventSubject::Job { sequence, event, .. } = row.subject else { continue };
                meanwhile.seq = sequence;
                meanwhile.ended.extend(ends(&event).into_iter().map(|(file, _)| file));
                if let JobEvent::Granted { task, fence, .. } = event {
                    meanwhile.granted.insert(LogFile { task, fence });
                }
            }
        }
    }

    async fn list_one(&mut self, attempt: &AttemptListed, file: LogFile, live: bool) -> Result<(), Ended> {
        let told = self.cursor.listed.filter(|(listed, _)| *listed == file).map(|(_, told)| told);
        if live {
            self.live.insert(file);
        }
        let ended_at = attempt.attempt.ended_at.filter(|_| !live);
        if told == Some(Listed::Whole) || ended_at.is_some_and(|at| !self.is_recent(at)) {
            return Ok(());
        }
        if told.is_none() {
            let listed = if live { Listed::Whole } else { Listed::Bytes(0) };
            self.cursor.listed = Some((file, listed));
            self.mark("attempt.begun", Some(mark_begin(attempt))).await?;
        }
        if live {
            return Ok(());
        }
        let from = if let Some(Listed::Bytes(bytes)) = told { bytes } else { 0 };
        let text = self.read(file, from).await?;
        for (end, line) in lines(&text, file, &self.query) {
            self.cursor.listed = Some((file, Listed::Bytes(from + end)));
            self.line(&line).await?;
        }
        self.cursor.listed = Some((file, Listed::Whole));
        self.mark("attempt.ended", Some(mark_end(attempt))).await
    }

    /// Sends the last lines and goes on behind all that is there.
    async fn begin_at_the_tail(&mut self, count: usize) -> Result<(), Ended> {
        self.live = self.live_now().await?;
        let (app, job, query) = (self.app.clone(), self.job.1, self.query.clone());
        let begun = self.app.tasks.blocking(move || tail(&app.logs, job, &query, count));
        let (lines, read) = begun.await.map_err(|_| Ended)?.map_err(|_| Ended)?;
        let mut meanwhile = Meanwhile { seq: self.cursor.seq, ..Meanwhile::default() };
        self.look_at(&mut meanwhile).await?;
        let goes_on = |file: &LogFile| self.live.contains(file) || meanwhile.ended.contains(file);
        self.cursor.open = read.into_iter().filter(|(file, _)| goes_on(file)).collect::<BTreeMap<_, _>>();
        let last = lines.len().saturating_sub(1);
        for (n, line) in lines.iter().enumerate() {
            // A reader that comes back from among them begins with the tail again.
            if n == last { self.line(line).await? } else { self.frame("log", line, false).await? }
        }
        Ok(())
    }

    async fn line(&self, line: &LogLine) -> Result<(), Ended> {
        self.frame("log", line, true).await
    }

    async fn mark(&self, name: &str, mark: Option<LogMark>) -> Result<(), Ended> {
        match mark {
            Some(mark) => self.frame(name, &mark, true).await,
            None => Ok(()),
        }
    }

    async fn frame(&self, name: &str, data: &impl serde::Serialize, with_id: bool) -> Result<(), Ended> {
        let data = serde_json::to_string(data).map_err(|_| Ended)?;
        let id =
            if with_id && self.cursor.is_named() { format!("id: {}\n", self.cursor) } else { String::new() };
        self.send(format!("{id}event: {name}\ndata: {data}\n\n")).await
    }

    async fn reset(&mut self, reason: &str) -> Result<(), Ended> {
        self.cursor = Cursor::default();
        self.live.clear();
        let data = serde_json::json!({ "reason": reason });
        self.send(format!("event: reset\ndata: {data}\n\n")).await
    }

    /// Says that nothing more comes.
    async fn end(&self, state: Option<JobState>) -> Result<(), Ended> {
        let data = serde_json::json!({ "state": state });
        self.send(format!("event: end\ndata: {data}\n\n")).await.and(Err(Ended))
    }

    async fn send(&self, frame: String) -> Result<(), Ended> {
        match tokio::time::timeout(STALLED, self.frames.send(Ok(Bytes::from(frame)))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended),
        }
    }
}

/// The attempts that an event ended, and when their task may be tried again.
fn ends(event: &JobEvent) -> Vec<(LogFile, Option<Timestamp>)> {
    let files = |pairs: &[(u32, u32)]| {
        pairs.iter().map(|(task, fence)| (LogFile { task: *task, fence: *fence }, None)).collect()
    };
    match event {
        JobEvent::AttemptEnded(end) => {
            vec![(LogFile { task: end.task, fence: end.fence }, end.not_before)]
        }
        JobEvent::StopRequested { revoked, .. } | JobEvent::Swept { revoked, .. } => files(revoked),
        _ => Vec::new(),
    }
}

fn file_of(listed: &AttemptListed) -> LogFile {
    LogFile { task: listed.attempt.key.task.no, fence: listed.attempt.key.fence }
}

fn mark_begin(listed: &AttemptListed) -> LogMark {
    let attempt = &listed.attempt;
    LogMark {
        task: attempt.key.task.no,
        attempt: attempt.key.fence,
        worker: listed.worker,
        time: attempt.granted_at.into(),
        state: AttemptState::Leased,
        class: None,
        message: None,
        exit_code: None,
        not_before: None,
    }
}

fn mark_end(listed: &AttemptListed) -> LogMark {
    let attempt = &listed.attempt;
    let outcome = attempt.outcome.as_ref();
    LogMark {
        time: attempt.ended_at.unwrap_or(attempt.granted_at).into(),
        state: attempt.state,
        class: outcome.and_then(|outcome| outcome.class),
        message: outcome.map(|outcome| outcome.message.clone()).filter(|message| !message.is_empty()),
        exit_code: outcome.and_then(|outcome| outcome.exit_code),
        ..mark_begin(listed)
    }
}
