//! The server: admits, leases, supervises, verifies.
