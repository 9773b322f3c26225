"""JobEscrow in plain numbers: what it must do with every call, written a second time.

It knows nothing of storage, felts or batches of writes; it says who has what. A call either is
refused with a reason, and then nothing has changed, or gives what it answers and what it left out.
"""

from dataclasses import dataclass, field

WHOLE = 10000
AMOUNT_END = 2**112
MAX_DURATION = 31536000
LIVE = ["Open", "Assigned", "Submitted", "Disputed"]


class Refused(Exception):
    """The call is refused, with this reason."""


@dataclass
class Job:
    amount: int
    fee_bps: int
    clock: int
    expires_at: int
    state: str = "Open"
    payouts: list | None = None
    bond: int = 0
    ruling: int | None = None


@dataclass
class Model:
    """Everybody is a number: an address."""

    owner: int
    arbiter: int
    pauser: int
    treasury: int
    operators: set
    config: dict
    escrow: int
    balances: dict
    # Who has allowed the escrow to take what it has.
    allowing: set
    now: int = 0
    paused: bool = False
    jobs: dict = field(default_factory=dict)
    credits: dict = field(default_factory=dict)
    held: int = 0

    # What the books say, from the jobs up.

    def totals(self):
        return {
            "locked": sum(job.amount for job in self.jobs.values() if job.state in LIVE),
            "credited": sum(self.credits.values()),
            "bonded": sum(job.bond for job in self.jobs.values()),
        }

    def job(self, key):
        return self.jobs.get(key)

    def state(self, key):
        return self.jobs[key].state if key in self.jobs else "None"

    # Calls. Each returns what it answers and what it left out.

    def submit(self, caller, orders, limits):
        require(not self.paused, "PAUSED")
        require(orders, "NO_ORDERS")
        require(self.config["fee_bps"] <= limits["max_fee_bps"], "FEE_TOO_HIGH")
        require(self.config["window"] >= limits["min_window"], "WINDOW_TOO_SHORT")
        new = {}
        for order in orders:
            key, deadline = (caller, order["salt"]), order["deadline"]
            require(order["amount"] > 0, "ZERO_AMOUNT")
            require(order["amount"] < AMOUNT_END, "AMOUNT_TOO_LARGE")
            require(self.now < deadline <= self.now + MAX_DURATION, "BAD_DEADLINE")
            require(key not in self.jobs and key not in new, "JOB_EXISTS")
            expires_at = deadline + self.config["grace"]
            new[key] = Job(order["amount"], self.config["fee_bps"], self.config["window"], expires_at)
        self.pull(caller, sum(job.amount for job in new.values()))
        self.jobs |= new
        return None, []

    def assign(self, caller, batch):
        require(caller in self.operators, "NOT_OPERATOR")
        require(not self.paused, "PAUSED")

        def entry(key, worker):
            if self.state(key) != "Open":
                return "NOT_OPEN"
            if self.now >= self.jobs[key].expires_at:
                return "TOO_LATE"
            if worker == 0:
                return "ZERO_ADDRESS"
            self.jobs[key].state = "Assigned"

        return each(batch, entry)

    def report(self, caller, batch):
        require(caller in self.operators, "NOT_OPERATOR")

        def entry(key, payouts):
            if self.state(key) != "Assigned":
                return "NOT_ASSIGNED"
            job = self.jobs[key]
            if self.now >= job.expires_at:
                return "TOO_LATE"
            reason = fault(payouts, job.amount)
            if reason is None:
                job.state, job.payouts, job.clock = "Submitted", payouts, self.now + job.clock
            return reason

        return each(batch, entry)

    def dispute(self, caller, salt):
        key = (caller, salt)
        require(self.state(key) == "Submitted", "NOT_SUBMITTED")
        job = self.jobs[key]
        require(self.now < job.clock, "TOO_LATE")
        bond = job.amount * self.config["bond_bps"] // WHOLE
        if bond:
            self.pull(caller, bond)
        job.state, job.clock, job.bond = "Disputed", self.now + self.config["arbitration"], bond
        return None, []

    def resolve(self, caller, key, payouts, share):
        require(caller == self.arbiter, "NOT_ARBITER")
        require(share <= WHOLE, "BAD_SHARE")
        require(self.state(key) == "Disputed", "NOT_DISPUTED")
        job = self.jobs[key]
        require(self.now < job.clock, "TOO_LATE")
        require(job.payouts == payouts, "WRONG_PAYOUTS")
        job.ruling = share
        self.pay(key, share)
        left = job.bond
        if share == WHOLE:
            whole = sum(amount for _, amount in payouts)
            for provider, amount in payouts:
                part = job.bond * amount // whole
                left -= part
                self.credit(provider, part)
        self.credit(key[0], left)
        job.bond = 0
        return None, []

    def settle(self, caller, batch):
        def entry(key, payouts):
            state = self.state(key)
            if state not in ["Submitted", "Disputed"]:
                return "NOT_SUBMITTED"
            job = self.jobs[key]
            if self.now < job.clock:
                return "DISPUTED" if state == "Disputed" else "WINDOW_OPEN"
            if job.payouts != payouts:
                return "WRONG_PAYOUTS"
            self.pay(key, WHOLE)
            self.credit(key[0], job.bond)
            job.bond = 0

        return each(batch, entry)

    def cancel(self, caller, key):
        state = self.state(key)
        require(state in ["Open", "Assigned"], "NOT_CANCELLABLE")
        client = state == "Open" and caller == key[0]
        require(client or caller in self.operators, "NOT_OPERATOR")
        self.refund(key, "Cancelled")
        return None, []

    def expire(self, caller, batch):
        def entry(key):
            if self.state(key) not in ["Open", "Assigned"]:
                return "NOT_WAITING"
            if self.now < self.jobs[key].expires_at:
                return "TOO_EARLY"
            self.refund(key, "Expired")

        return each([(key,) for key in batch], entry)

    def withdraw(self, caller, to):
        return self.send(caller, to)

    def withdraw_for(self, caller, account):
        return self.send(account, account)

    def pause(self, caller):
        require(caller in [self.pauser, self.owner], "NOT_PAUSER")
        self.paused = True
        return None, []

    def unpause(self, caller):
        require(caller == self.owner, "NOT_OWNER")
        self.paused = False
        return None, []

    def set_config(self, caller, config):
        require(caller == self.owner, "NOT_OWNER")
        require(config["fee_bps"] <= 1000, "BAD_FEE")
        require(config["bond_bps"] <= 1000, "BAD_BOND")
        self.config = config
        return None, []

    def set_treasury(self, caller, account):
        require(caller == self.owner, "NOT_OWNER")
        self.treasury = account
        return None, []

    # How money moves.

    def pull(self, payer, amount):
        require(payer in self.allowing, "ALLOWANCE_TOO_LOW")
        require(self.balances[payer] >= amount, "BALANCE_TOO_LOW")
        self.balances[payer] -= amount
        self.held += amount

    def send(self, account, to):
        require(to not in [0, self.escrow], "BAD_RECEIVER")
        amount = self.credits.get(account, 0)
        require(amount, "NO_CREDIT")
        self.credits[account] = 0
        self.held -= amount
        self.balances[to] = self.balances.get(to, 0) + amount
        return amount, []

    def credit(self, account, amount):
        self.credits[account] = self.credits.get(account, 0) + amount

    def pay(self, key, share):
        job = self.jobs[key]
        left = job.amount
        for provider, amount in job.payouts:
            gross = amount * share // WHOLE
            fee = gross * job.fee_bps // WHOLE
            left -= gross
            self.credit(provider, gross - fee)
            self.credit(self.treasury, fee)
        self.credit(key[0], left)
        job.state = "Rejected" if left == job.amount else "Released"

    def refund(self, key, state):
        self.credit(key[0], self.jobs[key].amount)
        self.jobs[key].state = state


def require(holds, reason):
    if not holds:
        raise Refused(reason)


def each(batch, entry):
    """Carries out the entries of a batch; how many went through, and the others with their reasons."""
    left_out = []
    for given in batch:
        reason = entry(*given)
        if reason is not None:
            left_out.append((given[0], reason))
    return len(batch) - len(left_out), left_out


def fault(payouts, amount):
    if not payouts:
        return "NO_PAYOUTS"
    if len(payouts) > 64:
        return "TOO_MANY_PAYOUTS"
    previous, left = 0, amount
    for provider, part in payouts:
        if provider <= previous:
            return "PAYOUTS_UNSORTED"
        if part == 0:
            return "ZERO_PAYOUT"
        if part > left:
            return "OVERPAID"
        previous, left = provider, left - part
    return None
