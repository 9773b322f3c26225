//! Streams: Server-Sent Events frame by frame, and newline-delimited JSON line by line.
//! Bytes come in as the network cuts them; a frame is complete at its empty line. A reader that
//! lost its connection opens another one with the id of the last frame that it saw.

use super::{Client, Error};
use crate::event::{EventQuery, HistoryQuery};
use crate::log::{LogLine, LogQuery};
use bytes::BytesMut;
use ciro_core::id::{JobId, WorkerId};
use reqwest::{Method, RequestBuilder, Response, header};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The longest silence: the server sends a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// A stream has no end of its own; what bounds it is the silence between two frames.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);
/// The largest frame or line that is read, bytes. JSON may escape each byte of a log as six.
const MAX_FRAME_BYTES: usize = 8 << 20;

/// One frame of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What a reader that comes back names as the last that it saw.
    pub id: Option<String>,
    /// `job.queued`, `log`, …; `reset` when what was asked for is no longer kept, `lagged` when this
    /// reader was too slow and the server closes the stream, `end` when nothing more will come.
    pub name: String,
    /// JSON.
    pub data: String,
}

impl Frame {
    /// What it says.
    ///
    /// # Errors
    /// When it is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.data).map_err(Error::Answer)
    }
}

/// An open stream of frames.
#[derive(Debug)]
pub struct Frames(Chunks);

/// An open stream of log lines.
#[derive(Debug)]
pub struct LogLines(Chunks);

#[derive(Debug)]
struct Chunks {
    response: Response,
    buffer: BytesMut,
    /// As far as the buffer was searched already.
    searched: usize,
}

impl Client {
    /// Opens the event stream at `path` (`/v1/events`, `/v1/jobs/{id}/events`,
    /// `/v1/workers/{id}/events`), behind the frame with the id `after`.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn event_stream(&self, path: &str, after: Option<&str>) -> Result<Frames, Error> {
        self.frames(self.request(Method::GET, path), after).await
    }

    /// Opens the stream of what happens to a job, until it has ended, behind the frame with the id
    /// `after`.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_event_stream(
        &self,
        id: JobId,
        query: &HistoryQuery,
        after: Option<&str>,
    ) -> Result<Frames, Error> {
        let request = self.request(Method::GET, &format!("/v1/jobs/{id}/events"));
        self.frames(request.query(query), after).await
    }

    /// Opens the stream of what happens to a worker, behind the frame with the id `after`.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_event_stream(
        &self,
        id: WorkerId,
        query: &HistoryQuery,
        after: Option<&str>,
    ) -> Result<Frames, Error> {
        let request = self.request(Method::GET, &format!("/v1/workers/{id}/events"));
        self.frames(request.query(query), after).await
    }

    /// Opens the stream of everything that happens and is wanted, behind the frame with the id `after`.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn events(&self, query: &EventQuery, after: Option<&str>) -> Result<Frames, Error> {
        self.frames(self.request(Method::GET, "/v1/events").query(query), after).await
    }

    /// Opens the stream of what a job's programs print, until the job has ended.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn log_stream(
        &self,
        id: JobId,
        query: &LogQuery,
        after: Option<&str>,
    ) -> Result<Frames, Error> {
        let query = LogQuery { follow: Some(true), ..query.clone() };
        let request = self.request(Method::GET, &format!("/v1/jobs/{id}/logs"));
        self.frames(request.query(&query), after).await
    }

    /// What a job's programs printed so far.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_logs(&self, id: JobId, query: &LogQuery) -> Result<LogLines, Error> {
        let request = self.request(Method::GET, &format!("/v1/jobs/{id}/logs"));
        let response = self.succeeded(request.query(query).timeout(FOREVER).send().await).await?;
        Ok(LogLines(Chunks::of(response)))
    }

    async fn frames(&self, request: RequestBuilder, after: Option<&str>) -> Result<Frames, Error> {
        let mut request = request.header(header::ACCEPT, "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let response = self.succeeded(request.timeout(FOREVER).send().await).await?;
        Ok(Frames(Chunks::of(response)))
    }
}

impl Frames {
    /// The next frame; `None` when the server closed the stream.
    ///
    /// # Errors
    /// When the connection broke or fell silent.
    pub async fn next(&mut self) -> Result<Option<Frame>, Error> {
        while let Some(text) = self.0.until(b"\n\n").await? {
            if let Some(frame) = parse(&String::from_utf8_lossy(&text)) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }
}

impl LogLines {
    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// When the connection broke or fell silent, or a line is not understood.
    pub async fn next(&mut self) -> Result<Option<LogLine>, Error> {
        while let Some(line) = self.0.until(b"\n").await? {
            if !line.trim_ascii().is_empty() {
                return serde_json::from_slice(&line).map(Some).map_err(Error::Answer);
            }
        }
        Ok(None)
    }
}

impl Chunks {
    fn of(response: Response) -> Chunks {
        Chunks { response, buffer: BytesMut::new(), searched: 0 }
    }

    /// The bytes up to and with `end`; `None` when no more come (an incomplete rest means nothing).
    async fn until(&mut self, end: &[u8]) -> Result<Option<BytesMut>, Error> {
        loop {
            let unsearched = &self.buffer[self.searched..];
            if let Some(at) = unsearched.windows(end.len()).position(|w| w == end) {
                let length = self.searched + at + end.len();
                self.searched = 0;
                return Ok(Some(self.buffer.split_to(length)));
            }
            if self.buffer.len() > MAX_FRAME_BYTES {
                return Err(Error::TooLarge);
            }
            self.searched = self.buffer.len().saturating_sub(end.len() - 1);
            match tokio::time::timeout(SILENCE, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.buffer.extend_from_slice(&chunk),
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(Error::transport(error)),
                Err(_) => return Err(Error::Silent),
            }
        }
    }
}

/// A frame's fields; comments and `retry` alone are no frame.
fn parse(text: &str) -> Option<Frame> {
    let mut frame = Frame { id: None, name: String::new(), data: String::new() };
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => frame.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut frame.name),
            "data" => {
                if !frame.data.is_empty() {
                    frame.data.push('\n');
                }
                frame.data.push_str(value);
            }
            _ => {}
        }
    }
    (!frame.name.is_empty() || !frame.data.is_empty()).then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn a_frame_has_an_id_a_name_and_json_and_comments_are_none() {
        let event = r#"{"id":"7","type":"job.queued","source":"dev","subject":"job_x","time":"2026-11-22T13:48:18.123Z","sequence":2,"data_version":1,"data":{}}"#;
        let frame = parse(&format!("id: 7\nevent: job.queued\ndata: {event}\n\n")).unwrap();
        assert_eq!((frame.id.as_deref(), frame.name.as_str()), (Some("7"), "job.queued"));
        let event: Event = frame.json().unwrap();
        assert_eq!((event.type_.as_str(), event.sequence), ("job.queued", Some(2)));
        assert_eq!(parse("retry: 2000\n\n"), None);
        assert_eq!(parse(": still here\n\n"), None);
        assert_eq!(parse("event:reset\ndata:{}\n\n").unwrap().name, "reset");
        assert!(parse("data: nonsense\n\n").unwrap().json::<Event>().is_err());
    }
}
