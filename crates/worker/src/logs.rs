//! An attempt's log on its way to the coordinator: pieces come from the executor, become lines of
//! JSON, and go up in chunks that name their offset, so that a chunk whose answer was lost is sent
//! again and never doubled. Logs are best effort: what does not fit into the buffer while the
//! coordinator is away is dropped, and the attempt never waits for them.

use crate::clock::wall;
use crate::executor::{self, LogChunk};
use crate::link::Link;
use bytes::Bytes;
use ciro_api::client::{self, log_offset_of};
use ciro_api::log::{LogLine, LogStream};
use ciro_api::time::Time;
use ciro_api::work::LogOffset;
use ciro_core::id::AttemptId;
use ciro_core::time::Timestamp;
use std::time::Duration;
use tokio::sync::mpsc;

/// Unsent lines that are kept.
const BUFFER_BYTES: usize = 512 << 10;
/// Lines of one call; a single line may be longer.
const CHUNK_BYTES: usize = 64 << 10;
/// How long lines are gathered before they are sent.
const GATHER: Duration = Duration::from_millis(200);
/// How long a finished attempt waits for its last lines to arrive.
const FINISH: Duration = Duration::from_secs(2);
/// Answers in a row that keep nothing more before the log is given up.
const MAX_STUCK: u32 = 3;

/// Lines of JSON that are not sent yet, and how much of the log is kept on the other side.
#[derive(Debug, Default)]
struct Unsent {
    lines: Vec<u8>,
    kept: u64,
    dropped: u64,
    partial: [Vec<u8>; 2],
}

impl Unsent {
    /// Takes a piece of one stream. A character that is cut in two waits for its other half.
    fn push(&mut self, at: Timestamp, chunk: &LogChunk) {
        let (stream, index) = match chunk.stream {
            executor::LogStream::Stdout => (LogStream::Stdout, 0),
            executor::LogStream::Stderr => (LogStream::Stderr, 1),
        };
        let mut bytes = std::mem::take(&mut self.partial[index]);
        bytes.extend_from_slice(&chunk.bytes);
        let whole = whole_characters(&bytes);
        self.partial[index] = bytes.split_off(whole);
        self.line(at, stream, &bytes);
    }

    /// The streams ended: half characters come out as they are.
    fn finish(&mut self, at: Timestamp) {
        for (index, stream) in [LogStream::Stdout, LogStream::Stderr].into_iter().enumerate() {
            let rest = std::mem::take(&mut self.partial[index]);
            self.line(at, stream, &rest);
        }
    }

    fn line(&mut self, at: Timestamp, stream: LogStream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let line = LogLine {
            task: None,
            attempt: None,
            time: Time(at),
            stream,
            text: String::from_utf8_lossy(bytes).into_owned(),
        };
        match serde_json::to_vec(&line) {
            Ok(mut line) if self.lines.len() + line.len() < BUFFER_BYTES => {
                line.push(b'\n');
                self.lines.append(&mut line);
            }
            _ => self.dropped += bytes.len() as u64,
        }
    }

    /// Whole lines for one call.
    fn chunk(&self) -> Bytes {
        let most = self.lines.len().min(CHUNK_BYTES);
        let is_end = |byte: &u8| *byte == b'\n';
        let within = self.lines[..most].iter().rposition(is_end);
        let end = within.or_else(|| self.lines.iter().position(is_end)).map_or(0, |last| last + 1);
        Bytes::copy_from_slice(&self.lines[..end])
    }

    /// The other side keeps `kept` bytes after it was sent `sent` at our offset.
    fn arrived(&mut self, sent: usize, kept: u64) {
        let gone = usize::try_from(kept.saturating_sub(self.kept)).unwrap_or(usize::MAX).min(sent);
        self.lines.drain(..gone);
        self.kept = kept;
    }
}

/// How many of `bytes` do not belong to a character that is still to be completed.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        // Other bytes that are no text come out as marks; the last few may still be half of one.
        Err(_) => bytes.len() - bytes.iter().rev().take(3).take_while(|b| **b >= 0x80).count(),
        Ok(_) => bytes.len(),
    }
}

/// Sends what comes from `pieces` until there is no more. Ends early, and takes the rest without
/// sending it, where the coordinator wants no more.
pub(crate) async fn forward(link: Link, attempt: AttemptId, mut pieces: mpsc::Receiver<LogChunk>) {
    let mut unsent = Unsent::default();
    let mut stuck = 0;
    loop {
        let Some(first) = pieces.recv().await else { break };
        unsent.push(wall(), &first);
        let mut open = gather(&mut pieces, &mut unsent).await;
        while !unsent.lines.is_empty() {
            let chunk = unsent.chunk();
            let sent = send(&link, attempt, unsent.kept, chunk.clone());
            tokio::pin!(sent);
            // The executor is never kept waiting by a slow call.
            let answer = loop {
                tokio::select! {
                    answer = &mut sent => break answer,
                    piece = pieces.recv(), if open => match piece {
                        Some(piece) => unsent.push(wall(), &piece),
                        None => open = false,
                    },
                }
            };
            match answer {
                Ok(answer) if answer.full || stuck == MAX_STUCK => return discard(pieces).await,
                Ok(answer) => {
                    stuck = if answer.offset > unsent.kept { 0 } else { stuck + 1 };
                    unsent.arrived(chunk.len(), answer.offset);
                }
                Err(error) => {
                    tracing::debug!(attempt.id = %attempt, %error, "the coordinator takes no log of this attempt");
                    return discard(pieces).await;
                }
            }
        }
        if !open {
            break;
        }
    }
    unsent.finish(wall());
    let rest = unsent.chunk();
    if !rest.is_empty() {
        let _ = send(&link, attempt, unsent.kept, rest).await;
    }
    if unsent.dropped > 0 {
        tracing::warn!(attempt.id = %attempt, dropped_bytes = unsent.dropped, "part of the attempt's log was dropped");
    }
}

/// Takes pieces for a moment, so that a chatty program does not cause a call per line. False when
/// the last one came.
async fn gather(pieces: &mut mpsc::Receiver<LogChunk>, unsent: &mut Unsent) -> bool {
    let enough = tokio::time::sleep(GATHER);
    tokio::pin!(enough);
    loop {
        tokio::select! {
            () = &mut enough => return true,
            piece = pieces.recv() => match piece {
                Some(piece) => unsent.push(wall(), &piece),
                None => return false,
            },
        }
        if unsent.lines.len() >= CHUNK_BYTES {
            return true;
        }
    }
}

async fn send(
    link: &Link,
    attempt: AttemptId,
    offset: u64,
    chunk: Bytes,
) -> Result<LogOffset, client::Error> {
    let sent = link.persist(|client| {
        let chunk = chunk.clone();
        async move { client.work_log(attempt, offset, chunk).await }
    });
    match sent.await {
        // The other side lost what it had not on disk yet, or got more of an earlier call than its
        // answer said: it goes on where it says.
        Err(error) => match log_offset_of(&error) {
            Some(offset) => Ok(LogOffset { offset, full: false }),
            None => Err(error),
        },
        answer => answer,
    }
}

async fn discard(mut pieces: mpsc::Receiver<LogChunk>) {
    while pieces.recv().await.is_some() {}
}

/// Waits for the last lines to arrive, within reason.
pub(crate) async fn finished(forwarding: tokio::task::JoinHandle<()>) {
    let abort = forwarding.abort_handle();
    if tokio::time::timeout(FINISH, forwarding).await.is_err() {
        abort.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(bytes: &[u8]) -> LogChunk {
        LogChunk { stream: executor::LogStream::Stdout, bytes: Bytes::copy_from_slice(bytes) }
    }

    #[test]
    fn a_character_cut_in_two_comes_out_whole_and_garbage_comes_out_marked() {
        let mut unsent = Unsent::default();
        let euro = "€".as_bytes();
        unsent.push(Timestamp(0), &piece(&[b"a", &euro[..2]].concat()));
        unsent.push(Timestamp(0), &piece(&euro[2..]));
        unsent.push(Timestamp(0), &piece(b"\xff\xffz"));
        unsent.push(Timestamp(0), &piece(&euro[..1]));
        unsent.finish(Timestamp(0));
        let lines = unsent.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let said: Vec<String> =
            lines.map(|line| serde_json::from_slice::<LogLine>(line).unwrap().text).collect();
        assert_eq!(said, ["a", "€", "\u{fffd}\u{fffd}z", "\u{fffd}"]);
    }

    #[test]
    fn a_lost_answer_doubles_nothing_and_a_lost_log_goes_on_where_it_is_told() {
        let mut unsent = Unsent::default();
        unsent.push(Timestamp(0), &piece(b"one"));
        let first = unsent.chunk();
        unsent.push(Timestamp(0), &piece(b"two"));
        // The answer was lost; the next one says that all of the first call was kept.
        unsent.arrived(first.len(), first.len() as u64);
        assert!(unsent.chunk().ends_with(b"\"text\":\"two\"}\n") && !unsent.lines.starts_with(&first));
        // The other side lost everything: what is left goes to its beginning.
        let rest = unsent.chunk();
        unsent.arrived(rest.len(), 0);
        assert_eq!((unsent.kept, unsent.chunk()), (0, rest));
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let mut unsent = Unsent::default();
        let big = piece(&vec![b'x'; 16 << 10]);
        for _ in 0..64 {
            unsent.push(Timestamp(0), &big);
        }
        assert!(unsent.lines.len() < BUFFER_BYTES && unsent.dropped >= 512 << 10);
        assert!(unsent.chunk().len() <= CHUNK_BYTES);
    }
}
