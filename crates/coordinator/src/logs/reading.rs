//! Reading logs: all of them as they lie, the last lines, or as they come. Files are read whole,
//! one at a time (each is at most 10 MiB); what a query does not ask for is left out line by line.

use super::{LogFile, Logs};
use crate::app::App;
use crate::streams::Permit;
use bytes::Bytes;
use ciro_api::log::{LogLine, LogQuery};
use ciro_core::id::{JobId, JobKey, TenantKey};
use futures_util::{Stream, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// How often a follower looks although nothing was appended: for the end of the job.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The longest silence of a stream, in looks.
const SILENT_LOOKS: u32 = 15;
/// A client that takes nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// Frames that wait for a client.
const FRAMES: usize = 64;
/// Pause between two looks of one follower, so that a busy coordinator is not asked for each line.
const PACE: Duration = Duration::from_millis(100);

/// The lines of a file that `query` asks for, with task and attempt added, each with the number of
/// bytes of `bytes` up to its end.
fn lines<'b>(
    bytes: &'b [u8],
    file: LogFile,
    query: &LogQuery,
) -> impl DoubleEndedIterator<Item = (u64, LogLine)> + use<'b> {
    let stream = query.stream;
    let begin = bytes.as_ptr().addr();
    bytes.split_inclusive(|byte| *byte == b'\n').filter_map(move |text| {
        let end = text.as_ptr().addr() - begin + text.len();
        let line: LogLine = serde_json::from_slice(text).ok()?;
        let line = LogLine { task: Some(file.task), attempt: Some(file.fence), ..line };
        stream.is_none_or(|wanted| wanted == line.stream).then_some((end as u64, line))
    })
}

fn write(line: &LogLine, plain: bool, out: &mut Vec<u8>) -> io::Result<()> {
    if plain {
        out.extend_from_slice(line.text.as_bytes());
        return Ok(());
    }
    serde_json::to_writer(&mut *out, line)?;
    out.push(b'\n');
    Ok(())
}

/// Every log that `query` asks for, one after the other.
pub fn all(
    app: &App,
    job: JobId,
    query: LogQuery,
    plain: bool,
) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let app = app.clone();
    let listing = {
        let (app, query) = (app.clone(), query.clone());
        async move {
            let reader = app.clone();
            app.tasks.blocking(move || reader.logs.list(job, &query)).await.map_err(io::Error::other)?
        }
    };
    futures_util::stream::once(listing)
        .map_ok(|files| futures_util::stream::iter(files.into_iter().map(io::Result::Ok)))
        .try_flatten()
        .and_then(move |file| {
            let (app, query) = (app.clone(), query.clone());
            async move {
                let reader = app.clone();
                let read = app.tasks.blocking(move || {
                    let mut out = Vec::new();
                    for (_, line) in lines(&reader.logs.read(job, file, 0)?, file, &query) {
                        write(&line, plain, &mut out)?;
                    }
                    Ok::<_, io::Error>(Bytes::from(out))
                });
                read.await.map_err(io::Error::other)?
            }
        })
        .boxed()
}

/// The last `count` lines of what `query` asks for. Blocks; reads from the end.
///
/// # Errors
/// When a file cannot be read.
pub fn tail(logs: &Logs, job: JobId, query: &LogQuery, count: usize, plain: bool) -> io::Result<Vec<u8>> {
    let mut last = Vec::new();
    let mut missing = count;
    for file in logs.list(job, query)?.into_iter().rev() {
        for (_, line) in lines(&logs.read(job, file, 0)?, file, query).rev() {
            let text = last_lines(&line.text, missing);
            missing = missing.saturating_sub(text.lines().count().max(1));
            last.push(LogLine { text: text.to_owned(), ..line });
            if missing == 0 {
                break;
            }
        }
        if missing == 0 {
            break;
        }
    }
    let mut out = Vec::new();
    for line in last.iter().rev() {
        write(line, plain, &mut out)?;
    }
    Ok(out)
}

/// The last `count` lines of a text.
fn last_lines(text: &str, count: usize) -> &str {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let begin = body.rmatch_indices('\n').nth(count.saturating_sub(1)).map_or(0, |(at, _)| at + 1);
    &text[begin..]
}

/// The logs as Server-Sent Events: what there is, then what comes, then `end` with the job's state.
#[must_use]
pub fn follow(
    app: &App,
    tenant: TenantKey,
    job: (JobKey, JobId),
    query: LogQuery,
    after: Option<Seen>,
    permit: Permit,
) -> ReceiverStream<Result<Bytes, std::convert::Infallible>> {
    let (frames, stream) = mpsc::channel(FRAMES);
    let follower = Follower {
        app: app.clone(),
        tenant,
        job,
        query,
        frames,
        resumed: after.is_some(),
        read: after.unwrap_or_default().0,
    };
    app.metrics.waiting.inc();
    app.tasks.spawn(async move {
        let app = follower.app.clone();
        tokio::select! {
            biased;
            () = app.tasks.draining() => {}
            _ended = follower.run() => {}
        }
        app.metrics.waiting.dec();
        drop(permit);
    });
    ReceiverStream::new(stream)
}

struct Follower {
    app: App,
    tenant: TenantKey,
    job: (JobKey, JobId),
    query: LogQuery,
    frames: mpsc::Sender<Result<Bytes, std::convert::Infallible>>,
    /// Whether the reader was here before.
    resumed: bool,
    /// Bytes of each log that were read.
    read: BTreeMap<LogFile, u64>,
}

/// How far a follower is in each log: the id of a frame, as `<task>-<fence>-<bytes>` joined by `.`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<LogFile, u64>);

/// Logs that an id names at most; a follower of more of them begins anew when it comes back.
const MAX_SEEN: usize = 64;

impl Seen {
    /// Reads the id of a frame.
    #[must_use]
    pub fn parse(id: &str) -> Option<Seen> {
        let mut seen = BTreeMap::new();
        for part in id.split('.') {
            let mut numbers = part.splitn(3, '-');
            let task = numbers.next()?.parse().ok()?;
            let fence = numbers.next()?.parse().ok()?;
            seen.insert(LogFile { task, fence }, numbers.next()?.parse().ok()?);
        }
        (seen.len() <= MAX_SEEN).then_some(Seen(seen))
    }

    fn id(read: &BTreeMap<LogFile, u64>) -> Option<String> {
        let parts = read.iter().map(|(file, bytes)| format!("{}-{}-{bytes}", file.task, file.fence));
        (1..=MAX_SEEN).contains(&read.len()).then(|| parts.collect::<Vec<_>>().join("."))
    }
}

/// Why following ended.
struct Ended;

impl Follower {
    async fn run(mut self) -> Result<(), Ended> {
        let mut appended = self.app.logs.appended();
        let mut silent = 0;
        if self.query.tail.is_some() && !self.resumed {
            self.begin_at_the_tail().await?;
        }
        loop {
            appended.borrow_and_update();
            // The job's state is read before its logs: what an ended job wrote is there by now.
            let row = self.app.store.job_row(self.tenant, self.job.0).await.map_err(|_| Ended)?;
            let sent = self.send_new().await?;
            let state = row.map(|row| row.state);
            if state.is_none_or(|state| state.is_ended()) {
                let data = serde_json::json!({ "state": state });
                return self.send(format!("event: end\ndata: {data}\n\n")).await;
            }
            silent = if sent { 0 } else { silent + 1 };
            if silent >= SILENT_LOOKS {
                self.send(": still here\n\n".to_owned()).await?;
                silent = 0;
            }
            tokio::time::sleep(PACE).await;
            // Time passing is a reason to look as good as a line.
            let _ = tokio::time::timeout(LOOK_AGAIN, appended.changed()).await;
        }
    }

    /// Sends the last lines and goes on behind all that is there.
    async fn begin_at_the_tail(&mut self) -> Result<(), Ended> {
        let (app, job, query) = (self.app.clone(), self.job.1, self.query.clone());
        let count = query.tail.unwrap_or_default() as usize;
        let begun = self.app.tasks.blocking(move || {
            let mut read = BTreeMap::new();
            for file in app.logs.list(job, &query)? {
                read.insert(file, app.logs.read(job, file, 0)?.len() as u64);
            }
            Ok::<_, io::Error>((read, tail(&app.logs, job, &query, count, false)?))
        });
        let (read, lines) = begun.await.map_err(|_| Ended)?.map_err(|_| Ended)?;
        self.read = read;
        for line in String::from_utf8_lossy(&lines).lines() {
            self.send(format!("event: log\ndata: {line}\n\n")).await?;
        }
        Ok(())
    }

    /// Sends what was appended since the last look; whether there was any.
    async fn send_new(&mut self) -> Result<bool, Ended> {
        let (app, job, query) = (self.app.clone(), self.job.1, self.query.clone());
        let files = self.app.tasks.blocking(move || app.logs.list(job, &query)).await;
        let mut any = false;
        for file in files.map_err(|_| Ended)?.map_err(|_| Ended)? {
            let (app, from) = (self.app.clone(), self.read.get(&file).copied().unwrap_or_default());
            let new = self.app.tasks.blocking(move || app.logs.read(job, file, from)).await;
            let new = new.map_err(|_| Ended)?.map_err(|_| Ended)?;
            for (bytes, line) in lines(&new, file, &self.query) {
                any = true;
                self.read.insert(file, from + bytes);
                self.send_line(&line).await?;
            }
            self.read.insert(file, from + new.len() as u64);
        }
        Ok(any)
    }

    async fn send_line(&self, line: &LogLine) -> Result<(), Ended> {
        let data = serde_json::to_string(line).map_err(|_| Ended)?;
        let id = Seen::id(&self.read).map(|id| format!("id: {id}\n")).unwrap_or_default();
        self.send(format!("{id}event: log\ndata: {data}\n\n")).await
    }

    async fn send(&self, frame: String) -> Result<(), Ended> {
        match tokio::time::timeout(STALLED, self.frames.send(Ok(Bytes::from(frame)))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_the_place_it_names() {
        let read = BTreeMap::from([(LogFile { task: 0, fence: 2 }, 17), (LogFile { task: 3, fence: 1 }, 0)]);
        assert_eq!(Seen::id(&read).as_deref(), Some("0-2-17.3-1-0"));
        assert_eq!(Seen::parse("0-2-17.3-1-0"), Some(Seen(read)));
        assert_eq!(Seen::parse("0-2"), None);
        assert_eq!(Seen::id(&BTreeMap::new()), None);
    }

    #[test]
    fn last_lines_are_counted_as_people_count_them() {
        for (text, count, expected) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 1, "c"),
            ("a\n", 5, "a\n"),
            ("", 1, ""),
            ("\n\n", 1, "\n"),
        ] {
            assert_eq!(last_lines(text, count), expected, "{text:?} {count}");
        }
    }
}
