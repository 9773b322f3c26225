//! `ciro webhook verify`: what a receiver must check, checked by hand. The message comes as three
//! headers and a body, the secret from the command line, the environment or a file; no server is asked.

use crate::clock;
use crate::error::{Exit, Failure};
use crate::output::Output;
use ciro_api::webhook::signature::{
    ID_HEADER, NotASecret, SIGNATURE_HEADER, Signed, TIMESTAMP_HEADER, TOLERANCE_S, WebhookSecret,
    verify as check,
};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest body that is read, bytes.
const MAX_BODY_BYTES: u64 = 16 << 20;
/// The largest file of headers or of a secret that is read, bytes.
const MAX_TEXT_BYTES: u64 = 64 << 10;

pub(super) const HELP: &str = "\
Needs no server. The body must be the bytes as they came: one that was parsed and written again has another
signature. Headers come one by one, or as a file with a line for each. The exit code is 0 for a genuine message.

Examples:
  ciro webhook verify body.json --secret whsec_… --headers headers.txt
  ciro webhook verify - --secret-file secret.txt --id delivery_01j… --timestamp 1790000000 --signature v1,… < body
  ciro webhook verify body.json --secret whsec_… --headers headers.txt --any-time     one from last week";

/// What is checked.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The body, byte for byte; - is standard input
    body: PathBuf,
    /// The webhook's secret; several, where one was replaced
    #[arg(
        long = "secret",
        value_name = "whsec_…",
        env = "CIRO_WEBHOOK_SECRET",
        hide_env_values = true,
        required_unless_present = "secret_file"
    )]
    secrets: Vec<String>,
    /// A file with a secret on each line
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// A file with the headers, `name: value` on each line
    #[arg(long, value_name = "FILE")]
    headers: Option<PathBuf>,
    /// The header webhook-id
    #[arg(long, value_name = "ID", required_unless_present = "headers")]
    id: Option<String>,
    /// The header webhook-timestamp
    #[arg(long, value_name = "SECONDS", required_unless_present = "headers")]
    timestamp: Option<String>,
    /// The header webhook-signature
    #[arg(long, value_name = "v1,…", required_unless_present = "headers")]
    signature: Option<String>,
    /// Take a message of any time: without it, one that is more than 5 minutes old is a replay
    #[arg(long)]
    any_time: bool,
}

/// The verdict, for programs.
#[derive(Debug, Serialize)]
struct Verdict<'a> {
    valid: bool,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(crate) fn verify(args: &VerifyArgs, out: Output) -> Result<(), Failure> {
    let secrets = secrets(args)?;
    let listed =
        args.headers.as_deref().map(|file| read(file, MAX_TEXT_BYTES)).transpose()?.unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let header = |given: &Option<String>, name: &str| {
        let found = given.clone().or_else(|| listed_header(&listed, name));
        found.ok_or_else(|| {
            Failure::usage(format!("there is no header {name}")).hint("give it, or a file with --headers")
        })
    };
    let id = header(&args.id, ID_HEADER)?;
    let timestamp = header(&args.timestamp, TIMESTAMP_HEADER)?;
    let signatures = header(&args.signature, SIGNATURE_HEADER)?;
    let body = read(&args.body, MAX_BODY_BYTES)?;
    let signed = Signed { id: &id, timestamp: &timestamp, signatures: &signatures, body: &body };
    let tolerance_s = (!args.any_time).then_some(TOLERANCE_S);
    let reason =
        check(&secrets, signed, clock::now().0 / 1_000, tolerance_s).err().map(|why| why.to_string());
    let verdict = Verdict { valid: reason.is_none(), id: &id, reason };
    let word = if verdict.valid { "valid" } else { "not valid" };
    out.one(&verdict, word, || verdict.reason.clone().unwrap_or_else(|| format!("{id} is genuine")))?;
    if verdict.valid { Ok(()) } else { Err(Failure::silent(Exit::Failure)) }
}

fn secrets(args: &VerifyArgs) -> Result<Vec<WebhookSecret>, Failure> {
    let mut texts = args.secrets.clone();
    if let Some(file) = &args.secret_file {
        let text = String::from_utf8_lossy(&read(file, MAX_TEXT_BYTES)?).into_owned();
        texts.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    let secrets: Result<Vec<_>, _> = texts.iter().map(|text| text.parse()).collect();
    secrets.map_err(|error: NotASecret| Failure::usage(error.to_string()))
}

fn listed_header(headers: &str, name: &str) -> Option<String> {
    let lines = headers.lines().filter_map(|line| line.split_once(':'));
    let mut found = lines.filter(|(known, _)| known.trim().eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim().to_owned())
}

fn read(file: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let cannot = |error: &io::Error| Failure::io(format!("cannot read {}", file.display()), error);
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| cannot(&error))?)
    };
    source.take(most + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    if bytes.len() as u64 > most {
        return Err(Failure::usage(format!("{} is larger than {most} bytes", file.display())));
    }
    Ok(bytes)
}
