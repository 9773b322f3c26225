//! What the program says while it runs. One subscriber for the whole process: its filter, its look
//! and its place can be exchanged while it runs, each line as a whole.
//!
//! A line goes down the page once: the filter lets it through, [`Look`] makes it a text, [`sink`]
//! writes it to standard error or to a file that is set aside in time.

mod rotate;
mod sink;

use crate::config::{Log, LogFormat};
use parking_lot::RwLock;
use sink::{Place, Sink};
use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

/// The log of this process, once it has begun.
static RUNNING: OnceLock<Running> = OnceLock::new();

/// What can be exchanged.
struct Running {
    filter: reload::Handle<EnvFilter, Registry>,
    look: Look,
    sink: Arc<Sink>,
}

/// Begins to log. A process that logs already goes on as it did.
///
/// # Errors
/// When the file cannot be written.
pub fn init(log: &Log) -> io::Result<()> {
    let sink = Arc::new(Sink::new(Place::of(log)?));
    let (filter, handle) = reload::Layer::new(filter(&log.level));
    let look = Look::of(log);
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(look.clone())
        .with_writer(Arc::clone(&sink));
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        // Nobody else sets it: only one subscriber can be the first.
        let _ = RUNNING.set(Running { filter: handle, look, sink });
    }
    Ok(())
}

/// Opens the file again, where there is one: somebody may have moved it away.
pub fn reopen() {
    if let Some(running) = RUNNING.get() {
        running.sink.reopen();
    }
}

/// A log that is ready to be changed.
#[derive(Debug)]
pub(crate) struct Prepared {
    log: Log,
    place: Option<Place>,
}

/// Makes ready what [`Prepared::apply`] exchanges.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn prepare(log: &Log) -> io::Result<Prepared> {
    let place = RUNNING.get().map(|_| Place::of(log)).transpose()?;
    Ok(Prepared { log: log.clone(), place })
}

impl Prepared {
    /// Exchanges filter, look and place.
    pub(crate) fn apply(self) {
        let (Some(running), Some(place)) = (RUNNING.get(), self.place) else {
            return;
        };
        running.sink.exchange(place);
        *running.look.0.write() = Seen::of(&self.log);
        // It only fails when the subscriber is gone, and then nothing is logged anyway.
        let _ = running.filter.reload(filter(&self.log.level));
    }
}

/// The settings were checked, so that the other branch is never taken.
fn filter(level: &str) -> EnvFilter {
    level.parse().unwrap_or_else(|_| EnvFilter::new("info"))
}

/// What lines look like at present.
#[derive(Debug, Clone)]
struct Look(Arc<RwLock<Seen>>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    format: LogFormat,
    colours: bool,
}

impl Seen {
    fn of(log: &Log) -> Seen {
        Seen { format: log.format, colours: log.file.is_none() && io::stderr().is_terminal() }
    }
}

impl Look {
    fn of(log: &Log) -> Look {
        Look(Arc::new(RwLock::new(Seen::of(log))))
    }
}

impl<S, N> FormatEvent<S, N> for Look
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Seen { format, colours } = *self.0.read();
        let line = tracing_subscriber::fmt::format().with_ansi(colours);
        match format {
            LogFormat::Text => line.format_event(context, to, event),
            LogFormat::Compact => line.compact().format_event(context, to, event),
            LogFormat::Json => line.json().format_event(context, to, event),
        }
    }
}
