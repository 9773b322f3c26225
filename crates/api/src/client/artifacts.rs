//! Artifacts, as a client and a worker call them: bytes go up in pieces that can be resumed, and
//! come down as a stream. What comes down is not verified here: who wrote the hash down checks it.
//! A piece is as large as the way carries in about a second, so that a connection that is silent for as
//! long as the client is patient is a lost one, on a slow way as on a fast one.

use super::{Client, Error};
use crate::artifact::{Artifact, NewArtifact};
use bytes::Bytes;
use ciro_core::id::Hash;
use reqwest::{Method, Response, StatusCode, header};
use std::io;
use std::ops::{Range, RangeInclusive};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt};

/// Bytes of the first piece of an upload, before it is known how fast the way is.
const FIRST_PIECE_BYTES: usize = 256 << 10;
/// Bytes of the smallest and of the largest piece: what may be sent again when a connection breaks.
const PIECE_BYTES: RangeInclusive<usize> = 64 << 10..=4 << 20;
/// How long a piece should take.
const PIECE_TIME: Duration = Duration::from_secs(1);
/// Bytes a second that a slow disk hashes and syncs of a complete artifact, before its last piece is
/// answered.
const SYNCED_A_SECOND: u64 = 16 << 20;
/// Pieces in a row that the server may refuse for their offset before the upload is given up.
const MAX_MISFITS: u32 = 10;
/// Pause after the first of them, doubled after each: another upload of the same bytes, or the call
/// before this one, which nobody waits for any more, is done by then.
const MISFIT_PAUSE: Duration = Duration::from_millis(10);

/// Why a file could not be uploaded.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// A call did not succeed.
    #[error(transparent)]
    Call(#[from] Error),
    /// The source could not be read.
    #[error("read the bytes to be uploaded: {0}")]
    Source(#[from] io::Error),
    /// The server keeps asking for another offset than it named before.
    #[error(
        "the coordinator takes no bytes at the offset that it names: is something else uploading this artifact?"
    )]
    Misfit,
}

/// The bytes of an artifact as they come.
#[derive(Debug)]
pub struct ArtifactBytes {
    response: Response,
    /// The longest silence between two parts.
    patience: Duration,
}

impl Client {
    /// Says that an artifact will be uploaded. The answer says whether it is stored already, and
    /// where its bytes go on otherwise.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn artifact_declare(&self, new: &NewArtifact) -> Result<Artifact, Error> {
        self.post("/v1/artifacts", new).await
    }

    /// Appends `bytes` at `offset`, which is the last answer's. The piece that completes the
    /// artifact is answered after its hash was verified.
    ///
    /// # Errors
    /// The server's problem (409 when its offset is another), or why it could not be asked.
    pub async fn artifact_append(
        &self,
        new: &NewArtifact,
        offset: u64,
        bytes: Bytes,
    ) -> Result<Artifact, Error> {
        let completes = offset + bytes.len() as u64 >= new.size;
        let synced = if completes { new.size / SYNCED_A_SECOND } else { 0 };
        let sent = self
            .request(Method::PATCH, &format!("/v1/artifacts/{}", new.blake3))
            .timeout(self.patience + Duration::from_secs(synced))
            .header("upload-offset", offset)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(bytes)
            .send();
        self.decoded(sent.await).await
    }

    /// Uploads what `source` holds, or the part of it that the server lacks. `progress` hears how
    /// many bytes the server has. After an error the same call goes on where this one stopped.
    ///
    /// # Errors
    /// When a call failed, the source could not be read, or the server's offsets make no sense.
    pub async fn artifact_put<S>(
        &self,
        new: &NewArtifact,
        source: &mut S,
        mut progress: impl FnMut(u64),
    ) -> Result<Artifact, PutError>
    where
        S: AsyncRead + AsyncSeek + Unpin + Send,
    {
        let mut there = self.artifact_declare(new).await?;
        let (mut misfits, mut length) = (0, FIRST_PIECE_BYTES);
        while !there.stored {
            progress(there.offset);
            if there.offset > new.size || misfits > MAX_MISFITS {
                return Err(PutError::Misfit);
            }
            let offset = there.offset;
            let piece = read_piece(source, offset, new.size, length).await?;
            let (sent, began) = (piece.len(), Instant::now());
            there = match self.artifact_append(new, offset, piece).await {
                Ok(there) => {
                    length = next_length(sent, began.elapsed());
                    there
                }
                Err(error) if error.status() == Some(409) => {
                    tokio::time::sleep(MISFIT_PAUSE * 2_u32.pow(misfits)).await;
                    self.artifact_declare(new).await?
                }
                Err(error) => return Err(error.into()),
            };
            misfits = if there.stored || there.offset > offset { 0 } else { misfits + 1 };
        }
        progress(new.size);
        Ok(there)
    }

    /// The bytes of an artifact, or of a range of it.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked. A server that ignores the range is not
    /// a coordinator.
    pub async fn artifact_read(&self, hash: Hash, range: Option<Range<u64>>) -> Result<ArtifactBytes, Error> {
        let mut request = self.request(Method::GET, &format!("/v1/artifacts/{hash}"));
        let partial = range.is_some();
        if let Some(range) = range {
            let last = range.end.saturating_sub(1);
            request = request.header(header::RANGE, format!("bytes={}-{last}", range.start));
        }
        // A download has no length of its own here: what bounds it is the silence between two parts.
        let request = request.timeout(Duration::from_secs(7 * 24 * 3600));
        let response = match tokio::time::timeout(self.patience, request.send()).await {
            Ok(sent) => self.succeeded(sent).await?,
            Err(_) => return self.noted(Err(Error::Silent)),
        };
        if partial && response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(Error::not_ours(
                response.status().as_u16(),
                b"all bytes instead of the range that was asked for",
            ));
        }
        Ok(ArtifactBytes { response, patience: self.patience })
    }

    /// Gives up the tenant's grant on an artifact.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn artifact_delete(&self, hash: Hash) -> Result<(), Error> {
        let sent = self.request(Method::DELETE, &format!("/v1/artifacts/{hash}")).send();
        self.succeeded(sent.await).await.map(drop)
    }
}

impl ArtifactBytes {
    /// How many bytes will come, where the server said so.
    #[must_use]
    pub fn len_bytes(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the connection broke or fell silent.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match tokio::time::timeout(self.patience, self.response.chunk()).await {
            Ok(chunk) => chunk.map_err(Error::transport),
            Err(_) => Err(Error::Silent),
        }
    }
}

/// Bytes of the piece after one of `sent` bytes that took so long.
fn next_length(sent: usize, took: Duration) -> usize {
    let carried = sent as f64 * PIECE_TIME.as_secs_f64() / took.as_secs_f64().max(1e-3);
    (carried as usize).clamp(*PIECE_BYTES.start(), *PIECE_BYTES.end())
}

async fn read_piece<S>(source: &mut S, offset: u64, size: u64, most: usize) -> io::Result<Bytes>
where
    S: AsyncRead + AsyncSeek + Unpin + Send,
{
    let length = (size - offset).min(most as u64) as usize;
    let mut piece = vec![0; length];
    source.seek(io::SeekFrom::Start(offset)).await?;
    source.read_exact(&mut piece).await?;
    Ok(Bytes::from(piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_suit_the_way_within_their_bounds() {
        let second = Duration::from_secs(1);
        assert_eq!(next_length(FIRST_PIECE_BYTES, second), FIRST_PIECE_BYTES);
        assert_eq!(next_length(FIRST_PIECE_BYTES, second / 4), 1 << 20);
        assert_eq!(next_length(FIRST_PIECE_BYTES, Duration::ZERO), *PIECE_BYTES.end());
        assert_eq!(next_length(4 << 20, 8 * second), 512 << 10);
        assert_eq!(next_length(1, second), *PIECE_BYTES.start());
    }
}
