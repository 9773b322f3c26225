//! Attempts to reach what is not the job's: every one of them is refused, always the same way.

use std::fmt::Write as _;
use std::fs;
use std::io::Result;

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn path_open(
        fd: u32,
        look_up: u32,
        path: *const u8,
        length: usize,
        flags: u32,
        rights: u64,
        inheriting: u64,
        fd_flags: u32,
        opened: *mut u32,
    ) -> u16;
    fn path_symlink(old: *const u8, old_length: usize, fd: u32, new: *const u8, new_length: usize) -> u16;
    fn path_link(
        fd: u32,
        flags: u32,
        old: *const u8,
        old_length: usize,
        new_fd: u32,
        new: *const u8,
        new_length: usize,
    ) -> u16;
    fn sock_accept(fd: u32, flags: u32, accepted: *mut u32) -> u16;
    fn proc_raise(signal: u32) -> u16;
    fn fd_read(fd: u32, buffers: *const u8, count: usize, size: *mut u32) -> u16;
}

fn say<T>(text: &mut String, what: &str, result: Result<T>) {
    writeln!(
        text,
        "{}: {:?}",
        what,
        result.map(|_| "REACHED").map_err(|error| error.raw_os_error())
    )
    .unwrap();
}

fn main() {
    let t = &mut String::new();
    for path in [
        "/etc/passwd",
        "etc/passwd",
        "../etc/passwd",
        "/in/../etc/passwd",
        "/out/../../../etc/passwd",
        "/proc/self/environ",
        "/dev/urandom",
        "/",
        ".",
        "/in/..",
        "/tmp/../in/greeting",
        "//etc//passwd",
    ] {
        say(t, path, fs::metadata(path));
    }
    for path in [
        "/etc/passwd",
        "..",
        "../in/greeting",
        "x/../../in",
        "passwd\0",
        "\u{fffd}",
    ] {
        for fd in [3, 4, 5, 6, 1000] {
            let mut opened = 0;
            let errno = unsafe { path_open(fd, 1, path.as_ptr(), path.len(), 0, 2, 0, 0, &mut opened) };
            writeln!(t, "open {} {:?}: {}", fd, path, errno).unwrap();
        }
    }
    say(t, "write to /in", fs::write("/in/new", "x"));
    say(t, "overwrite /in", fs::write("/in/greeting", "x"));
    say(t, "remove from /in", fs::remove_file("/in/greeting"));
    say(
        t,
        "rename out of /in",
        fs::rename("/in/greeting", "/out/greeting"),
    );
    say(t, "connect", std::net::TcpStream::connect("127.0.0.1:80"));
    let (old, new) = ("/etc/passwd", "link");
    unsafe {
        writeln!(
            t,
            "symlink {}",
            path_symlink(old.as_ptr(), old.len(), 4, new.as_ptr(), new.len())
        )
        .unwrap();
        writeln!(
            t,
            "link {}",
            path_link(4, 0, old.as_ptr(), old.len(), 4, new.as_ptr(), new.len())
        )
        .unwrap();
        writeln!(t, "accept {}", sock_accept(3, 0, &mut 0)).unwrap();
        writeln!(t, "raise {}", proc_raise(9)).unwrap();
        writeln!(
            t,
            "bad pointer {}",
            fd_read(0, 0xffff_fff8_usize as *const u8, 9, &mut 0)
        )
        .unwrap();
    }
    say(t, "read the link", fs::read("/out/link"));
    fs::write("/out/result.txt", t).unwrap();
}
