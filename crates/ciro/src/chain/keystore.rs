//! `ciro chain keystore`: encrypted keys in files that only their owner may read.

use super::signer::{new_passphrase, passphrase};
use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::{environment, private, prompt, table};
use ciro_chain::keys::{KeyError, Keystore, SigningKey, read_private};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

const NEW: &str = "\
The key is made here and leaves this machine only as signatures. The file has the format of starkli and of other
tools (Web3 Secret Storage v3, scrypt). Keep a copy of it and its passphrase: without either the account is lost.

Examples:
  ciro chain keystore new keys/operator.json
  ciro chain keystore new keys/operator.json --passphrase-file /run/secrets/passphrase";

const IMPORT: &str = "\
The key is read from standard input or asked for, never from the command line, where others would see it.

Examples:
  ciro chain keystore import keys/old.json < key.hex
  ciro chain keystore import keys/old.json                 asks for the key, then for a passphrase";

const INSPECT: &str = "\
Without a passphrase only what lies open is shown.

Examples:
  ciro chain keystore inspect keys/operator.json
  ciro chain keystore inspect keys/operator.json --open -o json | jq -r .public_key";

/// Encrypted keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeystoreCommand {
    /// Make a new key and write it, encrypted
    #[command(after_help = NEW)]
    New(WriteArgs),
    /// Encrypt a key that you have
    #[command(after_help = IMPORT)]
    Import(WriteArgs),
    /// Show what a keystore is, and with its passphrase the public key
    #[command(after_help = INSPECT)]
    Inspect {
        /// The keystore
        file: PathBuf,
        /// Ask for the passphrase, where neither file nor environment has it
        #[arg(long)]
        open: bool,
        /// A file with the passphrase, that only you may read
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
}

/// What is written.
#[derive(Debug, clap::Args)]
pub struct WriteArgs {
    /// The file; there must be none
    file: PathBuf,
    /// A file with the passphrase, that only you may read; else STARKNET_KEYSTORE_PASSWORD, else it is asked for
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Shown {
    file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    /// Rounds of scrypt that a guess at the passphrase takes.
    rounds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

pub(super) fn run(command: KeystoreCommand, out: Output) -> Result<(), Failure> {
    match command {
        KeystoreCommand::New(args) => write(&args, SigningKey::random, out),
        KeystoreCommand::Import(args) => {
            absent(&args.file)?;
            let typed = key_from_outside()?;
            write(&args, || SigningKey::from_hex(typed.expose_secret()), out)
        }
        KeystoreCommand::Inspect { file, open, passphrase_file } => {
            inspect(file, open, passphrase_file.as_deref(), out)
        }
    }
}

fn write(
    args: &WriteArgs,
    key: impl FnOnce() -> Result<SigningKey, KeyError>,
    out: Output,
) -> Result<(), Failure> {
    absent(&args.file)?;
    let key = key()?;
    let keystore = Keystore::encrypt(&key, &new_passphrase(args.passphrase_file.as_deref())?)?;
    if let Some(folder) = args.file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        private::make_folder(folder)?;
    }
    private::write(&args.file, keystore.text()?.as_bytes())?;
    show(args.file.clone(), &keystore, Some(&key), out)?;
    out.remark("Keep a copy of this file and its passphrase: without either the account is lost.");
    Ok(())
}

fn absent(file: &Path) -> Result<(), Failure> {
    if file.symlink_metadata().is_ok() {
        let there = Failure::new(Exit::Conflict, format!("{} is there already", file.display()));
        return Err(there.hint("name another file: a key that is overwritten is lost"));
    }
    Ok(())
}

fn key_from_outside() -> Result<SecretString, Failure> {
    if std::io::stdin().is_terminal() {
        return Ok(prompt::secret("Private key in hex")?.unwrap_or_default());
    }
    let mut text = String::new();
    let read = std::io::stdin().take(1024).read_to_string(&mut text);
    read.map_err(|error| Failure::io("cannot read the key from standard input", &error))?;
    Ok(SecretString::from(text))
}

fn inspect(file: PathBuf, open: bool, passphrase_file: Option<&Path>, out: Output) -> Result<(), Failure> {
    let keystore = Keystore::parse(read_private(&file)?.expose_secret())?;
    let open = open || passphrase_file.is_some() || environment::keystore_passphrase().is_some();
    let key = match open {
        true => Some(keystore.decrypt(&passphrase(passphrase_file, "Passphrase of the keystore")?)?),
        false => None,
    };
    show(file, &keystore, key.as_ref(), out)
}

fn show(file: PathBuf, keystore: &Keystore, key: Option<&SigningKey>, out: Output) -> Result<(), Failure> {
    let weak = "a guess at the passphrase is cheap: import the key into a new keystore, or have a very long passphrase";
    let shown = Shown {
        file,
        public_key: key.map(|key| format!("{:#066x}", key.public())),
        rounds: keystore.rounds(),
        warning: keystore.is_weak().then(|| weak.to_owned()),
    };
    out.one(&shown, &shown.public_key.clone().unwrap_or_default(), || {
        table::record([
            ("file", shown.file.display().to_string()),
            ("public key", shown.public_key.clone().unwrap_or_default()),
            ("scrypt rounds", shown.rounds.to_string()),
            ("warning", shown.warning.clone().unwrap_or_default()),
        ])
    })
}
