//! The built-in word count on real text of the machine, whole and in pieces, against the same
//! count by the machine's own tools.

use crate::executor_bench::{Bench, Ran, whole};
use ciro_worker::executor::Input;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TEXT_BYTES: usize = 6_000_000;
const PIECE_BYTES: usize = 60_000;
/// Words in upper case, one a line with its count: made into `count word` by the last step.
const INDEPENDENT: &str = r"tr A-Z a-z | tr -s '[:space:]' '\n' | grep -a . | LC_ALL=C sort | uniq -c |
    sed -E 's/^ *([0-9]+) (.*)$/\2\t\1/'";

/// Text files below `dir`, in order, appended until there is enough.
fn gather(dir: &Path, text: &mut Vec<u8>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if text.len() >= TEXT_BYTES {
            return;
        }
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            gather(&path, text);
        } else if metadata.is_file() && metadata.len() < 1_000_000 {
            let bytes = fs::read(&path).unwrap_or_default();
            if !bytes.contains(&0) {
                text.extend_from_slice(&bytes);
            }
        }
    }
}

fn real_text() -> Vec<u8> {
    let mut text = Vec::new();
    for dir in ["/usr/include", "/usr/share/doc", "/usr/share/perl", "/usr/lib/python3", "/usr/share"] {
        gather(Path::new(dir), &mut text);
    }
    assert!(text.len() >= TEXT_BYTES / 6, "this machine has only {} bytes of text under /usr", text.len());
    // What the gathered files may lack: every kind of white space, letters beyond ASCII, no last line feed.
    text.extend_from_slice("\u{b}A\u{b}b\u{c}a\r\n\u{c4}\u{e4} \u{a0}\t\tEnd".as_bytes());
    text
}

fn independent(text: &Path) -> Vec<u8> {
    let script = format!("export LC_ALL=C; {INDEPENDENT}");
    let output =
        Command::new("sh").args(["-c", &script]).stdin(fs::File::open(text).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn result(ran: &Ran) -> Vec<u8> {
    assert!(ran.outcome.succeeded(), "{:?} {}", ran.outcome, String::from_utf8_lossy(&ran.stderr));
    let paths: Vec<&str> = ran.outcome.outputs.iter().map(|output| output.path.as_str()).collect();
    assert_eq!(paths, ["counts.tsv"]);
    fs::read(&ran.outcome.outputs[0].file).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn word_counts_are_those_of_sort_and_uniq() {
    let bench = Bench::new();
    let text = real_text();
    let file = bench.file("text", &text);
    let expected = independent(&file);

    let mut map = bench.request("wordcount", &["map"]);
    map.inputs = vec![whole("text", &file)];
    let counted = result(&bench.run(&map).await);
    assert!(counted == expected, "the whole text: {} and {} bytes", counted.len(), expected.len());

    let mut reduce = bench.request("wordcount", &["reduce"]);
    let mut start = 0;
    while start < text.len() {
        let rest = &text[start..];
        let cut = rest.iter().skip(PIECE_BYTES).position(|byte| *byte == b'\n');
        let length = cut.map_or(rest.len(), |at| PIECE_BYTES + at + 1);
        let mut piece = bench.request("wordcount", &["map"]);
        let (offset, length) = (start as u64, length as u64);
        piece.inputs = vec![Input { name: "text".into(), file: file.clone(), offset, length }];
        let ran = bench.run(&piece).await;
        result(&ran);
        let name = format!("{:04}/counts.tsv", reduce.inputs.len());
        reduce.inputs.push(whole(&name, &ran.outcome.outputs[0].file));
        start += length as usize;
    }
    assert!(reduce.inputs.len() > 64, "{} pieces do not need a second round", reduce.inputs.len());
    let reduced = result(&bench.run(&reduce).await);
    assert!(
        reduced == expected,
        "{} pieces: {} and {} bytes",
        reduce.inputs.len(),
        reduced.len(),
        expected.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_count_that_cannot_be_right_fails() {
    let bench = Bench::new();
    let unsorted = bench.file("unsorted", b"b\t1\na\t2\n");
    let torn = bench.file("torn", b"a\t1\nb\t");
    for (mode, files) in
        [("map", vec![&torn, &unsorted]), ("reduce", vec![&unsorted]), ("reduce", vec![&torn])]
    {
        let mut request = bench.request("wordcount", &[mode]);
        request.inputs = files.iter().enumerate().map(|(n, file)| whole(&n.to_string(), file)).collect();
        let ran = bench.run(&request).await;
        assert_eq!(ran.outcome.end.to_string(), "exited with code 2", "{mode}");
        assert!(ran.stderr.starts_with(b"wordcount: "), "{mode}");
    }
}
