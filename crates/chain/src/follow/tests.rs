//! Random histories of escrows, played on a model of the contract in plain numbers that emits what the
//! contract emits: however they are read, forward, back and again, the fold is what the model says.

use super::{Moment, after, subject};
use crate::contract::escrow::EscrowEvent;
use crate::contract::job::{Payout, job_id};
use ciro_core::money::{ChainEscrow, ChainState};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use starknet_rust_core::types::Felt;
use starknet_rust_core::utils::cairo_short_string_to_felt;
use std::collections::BTreeMap;

const WHOLE_BPS: u128 = 10_000;

/// What somebody does with one of the escrows.
#[derive(Debug, Clone)]
enum Action {
    Submit { amount: u128, fee_bps: u16 },
    Assign,
    Report { shares: Vec<u8> },
    Dispute,
    Resolve { share_bps: u16 },
    Settle,
    Cancel,
    Expire,
}

/// An escrow of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    state: ChainState,
    amount: u128,
    fee_bps: u16,
    payouts: Vec<Payout>,
    credited: [u128; 3],
}

#[derive(Debug, Clone, Default)]
struct Model {
    cases: BTreeMap<u8, Case>,
}

fn client() -> Felt {
    Felt::from(77_u8)
}

fn id(which: u8) -> Felt {
    job_id(client(), Felt::from(which))
}

fn words(text: &str) -> Felt {
    cairo_short_string_to_felt(text).unwrap_or_default()
}

impl Model {
    /// What the contract emits when that is done.
    fn act(&mut self, which: u8, action: &Action) -> Vec<EscrowEvent> {
        use ChainState as S;
        let job_id = id(which);
        let skipped = || vec![EscrowEvent::JobSkipped { job_id, reason: words("NOT_NOW") }];
        let Some(case) = self.cases.get_mut(&which) else {
            let Action::Submit { amount, fee_bps } = *action else { return skipped() };
            let case = Case { state: S::Open, amount, fee_bps, payouts: Vec::new(), credited: [0; 3] };
            self.cases.insert(which, case);
            return vec![EscrowEvent::JobSubmitted {
                job_id,
                client: client(),
                salt: Felt::from(which),
                payment: amount,
                spec_hash: Felt::ONE,
                fee_bps,
                window: 60,
                expires_at: 9_000,
            }];
        };
        match (action, case.state) {
            (Action::Assign, S::Open) => {
                case.state = S::Assigned;
                vec![EscrowEvent::JobAssigned { job_id, worker: Felt::TWO }]
            }
            (Action::Report { shares }, S::Assigned) => {
                let whole = shares.iter().map(|share| u128::from(*share)).sum::<u128>().max(1) + 1;
                let payout = |(i, share): (u8, &u8)| {
                    let amount = case.amount / whole * u128::from(*share);
                    (amount > 0).then_some(Payout { provider: Felt::from(i), amount })
                };
                case.payouts = (1..).zip(shares).filter_map(payout).collect();
                if case.payouts.is_empty() {
                    return skipped();
                }
                case.state = S::Submitted;
                let (result_hash, payouts) = (Felt::THREE, case.payouts.clone());
                vec![EscrowEvent::JobCompleted { job_id, result_hash, window_ends_at: 500, payouts }]
            }
            (Action::Dispute, S::Submitted) => {
                case.state = S::Disputed;
                let bond = case.amount / 20;
                vec![EscrowEvent::JobDisputed {
                    job_id,
                    client: client(),
                    reason: Felt::ONE,
                    bond,
                    resolve_by: 700,
                }]
            }
            (Action::Resolve { share_bps }, S::Disputed) => {
                let mut events = vec![EscrowEvent::DisputeResolved { job_id, share_bps: *share_bps }];
                events.extend(pay(job_id, case, *share_bps));
                events.push(EscrowEvent::BondPaid { job_id, account: client(), amount: 1 });
                events
            }
            (Action::Settle, S::Submitted) => pay(job_id, case, 10_000),
            (Action::Settle, S::Disputed) => {
                let mut events = pay(job_id, case, 10_000);
                events.push(EscrowEvent::DisputeLapsed { job_id });
                events
            }
            (Action::Cancel, S::Open | S::Assigned) => vec![refund(job_id, case, S::Cancelled, "CANCELLED")],
            (Action::Expire, S::Open | S::Assigned) => vec![refund(job_id, case, S::Expired, "EXPIRED")],
            _ => skipped(),
        }
    }
}

/// As `pay` of the contract.
fn pay(job_id: Felt, case: &mut Case, share_bps: u16) -> Vec<EscrowEvent> {
    let mut events = Vec::new();
    let mut left = case.amount;
    for payout in case.payouts.clone() {
        let gross = payout.amount * u128::from(share_bps) / WHOLE_BPS;
        if gross > 0 {
            let fee = gross * u128::from(case.fee_bps) / WHOLE_BPS;
            left -= gross;
            case.credited[0] += gross - fee;
            case.credited[1] += fee;
            events.push(EscrowEvent::PaymentReleased {
                job_id,
                worker: payout.provider,
                amount: gross - fee,
                fee,
            });
        }
    }
    if left == case.amount {
        events.push(refund(job_id, case, ChainState::Rejected, "REJECTED"));
        return events;
    }
    case.state = ChainState::Released;
    if left > 0 {
        case.credited[2] = left;
        events.push(EscrowEvent::JobRefunded {
            job_id,
            client: client(),
            amount: left,
            cause: words("REMAINDER"),
        });
    }
    events
}

fn refund(job_id: Felt, case: &mut Case, state: ChainState, cause: &str) -> EscrowEvent {
    case.state = state;
    case.credited[2] = case.amount;
    EscrowEvent::JobRefunded { job_id, client: client(), amount: case.amount, cause: words(cause) }
}

/// Events with their blocks, and what they come to, counted forward one by one.
#[derive(Debug, Clone, Default)]
struct Rows {
    events: Vec<(u64, EscrowEvent)>,
    escrows: BTreeMap<[u8; 32], ChainEscrow>,
}

fn moment(block: u64) -> Moment {
    Moment { block, at: 1_000 + block }
}

impl Rows {
    fn read(&mut self, block: u64, event: EscrowEvent) {
        let id = subject(&event).expect("each is about an escrow").to_bytes_be();
        let counted = after(self.escrows.remove(&id), &event, moment(block)).expect("addresses");
        self.escrows.extend(counted.map(|escrow| (id, escrow)));
        self.events.push((block, event));
    }

    /// Events behind a block go; what they named is counted again from what remains, as it is kept: by
    /// name and members, and of calls that were left out only the newest.
    fn back(&mut self, to: u64) {
        let gone: Vec<_> = self.events.extract_if(.., |(block, _)| *block > to).collect();
        for id in gone.iter().filter_map(|(_, event)| subject(event)) {
            let of_it = |(_, event): &&(u64, EscrowEvent)| subject(event) == Some(id);
            let is_skip = |event: &EscrowEvent| matches!(event, EscrowEvent::JobSkipped { .. });
            let newest =
                self.events.iter().rposition(|(_, event)| is_skip(event) && subject(event) == Some(id));
            let kept = self
                .events
                .iter()
                .enumerate()
                .filter(|(i, (_, event))| !is_skip(event) || Some(*i) == newest);
            let counted = kept.map(|(_, kept)| kept).filter(of_it).fold(None, |escrow, (block, event)| {
                let read = EscrowEvent::of_members(event.name(), &event.members()).expect("its members");
                let read = read.expect("its name");
                assert_eq!(&read, event);
                after(escrow, &read, moment(*block)).expect("addresses")
            });
            self.escrows.remove(&id.to_bytes_be());
            self.escrows.extend(counted.map(|escrow| (id.to_bytes_be(), escrow)));
        }
    }

    fn agrees(&self, model: &Model) {
        assert_eq!(self.escrows.len(), model.cases.len());
        for (which, case) in &model.cases {
            let escrow = &self.escrows[&id(*which).to_bytes_be()];
            let credited = [escrow.paid.0, escrow.fee.0, escrow.refunded.0];
            assert_eq!((escrow.state, escrow.amount.0, credited), (case.state, case.amount, case.credited));
            assert_eq!(escrow.held().0, if case.state.is_over() { 0 } else { case.amount });
            assert_eq!(escrow.payouts.len(), case.payouts.len());
        }
    }
}

fn actions() -> impl Strategy<Value = Vec<(u8, Action)>> {
    // Ways out that are open early are rare, so that some go all the way.
    let action = prop_oneof![
        3 => (1_u128..1 << 60, 0_u16..=1_000).prop_map(|(amount, fee_bps)| Action::Submit { amount, fee_bps }),
        6 => Just(Action::Assign),
        6 => prop::collection::vec(any::<u8>(), 1..6).prop_map(|shares| Action::Report { shares }),
        4 => Just(Action::Dispute),
        4 => prop_oneof![Just(0), Just(10_000), 0_u16..=10_000].prop_map(|share_bps| Action::Resolve { share_bps }),
        2 => Just(Action::Settle),
        1 => Just(Action::Cancel),
        1 => Just(Action::Expire),
    ];
    prop::collection::vec((0_u8..3, action), 1..60)
}

/// Plays one block for each action, from a block on; the states of the model before each block.
fn play(rows: &mut Rows, model: &mut Model, from: u64, actions: &[(u8, Action)]) -> Vec<Model> {
    let mut before = Vec::new();
    for (block, (which, action)) in (from..).zip(actions) {
        before.push(model.clone());
        for event in model.act(*which, action) {
            rows.read(block, event);
        }
    }
    before
}

proptest! {
    #[test]
    fn an_escrow_is_what_its_events_say_however_they_were_read(
        first in actions(),
        second in actions(),
        at in any::<prop::sample::Index>(),
    ) {
        let (mut rows, mut model) = (Rows::default(), Model::default());
        let states = play(&mut rows, &mut model, 0, &first);
        rows.agrees(&model);
        // Another history from some block on.
        let parted = at.index(first.len());
        let mut model = states[parted].clone();
        if let Some(ancestor) = (parted as u64).checked_sub(1) {
            rows.back(ancestor);
        } else {
            rows = Rows::default();
        }
        rows.agrees(&model);
        play(&mut rows, &mut model, parted as u64, &second);
        rows.agrees(&model);
        // Read at once, it is the same.
        let mut again = Rows::default();
        rows.events.iter().for_each(|(block, event)| again.read(*block, event.clone()));
        prop_assert_eq!(&again.escrows, &rows.escrows);
    }
}

#[test]
fn most_histories_reach_an_end() {
    // What the property would not see: a model in which nothing ever happens.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut over = BTreeMap::<&str, u32>::new();
    for _ in 0..200 {
        let actions = actions().new_tree(&mut runner).expect("a history").current();
        let (mut rows, mut model) = (Rows::default(), Model::default());
        play(&mut rows, &mut model, 0, &actions);
        for case in model.cases.values() {
            *over.entry(case.state.name()).or_default() += 1;
        }
    }
    for state in ChainState::ALL {
        assert!(over.get(state.name()).is_some_and(|count| *count > 0), "{}: {over:?}", state.name());
    }
}
