//! Native jobs from the door to the result.

use anyhow::{Context, Result, ensure};
use ciro_api::job::{ArraySplit, Collect, Input, Limits, NewJob, ProfileName, ReduceStep, Resources, Split};
use ciro_core::job::JobState;
use ciro_core::spec::NATIVE_LAYERS;
use ciro_testkit::Env;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

fn shell(script: &str) -> NewJob {
    NewJob {
        kind: "native".into(),
        program: Some("/usr/bin/sh".into()),
        args: vec!["-c".into(), script.into()],
        ..NewJob::default()
    }
}

async fn result(env: &Env, job: &NewJob) -> Result<Vec<(String, String)>> {
    let id = env.submit(job).await?;
    env.expect(id, JobState::Completed, SOON).await?;
    let mut files = Vec::new();
    for file in env.client.job_result(id).await?.files {
        let mut bytes = Vec::new();
        for part in file.parts {
            let mut read = env.client.artifact_read(part.artifact, None).await?;
            while let Some(more) = read.next().await? {
                bytes.extend_from_slice(&more);
            }
        }
        files.push((file.path, String::from_utf8(bytes)?));
    }
    Ok(files)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_the_system_and_of_the_client_run() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let waiting = env.submit(&shell("exit 0")).await?;
    let light = env.light_worker("light", 4)?;
    env.workers_online(1, SOON).await?;
    let for_anybody = env.submit(&ciro_testkit::sleep_job(1)).await?;
    env.expect(for_anybody, JobState::Completed, SOON).await?;
    ensure!(env.attempts(waiting).await?.is_empty(), "it is not granted to a worker without the layers");
    drop(light);

    let worker = env.real_worker("real", &[])?;
    env.expect(waiting, JobState::Completed, SOON).await.context("a worker with the layers came")?;
    let listed = env.client.worker_list(&ciro_api::page::PageQuery::default()).await?.items;
    let real = listed.iter().find(|worker| worker.name == "real").context("it is listed")?;
    ensure!(NATIVE_LAYERS.iter().all(|layer| real.sandbox.iter().any(|has| has == layer)), "{real:?}");

    let numbers = Input { name: "numbers".into(), artifact: env.put(b"7\n3\n5\n").await? };
    let sorted = NewJob {
        program: Some("/usr/bin/sort".into()),
        args: ["-n", "-o", "/out/sorted"].map(str::to_owned).into(),
        inputs: vec![numbers],
        stdin: Some("numbers".into()),
        ..shell("")
    };
    ensure!(result(&env, &sorted).await? == [("sorted".into(), "3\n5\n7\n".into())]);

    let executable = env.put(&std::fs::read("/usr/bin/seq")?).await?;
    let own = NewJob { executable: Some(executable), program: None, args: vec!["3".into()], ..shell("") };
    ensure!(result(&env, &own).await?.is_empty(), "it writes to its log only");

    let summed = NewJob {
        split: Some(Split::Array(ArraySplit { count: 3 })),
        collect: Some(Collect::Reduce(ReduceStep {
            args: ["-c", "cat /in/*/n > /out/all"].map(str::to_owned).into(),
        })),
        ..shell("echo $CIRO_TASK_INDEX > /out/n")
    };
    ensure!(result(&env, &summed).await? == [("all".into(), "0\n1\n2\n".into())]);
    drop(worker);
    env.stop_and_verify().await?;
    Ok(())
}

/// Every limit of a native program, as a client sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn native_failures_have_the_right_class() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let worker = env.real_worker("real", &[])?;
    let limited = |script: &str, limits: Limits| NewJob { limits: Some(limits), ..shell(script) };
    let small = Some(Resources { memory_bytes: Some(16 << 20), ..Resources::default() });
    let cases = [
        ("user", shell("exit 7")),
        ("timeout", limited("sleep 60", Limits { wall_ms: Some(500), ..Limits::default() })),
        ("timeout", limited("while :; do :; done", Limits { cpu_ms: Some(500), ..Limits::default() })),
        ("oom", NewJob { resources: small, ..shell("tail /dev/zero") }),
        (
            "user",
            limited("cat /dev/zero > /out/x", Limits { output_bytes: Some(99_999), ..Limits::default() }),
        ),
        (
            "user",
            limited(
                "for n in 1 2 3 4 5 6 7 8 9; do sleep 9 & done; wait",
                Limits { processes: Some(4), ..Limits::default() },
            ),
        ),
        ("user", limited("ulimit -n 65", Limits { open_files: Some(64), ..Limits::default() })),
        ("user", shell("ln -s /etc/passwd /out/x")),
        ("infra", NewJob { program: Some("/usr/bin/no-such-program".into()), ..shell("") }),
    ];
    for (class, job) in cases {
        let id = env.submit(&job).await?;
        let look = async || {
            let last = env.attempts(id).await?.pop();
            Ok(last.and_then(|attempt| attempt.class))
        };
        let failed = ciro_testkit::until("an attempt to fail", SOON, look).await?;
        ensure!(failed.name() == class, "{job:?} is to fail as {class}, not {}", failed.name());
        env.client.job_cancel(id, ciro_api::job::CancelMode::Now).await.ok();
    }
    env.all_ended(SOON).await?;
    drop(worker);
    env.stop_and_verify().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_natively_is_refused_by_its_place() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let hash = ciro_core::id::Hash([1; 32]);
    let sleep = ciro_testkit::sleep_job(1);
    let bound = |limits| Some(limits);
    let cases = [
        ("/program", NewJob { program: None, ..shell("") }),
        ("/program", NewJob { executable: Some(hash), ..shell("") }),
        ("/program", NewJob { program: Some("/bin/sh".into()), ..shell("") }),
        ("/program", NewJob { program: Some("/usr/../etc/x".into()), ..shell("") }),
        ("/module", NewJob { module: Some(hash), ..shell("") }),
        ("/profile", NewJob { profile: Some(ProfileName::Wasm1), ..shell("") }),
        (
            "/limits/fuel",
            NewJob { limits: bound(Limits { fuel: Some(1), ..Limits::default() }), ..shell("") },
        ),
        (
            "/limits/processes",
            NewJob { limits: bound(Limits { processes: Some(9_999), ..Limits::default() }), ..shell("") },
        ),
        ("/program", NewJob { program: Some("/usr/bin/sh".into()), ..sleep.clone() }),
        (
            "/limits/open_files",
            NewJob { limits: bound(Limits { open_files: Some(64), ..Limits::default() }), ..sleep },
        ),
    ];
    for (pointer, job) in cases {
        let refused = env.client.job_submit(&job, None).await;
        let error = match refused {
            Err(error) => format!("{error:?}"),
            Ok(created) => anyhow::bail!("{job:?} was taken: {created:?}"),
        };
        ensure!(error.contains(pointer), "{job:?} is refused at {pointer}: {error}");
    }
    env.coordinator.stop().await?;
    Ok(())
}
