//! What the tests of the job programs stand on: a whole job, tasks and a tree of reducers, run
//! either as the checked-in module in the executor or as a program of this machine that the same
//! source was compiled to by the machine's own compiler.

use crate::executor_bench::{Bench, module, whole};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Files by their path under `/in` or `/out`.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;
pub(crate) type Env = BTreeMap<String, String>;

/// Where a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    Wasm,
    Native,
}

/// How a job is cut, and how many files a reducer reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) tasks: u32,
    pub(crate) fan_in: usize,
}

/// A job that differs from task to task in its number, and in the files that `inputs` gives it.
pub(crate) struct Job<'a> {
    pub(crate) program: &'a str,
    pub(crate) map: &'a [&'a str],
    pub(crate) reduce: &'a str,
}

pub(crate) struct Programs {
    bench: Bench,
}

pub(crate) fn files<const N: usize>(files: [(&str, &[u8]); N]) -> Files {
    files.map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).into()
}

pub(crate) fn env<const N: usize>(variables: [(&str, u32); N]) -> Env {
    variables.map(|(name, value)| (name.to_owned(), value.to_string())).into()
}

impl Programs {
    pub(crate) fn new() -> Programs {
        Programs { bench: Bench::new() }
    }

    /// The result of the job without a split.
    pub(crate) async fn alone(&self, on: Machine, program: &str, args: &[&str], inputs: &Files) -> Files {
        self.run(on, program, args, &Env::new(), inputs).await
    }

    /// The result of the job, cut, every task reading `inputs(task)`.
    pub(crate) async fn cut(
        &self,
        on: Machine,
        job: &Job<'_>,
        cut: Cut,
        inputs: impl Fn(u32) -> Files,
    ) -> Files {
        let place = |task| env([("CIRO_TASK_INDEX", task), ("CIRO_TASK_COUNT", cut.tasks)]);
        self.placed(on, job, cut, place, inputs).await
    }

    /// The same with an environment that is not only the task's number.
    pub(crate) async fn placed(
        &self,
        on: Machine,
        job: &Job<'_>,
        cut: Cut,
        place: impl Fn(u32) -> Env,
        inputs: impl Fn(u32) -> Files,
    ) -> Files {
        let mut left = Vec::new();
        for task in 0..cut.tasks {
            left.push(self.run(on, job.program, job.map, &place(task), &inputs(task)).await);
        }
        for level in 1.. {
            let groups: Vec<Files> = left.chunks(cut.fan_in).map(side_by_side).collect();
            let is_last = groups.len() == 1;
            let mut env = place(cut.tasks - 1);
            env.insert("CIRO_REDUCE_LEVEL".into(), level.to_string());
            env.insert("CIRO_REDUCE_ROOT".into(), u32::from(is_last).to_string());
            left = Vec::new();
            for group in &groups {
                left.push(self.run(on, job.program, &[job.reduce], &env, group).await);
            }
            if is_last {
                break;
            }
        }
        left.remove(0)
    }

    async fn run(&self, on: Machine, program: &str, args: &[&str], env: &Env, inputs: &Files) -> Files {
        let ran = self.tried(on, program, args, env, inputs).await;
        ran.unwrap_or_else(|said| panic!("{program} {args:?} on {on:?}: {said}"))
    }

    /// What it left, or what it said when it failed.
    pub(crate) async fn tried(
        &self,
        on: Machine,
        program: &str,
        args: &[&str],
        env: &Env,
        inputs: &Files,
    ) -> Result<Files, String> {
        match on {
            Machine::Wasm => self.as_module(program, args, env, inputs).await,
            Machine::Native => as_native(program, args, env, inputs),
        }
    }

    async fn as_module(
        &self,
        program: &str,
        args: &[&str],
        env: &Env,
        inputs: &Files,
    ) -> Result<Files, String> {
        let mut request = self.bench.request(program, args);
        request.env.extend(env.clone());
        for (number, (path, bytes)) in inputs.iter().enumerate() {
            request.inputs.push(whole(path, &self.bench.file(&format!("in-{number}"), bytes)));
        }
        let ran = self.bench.run(&request).await;
        if !ran.outcome.succeeded() {
            return Err(format!("{} {}", ran.outcome.end, String::from_utf8_lossy(&ran.stderr)));
        }
        let outputs = ran.outcome.outputs.iter();
        Ok(outputs.map(|output| (output.path.clone(), fs::read(&output.file).unwrap())).collect())
    }
}

/// What a reducer finds: what each of those before it left, in a folder each.
fn side_by_side(left: &[Files]) -> Files {
    let all = left.iter().enumerate();
    all.flat_map(|(number, files)| {
        files.iter().map(move |(path, bytes)| (format!("{number:06}/{path}"), bytes.clone()))
    })
    .collect()
}

fn as_native(program: &str, args: &[&str], env: &Env, inputs: &Files) -> Result<Files, String> {
    let root = tempfile::tempdir().unwrap();
    for dir in ["in", "out", "tmp"] {
        fs::create_dir(root.path().join(dir)).unwrap();
    }
    for (path, bytes) in inputs {
        let path = root.path().join("in").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let mut command = Command::new(native(program));
    let output = command.args(args).env_clear().env("JOBS_ROOT", root.path()).envs(env).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut left = Files::new();
    gather(&root.path().join("out"), "", &mut left);
    Ok(left)
}

fn gather(dir: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            gather(&entry.path(), &format!("{path}/"), files);
        } else {
            files.insert(path, fs::read(entry.path()).unwrap());
        }
    }
}

/// The program of this machine, compiled once from the source of the module.
fn native(program: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap();
    if let Some(path) = built.get(program) {
        return path.clone();
    }
    let source = module(program).with_extension("rs");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("native-{program}"));
    let mut command = Command::new("rustc");
    command.args(["--edition", "2021", "-C", "opt-level=3", "--cap-lints", "allow", "-o"]);
    let output = command.arg(&path).arg(&source).output().expect("rustc starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    built.insert(program.to_owned(), path.clone());
    path
}
