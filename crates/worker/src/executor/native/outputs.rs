//! What a program left under `/out`: only files, never through a link. Each is moved to a number of
//! the watcher's own as it is found, so that nothing later has to trust a name.

use super::super::outcome::{End, Output};
use super::infra;
use super::layout::Layout;
use super::tree::{self, Entry, Stopped};
use ciro_core::id::Hash;
use ciro_core::manifest::{MAX_OUTPUT_FILES, is_output_path};
use nix::fcntl::{AT_FDCWD, renameat};
use nix::sys::stat::SFlag;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Hashes every file; sorted by path. An error is the attempt's end.
pub(super) fn collect(layout: &Layout) -> Result<Vec<Output>, End> {
    let mut found = BTreeMap::new();
    let walked = tree::walk(&layout.out_dir, &mut |entry| {
        let number = found.len();
        let (path, output) = take(entry, layout.sealed_dir.join(number.to_string()))?;
        found.insert(path, output);
        match found.len() > MAX_OUTPUT_FILES {
            true => Err(Stopped::Refused(format!("more than {MAX_OUTPUT_FILES} files under /out"))),
            false => Ok(()),
        }
    });
    match walked {
        Ok(()) => Ok(found.into_values().collect()),
        Err(Stopped::Refused(message)) => Err(End::OutputRefused { message }),
        Err(Stopped::Failed(error)) => Err(infra("collect the outputs", &error)),
    }
}

fn take(entry: &Entry<'_>, to: PathBuf) -> Result<(Vec<u8>, Output), Stopped> {
    let shown = String::from_utf8_lossy(&entry.path[..entry.path.len().min(200)]);
    let refuse = |what: &str| Stopped::Refused(format!("{shown:?} under /out {what}"));
    match entry.kind() {
        SFlag::S_IFREG => {}
        SFlag::S_IFLNK => return Err(refuse("is a link; a result holds files only")),
        _ => return Err(refuse("is not a file; a result holds files only")),
    }
    let path = String::from_utf8(entry.path.to_vec()).ok().filter(|path| is_output_path(path));
    let path = path.ok_or_else(|| refuse("is not a path that a result can name"))?;
    let mut file = tree::open(entry)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file)?;
    renameat(entry.folder, entry.name, AT_FDCWD, &to)?;
    let output = Output { path, file: to, length: hasher.count(), hash: Hash(*hasher.finalize().as_bytes()) };
    Ok((output.path.clone().into_bytes(), output))
}
