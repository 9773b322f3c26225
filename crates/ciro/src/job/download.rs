//! `job download`: the files of a result, each whole or not at all.
//! Paths come from a program that ran elsewhere: only plain relative ones are followed.

use super::show;
use crate::again::again;
use crate::artifact::Incoming;
use crate::cli::Context;
use crate::error::{Exit, Failure};
use crate::ids;
use crate::progress;
use crate::table;
use ciro_api::job::JobResult;
use ciro_core::manifest::is_output_path;
use std::path::{Path, PathBuf};

/// What to download, and where to.
#[derive(Debug, clap::Args)]
pub struct DownloadArgs {
    /// The job: its id, the end of it, or `last`
    pub job: String,
    /// Folder that the files are written into; it is made
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
}

pub(super) async fn run(args: &DownloadArgs, context: &Context) -> Result<(), Failure> {
    let id = ids::job(&context.client, &args.job).await?;
    let result = again(|| context.client.job_result(id)).await?;
    write(context, &result, &args.output).await?;
    show::missing(&result).iter().for_each(|words| context.out.remark(words));
    context.out.one(&result, &result.hash.to_string(), || {
        let rows = result.files.iter();
        let rows =
            rows.map(|file| [table::size(file.length), args.output.join(&file.path).display().to_string()]);
        table::table(["size", "file"], rows)
    })
}

/// Writes the files of a result below `folder`.
///
/// # Errors
/// When a path is not a plain one, a part is not what its hash says, or the disk refuses.
pub(super) async fn write(context: &Context, result: &JobResult, folder: &Path) -> Result<(), Failure> {
    if let Some(file) = result.files.iter().find(|file| !is_output_path(&file.path)) {
        return Err(Failure::new(
            Exit::Failure,
            format!("the result names the path `{}`, which is not followed", file.path),
        ));
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::io(format!("cannot make {}", folder.display()), &error))?;
    let root = folder
        .canonicalize()
        .map_err(|error| Failure::io(format!("cannot open {}", folder.display()), &error))?;
    let total = result.files.iter().map(|file| file.length).sum();
    let bar = progress::bytes(context.out.is_live(), "download", total);
    for file in &result.files {
        let target = inside(&root, &file.path)?;
        let mut incoming = Incoming::create(&target)?;
        for part in &file.parts {
            incoming.append(context, part.artifact, Some(part.length), &bar).await?;
        }
        incoming.finish()?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Where a file goes; a link on the way that leads out of the folder is not followed.
fn inside(root: &Path, path: &str) -> Result<PathBuf, Failure> {
    let target = root.join(path);
    let existing = target.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(root);
    let real = existing
        .canonicalize()
        .map_err(|error| Failure::io(format!("cannot open {}", existing.display()), &error))?;
    if real.starts_with(root) {
        return Ok(target);
    }
    let message = format!("{} leads out of {}", target.display(), root.display());
    Err(Failure::new(Exit::Failure, message).hint("a link is in the way; download into an empty folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_in_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        assert_eq!(inside(&root, "a/b/c.txt").unwrap(), root.join("a/b/c.txt"));
        std::os::unix::fs::symlink("/tmp", root.join("out")).unwrap();
        assert!(inside(&root, "out/passwd").is_err());
        assert!(inside(&root, "out/deeper/passwd").is_err());
    }
}
