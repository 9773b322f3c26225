//! `ciro top`: the network at a glance, drawn over again in place.
//!
//! Two loops ask the server, one for figures ([`figures`]) and one for events, and hand what they
//! learn to a third, which keeps the [`frame::Frame`], takes keys, and draws ([`screen`]). A server
//! that does not answer is asked again for as long as somebody looks.

mod figures;
mod frame;
mod layout;
mod screen;

use crate::cli::Context;
use crate::error::{Exit, Failure};
use crate::follow::Follow;
use crate::output::{self, Format, Output};
use crate::units;
use ciro_api::client::Error;
use ciro_api::event::Event;
use figures::Look;
use frame::Frame;
use layout::View;
use screen::{Key, Screen};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// News that wait to be drawn.
const NEWS: usize = 64;
/// The least that is waited between two looks.
const SHORTEST: Duration = Duration::from_millis(100);
/// The width of a frame that is printed.
const PRINTED_WIDTH: usize = 160;

/// What is shown, and how.
#[derive(Debug, clap::Args)]
pub struct TopArgs {
    /// Print one frame and end: as text, or with -o json as JSON
    #[arg(long)]
    pub once: bool,
    /// Between two looks
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::duration)]
    pub interval: Duration,
    /// Order of the workers: load, name, state, attempts, seen
    #[arg(long, value_enum, default_value = "load")]
    pub sort: layout::Sort,
    /// Only workers whose line has this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub find: String,
}

/// What one of the loops learned.
enum News {
    Look(Box<Result<Look, Error>>),
    Event(Box<Event>),
}

pub(crate) async fn run(args: &TopArgs, context: &Context) -> Result<(), Failure> {
    let view = View { sort: args.sort, find: args.find.clone(), ..View::default() };
    let interval = args.interval.max(SHORTEST);
    let first = figures::look(context).await?;
    let mut frame = Frame::new(context.client.base(), first);
    if args.once || context.out.is_json() {
        tokio::time::sleep(interval).await;
        frame.take(figures::look(context).await?);
        frame.events = figures::last_events(context, frame.last_position()).await?;
        return print(&frame, &view, context);
    }
    if !std::io::stdout().is_terminal() {
        let message = "standard output is not a terminal that can be drawn on";
        return Err(Failure::usage(message).hint("`ciro top --once` prints one frame"));
    }
    let (news, heard) = mpsc::channel(NEWS);
    let after = frame.last_position();
    tokio::select! {
        ended = show(frame, view, heard) => ended,
        never = ask(context, interval, &news) => match never {},
        never = listen(context, after, &news) => match never {},
    }
}

fn print(frame: &Frame, view: &View, context: &Context) -> Result<(), Failure> {
    match context.out.format {
        Format::Table | Format::Id => {
            let lines = layout::whole(frame, view).into_iter();
            let text: Vec<String> = lines.map(|line| line.cut(PRINTED_WIDTH)).collect();
            output::text(&text.join("\n"))
        }
        _ => context.out.one(frame, "", String::new),
    }
}

/// Asks for figures for ever.
async fn ask(context: &Context, interval: Duration, news: &mpsc::Sender<News>) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(interval).await;
        let look = figures::look(context).await;
        // Who draws lives as long as this loop.
        let _ = news.send(News::Look(Box::new(look))).await;
    }
}

/// Follows events for ever, over restarts of the server.
async fn listen(context: &Context, after: u64, news: &mpsc::Sender<News>) -> std::convert::Infallible {
    let query = figures::backlog(after);
    let open = async |last: Option<String>| context.client.events(&query, last.as_deref()).await;
    let mut stream = Follow::new(Output { quiet: true, ..context.out }, open).for_ever();
    while let Ok(Some(frame)) = stream.next().await {
        if let Ok(event) = frame.json() {
            let _ = news.send(News::Event(Box::new(event))).await;
        }
    }
    // A key that may not see events; figures go on without them.
    std::future::pending().await
}

/// Draws until somebody has seen enough.
async fn show(mut frame: Frame, mut view: View, mut heard: mpsc::Receiver<News>) -> Result<(), Failure> {
    let no_signals = |error| Failure::io("cannot listen for signals", &error);
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut resized = signal(SignalKind::window_change()).map_err(no_signals)?;
    let no_terminal = |error| Failure::io("cannot draw on the terminal", &error);
    let mut keys = screen::keys().map_err(no_terminal)?;
    let mut screen = Screen::open().map_err(no_terminal)?;
    loop {
        let (width, height) = screen.size();
        let lines = layout::fitted(&frame, &view, width, height);
        screen.draw(&lines).map_err(no_terminal)?;
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = resized.recv() => screen.forget(),
            news = heard.recv() => match news {
                Some(News::Look(look)) => match *look {
                    Ok(look) => if !view.paused { frame.take(look) },
                    Err(error) if error.is_retryable() => frame.unreachable(&error),
                    Err(error) => return Err(error.into()),
                },
                Some(News::Event(event)) => if !view.paused { frame.happened(*event) },
                None => return Ok(()),
            },
            key = keys.recv() => match key {
                Some(Key::Interrupt) => return Err(Failure::new(Exit::Interrupted, "interrupted")),
                Some(Key::Char('q')) if view.typing.is_none() => return Ok(()),
                Some(key) => view.press(key),
                // Nobody can press a key any more: the terminal is gone.
                None => return Ok(()),
            },
        }
    }
}
