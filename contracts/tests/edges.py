"""Where something just fits and where it no longer does: payouts, batches, orders, settings, roles, and
the changes that wait."""

import json
import re

from world import AMOUNT, ARTIFACTS, CONFIG, DAY, HOUR, LIMITS, RESULT, job_id, ok, same, skipped

WEEK = 7 * DAY
# Reasons that no call from outside can meet: what they guard against is prevented before.
OUT_OF_REACH = {
    "BAD_STATE": "a number of a state that nobody writes; tested in Cairo",
    "OVERFLOW": "amounts and payouts are bounded before",
    "TRANSFER_FAILED": "the token of the tests panics and never answers false",
}
# Words that are said in events about what was done, not about what was refused.
CAUSES = {"CANCELLED", "EXPIRED", "REJECTED", "REMAINDER"}


def payouts_of(number, amount=1):
    """That many providers, in order."""
    return [{"provider": 1000 + place, "amount": amount} for place in range(number)]


async def sixty_four_payouts(world):
    payouts = payouts_of(64, AMOUNT // 64)
    job = await world.reported(payouts)
    before = await world.credit(world.treasury)
    await world.devnet.pass_time(HOUR)
    await world.settle([job], payouts)
    fee = AMOUNT // 64 // 40
    credits = [await world.view("credit_of", payout["provider"]) for payout in payouts]
    same(credits, [AMOUNT // 64 - fee] * 64, "the credits of 64 providers")
    same(await world.credit(world.treasury) - before, 64 * fee, "the fees")
    ok("a job pays 64 providers, each its part to the unit")
    job = await world.reported(payouts)
    await world.customer.send(world.call("dispute", job["salt"], 1))
    bond, left = AMOUNT // 20, AMOUNT - 64 * (AMOUNT // 64)
    before = await world.credit(world.customer)
    await world.arbiter.send(world.call("resolve", job, payouts, 10000))
    credits = [await world.view("credit_of", payout["provider"]) for payout in payouts]
    same(credits, [2 * (AMOUNT // 64 - fee) + bond // 64] * 64, "their credits after a dispute that they won")
    same(await world.credit(world.customer) - before, left + bond - 64 * (bond // 64), "what does not divide")
    ok("a bond is split between 64 providers, and what does not divide goes back")


async def payouts_that_are_refused(world):
    orders = [await world.order() for _ in range(7)]
    keys = [world.key(order) for order in orders]
    await world.submit(orders)
    await world.assign(keys)
    two = [{"provider": 7, "amount": 1}, {"provider": 9, "amount": 1}]
    cases = [
        ("NO_PAYOUTS", []),
        ("TOO_MANY_PAYOUTS", payouts_of(65)),
        ("PAYOUTS_UNSORTED", two[::-1]),
        ("PAYOUTS_UNSORTED", [two[0], two[0]]),
        ("ZERO_PAYOUT", [two[0], {"provider": 9, "amount": 0}]),
        ("OVERPAID", [two[0], {"provider": 9, "amount": AMOUNT}]),
        (None, two),
    ]
    batch = [
        {"job_id": job_id(key), "result_hash": RESULT, "payouts": payouts}
        for key, (_, payouts) in zip(keys, cases)
    ]
    receipt = await world.operator.send(world.call("submit_results", batch))
    expected = [(job_id(key), reason) for key, (reason, _) in zip(keys, cases) if reason]
    same(left_out(world, receipt), expected, "the results that were left out")
    same([await world.state(key) for key in keys], ["Assigned"] * 6 + ["Submitted"], "the jobs")
    ok("payouts that are none, too many, in disorder, empty or too much are left out, each with its reason")


def left_out(world, receipt):
    found = skipped([{"keys": event.keys, "data": event.data} for event in receipt.events])
    world.met.update(reason for _, reason in found)
    return found


async def mixed_batches(world):
    orders = [await world.order() for _ in range(4)]
    keys = [world.key(order) for order in orders]
    ids = [job_id(key) for key in keys]
    nobody = world.key(await world.order())
    await world.submit(orders)
    worker = world.worker.address
    batch = [(ids[0], worker), (job_id(nobody), worker), (ids[0], worker), (ids[1], 0), (ids[1], worker), (ids[2], worker)]
    batch = [{"job_id": job, "worker": to} for job, to in batch]
    receipt = await world.operator.send(world.call("assign_jobs", batch))
    expected = [(job_id(nobody), "NOT_OPEN"), (ids[0], "NOT_OPEN"), (ids[1], "ZERO_ADDRESS")]
    same(left_out(world, receipt), expected, "the assignments that were left out")
    receipt = await world.report([keys[3], keys[0], nobody, keys[0], keys[1]], world.whole())
    expected = [(ids[3], "NOT_ASSIGNED"), (job_id(nobody), "NOT_ASSIGNED"), (ids[0], "NOT_ASSIGNED")]
    same(left_out(world, receipt), expected, "the results that were left out")
    await world.devnet.pass_time(HOUR)
    before = await world.credit(world.worker)
    trial = await world.stranger.tries(
        world.call("settle", [{"job": key, "payouts": world.whole()} for key in [keys[2], keys[0], keys[0], keys[1]]])
    )
    same(trial.results[0], [2], "how many a batch says it settles")
    receipt = await world.settle([keys[2], keys[0], nobody, keys[0], keys[1]], world.whole())
    expected = [(ids[2], "NOT_SUBMITTED"), (job_id(nobody), "NOT_SUBMITTED"), (ids[0], "NOT_SUBMITTED")]
    same(left_out(world, receipt), expected, "the settlements that were left out")
    same(await world.credit(world.worker) - before, 2 * (AMOUNT - AMOUNT // 40), "the credit of the good ones")
    await world.devnet.pass_time(DAY)
    receipt = await world.stranger.send(world.call("expire", [keys[0], keys[2], nobody, keys[2], keys[3]]))
    expected = [(ids[0], "NOT_WAITING"), (job_id(nobody), "NOT_WAITING"), (ids[2], "NOT_WAITING")]
    same(left_out(world, receipt), expected, "the refunds that were left out")
    same([await world.state(key) for key in keys], ["Released", "Released", "Expired", "Expired"], "the jobs")
    ok("bad entries of a batch are left out and said, twice the same one counts once, the rest goes through")


async def orders_that_are_refused(world):
    good = await world.order()
    now = good["deadline"] - DAY
    twice = {**good, "amount": 1}
    cases = [
        ("NO_ORDERS", [], LIMITS),
        ("FEE_TOO_HIGH", [good], {**LIMITS, "max_fee_bps": 249}),
        ("WINDOW_TOO_SHORT", [good], {**LIMITS, "min_window": HOUR + 1}),
        ("ZERO_AMOUNT", [{**good, "amount": 0}], LIMITS),
        ("AMOUNT_TOO_LARGE", [{**good, "amount": 2**112}], LIMITS),
        ("BAD_DEADLINE", [{**good, "deadline": now}], LIMITS),
        ("BAD_DEADLINE", [{**good, "deadline": now + 366 * DAY}], LIMITS),
        ("JOB_EXISTS", [good, twice], LIMITS),
        ("ALLOWANCE_TOO_LOW", [{**good, "amount": 2**112 - 1}], LIMITS),
    ]
    for reason, orders, limits in cases:
        await world.customer.would_be_refused(reason, world.call("submit_jobs", orders, limits))
    allowed = world.approve(2**127)
    await world.customer.would_be_refused(
        "BALANCE_TOO_LOW", allowed, world.call("submit_jobs", [{**good, "amount": 2**112 - 1}], LIMITS)
    )
    old = world.call("submit_signed", world.customer.address, [good], LIMITS, now - 1, [1, 2])
    await world.stranger.would_be_refused("ORDER_TOO_OLD", old)
    await world.stranger.would_be_refused("NO_SUCH_JOB", world.call("get_job_state", 1))
    ok("orders without money, out of time, twice or against the client's limits are refused, all or none")


async def settings(world):
    edges = [
        ("fee_bps", 1000, 1001, "BAD_FEE"),
        ("bond_bps", 1000, 1001, "BAD_BOND"),
        ("window", 1, 0, "BAD_WINDOW"),
        ("window", 30 * DAY, 30 * DAY + 1, "BAD_WINDOW"),
        ("grace", WEEK, WEEK + 1, "BAD_GRACE"),
        ("arbitration", HOUR, HOUR - 1, "BAD_ARBITRATION"),
        ("arbitration", 30 * DAY, 30 * DAY + 1, "BAD_ARBITRATION"),
    ]
    for name, good, bad, reason in edges:
        same((await world.owner.tries(world.call("set_config", {**CONFIG, name: good}))).reason, None, name)
        await world.owner.would_be_refused(reason, world.call("set_config", {**CONFIG, name: bad}))
    await world.owner.would_be_refused("ZERO_ADDRESS", world.call("set_treasury", 0))
    await world.owner.would_be_refused("ZERO_ADDRESS", world.call("set_operator", 0, True))
    ok("fee, bond and times have bounds, and just fit at them")
    job = await world.reported()
    await world.owner.send(world.call("set_config", {**CONFIG, "fee_bps": 1000, "window": DAY, "grace": 0}))
    before = await world.credit(world.worker)
    await world.devnet.pass_time(HOUR)
    await world.settle([job], world.whole())
    same(await world.credit(world.worker) - before, AMOUNT - AMOUNT // 40, "the credit under the old fee")
    await world.owner.send(world.call("set_config", CONFIG))
    ok("fee and window of a job stay what they were at its submission")
    await world.customer.would_be_refused("BAD_RECEIVER", world.call("withdraw", 0))
    await world.customer.would_be_refused("BAD_RECEIVER", world.call("withdraw", world.escrow.address))
    await world.arbiter.would_be_refused("BAD_SHARE", world.call("resolve", job, world.whole(), 10001))
    waiting = await world.reported()
    await world.customer.send(world.call("dispute", waiting["salt"], 1))
    other = world.whole(AMOUNT - 1)
    await world.arbiter.would_be_refused("WRONG_PAYOUTS", world.call("resolve", waiting, other, 10000))
    await world.arbiter.send(world.call("resolve", waiting, world.whole(), 10000))
    ok("credit cannot be sent to nowhere, and an arbiter decides about the payouts that were reported")


async def ownership(world):
    offer = world.call("transfer_ownership", world.helper.address)
    await world.owner.send(offer)
    same(await world.view("owner"), world.owner.address, "the owner before the next one accepts")
    await world.stranger.would_be_refused("NOT_NEXT_OWNER", world.call("accept_ownership"))
    await world.owner.send(world.call("transfer_ownership", 0))
    await world.helper.would_be_refused("NOT_NEXT_OWNER", world.call("accept_ownership"))
    ok("an offer of ownership moves nothing and can be taken back")
    await world.owner.send(offer)
    await world.helper.send(world.call("accept_ownership"))
    await world.owner.would_be_refused("NOT_OWNER", world.call("unpause"))
    await world.helper.would_be_refused("NOT_NEXT_OWNER", world.call("accept_ownership"))
    await world.helper.send(world.call("transfer_ownership", world.owner.address))
    await world.owner.send(world.call("accept_ownership"))
    same(await world.view("owner"), world.owner.address, "the owner in the end")
    ok("ownership moves in two steps, once, and the one who gave it has it no longer")


async def another_arbiter(world):
    propose = world.call("propose_arbiter", world.helper.address)
    apply = world.call("apply_arbiter")
    await world.owner.send(propose)
    await world.owner.would_be_refused("TOO_EARLY", apply)
    await world.owner.send(world.call("propose_arbiter", 0))
    await world.devnet.pass_time(WEEK)
    await world.owner.would_be_refused("NOTHING_PROPOSED", apply)
    await world.owner.send(propose)
    await world.devnet.pass_time(2 * WEEK)
    await world.owner.would_be_refused("TOO_LATE", apply)
    await world.owner.send(propose)
    await world.devnet.pass_time(WEEK - 60)
    await world.owner.would_be_refused("TOO_EARLY", apply)
    await world.devnet.pass_time(60)
    await world.owner.send(apply)
    same(await world.view("arbiter"), world.helper.address, "the arbiter")
    await world.owner.would_be_refused("NOTHING_PROPOSED", apply)
    ok("a new arbiter waits a week, lapses after another, can be taken back, and comes once")
    await world.owner.send(world.call("propose_arbiter", world.arbiter.address))
    await world.devnet.pass_time(WEEK)
    await world.owner.send(apply)


async def code_that_is_replaced(world):
    classes = json.loads((ARTIFACTS / "classes.json").read_text())
    target = int(classes["TestToken"]["class_hash"], 16)
    other = await world.another_escrow()
    call = lambda name, *given: other.functions[name].prepare_invoke_v3(*given)  # noqa: E731
    await world.owner.send(call("propose_upgrade", target))
    await world.owner.send(call("propose_upgrade", 0))
    await world.devnet.pass_time(WEEK)
    await world.owner.would_be_refused("NOTHING_PROPOSED", call("apply_upgrade"))
    await world.owner.send(call("propose_upgrade", target))
    await world.devnet.pass_time(2 * WEEK)
    await world.owner.would_be_refused("TOO_LATE", call("apply_upgrade"))
    await world.owner.send(call("propose_upgrade", target))
    await world.devnet.pass_time(WEEK)
    await world.owner.send(call("apply_upgrade"))
    same(await world.client.get_class_hash_at(other.address), target, "the class of the upgraded contract")
    ok("new code can be taken back, lapses, and is what was proposed")


async def the_registry(world):
    registry, worker = world.registry.functions, world.worker
    call = lambda name, *given: registry[name].prepare_invoke_v3(*given)  # noqa: E731
    whole = world.whole()
    for name, given in [("stake", [1]), ("unstake", [1]), ("bind_peer", [5]), ("unbind_peer", [5])]:
        await world.stranger.would_be_refused("NOT_REGISTERED", call(name, *given))
    await world.stranger.would_be_refused("NOTHING_UNBONDING", call("take_unstaked"))
    await world.stranger.would_be_refused("NO_COMPENSATION", call("take_compensation"))
    await worker.send(
        call("register", 0, 0xCAB), world.approve(10 * AMOUNT, world.registry.address), call("stake", 10 * AMOUNT)
    )
    await worker.would_be_refused("ZERO_AMOUNT", call("stake", 0))
    await worker.would_be_refused("ZERO_AMOUNT", call("unstake", 0))
    await worker.would_be_refused("STAKE_TOO_LOW", call("unstake", 10 * AMOUNT + 1))
    await world.stranger.would_be_refused("NOT_MINTER", world.token.functions["mint"].prepare_invoke_v3(1, 1))
    ok("a registry takes and gives nothing without a registration, a stake, or a reason")
    won, lost = await world.reported(), await world.reported()
    for job, share in [(won, 10000), (lost, 5000)]:
        await world.customer.send(world.call("dispute", job["salt"], 1))
        await world.arbiter.send(world.call("resolve", job, whole, share))
    await world.arbiter.would_be_refused("DISPUTE_LOST", call("slash", won, whole, worker.address, 1))
    await world.arbiter.would_be_refused("WRONG_PAYOUTS", call("slash", lost, world.whole(1), worker.address, 1))
    await world.arbiter.would_be_refused("NOT_A_PAYEE", call("slash", lost, whole, world.helper.address, 1))
    await world.arbiter.would_be_refused("ZERO_AMOUNT", call("slash", lost, whole, worker.address, 0))
    forged = {**lost, "client": world.stranger.address}
    await world.arbiter.would_be_refused("NOT_RESOLVED", call("slash", forged, whole, worker.address, 1))
    await worker.send(call("unstake", 4 * AMOUNT))
    await world.arbiter.send(call("slash", lost, whole, worker.address, 3 * AMOUNT))
    found = (await registry["get_provider"].call(worker.address))[0]
    same([found["stake"], found["unbonding"]], [6 * AMOUNT, AMOUNT], "the stake after a slash")
    ok("a slash takes what is leaving first, from a payee of the lost job only, for the job's own client")
    await world.customer.send(call("take_compensation"))
    await world.devnet.pass_time(2 * DAY)
    await worker.send(call("unstake", 6 * AMOUNT))
    await world.devnet.pass_time(2 * DAY)
    await worker.send(call("take_unstaked"))
    same(await world.balance(world.registry.address), 0, "what the registry holds")


async def constructors(world):
    for name, changed, reason in [
        ("JobEscrow", {"owner": 0}, "ZERO_ADDRESS"),
        ("JobEscrow", {"arbiter": 0}, "ZERO_ADDRESS"),
        ("JobEscrow", {"treasury": 0}, "ZERO_ADDRESS"),
        ("JobEscrow", {"token": 0}, "ZERO_ADDRESS"),
        ("JobEscrow", {"operators": [0]}, "ZERO_ADDRESS"),
        ("JobEscrow", {"config": {**CONFIG, "fee_bps": 1001}}, "BAD_FEE"),
        ("WorkerRegistry", {"token": 0}, "ZERO_ADDRESS"),
        ("WorkerRegistry", {"escrow": 0}, "ZERO_ADDRESS"),
        ("WorkerRegistry", {"unbonding_delay": 90 * DAY + 1}, "BAD_DELAY"),
    ]:
        await world.owner.would_be_refused(reason, world.deployment(name, salt=77, **changed).call)
    ok("a contract that nobody could use is not deployed")


async def every_reason(world):
    written = set()
    for source in (ARTIFACTS.parent / "src").glob("*.cairo"):
        written |= set(re.findall(r"'([A-Z]+(?:_[A-Z]+)*)'", source.read_text()))
    same(sorted(written - CAUSES - world.met), sorted(OUT_OF_REACH), "reasons that nothing met")
    ok(f"every reason for which the contracts refuse was met: {len(written & world.met)}")


STORIES = [
    sixty_four_payouts,
    payouts_that_are_refused,
    mixed_batches,
    orders_that_are_refused,
    settings,
    ownership,
    another_arbiter,
    code_that_is_replaced,
    the_registry,
    constructors,
    every_reason,
]
