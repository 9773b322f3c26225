//! Making, renaming, overwriting, truncating, removing; reading what was removed; sparse files.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Result, Seek, SeekFrom, Write};

fn say<T: std::fmt::Debug>(text: &mut String, what: &str, result: Result<T>) {
    match result {
        Ok(value) => writeln!(text, "{}: {:?}", what, value).unwrap(),
        Err(error) => writeln!(text, "{}: errno {:?}", what, error.raw_os_error()).unwrap(),
    }
}

fn main() {
    let t = &mut String::new();
    say(t, "write", fs::write("/tmp/a", "first"));
    say(t, "mkdir", fs::create_dir_all("/tmp/d/e"));
    say(t, "mkdir again", fs::create_dir("/tmp/d"));
    say(t, "rename", fs::rename("/tmp/a", "/tmp/d/e/b"));
    say(t, "rename missing", fs::rename("/tmp/a", "/tmp/c"));
    say(t, "rename into itself", fs::rename("/tmp/d", "/tmp/d/e/d"));
    say(t, "rename across", fs::rename("/tmp/d/e/b", "/out/b"));
    say(t, "rmdir full", fs::remove_dir("/tmp/d"));
    say(t, "unlink dir", fs::remove_file("/tmp/d"));
    say(t, "rmdir file", fs::remove_dir("/out/b"));
    let mut file = OpenOptions::new().read(true).write(true).open("/out/b").unwrap();
    say(t, "unlink open", fs::remove_file("/out/b"));
    let mut left = String::new();
    say(t, "read removed", file.read_to_string(&mut left));
    say(t, "append removed", file.write_all(b" and more"));
    say(t, "seek", file.seek(SeekFrom::Start(2)));
    left.clear();
    say(t, "read again", file.read_to_string(&mut left));
    say(t, "content", Ok(&left));
    say(t, "seek before start", file.seek(SeekFrom::Current(-100)));
    say(t, "open removed", File::open("/out/b"));
    say(
        t,
        "create new",
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open("/out/s")
            .map(|_| ()),
    );
    say(
        t,
        "create new again",
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open("/out/s")
            .map(|_| ()),
    );
    let mut sparse = OpenOptions::new().read(true).write(true).open("/out/s").unwrap();
    say(t, "seek far", sparse.seek(SeekFrom::Start(100_000)));
    say(t, "write far", sparse.write(b"end"));
    say(t, "set length", sparse.set_len(100_001));
    let mut bytes = Vec::new();
    say(t, "rewind", sparse.seek(SeekFrom::Start(0)));
    say(t, "read sparse", sparse.read_to_end(&mut bytes));
    say(t, "not zero", Ok(bytes.iter().filter(|byte| **byte != 0).count()));
    let mut log = OpenOptions::new()
        .append(true)
        .create(true)
        .open("/out/log")
        .unwrap();
    say(t, "append", log.write_all(b"one\n"));
    say(t, "overwrite while open", fs::write("/out/log", "zero\n"));
    say(t, "append again", log.write_all(b"two\n"));
    say(t, "log", fs::read_to_string("/out/log"));
    say(
        t,
        "many open",
        (0..300)
            .map(|n| File::create(format!("/tmp/{}", n)))
            .collect::<Result<Vec<_>>>()
            .map(|_| ()),
    );
    say(t, "copy", fs::copy("/out/log", "/out/copy"));
    fs::write("/out/result.txt", t).unwrap();
}
