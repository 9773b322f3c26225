//! Placement decisions: which worker may run a task, which one does, and whose turn it is.
//! Pure: the store's index keeps the queues and the seats and asks here.

mod explain;
mod fair;
mod filter;
mod place;

pub use explain::{Filter, Reason, Rejected, Relaxed, Survey, Waiting, reason};
pub use fair::{FairShare, task_cost};
pub use filter::{Candidate, Mismatch, Rejection, admits, may_ever_take, takes};
pub use place::{PlacementPolicy, PolicyError, Rank, Standing, rank};
