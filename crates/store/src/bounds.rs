//! The store's fixed bounds, for whoever lists all bounds of the house. Those that are set at the
//! opening stand in [`Options`](crate::Options).

pub use crate::account::MAX_KEYS;
pub use crate::explain::MAX_SURVEYED;
pub use crate::fleet::REMEMBERED;
pub use crate::group::MAX_GROUP_BYTES;
pub use crate::index::MAX_WALKED;
pub use crate::open::{FOLD_PAGES, WAL_LIMIT_BYTES};
pub use crate::read::{MAX_LOOKED_AT, MAX_PAGE_BYTES, MAX_WAITING};
pub use crate::retention::{MAX_ARCHIVED_ATTEMPTS, MAX_PAGE_ROWS};
pub use crate::state::{MAX_EVIDENCE, MAX_GROUP_ROWS};
pub use crate::turn::MAX_REVOKED;
pub use crate::working::KEPT_JOBS;
pub use crate::writer::MAX_GROUP;
