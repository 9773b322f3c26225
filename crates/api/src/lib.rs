//! The wire contract and the typed client.
