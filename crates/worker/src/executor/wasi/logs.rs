//! Standard output and error of the guest: written through to the parent's pipes as they come, up
//! to a limit over both; what comes after it is counted and dropped, and the guest does not notice.

use super::fault::{Fault, Stop};
use std::fs::File;
use std::io::Write;

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// The two pipes and what may still go through them.
#[derive(Debug)]
pub(crate) struct Logs {
    pub(crate) out: File,
    pub(crate) err: File,
    pub(crate) left_bytes: u64,
    pub(crate) dropped_bytes: u64,
}

impl Logs {
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Stop> {
        let kept = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(bytes.len());
        let pipe = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        pipe.write_all(&bytes[..kept]).map_err(|e| Fault::Host(format!("pass on the program's log: {e}")))?;
        self.left_bytes -= kept as u64;
        self.dropped_bytes += (bytes.len() - kept) as u64;
        Ok(())
    }
}
