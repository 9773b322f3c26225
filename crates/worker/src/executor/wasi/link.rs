//! The table of functions, and the one way into each: find the guest's memory, run the call, turn
//! its end into an error number or a fault.

use super::abi::MODULE;
use super::fault::Stop;
use super::{Guest, Host, fd_calls, path_calls, poll, system_calls};
use wasmtime::{Caller, Extern, Linker};

/// Success, and the errno of a module that calls in without exporting a memory.
const SUCCESS: i32 = 0;

fn enter(
    caller: &mut Caller<'_, Host>,
    call: impl FnOnce(&mut Guest<'_>) -> Result<(), Stop>,
) -> wasmtime::Result<i32> {
    let known = caller.data().memory;
    let memory = known.or_else(|| caller.get_export("memory").and_then(Extern::into_memory));
    caller.data_mut().memory = memory;
    let ended = match memory {
        Some(memory) => {
            let (memory, host) = memory.data_and_store_mut(caller);
            call(&mut Guest { memory, host })
        }
        None => call(&mut Guest { memory: &mut [], host: caller.data_mut() }),
    };
    match ended {
        Ok(()) => Ok(SUCCESS),
        Err(Stop::Errno(errno)) => Ok(errno as i32),
        Err(Stop::Fault(fault)) => Err(wasmtime::Error::new(fault)),
    }
}

/// One line per function: its parameters as the interface declares them.
macro_rules! functions {
    ($linker:ident: $($room:ident::$name:ident($($arg:ident: $type:ty),*);)*) => {$(
        $linker.func_wrap(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, Host>, $($arg: $type),*| {
                enter(&mut caller, |guest| $room::$name(guest, $($arg),*))
            },
        )?;
    )*};
}

/// Adds all 46 functions of the interface.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    functions! { linker:
        system_calls::args_get(argv: u32, buffer: u32);
        system_calls::args_sizes_get(count: u32, size: u32);
        system_calls::environ_get(environ: u32, buffer: u32);
        system_calls::environ_sizes_get(count: u32, size: u32);
        system_calls::clock_res_get(id: u32, resolution: u32);
        system_calls::clock_time_get(id: u32, precision: u64, time: u32);
        system_calls::random_get(buffer: u32, length: u32);
        system_calls::sched_yield();
        system_calls::proc_raise(signal: u32);
        system_calls::sock_accept(fd: u32, flags: u32, accepted: u32);
        system_calls::sock_recv(fd: u32, data: u32, count: u32, flags: u32, size: u32, out_flags: u32);
        system_calls::sock_send(fd: u32, data: u32, count: u32, flags: u32, size: u32);
        system_calls::sock_shutdown(fd: u32, how: u32);
        poll::poll_oneoff(subscriptions: u32, events: u32, count: u32, ready: u32);
        fd_calls::fd_advise(fd: u32, offset: u64, length: u64, advice: u32);
        fd_calls::fd_allocate(fd: u32, offset: u64, length: u64);
        fd_calls::fd_close(fd: u32);
        fd_calls::fd_datasync(fd: u32);
        fd_calls::fd_fdstat_get(fd: u32, stat: u32);
        fd_calls::fd_fdstat_set_flags(fd: u32, flags: u32);
        fd_calls::fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64);
        fd_calls::fd_filestat_get(fd: u32, stat: u32);
        fd_calls::fd_filestat_set_size(fd: u32, size: u64);
        fd_calls::fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32);
        fd_calls::fd_pread(fd: u32, buffers: u32, count: u32, offset: u64, size: u32);
        fd_calls::fd_prestat_get(fd: u32, prestat: u32);
        fd_calls::fd_prestat_dir_name(fd: u32, path: u32, length: u32);
        fd_calls::fd_pwrite(fd: u32, buffers: u32, count: u32, offset: u64, size: u32);
        fd_calls::fd_read(fd: u32, buffers: u32, count: u32, size: u32);
        fd_calls::fd_readdir(fd: u32, buffer: u32, length: u32, cookie: u64, used: u32);
        fd_calls::fd_renumber(from: u32, to: u32);
        fd_calls::fd_seek(fd: u32, offset: i64, whence: u32, position: u32);
        fd_calls::fd_sync(fd: u32);
        fd_calls::fd_tell(fd: u32, position: u32);
        fd_calls::fd_write(fd: u32, buffers: u32, count: u32, size: u32);
        path_calls::path_create_directory(fd: u32, path: u32, length: u32);
        path_calls::path_filestat_get(fd: u32, flags: u32, path: u32, length: u32, stat: u32);
        path_calls::path_filestat_set_times(
            fd: u32, flags: u32, path: u32, length: u32, accessed: u64, modified: u64, which: u32
        );
        path_calls::path_link(
            fd: u32, flags: u32, path: u32, length: u32, new_fd: u32, new_path: u32, new_length: u32
        );
        path_calls::path_open(
            fd: u32, look_up: u32, path: u32, length: u32, flags: u32, rights: u64, inheriting: u64,
            fd_flags: u32, opened: u32
        );
        path_calls::path_readlink(fd: u32, path: u32, length: u32, buffer: u32, size: u32, used: u32);
        path_calls::path_remove_directory(fd: u32, path: u32, length: u32);
        path_calls::path_rename(
            fd: u32, path: u32, length: u32, new_fd: u32, new_path: u32, new_length: u32
        );
        path_calls::path_symlink(old_path: u32, old_length: u32, fd: u32, path: u32, length: u32);
        path_calls::path_unlink_file(fd: u32, path: u32, length: u32);
    }
    linker.func_wrap(MODULE, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(super::Fault::Exit(code)))
    })?;
    Ok(())
}
