//! The one clock of the program.

use ciro_core::time::Timestamp;

/// Now, in UTC milliseconds.
#[must_use]
pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
