//! `ciro artifact`, and the ways up and down that jobs share. Up: the file is hashed, declared,
//! and sent in pieces, resumed after a broken connection. Down: bytes go to a temporary file beside
//! the target, are checked against their hash, and only then get their name.

use crate::again::pause;
use crate::cli::Context;
use crate::error::{Exit, Failure};
use crate::output;
use crate::progress;
use crate::table;
use ciro_api::artifact::{Artifact, NewArtifact};
use ciro_api::client::PutError;
use ciro_core::id::Hash;
use indicatif::ProgressBar;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Broken connections in a row, without a byte of progress, before an upload or download is given up.
const MAX_BREAKS: u32 = 6;

/// Store bytes under their hash, and fetch them.
#[derive(Debug, clap::Subcommand)]
pub enum ArtifactCommand {
    /// Upload files
    #[command(after_help = "Examples:\n  ciro artifact put data.bin\n  ciro artifact put *.csv -o id")]
    Put {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Download an artifact; its hash is checked
    #[command(
        after_help = "Examples:\n  ciro artifact get 4c1f… --output data.bin\n  ciro artifact get 4c1f… | wc -c"
    )]
    Get {
        /// BLAKE3 hash, 64 hex digits
        hash: Hash,
        /// Write to this file; without it, or with -, to standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

pub(crate) async fn run(command: ArtifactCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ArtifactCommand::Put { files } => put(&files, context).await,
        ArtifactCommand::Get { hash, output } => get(hash, output.as_deref(), context).await,
    }
}

async fn put(files: &[PathBuf], context: &Context) -> Result<(), Failure> {
    let mut stored = Vec::with_capacity(files.len());
    for file in files {
        stored.push(upload(context, file).await?);
    }
    let show = |stored: &[Artifact]| {
        let rows = stored.iter().zip(files);
        let rows =
            rows.map(|(a, file)| [a.blake3.to_string(), table::size(a.size), file.display().to_string()]);
        table::table(["blake3", "size", "file"], rows)
    };
    context.out.many(&stored, |artifact| artifact.blake3.to_string(), show)
}

async fn get(hash: Hash, target: Option<&Path>, context: &Context) -> Result<(), Failure> {
    let target = target.filter(|path| *path != Path::new("-"));
    let bar = progress::bytes(context.out.is_live() && target.is_some(), "download", 0);
    match target {
        None => stream(context, hash, &bar).await,
        Some(path) => {
            let mut file = Incoming::create(path)?;
            file.append(context, hash, None, &bar).await?;
            file.finish()?;
            context.out.remark(&format!("{} has the bytes of {hash}", path.display()));
            Ok(())
        }
    }
}

/// Uploads a file, unless the server has its bytes already.
///
/// # Errors
/// When the file cannot be read, or the server does not take it.
pub(crate) async fn upload(context: &Context, path: &Path) -> Result<Artifact, Failure> {
    let shown = path.display().to_string();
    let (new, mut source) = declare(path).await?;
    let name = path.file_name().map_or_else(|| shown.clone(), |name| name.to_string_lossy().into_owned());
    let bar = progress::bytes(context.out.is_live(), &name, new.size);
    let mut breaks = 0;
    loop {
        let before = bar.position();
        match context.client.artifact_put(&new, &mut source, |done| bar.set_position(done)).await {
            Ok(artifact) => {
                bar.finish_and_clear();
                return Ok(artifact);
            }
            Err(PutError::Call(error)) => {
                breaks = if bar.position() > before { 1 } else { breaks + 1 };
                if breaks >= MAX_BREAKS || !error.is_retryable() {
                    return Err(error.into());
                }
                tokio::time::sleep(pause(breaks)).await;
            }
            Err(error @ PutError::Misfit) => return Err(Failure::new(Exit::Conflict, error.to_string())),
            Err(PutError::Source(error)) => {
                return Err(Failure::io(format!("cannot read {shown}"), &error)
                    .hint("did it change while it was uploaded?"));
            }
        }
    }
}

/// The hash and size of a file, and the file.
///
/// # Errors
/// When it cannot be read, or is a folder.
pub(crate) async fn declare(path: &Path) -> Result<(NewArtifact, tokio::fs::File), Failure> {
    let shown = path.display();
    if path.is_dir() {
        return Err(Failure::usage(format!("{shown} is a folder; an input is one file"))
            .hint("pack it: `tar cf data.tar FOLDER`"));
    }
    hash(path.to_owned()).await.map_err(|error| {
        let failure = Failure::io(format!("cannot read {shown}"), &error);
        Failure {
            exit: if error.kind() == io::ErrorKind::NotFound { Exit::Usage } else { failure.exit },
            ..failure
        }
    })
}

async fn hash(path: PathBuf) -> io::Result<(NewArtifact, tokio::fs::File)> {
    let hashed = tokio::task::spawn_blocking(move || {
        let mut file = File::open(path)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file)?;
        let new = NewArtifact { size: hasher.count(), blake3: Hash(*hasher.finalize().as_bytes()) };
        Ok::<_, io::Error>((new, file))
    });
    let (new, file) = hashed.await.map_err(io::Error::other)??;
    Ok((new, tokio::fs::File::from_std(file)))
}

/// Sends an artifact to standard output; the hash is checked at its end.
pub(crate) async fn stream(context: &Context, hash: Hash, bar: &ProgressBar) -> Result<(), Failure> {
    let mut hasher = blake3::Hasher::new();
    let take = |piece: &[u8]| {
        hasher.update(piece);
        output::bytes(piece)
    };
    receive(context, hash, None, bar, take).await?;
    check(hash, &hasher)
}

fn check(hash: Hash, hasher: &blake3::Hasher) -> Result<(), Failure> {
    let found = Hash(*hasher.finalize().as_bytes());
    if found == hash {
        return Ok(());
    }
    let message = format!("the bytes that came are not those of {hash}: their hash is {found}");
    Err(Failure::new(Exit::Failure, message)
        .hint("the server's storage may be damaged; try again, then tell its operator"))
}

/// Bytes of an artifact, in order, once each, over as many connections as it takes.
async fn receive(
    context: &Context,
    hash: Hash,
    length: Option<u64>,
    bar: &ProgressBar,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut got, mut total, mut breaks) = (0_u64, length, 0);
    while total.is_none_or(|total| got < total) {
        let range = total.filter(|_| got > 0).map(|total| got..total);
        let before = got;
        let error = match context.client.artifact_read(hash, range).await {
            Err(error) => error,
            Ok(mut bytes) => {
                total = total.or(bytes.len_bytes());
                if length.is_none() {
                    total.inspect(|total| bar.set_length(*total));
                }
                loop {
                    match bytes.next().await {
                        Ok(Some(piece)) => {
                            got += piece.len() as u64;
                            bar.inc(piece.len() as u64);
                            take(&piece)?;
                        }
                        Ok(None) if total.is_none_or(|total| got >= total) => return Ok(()),
                        Ok(None) => break ciro_api::client::Error::Silent,
                        Err(error) => break error,
                    }
                }
            }
        };
        breaks = if got > before { 1 } else { breaks + 1 };
        if breaks >= MAX_BREAKS || !error.is_retryable() || total.is_none() && got > 0 {
            return Err(error.into());
        }
        tokio::time::sleep(pause(breaks)).await;
    }
    Ok(())
}

/// A file that is being written beside its final name.
pub(crate) struct Incoming {
    file: tempfile::NamedTempFile,
    target: PathBuf,
}

impl Incoming {
    /// Begins a file that will be `target`; its folder is made.
    pub(crate) fn create(target: &Path) -> Result<Incoming, Failure> {
        let folder = target.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let made = std::fs::create_dir_all(folder).and_then(|()| {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
            tempfile::Builder::new().prefix(".ciro-").permissions(permissions).tempfile_in(folder)
        });
        let file =
            made.map_err(|error| Failure::io(format!("cannot write in {}", folder.display()), &error))?;
        Ok(Incoming { file, target: target.to_owned() })
    }

    /// Adds the bytes of an artifact, checked against its hash.
    pub(crate) async fn append(
        &mut self,
        context: &Context,
        hash: Hash,
        length: Option<u64>,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let mut hasher = blake3::Hasher::new();
        let target = self.target.display().to_string();
        let file = self.file.as_file_mut();
        let take = |piece: &[u8]| {
            hasher.update(piece);
            file.write_all(piece).map_err(|error| Failure::io(format!("cannot write {target}"), &error))
        };
        receive(context, hash, length, bar, take).await?;
        check(hash, &hasher)
    }

    /// Gives the file its name; an older one of that name is replaced at once.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let cannot =
            |error: &io::Error| Failure::io(format!("cannot write {}", self.target.display()), error);
        self.file.as_file().sync_all().map_err(|error| cannot(&error))?;
        self.file.persist(&self.target).map(drop).map_err(|error| cannot(&error.error))
    }
}
