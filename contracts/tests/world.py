"""A devnet with the contracts on it, and everybody who has to do with them."""

import asyncio
import json
import re
import subprocess
from pathlib import Path

import aiohttp
from poseidon_py.poseidon_hash import poseidon_hash
from starknet_py.contract import Contract
from starknet_py.hash.selector import get_selector_from_name
from starknet_py.net.account.account import Account
from starknet_py.net.client_models import ResourceBounds, ResourceBoundsMapping
from starknet_py.net.full_node_client import FullNodeClient
from starknet_py.net.signer.stark_curve_signer import KeyPair
from starknet_py.net.udc_deployer.deployer import Deployer

ARTIFACTS = Path(__file__).resolve().parent.parent / "artifacts"
HOUR, DAY = 3600, 86400
CONFIG = {"fee_bps": 250, "bond_bps": 500, "window": HOUR, "grace": HOUR, "arbitration": DAY}
LIMITS = {"max_fee_bps": 250, "min_window": HOUR}
SPEC, RESULT = 0x5BEC, 0x2E5
ROLES = ["owner", "arbiter", "treasury", "operator", "customer", "worker", "helper", "stranger", "pauser"]
AMOUNT = 10**18
BOUNDS = ResourceBoundsMapping(
    l1_gas=ResourceBounds(0, 10**12),
    l1_data_gas=ResourceBounds(10**6, 10**12),
    l2_gas=ResourceBounds(10**9, 10**10),
)


class Devnet:
    """The network, as a process of its own that ends with the script."""

    def __init__(self, program):
        arguments = ["--seed", "42", "--accounts", str(len(ROLES)), "--port", "0"]
        self.process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True)
        self.url, self.session = None, None
        for line in self.process.stdout:
            found = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
            if found:
                self.url = f"http://{found[1]}"
                break
        if self.url is None:
            raise SystemExit("starknet-devnet ended before it listened")
        # Whoever does not read what it prints stops it at some point.
        self.reader = asyncio.get_running_loop().run_in_executor(None, self.process.stdout.read)

    async def ask(self, method, **params):
        return (await self.ask_all([(method, params)]))[0]

    async def ask_all(self, questions):
        """The answers to several questions (method and parameters), in one request."""
        request = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in enumerate(questions)
        ]
        if self.session is None:
            self.session = aiohttp.ClientSession()
        async with self.session.post(f"{self.url}/rpc", json=request) as answer:
            said = {one["id"]: one for one in await answer.json()}
        for number, (method, _) in enumerate(questions):
            if "error" in said[number]:
                raise SystemExit(f"{method}: {said[number]['error']}")
        return [said[number]["result"] for number in range(len(questions))]

    async def pass_time(self, seconds):
        await self.ask("devnet_increaseTime", time=seconds)

    async def now(self, client):
        return (await client.get_block(block_number="latest")).timestamp

    async def end(self):
        if self.session is not None:
            await self.session.close()
        self.process.terminate()
        self.process.wait(timeout=20)


def ok(what):
    print(f"ok {what}", flush=True)


def same(found, expected, what):
    if found != expected:
        raise SystemExit(f"error: {what}: {found}, not {expected}")


def load(name, kind):
    return (ARTIFACTS / f"{name}.{kind}.json").read_text()


def job_id(key):
    """Poseidon of client and salt."""
    return poseidon_hash(key["client"], key["salt"])


def flat(value):
    """Arguments as a contract takes them: a list begins with its length."""
    if isinstance(value, list):
        yield len(value)
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from flat(part)
    if isinstance(value, int):
        yield value


def variant(value):
    """The name of an enum's variant."""
    return value.variant if hasattr(value, "variant") else value


SKIPPED = get_selector_from_name("JobSkipped")


def skipped(events):
    """The entries of a batch that were left out, each with the reason, in order."""
    return [(event["keys"][1], text_of(event["data"][0])) for event in events if event["keys"][0] == SKIPPED]


def text_of(felt):
    return felt.to_bytes(31, "big").lstrip(b"\0").decode()


def reason_of(words):
    """The contract's reason in what a node says about a call that failed: the innermost one."""
    found = re.findall(r"\('([A-Z_]+)'\)", words)
    if not found:
        raise SystemExit(f"error: no reason in: {words}")
    return found[-1]


class Trial:
    """What calls would do: the reason for which they are refused, or what they answer and emit."""

    def __init__(self, trace):
        run = trace["execute_invocation"]
        self.reason = reason_of(run["revert_reason"]) if "revert_reason" in run else None
        calls = run.get("calls", [])
        self.results = [[int(felt, 16) for felt in call["result"]] for call in calls]
        events = [event for call in calls for event in call["events"]]
        felts = lambda event, kind: [int(felt, 16) for felt in event[kind]]  # noqa: E731
        self.skipped = skipped([{kind: felts(event, kind) for kind in ("keys", "data")} for event in events])


class Person:
    """An account; what it sends is waited for, and must succeed unless a reason is expected."""

    def __init__(self, world, account):
        self.world, self.account, self.address = world, account, account.address

    async def send(self, *calls):
        sent = await self.account.execute_v3(calls=list(calls), resource_bounds=BOUNDS, tip=0)
        receipt = await self.account.client.wait_for_tx(sent.transaction_hash, check_interval=0.05)
        return receipt

    async def refused(self, reason, *calls):
        """The same calls do not go through, and this is why."""
        word = reason.encode().hex()
        try:
            await self.send(*calls)
        except Exception as error:  # noqa: BLE001: the client has several kinds, all with the text
            if reason in str(error) or word in str(error):
                self.world.met.add(reason)
                return
            raise
        raise SystemExit(f"error: {reason} was expected, but the call went through")

    async def tries(self, *calls):
        """What the calls would do, as the network says without doing it."""
        devnet = self.world.devnet
        nonce = await devnet.ask("starknet_getNonce", block_id="latest", contract_address=hex(self.address))
        felts = [len(calls)]
        for call in calls:
            felts += [call.to_addr, call.selector, len(call.calldata), *call.calldata]
        bound = {"max_amount": hex(10**10), "max_price_per_unit": hex(10**12)}
        transaction = {
            "type": "INVOKE",
            "version": "0x3",
            "sender_address": hex(self.address),
            "calldata": [hex(felt) for felt in felts],
            "signature": [],
            "nonce": nonce,
            "resource_bounds": {"l1_gas": bound, "l1_data_gas": bound, "l2_gas": bound},
            "tip": "0x0",
            "paymaster_data": [],
            "account_deployment_data": [],
            "nonce_data_availability_mode": "L1",
            "fee_data_availability_mode": "L1",
        }
        [simulated] = await devnet.ask(
            "starknet_simulateTransactions",
            block_id="latest",
            transactions=[transaction],
            simulation_flags=["SKIP_VALIDATE", "SKIP_FEE_CHARGE"],
        )
        trial = Trial(simulated["transaction_trace"])
        self.world.met.update([trial.reason] if trial.reason else [reason for _, reason in trial.skipped])
        return trial

    async def would_be_refused(self, reason, *calls):
        same((await self.tries(*calls)).reason, reason, "the reason for which it is refused")


class World:
    """Everything that is deployed and everybody who is there."""

    def __init__(self, devnet):
        self.devnet, self.client = devnet, FullNodeClient(node_url=f"{devnet.url}/rpc")
        self.salt = 0
        # Every reason for which something was refused or left out.
        self.met = set()

    async def populate(self):
        chain = int(await self.client.get_chain_id(), 16)
        given = await self.devnet.ask("devnet_getPredeployedAccounts")
        for name, known in zip(ROLES, given):
            key = KeyPair.from_private_key(int(known["private_key"], 16))
            address = int(known["address"], 16)
            account = Account(address=address, client=self.client, key_pair=key, chain=chain)
            setattr(self, name, Person(self, account))
        self.chain = chain

    async def declare(self, name):
        hashes = json.loads((ARTIFACTS / "classes.json").read_text())[name]
        sierra = load(name, "sierra")
        declaration = await self.owner.account.sign_declare_v3(
            compiled_contract=sierra,
            compiled_class_hash=int(hashes["compiled_class_hash"], 16),
            resource_bounds=ResourceBoundsMapping(
                l1_gas=ResourceBounds(0, 10**12),
                l1_data_gas=ResourceBounds(10**6, 10**12),
                l2_gas=ResourceBounds(5 * 10**9, 10**10),
            ),
            tip=0,
        )
        answer = await self.client.declare(transaction=declaration)
        receipt = await self.client.wait_for_tx(answer.transaction_hash, check_interval=0.05)
        same(answer.class_hash, int(hashes["class_hash"], 16), f"the class hash of {name}")
        ok(f"{name} is declared under its checked-in hashes, {receipt.execution_resources.l2_gas / 1e6:.0f} M gas")

    def deployment(self, name, salt, **changed):
        """The call that deploys a contract that is declared."""
        class_hash = int(json.loads((ARTIFACTS / "classes.json").read_text())[name]["class_hash"], 16)
        felts = list(flat({**self.arguments(name), **changed}))
        return Deployer().create_contract_deployment_raw(class_hash, salt=salt, raw_calldata=felts)

    def arguments(self, name):
        if name == "TestToken":
            return {"minter": self.owner.address}
        token = self.token.address
        if name == "WorkerRegistry":
            escrow = self.escrow.address
            return {"token": token, "escrow": escrow, "min_stake": AMOUNT, "unbonding_delay": 2 * DAY}
        return {
            "owner": self.owner.address,
            "arbiter": self.arbiter.address,
            "treasury": self.treasury.address,
            "token": token,
            "operators": [self.operator.address],
            "config": CONFIG,
        }

    async def deploy(self, name, salt):
        deployment = self.deployment(name, salt)
        await self.owner.send(deployment.call)
        abi = json.loads(load(name, "abi"))
        return Contract(address=deployment.address, abi=abi, provider=self.owner.account)

    async def another_escrow(self):
        self.salt += 1
        return await self.deploy("JobEscrow", self.salt)

    async def build(self):
        for name in ["TestToken", "JobEscrow", "WorkerRegistry"]:
            await self.declare(name)
        self.token = await self.deploy("TestToken", 0)
        self.escrow = await self.deploy("JobEscrow", 0)
        self.registry = await self.deploy("WorkerRegistry", 0)
        mint = self.token.functions["mint"]
        for person in [self.customer, self.worker]:
            await self.owner.send(mint.prepare_invoke_v3(person.address, 10**6 * AMOUNT))
        await self.customer.send(self.approve(10**6 * AMOUNT))
        await self.owner.send(self.call("set_pauser", self.pauser.address))

    def approve(self, amount, spender=None):
        spender = spender or self.escrow.address
        return self.token.functions["approve"].prepare_invoke_v3(spender, amount)

    def call(self, name, *arguments):
        return self.escrow.functions[name].prepare_invoke_v3(*arguments)

    async def view(self, name, *arguments):
        return (await self.escrow.functions[name].call(*arguments))[0]

    async def balance(self, address):
        return (await self.token.functions["balance_of"].call(address))[0]

    async def credit(self, person):
        return await self.view("credit_of", person.address)

    async def order(self, amount=AMOUNT, seconds=DAY):
        self.salt += 1
        deadline = await self.devnet.now(self.client) + seconds
        return {"salt": self.salt, "spec_hash": SPEC, "amount": amount, "deadline": deadline}

    def key(self, order, client=None):
        """What an order's job is named by where its client matters."""
        return {"client": (client or self.customer).address, "salt": order["salt"]}

    async def job(self, key):
        return await self.view("get_job", job_id(key))

    async def state(self, key):
        return variant((await self.job(key))["state"])

    async def assert_balanced(self):
        totals = await self.view("totals")
        owed = totals["locked"] + totals["credited"] + totals["bonded"]
        same(await self.balance(self.escrow.address), owed, "what the escrow holds")

    # One step each, for as many jobs as there are orders.

    async def submit(self, orders):
        return await self.customer.send(self.call("submit_jobs", orders, LIMITS))

    async def assign(self, keys):
        batch = [{"job_id": job_id(key), "worker": self.worker.address} for key in keys]
        return await self.operator.send(self.call("assign_jobs", batch))

    async def report(self, keys, payouts):
        batch = [{"job_id": job_id(key), "result_hash": RESULT, "payouts": payouts} for key in keys]
        return await self.operator.send(self.call("submit_results", batch))

    async def settle(self, keys, payouts, by=None):
        batch = [{"job": key, "payouts": payouts} for key in keys]
        return await (by or self.stranger).send(self.call("settle", batch))

    def whole(self, amount=AMOUNT):
        return [{"provider": self.worker.address, "amount": amount}]

    async def reported(self, payouts=None):
        """A job with a result."""
        order = await self.order()
        key = self.key(order)
        await self.submit([order])
        await self.assign([key])
        await self.report([key], payouts or self.whole())
        return key
