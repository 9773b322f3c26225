//! Launchers of the real components, used by tests only.
