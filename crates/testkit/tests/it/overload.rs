//! Ten times as much as can be served, for minutes: the coordinator says no in order, keeps what it
//! accepted, does not grow, and hears its workers.

use anyhow::{Context, Result, ensure};
use ciro_api::key::{NewKey, Role};
use ciro_testkit::{Call, Env, Flood, Memory, Pulse, cycles, idle_sockets, say, until};
use std::time::{Duration, Instant};

/// Tasks that the workers run at once, and how long each takes: what can be served.
const SLOTS: u32 = 8;
const TASK_MS: u64 = 400;
const SERVED_PER_S: u32 = 1_000 * SLOTS / TASK_MS as u32;
/// Ten times of it is asked for.
const ASKED_PER_S: u32 = 10 * SERVED_PER_S;
/// Small bounds, so that a small machine reaches them.
const IN_FLIGHT: u32 = 40;
const OPEN_JOBS: u32 = 60;
const KEY_UNITS: u32 = 100;
const ANONYMOUS_UNITS: u32 = 20;
const SILENT: usize = 5_000;
/// The promise.
const HEARTBEAT_P99: Duration = Duration::from_secs(1);
/// A debug build with all those connections; it is bounded when it is reached and stays there.
const MOST_KIB: u64 = 400 * 1_024;
const GROWTH_KIB: i64 = 32 * 1_024;
const HEAL: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_too_much() -> Result<()> {
    let length = Duration::from_secs(u64::from(cycles(24, 600)));
    let mut env = Env::start(|options| {
        options
            .lease_ttl_ms(6_000)
            .set("limits", "requests_in_flight", IN_FLIGHT)
            .set("limits", "open_jobs", OPEN_JOBS)
            .set("limits", "writer_queue", 64)
            .set("limits", "head_ms", 60_000)
            .set("limits", "body_ms", 4_000)
            .set("rate_limits", "window_s", 1)
            .set("rate_limits", "key_units", KEY_UNITS)
            .set("rate_limits", "anonymous_units", ANONYMOUS_UNITS)
    })
    .await?;
    let mut keys = Vec::new();
    for name in ["steady", "greedy", "lists", "slow"] {
        let new = NewKey { name: name.to_owned(), role: Role::Client, expires_at: None, tenant: None };
        keys.push(env.client.key_create(&new, None).await?.key);
    }
    let [steady, greedy, lists, slow] = keys.try_into().ok().context("four keys were made")?;
    let light = env.light_process("light", SLOTS - 1, "kind=light")?;
    let mut real = env.real_worker("real", &["--cpu-millis", "100"])?;
    let (url, token) = (env.coordinator.url.clone(), env.coordinator.join_token.clone());
    let silent = idle_sockets(&url, SILENT)?;
    let memory = Memory::of(env.coordinator.process().id());
    let pulse = Pulse::start(&url, &token, Duration::from_millis(50))?;

    let start =
        |call: &Call, rate: u32, connections: u32| Flood::start(&url, call, rate, connections, &env.ledger);
    // One key stays within its budget, so that the other bounds are met; one does not.
    let within = KEY_UNITS * 3 / 4;
    let begun = Instant::now();
    let floods = [
        start(&Call::Submit(steady, TASK_MS), within, 8)?,
        start(&Call::Submit(greedy, TASK_MS), ASKED_PER_S - within, 16)?,
        start(&Call::List(lists), 2 * KEY_UNITS / 5, 4)?,
        start(&Call::Anonymous, 3 * ANONYMOUS_UNITS, 4)?,
    ];
    // More and more requests that do not end; each wave turns away one class more.
    let waves = [0, IN_FLIGHT * 6 / 10, IN_FLIGHT * 8 / 10, IN_FLIGHT * 19 / 20];
    for held in waves {
        let until_then =
            begun + length * (1 + waves.iter().position(|wave| *wave == held).unwrap_or(0) as u32) / 4;
        let holding = match held {
            0 => None,
            held => Some(start(&Call::Held(slow.clone()), held, held)?),
        };
        let over = async || Ok((Instant::now() >= until_then).then_some(()));
        until("the wave to be over", length, over).await?;
        if let Some(holding) = holding {
            holding.end().await?;
        }
    }
    let mut answers = Vec::new();
    for flood in floods {
        answers.push(flood.end().await?);
    }
    let took = begun.elapsed();
    let beats = pulse.end()?;
    let (most_kib, growth_kib) = memory.end()?;
    let still_open = silent.len();
    drop(silent);

    let [steady, greedy, lists, anonymous] = answers.as_slice() else { unreachable!("four floods") };
    let of = |seen: &std::collections::BTreeMap<String, u64>, word: &str| {
        seen.get(word).copied().unwrap_or_default()
    };
    for (name, seen, words) in [
        ("steady", steady, &["201", "limit_reached", "overloaded"][..]),
        ("greedy", greedy, &["201", "limit_reached", "rate_limited", "overloaded"]),
        ("lists", lists, &["200", "rate_limited", "overloaded"]),
        ("anonymous", anonymous, &["200", "rate_limited", "overloaded"]),
    ] {
        for word in words {
            ensure!(of(seen, word) > 0, "{name} was never answered with {word}: {seen:?}");
        }
    }
    ensure!(of(steady, "rate_limited") == 0, "who keeps within the budget is not limited: {steady:?}");
    let asked: u64 = [steady, greedy].iter().flat_map(|seen| seen.values()).sum();
    let accepted = of(steady, "201") + of(greedy, "201");
    let asked_per_s = asked as f64 / took.as_secs_f64();
    ensure!(asked_per_s >= 0.7 * f64::from(ASKED_PER_S), "only {asked_per_s:.0} submits a second were made");
    let accepted_per_s = accepted as f64 / took.as_secs_f64();
    ensure!(accepted_per_s >= f64::from(SERVED_PER_S) / 4.0, "only {accepted_per_s:.1} jobs a second got in");
    let at = |permille: usize| beats[(beats.len() - 1) * permille / 1_000];
    ensure!(beats.len() as u64 >= length.as_secs(), "only {} heartbeats were made", beats.len());
    ensure!(
        at(990) <= HEARTBEAT_P99,
        "heartbeats: p99 {} ms, longest {} ms",
        at(990).as_millis(),
        at(1_000).as_millis()
    );
    ensure!(most_kib <= MOST_KIB, "it grew to {} MiB", most_kib >> 10);
    ensure!(
        growth_kib <= GROWTH_KIB,
        "it still grows: {} MiB from the second quarter to the last",
        growth_kib >> 10
    );
    ensure!(real.process().ended()?.is_none(), "the worker outlives it:\n{}", real.process().last_words());

    // The ledger is read with more calls than these bounds allow.
    env.coordinator.stop().await?;
    for (section, key) in [("rate_limits", "key_units"), ("rate_limits", "anonymous_units")] {
        let options = env.coordinator.options_mut();
        *options = options.clone().set(section, key, 0);
    }
    env.coordinator.restart().await?;
    let states = env.each_ended_once(HEAL).await?;
    ensure!(states.keys().all(|state| *state == "completed"), "every job is done: {states:?}");
    ensure!(
        states.values().map(|count| u64::from(*count)).sum::<u64>() == accepted,
        "{states:?}, {accepted}"
    );
    drop(light);
    let report = env.stop_and_verify().await?;
    say(&format!(
        "{} s of {asked_per_s:.0} submits a second where {SERVED_PER_S} can be served, beside {still_open} silent connections: \
         steady {steady:?}, greedy {greedy:?}, lists {lists:?}, anonymous {anonymous:?}; \
         {} heartbeats, p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms; memory at most {} MiB, {:+} KiB from the second quarter to the last; \
         {accepted} jobs accepted, {states:?}, {} attempts checked",
        took.as_secs(),
        beats.len(),
        at(500).as_secs_f64() * 1e3,
        at(990).as_secs_f64() * 1e3,
        at(1_000).as_secs_f64() * 1e3,
        most_kib >> 10,
        growth_kib,
        report.checked("I9"),
    ));
    Ok(())
}
