//! Where a follower of logs is: the id of a frame. It names the last event of the job that was told,
//! and how far each attempt is that speaks meanwhile, so that it stays short however many tasks the
//! job has: `17.3-1-500.4-2-80`, and while earlier attempts are still being listed `17@3-1-500`.

use super::LogFile;
use std::collections::BTreeMap;
use std::fmt;

/// Attempts that an id names at most.
const MAX_OPEN: usize = 512;
/// The longest id, bytes.
const MAX_BYTES: usize = 16 * 1_024;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Events of the job up to this sequence are told.
    pub seq: u32,
    /// Ends of attempts in the event behind it that are told already.
    pub ends: u32,
    /// The attempt that is being listed, of those that had ended when the follower came.
    pub listed: Option<(LogFile, Listed)>,
    /// Bytes that are told of attempts that have not ended.
    pub open: BTreeMap<LogFile, u64>,
}

/// How far an attempt is that is being listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Its begin is told, and so many bytes of its log.
    Bytes(u64),
    /// All of it is told.
    Whole,
}

impl Cursor {
    /// Whether the id of this place can be told.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.open.len() <= MAX_OPEN
    }

    /// Reads an id.
    #[must_use]
    pub fn parse(id: &str) -> Option<Cursor> {
        if id.len() > MAX_BYTES {
            return None;
        }
        let mut parts = id.split('.');
        let head = parts.next()?;
        let (place, listed) = match head.split_once('@') {
            Some((place, listed)) => (place, Some(listed_from(listed)?)),
            None => (head, None),
        };
        let (seq, ends) = place.split_once('+').unwrap_or((place, "0"));
        let mut cursor = Cursor { seq: number(seq)?, ends: number(ends)?, listed, open: BTreeMap::new() };
        for part in parts {
            let (file, rest) = file_from(part)?;
            cursor.open.insert(file, number(rest)?);
        }
        cursor.is_named().then_some(cursor)
    }
}

/// Digits alone: `+7` is no number here.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn file_from(text: &str) -> Option<(LogFile, &str)> {
    let (task, rest) = text.split_once('-')?;
    let (fence, rest) = rest.split_once('-')?;
    Some((LogFile { task: number(task)?, fence: number(fence)? }, rest))
}

fn listed_from(text: &str) -> Option<(LogFile, Listed)> {
    let (file, rest) = file_from(text)?;
    Some((file, if rest == "all" { Listed::Whole } else { Listed::Bytes(number(rest)?) }))
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seq)?;
        if self.ends > 0 {
            write!(f, "+{}", self.ends)?;
        }
        match self.listed {
            Some((file, Listed::Bytes(bytes))) => write!(f, "@{}-{}-{bytes}", file.task, file.fence)?,
            Some((file, Listed::Whole)) => write!(f, "@{}-{}-all", file.task, file.fence)?,
            None => {}
        }
        self.open.iter().try_for_each(|(file, bytes)| write!(f, ".{}-{}-{bytes}", file.task, file.fence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_the_place_it_names() {
        let (first, second) = (LogFile { task: 0, fence: 2 }, LogFile { task: 3, fence: 1 });
        let open = BTreeMap::from([(first, 17), (second, 0)]);
        for (cursor, id) in [
            (Cursor::default(), "0"),
            (Cursor { seq: 9, ends: 2, open: open.clone(), ..Cursor::default() }, "9+2.0-2-17.3-1-0"),
            (Cursor { seq: 9, listed: Some((second, Listed::Bytes(5))), ..Cursor::default() }, "9@3-1-5"),
            (Cursor { seq: 9, listed: Some((first, Listed::Whole)), ..Cursor::default() }, "9@0-2-all"),
        ] {
            assert_eq!(cursor.to_string(), id);
            assert_eq!(Cursor::parse(id), Some(cursor));
        }
        for wrong in
            ["", "x", "1.2", "1.2-3", "1@2-3", "-1", "1.2-3-4.", "1+", "1.+2-3-4", &"1".repeat(40_000)]
        {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }
}
