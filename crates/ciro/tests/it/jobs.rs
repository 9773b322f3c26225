//! Jobs from the first word to the result.

use crate::network::shared;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Some thousand lines with upper case, tabs and blanks at the ends.
fn text() -> String {
    let words = ["To", "be", "or", "NOT", "to", "be,", "that", "is", "the", "question"];
    let mut text = String::new();
    for n in 0..5_000_usize {
        let _ = writeln!(text, " {}\t{} {} {n}", words[n % 10], words[n * 7 % 10], words[n * 3 % 7]);
    }
    text
}

/// The count by the definition, independent of the program.
fn counted(text: &str) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for word in text.split_ascii_whitespace() {
        *counts.entry(word.to_ascii_lowercase()).or_default() += 1;
    }
    counts.iter().fold(String::new(), |mut out, (word, count)| {
        let _ = writeln!(out, "{word}\t{count}");
        out
    })
}

#[test]
fn wordcount_of_a_real_text_is_right_however_it_is_fetched() {
    let network = shared();
    let text = text();
    network.write("book.txt", &text);
    let run = [
        "job",
        "run",
        "wordcount",
        "--input",
        "book.txt",
        "--split",
        "lines:700",
        "--output",
        "counts",
        "-o",
        "json",
    ];
    let job = network.ciro(&run).json();
    let id = job["id"].as_str().unwrap();
    assert_eq!((job["state"].as_str(), job["kind"].as_str()), (Some("completed"), Some("wordcount")));
    assert_eq!(job["tasks"]["total"], 9, "eight chunks and a reducer: {job}");

    let result = network.ciro(&["job", "result", id, "-o", "json"]).json();
    let files = result["files"].as_array().unwrap();
    assert_eq!(files.len(), 1, "{result}");
    let name = files[0]["path"].as_str().unwrap();
    let expected = counted(&text);
    assert_eq!(std::fs::read_to_string(network.path("counts").join(name)).unwrap(), expected);
    assert_eq!(network.ciro(&["job", "result", id, "--cat", name]).ok(), expected);
    network.ciro(&["job", "download", id, "--output", "again/deeper"]).ok();
    assert_eq!(std::fs::read_to_string(network.path("again/deeper").join(name)).unwrap(), expected);
    let leftovers = std::fs::read_dir(network.path("counts")).unwrap().count();
    assert_eq!(leftovers, 1, "no temporary file stays");

    // Cut in another way, the same result has the same hash.
    let other = ["job", "run", "wordcount", "--input", "book.txt", "--split", "lines:1900", "-o", "id"];
    let other = network.ciro(&other).ok();
    let again = network.ciro(&["job", "result", other.trim(), "-o", "json"]).json();
    assert_eq!(again["hash"], result["hash"]);
}

#[test]
fn a_job_is_submitted_watched_and_its_story_told() {
    let network = shared();
    let id = network.ciro(&["job", "submit", "sleep", "300", "--label", "story=one", "-o", "id"]).ok();
    let id = id.trim();
    let watched = network.ciro(&["job", "watch", id, "--timeout", "60s"]);
    assert!(watched.err.contains("1/1 tasks"), "{watched:?}");
    assert!(watched.ok().contains(&format!("{id} completed in")));

    let events = network.ciro(&["job", "events", id, "--follow", "-o", "ndjson"]).ok();
    let events: Vec<serde_json::Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sequences: Vec<_> = events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>(), "dense, from 1");
    assert_eq!(events.last().unwrap()["data"]["state"], "completed");

    let attempts = network.ciro(&["job", "attempts", id, "-o", "json"]).json();
    assert_eq!(attempts["items"].as_array().unwrap().len(), 1);
    assert_eq!(attempts["items"][0]["state"], "accepted");
    let listed = network.ciro(&["job", "list", "--filter", "label.story=one", "-o", "id"]).ok();
    assert_eq!(listed.trim(), id);
}

#[test]
fn many_jobs_are_watched_until_all_have_ended_and_one_that_failed_is_a_failure() {
    let network = shared();
    let submit = |args: &[&str]| {
        let job = [&["job", "submit"], args, &["--label", "watch=many", "-o", "id"]].concat();
        network.ciro(&job).ok().trim().to_owned()
    };
    let (good, bad) = (submit(&["sleep", "700"]), submit(&["fail", "3"]));
    let watched =
        network.ciro(&["job", "watch", "--filter", "label.watch=many", "--timeout", "60s", "-o", "id"]);
    let told =
        |id: &str, words: &str| watched.err.lines().any(|line| line.starts_with(id) && line.contains(words));
    assert!(told(&good, "completed 1/1") && told(&bad, "failed 0/1"), "{watched:?}");
    let mut ids: Vec<&str> = watched.out.split_whitespace().collect();
    ids.sort_unstable();
    let mut both = [good.as_str(), bad.as_str()];
    both.sort_unstable();
    assert_eq!(ids, both);
    assert!(watched.fails(6).contains(&bad), "the one that failed is named");
    let stdin = format!("{good}\n{good}\n");
    let again = network.ciro_with(&stdin, &["job", "watch", "-"]);
    assert!(again.ok().contains(&good));
    network.ciro(&["job", "watch", "--filter", "label.watch=none"]).fails(3);
    network.ciro(&["job", "watch"]).fails(2);
    let waits = submit(&["sleep", "600000"]);
    network.ciro(&["job", "watch", &waits, &good, "--timeout", "300ms"]).fails(7);
    network.ciro(&["job", "cancel", &waits, "--now"]).ok();
}

#[test]
fn what_programs_print_is_shown_and_said_whose_it_is() {
    let network = shared();
    let followed = network.ciro(&["job", "run", "spam", "stdout", "2000", "--split", "array:2", "--follow"]);
    let said = followed.err.clone();
    let id = followed.ok().split_whitespace().next().unwrap().to_owned();
    let logs = network.ciro(&["job", "logs", &id]).ok();
    for task in ["  0/1 | ", "  1/1 | "] {
        assert!(logs.lines().any(|line| line.starts_with(task)), "{logs}");
        assert!(said.lines().any(|line| line.starts_with(task)), "{said}");
    }
    let one = network.ciro(&["job", "logs", &id, "--task", "1", "-o", "ndjson"]).ok();
    let lines: Vec<serde_json::Value> = one.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line["task"] == 1), "{one}");

    // Followed: standard output has what the programs wrote, those who read along hear of attempts.
    let followed = network.ciro(&["job", "logs", &id, "--follow", "--since", "1h"]);
    for said in ["task 0 attempt 1 begins on worker_", "task 1 attempt 1 accepted"] {
        assert!(followed.err.contains(said), "{followed:?}");
    }
    assert_eq!(followed.ok(), logs);
    let tail = network.ciro(&["job", "logs", &id, "--follow", "--tail", "1", "--task", "1"]).ok();
    assert!(logs.trim_end().ends_with(tail.trim_end()) && !tail.is_empty(), "{tail}");
    assert_eq!(network.ciro(&["job", "logs", &id, "--stream", "stderr"]).ok(), "");
    let later = ["job", "logs", &id, "--since", "2999-01-01T00:00:00Z", "--follow"];
    assert_eq!(network.ciro(&later).ok(), "");
}

#[test]
fn a_cancelled_job_ends_and_a_retried_one_is_new() {
    let network = shared();
    let id = network.ciro(&["job", "submit", "sleep", "600000", "-o", "id"]).ok();
    let id = id.trim();
    network.ciro(&["job", "cancel", id, "--now"]).ok();
    let ended = network.ciro(&["job", "wait", id, "--timeout", "60s"]);
    assert!(ended.fails(6).contains("was cancelled"));
    let again = network.ciro_with(&format!("{id}\n"), &["job", "retry", "-", "-o", "id"]).ok();
    let again = again.trim();
    assert_ne!(again, id);
    let job = network.ciro(&["job", "get", again, "-o", "json"]).json();
    assert_eq!(job["retry_of"], id);
    network.ciro(&["job", "cancel", again, "--now"]).ok();
}

/// Lists of counts, two lines a task: those of one task are out of order, which its reader refuses.
/// Each policy is carried out by real workers, and what completed is there in the end.
#[test]
fn what_a_failed_task_means_is_said_by_the_policy_and_partial_results_are_called_so() {
    let network = shared();
    network.write("lists.tsv", "a\t1\nb\t2\nz\t1\nc\t1\na\t5\nd\t1\n");
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/../../jobs/wordcount.wasm");
    let run = |folder: &str, more: &[&str]| {
        let job = ["job", "run", module, "reduce", "--input", "lists.tsv", "--split", "lines:2"];
        let target = ["--output", folder];
        network.ciro(&[&job[..], &target, more].concat())
    };
    let read = |path: &str| std::fs::read_to_string(network.path(path)).unwrap();

    let kept = run("kept", &["--on-failure", "keep-going"]);
    assert!(kept.err.contains("the result is partial: 2 of 3 tasks completed"), "{kept:?}");
    kept.fails(6);
    assert_eq!(
        (read("kept/0/counts.tsv"), read("kept/2/counts.tsv")),
        ("a\t1\nb\t2\n".into(), "a\t5\nd\t1\n".into())
    );
    assert!(!network.path("kept/1").exists());

    let borne = run("borne", &["--on-failure", "max-failed:1", "--reduce", "reduce"]);
    assert!(borne.err.contains("the result is partial: 3 of 4 tasks completed"), "{borne:?}");
    borne.ok();
    assert_eq!(read("borne/counts.tsv"), "a\t6\nb\t2\nd\t1\n", "the reducer read what was there");

    let fast = run("fast", &["--on-failure", "fail-fast", "--reduce", "reduce"]);
    assert!(fast.fails(6).contains("task 1"), "the first failed task is named");
    assert!(!network.path("fast/counts.tsv").exists(), "no reducer ran");
}

#[test]
fn the_kinds_are_listed_and_a_module_runs_under_the_name_of_one() {
    let network = shared();
    let kinds = network.ciro(&["job", "kinds", "-o", "id"]).ok();
    for kind in ["wordcount", "render", "montecarlo", "primes", "infer", "prove", "Custom", "ZKProof"] {
        assert!(kinds.lines().any(|known| known == kind), "{kinds}");
    }
    assert!(network.ciro(&["job", "kinds"]).ok().contains("ciro job run primes"));

    let module = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs/trouble.wasm");
    let module = module.to_str().unwrap();
    let run = ["job", "run", module, "spam", "stdout", "7", "--kind", "NLP", "-o", "json"];
    let job = network.ciro(&run).json();
    assert_eq!((job["kind"].as_str(), job["state"].as_str()), (Some("NLP"), Some("completed")));

    let missing = network.ciro(&["job", "run", "NLP"]);
    assert_eq!(missing.code, 9, "{missing:?}");
    assert!(missing.err.contains("ciro job run ./program.wasm --kind NLP"), "{missing:?}");
    let twice = network.ciro(&["job", "run", "sleep", "--kind", "NLP"]);
    assert_eq!(twice.code, 2, "{twice:?}");
    assert!(twice.err.contains("`sleep` is a kind already"), "{twice:?}");
}

#[test]
fn why_a_job_waits_is_told_and_a_plan_uploads_nothing() {
    let network = shared();
    let waits = ["job", "submit", "sleep", "1", "--require", "zone=nowhere", "-o", "id"];
    let waits = network.ciro(&waits).ok();
    let told = network.ciro(&["job", "explain", waits.trim()]).ok();
    assert!(told.contains("no worker has what it needs"), "{told}");
    assert!(
        told.contains("0 of 2 workers would take it now: 2 lack the label zone (needs nowhere)"),
        "{told}"
    );
    let found = network.ciro(&["job", "explain", waits.trim(), "-o", "json"]).json();
    assert_eq!(found["workers"]["rejected"][0]["filter"], "label", "{found}");
    network.ciro(&["job", "cancel", waits.trim(), "--now"]).ok();
    let ended = network.ciro(&["job", "explain", waits.trim()]).ok();
    assert!(ended.contains("it has ended, cancelled"), "{ended}");

    network.write("planned.txt", "a line that nobody has uploaded\n");
    let plan = ["job", "plan", "wordcount", "--input", "planned.txt", "--split", "lines:1"];
    let told = network.ciro(&plan).ok();
    assert!(told.contains("planned.txt (32 B)") && told.contains("2 of 2 workers could run it"), "{told}");
    let again = network.ciro(&[&plan[..], &["-o", "json"]].concat()).json();
    let missing = again["missing_artifacts"].as_array().unwrap();
    assert_eq!(missing.len(), 1, "the first plan has uploaded it: {again}");
}

#[test]
fn labels_are_changed_and_matching_jobs_are_cancelled_and_run_again() {
    let network = shared();
    let submit = ["job", "submit", "sleep", "600000", "--label", "bulk=one", "-o", "id"];
    let ids: Vec<String> = (0..3).map(|_| network.ciro(&submit).ok().trim().to_owned()).collect();
    let labelled = network.ciro(&["job", "label", &ids[0], "bulk-", "kept=yes", "-o", "json"]).json();
    assert_eq!(labelled["labels"], serde_json::json!({ "kept": "yes" }));
    assert!(network.ciro(&["job", "get", &ids[0]]).ok().contains("kept=yes"));

    let which = ["job", "cancel", "--filter", "label.bulk=one"];
    let planned = network.ciro(&[&which[..], &["--dry-run"]].concat()).ok();
    assert_eq!(planned.trim(), "2 jobs would be cancelled");
    let refused = network.ciro(&which).fails(2);
    assert!(refused.contains("2 jobs would be cancelled") && refused.contains("--yes"), "{refused}");
    let batch = network.ciro(&[&which[..], &["--now", "--yes", "-o", "json"]].concat()).json();
    assert_eq!((&batch["state"], &batch["done"]), (&"completed".into(), &2.into()), "{batch}");
    assert!(network.ciro(&["job", "wait", &ids[1], "--timeout", "60s"]).fails(6).contains("was cancelled"));
    network.ciro(&["job", "cancel", &ids[0], "--now"]).ok();

    let id = batch["id"].as_str().unwrap();
    assert!(network.ciro(&["batch", "get", &id[id.len() - 8..]]).ok().contains("2 done"));
    assert!(network.ciro(&["batch", "list", "-o", "id"]).ok().contains(id));
    network.ciro(&["job", "retry", "--filter", "label.bulk=one", "--yes", "--quiet"]).ok();
    let again =
        network.ciro(&["job", "list", "--filter", "label.bulk=one -state:cancelled", "-o", "id"]).ok();
    assert_eq!(again.lines().count(), 2);
    network.ciro(&["job", "cancel", "--filter", "label.bulk=one", "--now", "--yes"]).ok();
    let stopped = network.ciro(&["batch", "stop", id, "-o", "json"]).json();
    assert_eq!(stopped["state"], "completed", "it had ended before");
}
