//! Networks that misbehave between the real programs. Every scenario is a shape of trouble on a link:
//! clients and workers are busy, the trouble comes and goes, and then within half a minute new work is
//! taken at the same door and done by the same worker, everything that was acknowledged has ended once,
//! and the check of the database finds nothing.

use anyhow::{Context, Result, ensure};
use ciro_api::client::Client;
use ciro_api::job::NewJob;
use ciro_core::job::JobState;
use ciro_testkit::proxy::{Break, Cut, Proxy, Way, Weather};
use ciro_testkit::{
    Env, LightOptions, LightWorker, Load, RealWorker, beside, cycles, say, side_by_side, sleep_job, until,
    verify,
};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The promise: so soon after the network is well everything goes on.
const RECOVERED_WITHIN: Duration = Duration::from_secs(30);
const TTL_MS: u64 = 2_000;
/// Longer than a lease.
const LONG: Duration = Duration::from_millis(2_500);
/// Shorter than a lease.
const SHORT: Duration = Duration::from_millis(800);
const SOON: Duration = Duration::from_secs(30);
/// Between two calls of a client.
const PACE: Duration = Duration::from_millis(60);
/// Networks that are troubled at the same time.
const LANES: usize = 8;
/// The first byte at which calls of these programs may break, and the last.
const CUT_WITHIN: u32 = 700;

/// Where the trouble is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Client,
    Worker,
    Both,
}

const PLACES: [Where; 3] = [Where::Client, Where::Worker, Where::Both];

/// What the trouble is like.
#[derive(Debug, Clone, Copy)]
struct Shape {
    name: &'static str,
    weather: Weather,
    lasts: Duration,
    /// How it goes away.
    after: After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// The weather is good again.
    Well,
    /// And every connection of before is reset.
    Reset,
    /// Not before it came and went some times.
    Flaps(u32),
}

/// Every shape; each is tried on each link.
fn shapes() -> Vec<Shape> {
    let shape = |name, up, down, lasts, after| Shape {
        name,
        weather: Weather { up, down, ..Weather::default() },
        lasts,
        after,
    };
    let (well, held) = (Way::default(), Way { hold: true, ..Way::default() });
    let late = |ms, jitter| Way {
        latency: Duration::from_millis(ms),
        jitter: Duration::from_millis(jitter),
        ..Way::default()
    };
    let cut = |how| Way { cut: Some(Cut { within: CUT_WITHIN, how }), ..Way::default() };
    let narrow = Way { rate: Some(6_000), ..Way::default() };
    let sliced = Way { slice: Some(7), ..Way::default() };
    let all = Way { slice: Some(40), ..Way { cut: cut(Break::Reset).cut, ..late(30, 120) } };
    let refuse = Weather { refuse: true, ..Weather::default() };
    vec![
        shape("late", late(250, 0), late(250, 0), LONG, After::Well),
        shape("late by chance", late(0, 500), late(0, 500), LONG, After::Well),
        shape("later than a lease", late(TTL_MS + 500, 0), late(0, 0), 2 * LONG, After::Well),
        shape("narrow", narrow, narrow, LONG, After::Well),
        shape("in slices", sliced, sliced, LONG, After::Well),
        shape("requests held for less than a lease", held, well, SHORT, After::Well),
        shape("requests held for longer than a lease", held, well, LONG, After::Well),
        shape("answers held for less than a lease", well, held, SHORT, After::Well),
        shape("answers held for longer than a lease", well, held, LONG, After::Well),
        shape("everything held", held, held, LONG, After::Well),
        shape("everything held, then reset", held, held, LONG, After::Reset),
        shape("answers held, then reset", well, held, LONG, After::Reset),
        shape("flapping", held, held, Duration::from_millis(250), After::Flaps(5)),
        Shape { name: "refused", weather: refuse, lasts: LONG, after: After::Reset },
        shape("requests reset", cut(Break::Reset), well, LONG, After::Well),
        shape("answers reset", well, cut(Break::Reset), LONG, After::Well),
        shape("requests half closed", cut(Break::HalfClose), well, LONG, After::Well),
        shape("answers half closed", well, cut(Break::HalfClose), LONG, After::Well),
        shape("requests vanish", cut(Break::Vanish), well, LONG, After::Well),
        shape("answers vanish", well, cut(Break::Vanish), LONG, After::Well),
        shape("all of it", all, all, LONG, After::Well),
    ]
}

/// A coordinator, its workers and its clients, with a proxy on each link.
struct Lane {
    env: Env,
    to_client: Proxy,
    to_worker: Proxy,
    real: RealWorker,
    _light: LightWorker,
}

impl Lane {
    async fn start(seed: u64) -> Result<Lane> {
        let env = Env::start(|options| options.lease_ttl_ms(TTL_MS)).await?;
        let to_client = Proxy::start(&env.coordinator.url, seed).await?;
        let to_worker = Proxy::start(&env.coordinator.url, seed + 1).await?;
        let token = &env.coordinator.join_token;
        let arguments = ["--label", "kind=real", "--max", "sleep=1"];
        let real = RealWorker::start_at(&to_worker.url, token, env.folder(), "real", &arguments)?;
        let options = LightOptions { name: "light".to_owned(), slots: 60, ..LightOptions::default() };
        let light = LightWorker::start(&to_worker.url, token, options)?;
        env.workers_online(2, SOON).await?;
        Ok(Lane { env, to_client, to_worker, real, _light: light })
    }

    /// Plays one scenario; how long after its end everything was well again.
    async fn play(&mut self, shape: Shape, place: Where) -> Result<Duration> {
        let caller = Client::new(&self.to_client.url, Some(&self.env.coordinator.admin_key))?;
        let known = self.env.ledger.entries().len();
        let load = Load::paced(&caller, &self.env.ledger, 2, PACE);
        let before = self.env.submit(&on_the_real_one(1_000)).await?;
        self.env.leased(before, SOON).await?;
        let look = async || Ok((load.acknowledged() > 2).then_some(()));
        until("acknowledgements before the trouble", SOON, look).await?;
        let links = self.links(place);
        let disturbed: Vec<u64> = links.iter().map(|link| link.disturbed()).collect();
        trouble(&links, shape).await?;
        let healed = Instant::now();
        let left = || RECOVERED_WITHIN.saturating_sub(healed.elapsed());
        for (link, before) in links.iter().zip(disturbed) {
            ensure!(link.disturbed() > before, "nothing was disturbed, so nothing is shown");
        }
        let stopping = beside(load.stop());
        let fresh = Client::new(&self.to_client.url, Some(&self.env.coordinator.admin_key))?;
        let created = fresh.job_submit(&on_the_real_one(10), None).await.context("a submit after it")?;
        self.env.ledger.acknowledge(&[created.id], None)?;
        for job in [created.id, before] {
            self.env.expect(job, JobState::Completed, left()).await.context("the same worker goes on")?;
        }
        self.env.all_ended(left()).await?;
        let recovered = healed.elapsed();
        // A call on a connection that nobody hears of again ends with its time limit.
        let counts = stopping.await??;
        self.env.each_ended_once(SOON).await?;
        let entries = self.env.ledger.entries();
        Load::repeat(&self.env.client, &entries[known..]).await?;
        verify(self.env.coordinator.database(), Some(&self.env.ledger))?;
        ensure!(self.real.process().ended()?.is_none(), "the worker outlives it");
        say(&format!(
            "{place:?}: {}: {} acknowledged, {} unanswered, {} repeated; well again after {} ms",
            shape.name,
            entries.len() - known,
            counts.unanswered.load(Ordering::Relaxed),
            counts.repeated.load(Ordering::Relaxed),
            recovered.as_millis()
        ));
        Ok(recovered)
    }

    fn links(&self, place: Where) -> Vec<&Proxy> {
        match place {
            Where::Client => vec![&self.to_client],
            Where::Worker => vec![&self.to_worker],
            Where::Both => vec![&self.to_client, &self.to_worker],
        }
    }
}

/// Brings the trouble and takes it away again.
async fn trouble(links: &[&Proxy], shape: Shape) -> Result<()> {
    let times = if let After::Flaps(times) = shape.after { times } else { 1 };
    for time in 0..times {
        if time > 0 {
            pass(shape.lasts).await?;
        }
        links.iter().for_each(|link| link.set(shape.weather));
        if shape.weather.refuse {
            links.iter().for_each(|link| link.reset_all());
        }
        pass(shape.lasts).await?;
        links.iter().for_each(|link| link.heal());
    }
    if shape.after == After::Reset {
        links.iter().for_each(|link| link.reset_all());
    }
    Ok(())
}

async fn pass(time: Duration) -> Result<()> {
    let over = Instant::now() + time;
    until("time to pass", time * 2, async || Ok((Instant::now() >= over).then_some(()))).await
}

/// A job that only the worker with the sandbox can run.
fn on_the_real_one(ms: u64) -> NewJob {
    NewJob { constraints: [("kind".to_owned(), "real".to_owned())].into(), ..sleep_job(ms) }
}

/// Plays scenarios one after another, each on what the one before has left.
async fn lane(number: usize, scenarios: Vec<(Shape, Where)>) -> Result<Vec<Duration>> {
    let mut lane = Lane::start(1_000 * number as u64).await?;
    let mut recovered = Vec::new();
    for (shape, place) in scenarios {
        let played = lane.play(shape, place).await;
        let words =
            || format!("{place:?}: {}; the worker said:\n{}", shape.name, lane.real.process().last_words());
        recovered.push(played.with_context(words)?);
    }
    lane.env.stop_and_verify().await?;
    Ok(recovered)
}

#[test]
fn nothing_is_lost_on_a_bad_network() -> Result<()> {
    let mut lanes: Vec<_> = (0..LANES).map(|number| (number, Vec::new())).collect();
    // Every shape on one link with every change, on all of them before a release.
    let places = cycles(1, 3) as usize;
    let mut count = 0;
    for (number, shape) in shapes().into_iter().enumerate() {
        for turn in 0..places {
            let place = PLACES[(number + turn) % PLACES.len()];
            lanes[(number + turn * 3) % LANES].1.push((shape, place));
            count += 1;
        }
    }
    let played = side_by_side(lanes, LANES, async |(number, scenarios)| lane(number, scenarios).await)?;
    let recovered: Vec<Duration> = played.into_iter().flatten().collect();
    ensure!(recovered.len() == count, "every scenario was played");
    let slowest = recovered.iter().max().context("some were played")?;
    say(&format!(
        "{count} scenarios of a bad network: nothing lost; the slowest was well again after {} ms",
        slowest.as_millis()
    ));
    Ok(())
}
