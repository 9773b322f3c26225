//! Reading logs as they lie: all of them, or the last lines. Files are read whole, one at a time (each
//! is at most 10 MiB); what a query does not ask for is left out line by line.

use super::{LogFile, Logs};
use crate::app::App;
use bytes::Bytes;
use ciro_api::log::{LogLine, LogQuery};
use ciro_core::id::JobId;
use futures_util::{Stream, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::io;

/// The lines of a file that `query` asks for, with task and attempt added, each with the number of
/// bytes of `bytes` up to its end.
pub(super) fn lines<'b>(
    bytes: &'b [u8],
    file: LogFile,
    query: &LogQuery,
) -> impl DoubleEndedIterator<Item = (u64, LogLine)> + use<'b> {
    let (stream, since) = (query.stream, query.since);
    let begin = bytes.as_ptr().addr();
    bytes.split_inclusive(|byte| *byte == b'\n').filter_map(move |text| {
        let end = text.as_ptr().addr() - begin + text.len();
        let line: LogLine = serde_json::from_slice(text).ok()?;
        let line = LogLine { task: Some(file.task), attempt: Some(file.fence), ..line };
        let wanted =
            stream.is_none_or(|stream| stream == line.stream) && since.is_none_or(|since| line.time >= since);
        wanted.then_some((end as u64, line))
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

/// The last `count` lines of what `query` asks for, and how many bytes there are of each log. Blocks;
/// reads from the end.
///
/// # Errors
/// When a file cannot be read.
pub fn tail(
    logs: &Logs,
    job: JobId,
    query: &LogQuery,
    count: usize,
) -> io::Result<(Vec<LogLine>, BTreeMap<LogFile, u64>)> {
    let files = logs.list(job, query)?;
    let mut bytes: BTreeMap<LogFile, u64> =
        files.iter().map(|file| (*file, logs.length(job, *file))).collect();
    let mut last = Vec::new();
    let mut missing = count;
    for file in files.into_iter().rev() {
        let text = logs.read(job, file, 0)?;
        bytes.insert(file, text.len() as u64);
        for (_, line) in lines(&text, file, query).rev() {
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
    last.reverse();
    Ok((last, bytes))
}

/// Lines as they are sent: what the programs wrote, or one object a line.
///
/// # Errors
/// Never in practice: they are written to memory.
pub fn written(lines: &[LogLine], plain: bool) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    lines.iter().try_for_each(|line| write(line, plain, &mut out))?;
    Ok(out)
}

/// The last `count` lines of a text.
fn last_lines(text: &str, count: usize) -> &str {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let begin = body.rmatch_indices('\n').nth(count.saturating_sub(1)).map_or(0, |(at, _)| at + 1);
    &text[begin..]
}

#[cfg(test)]
mod tests {
    use super::*;

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
