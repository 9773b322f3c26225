"""What clients, providers, operators and an arbiter do with the contracts, from beginning to end, and
what it takes of gas, as receipts state it."""

import json
import time

from starknet_py.utils.typed_data import TypedData

from world import AMOUNT, ARTIFACTS, DAY, HOUR, LIMITS, job_id, load, ok, same, variant

# What a job may take over its whole life in a batch of 50, in millions; 1.99 when this was written.
MOST_GAS = 2.0


async def a_paid_job(world):
    before = await world.balance(world.customer.address)
    order = await world.order()
    await world.customer.send(world.call("submit_job", order, LIMITS))
    job = world.key(order)
    same(await world.view("job_id_of", world.customer.address, order["salt"]), job_id(job), "the job's id")
    same(await world.balance(world.customer.address), before - AMOUNT, "the client's balance")
    ok("submitting takes the tokens, and the id is Poseidon of client and salt")
    await world.customer.refused("JOB_EXISTS", world.call("submit_job", order, LIMITS))
    ok("a repeated submit meets itself")
    await world.assign([job])
    await world.report([job], world.whole())
    await world.settle([job], world.whole())
    same(await world.state(job), "Submitted", "a job whose window is open")
    ok("settling within the window leaves the job alone")
    await world.devnet.pass_time(HOUR)
    await world.settle([job], world.whole(AMOUNT - 1))
    same(await world.state(job), "Submitted", "a job settled with other payouts")
    ok("settling with other payouts than the reported ones leaves the job alone")
    await world.settle([job], world.whole())
    same(await world.state(job), "Released", "the job")
    fee = AMOUNT * 250 // 10000
    same(await world.credit(world.worker), AMOUNT - fee, "the provider's credit")
    same(await world.credit(world.treasury), fee, "the fee")
    ok("after the window a stranger settles, and the provider has its credit")
    await world.settle([job], world.whole())
    same(await world.credit(world.worker), AMOUNT - fee, "the provider's credit after settling again")
    ok("settling again pays nothing")
    held = await world.balance(world.worker.address)
    await world.worker.send(world.call("withdraw", world.worker.address))
    same(await world.balance(world.worker.address), held + AMOUNT - fee, "the provider's balance")
    await world.worker.refused("NO_CREDIT", world.call("withdraw", world.worker.address))
    await world.stranger.send(world.call("withdraw_for", world.treasury.address))
    same(await world.balance(world.treasury.address), fee, "the treasury's balance")
    ok("credit is withdrawn once, and anyone may send it to its owner")


async def a_split_job(world):
    pair = sorted([world.worker, world.helper], key=lambda person: person.address)
    payouts = [
        {"provider": pair[0].address, "amount": AMOUNT // 2},
        {"provider": pair[1].address, "amount": AMOUNT // 4},
    ]
    job = await world.reported(payouts)
    before = [await world.credit(person) for person in [*pair, world.customer]]
    await world.devnet.pass_time(HOUR)
    await world.settle([job], payouts)
    after = [await world.credit(person) for person in [*pair, world.customer]]
    gained = [new - old for new, old in zip(after, before)]
    same(gained, [AMOUNT // 2 * 39 // 40, AMOUNT // 4 * 39 // 40, AMOUNT // 4], "the credits of a split job")
    ok("two providers get a credit each, the remainder is the client's")


async def disputes(world):
    cases = [
        ("in full", 10000, AMOUNT * 975 // 1000 + AMOUNT // 20, 0, "Released"),
        ("in part", 5000, AMOUNT // 2 * 975 // 1000, AMOUNT // 2 + AMOUNT // 20, "Released"),
        ("not at all", 0, 0, AMOUNT + AMOUNT // 20, "Rejected"),
    ]
    for what, share, to_worker, to_client, state in cases:
        job = await world.reported()
        before = [await world.credit(world.worker), await world.credit(world.customer)]
        await world.stranger.refused("NOT_SUBMITTED", world.call("dispute", job["salt"], 1))
        await world.customer.send(world.call("dispute", job["salt"], 1))
        await world.assert_balanced()
        await world.owner.refused("NOT_ARBITER", world.call("resolve", job, world.whole(), share))
        await world.arbiter.send(world.call("resolve", job, world.whole(), share))
        after = [await world.credit(world.worker), await world.credit(world.customer)]
        same([after[0] - before[0], after[1] - before[1]], [to_worker, to_client], f"the payouts standing {what}")
        same(await world.state(job), state, "the job's state")
        ok(f"a dispute in which the payouts stand {what}")
    job = await world.reported()
    before = [await world.credit(world.worker), await world.credit(world.customer)]
    await world.customer.send(world.call("dispute", job["salt"], 1))
    await world.devnet.pass_time(DAY)
    await world.arbiter.refused("TOO_LATE", world.call("resolve", job, world.whole(), 0))
    await world.settle([job], world.whole())
    after = [await world.credit(world.worker), await world.credit(world.customer)]
    same([after[0] - before[0], after[1] - before[1]], [AMOUNT * 975 // 1000, AMOUNT // 20], "a lapsed dispute")
    ok("a dispute that nobody decides pays as reported and returns the bond")
    job = await world.reported()
    await world.devnet.pass_time(HOUR)
    await world.customer.refused("TOO_LATE", world.call("dispute", job["salt"], 1))
    ok("a dispute after the window is refused")
    await world.settle([job], world.whole())


async def refunds(world):
    before = await world.credit(world.customer)
    order = await world.order()
    await world.submit([order])
    await world.stranger.refused("NOT_OPERATOR", world.call("cancel", world.key(order)))
    await world.customer.send(world.call("cancel", world.key(order)))
    same(await world.credit(world.customer), before + AMOUNT, "the refund of a cancelled job")
    same(await world.state(world.key(order)), "Cancelled", "the job's state")
    ok("the client cancels what nobody works on")
    order = await world.order()
    await world.submit([order])
    await world.assign([world.key(order)])
    await world.customer.refused("NOT_OPERATOR", world.call("cancel", world.key(order)))
    await world.operator.send(world.call("cancel", world.key(order)))
    same(await world.credit(world.customer), before + 2 * AMOUNT, "the refund by an operator")
    ok("once assigned only an operator cancels, for the client")
    orders = [await world.order(), await world.order()]
    keys = [world.key(order) for order in orders]
    await world.submit(orders)
    await world.assign(keys[:1])
    await world.stranger.send(world.call("expire", keys))
    same(await world.state(keys[0]), "Assigned", "a job that is not late")
    await world.devnet.pass_time(DAY + HOUR)
    await world.report(keys[:1], world.whole())
    same(await world.state(keys[0]), "Assigned", "a job with a late result")
    await world.stranger.send(world.call("expire", keys))
    same([await world.state(job) for job in keys], ["Expired", "Expired"], "late jobs")
    same(await world.credit(world.customer), before + 4 * AMOUNT, "the refund of late jobs")
    ok("after deadline and grace anyone has the client refunded, and a late result is not taken")
    held = await world.balance(world.customer.address)
    credit = await world.credit(world.customer)
    await world.customer.send(world.call("withdraw", world.customer.address))
    same(await world.balance(world.customer.address), held + credit, "the client's balance")
    ok("the client withdraws its refunds")


async def the_flaws_of_the_original(world):
    """What could be done with the original JobManager, and fails here."""
    order = await world.order()
    # The client has approved everything; a stranger has not, and is the client of what it submits.
    await world.stranger.refused("ALLOWANCE_TOO_LOW", world.call("submit_job", order, LIMITS))
    ok("flaw: a job whose payment was never taken")
    ok("flaw: a job in the name of another client")
    await world.submit([order])
    same(await world.state(world.key(order)), "Open", "the client's own job under the same salt")
    paid, others = await world.reported(), await world.view("totals")
    await world.devnet.pass_time(HOUR)
    before = await world.credit(world.worker)
    for thief in [world.worker, world.operator, world.stranger]:
        await world.settle([paid, paid], world.whole(), by=thief)
    same(await world.credit(world.worker), before + AMOUNT * 975 // 1000, "the credit after three settlements")
    ok("flaw: a reward claimed again and again, by anyone")
    names = {entry.get("name") for entry in json.loads(load("JobEscrow", "abi"))}
    same("emergency_withdraw" in names, False, "whether there is an emergency exit for the owner")
    locked = (await world.view("totals"))["locked"]
    await world.owner.send(
        world.call("set_treasury", world.owner.address), world.call("set_operator", world.owner.address, True)
    )
    for admin in [world.owner, world.operator, world.arbiter]:
        await admin.refused("NO_CREDIT", world.call("withdraw", admin.address))
    await world.owner.refused("NOT_ARBITER", world.call("resolve", paid, world.whole(), 0))
    same((await world.view("totals"))["locked"], locked, "what is locked after the owner tried everything")
    same(locked, others["locked"] - AMOUNT, "what is locked for jobs that have not ended")
    await world.owner.send(
        world.call("set_treasury", world.treasury.address), world.call("set_operator", world.owner.address, False)
    )
    ok("flaw: escrow drained by an admin")
    before = await world.credit(world.customer)
    await world.customer.send(world.call("cancel", world.key(order)))
    same(await world.credit(world.customer), before + AMOUNT, "the refund")
    ok("flaw: no cancel, no refund, no dispute")
    rejected = await world.reported()
    await world.customer.send(world.call("dispute", rejected["salt"], 1))
    await world.arbiter.send(world.call("resolve", rejected, world.whole(), 0))
    states = [variant(await world.view("get_job_state", job_id(job))) for job in [paid, world.key(order), rejected]]
    same(states, ["Completed", "Cancelled", "Failed"], "the original's names of three endings")
    ok("flaw: every job a success")


async def a_pause(world):
    order, waiting = await world.order(), await world.reported()
    await world.owner.send(world.call("pause"))
    await world.customer.refused("PAUSED", world.call("submit_job", order, LIMITS))
    await world.operator.refused("PAUSED", world.call("assign_jobs", []))
    await world.devnet.pass_time(HOUR)
    await world.settle([waiting], world.whole())
    same(await world.state(waiting), "Released", "a job settled during the pause")
    await world.worker.send(world.call("withdraw", world.worker.address))
    await world.stranger.refused("NOT_OWNER", world.call("unpause"))
    await world.owner.send(world.call("unpause"))
    ok("a pause stops new work, never an exit")


async def signed_orders(world):
    orders = [await world.order(), await world.order()]
    until = await world.devnet.now(world.client) + HOUR
    message = {
        "types": {
            "StarknetDomain": [
                {"name": "name", "type": "shortstring"},
                {"name": "version", "type": "shortstring"},
                {"name": "chainId", "type": "shortstring"},
                {"name": "revision", "type": "shortstring"},
            ],
            "Order": [
                {"name": "salt", "type": "felt"},
                {"name": "spec_hash", "type": "felt"},
                {"name": "amount", "type": "u128"},
                {"name": "deadline", "type": "timestamp"},
            ],
            "Orders": [
                {"name": "escrow", "type": "ContractAddress"},
                {"name": "max_fee_bps", "type": "u128"},
                {"name": "min_window", "type": "timestamp"},
                {"name": "valid_until", "type": "timestamp"},
                {"name": "orders", "type": "Order*"},
            ],
        },
        "primaryType": "Orders",
        "domain": {"name": "CiroEscrow", "version": "v1", "chainId": hex(world.chain), "revision": "1"},
        "message": {
            "escrow": hex(world.escrow.address),
            **LIMITS,
            "valid_until": until,
            "orders": orders,
        },
    }
    client = world.customer
    shown = await world.view("orders_hash", client.address, orders, LIMITS, until)
    same(TypedData.from_dict(message).message_hash(client.address), shown, "the hash of signed orders")
    ok("the hash that a client signs is SNIP-12's, as another implementation computes it")
    signature = client.account.sign_message(message)
    relayed = world.call("submit_signed", client.address, orders, LIMITS, until, signature)
    other = [orders[0], {**orders[1], "amount": 2 * AMOUNT}]
    forged = world.call("submit_signed", client.address, other, LIMITS, until, signature)
    await world.stranger.refused("BAD_SIGNATURE", forged)
    before = await world.balance(client.address)
    await world.stranger.send(relayed)
    same(await world.balance(client.address), before - 2 * AMOUNT, "the client's balance")
    same([await world.state(world.key(order)) for order in orders], ["Open", "Open"], "signed orders")
    await world.stranger.refused("JOB_EXISTS", relayed)
    ok("somebody else sends what the client signed: that, nothing else, and once")


async def stakes(world):
    registry, worker = world.registry.functions, world.worker
    stake = 10 * AMOUNT
    await worker.send(
        registry["register"].prepare_invoke_v3(worker.address, 0xCAB),
        registry["bind_peer"].prepare_invoke_v3(2**255 - 19),
        world.approve(stake, world.registry.address),
        registry["stake"].prepare_invoke_v3(stake),
    )
    same((await registry["is_eligible"].call(worker.address))[0], True, "whether the provider is eligible")
    job = await world.reported()
    slash = registry["slash"].prepare_invoke_v3(job, world.whole(), worker.address, 3 * AMOUNT)
    await world.arbiter.refused("NOT_RESOLVED", slash)
    await world.customer.send(world.call("dispute", job["salt"], 1))
    await world.arbiter.send(world.call("resolve", job, world.whole(), 0))
    await world.owner.refused("NOT_ARBITER", slash)
    over = registry["slash"].prepare_invoke_v3(job, world.whole(), worker.address, 3 * AMOUNT + 1)
    await world.arbiter.refused("OVER_CAP", over)
    await world.arbiter.send(slash)
    await world.arbiter.refused("ALREADY_SLASHED", slash)
    before = await world.balance(world.customer.address)
    await world.customer.send(registry["take_compensation"].prepare_invoke_v3())
    same(await world.balance(world.customer.address), before + 3 * AMOUNT, "the client's compensation")
    ok("a stake is slashed for a lost dispute only, by the arbiter only, once, within the cap")
    await worker.send(registry["unstake"].prepare_invoke_v3(7 * AMOUNT))
    await worker.refused("TOO_EARLY", registry["take_unstaked"].prepare_invoke_v3())
    await world.devnet.pass_time(2 * DAY)
    await worker.send(registry["take_unstaked"].prepare_invoke_v3())
    same(await world.balance(world.registry.address), 0, "what the registry holds")
    ok("a stake comes back after the delay")


async def an_upgrade(world):
    same_class = int(json.loads((ARTIFACTS / "classes.json").read_text())["JobEscrow"]["class_hash"], 16)
    await world.stranger.refused("NOT_OWNER", world.call("propose_upgrade", same_class))
    await world.owner.send(world.call("propose_upgrade", same_class))
    await world.owner.refused("TOO_EARLY", world.call("apply_upgrade"))
    await world.devnet.pass_time(7 * DAY)
    await world.owner.send(world.call("apply_upgrade"))
    await world.assert_balanced()
    ok("new code waits for a week")


def gas_of(receipt):
    return receipt.execution_resources.l2_gas


async def figures(world):
    print("gas of L2 per job of one provider, in millions:")
    print("jobs   submit  assign  result  settle   whole life   jobs/s settled")
    lives = {}
    for size in [1, 50, 100]:
        orders = [await world.order() for _ in range(size)]
        keys = [world.key(order) for order in orders]
        steps = [await world.submit(orders), await world.assign(keys), await world.report(keys, world.whole())]
        await world.devnet.pass_time(HOUR)
        begun = time.monotonic()
        steps.append(await world.settle(keys, world.whole()))
        seconds = time.monotonic() - begun
        same([await world.state(job) for job in keys], ["Released"] * size, "a batch that was settled")
        each = [gas_of(receipt) / size / 1e6 for receipt in steps]
        lives[size] = sum(each)
        columns = "  ".join(f"{gas:6.2f}" for gas in each)
        print(f"{size:4}   {columns}   {sum(each):10.2f}   {size / seconds:14.0f}")
    await world.assert_balanced()
    ok("batches of 1, 50 and 100 jobs are settled to the unit")
    if lives[50] > MOST_GAS:
        raise SystemExit(f"error: {lives[50]:.2f} M gas per job in batches of 50 is more than {MOST_GAS} M")
    ok(f"a job's whole life takes at most {MOST_GAS:.1f} M gas in batches of 50")


STORIES = [
    a_paid_job,
    a_split_job,
    disputes,
    refunds,
    the_flaws_of_the_original,
    a_pause,
    signed_orders,
    stakes,
    an_upgrade,
]
