//! Against a real devnet: nodes that fail and lie, transactions through every trouble on their way,
//! following a chain whose blocks are taken away again, and `ciro chain` as people type it;
//! the contracts, through what is typed for them; a coordinator that sends, one that follows, and jobs that
//! are paid there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod chaos;
mod cli;
mod contracts;
mod deposits;
mod dev;
mod followed;
mod following;
mod lane;
mod liars;
mod looked;
mod market;
mod nodes;
mod old_backup;
mod others;
mod paid;
mod paid_chaos;
mod partly;
mod reconciled;
mod rig;
mod sending;
mod stage;
mod world;
