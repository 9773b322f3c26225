//! Programs that misbehave on purpose, to try limits and failure handling. The first argument
//! chooses one:
//!
//! - `sleep [ms]`: waits (1,000 ms), then leaves `/out/slept.txt`
//! - `fail [code | trap]`: exits with the code (1), or executes `unreachable`
//! - `spin`: computes for ever
//! - `oom`: takes memory for ever
//! - `spam [stdout | stderr | file] [bytes]`: writes that much (for ever) to a log or `/out/spam`

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |index: usize| args.get(index).map(String::as_str);
    match arg(0) {
        Some("sleep") => sleep(number(arg(1), 1_000)),
        Some("fail") if arg(1) == Some("trap") => trap(),
        Some("fail") => std::process::exit(number(arg(1), 1) as i32),
        Some("spin") => spin(),
        Some("oom") => oom(),
        Some("spam") => spam(arg(1).unwrap_or("stdout"), number(arg(2), u64::MAX)),
        _ => refuse("use `sleep`, `fail`, `spin`, `oom` or `spam`"),
    }
}

fn refuse(what: &str) -> ! {
    eprintln!("trouble: {}", what);
    std::process::exit(2)
}

fn number(text: Option<&str>, default: u64) -> u64 {
    match text.map(str::parse) {
        None => default,
        Some(Ok(number)) => number,
        Some(Err(_)) => refuse(&format!("{:?} is not a number", text.unwrap_or_default())),
    }
}

fn sleep(ms: u64) {
    println!("sleeping {} ms", ms);
    std::thread::sleep(std::time::Duration::from_millis(ms));
    if let Err(error) = std::fs::write("/out/slept.txt", format!("{} ms\n", ms)) {
        refuse(&format!("/out/slept.txt: {}", error));
    }
    println!("slept {} ms", ms);
}

fn trap() {
    println!("about to trap");
    std::process::abort()
}

fn spin() {
    static TURNS: AtomicU64 = AtomicU64::new(0);
    println!("spinning");
    loop {
        TURNS.fetch_add(1, Ordering::SeqCst);
    }
}

fn oom() {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    println!("taking memory");
    loop {
        taken.push(vec![taken.len() as u8 | 1; 1 << 20]);
    }
}

fn spam(to: &str, mut bytes: u64) {
    let mut line = vec![b'x'; 999];
    line.push(b'\n');
    let mut out: Box<dyn Write> = match to {
        "stdout" => Box::new(std::io::stdout()),
        "stderr" => Box::new(std::io::stderr()),
        "file" => match std::fs::File::create("/out/spam") {
            Ok(file) => Box::new(file),
            Err(error) => refuse(&format!("/out/spam: {}", error)),
        },
        _ => refuse("spam goes to `stdout`, `stderr` or `file`"),
    };
    while bytes > 0 {
        let length = bytes.min(line.len() as u64) as usize;
        if let Err(error) = out.write_all(&line[..length]) {
            refuse(&format!("cannot write any more: {}", error));
        }
        bytes -= length as u64;
    }
}
