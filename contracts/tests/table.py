"""Every call, by everybody, in every state of a job: what it does, or the reason why it does not.

Each cell is asked of the network with a transaction that it simulates on the state that there is, so
that no cell changes what the next one finds.
"""

import json

from world import DAY, HOUR, LIMITS, RESULT, ROLES, job_id, load, ok, same

# Rows are what a job can be like; `Late`: deadline and grace are over, `Due`: the clock has run out.
# Columns are calls by those who may. A state is what the job is in afterwards; capitals are the
# reason for which the call is refused or leaves the job out.
JOBS = """
              submit      assign    report        dispute        resolve       settle         cancel           expire
None          Open        NOT_OPEN  NOT_ASSIGNED  NOT_SUBMITTED  NOT_DISPUTED  NOT_SUBMITTED  NOT_CANCELLABLE  NOT_WAITING
Open          JOB_EXISTS  Assigned  NOT_ASSIGNED  NOT_SUBMITTED  NOT_DISPUTED  NOT_SUBMITTED  Cancelled        TOO_EARLY
OpenLate      JOB_EXISTS  TOO_LATE  NOT_ASSIGNED  NOT_SUBMITTED  NOT_DISPUTED  NOT_SUBMITTED  Cancelled        Expired
Assigned      JOB_EXISTS  NOT_OPEN  Submitted     NOT_SUBMITTED  NOT_DISPUTED  NOT_SUBMITTED  Cancelled        TOO_EARLY
AssignedLate  JOB_EXISTS  NOT_OPEN  TOO_LATE      NOT_SUBMITTED  NOT_DISPUTED  NOT_SUBMITTED  Cancelled        Expired
Submitted     JOB_EXISTS  NOT_OPEN  NOT_ASSIGNED  Disputed       NOT_DISPUTED  WINDOW_OPEN    NOT_CANCELLABLE  NOT_WAITING
SubmittedDue  JOB_EXISTS  NOT_OPEN  NOT_ASSIGNED  TOO_LATE       NOT_DISPUTED  Released       NOT_CANCELLABLE  NOT_WAITING
Disputed      JOB_EXISTS  NOT_OPEN  NOT_ASSIGNED  NOT_SUBMITTED  Released      DISPUTED       NOT_CANCELLABLE  NOT_WAITING
DisputedDue   JOB_EXISTS  NOT_OPEN  NOT_ASSIGNED  NOT_SUBMITTED  TOO_LATE      Released       NOT_CANCELLABLE  NOT_WAITING
Released      JOB_EXISTS  NOT_OPEN  NOT_ASSIGNED  NOT_SUBMITTED  NOT_DISPUTED  NOT_SUBMITTED  NOT_CANCELLABLE  NOT_WAITING
Cancelled     JOB_EXISTS  NOT_OPEN  NOT_ASSIGNED  NOT_SUBMITTED  NOT_DISPUTED  NOT_SUBMITTED  NOT_CANCELLABLE  NOT_WAITING
Expired       JOB_EXISTS  NOT_OPEN  NOT_ASSIGNED  NOT_SUBMITTED  NOT_DISPUTED  NOT_SUBMITTED  NOT_CANCELLABLE  NOT_WAITING
Rejected      JOB_EXISTS  NOT_OPEN  NOT_ASSIGNED  NOT_SUBMITTED  NOT_DISPUTED  NOT_SUBMITTED  NOT_CANCELLABLE  NOT_WAITING
"""
# Who may, and what everybody else is told. Whoever is not the client has no job under the client's
# salt, and no money of the client's for one.
MAY = {
    "submit": (["customer"], "ALLOWANCE_TOO_LOW"),
    "assign": (["operator"], "NOT_OPERATOR"),
    "report": (["operator"], "NOT_OPERATOR"),
    "dispute": (["customer"], "NOT_SUBMITTED"),
    "resolve": (["arbiter"], "NOT_ARBITER"),
    "settle": (ROLES, None),
    "cancel": (["customer", "operator"], "NOT_OPERATOR"),
    "expire": (ROLES, None),
}
# Calls that are about no job: arguments, who may, what everybody else is told. What those who may are
# told, where there is nothing to do.
OTHERS = {
    "transfer_ownership": (["stranger"], ["owner"], "NOT_OWNER", None),
    "accept_ownership": ([], [], "NOT_NEXT_OWNER", None),
    "set_operator": (["stranger", True], ["owner"], "NOT_OWNER", None),
    "set_pauser": (["stranger"], ["owner"], "NOT_OWNER", None),
    "pause": ([], ["owner", "pauser"], "NOT_PAUSER", None),
    "unpause": ([], ["owner"], "NOT_OWNER", None),
    "propose_arbiter": (["stranger"], ["owner"], "NOT_OWNER", None),
    "apply_arbiter": ([], ["owner"], "NOT_OWNER", "NOTHING_PROPOSED"),
    "propose_upgrade": ([1], ["owner"], "NOT_OWNER", None),
    "apply_upgrade": ([], ["owner"], "NOT_OWNER", "NOTHING_PROPOSED"),
    "set_config": (["config"], ["owner"], "NOT_OWNER", None),
    "set_treasury": (["stranger"], ["owner"], "NOT_OWNER", None),
    "withdraw": (["stranger"], "credited", "NO_CREDIT", None),
    "withdraw_for": (["customer"], ROLES, None, None),
    "submit_signed": (["customer", "orders", LIMITS, 2**40, [1, 2]], [], "BAD_SIGNATURE", None),
}
# What the columns of the first table are called in the contract.
FUNCTIONS = {
    "submit": ["submit_job", "submit_jobs"],
    "assign": ["assign_jobs"],
    "report": ["submit_results"],
}


def rows(table):
    head, *lines = [line.split() for line in table.strip().splitlines()]
    return {line[0]: dict(zip(head, line[1:])) for line in lines}


def may(call, situation):
    """Who may, and what others are told; a job that is assigned is no longer the client's to cancel."""
    who, refusal = MAY[call]
    if call == "cancel" and situation.startswith("Assigned"):
        return ["operator"], refusal
    if call == "cancel" and not situation.startswith("Open"):
        return ROLES, None
    return who, refusal


async def situations(world):
    """A job for each row."""

    async def opened(seconds=DAY):
        order = await world.order(seconds=seconds)
        await world.submit([order])
        return world.key(order)

    async def assigned():
        key = await opened()
        await world.assign([key])
        return key

    async def disputed(key):
        await world.customer.send(world.call("dispute", key["salt"], 1))
        return key

    found = {"OpenLate": await opened(), "AssignedLate": await assigned(), "Expired": await opened()}
    found |= {"SubmittedDue": await world.reported(), "Released": await world.reported()}
    found |= {"DisputedDue": await disputed(await world.reported()), "Cancelled": await opened()}
    found["Rejected"] = await disputed(await world.reported())
    await world.arbiter.send(world.call("resolve", found["Rejected"], world.whole(), 0))
    await world.operator.send(world.call("cancel", found["Cancelled"]))
    await world.devnet.pass_time(DAY + HOUR)
    await world.settle([found["Released"]], world.whole())
    await world.stranger.send(world.call("expire", [found["Expired"]]))
    found |= {"None": world.key(await world.order()), "Open": await opened(), "Assigned": await assigned()}
    found |= {"Submitted": await world.reported(), "Disputed": await disputed(await world.reported())}
    for situation, key in found.items():
        state = situation.removesuffix("Late").removesuffix("Due")
        same(await world.state(key), state, f"the state of a job that should be {situation}")
    return found


async def calls(world, key):
    order = {**await world.order(), "salt": key["salt"]}
    job, payouts = job_id(key), world.whole()
    return {
        "submit": world.call("submit_job", order, LIMITS),
        "assign": world.call("assign_jobs", [{"job_id": job, "worker": world.worker.address}]),
        "report": world.call("submit_results", [{"job_id": job, "result_hash": RESULT, "payouts": payouts}]),
        "dispute": world.call("dispute", key["salt"], 1),
        "resolve": world.call("resolve", key, payouts, 10000),
        "settle": world.call("settle", [{"job": key, "payouts": payouts}]),
        "cancel": world.call("cancel", key),
        "expire": world.call("expire", [key]),
    }


STATES = ["None", "Open", "Assigned", "Submitted", "Disputed", "Released", "Cancelled", "Expired", "Rejected"]


async def outcome(world, name, call, key):
    """What a call comes to: the state behind it, or the reason why it did not go there."""
    person = getattr(world, name)
    trial = await person.tries(call, world.call("get_job", job_id(key)))
    if trial.reason:
        return trial.reason
    if trial.skipped:
        [(skipped, reason)] = trial.skipped
        same(skipped, job_id(key), "the job that was left out")
        same(trial.results[0], [0], "how many were taken")
        return reason
    return STATES[trial.results[1][0]]


async def every_call_by_everybody_in_every_state(world):
    jobs, cells = await situations(world), 0
    for situation, expected in rows(JOBS).items():
        key = jobs[situation]
        for call, prepared in (await calls(world, key)).items():
            who, refusal = may(call, situation)
            for role in ROLES:
                wanted = expected[call] if role in who else refusal
                found = await outcome(world, role, prepared, key)
                same(found, wanted, f"{call} by {role} of a job that is {situation}")
                cells += 1
    same(cells, len(rows(JOBS)) * len(MAY) * len(ROLES), "the cells of the table")
    ok(f"every call by everybody in every state does what the table says: {cells} cells")
    await world.pauser.send(world.call("pause"))
    for situation, expected in rows(JOBS).items():
        key = jobs[situation]
        for call, prepared in (await calls(world, key)).items():
            wanted = "PAUSED" if call in ["submit", "assign"] else expected[call]
            found = await outcome(world, may(call, situation)[0][0], prepared, key)
            same(found, wanted, f"{call} of a job that is {situation}, while paused")
    same((await world.customer.tries(world.call("withdraw", world.customer.address))).reason, None, "withdrawing")
    await world.owner.send(world.call("unpause"))
    ok("a pause changes two columns of the table, submit and assign, and nothing that leads out")


async def every_other_call_by_everybody(world):
    order = await world.order()
    named = {role: getattr(world, role).address for role in ROLES}
    named |= {"config": dict(await world.view("config")), "orders": [order]}
    credited = [role for role in ROLES if await world.credit(getattr(world, role))]
    same("customer" in credited and "stranger" not in credited, True, "who has credit")
    for name, (given, who, refusal, nothing) in OTHERS.items():
        who = credited if who == "credited" else who
        call = world.call(name, *[named[value] if isinstance(value, str) else value for value in given])
        for role in ROLES:
            wanted = nothing if role in who else refusal
            found = (await getattr(world, role).tries(call)).reason
            same(found, wanted, f"{name} by {role}")
    ok("roles, times, fees and credit are changed by whom the table names, and nobody else")
    external = set()
    for entry in json.loads(load("JobEscrow", "abi")):
        functions = entry["items"] if entry["type"] == "interface" else []
        external |= {item["name"] for item in functions if item["state_mutability"] == "external"}
    tabled = {name for call in MAY for name in FUNCTIONS.get(call, [call])} | set(OTHERS)
    same(tabled, external, "the functions in the tables")
    ok("the tables have every function of the escrow that changes anything")


STORIES = [every_call_by_everybody_in_every_state, every_other_call_by_everybody]
