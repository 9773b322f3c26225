//! The lane of transactions: what waits, what is under way, and whether it stopped. And how far the
//! contract is followed.

use super::Gauge;
use ciro_store::Counter;

/// Figures of the lane and of what is followed.
#[derive(Debug, Default)]
pub struct Chain {
    /// Intents that no transaction carries.
    pub waiting: Gauge,
    /// Intents whose transaction is not final.
    pub under_way: Gauge,
    /// Intents that the chain would not have.
    pub failed: Gauge,
    /// 1 while the lane waits for somebody to look.
    pub halted: Gauge,
    /// How often transactions were sent.
    pub sends: Counter,
    /// How often a transaction was signed again at a higher price.
    pub raised: Counter,
    /// Jobs whose deposit the chain has not shared out.
    pub deposits: Gauge,
    /// Those of them whose money does not move until somebody does something.
    pub troubled: Gauge,
    /// The newest block that was read.
    pub followed: Gauge,
    /// Blocks that the chain has and that were not read.
    pub behind: Gauge,
    /// Events of the contract that were read.
    pub events: Counter,
    /// How often blocks were taken away that were read.
    pub reorganisations: Counter,
    /// How many blocks that was.
    pub orphaned: Counter,
    /// What providers may lose with deposits, millionths of a STRK.
    pub at_risk_micros: Gauge,
    /// What the account has, millionths of a STRK.
    pub balance_micros: Gauge,
    /// Where what was read and the contract differ.
    pub differences: Gauge,
    /// When they were last compared, ms since 1970; 0 before that.
    pub compared_ms: Gauge,
    /// What is not as it should be with account and contract.
    pub findings: Gauge,
}
