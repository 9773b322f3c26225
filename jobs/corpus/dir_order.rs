//! Order of directory entries, in `/in` as laid out and in `/out` as made; also while entries are
//! removed during the listing.

use std::fmt::Write;
use std::fs;

fn list(text: &mut String, dir: &str) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path().display().to_string();
        let is_dir = entry.file_type().unwrap().is_dir();
        writeln!(text, "{} {}", path, if is_dir { "dir" } else { "file" }).unwrap();
        if is_dir {
            list(text, &path);
        }
    }
}

fn main() {
    let mut text = String::new();
    list(&mut text, "/in");
    fs::create_dir_all("/tmp/tree/branch").unwrap();
    for n in [9, 1, 5, 10, 3] {
        fs::write(format!("/tmp/tree/leaf-{}", n), "x").unwrap();
        fs::write(format!("/tmp/tree/branch/{}", n), "x").unwrap();
    }
    for n in 0..300 {
        fs::write(format!("/tmp/tree/branch/many-{:03}", n * 7 % 300), "").unwrap();
    }
    list(&mut text, "/tmp");
    fs::remove_dir_all("/tmp/tree").unwrap();
    writeln!(text, "left: {}", fs::read_dir("/tmp").unwrap().count()).unwrap();
    fs::write("/out/result.txt", text).unwrap();
}
