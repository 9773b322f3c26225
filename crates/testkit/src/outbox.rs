//! What waits for the chain in a database, and what was read from it: intents are put there, and all of it is
//! looked at. A file is one that no coordinator has open; a server is used beside those that use it.

use crate::coordinator::CoordinatorOptions;
use anyhow::{Result, anyhow, ensure};
use ciro_core::money::ChainEscrow;
use ciro_core::time::Timestamp;
use ciro_store::conformance::plant_escrow;
use ciro_store::postgres::Address;
use ciro_store::verify::{self, Status, VerifyOptions};
use ciro_store::{ChainCursor, ChainIntent, Clock, NewIntent, Options, Store};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The outbox of one database.
#[derive(Debug)]
pub struct Outbox {
    /// The file, or what the files beside a server's database are named after.
    file: PathBuf,
    server: Option<Address>,
}

#[derive(Debug)]
struct WallClock(Instant);

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "this store's one clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn chance(&self) -> u64 {
        uuid::Uuid::now_v7().as_u64_pair().1
    }
}

impl Outbox {
    /// That of a coordinator that is started with these options.
    ///
    /// # Errors
    /// When the address of its server is none.
    pub fn of(options: &CoordinatorOptions) -> Result<Outbox> {
        let server = options.database.to_str().filter(|text| Address::is_one(text));
        Ok(match server {
            None => Outbox { file: options.database.clone(), server: None },
            Some(text) => {
                Outbox { file: options.folder.join("coordinator"), server: Some(Address::parse(text)?) }
            }
        })
    }

    fn open(&self) -> Result<(Store, Timestamp)> {
        let clock = Arc::new(WallClock(Instant::now()));
        let now = clock.now();
        let options = Options { server: self.server.clone(), ..Options::new(&self.file) };
        Ok((Store::open(options, clock)?, now))
    }

    /// Adds intents: a dedupe key, calls as JSON, and how many felts they take. How many were new.
    ///
    /// # Errors
    /// When somebody has the database open.
    pub async fn add(&self, intents: impl IntoIterator<Item = (String, String, u32)>) -> Result<usize> {
        let (store, now) = self.open()?;
        let mut new = 0;
        for (dedupe, calls, felts) in intents {
            let l2_gas = 5_000_000;
            let intent = NewIntent { dedupe, kind: "test".into(), job: None, calls, felts, l2_gas, now };
            new += usize::from(store.chain_intent_add(intent).await?);
        }
        store.close().await;
        Ok(new)
    }

    /// An intent.
    ///
    /// # Errors
    /// When somebody has the database open, or there is none with the dedupe key.
    pub async fn get(&self, dedupe: &str) -> Result<ChainIntent> {
        self.find(dedupe).await?.ok_or_else(|| anyhow!("there is no intent {dedupe}"))
    }

    /// An intent, if there is one with the dedupe key.
    ///
    /// # Errors
    /// When somebody has the database open.
    pub async fn find(&self, dedupe: &str) -> Result<Option<ChainIntent>> {
        let (store, _) = self.open()?;
        let found = store.chain_intent_get(dedupe.to_owned()).await?;
        store.close().await;
        Ok(found)
    }

    /// How far the contract was followed, and what the chain says of these escrows.
    ///
    /// # Errors
    /// When somebody has the database open.
    pub async fn followed(
        &self,
        escrows: &[[u8; 32]],
    ) -> Result<(Option<ChainCursor>, Vec<Option<ChainEscrow>>)> {
        let (store, _) = self.open()?;
        let mut found = Vec::new();
        for id in escrows {
            found.push(store.chain_escrow(*id).await?);
        }
        let cursor = store.chain_cursor().await?;
        store.close().await;
        Ok((cursor, found))
    }

    /// Puts an escrow into the rows of a file, or takes it out, behind everybody's back: they say something else
    /// than the chain from then on.
    ///
    /// # Errors
    /// When somebody has the database open.
    pub async fn plant(&self, id: [u8; 32], escrow: Option<ChainEscrow>) -> Result<()> {
        let (store, _) = self.open()?;
        plant_escrow(&store, id, escrow).await?;
        store.close().await;
        Ok(())
    }

    /// Checks the database; that something was held against I15 and I31, too.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify_followed(&self) -> Result<()> {
        self.hold_against(&["I15", "I31"])
    }

    /// Checks the database; that something was held against I17 and I18, too.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self) -> Result<()> {
        self.hold_against(&["I17", "I18"])
    }

    fn hold_against(&self, ids: &[&str]) -> Result<()> {
        let options = VerifyOptions::default();
        let report = match &self.server {
            None => verify::run(&self.file, &options)?,
            // A test is a task of a runtime, where nobody may wait for a server.
            Some(address) => {
                let run = || verify::run_on(address, &options);
                std::thread::scope(|scope| scope.spawn(run).join())
                    .map_err(|_| anyhow!("verify panicked"))??
            }
        };
        ensure!(report.clean, "{report:#?}");
        for id in ids {
            let line = report.finding(id);
            ensure!(line.is_some_and(|line| line.status == Status::Ok && line.checked > 0), "{id}: {line:?}");
        }
        Ok(())
    }
}
