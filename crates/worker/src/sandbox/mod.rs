//! What holds an attempt's process when everything inside it has failed. Around every attempt: limits
//! that its process sets on itself (`rlimits`) and a control group where the machine lets us make one
//! (`cgroup`, read through `gauge`; `hierarchy` and `owner` find its place and its maker). Around a
//! native program also what it sets on itself before it becomes the program: the files that it may
//! touch (`files`) and the calls that it may make (`calls`).

mod calls;
mod cgroup;
mod files;
mod gauge;
mod hierarchy;
mod owner;
mod rlimits;

pub(crate) use calls::confine_calls;
pub(crate) use cgroup::{Group, Groups};
pub(crate) use files::{Files, confine_files};
pub(crate) use gauge::Gauge;
pub(crate) use rlimits::{bounds, confine, confine_program, confine_watcher};
