//! Amounts as answers show them: FRI, which is what is counted, and STRK, which people read.

use ciro_core::amount::Fri;
use serde::Serialize;

/// An amount of the token that fees are paid in.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Amount {
    pub(super) fri: Fri,
    pub(super) strk: String,
}

impl Amount {
    pub(super) fn of(fri: Fri) -> Amount {
        Amount { fri, strk: fri.strk() }
    }

    /// `0.5 STRK (500000000000000000 FRI)`.
    pub(super) fn words(&self) -> String {
        format!("{} STRK ({} FRI)", self.strk, self.fri)
    }
}
