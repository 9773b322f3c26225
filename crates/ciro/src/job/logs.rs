//! `job logs`: what a job's programs print, as it is or as it grows.
//! Where several tasks speak, every line says which attempt of which one it is of. What is followed goes
//! on over retries and restarts of the server, and says where attempts begin and end.

use crate::again::again;
use crate::cli::Context;
use crate::clock;
use crate::error::Failure;
use crate::follow::Follow;
use crate::ids;
use crate::output::{self, Format};
use crate::table::{ago, brief};
use crate::units::When;
use ciro_api::log::{LogLine, LogMark, LogQuery, LogStream, MAX_TAIL};
use ciro_core::attempt::AttemptState;
use ciro_core::id::JobId;
use std::cell::RefCell;
use std::io::{self, Write};

/// The widest that an attempt's message is shown to people, characters.
const WIDTH: usize = 200;

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
    /// Only what was printed since then: an instant, or how long ago (`10m`)
    #[arg(long, value_name = "WHEN")]
    pub since: Option<When>,
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
            since: self.since.map(|since| since.before(clock::now())),
            follow: None,
        }
    }
}

pub(super) async fn run(args: &LogsArgs, context: &Context) -> Result<(), Failure> {
    let id = ids::job(&context.client, &args.job).await?;
    let several = args.task.is_none() && again(|| context.client.job_get(id)).await?.tasks.total > 1;
    let mut sink = Sink::of(context.out.format, several);
    let query = args.query();
    if args.follow {
        follow(context, id, &query, &mut |said| tell(context, &mut sink, said)).await?;
    } else {
        let mut lines = again(|| context.client.job_logs(id, &query)).await?;
        while let Some(line) = lines.next().await? {
            output::bytes(&sink.take(line)?)?;
        }
    }
    if context.out.format == Format::Json {
        context.out.many(&sink.items, |_| String::new(), |_| String::new())?;
    }
    Ok(())
}

/// Lines go to standard output, marks to those who read along; scripts that take a document a line get
/// both as they come.
fn tell(context: &Context, sink: &mut Sink, said: Said) -> Result<(), Failure> {
    let (words, mark) = match said {
        Said::Line(line) => return output::bytes(&sink.take(line)?),
        Said::Begun(mark) => (begun(&mark), mark),
        Said::Ended(mark) => (ended(&mark), mark),
    };
    if context.out.format == Format::Ndjson {
        return output::text(&output::line(&mark)?);
    }
    output::bytes(sink.finish_line().as_bytes())?;
    context.out.remark(&words);
    Ok(())
}

/// Shows what the programs of a job print, until it has ended, on standard error.
///
/// # Errors
/// When the stream cannot be read.
pub(super) async fn follow_to_stderr(context: &Context, id: JobId) -> Result<(), Failure> {
    let mut sink = Sink::of(Format::Table, true);
    follow(context, id, &LogQuery::default(), &mut |said| {
        let bytes = match said {
            Said::Line(line) => sink.take(line)?,
            // The first attempt of each task is what everybody expects.
            Said::Begun(mark) if mark.attempt == 1 => return Ok(()),
            Said::Begun(mark) => format!("{}{}\n", sink.finish_line(), begun(&mark)).into_bytes(),
            Said::Ended(mark) if mark.state == AttemptState::Accepted => return Ok(()),
            Said::Ended(mark) => format!("{}{}\n", sink.finish_line(), ended(&mark)).into_bytes(),
        };
        io::stderr().write_all(&bytes).map_err(|error| Failure::io("cannot write to standard error", &error))
    })
    .await
}

/// What a followed log says.
enum Said {
    Line(LogLine),
    Begun(LogMark),
    Ended(LogMark),
}

/// Follows over as many connections as it takes. Lines that come without an id (the last ones of
/// `--tail`) are held until one has it: who comes back without one is told them again.
async fn follow(
    context: &Context,
    id: JobId,
    query: &LogQuery,
    write: &mut impl FnMut(Said) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let held: RefCell<Vec<Said>> = RefCell::default();
    let open = async |after: Option<String>| {
        held.borrow_mut().clear();
        context.client.log_stream(id, query, after.as_deref()).await
    };
    let mut stream = Follow::new(context.out, open);
    while let Some(frame) = stream.next().await? {
        let said = match frame.name.as_str() {
            "attempt.begun" => Said::Begun(frame.json()?),
            "attempt.ended" => Said::Ended(frame.json()?),
            _ => Said::Line(frame.json()?),
        };
        held.borrow_mut().push(said);
        if frame.id.is_some() {
            held.take().into_iter().try_for_each(&mut *write)?;
        }
    }
    held.take().into_iter().try_for_each(write)
}

/// Turns pieces of log into what is written.
struct Sink {
    format: Format,
    several: bool,
    /// Task and attempt whose line is not finished.
    at: Option<(Option<u32>, Option<u32>)>,
    items: Vec<LogLine>,
}

impl Sink {
    fn of(format: Format, several: bool) -> Sink {
        Sink { format, several, at: None, items: Vec::new() }
    }

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
        let of = (line.task, line.attempt);
        let mut text = String::with_capacity(line.text.len() + 16);
        if self.at.is_some_and(|at| at != of) {
            text.push('\n');
            self.at = None;
        }
        for part in line.text.split_inclusive('\n') {
            if self.at.is_none() && self.several {
                let number = |n: Option<u32>| n.map(|n| n.to_string()).unwrap_or_default();
                text.push_str(&format!("{:>3}/{} | ", number(line.task), number(line.attempt)));
            }
            text.push_str(part);
            self.at = if part.ends_with('\n') { None } else { Some(of) };
        }
        text
    }

    /// Ends a line that its program has not ended, before something else is said.
    fn finish_line(&mut self) -> &'static str {
        if self.at.take().is_some() { "\n" } else { "" }
    }
}

/// An attempt's begin as people read it.
fn begun(mark: &LogMark) -> String {
    format!("── task {} attempt {} begins on {}", mark.task, mark.attempt, mark.worker)
}

/// An attempt's end as people read it.
fn ended(mark: &LogMark) -> String {
    let class = mark.class.map(|class| format!(" ({})", class.name())).unwrap_or_default();
    let message = mark.message.as_deref().map(|text| format!(": {}", brief(text, WIDTH))).unwrap_or_default();
    let again = mark.not_before.map(|at| format!("; again {}", ago(at, clock::now()))).unwrap_or_default();
    format!("── task {} attempt {} {}{class}{message}{again}", mark.task, mark.attempt, mark.state.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ciro_api::time::Time;
    use ciro_core::time::Timestamp;

    #[test]
    fn lines_of_several_tasks_say_whose_they_are_and_never_mix() {
        let mut sink = Sink::of(Format::Table, true);
        let mut said = String::new();
        let pieces = [(0, 1, "a"), (0, 1, "b\nc\n"), (1, 1, "half"), (0, 1, "d\n"), (1, 2, "rest\n")];
        for (task, attempt, text) in pieces {
            let (time, stream) = (Time(Timestamp(0)), LogStream::Stdout);
            let line = LogLine { task: Some(task), attempt: Some(attempt), time, stream, text: text.into() };
            said.push_str(&sink.plain(&line));
        }
        assert_eq!(said, "  0/1 | ab\n  0/1 | c\n  1/1 | half\n  0/1 | d\n  1/2 | rest\n");
    }
}
