//! The door: routes, a file per noun. A handler extracts, calls the operation, shapes the answer.
//! Data moves down once: `serve` accepts connections and rewrites the unversioned paths, `around`
//! wraps every route, the extractors turn bytes into types, and the noun's file does the rest.

mod aliases;
mod around;
pub mod error;
pub mod extract;
pub mod filter;
mod job_filter;
mod openapi;
mod paced;
pub mod page;
pub mod problems;
pub mod receipts;
mod router;
mod serve;
mod unknown;

pub mod artifacts;
pub mod audit;
pub mod events;
pub mod jobs;
pub mod keys;
pub mod logs;
pub mod results;
pub mod system;
pub mod work;
pub mod workers;

pub use router::{document, router};
pub use serve::{Listening, bind};
pub(crate) use unknown::{nearest, propose};
