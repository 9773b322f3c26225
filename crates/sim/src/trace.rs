//! What happened, line by line, for who wants to read it; nothing is put into words otherwise.

use crate::plan::Micros;

/// The most lines that are kept: the last ones, which lead to what went wrong.
const MAX_LINES: usize = 400;

/// See the module.
#[derive(Debug, Default)]
pub struct Trace {
    on: bool,
    lines: std::collections::VecDeque<String>,
}

impl Trace {
    /// One that keeps what it is told.
    #[must_use]
    pub fn kept() -> Trace {
        Trace { on: true, ..Trace::default() }
    }

    pub(crate) fn say(&mut self, at: Micros, line: impl FnOnce() -> String) {
        if self.on {
            if self.lines.len() == MAX_LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(format!("{:>5}.{:03} s  {}", at / 1_000_000, at / 1_000 % 1_000, line()));
        }
    }

    /// Its lines, the last [`MAX_LINES`] of them.
    #[must_use]
    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
