//! The simulator through the door that its users use: the program.

use serde_json::Value;
use std::process::{Command, Output};

fn sim(line: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ciro-sim")).args(line).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_same_seeds_give_the_same_report_in_every_process_and_on_any_number_of_threads() {
    let run = |seed: &str, threads: &str| {
        let out = sim(&["--seed", seed, "--seeds", "12", "--threads", threads, "-o", "json"]);
        assert!(out.status.success(), "{}", text(&out.stdout));
        text(&out.stdout)
    };
    let first = run("40", "1");
    assert_eq!(first, run("40", "1"));
    assert_eq!(first, run("40", "3"));
    let digest = |report: &str| serde_json::from_str::<Value>(report).unwrap()["digest"].clone();
    assert_ne!(digest(&first), digest(&run("41", "1")));
}

#[test]
fn a_few_seeds_hold_every_promise_and_have_what_a_history_needs() {
    let out = sim(&["--seed", "500", "--seeds", "25", "-o", "json"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(report["failing_seeds"], serde_json::json!([]));
    assert_eq!((report["seeds"].as_u64(), report["first_seed"].as_u64()), (Some(25), Some(500)));
    let least =
        [("workers", 3), ("jobs", 10), ("split", 1), ("cancelled", 1), ("commands", 100), ("fault_kinds", 3)];
    for (what, needed) in least {
        assert!(report["fewest"][what].as_u64() >= Some(needed), "{what}: {report}");
    }
    assert!(report["moves"]["reached"].as_u64() >= Some(24), "{report}");
}

#[test]
fn one_history_is_told_line_by_line_and_a_part_of_the_faults_is_enough() {
    let out = sim(&["--seed", "7", "--seeds", "1", "--faults", "restart, loss", "--trace"]);
    let told = text(&out.stdout);
    assert!(told.contains("turn: the log ends at") && told.contains("the faults stop"), "{told}");
    assert!(told.contains("failures   none"), "{told}");
    assert!(!told.contains("crash-before-commit, "), "{told}");
}

#[test]
fn a_wrong_call_says_what_there_is() {
    let out = sim(&["--faults", "rain"]);
    assert_eq!(out.status.code(), Some(2));
    let said = text(&out.stderr);
    assert!(said.contains("no fault is called `rain`") && said.contains("crash-after-commit"), "{said}");
    let kinds: Value = serde_json::from_slice(&sim(&["--faults", "list", "-o", "json"]).stdout).unwrap();
    assert!(kinds.as_array().is_some_and(|all| all.len() == 21), "{kinds}");
    assert!(text(&sim(&["--help"]).stdout).contains("ciro-sim --seed 7 --seeds 1 --trace"));
}
