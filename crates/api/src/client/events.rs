//! The event log as a stream: Server-Sent Events, frame by frame.
//! Bytes come in as the network cuts them; a frame is complete at its empty line. A reader that
//! lost its connection opens another one with the id of the last frame that it saw.

use super::{Client, Error, success};
use crate::event::Event;
use bytes::BytesMut;
use reqwest::{Method, Response, header};
use std::time::Duration;

/// The longest silence: the server sends a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// The largest frame that is read, bytes.
const MAX_FRAME_BYTES: usize = 1 << 20;

/// One frame of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Something that happened.
    Event(Box<Event>),
    /// What was asked for is no longer kept; the stream begins at the oldest that is. In the
    /// server's words.
    Reset(String),
    /// This reader was too slow; the server closes the stream. In the server's words.
    Lagged(String),
}

/// An open stream of events.
#[derive(Debug)]
pub struct EventStream {
    response: Response,
    buffer: BytesMut,
}

impl Client {
    /// Opens a stream at `path` (`/v1/events`, `/v1/jobs/{id}/events`), behind the frame with the
    /// id `after`.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn event_stream(&self, path: &str, after: Option<&str>) -> Result<EventStream, Error> {
        let mut request = self
            .request(Method::GET, path)
            .header(header::ACCEPT, "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        // A stream has no end of its own: what bounds it is the silence between two frames.
        let sent = request.timeout(Duration::from_secs(7 * 24 * 3600)).send();
        let response = success(sent.await).await?;
        Ok(EventStream {
            response,
            buffer: BytesMut::new(),
        })
    }
}

impl EventStream {
    /// The next frame; `None` when the server closed the stream or fell silent.
    ///
    /// # Errors
    /// When the connection broke or a frame is not understood.
    pub async fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            while let Some(end) = frame_end(&self.buffer) {
                let frame = self.buffer.split_to(end);
                if let Some(frame) = parse(&frame)? {
                    return Ok(Some(frame));
                }
            }
            if self.buffer.len() > MAX_FRAME_BYTES {
                return Err(Error::TooLarge);
            }
            match tokio::time::timeout(SILENCE, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.buffer.extend_from_slice(&chunk),
                Ok(Ok(None)) | Err(_) => return Ok(None),
                Ok(Err(error)) => return Err(Error::transport(error)),
            }
        }
    }
}

/// Where the first complete frame ends, its empty line included.
fn frame_end(buffer: &[u8]) -> Option<usize> {
    buffer.windows(2).position(|w| w == b"\n\n").map(|at| at + 2)
}

/// A frame's meaning; comments and `retry` alone have none.
fn parse(frame: &[u8]) -> Result<Option<Frame>, Error> {
    let text = String::from_utf8_lossy(frame);
    let (mut name, mut data) = ("", String::new());
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value,
            "data" => {
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(value);
            }
            _ => {}
        }
    }
    match name {
        "reset" => Ok(Some(Frame::Reset(data))),
        "lagged" => Ok(Some(Frame::Lagged(data))),
        _ if data.is_empty() => Ok(None),
        _ => serde_json::from_str(&data)
            .map(|event| Some(Frame::Event(Box::new(event))))
            .map_err(Error::Answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_at_empty_lines_and_comments_mean_nothing() {
        let event = r#"{"id":"7","type":"job.queued","source":"dev","subject":"job_x","time":"2026-11-22T13:48:18.123Z","sequence":2,"data_version":1,"data":{}}"#;
        let bytes = format!(
            "retry: 2000\n\n: still here\n\nid: 7\nevent: job.queued\ndata: {event}\n\nevent: reset\ndata: {{}}\n\nid"
        );
        let mut rest = bytes.as_bytes();
        let mut frames = Vec::new();
        while let Some(end) = frame_end(rest) {
            frames.extend(parse(&rest[..end]).unwrap());
            rest = &rest[end..];
        }
        assert_eq!(rest, b"id");
        let Frame::Event(first) = &frames[0] else {
            panic!("{frames:?}")
        };
        assert_eq!(
            (first.id.as_str(), first.type_.as_str(), first.sequence),
            ("7", "job.queued", Some(2))
        );
        assert_eq!(frames[1..], [Frame::Reset("{}".into())]);
        assert!(parse(b"data: nonsense\n\n").is_err());
    }
}
