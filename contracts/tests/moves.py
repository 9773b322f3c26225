"""Random moves, on the contract and on the model of it. After each of them both must agree: on the
reason for which a call was refused, on what it left out of a batch, on every job that it named, on
what everybody has, is owed and was paid, and on the sums.
"""

import random
import time

from starknet_py.hash.selector import get_selector_from_name
from starknet_py.net.client_models import TransactionExecutionStatus

from model import LIVE, Model, Refused
from world import BOUNDS, CONFIG, DAY, HOUR, LIMITS, RESULT, ROLES, SPEC, job_id, ok, reason_of, same, skipped

# How often each sort of move is made, of the sum.
WEIGHTS = {
    "submit": 18, "assign": 14, "report": 14, "dispute": 12, "resolve": 14, "settle": 14, "cancel": 5,
    "expire": 5, "withdraw": 6, "withdraw_for": 3, "pause": 1, "unpause": 3, "set_config": 2, "set_treasury": 1,
}
STATES = ["None", "Open", "Assigned", "Submitted", "Disputed", "Released", "Cancelled", "Expired", "Rejected"]
ENDINGS = {"Released", "Cancelled", "Expired", "Rejected"}
# How many more moves are made at most to meet them all.
MORE = 1500
CLIENTS = ["customer", "helper"]
PROVIDERS = ["worker", "helper", "stranger", "treasury", "customer"]


class Table:
    """The contract and the model beside it."""

    def __init__(self, world, seed):
        self.world, self.random, self.salt = world, random.Random(seed), 0
        self.address = {role: getattr(world, role).address for role in ROLES}
        self.role = {address: role for role, address in self.address.items()}
        self.nonces, self.met, self.ended = {}, set(), set()

    async def begin(self):
        world, address = self.world, self.address
        self.escrow = await world.another_escrow()
        mint, approve = world.token.functions["mint"], world.token.functions["approve"]
        for client in CLIENTS:
            person = getattr(world, client)
            await world.owner.send(mint.prepare_invoke_v3(person.address, 10**30))
            await person.send(approve.prepare_invoke_v3(self.escrow.address, 2**255))
        await world.owner.send(self.call("set_pauser", address["pauser"]))
        self.model = Model(
            owner=address["owner"],
            arbiter=address["arbiter"],
            pauser=address["pauser"],
            treasury=address["treasury"],
            operators={address["operator"]},
            config=CONFIG,
            escrow=self.escrow.address,
            balances={},
            allowing={address[client] for client in CLIENTS},
        )
        for role in ROLES:
            self.model.balances[address[role]] = await world.balance(address[role])
        self.whole = sum(self.model.balances.values())

    def call(self, name, *arguments):
        return self.escrow.functions[name].prepare_invoke_v3(*arguments)

    # What is drawn. Most of it makes sense; some of everything does not.

    def rarely(self):
        return self.random.random() < 0.08

    def who(self, *sensible):
        return self.address[self.random.choice(ROLES if self.rarely() else sensible)]

    def keys(self, *states, most=4):
        """Jobs in one of the states, some in another, some twice, some that there are not."""
        chance, found = self.random, []
        fitting = [key for key, job in self.model.jobs.items() if job.state in states][-40:]
        others = list(self.model.jobs)[-60:]
        for _ in range(chance.randint(1, most)):
            pool = others if self.rarely() else fitting
            found.append(chance.choice(pool) if pool else (self.address["customer"], chance.randint(0, 10**6)))
        return found

    def payouts(self, amount):
        chance = self.random
        providers = sorted(self.address[role] for role in chance.sample(PROVIDERS, chance.randint(1, 4)))
        payouts = []
        for provider in providers:
            part = chance.choice([1, amount // 3, amount // len(providers), chance.randint(0, amount)])
            payouts.append((provider, max(part, 0 if self.rarely() else 1)))
            amount = max(amount - part, 0)
        if self.rarely():
            chance.shuffle(payouts)
        return payouts

    def reported(self, key):
        """The job's payouts, or others."""
        job = self.model.job(key)
        known = job.payouts if job and job.payouts else [(self.address["worker"], 1)]
        return self.payouts(10**6) if self.rarely() else known

    def draw(self):
        name = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        return name, *getattr(self, f"draw_{name}")()

    def draw_submit(self):
        chance, orders = self.random, []
        for _ in range(0 if self.rarely() and self.rarely() else chance.randint(1, 4)):
            self.salt += 0 if self.rarely() else 1
            amount = chance.choice([chance.randint(1, 50), chance.randint(1, 10**6), chance.randint(1, 10**24)])
            if self.rarely():
                amount = chance.choice([0, 2**112, 2**112 - 1])
            seconds = chance.choice([-1, 0, 366 * DAY]) if self.rarely() else chance.randint(HOUR, DAY)
            deadline = self.model.now + seconds
            orders.append({"salt": self.salt, "spec_hash": SPEC, "amount": amount, "deadline": deadline})
        limits = {"max_fee_bps": 1000, "min_window": 1}
        if self.rarely():
            limits = LIMITS
        return self.who(*CLIENTS), (orders, limits), ("submit_jobs", orders, limits)

    def draw_assign(self):
        batch = [(key, 0 if self.rarely() else self.who("worker", "helper")) for key in self.keys("Open")]
        told = [{"job_id": named(key), "worker": worker} for key, worker in batch]
        return self.who("operator"), (batch,), ("assign_jobs", told)

    def draw_report(self):
        batch = []
        for key in self.keys("Assigned"):
            job = self.model.job(key)
            batch.append((key, [] if self.rarely() and self.rarely() else self.payouts(job.amount if job else 10)))
        told = [{"job_id": named(key), "result_hash": RESULT, "payouts": shown(payouts)} for key, payouts in batch]
        return self.who("operator"), (batch,), ("submit_results", told)

    def draw_dispute(self):
        [(client, salt)] = self.keys("Submitted", most=1)
        return self.who(self.role[client]), (salt,), ("dispute", salt, 1)

    def draw_resolve(self):
        [key] = self.keys("Disputed", most=1)
        payouts, share = self.reported(key), self.random.choice([0, 0, 1, 5000, 9999, 10000])
        share = 10001 if self.rarely() and self.rarely() else share
        return self.who("arbiter"), (key, payouts, share), ("resolve", told_key(key), shown(payouts), share)

    def draw_settle(self):
        batch = [(key, self.reported(key)) for key in self.keys("Submitted", "Submitted", "Disputed")]
        told = [{"job": told_key(key), "payouts": shown(payouts)} for key, payouts in batch]
        return self.who(*ROLES), (batch,), ("settle", told)

    def draw_cancel(self):
        [key] = self.keys("Open", "Assigned", most=1)
        return self.who("operator", self.role[key[0]]), (key,), ("cancel", told_key(key))

    def draw_expire(self):
        batch = self.keys("Open", "Assigned")
        return self.who(*ROLES), (batch,), ("expire", [told_key(key) for key in batch])

    def draw_withdraw(self):
        to = self.random.choice([0, self.escrow.address]) if self.rarely() else self.who(*ROLES)
        return self.who(*PROVIDERS), (to,), ("withdraw", to)

    def draw_withdraw_for(self):
        account = self.who(*PROVIDERS)
        return self.who(*ROLES), (account,), ("withdraw_for", account)

    def draw_pause(self):
        return self.who("pauser", "owner"), (), ("pause",)

    def draw_unpause(self):
        return self.who("owner"), (), ("unpause",)

    def draw_set_config(self):
        chance = self.random
        config = {
            "fee_bps": chance.choice([0, 1, 250, 1000, 1001]),
            "bond_bps": chance.choice([0, 1, 500, 1000]),
            "window": chance.choice([1, HOUR, DAY, DAY]),
            "grace": chance.choice([0, HOUR, DAY]),
            "arbitration": chance.choice([HOUR, DAY, 3 * DAY]),
        }
        return self.who("owner"), (config,), ("set_config", config)

    def draw_set_treasury(self):
        account = self.who("treasury", "stranger")
        return self.who("owner"), (account,), ("set_treasury", account)

    # Carrying a move out, here and there.

    async def move(self):
        if self.random.random() < 0.12:
            await self.world.devnet.pass_time(self.random.choice([60, HOUR, HOUR, DAY]))
        # What a call sees as the time is fixed when the block before it is made.
        coming = await self.world.devnet.ask("starknet_getBlockWithTxHashes", block_id="pre_confirmed")
        self.model.now = coming["timestamp"]
        name, caller, given, told = self.draw()
        events, reason = await self.send(caller, self.call(*told))
        try:
            _, left_out = getattr(self.model, name)(caller, *given)
            expected = None
        except Refused as refused:
            expected, left_out = str(refused), []
        about = f"{name} by {self.role[caller]} of {given}"
        same(reason, expected, f"the reason for refusing {about}")
        same(skipped(events), [(named(key), why) for key, why in left_out], f"what was left out of {about}")
        self.met |= {expected, *(why for _, why in left_out)} - {None}
        keys = {key for argument in given for key in keys_in(argument)}
        if name == "submit":
            keys = {(caller, order["salt"]) for order in given[0]}
        if name == "dispute":
            keys = {(caller, given[0])}
        await self.compare(sorted(keys), about)
        return expected is None

    async def send(self, caller, call):
        """What the call emitted, and why it was refused."""
        account, client = getattr(self.world, self.role[caller]).account, self.world.client
        nonce = self.nonces.get(caller)
        if nonce is None:
            nonce = await account.get_nonce()
        self.nonces[caller] = nonce + 1
        signed = await account.sign_invoke_v3(calls=call, nonce=nonce, resource_bounds=BOUNDS, tip=0)
        sent = await client.send_transaction(signed)
        receipt = await client.get_transaction_receipt(sent.transaction_hash)
        refused = receipt.execution_status == TransactionExecutionStatus.REVERTED
        reason = reason_of(receipt.revert_reason) if refused else None
        events = [{"keys": event.keys, "data": event.data} for event in receipt.events]
        return events, reason

    async def read(self, questions):
        """What views answer, all in one request."""
        asked = [
            (
                "starknet_call",
                {
                    "block_id": "latest",
                    "request": {
                        "contract_address": hex(contract),
                        "entry_point_selector": hex(get_selector_from_name(name)),
                        "calldata": [hex(felt) for felt in calldata],
                    },
                },
            )
            for contract, name, calldata in questions
        ]
        return [[int(felt, 16) for felt in answer] for answer in await self.world.devnet.ask_all(asked)]

    async def compare(self, keys, about):
        escrow, token, everybody = self.escrow.address, self.world.token.address, list(self.role)
        ids = [named(key) for key in keys]
        totals, jobs, held, *rest = await self.read(
            [(escrow, "totals", []), (escrow, "get_jobs", [len(ids), *ids]), (token, "balance_of", [escrow])]
            + [(escrow, "credit_of", [one]) for one in everybody]
            + [(token, "balance_of", [one]) for one in everybody]
        )
        model = self.model
        same(totals, list(model.totals().values()), f"the totals after {about}")
        same(sum(totals), held[0], f"what the escrow holds after {about}")
        same(held[0], model.held, f"what the model holds after {about}")
        credits, balances = rest[: len(everybody)], rest[len(everybody) :]
        for one, credit, balance in zip(everybody, credits, balances):
            same(credit[0], model.credits.get(one, 0), f"the credit of {self.role[one]} after {about}")
            same(balance[0], model.balances[one], f"the balance of {self.role[one]} after {about}")
        same(sum(balance[0] for balance in balances) + held[0], self.whole, f"all money after {about}")
        for number, key in enumerate(keys):
            state, amount, fee, expires_at, clock, _, bond = jobs[1 + 7 * number : 8 + 7 * number]
            job = model.job(key)
            expected = ("None", 0, 0, 0, 0, 0)
            if job:
                expected = (job.state, job.amount, job.fee_bps, job.expires_at, job.clock, job.bond)
                if job.state not in LIVE:
                    self.ended.add(job.state)
            same((STATES[state], amount, fee, expires_at, clock, bond), expected, f"the job {key} after {about}")


def named(key):
    return job_id(told_key(key))


def told_key(key):
    return {"client": key[0], "salt": key[1]}


def shown(payouts):
    return [{"provider": provider, "amount": amount} for provider, amount in payouts]


def keys_in(argument):
    """The jobs that an argument of the model's names: one, or those of a batch."""
    if isinstance(argument, list):
        for entry in argument:
            yield from keys_in(entry)
    elif isinstance(argument, tuple) and len(argument) == 2:
        if isinstance(argument[0], tuple):
            yield argument[0]
        elif not isinstance(argument[1], list):
            yield argument


async def play(world, number, seed):
    table = Table(world, seed)
    await table.begin()
    begun, count, done = time.monotonic(), 0, 0
    # Few jobs come to some endings, so it goes on for a while until each was met.
    while count < number or (table.ended != ENDINGS and count < number + MORE):
        count, done = count + 1, done + await table.move()
        if count % 1000 == 0:
            print(f"{count} moves, {len(table.model.jobs)} jobs, {time.monotonic() - begun:.0f} s", flush=True)
    same(table.ended, ENDINGS, "the endings that were met")
    print(f"seed {seed}: {count} moves, {done} went through, {len(table.model.jobs)} jobs, reasons: {sorted(table.met)}")
    ok(f"after each of {count} random moves contract and model agree, and nothing was lost or made")
