//! Nothing is made, lost or rounded away, whoever earns what in whichever order.

use super::*;
use proptest::prelude::*;

fn escrow(amount: u128, fee_bps: u16) -> Escrow {
    Escrow::of(Payment { amount: Fri(amount), fee_bps, wall_ms: 60_000, deposit: None })
}

fn tenant(n: i64) -> Provider {
    Provider::Tenant(TenantKey(n))
}

/// Lets each of them earn what it asks for, as far as it is there.
fn earn(escrow: &mut Escrow, wanted: &[(i64, u128)]) -> Vec<Fri> {
    let each = wanted.iter().map(|(who, amount)| {
        let place = escrow.take_place(tenant(*who)).expect("a place");
        escrow.leave(place, Fri(*amount))
    });
    each.collect()
}

/// An amount of any size that can be locked: small ones as often as large ones.
fn amounts() -> impl Strategy<Value = u128> {
    (0_u32..112, any::<u128>()).prop_map(|(bits, n)| 1.max(n % (1 << bits).max(2)))
}

proptest! {
    #[test]
    fn shares_fee_and_refund_are_what_was_locked(
        amount in amounts(),
        fee_bps in 0..=MAX_FEE_BPS,
        wanted in prop::collection::vec((1_i64..=64, amounts()), 0..200),
    ) {
        let mut escrow = escrow(amount, fee_bps);
        let earned = earn(&mut escrow, &wanted);
        for ((_, wanted), earned) in wanted.iter().zip(&earned) {
            prop_assert!(earned.0 <= *wanted, "nobody earns more than it asks for");
        }
        let split = escrow.split();
        let all = split.paid().0 + split.fee.0 + split.refund.0;
        prop_assert_eq!(all, amount);
        prop_assert_eq!(escrow.earned().0, earned.iter().map(|e| e.0).sum::<u128>());
        prop_assert_eq!(split.refund.0, amount - escrow.earned().0);
        prop_assert!(split.shares.len() <= MAX_PAYEES);
        // The table of docs/money.md: p − ⌊p × fee⌋ for each provider, the fees, amount − Σ p.
        for payee in escrow.payees.iter().filter(|payee| payee.earned > Fri(0)) {
            let fee = payee.earned.0 * u128::from(fee_bps) / u128::from(WHOLE_BPS);
            let share = split.shares.iter().find(|share| share.provider == payee.provider);
            prop_assert_eq!(share.map(|share| share.amount), Some(Fri(payee.earned.0 - fee)));
        }
    }

    #[test]
    fn the_order_in_which_providers_come_changes_no_share(
        wanted in prop::collection::vec((1_i64..=8, 1_u128..1_000), 1..40),
    ) {
        let (mut forth, mut back) = (escrow(1 << 40, 250), escrow(1 << 40, 250));
        earn(&mut forth, &wanted);
        earn(&mut back, &wanted.iter().rev().copied().collect::<Vec<_>>());
        let sorted = |escrow: &Escrow| {
            let mut split = escrow.split();
            split.shares.sort_by_key(|share| share.provider);
            split
        };
        prop_assert_eq!(sorted(&forth), sorted(&back));
    }

    #[test]
    fn a_run_costs_its_part_of_an_hour_rounded_down(price in 0..AMOUNT_END.0, ran in 0_u64..1 << 16) {
        let exact = price * u128::from(ran) / 3_600_000;
        prop_assert_eq!(Escrow::cost(Fri(price), ran), Fri(exact));
        prop_assert_eq!(Escrow::cost(Fri(price), 3_600_000), Fri(price));
    }

    #[test]
    fn no_account_goes_below_zero_and_debits_are_credits(
        moves in prop::collection::vec((0_u8..2, 1_u128..100), 1..60),
    ) {
        let (mut outside, mut inside) = (Sums::default(), Sums::default());
        for (way, amount) in moves {
            let (amount, kinds) = (Fri(amount), (AccountKind::External, AccountKind::Available));
            let moved = if way == 0 {
                (outside.debited(kinds.0, amount), inside.credited(kinds.1, amount))
            } else {
                (outside.credited(kinds.0, amount), inside.debited(kinds.1, amount))
            };
            prop_assert_eq!(moved.0.is_ok(), moved.1.is_ok());
            if let (Ok(out), Ok(into)) = moved {
                (outside, inside) = (out, into);
            }
            prop_assert_eq!(outside.balance(kinds.0), inside.balance(kinds.1));
            prop_assert_eq!(outside.debits.0 + inside.debits.0, outside.credits.0 + inside.credits.0);
        }
    }
}

#[test]
fn the_sixty_fifth_provider_has_no_place_until_one_has_gone_with_nothing() {
    let mut escrow = escrow(1_000, 0);
    for who in 1..=64 {
        assert_eq!(escrow.take_place(tenant(who)).map(i64::from), Some(who - 1));
    }
    assert_eq!(escrow.take_place(tenant(65)), None, "all places are taken");
    assert_eq!(escrow.take_place(tenant(7)), Some(6), "whoever has a place keeps it");
    escrow.leave(6, Fri(0));
    assert_eq!(escrow.take_place(tenant(65)), None, "one of its attempts is still live");
    assert_eq!(escrow.leave(8, Fri(5)), Fri(5));
    assert_eq!(escrow.take_place(tenant(65)), None, "who has earned something keeps its place");
    escrow.leave(6, Fri(0));
    assert_eq!(escrow.take_place(tenant(65)), Some(6));
    assert_eq!(escrow.split().shares, [Share { provider: tenant(9), amount: Fri(5) }]);
}

#[test]
fn fees_are_rounded_down_for_each_provider_and_not_for_all() {
    // Three that earn 19 each at 10 %: a fee of 1 each, not 5 of 57.
    let mut escrow = escrow(100, 1_000);
    earn(&mut escrow, &[(1, 19), (2, 19), (3, 19)]);
    let split = escrow.split();
    assert_eq!((split.fee, split.paid(), split.refund), (Fri(3), Fri(54), Fri(43)));
}

#[test]
fn nobody_is_paid_from_what_is_not_there() {
    let mut escrow = escrow(10, 0);
    assert_eq!(earn(&mut escrow, &[(1, 7), (2, 7), (3, 7)]), [Fri(7), Fri(3), Fri(0)]);
    assert_eq!(escrow.left(), Fri(0));
    assert_eq!(escrow.split().shares.len(), 2);
}

#[test]
fn transfers_lead_where_their_code_says() {
    let kinds = AccountKind::ALL;
    let (job, amount) = (Some(JobId(uuid::Uuid::from_u128(1))), Fri(1));
    let mut possible = Vec::new();
    for code in TransferCode::ALL {
        for (debit, credit) in kinds.into_iter().flat_map(|d| kinds.map(|c| (d, c))) {
            let of = |kind| Account::of(TenantKey(1), kind);
            let job = job.filter(|_| code.is_of_job());
            let transfer = Transfer { code, debit: of(debit), credit: of(credit), amount, job };
            if transfer.is_possible() {
                possible.push(format!("{}: {} to {}", code.name(), debit.name(), credit.name()));
            }
        }
    }
    let table = [
        "deposit: external to available",
        "withdraw: available to external",
        "withdraw: earned to external",
        "lock: available to held",
        "pay: held to earned",
        "fee: held to treasury",
        "refund: held to available",
    ];
    assert_eq!(possible, table);
    let sound = Transfer::deposit(TenantKey(1), Fri(1));
    assert!(sound.is_possible());
    let strange = Account { tenant: OPERATOR, kind: AccountKind::Available };
    let impossible = [
        Transfer { amount: Fri(0), ..sound },
        Transfer { amount: AMOUNT_END, ..sound },
        Transfer { job, ..sound },
        Transfer { debit: Account { tenant: TenantKey(1), kind: AccountKind::External }, ..sound },
        Transfer { credit: Account { tenant: TenantKey(1), kind: AccountKind::Held }, ..sound },
    ];
    assert!(impossible.iter().all(|transfer| !transfer.is_possible()));
    assert!(!Transfer { credit: strange, ..sound }.is_possible(), "the operator has no such account");
}

#[test]
fn an_account_that_cannot_give_says_what_it_has() {
    let sums = Sums { debits: Fri(3), credits: Fri(10) };
    let refused = sums.debited(AccountKind::Available, Fri(8));
    assert_eq!(refused, Err(MoneyError::Insufficient { there: Fri(7), needed: Fri(8) }));
    assert_eq!(
        sums.debited(AccountKind::Available, Fri(7)).map(|s| s.balance(AccountKind::Available)),
        Ok(Fri(0))
    );
    let full = Sums { debits: Fri(0), credits: Fri(u128::MAX) };
    assert_eq!(full.credited(AccountKind::Available, Fri(1)), Err(MoneyError::Full));
}
