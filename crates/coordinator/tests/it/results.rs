//! Results: what tasks left, put together without copying.

use crate::env::Env;
use crate::splits::{array, chunked};
use crate::worker::FakeWorker;
use axum::http::Method;
use ciro_api::job::{CancelMode, Collect, NewJob, OnFailure, ReduceStep};
use ciro_api::work::Outcome;
use ciro_core::id::{Hash, JobId};
use ciro_core::job::JobState;
use ciro_core::retry::FailureClass;

async fn download(env: &Env, id: JobId, path: &str) -> (u16, Vec<u8>) {
    let sent =
        env.client.request(Method::GET, &format!("/v1/jobs/{id}/result/files/{path}")).send().await.unwrap();
    let length = sent.content_length();
    let status = sent.status().as_u16();
    let bytes = sent.bytes().await.unwrap().to_vec();
    assert_eq!(length, Some(bytes.len() as u64));
    (status, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_tasks_come_side_by_side_or_end_to_end() {
    let env = Env::start().await;
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let mut hashes = Vec::new();
    for collect in [Collect::List, Collect::Concat, Collect::Concat] {
        let id = env.submit(&NewJob { collect: Some(collect), ..array(3) }).await;
        let early = env.client.job_result(id).await.unwrap_err();
        assert_eq!((early.status(), early.code()), (Some(409), Some("result_not_ready")));
        let mut leases = Vec::new();
        while leases.len() < 3 {
            leases.extend(worker.take(3).await);
        }
        leases.reverse();
        for lease in &leases {
            let no = lease.attempt.task.no;
            let part = format!("part {no};");
            worker.succeed(lease, &[("out/text", part.as_bytes()), ("same", b"same")]).await;
        }
        assert_eq!(env.ended(id).await.state, JobState::Completed);
        let result = env.client.job_result(id).await.unwrap();
        let paths: Vec<(&str, usize)> =
            result.files.iter().map(|f| (f.path.as_str(), f.parts.len())).collect();
        if result.collect == "list" {
            let all = ["0/out/text", "0/same", "1/out/text", "1/same", "2/out/text", "2/same"];
            assert_eq!(paths, all.map(|path| (path, 1)));
            assert_eq!(download(&env, id, "1/out/text").await, (200, b"part 1;".to_vec()));
        } else {
            assert_eq!(paths, [("out/text", 3), ("same", 3)]);
            assert_eq!(download(&env, id, "out/text").await, (200, b"part 0;part 1;part 2;".to_vec()));
        }
        assert_eq!(download(&env, id, "nothing").await.0, 404);
        assert_eq!(env.stranger.job_result(id).await.unwrap_err().status(), Some(404));
        let part = result.files[0].parts[0].artifact;
        assert!(env.client.artifact_read(part, None).await.is_ok(), "parts are artifacts of the client's");
        hashes.push(result.hash);
    }
    assert_eq!(hashes[1], hashes[2], "equal for equal runs");
    assert_ne!(hashes[0], hashes[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reducer_reads_every_task_and_its_files_are_the_result() {
    let env = Env::start().await;
    let input = env.put(b"a\nb\nc\n").await;
    let id = env.submit(&chunked("wordcount", input, Some(1), None)).await;
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let mut mapped = 0;
    while mapped < 3 {
        for lease in worker.take(8).await {
            assert_eq!(lease.args, ["map"]);
            let counts = format!("{}\t1\n", ["a", "b", "c"][lease.attempt.task.no as usize]);
            worker.succeed(&lease, &[("counts.tsv", counts.as_bytes())]).await;
            mapped += 1;
        }
    }
    let reducer = worker.take(8).await.remove(0);
    assert_eq!((reducer.attempt.task.no, reducer.args.as_slice()), (3, &["reduce".to_owned()][..]));
    let names: Vec<&str> = reducer.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["000000/counts.tsv", "000001/counts.tsv", "000002/counts.tsv"]);
    assert_eq!(reducer.inputs[1].blake3, Hash::of(b"b\t1\n"));
    assert_eq!(worker.fetch(reducer.inputs[1].artifact).await.unwrap(), b"b\t1\n");
    worker.succeed(&reducer, &[("counts.tsv", b"a\t1\nb\t1\nc\t1\n")]).await;
    assert_eq!(env.ended(id).await.state, JobState::Completed);
    let result = env.client.job_result(id).await.unwrap();
    assert_eq!((result.collect.as_str(), result.files.len()), ("reduce", 1));
    assert_eq!(download(&env, id, "counts.tsv").await, (200, b"a\t1\nb\t1\nc\t1\n".to_vec()));
}

/// What tasks of a job do: each leaves a file `kept`, those of `fail` fail by their own fault.
async fn run(worker: &mut FakeWorker, tasks: usize, fail: &[u32]) {
    let mut ran = 0;
    while ran < tasks {
        for lease in worker.take(64).await {
            let no = lease.attempt.task.no;
            if fail.contains(&no) {
                let failed =
                    Outcome::Failed { class: FailureClass::User, message: "no".into(), exit_code: Some(1) };
                worker.report(&lease, failed).await;
            } else {
                worker.succeed(&lease, &[("kept", format!("{no}").as_bytes())]).await;
            }
            ran += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_completed_tasks_left_stays_and_is_called_partial() {
    let env = Env::start().await;
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let list = |on_failure| NewJob { on_failure: Some(on_failure), ..array(3) };
    let reduce = |on_failure| NewJob {
        collect: Some(Collect::Reduce(ReduceStep::default())),
        on_failure: Some(on_failure),
        ..array(3)
    };
    let (kept, reduced) = (&["0/kept", "2/kept"][..], &["kept"][..]);
    let all = &["0/kept", "1/kept", "2/kept"][..];
    // The job, what fails and after how many runs it ends; its end and what is there.
    let cases = [
        (list(OnFailure::KeepGoing), 1, 3, JobState::Failed, kept),
        (list(OnFailure::MaxFailed(1)), 1, 3, JobState::Completed, kept),
        (list(OnFailure::FailFast), 2, 3, JobState::Failed, &["0/kept", "1/kept"]),
        (reduce(OnFailure::MaxFailed(1)), 1, 4, JobState::Completed, reduced),
        (reduce(OnFailure::KeepGoing), 1, 4, JobState::Failed, reduced),
        (reduce(OnFailure::KeepGoing), 3, 4, JobState::Failed, all),
        (reduce(OnFailure::FailFast), 3, 4, JobState::Failed, all),
    ];
    for (new, fails, runs, state, paths) in cases {
        let id = env.submit(&new).await;
        run(&mut worker, runs, &[fails]).await;
        let job = env.ended(id).await;
        let told = format!("{:?} {:?}", new.collect, new.on_failure);
        assert_eq!(job.state, state, "{told}");
        let result = env.client.job_result(id).await.unwrap();
        assert_eq!(result.files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), paths, "{told}");
        assert!(result.partial, "{told}");
        assert_eq!((result.tasks, result.tasks.failed), (job.tasks, 1), "{told}");
        assert_eq!(download(&env, id, paths[0]).await.0, 200, "{told}");
    }

    let stopped = env.submit(&array(3)).await;
    let mut leases = Vec::new();
    while leases.len() < 3 {
        leases.extend(worker.take(3).await);
    }
    worker.succeed(&leases[0], &[("kept", b"kept")]).await;
    env.client.job_cancel(stopped, CancelMode::Now).await.unwrap();
    assert_eq!(env.ended(stopped).await.state, JobState::Cancelled);
    let result = env.client.job_result(stopped).await.unwrap();
    assert_eq!((result.partial, result.files.len(), result.tasks.completed), (true, 1, 1));

    let whole = env.submit(&array(1)).await;
    run(&mut worker, 1, &[]).await;
    env.ended(whole).await;
    assert!(!env.client.job_result(whole).await.unwrap().partial);
    let nothing = env.submit(&array(1)).await;
    run(&mut worker, 1, &[0]).await;
    assert_eq!(env.ended(nothing).await.state, JobState::Failed);
    let refused = env.client.job_result(nothing).await.unwrap_err();
    assert_eq!((refused.status(), refused.code()), (Some(409), Some("job_not_completed")));
}
