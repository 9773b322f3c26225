//! The corpus: programs that each try one source of difference. Their results, logs and fuel are
//! checked in; they must not depend on load, directory, environment, order of files on disk, or
//! on whether the module was compiled just now.

use crate::executor_bench::{Bench, Ran, module};
use ciro_core::id::Hash;
use ciro_core::spec::Profile;
use ciro_worker::executor::AttemptRequest;
use ciro_worker::golden;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

const GOLDEN_TEST: &str = "executor_corpus::every_program_gives_its_golden_result";
/// The two whose results are allowed to differ between the profiles: they print NaN bits.
const OF_ONE_ARCHITECTURE: [&str; 2] = ["nan_bits", "vectors"];

fn corpus() -> PathBuf {
    module("corpus/x").parent().unwrap().to_owned()
}

fn programs() -> Vec<String> {
    let files = std::fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path());
    let modules = files.filter(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    let mut names: Vec<String> =
        modules.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// The request that the self-test makes of the program in the tree.
fn request(bench: &Bench, name: &str) -> AttemptRequest {
    let module = std::fs::read(corpus().join(format!("{name}.wasm"))).unwrap();
    golden::request(bench.dir.path(), name, &module).unwrap()
}

fn golden_results() -> Value {
    serde_json::from_slice(&std::fs::read(corpus().join("golden.json")).unwrap()).unwrap()
}

fn facts(ran: &Ran) -> Value {
    golden::facts(&ran.outcome, &ran.stdout, &ran.stderr)
}

#[test]
fn the_self_test_has_every_program_of_the_tree() {
    let carried: Vec<&str> = golden::PROGRAMS.iter().map(|(name, _)| *name).collect();
    assert_eq!(carried, programs(), "the list in golden.rs and jobs/corpus");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_gives_its_golden_result() {
    let bench = Bench::new();
    let names = programs();
    assert!(names.len() >= 12, "{names:?}");
    let mut found = Map::new();
    for name in &names {
        let compiled = facts(&bench.run(&request(&bench, name)).await);
        let loaded = facts(&bench.run(&request(&bench, name)).await);
        assert_eq!(compiled, loaded, "{name}: compiled now, and loaded from the cache");
        found.insert(name.clone(), compiled);
    }
    let golden = golden_results();
    let found = json!({ Profile::Wasm1.name(): found });
    if found != golden {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden.json");
        std::fs::write(&path, format!("{found:#}\n")).unwrap();
        panic!(
            "a result or a fuel figure of the profile changed; that is a new profile.\nfound: {}\n{found:#}",
            path.display()
        );
    }
}

/// Runs the test above again: another process, directory and environment, with every processor busy.
#[test]
fn load_directory_and_environment_make_no_difference() {
    let elsewhere = tempfile::tempdir().unwrap();
    let busy = AtomicBool::new(true);
    let output = std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", GOLDEN_TEST])
            .env_clear()
            .envs([("TMPDIR", elsewhere.path())])
            .envs([
                ("TZ", "Pacific/Auckland"),
                ("LC_ALL", "tr_TR.UTF-8"),
                ("NAME", "not this"),
                ("HOME", "/"),
            ])
            .current_dir(elsewhere.path())
            .output();
        busy.store(false, Ordering::Relaxed);
        output.unwrap()
    });
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_profiles_differ_in_the_bits_of_nans_only() {
    let bench = Bench::new();
    let golden = golden_results();
    for name in programs() {
        let strict = &golden[Profile::Wasm1.name()][&name];
        let mut other = request(&bench, &name);
        Bench::module_of(&mut other).profile = Profile::Wasm1Arch;
        let other = facts(&bench.run(&other).await);
        if OF_ONE_ARCHITECTURE.contains(&name.as_str()) {
            assert_eq!(strict["end"], other["end"], "{name}");
        } else {
            assert_eq!(*strict, other, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn randomness_follows_spec_task_and_seed() {
    let bench = Bench::new();
    let base = request(&bench, "random");
    let mut others = vec![base.clone(), base.clone(), base.clone(), base.clone()];
    others[1].seed.spec_hash = Hash([8; 32]);
    others[2].seed.task_index += 1;
    others[3].seed.user_seed.push('x');
    let mut hashes = std::collections::BTreeSet::new();
    for mut other in others {
        other.out_dir = tempfile::tempdir_in(&bench.dir).unwrap().keep();
        hashes.insert(bench.run(&other).await.outcome.outputs[0].hash);
    }
    assert_eq!(hashes.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_is_reached() {
    let bench = Bench::new();
    let ran = bench.run(&request(&bench, "escape")).await;
    assert!(ran.outcome.succeeded(), "{:?}", ran.outcome);
    let text = std::fs::read_to_string(&ran.outcome.outputs[0].file).unwrap();
    let reached = text.lines().filter(|line| line.contains("REACHED") || line.ends_with(": 0"));
    assert_eq!(reached.collect::<Vec<_>>(), Vec::<&str>::new());
    for refused in ["/etc/passwd", "/in/../etc/passwd", "write to /in", "connect", "symlink 52", "link 52"] {
        assert!(text.contains(refused), "{text}");
    }
}
