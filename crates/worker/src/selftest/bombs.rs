//! Programs that take all they can of one thing. Each ends by a limit, or by the kernel's refusal, which
//! it then reports and ends by itself.

use super::probes::{CONTAINED, ESCAPED};
use super::raw::fork;
use super::say;
use crate::executor::{End, Limits, TimeLimit};
use std::fs::{self, File};
use std::io::{self, Write};
use std::time::Duration;

/// The one that a worker tries its memory limit with.
pub(super) const MEMORY: &str = "memory";
/// More than any attempt of the self-test may have.
const PLENTY: usize = 100_000;
const PIECE_BYTES: usize = 1 << 20;

/// A bomb, what it takes, and how it has to end.
pub(super) struct Bomb {
    pub(super) name: &'static str,
    pub(super) takes: &'static str,
    run: fn() -> io::Result<()>,
    /// Bounds that make it end soon.
    pub(super) bounds: fn(&mut Limits),
    pub(super) ends: fn(&End) -> bool,
}

fn usual(_: &mut Limits) {}

fn by_refusal(end: &End) -> bool {
    *end == End::Exited { code: 0 }
}

fn by_memory(end: &End) -> bool {
    matches!(end, End::OutOfMemory { .. })
}

fn by_output(end: &End) -> bool {
    matches!(end, End::OutputRefused { .. })
}

fn by_clock(end: &End) -> bool {
    *end == End::Timeout { limit: TimeLimit::Wall }
}

fn by_cpu(end: &End) -> bool {
    *end == End::Timeout { limit: TimeLimit::Cpu }
}

fn short_clock(limits: &mut Limits) {
    limits.wall_ms = 1_500;
}

fn short_cpu(limits: &mut Limits) {
    limits.cpu_ms = 700;
}

pub(super) const BOMBS: &[Bomb] = &[
    Bomb {
        name: "fork",
        takes: "processes, each making more",
        run: fork_storm,
        bounds: short_clock,
        ends: by_clock,
    },
    Bomb { name: "threads", takes: "threads", run: threads, bounds: usual, ends: by_refusal },
    Bomb { name: MEMORY, takes: "memory", run: memory, bounds: usual, ends: by_memory },
    Bomb {
        name: "memory-of-many",
        takes: "memory in several processes",
        run: memory_of_many,
        bounds: usual,
        ends: by_memory,
    },
    Bomb {
        name: "memory-files",
        takes: "memory as files in memory",
        run: || fill("/dev/shm/file"),
        bounds: |limits| (limits.output_bytes, limits.memory_bytes) = (1 << 30, 16 << 20),
        ends: by_memory,
    },
    Bomb {
        name: "one-file",
        takes: "disk by one file",
        run: || fill("/out/file"),
        bounds: usual,
        ends: by_output,
    },
    Bomb {
        name: "files",
        takes: "disk by many files",
        run: many_large_files,
        bounds: usual,
        ends: by_output,
    },
    Bomb {
        name: "removed-files",
        takes: "disk by files without a name",
        run: removed_files,
        bounds: usual,
        ends: by_output,
    },
    Bomb { name: "names", takes: "names of empty files", run: names, bounds: usual, ends: by_output },
    Bomb { name: "depth", takes: "folders within folders", run: depth, bounds: usual, ends: by_output },
    Bomb { name: "log", takes: "log", run: log, bounds: short_clock, ends: by_clock },
    Bomb { name: "spin", takes: "CPU time", run: || spin(), bounds: short_cpu, ends: by_cpu },
    Bomb {
        name: "spin-of-many",
        takes: "CPU time in several processes",
        run: spin_of_many,
        bounds: short_cpu,
        ends: by_cpu,
    },
    Bomb { name: "sleep", takes: "time", run: || sleep(), bounds: short_clock, ends: by_clock },
    Bomb { name: "open-files", takes: "open files", run: open_files, bounds: usual, ends: by_refusal },
    Bomb { name: "daemon", takes: "life after its end", run: daemon, bounds: usual, ends: by_refusal },
];

/// Is the bomb of that name, or the program that does nothing, if it is one of these.
pub(super) fn run(name: &str) -> Option<i32> {
    if name == "nothing" {
        return Some(0);
    }
    let bomb = BOMBS.iter().find(|bomb| bomb.name == name)?;
    match (bomb.run)() {
        Err(error) => say(&format!("{CONTAINED}{error}")),
        Ok(()) => say(&format!("{ESCAPED}nothing stopped it")),
    }
    Some(0)
}

fn fork_storm() -> io::Result<()> {
    loop {
        let _ = fork(0);
    }
}

fn threads() -> io::Result<()> {
    for _ in 0..PLENTY {
        std::thread::Builder::new().stack_size(64 << 10).spawn(|| {
            let _ = sleep();
        })?;
    }
    Ok(())
}

fn memory() -> io::Result<()> {
    let mut kept = Vec::new();
    for n in 0..PLENTY {
        kept.push(vec![(n % 255) as u8 + 1; PIECE_BYTES]);
    }
    drop(kept);
    Ok(())
}

fn memory_of_many() -> io::Result<()> {
    const EACH: usize = 16;
    for _ in 0..8 {
        if fork(0)? == 0 {
            let kept: Vec<Vec<u8>> = (1..=EACH).map(|n| vec![n as u8; PIECE_BYTES]).collect();
            let _ = sleep();
            drop(kept);
        }
    }
    sleep()
}

fn fill(path: &str) -> io::Result<()> {
    let (mut file, piece) = (File::create(path)?, vec![1; PIECE_BYTES]);
    for _ in 0..PLENTY {
        file.write_all(&piece)?;
    }
    Ok(())
}

fn many_large_files() -> io::Result<()> {
    let piece = vec![1; PIECE_BYTES];
    for n in 0..PLENTY {
        fs::write(format!("/tmp/{n}"), &piece)?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn removed_files() -> io::Result<()> {
    let mut kept = Vec::new();
    for n in 0..32 {
        let path = format!("/tmp/{n}");
        let mut file = File::create(&path)?;
        fs::remove_file(&path)?;
        file.write_all(&vec![1; PIECE_BYTES])?;
        kept.push(file);
    }
    let ended = sleep();
    drop(kept);
    ended
}

fn names() -> io::Result<()> {
    for n in 0..PLENTY * 100 {
        fs::write(format!("/tmp/{n}"), "")?;
    }
    sleep()
}

fn depth() -> io::Result<()> {
    std::env::set_current_dir("/tmp")?;
    for _ in 0..PLENTY {
        fs::create_dir("x")?;
        std::env::set_current_dir("x")?;
    }
    sleep()
}

fn log() -> io::Result<()> {
    let piece = vec![b'x'; PIECE_BYTES];
    loop {
        io::stdout().write_all(&piece)?;
    }
}

fn spin() -> io::Result<()> {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

fn spin_of_many() -> io::Result<()> {
    for _ in 0..3 {
        if fork(0)? == 0 {
            break;
        }
    }
    spin()
}

fn sleep() -> io::Result<()> {
    loop {
        std::thread::sleep(Duration::from_secs(3_600));
    }
}

fn open_files() -> io::Result<()> {
    let mut kept = Vec::new();
    for _ in 0..PLENTY {
        kept.push(File::open("/dev/null")?);
    }
    drop(kept);
    Ok(())
}

/// A child of a child, in a session of its own, that outlives its parents. What it is called shows the
/// self-test whether it is still there.
fn daemon() -> io::Result<()> {
    if fork(0)? == 0 {
        let _ = nix::unistd::setsid();
        if fork(0)? == 0 {
            return sleep();
        }
        std::process::exit(0);
    }
    std::thread::sleep(Duration::from_millis(100));
    Err(io::Error::other("its child goes on, as far as it knows"))
}
