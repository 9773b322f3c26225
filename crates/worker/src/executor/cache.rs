//! Compiled modules on disk, shared by the attempts of a worker. A file is named by the module's
//! hash, the profile, and everything of the engine and the machine that compiled code depends on;
//! it is written beside its place and renamed, and begins with the hash of what follows.
//!
//! Invariant: only files of a directory that nobody else may write are ever loaded, because
//! loading one is running it.

use ciro_core::id::Hash as ModuleHash;
use ciro_core::spec::Profile;
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use wasmtime::{Engine, Module};

/// Compiled modules that are kept; the least recently used go first.
const MAX_BYTES: u64 = 512 << 20;
const HASH_BYTES: usize = 32;
const SUFFIX: &str = "cwasm";

/// A place in the cache for one module under one engine.
#[derive(Debug)]
pub(crate) struct Slot {
    dir: PathBuf,
    name: String,
}

impl Slot {
    /// The place of a module; makes the directory where it is missing, readable by us only.
    pub(crate) fn new(dir: &Path, hash: ModuleHash, profile: Profile, engine: &Engine) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let metadata = fs::metadata(dir)?;
        let is_ours = metadata.uid() == nix::unistd::geteuid().as_raw();
        if !is_ours || metadata.permissions().mode() & 0o022 != 0 {
            let text =
                format!("{} may be written by others: make it owned by this user, mode 0700", dir.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let name = format!("{hash}-{}-{:016x}.{SUFFIX}", profile.name(), hasher.finish());
        Ok(Slot { dir: dir.to_owned(), name })
    }

    /// The compiled module, where an intact one is there. A damaged file is removed.
    pub(crate) fn load(&self, engine: &Engine) -> Option<Module> {
        let path = self.dir.join(&self.name);
        let bytes = fs::read(&path).ok()?;
        let module = intact(&bytes).and_then(|code| deserialize(engine, code));
        if module.is_none() {
            let _ = fs::remove_file(&path);
        } else if let Ok(file) = File::open(&path) {
            let _ = futimens(&file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW);
        }
        module
    }

    /// Keeps a compiled module, and makes room where the cache has grown past its bound.
    pub(crate) fn store(&self, module: &Module) -> wasmtime::Result<()> {
        let code = module.serialize()?;
        let temporary = self.dir.join(format!("{}.{}", self.name, std::process::id()));
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(blake3::hash(&code).as_bytes())?;
            file.write_all(&code)?;
            fs::rename(&temporary, self.dir.join(&self.name))
        });
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.and_then(|()| make_room(&self.dir, MAX_BYTES)).map_err(wasmtime::Error::new)
    }
}

fn intact(bytes: &[u8]) -> Option<&[u8]> {
    let (hash, code) = bytes.split_at_checked(HASH_BYTES)?;
    (blake3::hash(code).as_bytes() == hash).then_some(code)
}

#[expect(
    unsafe_code,
    reason = "the engine cannot check compiled code; the slot's directory is writable by this user only, \
              the file's own hash has been verified, and its name ties it to this engine"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> Option<Module> {
    // SAFETY: `code` was written by `store`, from `Module::serialize` (see the reason above).
    unsafe { Module::deserialize(engine, code) }.ok()
}

/// Removes the files used longest ago until the rest fits. Other attempts may do the same at the
/// same time: a file that is already gone is as good as removed.
fn make_room(dir: &Path, max_bytes: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Ok(metadata) = entry.metadata() {
            files.push(((metadata.mtime(), metadata.mtime_nsec()), metadata.len(), entry.path()));
        }
    }
    files.sort_unstable();
    let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
    for (_, length, path) in files {
        if total <= max_bytes {
            break;
        }
        let _ = fs::remove_file(path);
        total -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::engine;

    const EMPTY_MODULE: [u8; 8] = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

    #[test]
    fn a_module_comes_back_and_a_damaged_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine::engine(Profile::Wasm1).unwrap();
        let slot =
            Slot::new(&dir.path().join("cache"), ModuleHash([7; 32]), Profile::Wasm1, &engine).unwrap();
        assert!(slot.load(&engine).is_none());
        slot.store(&Module::new(&engine, EMPTY_MODULE).unwrap()).unwrap();
        assert!(slot.load(&engine).is_some());
        let path = slot.dir.join(&slot.name);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(slot.load(&engine).is_none());
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let engine = engine::engine(Profile::Wasm1).unwrap();
        let refused = Slot::new(dir.path(), ModuleHash([7; 32]), Profile::Wasm1, &engine).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let dir = tempfile::tempdir().unwrap();
        for (name, second) in [("old", 1), ("new", 3), ("middle", 2)] {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_len(100).unwrap();
            let time = TimeSpec::new(second, 0);
            futimens(&file, &time, &time).unwrap();
        }
        make_room(dir.path(), 150).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["new"]);
    }
}
