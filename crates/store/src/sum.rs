//! Sums of amounts in the database, to the unit, however many they are: an amount has 39 digits, and no
//! number of a database holds it, so that it is summed in four parts.

use crate::error::Error;
use crate::sql::Row;
use ciro_core::amount::Fri;

/// The sum of the column `amount`; four columns, to be read with [`sum_from_row`].
pub(crate) const SUM: &str = "CAST(sum(CAST(substr(amount, 1, 9) AS BIGINT)) AS BIGINT), \
    CAST(sum(CAST(substr(amount, 10, 10) AS BIGINT)) AS BIGINT), \
    CAST(sum(CAST(substr(amount, 20, 10) AS BIGINT)) AS BIGINT), \
    CAST(sum(CAST(substr(amount, 30, 10) AS BIGINT)) AS BIGINT)";

/// What a part holds at most, and one.
const PART: u128 = 10_000_000_000;

/// [`SUM`], which begins at column `at`; nothing of no rows.
pub(crate) fn sum_from_row(r: &Row<'_>, at: usize) -> Result<Fri, Error> {
    let mut sum: u128 = 0;
    for at in at..at + 4 {
        let part = r.get::<Option<u64>>(at)?.unwrap_or(0);
        sum = sum.saturating_mul(PART).saturating_add(u128::from(part));
    }
    Ok(Fri(sum))
}
