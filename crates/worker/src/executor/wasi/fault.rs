//! How a call ends when it does not simply succeed: an error number for the guest, or the end of
//! the attempt.

use super::abi::Errno;

/// Ends the attempt at once; travels through the engine as its error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The guest asked to exit.
    #[error("the program exited with code {0}")]
    Exit(u32),
    /// Files written would hold more than the limit.
    #[error("the program's files would hold more than {limit_bytes} bytes")]
    OutputExceeded { limit_bytes: u64 },
    /// Memory and tables would grow past the limit.
    #[error("the program asked for {wanted_bytes} bytes of memory, its limit is {limit_bytes}")]
    OutOfMemory { wanted_bytes: u64, limit_bytes: u64 },
    /// The worker could not do its part: an input vanished, a disk is full, the parent is gone.
    #[error("{0}")]
    Host(String),
}

/// Why a call did not succeed.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The guest is told, and goes on.
    Errno(Errno),
    /// The attempt ends.
    Fault(Fault),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Stop::Errno(errno)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

/// Turns an error of the worker's own file system into the end of the attempt.
pub(crate) fn host_error(doing: &str, error: &std::io::Error) -> Stop {
    Stop::Fault(Fault::Host(format!("{doing}: {error}")))
}
