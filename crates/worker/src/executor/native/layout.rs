//! The files of one native attempt: `/in` as files of their own ranges, `/tmp`, `/out`, the program.
//! They lie in the attempt's folder, which only the worker may enter. A worker that is root runs
//! programs as nobody, who could not reach them there: it shows them to `bwrap` in a mount namespace
//! of the watcher alone, in memory over a folder that is not needed. It ends with the watcher.

use super::super::outcome::End;
use super::super::request::{AttemptRequest, Input, Native, NativeFile};
use super::{NOBODY, infra};
use ciro_core::id::Hash;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Folders over which the files are shown; the first that holds nothing we need is taken.
const PLACES: [&str; 6] = ["/mnt", "/srv", "/media", "/opt", "/run", "/tmp"];
/// Readable and executable for everybody.
const PUBLIC: u32 = 0o755;
/// Programs of this system lie below it, and nowhere else.
const SYSTEM: &str = "/usr";

/// Where everything is.
#[derive(Debug)]
pub(super) struct Layout {
    /// Files under `/in`, as `bwrap` finds them.
    pub(super) inputs: PathBuf,
    /// What becomes `/out`, as `bwrap` finds it.
    pub(super) out: PathBuf,
    /// What becomes `/tmp`, as `bwrap` finds it.
    pub(super) tmp: PathBuf,
    /// The client's program, as `bwrap` finds it.
    pub(super) program: Option<PathBuf>,
    /// What becomes `/out`, as the worker knows it.
    pub(super) out_dir: PathBuf,
    /// What becomes `/tmp`, as the worker knows it.
    pub(super) tmp_dir: PathBuf,
    /// For outputs that were collected.
    pub(super) sealed_dir: PathBuf,
    /// Whether the worker is root and the program nobody.
    pub(super) as_nobody: bool,
}

impl Layout {
    /// Makes the folders and files. An error is the attempt's end.
    pub(super) fn prepare(request: &AttemptRequest, native: &Native) -> Result<Layout, End> {
        let program = program(&native.program)?;
        let files = Files { dir: &native.dir, out_dir: &request.out_dir, program };
        files.lay_out(&request.inputs).map_err(|error| infra("lay out the program's files", &error))
    }
}

/// The client's program, verified; one of this system is only looked for.
fn program(wanted: &NativeFile) -> Result<Option<PathBuf>, End> {
    match wanted {
        NativeFile::Probe => Ok(None),
        NativeFile::System(path) => {
            let found = fs::canonicalize(path).and_then(|real| Ok((fs::metadata(&real)?, real)));
            match found {
                Ok((metadata, real)) if real.starts_with(SYSTEM) && metadata.is_file() => Ok(None),
                Ok(_) => {
                    Err(End::InvalidRequest { message: format!("{path} is not a program below {SYSTEM}") })
                }
                Err(error) => Err(infra(&format!("find {path} on this worker"), &error)),
            }
        }
        NativeFile::Executable { file, hash } => {
            let read = verified(file, *hash);
            match read.map_err(|error| infra("read the program", &error))? {
                Verified::Yes => Ok(Some(file.clone())),
                Verified::WrongHash => Err(infra(
                    "read the program",
                    &io::Error::other("its bytes are not those that the job names"),
                )),
                Verified::NotOurs => Err(End::InvalidRequest {
                    message: format!(
                        "the executable is not a 64-bit ELF program for {}; scripts need their interpreter as \
                         `program` and themselves as an input",
                        std::env::consts::ARCH
                    ),
                }),
            }
        }
    }
}

enum Verified {
    Yes,
    WrongHash,
    NotOurs,
}

fn verified(path: &Path, hash: Hash) -> io::Result<Verified> {
    let mut head = [0; 20];
    let mut file = File::open(path)?;
    let elf = file.read_exact(&mut head).is_ok() && is_elf_for_us(&head);
    file.rewind()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file)?;
    if Hash(*hasher.finalize().as_bytes()) != hash {
        return Ok(Verified::WrongHash);
    }
    if !elf {
        return Ok(Verified::NotOurs);
    }
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o555 != 0o555 {
        fs::set_permissions(path, Permissions::from_mode(PUBLIC))?;
    }
    Ok(Verified::Yes)
}

/// Magic, 64 bits, little end first, and the number of this architecture.
fn is_elf_for_us(head: &[u8; 20]) -> bool {
    let machine: u16 = match std::env::consts::ARCH {
        "x86_64" => 62,
        "aarch64" => 183,
        _ => return false,
    };
    head.starts_with(b"\x7fELF\x02\x01") && head[18..] == machine.to_le_bytes()
}

struct Files<'a> {
    dir: &'a Path,
    out_dir: &'a Path,
    program: Option<PathBuf>,
}

impl Files<'_> {
    fn lay_out(self, inputs: &[Input]) -> io::Result<Layout> {
        let (in_dir, tmp_dir, sealed_dir) =
            (self.dir.join("in"), self.dir.join("tmp"), self.dir.join("sealed"));
        for dir in [&in_dir, &tmp_dir] {
            DirBuilder::new().mode(PUBLIC).create(dir)?;
        }
        fs::create_dir(&sealed_dir)?;
        for input in inputs {
            place(&in_dir, input)?;
        }
        let as_nobody = geteuid().is_root();
        let mut layout = Layout {
            inputs: in_dir,
            out: self.out_dir.to_owned(),
            tmp: tmp_dir.clone(),
            program: self.program,
            out_dir: self.out_dir.to_owned(),
            tmp_dir,
            sealed_dir,
            as_nobody,
        };
        if as_nobody {
            for dir in [&layout.out_dir, &layout.tmp_dir] {
                chown(dir, Some(NOBODY), Some(NOBODY))?;
            }
            show(&mut layout, self.dir)?;
        }
        Ok(layout)
    }
}

/// Copies an input's range into a file of its own; the kernel shares the bytes where it can.
fn place(in_dir: &Path, input: &Input) -> io::Result<()> {
    let path = in_dir.join(&input.name);
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(PUBLIC).create(parent)?;
    }
    let mut from = File::open(&input.file)?;
    from.seek(SeekFrom::Start(input.offset))?;
    let mut to = File::create_new(&path)?;
    let copied = io::copy(&mut from.take(input.length), &mut to)?;
    if copied != input.length {
        let text = format!("{} holds fewer bytes than the range of `{}`", input.file.display(), input.name);
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    fs::set_permissions(&path, Permissions::from_mode(0o444))
}

/// Shows the files where nobody can reach them, to this process and its children only.
fn show(layout: &mut Layout, dir: &Path) -> io::Result<()> {
    let nothing: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What is mounted here stays here; what the machine unmounts goes here too and is not kept busy.
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_SLAVE, nothing)?;
    let real = fs::canonicalize(dir)?;
    let needed = [Some(real.as_path()), layout.program.as_deref(), Some(layout.out_dir.as_path())];
    let is_free =
        |place: &&Path| place.is_dir() && !needed.iter().flatten().any(|needed| needed.starts_with(place));
    let place = PLACES.iter().map(Path::new).find(is_free);
    let place = place.ok_or_else(|| io::Error::other("no folder is free to show the program's files in"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("ciro"), place, Some("tmpfs"), flags, Some("mode=755,size=64k"))?;
    let bind = |from: &Path, name: &str| -> io::Result<PathBuf> {
        let to = place.join(name);
        if from.is_dir() {
            DirBuilder::new().mode(PUBLIC).create(&to)?;
        } else {
            File::create(&to)?;
        }
        mount(Some(from), &to, nothing, MsFlags::MS_BIND, nothing)?;
        Ok(to)
    };
    layout.inputs = bind(&layout.inputs, "in")?;
    layout.out = bind(&layout.out_dir, "out")?;
    layout.tmp = bind(&layout.tmp_dir, "tmp")?;
    layout.program = match &layout.program {
        Some(program) => Some(bind(program, "program")?),
        None => None,
    };
    Ok(())
}
