//! What holds an attempt's process when everything inside it has failed: resource limits that it
//! sets on itself before it looks at the module, and a memory group around it where the machine
//! lets us make one.

mod cgroup;
mod rlimits;

pub(crate) use cgroup::{MemoryGroup, MemoryGroups};
pub(crate) use rlimits::{confine, group_bytes};
