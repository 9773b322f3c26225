//! The domain, pure: the engine, the states, scheduling and money. No clock, no I/O.
