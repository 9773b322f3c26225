//! Results and what workers sign about them.
//! A manifest is the result of a task: its canonical text is hashed, and that hash is what is
//! compared, signed and paid. A receipt binds the hash to job, task, fence, input and profile.

use crate::amount::Fri;
use crate::attempt::Usage;
use crate::id::{AttemptId, Hash};
use crate::spec::Profile;
use serde::{Deserialize, Serialize};

/// The most files that one task may leave behind.
pub const MAX_OUTPUT_FILES: usize = 1_000;
/// The longest canonical manifest, bytes.
pub const MAX_MANIFEST_BYTES: usize = 256 * 1024;
/// The longest path of an output file, bytes.
pub const MAX_PATH_BYTES: usize = 512;

/// The most sandbox layers that a receipt names.
pub const MAX_LAYERS: usize = 32;
/// The longest name of one, bytes.
pub const MAX_LAYER_BYTES: usize = 32;

/// One file of a result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OutputFile {
    /// Path below `/out`, `/` between parts.
    pub path: String,
    /// Bytes.
    pub length: u64,
    /// Hash of the bytes: the artifact that holds them.
    pub blake3: Hash,
}

/// What one task produced; equal bytes for equal runs, so no times stand in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Files in byte order of their paths.
    pub outputs: Vec<OutputFile>,
    /// Exit code of the program.
    pub exit_code: i32,
    /// Fuel used, by the profile's cost table; 0 of a native program.
    pub fuel: u64,
}

/// Why a text is not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Longer than [`MAX_MANIFEST_BYTES`] or more files than [`MAX_OUTPUT_FILES`].
    #[error("a manifest holds at most {MAX_OUTPUT_FILES} files and {MAX_MANIFEST_BYTES} bytes")]
    TooLarge,
    /// Not the JSON of a manifest.
    #[error("not a manifest: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Not the one text that this manifest has.
    #[error("not in canonical form: files sorted by path, no white space, fields in order")]
    NotCanonical,
    /// An absolute path, an empty part, `.` or `..`, or too long.
    #[error("`{0}` is not a path below /out")]
    Path(String),
}

impl Manifest {
    /// The one text of this manifest.
    ///
    /// # Errors
    /// Never in practice; kept for the serialiser's sake.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads a canonical text.
    ///
    /// # Errors
    /// When it is too large, malformed, not canonical, or names an impossible path.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        if text.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge);
        }
        let manifest: Manifest = serde_json::from_str(text)?;
        if manifest.outputs.len() > MAX_OUTPUT_FILES {
            return Err(ManifestError::TooLarge);
        }
        if let Some(file) = manifest.outputs.iter().find(|f| !is_output_path(&f.path)) {
            return Err(ManifestError::Path(file.path.clone()));
        }
        let sorted = manifest.outputs.windows(2).all(|w| w[0].path < w[1].path);
        if !sorted || manifest.canonical()? != text {
            return Err(ManifestError::NotCanonical);
        }
        Ok(manifest)
    }
}

/// Whether `path` is a relative path whose parts are plain names.
#[must_use]
pub fn is_output_path(path: &str) -> bool {
    path.len() <= MAX_PATH_BYTES
        && path.split('/').all(|p| !matches!(p, "" | "." | "..") && !p.contains('\0'))
}

/// What one line of a reports call says, as it is signed.
#[derive(Debug, Clone, Copy)]
pub struct Receipt<'a> {
    /// Job, task and fence.
    pub attempt: AttemptId,
    /// `started`, `succeeded`, `failed`, `declined`, `released`.
    pub outcome: &'a str,
    /// Hash of the inputs as the worker verified them.
    pub input: Option<Hash>,
    /// Hash of the manifest.
    pub output: Option<Hash>,
    /// The profile that ran it.
    pub profile: Profile,
    /// Names of the sandbox layers that held it, with commas between them.
    pub layers: &'a str,
    /// What it cost.
    pub usage: Usage,
    /// What was agreed for an hour of it.
    pub price: Fri,
}

impl Receipt<'_> {
    /// BLAKE3 over the fields, each with its length in front, under a context of its own: another one
    /// where there is a price, so that neither kind can be taken for the other.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let context = match self.price.is_zero() {
            true => "ciro 2026 receipt v2",
            false => "ciro 2026 priced receipt v1",
        };
        let mut h = blake3::Hasher::new_derive_key(context);
        let mut field = |bytes: &[u8]| {
            h.update(&(bytes.len() as u64).to_le_bytes());
            h.update(bytes);
        };
        field(self.attempt.task.job.0.as_bytes());
        field(&self.attempt.task.no.to_le_bytes());
        field(&self.attempt.fence.to_le_bytes());
        field(self.outcome.as_bytes());
        field(self.input.as_ref().map_or(&[][..], |h| &h.0));
        field(self.output.as_ref().map_or(&[][..], |h| &h.0));
        field(self.profile.name().as_bytes());
        field(self.layers.as_bytes());
        field(&self.usage.wall_ms.to_le_bytes());
        field(&self.usage.cpu_ms.to_le_bytes());
        field(&self.usage.peak_memory_bytes.to_le_bytes());
        if !self.price.is_zero() {
            field(&self.price.0.to_le_bytes());
        }
        Hash(*h.finalize().as_bytes())
    }
}

/// The one text of a list of layers; `None` where it is too long or a name is not one of lower-case
/// letters, digits, `_`, `-` and `.`.
#[must_use]
pub fn layers_text(layers: &[String]) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    let is_name = |name: &String| (1..=MAX_LAYER_BYTES).contains(&name.len()) && name.bytes().all(plain);
    (layers.len() <= MAX_LAYERS && layers.iter().all(is_name)).then(|| layers.join(","))
}

/// The bytes that a worker signs for one reports call: the hash of its receipt hashes in order,
/// under a context of its own, so that no other message of ours can be taken for it.
#[must_use]
pub fn report_digest(session: &str, receipts: &[Hash]) -> [u8; 32] {
    let mut h = blake3::Hasher::new_derive_key("ciro 2026 reports v1");
    h.update(&(session.len() as u64).to_le_bytes());
    h.update(session.as_bytes());
    for receipt in receipts {
        h.update(&receipt.0);
    }
    *h.finalize().as_bytes()
}

/// The bytes that a worker signs to open a session: the server's nonce and its own public key.
#[must_use]
pub fn session_digest(nonce: &[u8], public_key: &[u8; 32]) -> [u8; 32] {
    let mut h = blake3::Hasher::new_derive_key("ciro 2026 session v1");
    h.update(&(nonce.len() as u64).to_le_bytes());
    h.update(nonce);
    h.update(public_key);
    *h.finalize().as_bytes()
}

/// Whether `signature` is `public_key`'s over `digest` (strict verification).
#[must_use]
pub fn verify_signature(public_key: &[u8; 32], digest: &[u8], signature: &[u8; 64]) -> bool {
    ed25519_dalek::VerifyingKey::from_bytes(public_key)
        .is_ok_and(|key| key.verify_strict(digest, &ed25519_dalek::Signature::from_bytes(signature)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_has_one_text() {
        let file =
            |path: &str| OutputFile { path: path.into(), length: 1, blake3: Hash::of(path.as_bytes()) };
        let manifest = Manifest { outputs: vec![file("a"), file("b/c")], exit_code: 0, fuel: 7 };
        let text = manifest.canonical().unwrap();
        assert_eq!(Manifest::parse(&text).unwrap(), manifest);
        assert!(matches!(Manifest::parse(&text.replace(',', ", ")), Err(ManifestError::NotCanonical)));
        let swapped = Manifest { outputs: vec![file("b"), file("a")], ..manifest };
        assert!(matches!(Manifest::parse(&swapped.canonical().unwrap()), Err(ManifestError::NotCanonical)));
        for bad in ["/etc/passwd", "../x", "a//b", "", "a/./b"] {
            let manifest = Manifest { outputs: vec![file(bad)], exit_code: 0, fuel: 0 };
            assert!(
                matches!(Manifest::parse(&manifest.canonical().unwrap()), Err(ManifestError::Path(_))),
                "{bad}"
            );
        }
    }
}
