//! Every real store against the model: random moves, the same answers, rows and events after each.

use ciro_store::conformance::{Move, follows_memory};
use ciro_store::inline::{Point, Sqlite};
use ciro_testkit::cycles;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Moves of one case.
const MOVES: usize = 50;

fn any_move() -> impl Strategy<Value = Move> {
    let point = prop::option::of(prop::sample::select(Point::ALL.to_vec()));
    prop_oneof![
        6 => (0..5_u8, any::<bool>(), 0..12_u8, 0..8_u8, prop::bool::weighted(0.2), 0..16_u8)
            .prop_map(|(tasks, reduces, policy, retries, hasty, call)| Move::Submit {
                tasks, reduces, policy, retries, hasty, call
            }),
        6 => (any::<u8>(), prop::bool::weighted(0.2), prop::bool::weighted(0.05))
            .prop_map(|(job, part, fails)| Move::Prepare { job, part, fails }),
        4 => (any::<u8>(), any::<u8>(), 0..4_u8)
            .prop_map(|(worker, cores, forgets)| Move::Open { worker, cores, forgets }),
        8 => (any::<u8>(), any::<u8>()).prop_map(|(worker, max)| Move::Poll { worker, max }),
        12 => (any::<u8>(), any::<u8>(), any::<u8>(), 0..10_u8, prop::bool::weighted(0.1)).prop_map(
            |(worker, attempt, said, take, late)| Move::Report { worker, attempt, said, take, late }
        ),
        4 => (any::<u8>(), 0..4_u8, any::<u8>())
            .prop_map(|(worker, forgets, progress)| Move::Beat { worker, forgets, progress }),
        2 => (any::<u8>(), 0..3_u8).prop_map(|(job, grace_s)| Move::Stop { job, grace_s }),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(worker, order)| Move::Order { worker, order }),
        1 => (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>()).prop_map(
            |(job, task, fence, worker, revokes)| Move::Wild { job, task, fence, worker, revokes }
        ),
        3 => prop_oneof![4 => 1..30_u8, 1 => any::<u8>()].prop_map(|tenths| Move::Pass { tenths }),
        12 => Just(Move::Turn),
        1 => point.prop_map(|point| Move::Crash { point }),
    ]
}

#[test]
fn sqlite_answers_and_keeps_what_the_model_does() {
    let cases = cycles(500, 20_000);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let told = runner.run(&vec(any_move(), MOVES), |moves| {
        follows_memory(Sqlite::in_memory, &moves).map_err(TestCaseError::fail)
    });
    told.unwrap();
}
