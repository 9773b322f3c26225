//! Keeps the limits of a program that runs. The watcher looks ten times a second, and at once when
//! something ends: wall time, CPU time of the whole group, whether the kernel had to kill for memory,
//! bytes and files under `/out` and `/tmp`. Processes and open files the kernel refuses by itself: the
//! program gets an error and ends as it sees fit.

use super::super::outcome::{End, TimeLimit};
use super::super::request::AttemptRequest;
use super::super::wire;
use super::NAMESPACES;
use super::launcher::Launched;
use super::layout::Layout;
use super::stage::Word;
use super::tree;
use crate::sandbox::Gauge;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(100);
/// Looking may take a tenth of the time, and no longer than this passes between two looks.
const LONGEST_LOOK: Duration = Duration::from_millis(250);
/// How long what is left of a namespace may take to be gone before it is killed one by one.
const PARTING: Duration = Duration::from_millis(200);
const LONGEST_PARTING: Duration = Duration::from_secs(2);
const PARTING_LOOK: Duration = Duration::from_millis(1);
/// What `bwrap` adds to the number of a signal that ended the program.
const SIGNALLED: i32 = 128;

/// A running attempt and its bounds.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    pub(super) request: &'a AttemptRequest,
    pub(super) gauge: &'a Gauge,
    pub(super) layout: &'a Layout,
    pub(super) started: Instant,
    pub(super) cpu_before: Duration,
}

/// How it came out.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) end: End,
    pub(super) layers: Vec<String>,
}

enum Event {
    Word(Word),
    Exited(std::io::Result<ExitStatus>),
}

impl Watch<'_> {
    /// Until no process of the attempt but this one is left.
    pub(super) fn until_the_end(&self, launched: Launched) -> Watched {
        let (send, events) = mpsc::channel();
        let pid = Pid::from_raw(launched.bwrap.id().cast_signed());
        listen(launched, send);
        let mut layers = Vec::new();
        let end = self.wait(&events, pid, &mut layers);
        self.part();
        Watched { end, layers }
    }

    fn wait(&self, events: &Receiver<Event>, pid: Pid, layers: &mut Vec<String>) -> End {
        let mut crossed = None;
        let mut refused = None;
        let mut pause = LOOK;
        loop {
            match events.recv_timeout(pause) {
                Ok(Event::Word(Word::Ready(inside))) => {
                    *layers = NAMESPACES.iter().map(|layer| (*layer).to_owned()).chain(inside).collect();
                }
                Ok(Event::Word(Word::Failed { program: true, message })) => {
                    refused = Some(End::InvalidRequest {
                        message: format!("the program could not be started: {message}"),
                    });
                }
                Ok(Event::Word(Word::Failed { program: false, message })) => {
                    refused = Some(End::Infra { message: format!("confine the program: {message}") });
                }
                Ok(Event::Exited(status)) => {
                    return match (crossed, refused) {
                        (Some(end), _) | (None, Some(end)) => end,
                        (None, None) => self.ended(status, !layers.is_empty()),
                    };
                }
                Err(RecvTimeoutError::Timeout) if crossed.is_none() => {
                    let began = Instant::now();
                    crossed = self.crossed();
                    pause = (began.elapsed() * 10).clamp(LOOK, LONGEST_LOOK);
                    if crossed.is_some() {
                        // The namespace ends with its first process, and that one with this.
                        let _ = kill(pid, Signal::SIGKILL);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return End::Infra { message: "nobody waits for the program any more".into() };
                }
            }
        }
    }

    /// The limit that was crossed, if one was.
    fn crossed(&self) -> Option<End> {
        let limits = &self.request.limits;
        if self.gauge.oom_kills() > 0 {
            return Some(self.out_of_memory());
        }
        if self.started.elapsed() >= Duration::from_millis(limits.wall_ms) {
            return Some(End::Timeout { limit: TimeLimit::Wall });
        }
        if self.gauge.cpu().saturating_sub(self.cpu_before) >= Duration::from_millis(limits.cpu_ms) {
            return Some(End::Timeout { limit: TimeLimit::Cpu });
        }
        tree::excess(&self.layout.out_dir, &self.layout.tmp_dir, self.gauge, limits.output_bytes)
            .map(|message| End::OutputRefused { message })
    }

    fn out_of_memory(&self) -> End {
        let most = self.request.limits.memory_bytes;
        End::OutOfMemory { message: format!("its processes together reached the limit of {most} bytes") }
    }

    /// The end of a program that no limit of ours ended.
    fn ended(&self, status: std::io::Result<ExitStatus>, ran: bool) -> End {
        let status = match status {
            Ok(status) => status,
            Err(error) => return super::infra("wait for the sandbox", &error),
        };
        if self.gauge.oom_kills() > 0 {
            return self.out_of_memory();
        }
        let code = match (status.code(), status.signal()) {
            (Some(code), _) if ran => code,
            (Some(code), _) => {
                return End::Infra {
                    message: format!(
                        "the sandbox could not be made (bwrap ended with {code}); the log says why"
                    ),
                };
            }
            (None, signal) => {
                return End::Infra {
                    message: format!("the sandbox was ended by signal {}", signal.unwrap_or_default()),
                };
            }
        };
        match code - SIGNALLED {
            libc::SIGXFSZ => End::OutputRefused {
                message: format!("a file grew past the limit of {} bytes", self.request.limits.output_bytes),
            },
            libc::SIGXCPU => End::Timeout { limit: TimeLimit::Cpu },
            _ => End::Exited { code },
        }
    }

    /// Waits until the kernel has taken the namespace down, with all that was still in it.
    fn part(&self) {
        let (me, began) = (Pid::this(), Instant::now());
        loop {
            let others: Vec<Pid> = self.gauge.members().into_iter().filter(|pid| *pid != me).collect();
            if others.is_empty() || began.elapsed() >= LONGEST_PARTING {
                return;
            }
            if began.elapsed() >= PARTING {
                for pid in others {
                    let _ = kill(pid, Signal::SIGKILL);
                }
            }
            std::thread::sleep(PARTING_LOOK);
        }
    }
}

/// Turns the stage's words and the end of `bwrap` into events, in this order.
fn listen(launched: Launched, events: Sender<Event>) {
    let Launched { bwrap, socket } = launched;
    std::thread::spawn(move || {
        hear(socket, &events);
        let _ = events.send(Event::Exited(reap(bwrap)));
    });
}

fn reap(mut bwrap: Child) -> std::io::Result<ExitStatus> {
    bwrap.wait()
}

/// Ends when the stage has become the program, or is gone.
fn hear(mut socket: UnixStream, events: &Sender<Event>) {
    while let Ok(word) = wire::read(&mut socket) {
        if events.send(Event::Word(word)).is_err() {
            return;
        }
    }
}
