"""A customer of a running network: jobs over REST, their money with a client that others wrote (starknet.py).

    python3 customer.py FOLDER

FOLDER is that of a `ciro dev` with a devnet and a price (`--price-fri`). One job is paid in, runs and is
settled; the provider withdraws what it earned and the customer what is left. One is disputed after its result,
the arbiter decides for the customer. One is cancelled, and all of it comes back. Balances are printed before
and after, and everything is held against docs/money.md to the unit. Every line that begins with `ok` is
something that was found to be so; the first thing that is not ends the script with an error.
"""

import asyncio
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from starknet_py.contract import Contract
from starknet_py.hash.selector import get_selector_from_name
from starknet_py.net.account.account import Account
from starknet_py.net.client_models import Call
from starknet_py.net.full_node_client import FullNodeClient
from starknet_py.net.signer.key_pair import KeyPair
from world import BOUNDS, job_id, load, ok, same

PATIENCE = 120
STRK = 10**18
# What a job may cost, and how long an attempt may take: enough for a minute of a worker at 3.6 STRK an hour.
MOST, WALL_MS = STRK // 10, 60_000
FEE_BPS, BOND_BPS = 250, 500


class Server:
    """The coordinator, as anybody speaks to it."""

    def __init__(self, folder):
        known = json.loads((folder / "server.json").read_text())
        self.url, self.key = known["url"], known["admin_key"]

    def ask(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"error: {method} {path}: {error.code} {error.read().decode()}") from None

    def job(self, job):
        return self.ask("GET", f"/v1/jobs/{job}")

    async def until(self, job, what, seen):
        """The job, once `seen` is true of it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            shown = self.job(job)
            if seen(shown):
                return shown
            if time.monotonic() > deadline:
                raise SystemExit(f"error: waited {PATIENCE} s for {what}: {json.dumps(shown, indent=1)}")
            await asyncio.sleep(0.2)


class Person:
    """An account with what it paid for its transactions."""

    def __init__(self, chain, name):
        files = chain.known["accounts"][name]
        key = KeyPair.from_keystore(files["keystore"], chain.passphrase)
        self.address, self.fees, self.chain = int(files["address"], 16), 0, chain
        number = int.from_bytes(chain.known["chain_id"].encode(), "big")
        self.account = Account(address=self.address, client=chain.client, key_pair=key, chain=number)

    async def send(self, *calls):
        sent = await self.account.execute_v3(calls=list(calls), resource_bounds=BOUNDS, tip=0)
        receipt = await self.chain.client.wait_for_tx(sent.transaction_hash, check_interval=0.1)
        self.fees += receipt.actual_fee.amount
        return receipt

    async def has(self):
        """Its balance, as it would be without fees of the chain."""
        return await self.chain.balance(self.address) + self.fees


class Chain:
    """The contracts."""

    def __init__(self, folder):
        self.known = json.loads((folder / "chain" / "network.json").read_text())
        self.passphrase = Path(self.known["passphrase_file"]).read_text().strip().encode()
        self.client = FullNodeClient(node_url=self.known["rpc_url"] + "/rpc")
        place = lambda name: int(self.known[name], 16)  # noqa: E731
        abi = lambda name: json.loads(load(name, "abi"))  # noqa: E731
        self.escrow = Contract(address=place("escrow"), abi=abi("JobEscrow"), provider=self.client)
        self.token = Contract(address=place("token"), abi=abi("TestToken"), provider=self.client)
        self.operator = place("operator")

    async def view(self, name, *arguments):
        return (await self.escrow.functions[name].call(*arguments))[0]

    async def balance(self, address):
        return (await self.token.functions["balance_of"].call(address))[0]

    async def assert_balanced(self):
        totals = await self.view("totals")
        owed = totals["locked"] + totals["credited"] + totals["bonded"]
        same(await self.balance(self.escrow.address), owed, "what the escrow holds")

    def call(self, name, *arguments):
        return self.escrow.functions[name].prepare_call(*arguments)


def as_calls(deposit):
    """The calls that the answer names, as this client takes them."""
    return [
        Call(
            to_addr=int(call["contract_address"], 16),
            selector=get_selector_from_name(call["entry_point"]),
            calldata=[int(felt, 0) for felt in call["calldata"]],
        )
        for call in deposit["calls"]
    ]


def fri(amount):
    return int(amount["fri"])


class Story:
    """Everybody, and what happens to a job of theirs."""

    def __init__(self, folder):
        self.server, self.chain = Server(folder), Chain(folder)
        people = [Person(self.chain, name) for name in ("client", "provider", "arbiter")]
        self.customer, self.provider, self.arbiter = people

    async def balances(self):
        """Of the customer, the provider and the treasury, credits included; and printed."""
        people = [("client", self.customer.has()), ("provider", self.provider.has())]
        found = {name: await balance for name, balance in people}
        found["treasury"] = await self.chain.view("credit_of", self.chain.operator)
        found["escrow"] = await self.chain.balance(self.chain.escrow.address)
        for name, balance in found.items():
            print(f"   {name:<9} {balance / STRK:>24.18f} STRK", flush=True)
        return found

    async def submitted(self, sleep_ms):
        """A job that waits for its deposit."""
        new = {
            "kind": "sleep",
            "args": [str(sleep_ms)],
            "limits": {"wall_ms": WALL_MS},
            "max_cost": {"fri": str(MOST)},
            "payment": {"escrow": {"client": hex(self.customer.address)}},
        }
        made = self.server.ask("POST", "/v1/jobs", new)
        deposit = made["deposit"]
        same(self.server.job(made["id"])["state"], "awaiting_funds", "the state of a job without its deposit")
        same(fri(deposit["amount"]), MOST, "what is to be paid in")
        key = {"client": self.customer.address, "salt": int(deposit["salt"], 16)}
        same(int(deposit["escrow_id"], 16), job_id(key), "the escrow's id")
        return made["id"], key, deposit

    async def paid_in(self, sleep_ms):
        job, key, deposit = await self.submitted(sleep_ms)
        await self.customer.send(*as_calls(deposit))
        return job, key

    async def with_result(self):
        """A job whose result is on the chain, with what its provider earned."""
        job, key = await self.paid_in(300)
        reported = lambda shown: shown.get("deposit", {}).get("state") == "submitted"  # noqa: E731
        shown = await self.server.until(job, "the result to be on the chain", reported)
        same(shown["state"], "completed", "the job's state")
        settlement = shown["settlement"]
        earned = fri(settlement["paid"]) + fri(settlement["fee"])
        if not 0 < earned < MOST:
            raise SystemExit(f"error: the provider earned {earned} of {MOST}")
        return job, key, earned

    async def settled(self, job):
        settled = lambda shown: shown["settlement"]["state"] == "settled"  # noqa: E731
        return (await self.server.until(job, "its settlement", settled))["settlement"]

    async def withdraws(self, person, amount, what):
        same(await self.chain.view("credit_of", person.address), amount, f"what {what} can withdraw")
        await person.send(self.chain.call("withdraw", person.address))
        same(await self.chain.view("credit_of", person.address), 0, "what is left")

    async def completed(self):
        print("a job that completes; before:")
        before = await self.balances()
        job, _, earned = await self.with_result()
        settlement = await self.settled(job)
        fee = earned * FEE_BPS // 10_000
        parts = [fri(settlement[part]) for part in ("escrowed", "paid", "fee", "refunded", "held")]
        same(parts, [MOST, earned - fee, fee, MOST - earned, 0], "the settlement that the coordinator shows")
        ok(f"a deposit of {MOST} FRI is settled: {earned - fee} paid, {fee} fee, {MOST - earned} given back")
        await self.withdraws(self.provider, earned - fee, "the provider")
        await self.withdraws(self.customer, MOST - earned, "the customer")
        print("after:")
        after = await self.balances()
        moved = [after[name] - before[name] for name in ("client", "provider", "treasury", "escrow")]
        same(moved, [-earned, earned - fee, fee, fee], "what everybody has more")
        ok("the provider and the customer have withdrawn it, to the unit")

    async def disputed(self):
        print("a job that is disputed; before:")
        before = await self.balances()
        job, key, earned = await self.with_result()
        bond = MOST * BOND_BPS // 10_000
        approve = self.chain.token.functions["approve"].prepare_call(self.chain.escrow.address, bond)
        await self.customer.send(approve, self.chain.call("dispute", key["salt"], 1))
        disputed = lambda shown: shown["settlement"]["state"] == "disputed"  # noqa: E731
        await self.server.until(job, "the dispute to be seen", disputed)
        ok("a dispute is shown beside the job")
        payouts = [{"provider": self.provider.address, "amount": earned}]
        await self.arbiter.send(self.chain.call("resolve", key, payouts, 0))
        settlement = await self.settled(job)
        parts = [fri(settlement[part]) for part in ("escrowed", "paid", "fee", "refunded", "held")]
        same(parts, [MOST, 0, 0, MOST, 0], "the settlement of a job whose result was rejected")
        await self.withdraws(self.customer, MOST + bond, "the customer")
        print("after:")
        same(await self.balances(), before, "what everybody has")
        ok("the arbiter decided for the customer, who has everything back, the bond too")

    async def refunded(self):
        print("a job that is cancelled; before:")
        before = await self.balances()
        job, _ = await self.paid_in(50_000)
        running = lambda shown: shown["state"] in ("running", "queued")  # noqa: E731
        await self.server.until(job, "the deposit to be seen", running)
        self.server.ask("POST", f"/v1/jobs/{job}/cancel", {})
        settlement = await self.settled(job)
        parts = [fri(settlement[part]) for part in ("escrowed", "paid", "fee", "refunded", "held")]
        same(parts, [MOST, 0, 0, MOST, 0], "the settlement of a job that was cancelled")
        await self.withdraws(self.customer, MOST, "the customer")
        print("after:")
        same(await self.balances(), before, "what everybody has")
        ok("a job that is cancelled before anything was accepted costs nothing")


async def main(folder):
    story = Story(folder)
    for part in (story.completed, story.disputed, story.refunded):
        await part()
        await story.chain.assert_balanced()
    ok("after all of that the escrow holds what it owes, to the unit")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    asyncio.run(main(Path(sys.argv[1])))
