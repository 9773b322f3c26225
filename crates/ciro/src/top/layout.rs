//! How a frame is laid out in lines: pure, the same for a terminal and for `--once`.

use super::frame::Frame;
use super::screen::Key;
use crate::events;
use crate::table::{ago, between, brief, cores, pairs, size, span};
use ciro_api::time::Time;
use ciro_api::worker::Worker;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Events that are shown at least, where there is room for anything.
const FEWEST_EVENTS: usize = 5;
/// Events of a frame that is printed.
const PRINTED_EVENTS: usize = 10;
/// The widest that an event's fields are shown, characters.
const WIDTH: usize = 100;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    Bold,
    Reverse,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) look: Look,
}

impl Line {
    fn plain(text: impl Into<String>) -> Line {
        Line { text: text.into(), look: Look::Plain }
    }

    fn bold(text: impl Into<String>) -> Line {
        Line { text: text.into(), look: Look::Bold }
    }

    fn head(text: impl Into<String>) -> Line {
        Line { text: text.into(), look: Look::Reverse }
    }

    /// Its text, at most so wide.
    pub(super) fn cut(&self, width: usize) -> String {
        self.text.chars().take(width).collect::<String>().trim_end().to_owned()
    }
}

/// Order of the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Sort {
    /// The most loaded first.
    #[default]
    Load,
    /// By name.
    Name,
    /// By state.
    State,
    /// The most attempts first.
    Attempts,
    /// The longest unheard first.
    Seen,
}

impl Sort {
    const ALL: [Sort; 5] = [Sort::Load, Sort::Name, Sort::State, Sort::Attempts, Sort::Seen];

    fn name(self) -> &'static str {
        match self {
            Sort::Load => "load",
            Sort::Name => "name",
            Sort::State => "state",
            Sort::Attempts => "attempts",
            Sort::Seen => "seen",
        }
    }

    fn next(self) -> Sort {
        Sort::ALL[(self as usize + 1) % Sort::ALL.len()]
    }
}

/// What who looks has chosen.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) sort: Sort,
    pub(super) reverse: bool,
    /// Only workers whose line has this text.
    pub(super) find: String,
    /// What is being typed for it.
    pub(super) typing: Option<String>,
    pub(super) paused: bool,
}

impl View {
    /// A key does what the last line says.
    pub(super) fn press(&mut self, key: Key) {
        let Some(mut text) = self.typing.take() else {
            match key {
                Key::Char('s') => self.sort = self.sort.next(),
                Key::Char('r') => self.reverse = !self.reverse,
                Key::Char('p') => self.paused = !self.paused,
                Key::Char('/') => self.typing = Some(String::new()),
                Key::Escape => self.find.clear(),
                _ => {}
            }
            return;
        };
        match key {
            Key::Enter => {
                self.find = text;
                return;
            }
            Key::Escape => return,
            Key::Backspace => drop(text.pop()),
            Key::Char(c) if text.chars().count() < WIDTH => text.push(c),
            Key::Char(_) | Key::Interrupt => {}
        }
        self.typing = Some(text);
    }

    fn help(&self) -> Line {
        if let Some(text) = &self.typing {
            return Line::head(format!(" find: {text}█   Enter takes it, Esc leaves it "));
        }
        let find =
            if self.find.is_empty() { String::new() } else { format!(" ({}, Esc clears it)", self.find) };
        let order = if self.reverse { " reversed" } else { "" };
        let pause = if self.paused { "p goes on" } else { "p pauses" };
        Line::head(format!(
            " q quits · s sorts by the next ({}{order}) · r reverses · / finds{find} · {pause} ",
            self.sort.name()
        ))
    }
}

/// A frame in full.
pub(super) fn whole(frame: &Frame, view: &View) -> Vec<Line> {
    let mut lines = head(frame);
    lines.push(Line::plain(""));
    lines.extend(workers(frame, view));
    lines.push(Line::plain(""));
    lines.extend(last_events(frame, PRINTED_EVENTS));
    lines
}

/// A frame in as many lines as the terminal has.
pub(super) fn fitted(frame: &Frame, view: &View, width: usize, height: usize) -> Vec<Line> {
    let mut lines = head(frame);
    lines.push(Line::plain(""));
    let mut workers = workers(frame, view);
    let room = height.saturating_sub(lines.len() + FEWEST_EVENTS + 3).max(2);
    if workers.len() > room {
        let more = workers.len() + 1 - room;
        workers.truncate(room - 1);
        workers.push(Line::plain(format!("… and {more} more")));
    }
    lines.extend(workers);
    lines.push(Line::plain(""));
    lines.extend(last_events(frame, height.saturating_sub(lines.len() + 2)));
    lines.resize(height.saturating_sub(1), Line::plain(""));
    lines.push(view.help());
    lines.into_iter().map(|line| Line { text: line.cut(width), look: line.look }).collect()
}

fn head(frame: &Frame) -> Vec<Line> {
    let (queue, rates, writer) = (&frame.queue, &frame.rates, &frame.writer);
    let title = match &frame.unreachable {
        None => Line::bold(format!(
            "ciro top  {} · {} · up {} · {}",
            frame.server,
            frame.version,
            between(frame.started_at, frame.at),
            frame.at
        )),
        Some(away) => Line::head(format!(
            " {} is unreachable since {}: {}; asking again. Below is how it was at {} ",
            frame.server, away.since, away.why, frame.at
        )),
    };
    let preparing = frame.jobs.get("preparing").copied().unwrap_or_default();
    let oldest =
        queue.oldest_ready_ms.map(|ms| format!(" · the oldest waits {}", span(ms))).unwrap_or_default();
    let failures = if rates.failures.is_empty() {
        "no failures".to_owned()
    } else {
        let each = rates.failures.iter().map(|(class, rate)| format!("{class} {rate:.1}/s"));
        format!("failures {}", each.collect::<Vec<_>>().join(", "))
    };
    vec![
        title,
        Line::plain(format!(
            "queue    {} ready · {} delayed · {preparing} preparing{oldest} · {} live attempts · {} open jobs",
            queue.ready_tasks, queue.delayed_tasks, queue.live_attempts, queue.open_jobs
        )),
        Line::plain(format!("jobs     {}", counts(&frame.jobs))),
        Line::plain(format!(
            "rates    {:.1}/s accepted · {:.1}/s ended · {:.1}/s attempts · {failures} · over {}",
            rates.accepted,
            rates.ended,
            rates.attempts,
            span(rates.over_ms)
        )),
        Line::plain(format!(
            "writer   {:.1} commands a group · {:.1} groups/s · longest {} · position {}",
            rates.group_size,
            rates.groups,
            span(writer.longest_group_ms),
            writer.last_position
        )),
        Line::plain(format!(
            "workers  {} · {} attempts · {} of them wait for work",
            counts(&frame.worker_stats.by_state),
            frame.worker_stats.attempts,
            queue.parked_polls
        )),
    ]
}

/// `3 queued · 1 running`, in the order of the life of what is counted where the names have one.
fn counts(by_state: &BTreeMap<String, u64>) -> String {
    const ORDER: [&str; 8] =
        ["awaiting_funds", "preparing", "queued", "running", "completed", "failed", "cancelled", "expired"];
    let mut states: Vec<(&String, &u64)> = by_state.iter().filter(|(_, count)| **count > 0).collect();
    states.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name));
    match states[..] {
        [] => "none".to_owned(),
        _ => states.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(" · "),
    }
}

fn workers(frame: &Frame, view: &View) -> Vec<Line> {
    let mut shown: Vec<&Worker> = frame.workers.iter().collect();
    let load = |worker: &Worker| {
        let share = |used: u64, all: u64| used.saturating_mul(1_000).checked_div(all).unwrap_or_default();
        share(worker.used.cpu_millis, worker.offer.cpu_millis)
            .max(share(worker.used.memory_bytes, worker.offer.memory_bytes))
    };
    match view.sort {
        Sort::Load => shown.sort_by_key(|worker| Reverse(load(worker))),
        Sort::Name => shown.sort_by_key(|worker| &worker.name),
        Sort::State => shown.sort_by_key(|worker| worker.state),
        Sort::Attempts => shown.sort_by_key(|worker| Reverse(worker.attempts)),
        Sort::Seen => shown.sort_by_key(|worker| worker.seen_at),
    }
    if view.reverse {
        shown.reverse();
    }
    let rows = shown.into_iter().map(|worker| row(worker, frame.at)).filter(|row| row.contains(&view.find));
    let mut lines =
        vec![Line::head(columns(["WORKER", "STATE", "ATTEMPTS", "CORES", "MEMORY", "GPUS", "SEEN", "RUNS"]))];
    lines.extend(rows.map(Line::plain));
    let hidden = frame.worker_stats.total.saturating_sub(frame.workers.len() as u64);
    if hidden > 0 {
        lines.push(Line::plain(format!("… and {hidden} workers beyond the first {}", frame.workers.len())));
    }
    lines
}

fn row(worker: &Worker, now: Time) -> String {
    let (used, offer) = (worker.used, &worker.offer);
    columns([
        &worker.name,
        worker.state.name(),
        &worker.attempts.to_string(),
        &format!("{}/{}", cores(used.cpu_millis), cores(offer.cpu_millis)),
        &format!("{}/{}", size(used.memory_bytes), size(offer.memory_bytes)),
        &format!("{}/{}", used.gpus, offer.gpus.len()),
        &worker.seen_at.map(|at| ago(at, now.0)).unwrap_or_default(),
        &pairs(&worker.running),
    ])
}

fn columns(cells: [&str; 8]) -> String {
    let [name, state, attempts, cores, memory, gpus, seen, runs] = cells;
    let name = brief(name, 24);
    format!("{name:<24}  {state:<9}  {attempts:>8}  {cores:>9}  {memory:>19}  {gpus:>5}  {seen:>10}  {runs}")
}

fn last_events(frame: &Frame, most: usize) -> Vec<Line> {
    let first = frame.events.len().saturating_sub(most);
    let mut lines = vec![Line::head(format!("{:<24}  {:<20}  EVENT", "TIME", "TYPE"))];
    lines.extend(frame.events[first..].iter().map(|event| {
        let news = brief(&events::news(event), WIDTH);
        Line::plain(format!("{:<24}  {:<20}  {}  {news}", event.time.to_string(), event.type_, event.subject))
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_find_and_pause() {
        let mut view = View::default();
        for key in "sr/ab".chars().map(Key::Char) {
            view.press(key);
        }
        assert!(view.typing.as_deref() == Some("ab") && view.find.is_empty(), "{view:?}");
        view.press(Key::Backspace);
        view.press(Key::Enter);
        assert_eq!((view.find.as_str(), view.sort, view.reverse), ("a", Sort::Name, true));
        view.press(Key::Char('p'));
        view.press(Key::Escape);
        assert!(view.paused && view.find.is_empty() && view.help().text.contains("p goes on"));
    }

    #[test]
    fn states_are_counted_in_the_order_of_a_life() {
        let counted = [("completed", 3), ("queued", 2), ("failed", 0), ("running", 1)];
        let counted = counted.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
        assert_eq!(counts(&counted), "2 queued · 1 running · 3 completed");
        assert_eq!(counts(&BTreeMap::new()), "none");
    }
}
