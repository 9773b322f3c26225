//! Three coordinators on one PostgreSQL: what one does the others show and go on with, and one after
//! the other is killed under load.

use anyhow::{Context, Result, ensure};
use ciro_api::client::Client;
use ciro_api::coordinator::Coordinator as Listed;
use ciro_api::key::{NewKey, Role};
use ciro_core::job::JobState;
use ciro_testkit::{
    Coordinator, CoordinatorOptions, Env, LightOptions, LightWorker, Load, Postgres, cycles, say, sleep_job,
    until,
};
use std::time::{Duration, Instant};

const HEAL: Duration = Duration::from_secs(90);
/// The longest that work may stand still when a coordinator dies.
const GAP: Duration = Duration::from_secs(10);
/// A revoked key is refused elsewhere within 5 s; the rest is for a busy machine.
const REVOKED_WITHIN: Duration = Duration::from_secs(15);
const CLIENTS: u32 = 3;

/// Coordinators that share a database. The first is the one of `env`, whose client knows all of them.
pub(crate) struct Crew {
    pub(crate) env: Env,
    others: Vec<Coordinator>,
    pub(crate) server: Postgres,
    /// Of the database.
    pub(crate) address: String,
}

impl Crew {
    pub(crate) async fn start() -> Result<Crew> {
        let server = Postgres::start(&[])?;
        let address = server.database()?;
        let env = Env::start(|options| options.database(&address).lease_ttl_ms(4_000).name("a")).await?;
        // Artifacts and logs are files that all of them reach.
        let data = env.folder().join("coordinator.d");
        let mut others = Vec::new();
        for name in ["b", "c"] {
            let folder = env.folder().join(name);
            std::fs::create_dir(&folder)?;
            let options = CoordinatorOptions::in_folder(&folder).database(&address).lease_ttl_ms(4_000);
            let options = options.name(name).data_dir(&data);
            others.push(Coordinator::beside(&env.coordinator, options).await?);
        }
        let mut crew = Crew { env, others, server, address };
        crew.env.client = Client::new(&crew.urls(), Some(&crew.env.coordinator.admin_key))?;
        Ok(crew)
    }

    /// All of them, as a client is given them.
    pub(crate) fn urls(&self) -> String {
        [0, 1, 2].map(|no| self.member(no).url.as_str()).join(",")
    }

    pub(crate) fn member(&self, no: usize) -> &Coordinator {
        if no == 0 { &self.env.coordinator } else { &self.others[no - 1] }
    }

    pub(crate) fn member_mut(&mut self, no: usize) -> &mut Coordinator {
        if no == 0 { &mut self.env.coordinator } else { &mut self.others[no - 1] }
    }

    /// Three workers, each of which asks another of the members first.
    pub(crate) fn workers(&self) -> Result<Vec<LightWorker>> {
        let orders = [[0, 1, 2], [1, 2, 0], [2, 0, 1]].into_iter().enumerate();
        orders.map(|(no, order)| self.worker(&format!("light-{no}"), order)).collect()
    }

    /// A worker that asks the members in this order.
    fn worker(&self, name: &str, order: [usize; 3]) -> Result<LightWorker> {
        let urls = order.map(|no| self.member(no).url.as_str()).join(",");
        let options = LightOptions { name: name.into(), slots: 8, ..LightOptions::default() };
        LightWorker::start(&urls, &self.env.coordinator.join_token, options)
    }

    /// Who leads, as one of those says that are there.
    async fn leader(&self) -> Result<Option<usize>> {
        let items: Vec<Listed> =
            self.env.client.coordinators().await.map(|all| all.items).unwrap_or_default();
        let leads = items.iter().find(|one| one.leads);
        Ok(leads.and_then(|one| ["a", "b", "c"].iter().position(|name| *name == one.name)))
    }

    async fn stop_and_verify(&mut self) -> Result<ciro_testkit::Report> {
        for other in &mut self.others {
            other.stop().await?;
        }
        self.env.stop_and_verify().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_does_the_others_show_and_go_on_with() -> Result<()> {
    let mut crew = Crew::start().await?;
    let (a, b) = (crew.member(0).client()?, crew.member(1).client()?);
    // A worker that waits at one is woken by work that arrives at another.
    let worker = crew.worker("at c", [2, 0, 1])?;
    crew.env.workers_online(1, HEAL).await?;
    let mut stream = b.event_stream("/v1/events?after=0", None).await?;
    let job = a.job_submit(&sleep_job(1), Some("a key that two know")).await?.id;
    crew.env.ledger.acknowledge(&[job], None)?;
    let ended = async || Ok(b.job_wait(job, Duration::from_secs(5)).await.ok().filter(|status| status.ended));
    let status = until("the job to end", HEAL, ended).await?;
    ensure!(status.state == JobState::Completed, "{status:?}");
    // The other shows all of it, in order and without a gap.
    let mut position = 0;
    loop {
        let frame = tokio::time::timeout(GAP, stream.next()).await.context("the stream stands still")??;
        let frame = frame.context("the stream ended")?;
        let id: i64 = frame.id.as_deref().unwrap_or_default().parse()?;
        ensure!(id == position + 1, "{id} behind {position}");
        position = id;
        if frame.name == "job.completed" {
            break;
        }
    }
    // A repeated call is recognised, wherever it comes.
    let again = b.job_submit(&sleep_job(1), Some("a key that two know")).await?;
    ensure!(again.id == job, "{} and {job}", again.id);
    // A key that one revokes is soon good nowhere.
    let new = NewKey { name: "short".into(), role: Role::Viewer, expires_at: None, tenant: None };
    let key = a.key_create(&new, None).await?;
    let guest = Client::new(&crew.member(1).url, Some(&key.key))?;
    guest.job_stats().await?;
    a.key_revoke(key.id).await?;
    let refused =
        async || Ok(guest.job_stats().await.is_err_and(|error| error.status() == Some(401)).then_some(()));
    until("the key to be refused", REVOKED_WITHIN, refused).await?;
    // All of them are listed, and one leads.
    let listed = b.coordinators().await?.items;
    ensure!(listed.len() == 3 && listed.iter().filter(|one| one.leads).count() == 1, "{listed:#?}");
    ensure!(listed.iter().filter(|one| one.answers).map(|one| &one.name).eq(["b"]), "{listed:#?}");
    drop(worker);
    crew.stop_and_verify().await?;
    Ok(())
}

/// Who has another data folder than the others would take in artifacts that they do not find.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_with_a_data_folder_of_its_own_is_refused() -> Result<()> {
    let server = Postgres::shared()?;
    let (address, data) = (server.database()?, tempfile::tempdir()?);
    let env = Env::start(|options| options.database(&address).name("a").data_dir(data.path())).await?;
    let options = |name: &str, database: &str| -> Result<CoordinatorOptions> {
        let folder = env.folder().join(name);
        std::fs::create_dir(&folder)?;
        Ok(CoordinatorOptions::in_folder(&folder).database(database).name(name))
    };
    let own = env.folder().join("own");
    let alone = options("b", &address)?.data_dir(&own);
    let refused =
        Coordinator::beside(&env.coordinator, alone.clone()).await.err().context("it is refused")?;
    let said = format!("{refused:#}");
    ensure!(said.contains("its file database-id is missing"), "{said}");
    // What it says helps: the bytes were copied there without the file.
    let id = std::fs::read_to_string(data.path().join("database-id"))?;
    ensure!(said.contains(id.trim()), "{said}");
    std::fs::create_dir_all(&own)?;
    std::fs::write(own.join("database-id"), &id)?;
    Coordinator::beside(&env.coordinator, alone).await?.stop().await?;
    // The folder of one database is not that of another, whose collector would empty it.
    let another = options("c", &server.database()?)?.data_dir(data.path());
    let refused = Coordinator::start(another).await.err().context("it is refused")?;
    ensure!(format!("{refused:#}").contains("belongs to another database"), "{refused:#}");
    Ok(())
}

/// Every other time it is the one that leads. Clients and workers go on at the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinators_are_killed_in_turn_under_load() -> Result<()> {
    let mut crew = Crew::start().await?;
    let workers = crew.workers()?;
    let load = Load::start(&crew.env.client, &crew.env.ledger, CLIENTS);
    let (kills, mut slowest, mut led) = (cycles(10, 200) as usize, Duration::ZERO, 0);
    for kill in 0..kills {
        goes_on(&load, &workers).await?;
        let leader = crew.leader().await?;
        let victim = leader.filter(|_| kill % 2 == 0).unwrap_or(kill % 3);
        led += u32::from(leader == Some(victim));
        crew.member_mut(victim).kill()?;
        let killed = Instant::now();
        goes_on(&load, &workers).await.with_context(|| format!("kill {kill}, of {victim}"))?;
        slowest = slowest.max(killed.elapsed());
        if leader == Some(victim) {
            let another = async || Ok(crew.leader().await?.filter(|leads| *leads != victim));
            until("another to lead", GAP, another).await?;
        }
        crew.member_mut(victim).restart().await?;
    }
    let counts = load.stop().await?;
    let states = crew.env.each_ended_once(HEAL).await?;
    drop(workers);
    let report = crew.stop_and_verify().await?;
    say(&format!(
        "{kills} kills of coordinators, {led} of the one that led: {} jobs acknowledged, {states:?}; {counts:?}; \
         the longest gap {} ms; {} attempts checked",
        crew.env.ledger.jobs().len(),
        slowest.as_millis(),
        report.checked("I9"),
    ));
    Ok(())
}

/// Waits until something more is accepted, and something more is done.
pub(crate) async fn goes_on(load: &Load, workers: &[LightWorker]) -> Result<()> {
    let done =
        || workers.iter().map(|w| w.tally.accepted.load(std::sync::atomic::Ordering::Relaxed)).sum::<u64>();
    let (accepted, results) = (load.acknowledged(), done());
    let look = async || Ok((load.acknowledged() > accepted && done() > results).then_some(()));
    until("work to go on", GAP, look).await
}
