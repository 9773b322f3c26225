//! Logs of attempts: a file of newline-delimited JSON each, `logs/<xx>/<job>/<task>-<fence>.ndjson`
//! below the data directory, appended to while the attempt is live. Never rows, and not synced: a
//! power cut may take the last lines of a log, never a job.
//! A log stays a file when its attempt has ended. Making it an artifact would cost a synced file
//! and three rows for each attempt that printed a line, to give what its path already gives: who
//! may see the job may read its logs. Files go when results do (`retention.results_ms`).

pub mod cursor;
pub mod following;
pub mod reading;

use crate::app::App;
use crate::auth::Principal;
use crate::http::error::{ApiError, ApiResult, internal};
use crate::http::problems::Code;
use bytes::Bytes;
use ciro_api::log::{LogLine, LogQuery, MAX_LOG_BYTES, MAX_LOG_CHUNK_BYTES};
use ciro_api::work::LogOffset;
use ciro_core::crash::crash_point;
use ciro_core::id::{AttemptId, JobId};
use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::sync::{Mutex, watch};

/// Appends that run at the same time; two of one attempt never do.
pub(crate) const STRIPES: usize = 64;
/// The most logs of one job that one call reads.
pub const MAX_FILES: usize = 10_000;

/// Where logs lie, and who waits for more.
#[derive(Debug)]
pub struct Logs {
    folder: PathBuf,
    stripes: Vec<Mutex<()>>,
    spread: RandomState,
    appended: watch::Sender<u64>,
}

/// One log: which attempt of which task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogFile {
    /// The task's number.
    pub task: u32,
    /// The attempt's fence.
    pub fence: u32,
}

impl Logs {
    /// The folder under `data_dir`, made if it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(data_dir: &Path) -> io::Result<Logs> {
        let folder = data_dir.join("logs");
        fs::create_dir_all(&folder)?;
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        Ok(Logs { folder, stripes, spread: RandomState::new(), appended: watch::Sender::new(0) })
    }

    /// Changes whenever some log grew: a hint for those who follow.
    #[must_use]
    pub fn appended(&self) -> watch::Receiver<u64> {
        self.appended.subscribe()
    }

    /// The folder of one job. The last characters of an id are random, so jobs spread evenly.
    fn of_job(&self, job: JobId) -> PathBuf {
        let name = job.to_string();
        self.folder.join(&name[name.len() - 2..]).join(name)
    }

    fn path(&self, job: JobId, file: LogFile) -> PathBuf {
        self.of_job(job).join(format!("{}-{}.ndjson", file.task, file.fence))
    }

    /// The logs of a job that `query` asks for, by task and fence. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self, job: JobId, query: &LogQuery) -> io::Result<Vec<LogFile>> {
        let entries = match fs::read_dir(self.of_job(job)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            files.extend(entry?.file_name().to_str().and_then(parse_name).filter(|file| {
                query.task.is_none_or(|task| file.task == task)
                    && query.attempt.is_none_or(|fence| file.fence == fence)
            }));
        }
        files.sort_unstable();
        files.truncate(MAX_FILES);
        Ok(files)
    }

    /// What a log holds from `offset` on, whole lines only. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, job: JobId, file: LogFile, offset: u64) -> io::Result<Vec<u8>> {
        use std::io::{Read, Seek};
        let mut log = match fs::File::open(self.path(job, file)) {
            Ok(log) => log,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        log.seek(io::SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        log.take(MAX_LOG_BYTES).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(whole);
        Ok(bytes)
    }

    /// Bytes of a log; a line that is being written may be among them. Blocks.
    #[must_use]
    pub fn length(&self, job: JobId, file: LogFile) -> u64 {
        fs::metadata(self.path(job, file)).map_or(0, |meta| meta.len())
    }

    /// Removes the logs of jobs that nothing was written to for `age`. Blocks.
    ///
    /// # Errors
    /// When a folder cannot be read or removed.
    pub fn sweep(&self, age: Duration, now: SystemTime) -> io::Result<usize> {
        let mut removed = 0;
        for shard in fs::read_dir(&self.folder)? {
            let shard = shard?.path();
            if !shard.is_dir() {
                continue;
            }
            for job in fs::read_dir(&shard)? {
                let job = job?.path();
                if is_older(&job, age, now)? {
                    fs::remove_dir_all(&job)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

/// Whether neither the folder nor a file in it changed for `age`.
fn is_older(folder: &Path, age: Duration, now: SystemTime) -> io::Result<bool> {
    let old = |modified: SystemTime| now.duration_since(modified).is_ok_and(|passed| passed >= age);
    if !old(fs::metadata(folder)?.modified()?) {
        return Ok(false);
    }
    for entry in fs::read_dir(folder)? {
        if !old(entry?.metadata()?.modified()?) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn parse_name(name: &str) -> Option<LogFile> {
    let (task, fence) = name.strip_suffix(".ndjson")?.split_once('-')?;
    Some(LogFile { task: task.parse().ok()?, fence: fence.parse().ok()? })
}

/// Appends a chunk at `offset` to the log of a live attempt of the calling worker. Bytes that are
/// kept already are skipped, so a repeated call doubles nothing.
///
/// # Errors
/// `lease_lost` when the attempt is not the caller's any more, `offset_mismatch` with the number of
/// bytes kept when `offset` lies beyond them, `validation_failed` for anything but whole lines.
pub async fn append(
    app: &App,
    who: &Principal,
    attempt: AttemptId,
    offset: u64,
    chunk: Bytes,
) -> ApiResult<LogOffset> {
    check_chunk(&chunk)?;
    check_live(app, who, attempt).await?;
    let file = LogFile { task: attempt.task.no, fence: attempt.fence };
    let path = app.logs.path(attempt.task.job, file);
    let stripe = usize::try_from(app.logs.spread.hash_one(&path) % STRIPES as u64).unwrap_or_default();
    let held = app.logs.stripes[stripe].lock().await;
    let appended = app
        .tasks
        .blocking(move || append_to(&path, offset, &chunk))
        .await
        .map_err(|error| internal(&error))?;
    drop(held);
    crash_point("log.appended");
    match appended.map_err(|error| internal(&error))? {
        Appended::Kept(answer, new) => {
            app.metrics.log_bytes.add(new);
            app.logs.appended.send_modify(|count| *count += 1);
            Ok(answer)
        }
        Appended::Gap(kept) => {
            let detail = format!("{kept} bytes are kept; the log goes on there");
            Err(ApiError::because(Code::OffsetMismatch, detail).at("offset", "range", kept.to_string()))
        }
    }
}

fn check_chunk(chunk: &Bytes) -> ApiResult<()> {
    if chunk.len() > MAX_LOG_CHUNK_BYTES {
        return Err(ApiError::because(
            Code::BodyTooLarge,
            format!("a chunk has at most {MAX_LOG_CHUNK_BYTES} bytes"),
        ));
    }
    let whole = chunk.last().is_none_or(|byte| *byte == b'\n');
    let lines = chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let wrong = lines.enumerate().find(|(_, line)| serde_json::from_slice::<LogLine>(line).is_err());
    match (whole, wrong) {
        (true, None) => Ok(()),
        (false, _) => Err(ApiError::because(Code::ValidationFailed, "a chunk ends with the end of a line")),
        (true, Some((at, _))) => {
            Err(ApiError::because(Code::ValidationFailed, format!("line {} is not a log line", at + 1)))
        }
    }
}

/// Whether the attempt is live and the caller's.
async fn check_live(app: &App, who: &Principal, attempt: AttemptId) -> ApiResult<()> {
    let session = who.session()?;
    if app.store.attempt_held(session.worker.key, attempt).await? {
        return Ok(());
    }
    Err(ApiError::because(Code::LeaseLost, "the attempt has ended or is not this worker's"))
}

enum Appended {
    /// How much is kept, and how much of it is new, bytes.
    Kept(LogOffset, u64),
    Gap(u64),
}

fn append_to(path: &Path, offset: u64, chunk: &[u8]) -> io::Result<Appended> {
    let kept = match fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    if offset > kept {
        return Ok(Appended::Gap(kept));
    }
    let known = usize::try_from(kept - offset).unwrap_or(usize::MAX).min(chunk.len());
    let new = &chunk[known..];
    let room = usize::try_from(MAX_LOG_BYTES.saturating_sub(kept)).unwrap_or(usize::MAX);
    let fits = match new.len() <= room {
        true => new,
        false => &new[..new[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)],
    };
    if !fits.is_empty() {
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new().create(true).append(true).open(path)?.write_all(fits)?;
    }
    let offset = LogOffset { offset: kept + fits.len() as u64, full: fits.len() < new.len() };
    Ok(Appended::Kept(offset, fits.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(appended: Appended) -> (u64, bool) {
        match appended {
            Appended::Kept(LogOffset { offset, full }, _) => (offset, full),
            Appended::Gap(at) => panic!("a gap at {at}"),
        }
    }

    #[test]
    fn a_log_grows_only_at_its_end_and_stops_at_its_bound_with_a_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job").join("0-1.ndjson");
        assert_eq!(kept(append_to(&path, 0, b"one\n").unwrap()), (4, false));
        assert_eq!(kept(append_to(&path, 0, b"one\ntwo\n").unwrap()), (8, false), "what is kept is skipped");
        assert!(matches!(append_to(&path, 9, b"x\n").unwrap(), Appended::Gap(8)));
        let line = [b'x'; 999].iter().copied().chain([b'\n']).collect::<Vec<_>>();
        let chunk = line.repeat(1_000);
        let mut at = 8;
        for _ in 0..11 {
            at = kept(append_to(&path, at, &chunk).unwrap()).0;
        }
        assert_eq!(at, 8 + (MAX_LOG_BYTES - 8) / 1_000 * 1_000);
        assert!(kept(append_to(&path, at, &chunk).unwrap()).1, "full");
        assert_eq!(fs::metadata(&path).unwrap().len(), at);
    }
}
