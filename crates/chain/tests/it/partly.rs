//! A job that fails after some of its tasks were accepted, paid from a deposit: those are paid to the unit, and
//! the rest goes back.

use crate::stage::{Stage, WEALTH, WINDOW, without_fee};
use anyhow::{Result, ensure};
use ciro_core::id::Hash;
use ciro_core::job::JobState;
use ciro_testkit::api::artifact::NewArtifact;
use ciro_testkit::api::job::{ChunkSplit, Collect, Input, NewJob, OnFailure, Resources, Split};
use std::io::Cursor;

/// One line a task; the third is no number, and fails however often it is tried.
const NUMBERS: &[u8] = b"1000003\n1000004\nmany\n18446744073709551557\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_pays_for_what_was_accepted_and_for_nothing_else() -> Result<()> {
    let stage = Stage::new().await?;
    let new = NewArtifact { size: NUMBERS.len() as u64, blake3: Hash::of(NUMBERS) };
    let artifact = stage.client.artifact_put(&new, &mut Cursor::new(NUMBERS), |_| {}).await?.blake3;
    let (mut earned_in_all, mut fees) = (0, 0);
    // The worker has one core, and takes one line after the other.
    for (on_failure, accepted) in [(OnFailure::FailFast, 2), (OnFailure::KeepGoing, 3)] {
        let job = NewJob {
            kind: "primes".into(),
            args: vec!["prove".into()],
            inputs: vec![Input { name: "numbers".into(), artifact }],
            split: Some(Split::Chunks(ChunkSplit { input: "numbers".into(), bytes: None, lines: Some(1) })),
            collect: Some(Collect::List),
            resources: Some(Resources { cpu_millis: Some(1_000), ..Resources::default() }),
            on_failure: Some(on_failure),
            ..NewJob::default()
        };
        let id = stage.funded(job).await?;
        let job = stage.on_chain(id, "submitted").await?;
        let tasks = job.tasks;
        ensure!(job.state == JobState::Failed && tasks.total == 4, "{job:?}");
        ensure!((tasks.completed, tasks.failed) == (accepted, 1), "{tasks:?} with {on_failure:?}");
        let settlement = stage.money(id, "settling").await?.settlement;
        let before = stage.credits().await;
        stage.pass(WINDOW + 5).await?;
        let earned = stage.earned(id).await?;
        ensure!(earned > 0, "{settlement:?}");
        stage.shared_out(id, earned, before).await?;
        (earned_in_all, fees) = (earned_in_all + earned, fees + earned - without_fee(earned));
    }
    let has = stage.everybody_withdraws().await?;
    let wanted = [WEALTH - earned_in_all, earned_in_all - fees, fees];
    ensure!(has == wanted, "{has:?}, not {wanted:?}");
    stage.finish().await
}
