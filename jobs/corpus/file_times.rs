//! Everything that the interface tells about a file: times, inode, device, links, size, type.

use std::fmt::Write;
use std::fs;

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn path_filestat_get(fd: u32, flags: u32, path: *const u8, length: usize, stat: *mut u8) -> u16;
}

fn stat(text: &mut String, fd: u32, path: &str) {
    let mut bytes = [0xff_u8; 64];
    let errno = unsafe { path_filestat_get(fd, 1, path.as_ptr(), path.len(), bytes.as_mut_ptr()) };
    writeln!(text, "{} {} {} {:?}", fd, path, errno, &bytes[..]).unwrap();
}

fn main() {
    let mut text = String::new();
    for entry in fs::read_dir("/in").unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let name = entry.file_name().into_string().unwrap();
        let modified = metadata
            .modified()
            .unwrap()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        writeln!(text, "{} {} {:?}", name, metadata.len(), modified).unwrap();
        stat(&mut text, 3, &name);
    }
    fs::write("/out/made", "12345").unwrap();
    fs::create_dir("/out/dir").unwrap();
    for path in ["made", "dir", ".", "missing"] {
        stat(&mut text, 4, path);
    }
    fs::write("/out/result.txt", text).unwrap();
}
