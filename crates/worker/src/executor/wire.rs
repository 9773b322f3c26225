//! What passes between the worker and an attempt's process, over one socket: a length of four
//! bytes, little end first, and that much JSON. One order down, one outcome up; and between the
//! watcher of a native program and its stage, one order in and its words out.

use crate::sandbox::Gauge;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What the process of an attempt is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order<R> {
    /// What it is to run.
    pub(crate) request: R,
    /// Where the figures of its control group are read.
    #[serde(default)]
    pub(crate) gauge: Gauge,
}

/// Room for the request with the most inputs, and the outcome with the most outputs.
const MAX_FRAME_BYTES: usize = 128 << 20;

pub(crate) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - 4;
    if length > MAX_FRAME_BYTES {
        return Err(too_long(length));
    }
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(frame)
}

fn length(prefix: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(prefix) as usize;
    if length > MAX_FRAME_BYTES { Err(too_long(length)) } else { Ok(length) }
}

fn too_long(length: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes is too long"))
}

pub(crate) fn write(writer: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    writer.write_all(&encode(message)?)
}

pub(crate) fn read<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<T> {
    let mut prefix = [0; 4];
    reader.read_exact(&mut prefix)?;
    let mut body = vec![0; length(prefix)?];
    reader.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

pub(crate) async fn read_async<T: DeserializeOwned>(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let mut prefix = [0; 4];
    reader.read_exact(&mut prefix).await?;
    let mut body = vec![0; length(prefix)?];
    reader.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}
