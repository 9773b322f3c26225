//! `ciro api`: the REST API as it is, signed in.

use crate::cli::Context;
use crate::error::Failure;
use crate::output;
use ciro_api::MAX_JSON_BYTES;
use reqwest::Method;
use std::io::{self, Read};

const EXAMPLES: &str = "\
Examples:
  ciro api GET /v1/jobs?limit=2
  ciro api POST /v1/jobs --data '{\"kind\":\"sleep\",\"args\":[\"1000\"]}'
  ciro api POST /v1/jobs --data @job.json
  ciro api GET /openapi.json > openapi.json";

/// The call.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ApiArgs {
    /// GET, POST, PUT, PATCH, DELETE, HEAD
    #[arg(value_parser = method)]
    pub method: Method,
    /// Path and query, beginning with /
    #[arg(value_parser = path)]
    pub path: String,
    /// JSON body: as it is, @FILE, or - for standard input
    #[arg(long, short, value_name = "JSON", allow_hyphen_values = true)]
    pub data: Option<String>,
}

fn method(text: &str) -> Result<Method, String> {
    const KNOWN: [Method; 6] =
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
    let upper = text.to_ascii_uppercase();
    KNOWN
        .into_iter()
        .find(|m| m.as_str() == upper)
        .ok_or_else(|| "expected GET, POST, PUT, PATCH, DELETE or HEAD".into())
}

fn path(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic());
    if text.starts_with('/') && plain {
        Ok(text.to_owned())
    } else {
        Err("a path begins with / and has no blanks: /v1/jobs".into())
    }
}

pub(crate) async fn run(args: &ApiArgs, context: &Context) -> Result<(), Failure> {
    let body = args.data.as_deref().map(body).transpose()?;
    let answer = context.client.raw(args.method.clone(), &args.path, body).await?;
    output::bytes(&answer)?;
    // People see a prompt on a line of its own; programs get the bytes as they are.
    if !answer.is_empty() && !answer.ends_with(b"\n") && io::IsTerminal::is_terminal(&io::stdout()) {
        output::bytes(b"\n")?;
    }
    Ok(())
}

fn body(data: &str) -> Result<Vec<u8>, Failure> {
    match data.strip_prefix('@') {
        Some(file) => std::fs::read(file).map_err(|error| Failure::io(format!("cannot read {file}"), &error)),
        None if data == "-" => {
            let mut body = Vec::new();
            let limit = MAX_JSON_BYTES as u64 + 1;
            let read = io::stdin().take(limit).read_to_end(&mut body);
            read.map_err(|error| Failure::io("cannot read standard input", &error))?;
            Ok(body)
        }
        None => Ok(data.as_bytes().to_vec()),
    }
}
