//! Keeping the memory of a process that holds keys from others: no core dumps, no reading through
//! `/proc`, no debugger of the same user.

use nix::sys::resource::{Resource, setrlimit};

/// Takes core dumps away from this process and those it starts, and makes it undumpable. Call it
/// before the first secret is read.
///
/// # Errors
/// When the system refuses.
pub fn keep_memory_private() -> std::io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}
