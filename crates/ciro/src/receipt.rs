//! `ciro receipt`: what workers signed of a job's attempts, kept as a file, and checked without any
//! server. The format and the check are `ciro_api::receipt`'s; docs/receipts.md describes both.

use crate::cli::Context;
use crate::error::{Exit, Failure};
use crate::ids;
use crate::list::PageArgs;
use crate::output::Output;
use crate::table;
use ciro_api::page::PageQuery;
use ciro_api::receipt::{BlockReader, Checked, Receipt};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// Faults that are told one by one; the rest is counted.
const MAX_FAULTS: usize = 100;
/// Different keys that are told.
const MAX_KEYS: usize = 100;

const GET: &str = "\
Without --output the receipts go to standard output as they would stand in the file. `-o json` writes the
REST schema instead, which `verify` does not read.

Examples:
  ciro receipt get last --output wordcount.receipts      of every result that counts
  ciro receipt get last/3                                of its task 3 alone
  ciro receipt get 4c5d7e --every                        failed and declined attempts too";

const VERIFY: &str = "\
Needs no server. Without --worker-key it shows that the file is complete and signed by the key that it names;
whose key that is, `ciro worker get ID` says. The exit code is 0 for good receipts only.

Examples:
  ciro receipt verify wordcount.receipts
  ciro receipt verify wordcount.receipts --worker-key 5f3a… -o json
  ciro receipt get last | ciro receipt verify -";

/// What workers signed: fetch it, check it.
#[derive(Debug, clap::Subcommand)]
pub enum ReceiptCommand {
    /// Fetch the receipts of a job, or of one of its tasks
    #[command(after_help = GET)]
    Get {
        /// The job, or a task as JOB/TASK: ids, ends of ids, or `last`
        #[arg(value_name = "JOB[/TASK]")]
        job: String,
        /// Write to this file; without it, or with -, to standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Those of attempts that failed or were declined, too
        #[arg(long)]
        every: bool,
    },
    /// Check a file of receipts: each field, hash and signature
    #[command(after_help = VERIFY)]
    Verify(VerifyArgs),
}

/// What is checked.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The file; - is standard input
    file: PathBuf,
    /// The public key that must have signed, 64 hex digits
    #[arg(long, value_name = "HEX", value_parser = worker_key)]
    worker_key: Option<[u8; 32]>,
}

fn worker_key(text: &str) -> Result<[u8; 32], String> {
    let digits = text.to_ascii_lowercase();
    let key: ciro_core::id::Hash =
        digits.parse().map_err(|_| "a key is 64 hex digits, as `ciro worker get ID` shows it".to_owned())?;
    Ok(key.0)
}

pub(crate) async fn run(command: ReceiptCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ReceiptCommand::Get { job, output, every } => get(&job, output.as_deref(), every, context).await,
        // It needs no server and was run before.
        ReceiptCommand::Verify(_) => Ok(()),
    }
}

async fn get(text: &str, target: Option<&Path>, every: bool, context: &Context) -> Result<(), Failure> {
    let (job, task) = match text.split_once('/') {
        Some((job, task)) => {
            let number = task.parse::<u32>();
            (job, Some(number.map_err(|_| Failure::usage(format!("`{task}` is not the number of a task")))?))
        }
        None => (text, None),
    };
    let id = ids::job(&context.client, job).await?;
    let mut filter: Vec<String> = task.map(|task| format!("task:{task}")).into_iter().collect();
    filter.extend((!every).then(|| "state:accepted".to_owned()));
    let all = PageArgs { limit: 1, all: true };
    let fetch = async |page: &PageQuery| context.client.job_receipts(id, page).await;
    let receipts = all.fetch_only(Some(filter.join(" ")), context, fetch).await?;
    if receipts.is_empty() {
        let none = Failure::new(Exit::NotFound, format!("there is no receipt of {text}"));
        return Err(
            none.hint("a result has one from its acceptance on; `--every` shows those of failed attempts")
        );
    }
    match target.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            write(path, &receipts)?;
            context.out.remark(&format!("{} holds {} receipts", path.display(), receipts.len()));
            Ok(())
        }
        None => {
            let show = |receipts: &[Receipt]| receipts.iter().filter_map(|r| r.to_text().ok()).collect();
            context.out.many(&receipts, |receipt| receipt.hash.to_string(), show)
        }
    }
}

/// Writes beside the target first: a file with its name is whole.
fn write(path: &Path, receipts: &[Receipt]) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        for receipt in receipts {
            file.write_all(receipt.to_text().map_err(io::Error::other)?.as_bytes())?;
        }
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))
}

/// What a check of a file came to.
#[derive(Debug, Default, Serialize)]
struct Verdict {
    valid: bool,
    receipts: u64,
    faulty: u64,
    faults: Vec<Line>,
    worker_keys: BTreeSet<String>,
}

/// A fault, and the receipt of the file that has it, from 1.
#[derive(Debug, Serialize)]
struct Line {
    receipt: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<String>,
    field: String,
    what: String,
}

/// Checks a file of receipts.
///
/// # Errors
/// When it cannot be read, holds none, or one of them is not its worker's word.
pub(crate) fn verify(args: &VerifyArgs, out: Output) -> Result<(), Failure> {
    let cannot_read = |error: io::Error| Failure::io(format!("cannot read {}", args.file.display()), &error);
    let source: Box<dyn Read> = if args.file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(&args.file).map_err(cannot_read)?)
    };
    let mut blocks = BlockReader::new(BufReader::new(source));
    let (mut verdict, mut only) = (Verdict::default(), None);
    while let Some(lines) = blocks.next_block().map_err(cannot_read)? {
        let checked = Checked::of(&lines, args.worker_key.as_ref());
        verdict.take(&checked);
        only = checked.receipt.filter(|_| verdict.receipts == 1);
    }
    verdict.valid = verdict.receipts > 0 && verdict.faulty == 0;
    out.one(&verdict, if verdict.valid { "valid" } else { "invalid" }, || shown(&verdict, only.as_ref()))?;
    if verdict.valid { Ok(()) } else { Err(Failure::silent(Exit::Failure)) }
}

impl Verdict {
    fn take(&mut self, checked: &Checked) {
        self.receipts += 1;
        self.faulty += u64::from(!checked.faults.is_empty());
        let attempt = checked.receipt.as_ref().map(|receipt| receipt.attempt().to_string());
        for fault in checked.faults.iter().take(MAX_FAULTS.saturating_sub(self.faults.len())) {
            let (field, what) = (fault.field.clone(), fault.what.clone());
            self.faults.push(Line { receipt: self.receipts, attempt: attempt.clone(), field, what });
        }
        if let Some(receipt) = &checked.receipt
            && self.worker_keys.len() < MAX_KEYS
        {
            self.worker_keys.insert(receipt.worker_key.clone());
        }
    }
}

fn shown(verdict: &Verdict, only: Option<&Receipt>) -> String {
    if verdict.receipts == 0 {
        return "it holds no receipt".to_owned();
    }
    if !verdict.valid {
        let many = verdict.receipts > 1;
        let name = |line: &Line| if many { format!("receipt {}: ", line.receipt) } else { String::new() };
        let lines = verdict.faults.iter().map(|line| format!("{}{}: {}", name(line), line.field, line.what));
        let lines: Vec<String> = lines.collect();
        return format!("{}\nnot valid: {} of {}", lines.join("\n"), verdict.faulty, verdict.receipts);
    }
    let keys: Vec<&str> = verdict.worker_keys.iter().map(String::as_str).collect();
    let summary = [("valid", verdict.receipts.to_string()), ("signed by", keys.join(" "))];
    let Some(r) = only else { return table::record(summary) };
    let text = |hash: Option<ciro_core::id::Hash>| hash.map(|hash| hash.to_string()).unwrap_or_default();
    let usage = &r.usage;
    table::record(
        [
            ("attempt", r.attempt().to_string()),
            ("outcome", r.outcome.clone()),
            ("input", text(r.input)),
            ("output", text(r.output)),
            ("profile", r.profile.name().to_owned()),
            ("layers", r.layers.join(", ")),
            ("wall time", format!("{} ms", usage.wall_ms)),
            ("CPU time", format!("{} ms", usage.cpu_ms)),
            ("peak memory", table::size(usage.peak_memory_bytes)),
            ("price", if r.price.is_zero() { String::new() } else { format!("{} FRI an hour", r.price) }),
        ]
        .into_iter()
        .chain(summary),
    )
}
