//! The smallest HTTP/1.1 client that can keep a server busy from the same two cores: one
//! connection, one request at a time, bodies by Content-Length.

use anyhow::{Context, Result, bail, ensure};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One kept-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    token: String,
    out: Vec<u8>,
    input: Vec<u8>,
}

/// An answer; the body stays in the connection's buffer.
#[derive(Debug)]
pub(crate) struct Answer<'c> {
    /// HTTP status.
    pub(crate) status: u16,
    /// The whole body.
    pub(crate) body: &'c [u8],
}

impl Answer<'_> {
    /// The body as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub(crate) fn text(&self) -> Result<&str> {
        Ok(std::str::from_utf8(self.body)?)
    }
}

impl Connection {
    /// Connects, with `token` as the bearer token of every request.
    ///
    /// # Errors
    /// When the server does not accept.
    pub(crate) async fn open(address: SocketAddr, token: &str) -> Result<Connection> {
        let stream =
            TcpStream::connect(address).await.context("the coordinator does not accept connections")?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            token: token.to_owned(),
            out: Vec::new(),
            input: Vec::with_capacity(16 << 10),
        })
    }

    /// Speaks with another token from now on.
    pub(crate) fn set_token(&mut self, token: &str) {
        token.clone_into(&mut self.token);
    }

    /// One request and its whole answer.
    ///
    /// # Errors
    /// When the connection breaks or the answer is not HTTP.
    pub(crate) async fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Answer<'_>> {
        self.out.clear();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: b\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        self.out.extend_from_slice(head.as_bytes());
        self.out.extend_from_slice(body.as_bytes());
        if self.stream.write_all(&self.out).await.is_err() {
            // A server that is too busy answers and closes before it has read the whole body. What was not
            // sent whole was not done.
            return Ok(Answer { status: 503, body: &[] });
        }
        self.input.clear();
        let (status, start, length) = self.head().await?;
        while self.input.len() < start + length {
            self.more().await?;
        }
        Ok(Answer { status, body: &self.input[start..start + length] })
    }

    async fn more(&mut self) -> Result<()> {
        let n = self.stream.read_buf(&mut self.input).await?;
        ensure!(n > 0, "the coordinator closed the connection");
        Ok(())
    }

    /// Reads up to the end of the head: status, where the body begins, its length.
    async fn head(&mut self) -> Result<(u16, usize, usize)> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(start) = response.parse(&self.input)? {
                let status = response.code.context("no status")?;
                let length = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
                let Some(length) = length else {
                    if status == 204 {
                        return Ok((status, start, 0));
                    }
                    bail!("an answer without Content-Length");
                };
                return Ok((status, start, std::str::from_utf8(length.value)?.parse()?));
            }
            self.more().await?;
        }
    }
}
