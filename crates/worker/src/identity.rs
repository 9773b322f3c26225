//! Who a worker is: an ed25519 key made once, kept in its state folder, and never sent anywhere.
//! It is proven once per session, and signs the receipts of every reports call.

use crate::error::Error;
use ciro_core::crash::crash_point;
use ciro_core::id::{Hash, SessionId};
use ciro_core::manifest::{report_digest, session_digest};
use ed25519_dalek::{Signer, SigningKey};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const KEY_FILE: &str = "worker.key";

/// A worker's key.
pub(crate) struct Identity {
    key: SigningKey,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("public_key", &self.public_key_text()).finish_non_exhaustive()
    }
}

impl Identity {
    /// The key of a state folder; made there if it has none.
    pub(crate) fn load(state_dir: &Path) -> Result<Identity, Error> {
        let path = state_dir.join(KEY_FILE);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
                let problem = "others can read it; chmod 600 it if they had no access so far";
                Err(Error::Key { path, problem })
            }
            Ok(_) => read(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(state_dir, &path),
            Err(error) => Err(Error::state("look at", path)(error)),
        }
    }

    pub(crate) fn public_key_text(&self) -> String {
        hex(self.key.verifying_key().as_bytes())
    }

    /// The proof that opens a session, over a nonce in hex; a nonce that is none has no proof.
    pub(crate) fn sign_session(&self, nonce: &str) -> Option<String> {
        let digest = session_digest(&unhex(nonce)?, self.key.verifying_key().as_bytes());
        Some(hex(&self.key.sign(&digest).to_bytes()))
    }

    /// The signature of a reports call over its receipts, in order.
    pub(crate) fn sign_reports(&self, session: SessionId, receipts: &[Hash]) -> String {
        hex(&self.key.sign(&report_digest(&session.to_string(), receipts)).to_bytes())
    }
}

fn read(path: &Path) -> Result<Identity, Error> {
    let text = fs::read_to_string(path).map_err(Error::state("read", path))?;
    let secret = text
        .trim()
        .parse::<Hash>()
        .map_err(|_| Error::Key { path: path.to_owned(), problem: "64 hexadecimal digits are expected" })?;
    Ok(Identity { key: SigningKey::from_bytes(&secret.0) })
}

/// Complete on disk before it is used: a worker that lost its key is another worker.
fn make(state_dir: &Path, path: &Path) -> Result<Identity, Error> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| Error::Machine {
        doing: "make a key",
        source: io::Error::other(error.to_string()),
    })?;
    let written = || -> io::Result<()> {
        // Its files are readable by their owner only.
        let mut file = tempfile::NamedTempFile::new_in(state_dir)?;
        writeln!(file, "{}", hex(&secret))?;
        file.as_file().sync_all()?;
        crash_point("worker.key_synced");
        file.persist_noclobber(path).map_err(|error| error.error)?;
        crash_point("worker.key_named");
        File::open(state_dir)?.sync_all()
    };
    written().map_err(Error::state("write", path))?;
    Ok(Identity { key: SigningKey::from_bytes(&secret) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(&pair[0])? << 4 | digit(pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_bytes_in_hex() {
        assert_eq!(unhex("00fFa1"), Some(vec![0, 255, 161]));
        assert_eq!((unhex("0"), unhex("zz"), unhex("é")), (None, None, None));
    }

    #[test]
    fn a_key_is_made_once_and_kept_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::load(dir.path()).unwrap();
        let again = Identity::load(dir.path()).unwrap();
        assert_eq!(first.public_key_text(), again.public_key_text());
        let path = dir.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Identity::load(dir.path()), Err(Error::Key { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "not a key").unwrap();
        assert!(matches!(Identity::load(dir.path()), Err(Error::Key { .. })));
    }
}
