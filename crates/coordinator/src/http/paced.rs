//! A connection with a pace: a request's head must arrive in time after its first byte, a connection
//! on which nothing happens is closed, and so is one whose client takes nothing of an answer. While
//! a request is being answered the handler's own limits hold and what comes in is not timed.
//! One timer per connection, moved only when it fires, and one more while a client holds up its
//! answer, so that a busy connection pays nothing.

use crate::config::Limits;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// How long each part may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    head: Duration,
    idle: Duration,
    send: Duration,
}

impl Times {
    pub(super) fn of(limits: &Limits) -> Times {
        Times {
            head: Duration::from_millis(limits.head_ms),
            idle: Duration::from_millis(limits.idle_ms),
            send: Duration::from_millis(limits.send_ms),
        }
    }
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

/// What the service tells the connection: a request is in hand, or not any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace(Arc<AtomicU8>);

impl Pace {
    /// A request's head is complete.
    pub(super) fn busy(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// Its answer has begun.
    pub(super) fn idle(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }
}

/// A connection that keeps the pace.
#[derive(Debug)]
pub(super) struct Paced {
    stream: TcpStream,
    pace: Pace,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    /// The timer has been asked once, so that it wakes the connection.
    armed: bool,
    /// Runs while the client takes nothing of what is to be sent.
    stuck: Option<Pin<Box<Sleep>>>,
    times: Times,
}

impl Paced {
    pub(super) fn new(stream: TcpStream, pace: Pace, times: Times) -> Paced {
        let deadline = Instant::now() + times.head;
        Paced {
            stream,
            pace,
            deadline,
            timer: Box::pin(sleep_until(deadline)),
            armed: false,
            stuck: None,
            times,
        }
    }

    fn came(&mut self) {
        if self.pace.0.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.deadline = Instant::now() + self.times.head;
        }
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        if self.pace.0.load(Ordering::Relaxed) == BUSY {
            return false;
        }
        if self.deadline < self.timer.deadline() {
            self.timer.as_mut().reset(self.deadline);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.deadline {
                return true;
            }
            self.timer.as_mut().reset(self.deadline);
        }
        self.armed = true;
        false
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Pending if this.is_late(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                this.came();
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl AsyncWrite for Paced {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.moved(written, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.moved(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Paced {
    /// What reads is not called again after the last byte of an answer, so that the time of an idle
    /// connection begins here.
    fn arm(&mut self, cx: &mut Context<'_>) {
        if self.armed && !self.timer.is_elapsed() {
            return;
        }
        if self.timer.is_elapsed() {
            self.timer.as_mut().reset(self.deadline);
        }
        self.armed = self.timer.as_mut().poll(cx).is_pending();
    }

    fn moved(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(_)) => {
                self.stuck = None;
                self.deadline = Instant::now() + self.times.idle;
                self.arm(cx);
                written
            }
            Poll::Ready(Err(_)) => written,
            Poll::Pending => {
                let send = self.times.send;
                let timer = self.stuck.get_or_insert_with(|| Box::pin(sleep(send)));
                match timer.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}
