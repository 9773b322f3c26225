//! The provider's agent: takes leases, runs programs in a sandbox, reports.
