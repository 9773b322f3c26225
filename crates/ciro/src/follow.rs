//! A stream over as many connections as it takes: one that breaks is opened again behind the last
//! frame that was seen, for as long as it makes sense to wait for the server.

use crate::again::{PATIENCE, wait_before};
use crate::error::{Exit, Failure};
use crate::output::Output;
use ciro_api::client::{Error, Frame, Frames};
use std::time::Duration;
use tokio::time::Instant;

/// A silence that people should hear of.
const WORTH_A_WORD: Duration = Duration::from_secs(2);

/// See the module. `O` opens the stream behind a frame's id.
pub(crate) struct Follow<O> {
    open: O,
    out: Output,
    patience: Duration,
    frames: Option<Frames>,
    after: Option<String>,
    away: Option<Away>,
}

/// The server does not answer.
struct Away {
    since: Instant,
    tried: u32,
    told: bool,
}

impl<O> Follow<O>
where
    O: AsyncFnMut(Option<String>) -> Result<Frames, Error>,
{
    /// A stream that is opened with its first frame.
    pub(crate) fn new(out: Output, open: O) -> Follow<O> {
        Follow { open, out, patience: PATIENCE, frames: None, after: None, away: None }
    }

    /// However long the server stays away.
    pub(crate) fn for_ever(self) -> Follow<O> {
        Follow { patience: Duration::MAX, ..self }
    }

    /// The next frame that says something; `None` when the server has nothing more to say.
    ///
    /// # Errors
    /// When the server refuses for good, stays away for too long, or the key has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, Failure> {
        loop {
            let frame = match self.frame().await {
                Ok(frame) => frame,
                Err(error) => {
                    self.wait(error).await?;
                    continue;
                }
            };
            if self.away.take().is_some_and(|away| away.told) {
                self.out.remark("… the server answers again");
            }
            self.after = frame.id.clone().or_else(|| self.after.take());
            match frame.name.as_str() {
                "end" => return Ok(None),
                "lagged" => self.frames = None,
                "reset" => self.out.remark("… what came before is no longer kept"),
                "auth_expired" => return Err(Failure::new(Exit::Auth, "the key is no longer good")),
                _ => return Ok(Some(frame)),
            }
        }
    }

    async fn frame(&mut self) -> Result<Frame, Error> {
        let mut frames = match self.frames.take() {
            Some(frames) => frames,
            None => (self.open)(self.after.clone()).await?,
        };
        let frame = frames.next().await?.ok_or(Error::Silent)?;
        self.frames = Some(frames);
        Ok(frame)
    }

    async fn wait(&mut self, error: Error) -> Result<(), Failure> {
        let away = self.away.get_or_insert_with(|| Away { since: Instant::now(), tried: 0, told: false });
        let waited = away.since.elapsed();
        if !error.is_retryable() || waited >= self.patience {
            return Err(error.into());
        }
        if !away.told && waited >= WORTH_A_WORD {
            away.told = true;
            let longest = self.patience.as_secs();
            self.out.remark(&format!("… the server does not answer; asking again for {longest} s"));
        }
        tokio::time::sleep(wait_before(away.tried, &error)).await;
        away.tried += 1;
        Ok(())
    }
}
