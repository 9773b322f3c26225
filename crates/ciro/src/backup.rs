//! `ciro backup`: the backups that a coordinator keeps, made and checked by it.
//! To make one without a coordinator, and to restore one, there is `ciro-coordinator` on its machine.

use crate::again::{again, idempotency_key};
use crate::cli::Context;
use crate::clock;
use crate::error::{Exit, Failure};
use crate::ids;
use crate::list::PageArgs;
use crate::progress;
use crate::table;
use ciro_api::backup::{Backup, BackupFiles, BackupProgress, BackupState, NewBackup};
use ciro_core::id::BackupId;
use std::time::Duration;

/// How often a backup under way is looked at.
const LOOK: Duration = Duration::from_millis(200);

const NOW: &str = "\
Waits until the backup is complete, which means checked and on disk. It stays where the coordinator
keeps its backups (`backups.folder`); the oldest go when there are more than `backups.keep`.

Examples:
  ciro backup now
  ciro backup now --no-artifacts -o id         the database and a list of artifacts";

/// Backups that the coordinator keeps.
#[derive(Debug, clap::Subcommand)]
pub enum BackupCommand {
    /// Make a backup now, and wait for it
    #[command(after_help = NOW)]
    Now {
        /// Without the bytes of artifacts, and without logs
        #[arg(long)]
        no_artifacts: bool,
        /// Do not wait for it
        #[arg(long)]
        detach: bool,
    },
    /// List the backups, the newest first
    #[command(after_help = "Example:\n  ciro backup list -o json")]
    List(PageArgs),
    /// Show one
    #[command(after_help = "Example:\n  ciro backup show backup_01j…")]
    Show {
        /// Its id, or the end of it
        id: String,
    },
    /// Read a backup and hold it against its manifest and the invariants, and wait for the answer
    #[command(after_help = "Example:\n  ciro backup verify $(ciro backup list --limit 1 -o id)")]
    Verify {
        /// Its id, or the end of it
        id: String,
    },
}

pub(crate) async fn run(command: BackupCommand, context: &Context) -> Result<(), Failure> {
    match command {
        BackupCommand::Now { no_artifacts, detach } => now(no_artifacts, detach, context).await,
        BackupCommand::List(page) => {
            let backups = page.fetch(context, async |query| context.client.backup_list(query).await).await?;
            context.out.many(&backups, |backup| backup.id.to_string(), rows)
        }
        BackupCommand::Show { id } => {
            let id = ids::backup(&context.client, &id).await?;
            let backup = again(|| context.client.backup_get(id)).await?;
            context.out.one(&backup, &id.to_string(), || show(&backup))
        }
        BackupCommand::Verify { id } => verify(&id, context).await,
    }
}

async fn now(no_artifacts: bool, detach: bool, context: &Context) -> Result<(), Failure> {
    let once = idempotency_key();
    let new = NewBackup { artifacts: no_artifacts.then_some(false) };
    let mut backup = again(|| context.client.backup_create(&new, Some(&once))).await?;
    if !detach {
        context.goes_on(Some(format!("{} goes on", backup.id)));
        backup = until(context, backup.id, |backup| backup.state != BackupState::Running).await?;
        context.goes_on(None);
    }
    let id = backup.id.to_string();
    context.out.one(&backup, &id, || show(&backup))?;
    match backup.state {
        BackupState::Failed => Err(Failure::new(Exit::Failure, backup.problem.unwrap_or_default())
            .hint("the coordinator's log says more; nothing of the backup is left")),
        BackupState::Running | BackupState::Complete => Ok(()),
    }
}

async fn verify(id: &str, context: &Context) -> Result<(), Failure> {
    let id = ids::backup(&context.client, id).await?;
    again(|| context.client.backup_verify(id)).await?;
    let backup = until(context, id, |backup| backup.progress.is_none()).await?;
    context.out.one(&backup, &id.to_string(), || show(&backup))?;
    match &backup.check {
        Some(check) if check.whole => Ok(()),
        Some(_) => Err(Failure::new(Exit::Failure, format!("{id} is not whole"))),
        None => Err(Failure::new(Exit::Unavailable, "the check was broken off: the coordinator ended")),
    }
}

/// Looks at a backup until `done`, with a bar where one is seen.
async fn until(context: &Context, id: BackupId, done: impl Fn(&Backup) -> bool) -> Result<Backup, Failure> {
    let bar = progress::bytes(context.out.is_live(), "backup", 0);
    loop {
        let backup = again(|| context.client.backup_get(id)).await?;
        if done(&backup) {
            bar.finish_and_clear();
            return Ok(backup);
        }
        if let Some(BackupProgress { phase, done_bytes, total_bytes }) = &backup.progress {
            bar.set_message(phase.clone());
            bar.set_length((*total_bytes).max(*done_bytes));
            bar.set_position(*done_bytes);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn rows(backups: &[Backup]) -> String {
    let now = clock::now();
    table::table(
        ["id", "state", "made", "size", "jobs", "artifacts", "check"],
        backups.iter().map(|backup| {
            let content = backup.content.as_ref();
            let check = backup.check.as_ref().map(|check| if check.whole { "whole" } else { "not whole" });
            [
                backup.id.to_string(),
                word(backup.state).to_owned(),
                table::ago(backup.made_at, now),
                content.map(|c| table::size(c.bytes)).unwrap_or_default(),
                content.map(|c| (c.jobs + c.archived).to_string()).unwrap_or_default(),
                content.map(|c| c.artifacts.count.to_string()).unwrap_or_default(),
                check.unwrap_or_default().to_owned(),
            ]
        }),
    )
}

fn show(backup: &Backup) -> String {
    let content = backup.content.as_ref();
    let of = |text: fn(&ciro_api::backup::BackupContent) -> String| content.map(text).unwrap_or_default();
    let check = backup.check.as_ref();
    table::record([
        ("id", backup.id.to_string()),
        ("state", word(backup.state).to_owned()),
        ("shows", backup.made_at.to_string()),
        ("problem", backup.problem.clone().unwrap_or_default()),
        ("took", of(|c| table::span(c.took_ms))),
        ("size", of(|c| format!("{} ({} written)", table::size(c.bytes), table::size(c.written_bytes)))),
        ("jobs", of(|c| format!("{} ({} not ended), {} archived", c.jobs, c.open_jobs, c.archived))),
        ("artifacts", of(|c| files(&c.artifacts))),
        ("logs", of(|c| files(&c.logs))),
        ("broken", of(|c| c.violations.join("; "))),
        ("check", check.map(|c| if c.whole { "whole" } else { "not whole" }.to_owned()).unwrap_or_default()),
        ("wrong", check.map(|c| c.problems.join("; ")).unwrap_or_default()),
    ])
}

fn files(files: &BackupFiles) -> String {
    let included = if files.included { "" } else { ", not included" };
    let missing = if files.missing > 0 { format!(", {} missing", files.missing) } else { String::new() };
    format!("{} ({}){included}{missing}", files.count, table::size(files.bytes))
}

fn word(state: BackupState) -> &'static str {
    match state {
        BackupState::Running => "running",
        BackupState::Complete => "complete",
        BackupState::Failed => "failed",
    }
}
