//! Ranges of bytes: what a `Range` header asks for, and files sent piece by piece without ever
//! being in memory.

use super::vault::Vault;
use axum::body::Body;
use bytes::Bytes;
use ciro_core::id::Hash;
use futures_util::{Stream, StreamExt};
use std::io::{self, SeekFrom};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// Bytes read from a file at once.
const PIECE_BYTES: usize = 256 * 1024;

/// What a request wants of `size` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All of them.
    Whole,
    /// From `first`, `length` of them.
    Part {
        /// First byte.
        first: u64,
        /// How many, at least one.
        length: u64,
    },
    /// Nothing that there is.
    Outside,
}

/// Reads a `Range` header (RFC 9110). Several ranges, other units and malformed values mean the
/// whole, as the standard allows.
#[must_use]
pub fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) =
        header.and_then(|h| h.trim().strip_prefix("bytes=")).and_then(|r| r.split_once('-'))
    else {
        return Wanted::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (first, last) = match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            Some(0) => return Wanted::Outside,
            Some(n) => (size.saturating_sub(n), u64::MAX),
            None => return Wanted::Whole,
        },
        (first, "") => match number(first) {
            Some(first) => (first, u64::MAX),
            None => return Wanted::Whole,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last),
            _ => return Wanted::Whole,
        },
    };
    if first >= size {
        return Wanted::Outside;
    }
    Wanted::Part { first, length: last.min(size - 1) - first + 1 }
}

/// Part of one file, as a body.
///
/// # Errors
/// When the file cannot be positioned.
pub async fn file_body(file: std::fs::File, first: u64, length: u64) -> io::Result<Body> {
    let mut file = tokio::fs::File::from_std(file);
    if first > 0 {
        file.seek(SeekFrom::Start(first)).await?;
    }
    let capacity = usize::try_from(length).map_or(PIECE_BYTES, |n| n.clamp(1, PIECE_BYTES));
    Ok(Body::from_stream(ReaderStream::with_capacity(file.take(length), capacity)))
}

/// Artifacts end to end, each opened when its turn comes.
pub fn chain(vault: Vault, parts: Vec<(Hash, u64)>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    futures_util::stream::iter(parts)
        .then(move |(hash, length)| {
            let vault = vault.clone();
            async move {
                let opened = tokio::task::spawn_blocking(move || vault.read(&hash))
                    .await
                    .map_err(io::Error::other)??;
                let stored = opened
                    .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{hash} is gone")))?;
                let file = tokio::fs::File::from_std(stored.file).take(length);
                Ok::<_, io::Error>(ReaderStream::with_capacity(file, PIECE_BYTES))
            }
        })
        .flat_map(|opened| match opened {
            Ok(stream) => stream.left_stream(),
            Err(error) => futures_util::stream::once(std::future::ready(Err(error))).right_stream(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let part = |first, length| Wanted::Part { first, length };
        for (header, expected) in [
            (None, Wanted::Whole),
            (Some("bytes=0-0"), part(0, 1)),
            (Some("bytes=2-5"), part(2, 4)),
            (Some("bytes=8-99"), part(8, 2)),
            (Some("bytes=7-"), part(7, 3)),
            (Some("bytes=-3"), part(7, 3)),
            (Some("bytes=-99"), part(0, 10)),
            (Some("bytes=10-"), Wanted::Outside),
            (Some("bytes=-0"), Wanted::Outside),
            (Some("bytes=5-2"), Wanted::Whole),
            (Some("bytes=1-2,4-5"), Wanted::Whole),
            (Some("lines=1-2"), Wanted::Whole),
        ] {
            assert_eq!(wanted(header, 10), expected, "{header:?}");
        }
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Outside);
    }
}
