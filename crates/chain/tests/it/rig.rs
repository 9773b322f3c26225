//! A chain, and a coordinator that sends to it from one account, through whatever a test puts between.
//!
//! Each intent moves an amount of its own, a power of two, to an account that does nothing else. So the
//! balance of that account tells which of them happened, and that none did twice.

use crate::world::{LONG, World};
use anyhow::{Context, Result, ensure};
use ciro_chain::network::STRK;
use ciro_chain::rpc::read::{self, At};
use ciro_chain::tx::Call;
use ciro_testkit::{Coordinator, CoordinatorOptions, DevnetAccount, DevnetOptions, Outbox, Postgres, until};
use reqwest::Method;
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use tempfile::TempDir;

/// Names the step to kill the coordinator at.
const CRASH_AT: &str = ciro_core::crash::VARIABLE;
const SIGKILL: i32 = 9;
/// Everything happened, and is final.
pub(crate) const AT_REST: &str = "0 wait, 0 are under way";

/// A chain, and a coordinator with the first of its accounts. It is stopped until [`Rig::start`].
pub(crate) struct Rig {
    pub(crate) world: World,
    pub(crate) coordinator: Coordinator,
    pub(crate) outbox: Outbox,
    pub(crate) before: u128,
    pub(crate) folder: TempDir,
}

/// Where the coordinator keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    /// What a coordinator with a new database of this kind is started with.
    pub(crate) fn options(self, folder: &Path) -> Result<CoordinatorOptions> {
        let options = CoordinatorOptions::in_folder(folder);
        Ok(match self {
            Database::Sqlite => options,
            Database::Postgres => options.database(Postgres::shared()?.database()?),
        })
    }
}

/// The settings of a coordinator that sends from an account.
pub(crate) fn sending(url: &str, sender: &DevnetAccount) -> [(&'static str, Value); 6] {
    [
        ("rpc_url", json!(url)),
        ("chain_id", json!("SN_SEPOLIA")),
        ("account_address", json!(sender.address)),
        ("private_key", json!(sender.private_key)),
        ("finality", json!("l2")),
        ("depth", json!(0)),
    ]
}

impl Rig {
    pub(crate) async fn new(options: DevnetOptions, settings: &[(&str, Value)]) -> Result<Rig> {
        Rig::on(Database::Sqlite, options, settings).await
    }

    pub(crate) async fn on(
        database: Database,
        options: DevnetOptions,
        settings: &[(&str, Value)],
    ) -> Result<Rig> {
        let world = World::start(options).await;
        let sender = world.devnet.accounts().await?.swap_remove(0);
        let folder = tempfile::tempdir()?;
        let options = database.options(folder.path())?;
        let outbox = Outbox::of(&options)?;
        let mut coordinator = Coordinator::start(options).await?;
        coordinator.stop().await?;
        let own = sending(world.devnet.url(), &sender);
        let mut rig = Rig { before: 0, world, coordinator, outbox, folder };
        for (key, value) in own.iter().chain(settings) {
            rig.set(key, value.clone());
        }
        rig.before = rig.balance().await?;
        Ok(rig)
    }

    /// Another coordinator on the same database, with the same settings but for these.
    pub(crate) async fn another(&self, settings: &[(&str, Value)]) -> Result<Coordinator> {
        another(&self.coordinator, self.folder.path(), settings).await
    }

    pub(crate) fn set(&mut self, key: &str, value: Value) {
        let options = self.coordinator.options_mut();
        let section = options.settings.entry("blockchain").or_insert_with(|| json!({}));
        section[key] = value;
    }

    /// What the account has that intents pay.
    pub(crate) async fn balance(&self) -> Result<u128> {
        Ok(read::balance(&self.world.pool, STRK, self.world.accounts[1].address, At::PreConfirmed).await?)
    }

    /// Adds intents that pay 2^i each.
    pub(crate) async fn add(&self, places: std::ops::Range<u32>) -> Result<()> {
        let calls = places.map(|i| (i, vec![self.world.transfer(1, 1_u128 << i)]));
        let new = self.outbox.add(calls.map(|(i, calls)| intent(&format!("pay {i}"), &calls))).await?;
        ensure!(new > 0, "none of the intents is new");
        Ok(())
    }

    /// Starts the coordinator; with a step, until it has killed itself there and is started again.
    pub(crate) async fn start(&mut self, crash_at: Option<&str>) -> Result<()> {
        if let Some(step) = crash_at {
            self.crash(step).await?;
        }
        self.coordinator.restart().await?;
        Ok(())
    }

    /// Starts the coordinator, which kills itself at a step.
    pub(crate) async fn crash(&mut self, step: &str) -> Result<()> {
        crash(&mut self.coordinator, step).await
    }

    /// Until the intents up to here, and nothing else, happened.
    pub(crate) async fn paid(&self, places: u32) -> Result<()> {
        let expected = self.before + (1_u128 << places) - 1;
        let happened = async || {
            let found = self.balance().await?;
            ensure!(found <= expected, "{:b} happened", found - self.before);
            Ok((found == expected).then_some(()))
        };
        let waited = until("the intents to happen", LONG, happened).await;
        waited.map_err(|error| error.context(self.coordinator.process().last_words()))
    }

    /// One of the coordinator's figures.
    pub(crate) async fn figure(&self, name: &str) -> Result<u64> {
        let text = self.coordinator.client()?.raw(Method::GET, "/metrics", None).await?;
        let text = String::from_utf8(text)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        Ok(line.trim().parse::<f64>()? as u64)
    }

    pub(crate) async fn until_figure(&self, name: &str, wanted: u64) -> Result<()> {
        let look = async || Ok((self.figure(name).await? == wanted).then_some(()));
        let waited = until(&format!("{name} to be {wanted}"), LONG, look).await;
        waited.map_err(|error| error.context(self.coordinator.process().last_words()))
    }

    /// What `/status` says of the lane.
    pub(crate) async fn lane(&self) -> Result<String> {
        component(&self.coordinator, "chain_lane").await
    }

    pub(crate) async fn until_lane_says(&self, words: &str) -> Result<()> {
        until_says(&self.coordinator, "chain_lane", words).await
    }

    /// All intents are done; the rows say so too, and nothing is wrong with them.
    pub(crate) async fn finish(mut self, places: u32) -> Result<Rig> {
        self.paid(places).await?;
        self.until_lane_says(AT_REST).await?;
        self.coordinator.stop().await?;
        for i in 0..places {
            let intent = self.outbox.get(&format!("pay {i}")).await?;
            ensure!(intent.state.name() == "done", "{intent:?}");
        }
        self.outbox.verify()?;
        self.paid(places).await?;
        Ok(self)
    }

    pub(crate) async fn sender_nonce(&self) -> u64 {
        self.world.nonce(0).await
    }
}

/// Another coordinator on the same database, which must be a server's, with the same settings but for these.
pub(crate) async fn another(
    first: &Coordinator,
    place: &Path,
    settings: &[(&str, Value)],
) -> Result<Coordinator> {
    let folder = place.join("another");
    std::fs::create_dir_all(&folder)?;
    let mut options = CoordinatorOptions { folder, ..first.options().clone() };
    for (key, value) in settings {
        options = options.set("blockchain", key, value.clone());
    }
    let options = options.name("another").data_dir(&place.join("coordinator.d"));
    Coordinator::beside(first, options).await
}

/// Starts a coordinator, which kills itself at a step.
pub(crate) async fn crash(coordinator: &mut Coordinator, step: &str) -> Result<()> {
    coordinator.options_mut().variables.push((CRASH_AT.to_owned(), step.to_owned()));
    // It may come there before it is ready.
    drop(coordinator.restart().await);
    let status = coordinator.ended(LONG).await.context(step.to_owned())?;
    ensure!(status.signal() == Some(SIGKILL), "{step}: it ended with {status}");
    coordinator.options_mut().variables.clear();
    Ok(())
}

/// What `/status` says of a component.
pub(crate) async fn component(coordinator: &Coordinator, name: &str) -> Result<String> {
    let text = coordinator.client()?.raw(Method::GET, "/status", None).await?;
    let status: Value = serde_json::from_slice(&text)?;
    Ok(status["components"][name].to_string())
}

pub(crate) async fn until_says(coordinator: &Coordinator, name: &str, words: &str) -> Result<()> {
    let look = async || Ok(component(coordinator, name).await?.contains(words).then_some(()));
    let said = until(&format!("{name} to say `{words}`"), LONG, look).await;
    said.map_err(|error| error.context(coordinator.process().last_words()))
}

pub(crate) fn intent(dedupe: &str, calls: &[Call]) -> (String, String, u32) {
    let felts = calls.iter().map(Call::felts).sum::<usize>();
    (dedupe.to_owned(), serde_json::to_string(calls).unwrap(), u32::try_from(felts).unwrap())
}
