//! System calls as numbers: what a program would do that wants out, past every library.

use std::io;

/// A call with up to six arguments.
#[expect(unsafe_code, reason = "a probe makes the calls that no library offers")]
pub(super) fn call(number: libc::c_long, args: &[usize]) -> io::Result<i64> {
    let arg = |i: usize| args.get(i).copied().unwrap_or(0);
    // SAFETY: callers pass null pointers, or pointers to values that outlive the call.
    let answer = unsafe { libc::syscall(number, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// A copy of this process; 0 in the copy.
pub(super) fn fork(flags: libc::c_int) -> io::Result<i64> {
    let flags = (flags | libc::SIGCHLD).cast_unsigned() as usize;
    call(libc::SYS_clone, &[flags, 0, 0, 0, 0])
}
