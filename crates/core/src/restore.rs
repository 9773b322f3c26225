//! What a restored database must jump over: whatever was granted or recorded after its backup is not
//! known any more, and none of those numbers may ever name anything else.
//!
//! Invariant: a fence that was granted after the backup is never granted again, and a position that
//! was told after it never names another event.

use crate::retry::MAX_GRANTS;
use crate::time::Timestamp;

/// 2026-01-01T00:00:00Z: fences by the clock are counted from here.
const FENCE_ORIGIN: Timestamp = Timestamp(1_767_225_600_000);
/// The clock raises the floor by this many fences a second, so that a backup that is restored again
/// 8 s later already has another floor; the numbers last for decades.
const FENCES_PER_SECOND: u64 = 2;
/// Half of the numbers stay out of reach of a clock that is wrong.
const HIGHEST_BY_CLOCK: u64 = u32::MAX as u64 / 2;
/// More events than a coordinator records in a millisecond.
const EVENTS_PER_MS: u64 = 1_000;
/// Room for events that were recorded while the clocks did not agree: an hour of them.
const EVENTS_OF_DOUBT: u64 = 3_600_000 * EVENTS_PER_MS;

/// The floor of fences after a restore at `now`, where it was `before` in the backup. A task is granted
/// at most [`MAX_GRANTS`] times, so no fence after the backup went further above that floor; and the
/// clock keeps two restores of one backup apart.
#[must_use]
pub fn fence_floor(before: u32, now: Timestamp) -> u32 {
    let by_clock = now.since_ms(FENCE_ORIGIN) / 1_000 * FENCES_PER_SECOND;
    let by_clock = by_clock.min(HIGHEST_BY_CLOCK) as u32;
    before.saturating_add(u32::from(MAX_GRANTS)).max(by_clock)
}

/// The position behind which the log goes on after a restore at `now` of a backup made at `backed_up`
/// whose last position is `last`: further than the log can have come in the meantime.
#[must_use]
pub fn resumes_after(last: i64, backed_up: Timestamp, now: Timestamp) -> i64 {
    let passed = now.since_ms(backed_up).saturating_mul(EVENTS_PER_MS);
    last.saturating_add_unsigned(passed.saturating_add(EVENTS_OF_DOUBT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_lost_time_are_jumped_over_and_two_restores_of_one_backup_do_not_meet() {
        let now = Timestamp(FENCE_ORIGIN.0 + 1_000_000_000);
        let first = fence_floor(0, now);
        assert_eq!(first, 2_000_000);
        assert!(fence_floor(0, now.plus_ms(8_000)) >= first + u32::from(MAX_GRANTS));
        assert_eq!(fence_floor(first, now), first + u32::from(MAX_GRANTS), "at once again");
        assert_eq!(fence_floor(7, Timestamp(0)), 7 + u32::from(MAX_GRANTS), "with a clock that is wrong");
        assert!(fence_floor(0, Timestamp(i64::MAX)) < u32::MAX, "whatever the clock says");

        let day = 24 * 3_600_000;
        assert!(resumes_after(100, now, now.plus_ms(day)) > 100 + day as i64 * 30, "30 events in each ms");
        assert!(resumes_after(100, now, Timestamp(0)) > 100_000_000, "with a clock that was set back");
        assert!(resumes_after(100, now, now.plus_ms(365 * day)) < 1 << 53, "a year fits in a JSON number");
    }
}
