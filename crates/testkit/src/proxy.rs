//! A network that misbehaves: a TCP proxy between a program and the coordinator, whose weather a test
//! changes while connections are open. What it draws by chance comes from its seed and the number of
//! the connection, so the same seed cuts the same connection at the same byte.
//!
//! A connection is two directions. Each reads into a bounded queue that remembers when a piece is due,
//! and writes what is due as the weather of the moment allows: late, slowly, in slices, not at all for
//! now (what TCP makes of a partition: the bytes come late), cut off, or never more (what a forgotten
//! address translation makes of it: silence without an end).

use crate::chance::Chance;
use crate::wait::beside;
use anyhow::Result;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

/// Bytes that are read at once.
const PIECE: usize = 8 << 10;
/// Pieces on their way in one direction; a sender that is faster waits, as for a full socket.
const PIECES: usize = 64;

/// What the network does in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Way {
    /// Every byte comes so much later.
    pub latency: Duration,
    /// And up to so much later again, by chance.
    pub jitter: Duration,
    /// Bytes a second.
    pub rate: Option<u32>,
    /// The longest slice that arrives at once, bytes; by chance it is shorter.
    pub slice: Option<usize>,
    /// Nothing arrives until the weather changes.
    pub hold: bool,
    /// The connection breaks after some bytes.
    pub cut: Option<Cut>,
}

/// Where a connection breaks, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// At a byte between the first and this one, by chance.
    pub within: u32,
    /// How.
    pub how: Break,
}

/// How a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Both sides are told at once (RST).
    Reset,
    /// The receiver of this direction is told that nothing more comes; the other direction stays.
    HalfClose,
    /// Nobody is told: this direction is silent from here on, also when the weather is good again.
    Vanish,
}

/// The state of the network between the two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// From the program to the coordinator.
    pub up: Way,
    /// From the coordinator to the program.
    pub down: Way,
    /// New connections are turned away.
    pub refuse: bool,
}

/// What connections watch.
#[derive(Debug, Default)]
struct Sky {
    weather: Weather,
    /// Connections of a smaller number are reset.
    reset_before: u64,
}

/// The proxy; its connections end with it.
#[derive(Debug)]
pub struct Proxy {
    /// Where programs reach the coordinator through it.
    pub url: String,
    sky: watch::Sender<Sky>,
    tally: Arc<Tally>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Tally {
    connections: AtomicU64,
    disturbed: AtomicU64,
}

impl Tally {
    fn disturb(&self) {
        self.disturbed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Proxy {
    /// Starts one in front of `url` (`http://127.0.0.1:8080`), in good weather.
    ///
    /// # Errors
    /// When `url` names no address, or no port is free.
    pub async fn start(url: &str, seed: u64) -> Result<Proxy> {
        let to: SocketAddr = url.trim_start_matches("http://").parse()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (sky, seen) = watch::channel(Sky::default());
        let tally = Arc::new(Tally::default());
        let task = beside(accept(listener, to, seed, seen, tally.clone()));
        Ok(Proxy { url, sky, tally, task })
    }

    /// Changes the weather, for open connections too.
    pub fn set(&self, weather: Weather) {
        self.sky.send_modify(|sky| sky.weather = weather);
    }

    /// Good weather again. Connections that vanished stay so.
    pub fn heal(&self) {
        self.set(Weather::default());
    }

    /// Resets every open connection.
    pub fn reset_all(&self) {
        let before = self.tally.connections.load(Ordering::Relaxed);
        self.sky.send_modify(|sky| sky.reset_before = before);
    }

    /// How often it did something to somebody's bytes or connection.
    #[must_use]
    pub fn disturbed(&self) -> u64 {
        self.tally.disturbed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    to: SocketAddr,
    seed: u64,
    sky: watch::Receiver<Sky>,
    tally: Arc<Tally>,
) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => {
                let Ok((caller, _)) = accepted else { continue };
                let number = tally.connections.fetch_add(1, Ordering::Relaxed);
                let chance = Chance::of(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                let link = Link { number, chance, sky: sky.clone(), tally: tally.clone() };
                open.spawn(carry(caller, to, link));
            }
        }
    }
}

/// What one connection knows.
#[derive(Clone)]
struct Link {
    number: u64,
    chance: Chance,
    sky: watch::Receiver<Sky>,
    tally: Arc<Tally>,
}

/// Carries one connection until both directions have ended, or it is reset.
async fn carry(mut caller: TcpStream, to: SocketAddr, mut link: Link) {
    let refused = link.sky.borrow().weather.refuse;
    let reached = if refused { None } else { TcpStream::connect(to).await.ok() };
    let Some(mut coordinator) = reached else {
        link.tally.disturb();
        let _ = caller.set_zero_linger();
        return;
    };
    // Slices are to arrive as they are sent.
    let _ = (caller.set_nodelay(true), coordinator.set_nodelay(true));
    let reset = {
        let (from_caller, to_caller) = caller.split();
        let (from_coordinator, to_coordinator) = coordinator.split();
        let down = Link { chance: link.chance.fork(), ..link.clone() };
        let (up, down) = (
            direction(from_caller, to_coordinator, |weather| weather.up, link.clone()),
            direction(from_coordinator, to_caller, |weather| weather.down, down),
        );
        tokio::select! {
            broken = both(up, down) => broken,
            () = struck(&mut link) => true,
        }
    };
    if reset {
        link.tally.disturb();
        let _ = (caller.set_zero_linger(), coordinator.set_zero_linger());
    }
}

/// Resets when one direction says so, else waits for both.
async fn both(up: impl Future<Output = End>, down: impl Future<Output = End>) -> bool {
    tokio::pin!(up, down);
    tokio::select! {
        end = &mut up => end == End::Reset || down.await == End::Reset,
        end = &mut down => end == End::Reset || up.await == End::Reset,
    }
}

/// Until every connection as old as this one is reset.
async fn struck(link: &mut Link) {
    let number = link.number;
    if link.sky.wait_for(|sky| sky.reset_before > number).await.is_err() {
        pending().await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

async fn direction(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    pick: fn(&Weather) -> Way,
    link: Link,
) -> End {
    let (queue, queued) = mpsc::channel(PIECES);
    let mut chance = link.chance.clone();
    let sky = link.sky.clone();
    let reading = async move {
        let (mut bytes, mut last) = (vec![0; PIECE], Instant::now());
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            let way = pick(&sky.borrow().weather);
            // What came later is not due before what came first.
            last = last.max(Instant::now() + way.latency + way.jitter.mul_f64(chance.part()));
            if queue.send((last, bytes[..length].to_vec())).await.is_err() {
                break;
            }
        }
        drop(queue);
    };
    let mut writer = Writer { pick, chance: link.chance.clone(), link, left: None };
    let writing = writer.run(&mut to, queued);
    tokio::pin!(reading, writing);
    let mut read = false;
    loop {
        tokio::select! {
            biased;
            end = &mut writing => return end,
            () = &mut reading, if !read => read = true,
        }
    }
}

struct Writer {
    pick: fn(&Weather) -> Way,
    link: Link,
    chance: Chance,
    /// Bytes until the cut, where there is to be one.
    left: Option<usize>,
}

impl Writer {
    async fn run(&mut self, to: &mut WriteHalf<'_>, mut queued: mpsc::Receiver<(Instant, Vec<u8>)>) -> End {
        while let Some((due, bytes)) = queued.recv().await {
            if due > Instant::now() {
                self.link.tally.disturb();
                sleep_until(due).await;
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let way = self.released().await;
                let (slice, broken) = self.next(rest, way);
                if to.write_all(slice).await.is_err() {
                    return End::Reset;
                }
                if let Some(how) = broken {
                    return self.end(how, to, queued).await;
                }
                rest = &rest[slice.len()..];
                self.pace(slice.len(), way).await;
            }
        }
        let _ = (self.released().await, to.shutdown().await);
        End::Closed
    }

    /// The weather, once it lets something pass.
    async fn released(&mut self) -> Way {
        let pick = self.pick;
        if pick(&self.link.sky.borrow().weather).hold {
            self.link.tally.disturb();
        }
        let seen = self.link.sky.wait_for(|sky| !pick(&sky.weather).hold).await;
        match seen.map(|sky| pick(&sky.weather)) {
            Ok(way) => way,
            Err(_) => pending().await,
        }
    }

    /// What passes now, and whether the connection breaks after it.
    fn next<'b>(&mut self, rest: &'b [u8], way: Way) -> (&'b [u8], Option<Break>) {
        let most = way.slice.map_or(rest.len(), |most| 1 + self.chance.below(most));
        let slice = &rest[..most.min(rest.len())];
        let Some(cut) = way.cut else {
            self.left = None;
            return (slice, None);
        };
        let left = self.left.unwrap_or_else(|| 1 + self.chance.below(cut.within as usize));
        self.left = Some(left.saturating_sub(slice.len()));
        if slice.len() < left { (slice, None) } else { (&slice[..left], Some(cut.how)) }
    }

    async fn pace(&self, length: usize, way: Way) {
        if let Some(rate) = way.rate {
            self.link.tally.disturb();
            sleep(Duration::from_secs(length as u64) / rate).await;
        } else if way.slice.is_some() {
            self.link.tally.disturb();
            tokio::task::yield_now().await;
        }
    }

    async fn end(
        &self,
        how: Break,
        to: &mut WriteHalf<'_>,
        mut queued: mpsc::Receiver<(Instant, Vec<u8>)>,
    ) -> End {
        self.link.tally.disturb();
        match how {
            Break::Reset => return End::Reset,
            Break::HalfClose => drop(to.shutdown().await),
            Break::Vanish => {}
        }
        // The sender goes on and learns nothing.
        while queued.recv().await.is_some() {}
        if how == Break::Vanish { pending().await } else { End::Closed }
    }
}
