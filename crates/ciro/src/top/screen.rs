//! The terminal: taken over for as long as [`Screen`] lives, and given back whatever happens. Only
//! lines that changed are written, and between two marks, so that nothing flickers.

use super::layout::{Line, Look};
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::{Attribute, SetAttribute};
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen,
};
use crossterm::{execute, queue};
use std::io::{self, Read, Write};
use std::sync::Once;
use tokio::sync::mpsc;

/// Where the terminal does not say how large it is.
const SIZE: (u16, u16) = (100, 30);
/// Keys that wait.
const KEYS: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Screen {
    drawn: Vec<Line>,
}

/// What was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Backspace,
    Escape,
    /// Ctrl-C, which is a key while the terminal is ours.
    Interrupt,
}

impl Screen {
    pub(super) fn open() -> io::Result<Screen> {
        restore_before_a_panic_is_told();
        terminal::enable_raw_mode()?;
        // From here on it is given back, also when the rest of this fails.
        let screen = Screen { drawn: Vec::new() };
        execute!(io::stdout(), EnterAlternateScreen, Hide, Clear(ClearType::All))?;
        Ok(screen)
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        let (width, height) = terminal::size().unwrap_or(SIZE);
        (width.into(), height.into())
    }

    /// Everything has to be drawn anew: the terminal has another size.
    pub(super) fn forget(&mut self) {
        self.drawn.clear();
    }

    pub(super) fn draw(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        queue!(out, BeginSynchronizedUpdate)?;
        if self.drawn.len() != lines.len() {
            queue!(out, Clear(ClearType::All))?;
            self.drawn.clear();
        }
        for (row, line) in (0u16..).zip(lines) {
            if self.drawn.get(usize::from(row)) != Some(line) {
                queue!(out, MoveTo(0, row))?;
                match line.look {
                    Look::Plain => write!(out, "{}", line.text)?,
                    look => {
                        let attribute = if look == Look::Bold { Attribute::Bold } else { Attribute::Reverse };
                        queue!(out, SetAttribute(attribute))?;
                        write!(out, "{}", line.text)?;
                        queue!(out, SetAttribute(Attribute::Reset))?;
                    }
                }
                queue!(out, Clear(ClearType::UntilNewLine))?;
            }
        }
        queue!(out, EndSynchronizedUpdate)?;
        self.drawn = lines.to_vec();
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    // Nobody can be told when the terminal itself is gone.
    let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
    let _ = terminal::disable_raw_mode();
}

/// What a panic says is for the terminal as it was.
fn restore_before_a_panic_is_told() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            told(panic);
        }));
    });
}

/// What is pressed from now on. The thread that reads it ends with the process.
pub(super) fn keys() -> io::Result<mpsc::Receiver<Key>> {
    let (pressed, keys) = mpsc::channel(KEYS);
    let read = move || {
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = io::stdin().lock().read(&mut bytes) {
            for key in understood(&bytes[..count]) {
                if pressed.blocking_send(key).is_err() {
                    return;
                }
            }
        }
    };
    std::thread::Builder::new().name("keys".into()).spawn(read)?;
    Ok(keys)
}

/// The keys that a terminal sent at once. A sequence (arrows and the like) means nothing here.
fn understood(bytes: &[u8]) -> Vec<Key> {
    if bytes.len() > 1 && bytes[0] == 0x1b {
        return Vec::new();
    }
    String::from_utf8_lossy(bytes)
        .chars()
        .filter_map(|c| match c {
            '\u{3}' => Some(Key::Interrupt),
            '\r' | '\n' => Some(Key::Enter),
            '\u{7f}' | '\u{8}' => Some(Key::Backspace),
            '\u{1b}' => Some(Key::Escape),
            c if !c.is_control() => Some(Key::Char(c)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_understood_and_sequences_are_not_letters() {
        assert_eq!(understood(b"q"), [Key::Char('q')]);
        assert_eq!(understood("/ä\r".as_bytes()), [Key::Char('/'), Key::Char('ä'), Key::Enter]);
        assert_eq!(understood(b"\x03"), [Key::Interrupt]);
        assert_eq!(understood(b"\x1b"), [Key::Escape]);
        assert_eq!(understood(b"\x1b[A"), []);
    }
}
