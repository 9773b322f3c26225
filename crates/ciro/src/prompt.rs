//! Asking on the terminal: for a secret, without showing it, and whether to go on.

use crate::error::{Exit, Failure};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use secrecy::SecretString;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};

/// The longest secret, bytes.
const LONGEST: usize = 1024;

/// Asks; what is typed does not appear. `None` when there is nobody to ask.
///
/// # Errors
/// On Ctrl-C; when the terminal cannot be read.
#[expect(clippy::print_stderr, reason = "a question on the terminal is what this is for")]
pub(crate) fn secret(question: &str) -> Result<Option<SecretString>, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    eprint!("{question}: ");
    let failed = |error| Failure::io("cannot read from the terminal", &error);
    io::stderr().flush().map_err(failed)?;
    enable_raw_mode().map_err(failed)?;
    let typed = typed(io::stdin().lock());
    let restored = disable_raw_mode();
    eprintln!();
    restored.map_err(failed)?;
    typed.map(Some)
}

/// Reads up to the end of the line, as a terminal that edits nothing itself delivers it.
fn typed(from: impl Read) -> Result<SecretString, Failure> {
    const CTRL_C: u8 = 0x03;
    const CTRL_D: u8 = 0x04;
    const BACK: [u8; 2] = [0x08, 0x7f];
    let mut text = Vec::new();
    for byte in BufReader::new(from).bytes() {
        match byte.map_err(|error| Failure::io("cannot read from the terminal", &error))? {
            CTRL_C => return Err(Failure::new(Exit::Interrupted, "interrupted")),
            byte if byte == CTRL_D || byte == b'\r' || byte == b'\n' => break,
            byte if BACK.contains(&byte) => while text.pop().is_some_and(|last: u8| last & 0xc0 == 0x80) {},
            byte => text.push(byte),
        }
        if text.len() > LONGEST {
            return Err(Failure::usage(format!("that is more than {LONGEST} bytes")));
        }
    }
    let text = String::from_utf8(text).map_err(|_| Failure::usage("that is not text"))?;
    Ok(SecretString::from(text))
}

/// Asks whoever sits at the terminal whether to go on; nobody there is told what to type instead.
///
/// # Errors
/// When the answer is no, there is nobody to ask, or the terminal cannot be read.
pub(crate) fn confirm(would: &str, otherwise: &str) -> Result<(), Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(would).hint(otherwise));
    }
    let mut answer = String::new();
    let asked =
        write!(io::stderr(), "{would}. Go on? [y/N] ").and_then(|()| stdin.lock().read_line(&mut answer));
    asked.map_err(|error| Failure::io("cannot ask", &error))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::usage("nothing was done")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn keys_edit_and_end_the_line() {
        let read = |keys: &[u8]| typed(keys).map(|secret| secret.expose_secret().to_owned());
        assert_eq!(read(b"ab\x7fc\rd").ok().as_deref(), Some("ac"));
        assert_eq!(read("aü\x7f\x7f\x7fb\n".as_bytes()).ok().as_deref(), Some("b"));
        assert_eq!(read(b"ab\x03").expect_err("given up").exit, Exit::Interrupted);
        assert!(read(&[b'a'; 2_000]).is_err());
    }
}
