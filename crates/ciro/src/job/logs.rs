//! `job logs`: what a job's programs print, as it is or as it grows.
//! Where several tasks speak, every line says which one it is of.

use crate::again::{again, pause};
use crate::cli::Context;
use crate::error::{Exit, Failure};
use crate::ids;
use crate::output::{self, Format};
use ciro_api::client::{Error, Frame, Frames};
use ciro_api::log::{LogLine, LogQuery, LogStream, MAX_TAIL};
use ciro_core::id::JobId;
use std::io::{self, Write};

/// Breaks in a row, without a frame between them, before the stream is given up.
const MAX_BREAKS: u32 = 8;

/// Whose logs, and which of them.
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// The job: its id, the end of it, or `last`
    pub job: String,
    /// Only of the task with this number
    #[arg(long, value_name = "N")]
    pub task: Option<u32>,
    /// Only of the attempts with this fence
    #[arg(long, value_name = "FENCE")]
    pub attempt: Option<u32>,
    /// Only standard output, or only standard error
    #[arg(long, value_enum)]
    pub stream: Option<StreamArg>,
    /// Only the last lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TAIL)))]
    pub tail: Option<u32>,
    /// Go on until the job ends
    #[arg(long)]
    pub follow: bool,
}

/// One of a program's streams.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum StreamArg {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LogsArgs {
    fn query(&self) -> LogQuery {
        LogQuery {
            task: self.task,
            attempt: self.attempt,
            stream: self.stream.map(|stream| match stream {
                StreamArg::Stdout => LogStream::Stdout,
                StreamArg::Stderr => LogStream::Stderr,
            }),
            tail: self.tail,
            follow: None,
        }
    }
}

pub(super) async fn run(args: &LogsArgs, context: &Context) -> Result<(), Failure> {
    let id = ids::job(&context.client, &args.job).await?;
    let several = args.task.is_none() && again(|| context.client.job_get(id)).await?.tasks.total > 1;
    let mut sink = Sink { format: context.out.format, several, at: None, items: Vec::new() };
    let mut write = |line: LogLine| sink.take(line).and_then(|bytes| output::bytes(&bytes));
    let query = args.query();
    if args.follow {
        follow(context, id, &query, &mut write).await?;
    } else {
        let mut lines = again(|| context.client.job_logs(id, &query)).await?;
        while let Some(line) = lines.next().await? {
            write(line)?;
        }
    }
    if context.out.format == Format::Json {
        context.out.many(&sink.items, |_| String::new(), |_| String::new())?;
    }
    Ok(())
}

/// Shows what the programs of a job print, until it has ended, on standard error.
///
/// # Errors
/// When the stream cannot be read.
pub(super) async fn follow_to_stderr(context: &Context, id: JobId) -> Result<(), Failure> {
    let mut sink = Sink { format: Format::Table, several: true, at: None, items: Vec::new() };
    follow(context, id, &LogQuery::default(), &mut |line| {
        let bytes = sink.take(line)?;
        io::stderr().write_all(&bytes).map_err(|error| Failure::io("cannot write to standard error", &error))
    })
    .await
}

async fn follow(
    context: &Context,
    id: JobId,
    query: &LogQuery,
    write: &mut impl FnMut(LogLine) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut open, mut after, mut breaks, mut told) = (None, None, 0, false);
    loop {
        let frame = match next(context, id, query, &mut open, after.as_deref()).await {
            Ok(frame) => frame,
            Err(error) if !error.is_retryable() || breaks >= MAX_BREAKS => return Err(error.into()),
            // Without an id to come back to, everything would be told twice.
            Err(error) if told && after.is_none() => return Err(error.into()),
            Err(_) => {
                breaks += 1;
                tokio::time::sleep(pause(breaks)).await;
                continue;
            }
        };
        breaks = 0;
        after = frame.id.clone().or(after);
        match frame.name.as_str() {
            "end" => return Ok(()),
            "lagged" => open = None,
            "auth_expired" => return Err(Failure::new(Exit::Auth, "the key is no longer good")),
            _ => {
                write(frame.json()?)?;
                told = true;
            }
        }
    }
}

async fn next(
    context: &Context,
    id: JobId,
    query: &LogQuery,
    open: &mut Option<Frames>,
    after: Option<&str>,
) -> Result<Frame, Error> {
    let mut frames = match open.take() {
        Some(frames) => frames,
        None => context.client.log_stream(id, query, after).await?,
    };
    let frame = frames.next().await?.ok_or(Error::Silent)?;
    *open = Some(frames);
    Ok(frame)
}

/// Turns pieces of log into what is written.
struct Sink {
    format: Format,
    several: bool,
    /// The task whose line is not finished.
    at: Option<Option<u32>>,
    items: Vec<LogLine>,
}

impl Sink {
    fn take(&mut self, line: LogLine) -> Result<Vec<u8>, Failure> {
        match self.format {
            Format::Json => {
                self.items.push(line);
                Ok(Vec::new())
            }
            Format::Ndjson => output::line(&line).map(|text| format!("{text}\n").into_bytes()),
            Format::Table | Format::Id => Ok(self.plain(&line).into_bytes()),
        }
    }

    fn plain(&mut self, line: &LogLine) -> String {
        if !self.several {
            return line.text.clone();
        }
        let mut text = String::with_capacity(line.text.len() + 16);
        if self.at.is_some_and(|task| task != line.task) {
            text.push('\n');
            self.at = None;
        }
        for part in line.text.split_inclusive('\n') {
            if self.at.is_none() {
                let task = line.task.map(|task| task.to_string()).unwrap_or_default();
                text.push_str(&format!("{task:>3} | "));
            }
            text.push_str(part);
            self.at = if part.ends_with('\n') { None } else { Some(line.task) };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ciro_api::time::Time;
    use ciro_core::time::Timestamp;

    #[test]
    fn lines_of_several_tasks_say_whose_they_are_and_never_mix() {
        let mut sink = Sink { format: Format::Table, several: true, at: None, items: Vec::new() };
        let mut said = String::new();
        for (task, text) in [(0, "a"), (0, "b\nc\n"), (1, "half"), (0, "d\n"), (1, "rest\n")] {
            let (time, stream) = (Time(Timestamp(0)), LogStream::Stdout);
            let line = LogLine { task: Some(task), attempt: Some(1), time, stream, text: text.into() };
            said.push_str(&sink.plain(&line));
        }
        assert_eq!(said, "  0 | ab\n  0 | c\n  1 | half\n  0 | d\n  1 | rest\n");
    }
}
