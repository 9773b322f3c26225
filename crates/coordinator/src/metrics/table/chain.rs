//! The chain. Figures of the lane are there where an account is configured, those of what is followed where
//! a contract is.

use super::{Part, counter, gauge, gauges};
use crate::metrics::{Chain, Seen};

fn of_lane(seen: &Seen<'_>, read: fn(&Chain) -> u64) -> Option<u64> {
    seen.app.config.blockchain.sends().then(|| read(&seen.app.metrics.chain))
}

fn of_contract(seen: &Seen<'_>, read: fn(&Chain) -> u64) -> Option<u64> {
    seen.app.config.blockchain.contract().map(|_| read(&seen.app.metrics.chain))
}

pub(super) const PART: Part = Part {
    title: "Chain",
    metrics: &[
        gauges("ciro_chain_intents", "Intents for the chain by state, those that happened excepted", |s| {
            let figures = &s.app.metrics.chain;
            [("waiting", &figures.waiting), ("under_way", &figures.under_way), ("failed", &figures.failed)]
                .map(|(state, count)| (vec![state.to_owned()], count.get()))
                .into()
        })
        .by(&["state"]),
        gauge(
            "ciro_chain_lane_halted",
            "1 while nothing is sent to the chain until somebody has looked",
            |s| of_lane(s, |chain| chain.halted.get()),
        ),
        counter("ciro_chain_sends", "How often transactions were sent", |s| {
            of_lane(s, |chain| chain.sends.get())
        }),
        counter("ciro_chain_raised", "Transactions that were signed again at a higher price", |s| {
            of_lane(s, |chain| chain.raised.get())
        }),
        gauge("ciro_chain_deposits", "Jobs whose deposit the chain has not shared out", |s| {
            of_contract(s, |chain| chain.deposits.get())
        }),
        gauge(
            "ciro_chain_deposits_in_trouble",
            "Jobs whose deposit does not move until somebody does something",
            |s| of_contract(s, |chain| chain.troubled.get()),
        ),
        gauge("ciro_chain_followed_block", "Number of the newest block that was read", |s| {
            of_contract(s, |chain| chain.followed.get())
        }),
        gauge("ciro_chain_blocks_behind", "Blocks that the chain has and that were not read", |s| {
            of_contract(s, |chain| chain.behind.get())
        }),
        counter("ciro_chain_events", "Events of the escrow contract that were read", |s| {
            of_contract(s, |chain| chain.events.get())
        }),
        counter("ciro_chain_reorganisations", "How often the chain took blocks away that were read", |s| {
            of_contract(s, |chain| chain.reorganisations.get())
        }),
        counter("ciro_chain_orphaned_blocks", "Blocks that were read and that the chain took away", |s| {
            of_contract(s, |chain| chain.orphaned.get())
        }),
        gauge(
            "ciro_chain_at_risk_strk",
            "What jobs may earn, or have earned, whose result the chain has not accepted, STRK",
            |s| of_contract(s, |chain| chain.at_risk_micros.get()),
        )
        .of_micros(),
        gauge("ciro_chain_account_balance_strk", "What the account that sends has, STRK", |s| {
            of_lane(s, |chain| chain.balance_micros.get())
        })
        .of_micros(),
        gauge("ciro_chain_differences", "Where books and contract differ; anything but 0 is an alarm", |s| {
            of_contract(s, |chain| chain.differences.get())
        }),
        gauge(
            "ciro_chain_last_comparison_timestamp_seconds",
            "When books and contract were last compared, seconds since 1970; at first when the process started",
            |s| {
                let started = u64::try_from(s.app.started_at.0).unwrap_or(0);
                of_contract(s, |chain| chain.compared_ms.get()).map(|at| if at == 0 { started } else { at })
            },
        )
        .of_ms()
        .unsampled(),
        gauge(
            "ciro_chain_findings",
            "What is not as it should be with the account that sends and the contract",
            |s| s.app.chain.as_ref().map(|_| s.app.metrics.chain.findings.get()),
        ),
    ],
};
