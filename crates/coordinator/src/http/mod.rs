//! The door: routes, a file per noun. A handler extracts, calls the operation, shapes the answer.
//! Data moves down once: `serve` accepts connections and rewrites the unversioned paths, `around`
//! wraps every route, the extractors turn bytes into types, and the noun's file does the rest.

mod aliases;
pub(crate) mod around;
mod class;
mod door;
pub mod error;
pub mod extract;
mod fields;
pub mod filter;
mod job_filter;
mod job_order;
mod openapi;
mod paced;
pub mod page;
mod places;
pub mod problems;
pub mod receipts;
mod reference;
mod router;
pub(crate) mod serve;
mod unknown;
mod worker_filter;

pub mod artifacts;
pub mod audit;
pub mod backups;
pub mod batches;
pub mod chain;
pub mod config;
pub mod coordinators;
pub mod events;
pub mod jobs;
pub mod keys;
pub mod logs;
pub mod paid;
pub mod payments;
pub mod results;
pub mod system;
pub mod tenants;
pub mod webhooks;
pub mod work;
pub mod workers;

pub(crate) use class::Class;
pub(crate) use job_filter::job_filter;
pub use router::{document, router};
pub use serve::{Listening, bind};
pub(crate) use unknown::nearest;
pub use unknown::propose;
