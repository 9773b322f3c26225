//! `ciro audit`: who changed what, kept as a file, and checked with or without a server.

use crate::again::again;
use crate::cli::Context;
use crate::clock;
use crate::error::{Exit, Failure};
use crate::list::ListArgs;
use crate::output::{self, Output};
use crate::table;
use ciro_api::audit::{AuditRecord, ChainCheck, ChainVerdict};
use ciro_api::page::PageQuery;
use ciro_core::id::Hash;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// The server's largest page.
const PAGE: u32 = 200;
/// The longest line of a file that is read, bytes.
const MAX_LINE: u64 = 64 << 10;

const LIST: &str = "\
Examples:
  ciro audit list
  ciro audit list --filter 'action:worker at>2026-11-01T00:00:00Z'
  ciro audit list --filter actor:key_01j… -o ndjson";

const VERIFY: &str = "\
Each row names the hash of the row before it: a row that was changed, left out or put in breaks the chain.
With a file no server is asked. A hash that was kept elsewhere (`ciro audit verify` shows it) also finds a log
that was rewritten as a whole.

Examples:
  ciro audit verify                                       the server's log, row by row
  ciro audit verify audit.ndjson                          an export, without a server
  ciro audit verify audit.ndjson --head 5f3a…             and that it ends with the row of this hash";

const EXPORT: &str = "\
One JSON object a line, the newest first, as `ciro audit verify` reads them.

Examples:
  ciro audit export --output audit.ndjson
  ciro audit export | gzip > audit.ndjson.gz";

/// The audit log.
#[derive(Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// List who changed what, the newest first
    #[command(after_help = LIST)]
    List(ListArgs),
    /// Check that no row was changed, left out or put in
    #[command(after_help = VERIFY)]
    Verify(VerifyArgs),
    /// Write the whole log to a file
    #[command(after_help = EXPORT)]
    Export {
        /// Write to this file; without it, or with -, to standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// What is checked.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// A file of `ciro audit export`; - is standard input. Without it the server's log is checked
    file: Option<PathBuf>,
    /// The hash that the newest row must have
    #[arg(long, value_name = "HASH")]
    head: Option<Hash>,
}

impl AuditCommand {
    /// Whether it needs no server.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self, AuditCommand::Verify(args) if args.file.is_some())
    }
}

pub(crate) async fn run(command: AuditCommand, context: &Context) -> Result<(), Failure> {
    match command {
        AuditCommand::List(list) => {
            let rows = list.fetch(context, async |query| context.client.audit_list(query).await).await?;
            context.out.many(&rows, |row| row.position.to_string(), many)
        }
        AuditCommand::Verify(args) => {
            let mut check = ChainCheck::default();
            let head = again(|| context.client.audit_head()).await?;
            every_row(context, |row| {
                // What came behind the head that was asked for is not its matter.
                if row.position <= head.position {
                    check.see(&row);
                }
                Ok(())
            })
            .await?;
            tell(check.finish(Some(&head)), args.head, context.out)
        }
        AuditCommand::Export { output } => export(context, output.as_deref()).await,
    }
}

/// Every row that the server has, the newest first.
async fn every_row(
    context: &Context,
    mut each: impl FnMut(AuditRecord) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut query = PageQuery { limit: Some(PAGE), ..PageQuery::default() };
    loop {
        let page = again(|| context.client.audit_list(&query)).await?;
        page.items.into_iter().try_for_each(&mut each)?;
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return Ok(());
        }
    }
}

async fn export(context: &Context, target: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = target.filter(|path| *path != Path::new("-")) else {
        return every_row(context, |row| output::text(&output::line(&row)?)).await;
    };
    let cannot = |error: io::Error| Failure::io(format!("cannot write {}", path.display()), &error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Written beside the target first: a file with its name is whole.
    let mut file = BufWriter::new(tempfile::NamedTempFile::new_in(folder).map_err(cannot)?);
    let mut rows = 0_u64;
    every_row(context, |row| {
        rows += 1;
        writeln!(file, "{}", output::line(&row)?).map_err(cannot)
    })
    .await?;
    let file = file.into_inner().map_err(|error| cannot(error.into_error()))?;
    file.as_file()
        .sync_all()
        .and_then(|()| file.persist(path).map(drop).map_err(|e| e.error))
        .map_err(cannot)?;
    context.out.remark(&format!("{} holds {rows} rows", path.display()));
    Ok(())
}

/// Checks an export.
///
/// # Errors
/// When it cannot be read, or the chain is broken.
pub(crate) fn verify_file(command: &AuditCommand, out: Output) -> Result<(), Failure> {
    let AuditCommand::Verify(VerifyArgs { file: Some(file), head }) = command else { return Ok(()) };
    let cannot = |error: io::Error| Failure::io(format!("cannot read {}", file.display()), &error);
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(cannot)?)
    };
    let mut source = BufReader::new(source);
    let mut check = ChainCheck::default();
    for number in 1_u64.. {
        let mut line = Vec::new();
        if source.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(cannot)? == 0 {
            break;
        }
        let row: AuditRecord = serde_json::from_slice(&line).map_err(|error| {
            let words = format!("{}, line {number}: not a row of an audit log: {error}", file.display());
            Failure::new(Exit::Failure, words).hint("`ciro audit export` writes such files")
        })?;
        check.see(&row);
    }
    tell(check.finish(None), *head, out)
}

fn tell(mut verdict: ChainVerdict, head: Option<Hash>, out: Output) -> Result<(), Failure> {
    if head.is_some() && head != verdict.head {
        verdict.valid = false;
        verdict.faulty += 1;
        verdict.faults.push("the newest row is not the one of --head".to_owned());
    }
    let word = if verdict.valid { "valid" } else { "invalid" };
    out.one(&verdict, word, || shown(&verdict))?;
    if verdict.valid { Ok(()) } else { Err(Failure::silent(Exit::Failure)) }
}

fn shown(verdict: &ChainVerdict) -> String {
    if !verdict.valid {
        return format!("{}\nnot valid: {} faults", verdict.faults.join("\n"), verdict.faulty);
    }
    table::record([
        ("valid", format!("{} rows", verdict.rows)),
        ("positions", format!("{} to {}", verdict.first, verdict.last)),
        ("head", verdict.head.map(|hash| hash.to_string()).unwrap_or_default()),
    ])
}

fn many(rows: &[AuditRecord]) -> String {
    let now = clock::now();
    let change = |row: &AuditRecord| {
        let text = |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string);
        match (text(&row.before), text(&row.after)) {
            (Some(before), Some(after)) => format!("{before} -> {after}"),
            (before, after) => before.or(after).unwrap_or_default(),
        }
    };
    table::table(
        ["position", "when", "actor", "role", "from", "action", "object", "change"],
        rows.iter().map(|row| {
            [
                row.position.to_string(),
                table::ago(row.at, now),
                row.actor.clone(),
                row.role.clone(),
                row.address.clone().unwrap_or_default(),
                row.action.clone(),
                row.object.clone(),
                change(row),
            ]
        }),
    )
}
