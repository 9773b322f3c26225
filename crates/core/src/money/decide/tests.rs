//! Every pair of a job and its escrow: what is asked of the chain is what the contract takes then, a job
//! begins only behind a deposit that fits, and nobody is left waiting for nothing.

use super::*;
use crate::command::{Command, NewJob};
use crate::engine::{Context, Policy, Rows, apply};
use crate::id::{ClassKey, JobId, JobKey, TenantKey};
use crate::job::{Holds, JobState, Settlement};
use crate::money::horizon::Finality;
use crate::money::{Payee, Payment, Skipped};
use crate::payout::PayoutAddress;
use crate::spec::{OnFailure, RetryPolicy};
use proptest::prelude::*;

pub(super) const AMOUNT: u128 = 1_000;
const FEE_BPS: u16 = 250;
/// What a result of 100 FRI comes to for providers, treasury and client.
const CREDITS: [Fri; 3] = [Fri(98), Fri(2), Fri(900)];
pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_000);
pub(super) const SECOND: u64 = 1_700_000_000;

fn address(n: u8) -> PayoutAddress {
    let mut bytes = [0; 32];
    bytes[31] = n;
    PayoutAddress::new(bytes).unwrap()
}

pub(super) fn spec_hash() -> Hash {
    Hash::of(b"spec")
}

/// A job that waits for its deposit.
pub(super) fn waiting() -> Job {
    let deposit = Deposit { client: address(9), salt: [7; 32], id: [8; 32], splits: false, lost_at: None };
    let (amount, deposit) = (Fri(AMOUNT), Some(deposit));
    let new = NewJob {
        key: JobKey(1),
        id: JobId(uuid::Uuid::from_u128(1)),
        tenant: TenantKey(1),
        kind: "wasm".into(),
        priority: 5,
        class: ClassKey(1),
        retry: RetryPolicy { max_attempts: 3, on_user: false, on_timeout: false },
        on_failure: OnFailure::FailFast,
        splits: false,
        has_reducer: false,
        deadline: Some(NOW.plus_ms(3_600_000)),
        holds: Holds(0),
        retry_of: None,
        payment: Some(Payment { amount, fee_bps: FEE_BPS, wall_ms: 60_000, deposit }),
    };
    let cx = Context { now: NOW, policy: &Policy::default(), chance: 1 };
    apply(&Rows::default(), &Command::Submit(Box::new(new)), &cx).unwrap().job.unwrap()
}

/// The same job elsewhere in its life.
pub(super) fn job(state: JobState, money: SettlementState, earned: &[(u8, u128)]) -> Job {
    let mut job = Job { state, ..waiting() };
    let escrow = job.escrow.as_mut().unwrap();
    escrow.payees = earned
        .iter()
        .map(|(n, earned)| Payee { provider: Provider::Address(address(*n)), earned: Fri(*earned), live: 0 })
        .collect();
    job.settlement = escrow.stands(money);
    job
}

/// A deposit that fits.
pub(super) fn escrow(state: ChainState) -> ChainEscrow {
    let reported = state >= ChainState::Submitted;
    ChainEscrow {
        id: [8; 32],
        client: address(9),
        salt: [7; 32],
        amount: Fri(AMOUNT),
        spec_hash: felt_of(&spec_hash()),
        fee_bps: FEE_BPS,
        window_s: 3_600,
        expires_at: deposit_deadline(&waiting()) + 600,
        state,
        submitted_block: 10,
        state_block: 12,
        state_at: SECOND,
        clock: reported.then_some(SECOND + 3_600),
        payouts: Vec::new(),
        result_hash: None,
        paid: Fri(0),
        fee: Fri(0),
        refunded: if state.is_over() { Fri(AMOUNT) } else { Fri(0) },
        skipped: None::<Skipped>,
    }
}

/// One that was shared out.
fn released() -> ChainEscrow {
    let [paid, fee, refunded] = CREDITS;
    ChainEscrow { paid, fee, refunded, ..escrow(ChainState::Released) }
}

pub(super) fn horizon(time: u64) -> Horizon {
    let finality = Finality { needs_proof: false, depth: 10, proof_from: None };
    Horizon { block: 100, proven: None, finality, time, now: NOW }
}

fn act(job: &Job, chain: Option<&ChainEscrow>, time: u64) -> Act {
    decide(job, &spec_hash(), chain, &horizon(time)).act
}

#[test]
fn the_usual_life_from_deposit_to_credit() {
    use ChainState as C;
    use SettlementState as S;
    let began = waiting();
    assert_eq!(act(&began, None, SECOND), Act::Wait);
    assert_eq!(act(&began, Some(&escrow(C::Open)), SECOND), Act::Send(Ask::Assign));
    assert_eq!(act(&began, Some(&escrow(C::Assigned)), SECOND), Act::Fund);
    let running = job(JobState::Running, S::Locked, &[(3, 40)]);
    assert_eq!(act(&running, Some(&escrow(C::Assigned)), SECOND), Act::Wait);
    let done = job(JobState::Completed, S::Settling, &[(3, 40), (2, 60), (4, 0)]);
    let payouts = vec![(2, 60), (3, 40)]
        .into_iter()
        .map(|(n, amount)| ChainPayout { provider: address(n), amount: Fri(amount) });
    let payouts: Vec<_> = payouts.collect();
    assert_eq!(act(&done, Some(&escrow(C::Assigned)), SECOND), Act::Send(Ask::Result(payouts.clone())));
    let reported = ChainEscrow { payouts: payouts.clone(), ..escrow(C::Submitted) };
    let waits = decide(&done, &spec_hash(), Some(&reported), &horizon(SECOND + 3_600));
    assert_eq!(waits.act, Act::Wait);
    assert!(waits.look_at.is_some_and(|at| at < NOW.plus_ms(10_000)), "the window is about to end");
    assert_eq!(act(&done, Some(&reported), SECOND + 3_603), Act::Send(Ask::Settle(payouts)));
    assert_eq!(act(&done, Some(&released()), SECOND), Act::Settled(CREDITS));
    let settled = Job { settlement: Settlement { state: S::Settled, ..done.settlement }, ..done };
    assert_eq!(decide(&settled, &spec_hash(), Some(&released()), &horizon(SECOND)), rest());
}

#[test]
fn what_goes_wrong_on_the_way() {
    use ChainState as C;
    use SettlementState as S;
    let (open, assigned, disputed) = (escrow(C::Open), escrow(C::Assigned), escrow(C::Disputed));
    let late = open.expires_at;
    let running = job(JobState::Running, S::Locked, &[]);
    let done = job(JobState::Completed, S::Settling, &[(2, 60)]);
    let failed = job(JobState::Failed, S::Settling, &[]);
    let shown = job(JobState::Completed, S::Disputed, &[(2, 60)]);
    let unfunded =
        Job { settlement: Settlement { state: S::Settled, ..Settlement::default() }, ..failed.clone() };
    let cases = [
        // A reorganisation of the chain took the deposit, or the assignment.
        (&running, None, SECOND, Act::Lost),
        (&running, Some(&open), SECOND, Act::Lost),
        (&done, Some(&open), SECOND, Act::Send(Ask::Assign)),
        (&done, None, SECOND, Act::Wait),
        (&done, None, deposit_deadline(&done), Act::Gone),
        // Nobody earned anything.
        (&failed, Some(&open), SECOND, Act::Send(Ask::Cancel)),
        (&failed, Some(&assigned), SECOND, Act::Send(Ask::Cancel)),
        // It is too late for a result.
        (&failed, Some(&assigned), late, Act::Send(Ask::Expire)),
        (&done, Some(&assigned), late, Act::Send(Ask::Expire)),
        (&waiting(), Some(&open), late, Act::Wait),
        // The client disagrees.
        (&done, Some(&disputed), SECOND, Act::Disputed(true)),
        (&shown, Some(&disputed), SECOND, Act::Wait),
        (&shown, Some(&disputed), SECOND + 3_603, Act::Send(Ask::Settle(Vec::new()))),
        (&shown, Some(&escrow(C::Submitted)), SECOND, Act::Disputed(false)),
        (&shown, Some(&escrow(C::Rejected)), SECOND, Act::Settled([Fri(0), Fri(0), Fri(AMOUNT)])),
        // It was taken back.
        (&waiting(), Some(&escrow(C::Cancelled)), SECOND, Act::Gone),
        (&running, Some(&escrow(C::Expired)), SECOND, Act::Gone),
        // The deposit came when the job had ended.
        (&unfunded, Some(&open), SECOND, Act::Send(Ask::Cancel)),
        (&unfunded, Some(&assigned), late, Act::Send(Ask::Expire)),
        (&unfunded, None, SECOND, Act::Wait),
        (&unfunded, Some(&escrow(C::Cancelled)), SECOND, Act::Wait),
        // Somebody else is an operator, or the books are those of an old backup.
        (&running, Some(&escrow(C::Submitted)), SECOND, Act::Wait),
        (&running, Some(&escrow(C::Submitted)), SECOND + 3_603, Act::Send(Ask::Settle(Vec::new()))),
        (&waiting(), Some(&escrow(C::Submitted)), SECOND + 3_603, Act::Send(Ask::Settle(Vec::new()))),
        (&waiting(), Some(&released()), SECOND, Act::Gone),
        (&unfunded, Some(&escrow(C::Submitted)), SECOND, Act::Wait),
        (&unfunded, Some(&escrow(C::Submitted)), SECOND + 3_603, Act::Send(Ask::Settle(Vec::new()))),
        (&unfunded, Some(&released()), SECOND, Act::Settled(CREDITS)),
    ];
    for (at, (job, chain, time, expected)) in cases.into_iter().enumerate() {
        assert_eq!(act(job, chain, time), expected, "case {at}");
    }
}

#[test]
fn a_deposit_that_does_not_fit_is_never_taken_and_says_why() {
    let fits = escrow(ChainState::Open);
    let wrong = [
        ChainEscrow { amount: Fri(AMOUNT - 1), ..fits.clone() },
        ChainEscrow { amount: Fri(AMOUNT + 1), ..fits.clone() },
        ChainEscrow { spec_hash: [1; 32], ..fits.clone() },
        ChainEscrow { fee_bps: FEE_BPS + 1, ..fits.clone() },
        ChainEscrow { expires_at: deposit_deadline(&waiting()) - 1, ..fits.clone() },
    ];
    let words = ["999 FRI", "1001 FRI", "spec_hash", "251 basis points", "second"];
    for (chain, word) in wrong.into_iter().zip(words) {
        for state in [ChainState::Open, ChainState::Assigned] {
            let chain = ChainEscrow { state, ..chain.clone() };
            let decided = |job: &Job| decide(job, &spec_hash(), Some(&chain), &horizon(SECOND));
            let trouble = decided(&waiting()).trouble.unwrap();
            let said = trouble.to_string();
            assert!(said.contains(word) && said.contains("cancel"), "{said}");
            assert_eq!(decided(&waiting()).act, Act::Misfit(Some(trouble.clone())));
            // The job has heard of it.
            let heard = Job { holds: Holds(Holds::FUNDS.0 | Holds::DEPOSIT.0), ..waiting() };
            let decision = decided(&heard);
            assert_eq!((decision.act, decision.trouble), (Act::Wait, Some(trouble)));
            for better in [None, Some(&fits)] {
                assert_eq!(act(&heard, better, SECOND), Act::Misfit(None), "and hears that it is over");
            }
        }
    }
    let cheaper = ChainEscrow { fee_bps: FEE_BPS - 1, ..fits };
    assert_eq!(act(&waiting(), Some(&cheaper), SECOND), Act::Send(Ask::Assign));
}

#[test]
fn nothing_is_built_on_what_is_not_final() {
    let (open, assigned) = (escrow(ChainState::Open), escrow(ChainState::Assigned));
    let at = |block, proven, needs_proof| {
        let finality = Finality { needs_proof, ..horizon(SECOND).finality };
        Horizon { block, proven, finality, ..horizon(SECOND) }
    };
    for (chain, block, act) in [(&open, 10, Act::Send(Ask::Assign)), (&assigned, 12, Act::Fund)] {
        let cases = [
            (at(block + 9, None, false), false),
            (at(block + 10, None, false), true),
            (at(1_000, None, true), false),
            (at(1_000, Some(block - 1), true), false),
            (at(1_000, Some(block), true), true),
        ];
        for (horizon, is_final) in cases {
            let decision = decide(&waiting(), &spec_hash(), Some(chain), &horizon);
            assert_eq!(decision.act == act, is_final, "{horizon:?}");
            assert!(decision.look_at.is_some_and(|at| is_final || at <= NOW.plus_ms(60_000)));
        }
    }
    let over = escrow(ChainState::Cancelled);
    let done = job(JobState::Failed, SettlementState::Settling, &[]);
    assert_eq!(decide(&done, &spec_hash(), Some(&over), &at(13, None, false)).act, Act::Wait);
}

#[test]
fn a_large_deposit_is_assigned_like_any_other_and_begins_once_it_is_proved() {
    let at = |proven, from| {
        let finality = Finality { proof_from: Some(Fri(from)), ..horizon(SECOND).finality };
        Horizon { proven, finality, ..horizon(SECOND) }
    };
    let (open, assigned) = (escrow(ChainState::Open), escrow(ChainState::Assigned));
    let decided = |chain, horizon: &Horizon| decide(&waiting(), &spec_hash(), Some(chain), horizon);
    assert_eq!(decided(&open, &at(None, AMOUNT)).act, Act::Send(Ask::Assign));
    let waits = decided(&assigned, &at(Some(11), AMOUNT));
    assert_eq!((waits.act, waits.trouble), (Act::Wait, None), "block 12 is not proved");
    assert!(waits.look_at.is_some_and(|at| at <= NOW.plus_ms(60_000)));
    assert_eq!(decided(&assigned, &at(Some(12), AMOUNT)).act, Act::Fund);
    assert_eq!(decided(&assigned, &at(None, AMOUNT + 1)).act, Act::Fund, "a smaller one needs no proof");
    // What the chain has paid is settled as it always was.
    let done = job(JobState::Failed, SettlementState::Settling, &[]);
    let over = escrow(ChainState::Cancelled);
    let settled = decide(&done, &spec_hash(), Some(&over), &at(None, 1)).act;
    assert_eq!(settled, Act::Settled([Fri(0), Fri(0), Fri(AMOUNT)]));
}

#[test]
fn a_job_says_what_it_waits_for_unless_somebody_has_to_do_something() {
    let finality = Finality { proof_from: Some(Fri(AMOUNT)), ..horizon(SECOND).finality };
    let at = |block| Horizon { block, finality, ..horizon(SECOND) };
    let said = |job: &Job, chain: Option<&ChainEscrow>, block| {
        awaited(job, &spec_hash(), chain, &at(block)).map(|awaited| awaited.to_string()).unwrap_or_default()
    };
    let (new, open, assigned) = (waiting(), escrow(ChainState::Open), escrow(ChainState::Assigned));
    assert_eq!(said(&new, None, 100), "waits for the deposit");
    assert_eq!(said(&new, Some(&open), 12), "waits for 8 more blocks of the chain");
    assert_eq!(said(&new, Some(&open), 19), "waits for another block of the chain");
    assert_eq!(said(&new, Some(&open), 20), "waits until the deposit is assigned on the chain");
    assert_eq!(said(&new, Some(&assigned), 21), "waits for another block of the chain");
    assert!(said(&new, Some(&assigned), 22).starts_with("waits for Ethereum"));
    let wrong = ChainEscrow { amount: Fri(1), ..open.clone() };
    for (job, chain) in [
        (&new, &wrong),
        (&new, &escrow(ChainState::Cancelled)),
        (&job(JobState::Running, SettlementState::Locked, &[]), &assigned),
        (&job(JobState::Cancelled, SettlementState::Settled, &[]), &open),
    ] {
        assert_eq!(said(job, Some(chain), 12), "");
    }
}

#[test]
fn the_chain_is_told_again_only_what_had_no_effect() {
    let sent = |state| Some(Sent { generation: 3, state });
    let at = |now: Timestamp| Horizon { now, ..horizon(SECOND) };
    assert_eq!(next_generation(None, &at(NOW)), Ok(0));
    assert!(next_generation(sent(SentState::UnderWay), &at(NOW.plus_ms(1 << 40))).is_err());
    let done = |block| sent(SentState::Done { block, at: NOW });
    assert!(next_generation(done(101), &at(NOW.plus_ms(1 << 40))).is_err(), "nobody has read so far");
    assert_eq!(next_generation(done(100), &at(NOW)), Err(NOW.plus_ms(40_000)));
    assert_eq!(next_generation(done(100), &at(NOW.plus_ms(40_000))), Ok(4));
    let failed = sent(SentState::Failed { at: NOW });
    assert_eq!(next_generation(failed, &at(NOW)), Err(NOW.plus_ms(3_600_000)));
    assert_eq!(next_generation(failed, &at(NOW.plus_ms(3_600_000))), Ok(4));
}

fn jobs() -> impl Strategy<Value = Job> {
    let earned = prop::collection::vec((1_u8..20, 0_u128..200), 0..5);
    (0_usize..8, 0_usize..6, earned, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(state, money, earned, lost, zero, refused)| {
            use SettlementState as S;
            let state = JobState::ALL[state];
            let money = match (state.is_ended(), money) {
                (false, 0..3) => S::Locking,
                (false, _) => S::Locked,
                (true, 0..2) => S::Settling,
                (true, 2) => S::Disputed,
                (true, _) => S::Settled,
            };
            let mut seen = std::collections::BTreeSet::new();
            let earned: Vec<_> = earned.into_iter().filter(|(n, _)| seen.insert(*n)).collect();
            let mut job = job(state, money, &earned);
            if money == S::Settled && zero {
                job.settlement = Settlement { state: S::Settled, ..Settlement::default() };
            }
            if let Some(deposit) = job.escrow.as_mut().and_then(|escrow| escrow.deposit.as_mut()) {
                deposit.lost_at = (lost && money == S::Locking).then_some(NOW);
            }
            if refused && money == S::Locking {
                job.holds = Holds(job.holds.0 | Holds::DEPOSIT.0);
            }
            job
        },
    )
}

fn chains() -> impl Strategy<Value = Option<ChainEscrow>> {
    let some = (0_usize..8, 0_u8..6, 90_u64..105).prop_map(|(state, odd, block)| {
        let fits = ChainEscrow { state_block: block, ..escrow(ChainState::ALL[state]) };
        match odd {
            0 => ChainEscrow { amount: Fri(AMOUNT + 5), ..fits },
            1 => ChainEscrow { spec_hash: [3; 32], ..fits },
            2 => ChainEscrow { fee_bps: 1_000, ..fits },
            3 => ChainEscrow { expires_at: SECOND + 100, ..fits },
            4 if fits.state == ChainState::Released => released(),
            _ => fits,
        }
    });
    prop::option::weighted(0.9, some)
}

proptest! {
    #[test]
    fn what_is_asked_is_what_the_contract_takes(
        job in jobs(),
        chain in chains(),
        time in SECOND..SECOND + 20_000,
    ) {
        let horizon = horizon(time);
        let Decision { act, look_at, trouble } = decide(&job, &spec_hash(), chain.as_ref(), &horizon);
        let (ended, money) = (job.state.is_ended(), job.settlement.state);
        let state = chain.as_ref().map(|chain| chain.state);
        let waits = matches!(state, Some(ChainState::Open | ChainState::Assigned));
        let expired = chain.as_ref().is_some_and(|chain| time >= chain.expires_at);
        match &act {
            Act::Wait => {}
            Act::Send(Ask::Assign) => {
                prop_assert!(state == Some(ChainState::Open) && !expired);
                prop_assert!(job.escrow.is_some() && trouble.is_none());
            }
            Act::Send(Ask::Result(payouts)) => {
                prop_assert!(state == Some(ChainState::Assigned) && !expired && ended);
                prop_assert!(payouts.windows(2).all(|two| two[0].provider < two[1].provider));
                let sum: u128 = payouts.iter().map(|payout| payout.amount.0).sum();
                prop_assert!(payouts.iter().all(|payout| payout.amount > Fri(0)) && sum <= AMOUNT);
            }
            Act::Send(Ask::Cancel) => prop_assert!(waits && ended && !expired),
            Act::Send(Ask::Expire) => prop_assert!(waits && ended && expired),
            Act::Send(Ask::Settle(_)) => {
                prop_assert!(chain.as_ref().and_then(|chain| chain.clock).is_some_and(|clock| time >= clock));
            }
            Act::Fund => {
                let chain = chain.as_ref().unwrap();
                prop_assert!(!ended && money == SettlementState::Locking && chain.state == ChainState::Assigned);
                prop_assert!(chain.amount == Fri(AMOUNT) && chain.spec_hash == felt_of(&spec_hash()));
                prop_assert!(chain.fee_bps <= FEE_BPS && horizon.missing(chain.state_block).is_none());
                prop_assert!(chain.expires_at >= deposit_deadline(&job));
            }
            Act::Misfit(misfit) => {
                prop_assert!(!ended && money == SettlementState::Locking);
                prop_assert_eq!(misfit.is_some(), !job.holds.has(Holds::DEPOSIT), "news");
                prop_assert_eq!(misfit, &trouble);
            }
            Act::Lost => prop_assert!(!ended && money == SettlementState::Locked && !state.is_some_and(ChainState::is_over)),
            Act::Gone => prop_assert!(money != SettlementState::Settled),
            Act::Disputed(open) => {
                prop_assert!(ended && money != SettlementState::Settled);
                prop_assert_eq!(*open, state == Some(ChainState::Disputed));
            }
            Act::Settled(credits) => {
                let known = money != SettlementState::Settled;
                prop_assert!(ended && state.is_some_and(ChainState::is_over));
                prop_assert!(known || (credits[0] > Fri(0) && job.settlement.escrowed == Fri(0)));
                let sum: u128 = credits.iter().map(|credit| credit.0).sum();
                prop_assert_eq!(sum, if known { job.settlement.escrowed.0 } else { AMOUNT });
            }
        }
        // Whoever waits for money is looked at again, woken or not.
        if money != SettlementState::Settled {
            prop_assert!(look_at.is_some_and(|at| at > NOW && at <= NOW.plus_ms(LOOK_AGAIN_MS)));
        }
    }
}

#[test]
fn a_job_that_nobody_pays_for_is_left_alone() {
    let job = Job { escrow: None, ..waiting() };
    assert_eq!(decide(&job, &spec_hash(), Some(&escrow(ChainState::Open)), &horizon(SECOND)), rest());
}
