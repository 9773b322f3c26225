//! Jobs that are cut into tasks: the split is written page by page, in order, and then the job is
//! let go. Nothing is remembered between two turns: how far a job is stands in its rows, so that a
//! restart goes on where the last page was written.
//! Each job gets a turn of bounded work before any gets another. Inputs are read on blocking
//! threads, a piece at a time; at most one page waits for the writer.

use super::driver::{By, Failure, Next, Timing, start};
use crate::app::App;
use crate::artifacts::open_input;
use crate::artifacts::vault::Vault;
use ciro_core::command::Command;
use ciro_core::crash::crash_point;
use ciro_core::engine::MAX_PAGE;
use ciro_core::id::Hash;
use ciro_core::spec::{ChunkBy, JobSpec, MAX_TASKS, Split};
use ciro_core::split::Chunker;
use ciro_core::task::InputRange;
use ciro_store::{Error, PreparingJob};
use futures_util::StreamExt;
use std::io::{self, Read};
use std::time::Duration;
use tokio::sync::mpsc;

const EVERY: Duration = Duration::from_secs(1);
/// Least time between two looks when commits come in quickly.
const WOKEN: Duration = Duration::from_millis(10);
/// Jobs read at once.
pub(crate) const JOBS: u32 = 16;
/// Jobs cut at the same time.
pub(crate) const AT_ONCE: usize = 2;
/// Pages that one turn writes.
const PAGES: usize = 16;
/// Bytes that one turn reads, unless a single range is longer.
const TURN_BYTES: u64 = 256 << 20;
/// Bytes read from an input at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Starts the preparer.
pub(super) fn spawn(app: &App) {
    start(app, "preparer", Timing { every: EVERY, woken: Some(WOKEN), by: By::Leader }, prepare);
}

async fn prepare(app: App) -> Result<Next, Failure> {
    let (mut after, mut any) = (None, false);
    loop {
        let jobs = app.store.jobs_preparing(after, JOBS).await?;
        after = jobs.last().map(|job| job.job);
        let last = jobs.len() < JOBS as usize;
        any |= !jobs.is_empty();
        let mut turns = futures_util::stream::iter(jobs).map(|job| turn(&app, job)).buffer_unordered(AT_ONCE);
        while let Some(done) = turns.next().await {
            done?;
        }
        if last {
            return Ok(if any { Next::Now } else { Next::Later });
        }
    }
}

/// How a turn ended.
#[derive(Debug)]
enum Turn {
    /// There is more to cut.
    More,
    /// The split is complete.
    Done,
    /// The job cannot be prepared.
    Failed(&'static str, String),
    /// The job has ended or is being stopped.
    LeftAlone,
}

async fn turn(app: &App, job: PreparingJob) -> Result<(), Failure> {
    app.metrics.preparing.inc();
    let done = cut(app, job).await;
    app.metrics.preparing.dec();
    done
}

async fn cut(app: &App, job: PreparingJob) -> Result<(), Failure> {
    let spec: JobSpec = serde_json::from_str(&job.spec_text)?;
    let ended = match &spec.split {
        Some(Split::Chunks { input, by }) => chunks(app, &job, &spec, input, *by).await?,
        Some(split) => match split.count() {
            Some(count) => numbered(app, &job, count).await?,
            None => too_many(),
        },
        None => Turn::Failed("not_split", "the job has no split to prepare".into()),
    };
    let command = match ended {
        Turn::More | Turn::LeftAlone => return Ok(()),
        Turn::Done => Command::Prepared { job: job.job },
        Turn::Failed(code, message) => {
            tracing::info!(job.id = %job.id, code, message, "a job cannot be prepared");
            Command::PrepareFailed { job: job.job, code, message }
        }
    };
    written(app, command).await.map(drop)
}

/// Runs a command; `false` where the engine refused because the job moved on.
async fn written(app: &App, command: Command) -> Result<bool, Failure> {
    match app.store.command(command).await {
        Ok(()) => {
            crash_point("prepare.committed");
            Ok(true)
        }
        Err(Error::Refused(_) | Error::NotFound) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Tasks that differ in their number only.
async fn numbered(app: &App, job: &PreparingJob, count: u32) -> Result<Turn, Failure> {
    let mut first = job.tasks_written;
    for _ in 0..PAGES {
        if first >= count {
            return Ok(Turn::Done);
        }
        let page = MAX_PAGE.min((count - first) as usize);
        if !written(app, Command::AddTasks { job: job.job, first, inputs: vec![None; page] }).await? {
            return Ok(Turn::LeftAlone);
        }
        first += u32::try_from(page)?;
    }
    Ok(if first >= count { Turn::Done } else { Turn::More })
}

async fn chunks(
    app: &App,
    job: &PreparingJob,
    spec: &JobSpec,
    input: &str,
    by: ChunkBy,
) -> Result<Turn, Failure> {
    let Some(named) = spec.inputs.iter().find(|named| named.name == input) else {
        return Ok(Turn::Failed("input_missing", format!("the job has no input named `{input}`")));
    };
    let cutting = Cutting {
        vault: app.artifacts.vault().clone(),
        artifact: named.artifact,
        by,
        offset: job.next_offset,
        written: job.tasks_written,
    };
    let (pages, mut cut) = mpsc::channel(1);
    let reading = app.tasks.blocking(move || cutting.run(&pages));
    // A page that was refused ends this and drops the receiver, which ends the reading.
    let writing = async move {
        let mut first = job.tasks_written;
        while let Some(inputs) = cut.recv().await {
            let count = u32::try_from(inputs.len())?;
            if !written(app, Command::AddTasks { job: job.job, first, inputs }).await? {
                return Ok(false);
            }
            first += count;
        }
        Ok::<_, Failure>(true)
    };
    let (read, wrote) = tokio::join!(reading, writing);
    if !wrote? {
        return Ok(Turn::LeftAlone);
    }
    match read? {
        Ok(turn) => Ok(turn),
        Err(error) => {
            Ok(Turn::Failed("input_unreadable", format!("input `{input}` cannot be read: {error}")))
        }
    }
}

/// One turn of cutting an input.
struct Cutting {
    vault: Vault,
    artifact: Hash,
    by: ChunkBy,
    offset: u64,
    written: u32,
}

type Page = Vec<Option<InputRange>>;

impl Cutting {
    /// Reads on from the first byte that no task has, and hands over pages. Blocks.
    fn run(self, pages: &mpsc::Sender<Page>) -> io::Result<Turn> {
        let Some(mut input) = open_input(&self.vault, &self.artifact, self.offset)? else {
            return Ok(Turn::Failed(
                "input_missing",
                format!("artifact {} is not stored any more", self.artifact),
            ));
        };
        let mut chunker = Chunker::new(self.artifact, self.by).resume(self.offset, self.written);
        let mut buffer = vec![0; PIECE_BYTES];
        let (mut ranges, mut count, mut handed_over, mut bytes) = (Vec::new(), self.written, 0, 0);
        loop {
            let read = input.read(&mut buffer)?;
            if read == 0 {
                ranges.extend(chunker.finish());
                break;
            }
            chunker.feed(&buffer[..read], &mut ranges);
            bytes += read as u64;
            let total = u64::from(count) + ranges.len() as u64;
            if total > u64::from(MAX_TASKS) {
                return Ok(too_many());
            }
            while ranges.len() >= MAX_PAGE {
                let page = ranges.drain(..MAX_PAGE).map(Some).collect();
                count += MAX_PAGE as u32;
                handed_over += 1;
                if pages.blocking_send(page).is_err() {
                    return Ok(Turn::LeftAlone);
                }
            }
            let cut_any = handed_over > 0 || !ranges.is_empty();
            if cut_any && (bytes >= TURN_BYTES || handed_over >= PAGES) {
                return Ok(hand_over(pages, ranges, Turn::More));
            }
        }
        if u64::from(count) + ranges.len() as u64 > u64::from(MAX_TASKS) {
            return Ok(too_many());
        }
        Ok(hand_over(pages, ranges, Turn::Done))
    }
}

fn too_many() -> Turn {
    let detail = format!("the split has more than {MAX_TASKS} tasks; make its chunks larger");
    Turn::Failed("too_many_tasks", detail)
}

/// Hands over what is left, in pages.
fn hand_over(pages: &mpsc::Sender<Page>, ranges: Vec<InputRange>, then: Turn) -> Turn {
    for page in ranges.chunks(MAX_PAGE) {
        if pages.blocking_send(page.iter().copied().map(Some).collect()).is_err() {
            return Turn::LeftAlone;
        }
    }
    then
}
