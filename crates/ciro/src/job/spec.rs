//! A job as it is typed: flags become the wire type, and the files that it names become hashes.

use crate::clock;
use crate::error::{Exit, Failure};
use crate::units::{self, When};
use ciro_api::MAX_JSON_BYTES;
use ciro_api::job::{
    Amount, ArraySplit, ChunkSplit, Collect, EscrowPayment, GpuRequest, GridSplit, Input, Limits, NewJob,
    OnFailure, PaymentMethod, ProfileName, ReduceStep, Resources, Retry, Split,
};
use ciro_core::amount::Fri;
use ciro_core::id::Hash;
use ciro_core::payout::PayoutAddress;
use clap::Args;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What marks an input that is stored already.
const STORED: &str = "blake3:";

/// A job as it is typed.
#[derive(Debug, Args)]
pub struct SpecArgs {
    /// What to run: a kind of the server's catalogue (see `ciro job kinds`), or the path of a WebAssembly module
    #[arg(value_name = "KIND_OR_MODULE.wasm", required_unless_present = "file")]
    pub what: Option<String>,
    /// With kind native: a program of the worker's system, such as /usr/bin/bc
    #[arg(long, value_name = "PATH", conflicts_with = "executable", help_heading = "Program")]
    pub program: Option<String>,
    /// With kind native: an ELF file of yours, which is uploaded; best linked statically
    #[arg(long, value_name = "FILE", help_heading = "Program")]
    pub executable: Option<PathBuf>,
    /// Arguments of the program; those that begin with - come behind --
    #[arg(value_name = "ARGS")]
    pub words: Vec<String>,
    /// The job as JSON, the REST schema; - for standard input. Flags add to it
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The kind under which your own module runs (Custom, NLP, …); wasm unless said
    #[arg(long, value_name = "KIND", help_heading = "Program")]
    pub kind: Option<String>,
    /// A file that is uploaded and found under /in; `blake3:HASH` in place of a file is one that is stored
    #[arg(long = "input", value_name = "[NAME=]FILE", help_heading = "Program")]
    pub inputs: Vec<String>,
    /// One more argument of the program
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true, help_heading = "Program")]
    pub args: Vec<String>,
    /// A variable of the program's environment
    #[arg(long, value_name = "NAME=VALUE", value_parser = units::pair, help_heading = "Program")]
    pub env: Vec<(String, String)>,
    /// The input that is also standard input
    #[arg(long, value_name = "NAME", help_heading = "Program")]
    pub stdin: Option<String>,
    /// Mixed into the seed of the program's randomness
    #[arg(long, value_name = "TEXT", help_heading = "Program")]
    pub seed: Option<String>,
    /// Determinism profile: wasm-1, wasm-1-arch
    #[arg(long, value_name = "PROFILE", value_parser = profile, help_heading = "Program")]
    pub profile: Option<ProfileName>,
    /// Cut into tasks: ranges of one input by lines or bytes, tasks that know their number, or their place in a grid
    #[arg(long, value_name = "lines:N|bytes:N|array:N|grid:XxY[xF]", help_heading = "Tasks")]
    pub split: Option<SplitArg>,
    /// The input that is cut; needed when there are several
    #[arg(long, value_name = "NAME", requires = "split", help_heading = "Tasks")]
    pub split_input: Option<String>,
    /// The tasks' results side by side, or end to end
    #[arg(long, value_enum, help_heading = "Tasks")]
    pub collect: Option<CollectArg>,
    /// Further tasks of the program, with these arguments (separated by blanks), read the tasks' results
    #[arg(
        long,
        value_name = "ARGS",
        conflicts_with = "collect",
        allow_hyphen_values = true,
        help_heading = "Tasks"
    )]
    pub reduce: Option<String>,
    /// What a failed task means: fail-fast, keep-going, max-failed:N
    #[arg(long, value_name = "POLICY", value_parser = on_failure, help_heading = "Tasks")]
    pub on_failure: Option<OnFailure>,
    /// Memory of a task
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = "Resources")]
    pub memory: Option<u64>,
    /// Cores of a task: 2, 0.5, 500m
    #[arg(long, value_name = "CORES", value_parser = units::cores, help_heading = "Resources")]
    pub cpu: Option<u64>,
    /// Scratch disk of a task
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = "Resources")]
    pub disk: Option<u64>,
    /// GPUs of a task
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Resources")]
    pub gpus: Option<u16>,
    /// A label that the worker must carry
    #[arg(long, value_name = "NAME=VALUE", value_parser = units::pair, help_heading = "Resources")]
    pub require: Vec<(String, String)>,
    /// Longest time of an attempt by the clock
    #[arg(long, value_name = "DURATION", value_parser = units::duration_ms, help_heading = "Limits")]
    pub wall: Option<u64>,
    /// Most CPU time of an attempt
    #[arg(long, value_name = "DURATION", value_parser = units::duration_ms, help_heading = "Limits")]
    pub cpu_time: Option<u64>,
    /// Most fuel of an attempt
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub fuel: Option<u64>,
    /// Most bytes that a task may write
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = "Limits")]
    pub output_limit: Option<u64>,
    /// Most processes and threads of a native program at one moment
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub processes: Option<u32>,
    /// Most files that a process of a native program has open
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub open_files: Option<u32>,
    /// Most attempts of a task that failed for reasons of the worker or of memory
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=10), help_heading = "Limits")]
    pub retry: Option<u8>,
    /// Try again also after these
    #[arg(long, value_enum, value_delimiter = ',', value_name = "CLASS", help_heading = "Limits")]
    pub retry_on: Vec<RetryOn>,
    /// 1 to 10, 10 the most urgent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=10), help_heading = "Job")]
    pub priority: Option<u8>,
    /// Your own words, for finding it again
    #[arg(long, value_name = "NAME=VALUE", value_parser = units::pair, help_heading = "Job")]
    pub label: Vec<(String, String)>,
    /// When it expires: an instant, or a duration from now
    #[arg(long, value_name = "WHEN", help_heading = "Job")]
    pub deadline: Option<When>,
    /// The most that it may cost, such as 1.5STRK; a bare number is FRI (1e-18 STRK)
    #[arg(long, value_name = "AMOUNT", value_parser = units::fri, help_heading = "Job")]
    pub max_cost: Option<Fri>,
    /// Pay for it: what it may cost at most is locked until it ends, then workers get what they earned
    #[arg(long, value_enum, value_name = "FROM", help_heading = "Job")]
    pub pay_from: Option<PayFrom>,
    /// With --pay-from escrow: who pays in, where that is not the account that signs here
    #[arg(long, value_name = "ADDRESS", requires = "pay_from", help_heading = "Job")]
    pub client: Option<PayoutAddress>,
}

/// Where the money of a job comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PayFrom {
    /// Your tenant's balance (`ciro pay balance`)
    Balance,
    /// A deposit in the escrow contract on Starknet: --client says whose, or the account that signs
    Escrow,
}

/// How a job is cut.
#[derive(Debug, Clone, Copy)]
pub enum SplitArg {
    /// At most that many lines a task.
    Lines(u64),
    /// At most that many bytes a task.
    Bytes(u64),
    /// That many tasks.
    Array(u32),
    /// One task for each place of columns, rows and frames.
    Grid(u32, u32, u32),
}

impl FromStr for SplitArg {
    type Err = String;
    fn from_str(text: &str) -> Result<SplitArg, String> {
        const EXPECTED: &str = "expected lines:10000, bytes:4MiB, array:100, grid:8x8 or grid:8x8x24";
        let (by, measure) = text.split_once(':').ok_or(EXPECTED)?;
        let number = || measure.parse().map_err(|_| EXPECTED.to_owned());
        match by {
            "lines" => number().map(SplitArg::Lines),
            "bytes" => units::size(measure).map(SplitArg::Bytes),
            "array" => measure.parse().map(SplitArg::Array).map_err(|_| EXPECTED.to_owned()),
            "grid" => grid(measure).ok_or_else(|| EXPECTED.to_owned()),
            _ => Err(EXPECTED.into()),
        }
    }
}

/// `XxY` or `XxYxF`.
fn grid(measure: &str) -> Option<SplitArg> {
    let sizes: Vec<u32> = measure.split('x').map(|size| size.parse().ok()).collect::<Option<_>>()?;
    match sizes.as_slice() {
        [x, y] => Some(SplitArg::Grid(*x, *y, 1)),
        [x, y, frames] => Some(SplitArg::Grid(*x, *y, *frames)),
        _ => None,
    }
}

/// What becomes of the tasks' results.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum CollectArg {
    /// Side by side.
    List,
    /// End to end.
    Concat,
}

/// Failures that are not tried again unless asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RetryOn {
    /// The program failed by itself.
    User,
    /// A time or fuel limit.
    Timeout,
}

fn profile(text: &str) -> Result<ProfileName, String> {
    match text {
        "wasm-1" => Ok(ProfileName::Wasm1),
        "wasm-1-arch" => Ok(ProfileName::Wasm1Arch),
        _ => Err("expected wasm-1 or wasm-1-arch".into()),
    }
}

fn on_failure(text: &str) -> Result<OnFailure, String> {
    match text.split_once(':') {
        None if text == "fail-fast" => Ok(OnFailure::FailFast),
        None if text == "keep-going" => Ok(OnFailure::KeepGoing),
        Some(("max-failed", n)) => {
            n.parse().map(OnFailure::MaxFailed).map_err(|_| "max-failed:N wants a number".into())
        }
        _ => Err("expected fail-fast, keep-going or max-failed:N".into()),
    }
}

impl SpecArgs {
    /// The job, with every file that it names handed to `take`, which says what its bytes are called.
    ///
    /// # Errors
    /// When a flag contradicts another, or `take` fails.
    pub(crate) async fn job(
        &self,
        take: impl AsyncFnMut(&Path) -> Result<Hash, Failure>,
    ) -> Result<NewJob, Failure> {
        self.job_of(self.client, take).await
    }

    /// The same, of this client where it is paid from a deposit.
    ///
    /// # Errors
    /// As for [`Self::job`].
    pub(crate) async fn job_of(
        &self,
        client: Option<PayoutAddress>,
        mut take: impl AsyncFnMut(&Path) -> Result<Hash, Failure>,
    ) -> Result<NewJob, Failure> {
        let mut job = self.draft(client)?;
        for text in &self.inputs {
            let input = input(text, &mut take).await?;
            if job.inputs.iter().any(|other| other.name == input.name) {
                return Err(Failure::usage(format!("two inputs are named `{}`", input.name))
                    .hint("name them yourself: `--input NAME=FILE`"));
            }
            job.inputs.push(input);
        }
        if let Some(path) = self.module() {
            job.module = Some(take(path).await?);
        }
        if let Some(path) = &self.executable {
            job.executable = Some(take(path).await?);
        }
        if let Some(split) = self.split {
            job.split = Some(self.split(split, &job.inputs)?);
        }
        Ok(job)
    }

    /// The path of the module, where what to run is not a kind.
    fn module(&self) -> Option<&Path> {
        let what = self.what.as_deref()?;
        (what.ends_with(".wasm") || what.contains('/')).then(|| Path::new(what))
    }

    /// Everything that needs no server.
    fn draft(&self, client: Option<PayoutAddress>) -> Result<NewJob, Failure> {
        let mut job = match &self.file {
            Some(file) => read(file)?,
            None => NewJob { kind: "wasm".into(), ..NewJob::default() },
        };
        match (&self.what, &self.kind) {
            (Some(what), Some(_)) if self.module().is_none() => {
                return Err(Failure::usage(format!("`{what}` is a kind already")).hint(
                    "--kind goes with a module of yours: `ciro job run ./program.wasm --kind Custom`",
                ));
            }
            (Some(kind), None) if self.module().is_none() => job.kind.clone_from(kind),
            (_, Some(kind)) => job.kind.clone_from(kind),
            _ => {}
        }
        job.args.extend(self.words.iter().chain(&self.args).cloned());
        job.env.extend(self.env.iter().cloned());
        job.constraints.extend(self.require.iter().cloned());
        job.labels.extend(self.label.iter().cloned());
        job.stdin = self.stdin.clone().or(job.stdin);
        job.seed = self.seed.clone().or(job.seed);
        job.profile = self.profile.or(job.profile);
        job.program = self.program.clone().or(job.program);
        job.priority = self.priority.or(job.priority);
        job.on_failure = self.on_failure.or(job.on_failure);
        job.deadline = self.deadline.map(|when| when.resolve(clock::now())).or(job.deadline);
        job.max_cost = self.max_cost.map(|fri| Amount { fri: fri.to_string(), strk: None }).or(job.max_cost);
        job.payment = self.payment(client)?.or(job.payment);
        job.collect = self.collect().or(job.collect);
        job.resources = self.resources(job.resources);
        job.limits = self.limits(job.limits);
        job.retry = self.retries(job.retry);
        Ok(job)
    }

    fn payment(&self, client: Option<PayoutAddress>) -> Result<Option<PaymentMethod>, Failure> {
        Ok(match (self.pay_from, client) {
            (None, _) => None,
            (Some(PayFrom::Balance), _) => Some(PaymentMethod::Balance),
            (Some(PayFrom::Escrow), Some(client)) => Some(PaymentMethod::Escrow(EscrowPayment { client })),
            (Some(PayFrom::Escrow), None) => {
                return Err(Failure::usage("--pay-from escrow needs somebody who pays in").hint(
                    "name the account that pays in with --client, or sign here with --account and --keystore",
                ));
            }
        })
    }

    fn collect(&self) -> Option<Collect> {
        if let Some(args) = &self.reduce {
            return Some(Collect::Reduce(ReduceStep {
                args: args.split_whitespace().map(str::to_owned).collect(),
            }));
        }
        self.collect.map(|collect| match collect {
            CollectArg::List => Collect::List,
            CollectArg::Concat => Collect::Concat,
        })
    }

    fn resources(&self, given: Option<Resources>) -> Option<Resources> {
        let mut wanted = given.clone().unwrap_or_default();
        wanted.memory_bytes = self.memory.or(wanted.memory_bytes);
        wanted.cpu_millis = self.cpu.or(wanted.cpu_millis);
        wanted.disk_bytes = self.disk.or(wanted.disk_bytes);
        if let Some(count) = self.gpus {
            wanted.gpus = vec![GpuRequest { vendor: None, model: None, vram_mib: 0, count }];
        }
        (given.is_some() || wanted != Resources::default()).then_some(wanted)
    }

    fn limits(&self, given: Option<Limits>) -> Option<Limits> {
        let mut wanted = given.clone().unwrap_or_default();
        wanted.wall_ms = self.wall.or(wanted.wall_ms);
        wanted.cpu_ms = self.cpu_time.or(wanted.cpu_ms);
        wanted.fuel = self.fuel.or(wanted.fuel);
        wanted.output_bytes = self.output_limit.or(wanted.output_bytes);
        wanted.processes = self.processes.or(wanted.processes);
        wanted.open_files = self.open_files.or(wanted.open_files);
        (given.is_some() || wanted != Limits::default()).then_some(wanted)
    }

    fn retries(&self, given: Option<Retry>) -> Option<Retry> {
        let mut wanted = given.clone().unwrap_or_default();
        wanted.max_attempts = self.retry.or(wanted.max_attempts);
        wanted.on_user |= self.retry_on.contains(&RetryOn::User);
        wanted.on_timeout |= self.retry_on.contains(&RetryOn::Timeout);
        (given.is_some() || wanted != Retry::default()).then_some(wanted)
    }

    fn split(&self, split: SplitArg, inputs: &[Input]) -> Result<Split, Failure> {
        let (bytes, lines) = match split {
            SplitArg::Array(count) => return Ok(Split::Array(ArraySplit { count })),
            SplitArg::Grid(x, y, frames) => return Ok(Split::Grid(GridSplit { x, y, frames })),
            SplitArg::Lines(n) => (None, Some(n)),
            SplitArg::Bytes(n) => (Some(n), None),
        };
        let input = match (&self.split_input, inputs) {
            (Some(name), _) => name.clone(),
            (None, [only]) => only.name.clone(),
            (None, []) => {
                return Err(Failure::usage("there is nothing to split").hint("name it: `--input FILE`"));
            }
            (None, _) => {
                let names: Vec<_> = inputs.iter().map(|input| input.name.as_str()).collect();
                return Err(Failure::usage(format!("which input is to be split: {}?", names.join(", ")))
                    .hint("say so: `--split-input NAME`"));
            }
        };
        Ok(Split::Chunks(ChunkSplit { input, bytes, lines }))
    }
}

fn read(file: &Path) -> Result<NewJob, Failure> {
    let shown = if file == Path::new("-") { "standard input".into() } else { file.display().to_string() };
    let mut text = Vec::new();
    let limit = MAX_JSON_BYTES as u64 + 1;
    let read = if file == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut text)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(limit).read_to_end(&mut text))
    };
    read.map_err(|error| Failure {
        exit: Exit::Usage,
        ..Failure::io(format!("cannot read {shown}"), &error)
    })?;
    if text.len() > MAX_JSON_BYTES {
        return Err(Failure::new(Exit::Invalid, format!("{shown} is larger than a job may be, 1 MiB"))
            .hint("put large data into an input: `ciro artifact put`"));
    }
    serde_json::from_slice(&text).map_err(|error| {
        Failure::new(Exit::Invalid, format!("{shown} is not a job: {error}"))
            .hint("`ciro api GET /openapi.json` has the schema, `NewJob`")
    })
}

/// `[NAME=]FILE` or `[NAME=]blake3:HASH`; a file whose name has a `=` is meant as it is.
async fn input(
    text: &str,
    take: &mut impl AsyncFnMut(&Path) -> Result<Hash, Failure>,
) -> Result<Input, Failure> {
    let (name, source) = match text.split_once('=') {
        Some((name, source)) if !Path::new(text).exists() => (Some(name.to_owned()), source),
        _ => (None, text),
    };
    if let Some(hash) = source.strip_prefix(STORED) {
        let artifact: Hash = hash.parse().map_err(|error| Failure::usage(format!("`{source}`: {error}")))?;
        return Ok(Input { name: name.unwrap_or_else(|| "input".into()), artifact });
    }
    let path = Path::new(source);
    let named = name.or_else(|| path.file_name().and_then(|n| n.to_str()).map(str::to_owned));
    let name = named.ok_or_else(|| {
        Failure::usage(format!("`{source}` has no name that can be an input's"))
            .hint("name it: `--input NAME=FILE`")
    })?;
    Ok(Input { name, artifact: take(path).await? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::job::JobCommand;
    use clap::Parser;

    fn spec(line: &str) -> SpecArgs {
        let words = ["ciro", "job", "submit"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Job(JobCommand::Submit(job)) => job.spec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_become_the_wire_type_and_nothing_is_said_that_was_not_asked() {
        let plain = spec("sleep 100").draft(None).unwrap();
        let text = serde_json::to_value(&plain).unwrap();
        assert_eq!(text, serde_json::json!({ "kind": "sleep", "args": ["100"] }));

        let line = "./m.wasm a --arg -b --env K=V --memory 64MiB --wall 2m --retry-on user,timeout --reduce merge --label x=y";
        let job = spec(line).draft(None).unwrap();
        assert_eq!((job.kind.as_str(), job.args), ("wasm", vec!["a".to_owned(), "-b".to_owned()]));
        assert_eq!(job.resources.unwrap().memory_bytes, Some(64 << 20));
        assert_eq!(job.limits.unwrap().wall_ms, Some(120_000));
        assert_eq!(job.retry, Some(Retry { max_attempts: None, on_user: true, on_timeout: true }));
        assert_eq!(job.collect, Some(Collect::Reduce(ReduceStep { args: vec!["merge".into()] })));
        assert_eq!((job.env["K"].as_str(), job.labels["x"].as_str()), ("V", "y"));
    }

    #[test]
    fn a_split_names_the_only_input_or_asks() {
        let input = |name: &str| Input { name: name.into(), artifact: Hash::of(b"") };
        let args = spec("wordcount --split lines:10");
        let lines = SplitArg::Lines(10);
        let split = args.split(lines, &[input("a")]).unwrap();
        assert_eq!(split, Split::Chunks(ChunkSplit { input: "a".into(), bytes: None, lines: Some(10) }));
        assert_eq!(args.split(lines, &[]).unwrap_err().exit, Exit::Usage);
        assert_eq!(args.split(lines, &[input("a"), input("b")]).unwrap_err().exit, Exit::Usage);
        for (text, sizes) in [("grid:8x6", (8, 6, 1)), ("grid:8x6x24", (8, 6, 24))] {
            let split = args.split(text.parse().unwrap(), &[]).unwrap();
            let (x, y, frames) = sizes;
            assert_eq!(split, Split::Grid(GridSplit { x, y, frames }), "{text}");
        }
        for bad in
            ["lines", "lines:x", "rows:3", "array:-1", "grid:8", "grid:8x", "grid:1x1x1x1", "grid:8x-1"]
        {
            assert!(bad.parse::<SplitArg>().is_err(), "{bad}");
        }
    }
}
