//! Crash points: named places between a request and its last durable effect, at which a test has a
//! program end as `kill -9` would end it, to see that the next start goes on from there.
//!
//! A point is armed by the program's own command line and at most once in its life; all others cost a
//! relaxed load of a flag that never changes. Nothing is decided here and nothing is written: this is
//! the one list of names that all crates can see, and the sources are the list.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Names the point to a program: `report.committed`, or `report.committed:3` for its third time.
pub const VARIABLE: &str = "CIRO_CRASH_AT";

static IS_ARMED: AtomicBool = AtomicBool::new(false);
static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
    name: String,
    left: AtomicU32,
    end: fn(&str),
}

/// Why a point was not armed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no point.
    #[error("`{0}` is no crash point: write a name, or `name:3` for its third time")]
    Text(String),
    /// There is one already.
    #[error("a crash point is armed already")]
    Twice,
}

/// Arms the point that `text` names; `end` ends the process at once, and must not return.
///
/// # Errors
/// [`Error`].
pub fn arm(text: &str, end: fn(&str)) -> Result<(), Error> {
    let (name, time) = text.split_once(':').unwrap_or((text, "1"));
    let left = time.parse().ok().filter(|time| *time > 0 && !name.is_empty());
    let left = AtomicU32::new(left.ok_or_else(|| Error::Text(text.to_owned()))?);
    ARMED.set(Armed { name: name.to_owned(), left, end }).map_err(|_| Error::Twice)?;
    IS_ARMED.store(true, Ordering::Relaxed);
    Ok(())
}

/// A place at which the process ends when a test asked for it.
#[inline]
pub fn crash_point(name: &'static str) {
    if IS_ARMED.load(Ordering::Relaxed) {
        reached(name);
    }
}

#[cold]
fn reached(name: &str) {
    let Some(armed) = ARMED.get().filter(|armed| armed.name == name) else { return };
    if armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        (armed.end)(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    static ENDS: AtomicU32 = AtomicU32::new(0);

    #[test]
    fn a_point_ends_the_process_at_the_time_that_was_asked_for() {
        for text in ["", ":1", "a:0", "a:x", "a:-1"] {
            assert_eq!(arm(text, |_| ()), Err(Error::Text(text.to_owned())));
        }
        crash_point("a");
        arm("a:2", |name| {
            assert_eq!(name, "a");
            ENDS.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
        assert_eq!(arm("b", |_| ()), Err(Error::Twice));
        let mut seen = Vec::new();
        for name in ["a", "b", "a", "a"] {
            crash_point(name);
            seen.push(ENDS.load(Ordering::Relaxed));
        }
        assert_eq!(seen, [0, 0, 1, 1]);
    }
}
