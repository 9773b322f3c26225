//! The domain through its public door.

mod docs;
