//! The real `ciro` against a real `ciro dev`: what people and scripts rely on. One network serves
//! all tests of this binary; tests that stop or break one start their own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod audit;
mod contexts;
mod dev;
mod files;
mod jobs;
mod network;
mod pay;
mod receipts;
mod refusals;
mod scripts;
mod tenants;
mod tools;
mod top;
mod webhooks;
mod worker;
