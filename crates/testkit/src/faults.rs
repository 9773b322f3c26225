//! Faults of disks and clocks: an ext4 whose power can be cut, a small disk that fills up, calls
//! of the disk that fail, and a wall clock that is set. The first two mount file systems, which needs root; where that is not possible the test
//! fails and says so, because a test that was skipped shows nothing.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const NEEDS: &str =
    "these tests mount file systems: run them as root, where loop devices and mount are allowed";
const CUT: &str = include_str!("faults/cut_power.c");
const BAD_FSYNC: &str = include_str!("faults/bad_fsync.c");
const BAD_IO: &str = include_str!("faults/bad_io.c");
const SKEWED_CLOCK: &str = include_str!("faults/skewed_clock.c");
const SLOW_FSYNC: &str = include_str!("faults/slow_fsync.c");

/// An ext4 of its own on a loop device. What was not flushed when its power is cut is gone.
#[derive(Debug)]
pub struct LoopDisk {
    image: PathBuf,
    boots: u32,
    mount: PathBuf,
    cut: PathBuf,
}

impl LoopDisk {
    /// Makes and mounts one under `folder`.
    ///
    /// # Errors
    /// When it cannot be made or mounted.
    pub fn create(folder: &Path, mib: u64) -> Result<LoopDisk> {
        let disk = LoopDisk {
            image: folder.join("disk.img"),
            boots: 0,
            mount: folder.join("disk"),
            cut: folder.join("cut_power"),
        };
        std::fs::write(folder.join("cut_power.c"), CUT)?;
        compile(&folder.join("cut_power.c"), &disk.cut, &[])?;
        File::create_new(&disk.image)?.set_len(mib << 20)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk.image))?;
        std::fs::create_dir(&disk.mount)?;
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<()> {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount)).context(NEEDS)
    }

    /// Cuts its power: from now on every write to it fails, and what was not flushed is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn cut_power(&self) -> Result<()> {
        run(Command::new(&self.cut).arg(&self.mount)).context(NEEDS)
    }

    /// Brings the power back: what had reached the disk is mounted again. It is a copy: a mount
    /// namespace that some other program made meanwhile may keep the old disk alive, and it would be
    /// found again by its file, dead as it is.
    ///
    /// # Errors
    /// When something still uses the old one, or the new one cannot be mounted.
    pub fn power_back(&mut self) -> Result<()> {
        run(Command::new("umount").arg(&self.mount))?;
        self.boots += 1;
        let next = self.image.with_file_name(format!("disk-{}.img", self.boots));
        run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&next))?;
        std::fs::remove_file(&self.image)?;
        self.image = next;
        self.mount()
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Lazily: whoever still uses it is about to end, or the test has failed already.
        let _ = run(Command::new("umount").arg("-l").arg(&self.mount));
    }
}

/// A disk in memory that fills up soon.
#[derive(Debug)]
pub struct SmallDisk {
    mount: PathBuf,
}

impl SmallDisk {
    /// Mounts one under `folder`.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn create(folder: &Path, mib: u64) -> Result<SmallDisk> {
        let mount = folder.join("small");
        std::fs::create_dir(&mount)?;
        let size = format!("size={mib}m");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&mount)).context(NEEDS)?;
        Ok(SmallDisk { mount })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("-l").arg(&self.mount));
    }
}

/// Builds the library under whose `LD_PRELOAD` one fsync fails: number `FSYNC_FAIL_AT`, or the first of
/// the file `FSYNC_FAIL_OF` after the file `FSYNC_FAIL_FROM` exists.
///
/// # Errors
/// When there is no C compiler.
pub fn bad_fsync(folder: &Path) -> Result<PathBuf> {
    preloaded(folder, "bad_fsync", BAD_FSYNC)
}

/// Builds the library under whose `LD_PRELOAD` every fsync takes `FSYNC_SLOWER_US` µs longer.
///
/// # Errors
/// When there is no C compiler.
pub fn slow_fsync(folder: &Path) -> Result<PathBuf> {
    preloaded(folder, "slow_fsync", SLOW_FSYNC)
}

/// Builds the library under whose `LD_PRELOAD` some writes and fsyncs fail; its text says which.
///
/// # Errors
/// When there is no C compiler.
pub fn bad_io(folder: &Path) -> Result<PathBuf> {
    preloaded(folder, "bad_io", BAD_IO)
}

/// A wall clock that a test sets. Programs that are to go by it are started with its variables.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// One that is right.
    ///
    /// # Errors
    /// When there is no C compiler.
    pub fn create(folder: &Path) -> Result<Clock> {
        let library = preloaded(folder, "skewed_clock", SKEWED_CLOCK)?;
        let clock = Clock { library, file: folder.join("clock_offset") };
        clock.set(0)?;
        Ok(clock)
    }

    /// Puts it off by so many ms, at once, for everybody who goes by it.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn set(&self, offset_ms: i64) -> Result<()> {
        let file = File::options().create(true).truncate(false).write(true).open(&self.file)?;
        Ok(file.write_all_at(&offset_ms.to_ne_bytes(), 0)?)
    }

    /// The variables of a program that goes by it.
    #[must_use]
    pub fn variables(&self) -> [(String, String); 2] {
        let text = |path: &Path| path.display().to_string();
        [("LD_PRELOAD".into(), text(&self.library)), ("CLOCK_OFFSET_FILE".into(), text(&self.file))]
    }
}

fn preloaded(folder: &Path, name: &str, code: &str) -> Result<PathBuf> {
    let (source, library) = (folder.join(name).with_extension("c"), folder.join(name).with_extension("so"));
    std::fs::write(&source, code)?;
    compile(&source, &library, &["-shared", "-fPIC"])?;
    Ok(library)
}

fn compile(source: &Path, made: &Path, options: &[&str]) -> Result<()> {
    let mut cc = Command::new("cc");
    run(cc.args(options).arg(source).arg("-o").arg(made))
        .context("the fault is written in C: install a C compiler")
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
