//! The writer's queue: bounded for everybody, with slots of its own for the signs of life and the
//! reports of workers, so that a flood of submits cannot keep them out.
//! How far behind the writer is can be read without asking it: by how long the first question of the
//! last group had waited, and by how long the group under way has lasted.

use crate::database::Writes;
use crate::figures::Figures;
use crate::request::{Ask, Asked, Reply};
use crate::{Clock, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

/// Nothing is being written.
const IDLE: u64 = u64::MAX;

/// What both ends know.
#[derive(Debug)]
struct Level {
    queued: AtomicUsize,
    /// How long the first question of the last group had waited, µs.
    waited_us: AtomicU64,
    /// When the group that is under way was begun, monotonic µs; else [`IDLE`].
    since_us: AtomicU64,
    clock: Arc<dyn Clock>,
    /// A notice is in the queue: another would say the same.
    noticed: AtomicBool,
    closed: AtomicBool,
}

/// Where questions go in.
pub(crate) struct Asks<W: Writes> {
    queue: SyncSender<Asked<W>>,
    level: Arc<Level>,
    figures: Arc<Figures>,
    max: usize,
}

/// Where the writer takes them out.
pub(crate) struct Queued<W: Writes> {
    queue: Receiver<Asked<W>>,
    level: Arc<Level>,
}

/// A queue of `max` questions, and as many again that only workers ask.
pub(crate) fn queue<W: Writes>(
    max: usize,
    clock: Arc<dyn Clock>,
    figures: Arc<Figures>,
) -> (Asks<W>, Queued<W>) {
    let level = Arc::new(Level {
        queued: AtomicUsize::new(0),
        waited_us: AtomicU64::new(0),
        since_us: AtomicU64::new(IDLE),
        clock,
        noticed: AtomicBool::new(false),
        closed: AtomicBool::new(false),
    });
    let (sender, receiver) = sync_channel(max.saturating_mul(2));
    (Asks { queue: sender, level: level.clone(), figures, max }, Queued { queue: receiver, level })
}

impl<W: Writes> Asks<W> {
    /// Queues the question that `make` makes of where its answer goes.
    ///
    /// # Errors
    /// Those of [`Self::send`].
    pub(crate) fn ask<T>(
        &self,
        make: impl FnOnce(Reply<T>) -> Ask<W>,
    ) -> Result<oneshot::Receiver<Result<T, Error>>, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(make(reply))?;
        Ok(answer)
    }

    /// Queues a question.
    ///
    /// # Errors
    /// `Overloaded` when its kind has no slot left, `Stopped` when nobody will answer.
    pub(crate) fn send(&self, ask: Ask<W>) -> Result<(), Error> {
        let level = &self.level;
        if level.queued.fetch_add(1, Ordering::Relaxed) >= self.room(&ask) {
            return Err(self.refused(Error::Overloaded));
        }
        match self.queue.try_send(Asked { at_us: level.clock.monotonic_us(), ask }) {
            Ok(()) => {
                self.figures.asked.inc();
                Ok(())
            }
            Err(TrySendError::Full(_)) => Err(self.refused(Error::Overloaded)),
            Err(TrySendError::Disconnected(_)) => Err(self.refused(Error::Stopped)),
        }
    }

    fn refused(&self, error: Error) -> Error {
        self.level.queued.fetch_sub(1, Ordering::Relaxed);
        if matches!(error, Error::Overloaded) {
            self.figures.turned_away.inc();
        }
        error
    }

    /// Says that others wrote to the database. Where there is no slot for it a turn is to come anyway,
    /// and it looks when its time comes.
    pub(crate) fn notice(&self) {
        if !self.level.noticed.swap(true, Ordering::Relaxed) && self.send(Ask::Noticed).is_err() {
            self.level.noticed.store(false, Ordering::Relaxed);
        }
    }

    /// Whether the last question was asked.
    pub(crate) fn is_closed(&self) -> bool {
        self.level.closed.load(Ordering::Relaxed)
    }

    /// Queues the last question of all, and waits for a slot where there is none.
    pub(crate) fn close(&self) {
        self.level.closed.store(true, Ordering::Relaxed);
        self.level.queued.fetch_add(1, Ordering::Relaxed);
        // A writer that has stopped by itself needs no telling.
        let _ = self.queue.send(Asked { at_us: self.level.clock.monotonic_us(), ask: Ask::Close });
    }

    /// How long a question that is asked now will wait, going by the last group and the one under
    /// way, ms.
    pub(crate) fn wait_ms(&self) -> u64 {
        let waited = self.level.waited_us.load(Ordering::Relaxed);
        let wait_us = match self.level.since_us.load(Ordering::Relaxed) {
            IDLE => waited,
            since => waited.max(self.level.clock.monotonic_us().saturating_sub(since)),
        };
        wait_us / 1_000
    }

    /// Questions in the queue.
    pub(crate) fn level(&self) -> usize {
        self.level.queued.load(Ordering::Relaxed)
    }

    /// Submits leave a tenth of the slots to cancels and to operators.
    fn room(&self, ask: &Ask<W>) -> usize {
        match ask {
            Ask::Poll(..)
            | Ask::Reports(..)
            | Ask::Heartbeat(..)
            | Ask::OpenSession(..)
            | Ask::Noticed
            | Ask::Close => usize::MAX,
            Ask::Submit(..) => self.max - self.max / 10,
            Ask::Audited(ask, _) | Ask::Led(_, ask) => self.room(ask),
            _ => self.max,
        }
    }
}

impl<W: Writes> Queued<W> {
    /// The first question of a group; waits for it at most `wait`.
    pub(crate) fn first(&self, wait: Duration) -> Result<Asked<W>, RecvTimeoutError> {
        let level = &self.level;
        let (asked, waited) = match self.queue.try_recv() {
            Ok(asked) => (asked, true),
            Err(_) => {
                level.waited_us.store(0, Ordering::Relaxed);
                level.since_us.store(IDLE, Ordering::Relaxed);
                (self.queue.recv_timeout(wait)?, false)
            }
        };
        level.queued.fetch_sub(1, Ordering::Relaxed);
        let now = level.clock.monotonic_us();
        level.since_us.store(now, Ordering::Relaxed);
        self.taken(&asked.ask);
        let waited_us = if waited { now.saturating_sub(asked.at_us) } else { 0 };
        level.waited_us.store(waited_us, Ordering::Relaxed);
        Ok(asked)
    }

    /// One more, where there is one.
    pub(crate) fn more(&self) -> Option<Ask<W>> {
        let asked = self.queue.try_recv().ok()?;
        self.level.queued.fetch_sub(1, Ordering::Relaxed);
        self.taken(&asked.ask);
        Some(asked.ask)
    }

    fn taken(&self, ask: &Ask<W>) {
        if matches!(ask, Ask::Noticed) {
            self.level.noticed.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Heartbeat, HeartbeatAnswer};
    use crate::sql::Linked;
    use ciro_core::id::SessionKey;
    use ciro_core::time::Timestamp;

    #[derive(Debug, Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }
        fn monotonic_us(&self) -> u64 {
            self.0.load(Ordering::SeqCst) * 1_000
        }
        fn chance(&self) -> u64 {
            0
        }
    }

    fn status() -> Ask<Linked> {
        Ask::Status(oneshot::channel().0)
    }

    fn beat() -> Ask<Linked> {
        let reply: Reply<HeartbeatAnswer> = oneshot::channel().0;
        Ask::Heartbeat(Heartbeat { session: SessionKey(1), held: Vec::new() }, Vec::new(), reply)
    }

    #[test]
    fn workers_get_in_when_nobody_else_does() {
        let (asks, queued) = queue(10, Arc::new(Hand::default()), Arc::default());
        for _ in 0..10 {
            asks.send(status()).unwrap();
        }
        assert!(matches!(asks.send(status()), Err(Error::Overloaded)));
        for _ in 0..10 {
            asks.send(beat()).unwrap();
        }
        assert!(matches!(asks.send(beat()), Err(Error::Overloaded)), "their slots have a bound, too");
        assert_eq!(asks.level(), 20);
        queued.first(Duration::ZERO).unwrap();
        assert!(matches!(asks.send(status()), Err(Error::Overloaded)), "their slots are nobody else's");
        while queued.more().is_some() {}
        assert_eq!(asks.level(), 0);
        drop(queued);
        assert!(matches!(asks.send(status()), Err(Error::Stopped)));
    }

    #[test]
    fn a_wait_is_seen_while_it_lasts_and_no_longer() {
        let clock = Arc::new(Hand::default());
        let at = |ms| clock.0.store(ms, Ordering::SeqCst);
        let (asks, queued) = queue(10, clock.clone(), Arc::default());
        at(100);
        asks.send(status()).unwrap();
        assert_eq!(asks.wait_ms(), 0);
        queued.first(Duration::ZERO).unwrap();
        asks.send(status()).unwrap();
        at(800);
        assert_eq!(asks.wait_ms(), 700, "a group that does not end is a wait");
        queued.first(Duration::ZERO).unwrap();
        assert_eq!(asks.wait_ms(), 700, "so long had the first question waited");
        assert!(queued.first(Duration::ZERO).is_err());
        assert_eq!(asks.wait_ms(), 0, "a writer with nothing to do makes nobody wait");
    }
}
