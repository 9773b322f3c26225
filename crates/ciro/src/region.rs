//! Lines on standard error that are drawn over again in place, for those who watch.

use crossterm::cursor::MoveToPreviousLine;
use crossterm::queue;
use crossterm::terminal::{self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use std::io::{self, Write};

/// Where the terminal does not say how large it is.
const SIZE: (u16, u16) = (100, 30);

/// See the module. What was drawn last stays when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Region {
    drawn: u16,
}

impl Region {
    /// Draws `text` in place of what was drawn before; what does not fit is said.
    pub(crate) fn draw(&mut self, text: &str) {
        let (width, height) = terminal::size().unwrap_or(SIZE);
        let lines = fitting(text, width, height);
        // Nobody can be told when standard error itself is gone.
        let _ = self.put(&lines);
    }

    /// Takes away what was drawn.
    pub(crate) fn clear(&mut self) {
        let _ = self.put(&[]);
    }

    fn put(&mut self, lines: &[String]) -> io::Result<()> {
        let mut out = io::stderr().lock();
        queue!(out, BeginSynchronizedUpdate)?;
        if self.drawn > 0 {
            queue!(out, MoveToPreviousLine(self.drawn))?;
        }
        for line in lines {
            write!(out, "{line}")?;
            queue!(out, Clear(ClearType::UntilNewLine))?;
            writeln!(out)?;
        }
        queue!(out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        self.drawn = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        out.flush()
    }
}

/// The lines that a terminal of that size has room for, none of them wrapped.
fn fitting(text: &str, width: u16, height: u16) -> Vec<String> {
    let room = usize::from(height.max(3)) - 1;
    let cut = |line: &str| line.chars().take(width.into()).collect::<String>();
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= room {
        return lines.into_iter().map(cut).collect();
    }
    let mut shown: Vec<String> = lines[..room - 1].iter().map(|line| cut(line)).collect();
    shown.push(cut(&format!("… and {} more", lines.len() + 1 - room)));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_and_said() {
        assert_eq!(fitting("one\ntwo", 80, 24), ["one", "two"]);
        assert_eq!(fitting("äöüß", 3, 24), ["äöü"]);
        assert_eq!(fitting("1\n2\n3\n4\n5", 80, 5), ["1", "2", "3", "… and 2 more"]);
    }
}
