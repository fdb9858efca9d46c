"""Any submissions, in any order: SQLite and PostgreSQL give the same answers and the same bytes as the reference in memory."""

import hashlib
import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.canonical import keyed_hash
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.caps import Period
from weighbridge.domain.outcome import Aborted, EventRef
from weighbridge.domain.plan import Verb
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import WeighbridgeError
from weighbridge.ledger.submission import Committed
from weighbridge.outcomes.capture import Capture, Setting
from weighbridge.storage.audit import export_ledger, verify_store
from weighbridge.storage.memory import MemoryStore
from weighbridge.storage.outcome_rows import outcome_rows
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.testing.plans import Mover, plan_of
from weighbridge.testing.store_contract_outcomes import BY, WON
from weighbridge.testing.submissions import (
    EXPENSIVE,
    NOW_MS,
    WRITEBACK,
    authorisation,
    cap,
    completion,
    decision,
    draft,
    ended,
    erasure,
    reservation,
    usage,
    with_content,
)
from weighbridge.verify import verify_export

# Few names, so that they meet.
NAMES = st.sampled_from(["a", "b", "c"])
TENANTS = st.sampled_from(["acme", "globex"])
TIMES = st.sampled_from([NOW_MS, NOW_MS + 1, NOW_MS - 5_000, NOW_MS - 5_001, NOW_MS + 60_000])
DRAFTS = st.builds(
    draft,
    NAMES,
    request=NAMES,
    proposal=NAMES,
    verdict=st.sampled_from(Verdict),
    choke_point=st.sampled_from([WRITEBACK, EXPENSIVE]),
)
DECISIONS = st.builds(
    lambda runs, **given: decision(*runs, **given),
    st.lists(DRAFTS, min_size=1, max_size=2),
    tenant=TENANTS,
    operation=st.none() | NAMES,
    request=NAMES,
    at_ms=TIMES,
    time_source=st.sampled_from(["clock", "supplied"]),
    policy=NAMES,
    refusals=st.sampled_from([{}, {"OVERLOADED": 2}]),
    plan_id=NAMES,
)
COMPLETIONS = st.builds(completion, NAMES, st.sampled_from(["COMPLETED", "FAILED"]), tenant=TENANTS, at_ms=TIMES)
AUTHORISATIONS = st.builds(authorisation, DRAFTS, tenant=TENANTS, at_ms=TIMES, expires_ms=TIMES)
KEYS = {"acme": (1).to_bytes(32, "big"), "globex": (2).to_bytes(32, "big")}
CONTENTS = st.builds(
    lambda name, body, tenant: with_content(name, KEYS[tenant], body, tenant=tenant),
    NAMES,
    st.sampled_from([b"x", b"\xff", b""]),
    TENANTS,
)
ERASURES = st.tuples(TENANTS, st.sampled_from([b"x", b"\xff", b""]))
CAPS = st.builds(
    lambda name, hard, soft, **given: cap(name, hard, soft=None if soft is None else min(soft, hard or soft), **given),
    NAMES,
    st.none() | st.integers(0, 6),
    soft=st.none() | st.integers(0, 4),
    unit=st.sampled_from(["operations", "tokens"]),
    period=st.sampled_from([Period.DAY, Period.MONTH]),
    scope=st.sampled_from([(), (("account", None),), (("account", "a"),), (("account", None), ("tool", "b"))]),
    classes=st.sampled_from([None, [CostClass.CHEAP], [CostClass.MEDIUM, CostClass.EXPENSIVE]]),
    settles=st.booleans(),
    justification=st.booleans(),
)
WHOSE = [
    {"tenant": tenant} | ({"justification": reason, "contents": [(reason, b"why")]} if reason else {})
    for tenant, key in (("acme", 1), ("globex", 2))
    for reason in (None, keyed_hash(key.to_bytes(32, "big"), b"why"))
]
OPERATIONS = st.sampled_from([f"op-{number}" for number in range(9)])
AMOUNTS = st.fixed_dictionaries({"operations": st.just(1)}, optional={"tokens": st.sampled_from([0, 1, 2, 5])})
DAYS = st.integers(0, 12).map(lambda number: NOW_MS + number * 86_400_000)


@st.composite
def reservations(draw, policies):
    caps, zone = draw(st.sampled_from(policies))
    return reservation(
        draw(OPERATIONS),
        caps,
        *draw(st.sampled_from([(), (), (draft("a"),), (draft("b", verdict=Verdict.BLOCK),)])),
        zone=zone,
        amounts=draw(AMOUNTS),
        account=draw(st.sampled_from(["a", "b", None])),
        tool=draw(st.sampled_from(["a", "b"])),
        cost_class=draw(st.sampled_from(CostClass)),
        at_ms=draw(DAYS),
        request=draw(NAMES),
        **draw(st.sampled_from(WHOSE)),
    )


PLANNED = {
    name: plan_of(name, account_id="a", steps=({"step_id": "brief", "operation": "x.brief"},))
    for name in ("p-a", "p-b")
}


def moved(name, verb, revision, tenant, attempt):
    """Return a move of a plan, as somebody would make it who saw it at ``revision``."""
    moves = Mover(PLANNED[name], key=KEYS[tenant])
    row: Any = SimpleNamespace(plan_id=name, revision=revision)
    match verb:
        case Verb.CREATE:
            made = moves.create()
        case Verb.EDIT:
            made = moves.edit(row)
        case Verb.APPROVE:
            made = moves.approve(row)
        case Verb.START_STEP:
            made = moves.start("brief", attempt)
        case Verb.END_STEP:
            made = moves.end("brief", attempt)
        case Verb.SKIP_STEP:
            made = moves.act(verb, row, step_id="brief")
        case _:
            made = moves.act(verb, row)
    return msgspec.structs.replace(made, tenant_id=tenant)


PLANS = st.sampled_from([*PLANNED])
MOVES = st.builds(moved, PLANS, st.sampled_from(Verb), st.integers(1, 6), TENANTS, st.integers(1, 2))
LIVES = st.builds(
    lambda name, tenant, last: [
        moved(name, verb, number, tenant, 1)
        for number, verb in enumerate((Verb.CREATE, Verb.SUBMIT, Verb.APPROVE, Verb.ACTIVATE, Verb.START_STEP, last))
    ],
    PLANS,
    TENANTS,
    st.sampled_from([Verb.END_STEP, Verb.PAUSE, Verb.ABORT]),
)
"""A plan from its proposal on: what is said of its revisions is true if nothing else happened to it."""


def captured(outcome, tenant):
    """Return an outcome as a submission; its id follows from what it says."""
    name = hashlib.sha256(f"{tenant} {outcome}".encode()).hexdigest()
    maker = Capture(lambda _: [], lambda _: Setting(KEYS[tenant]), clock_ms=lambda: NOW_MS, new_id=lambda: name)
    return maker._submission(tenant, outcome, BY, Setting(KEYS[tenant]))


OUTCOMES = st.builds(
    captured,
    st.builds(
        lambda opportunity, note: msgspec.structs.replace(WON, opportunity_id=opportunity, note=note),
        NAMES,
        st.sampled_from([None, "x"]),
    )
    | st.builds(
        lambda name, seq, index: Aborted(plan_id=name, account_id="a", event=EventRef(seq, index), at=WON.closed_at),
        PLANS,
        st.integers(1, 12),
        st.integers(0, 2),
    ),
    TENANTS,
)
USES = st.builds(usage, OPERATIONS, AMOUNTS, tenant=TENANTS, at_ms=TIMES)
ENDS = st.builds(ended, OPERATIONS, AMOUNTS, tenant=TENANTS, at_ms=TIMES)
POLICIES = st.tuples(st.lists(CAPS, max_size=4), st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"]))


@st.composite
def histories(draw):
    """Return any steps: under few policies, so that each comes into force again and again (B14)."""
    policies = draw(st.lists(POLICIES, min_size=1, max_size=3))
    plain = DECISIONS | COMPLETIONS | AUTHORISATIONS | CONTENTS | ERASURES
    budgets = reservations(policies)
    steps = draw(st.lists(plain | budgets | budgets | USES | ENDS | MOVES | OUTCOMES, max_size=30))
    at = draw(st.integers(0, len(steps)))
    return [*steps[:at], *draw(st.just([]) | LIVES), *steps[at:]]


STEPS = histories()


def outcome(call):
    try:
        return call()
    except WeighbridgeError as error:
        return type(error), str(error)


def done(store, step):
    if isinstance(step, tuple):
        tenant, body = step
        return outcome(lambda: store.erase_content(tenant, (keyed_hash(KEYS[tenant], body),), erasure(tenant=tenant)))
    return outcome(lambda: store.commit(step))


def entropy():
    numbers = itertools.count(1)
    return lambda size: KEYS["acme"] if size == 32 and next(numbers) == 1 else KEYS["globex"][-size:]


def everything(store):
    """Return all that a store shows."""
    return {
        tenant: (
            store.head(tenant),
            list(store.records(tenant)),
            list(store.identities(tenant)),
            list(store.blocked_proposals(tenant)),
            list(store.authorisations(tenant)),
            list(store.subjects(tenant)),
            list(store.contents(tenant)),
            list(store.counters(tenant)),
            list(store.consumption(tenant)),
            store.families(tenant),
            list(store.plans(tenant)),
            list(outcome_rows(store, tenant)),
            [tuple(store.find(tenant, name)) for name in ("a", "b", "c", "s-1", "a-1")],
        )
        for tenant in store.tenants()
    }


TURNS = st.lists(st.tuples(st.sampled_from([1, 1, 2, 4, 30]), st.integers(0, 1)), min_size=1, max_size=12)
"""How many steps are handed in together, and to which of two stores that are open on the same database, as of two processes."""


def groups(steps, turns):
    """Yield steps as they are handed in, with whose turn it is; an erasure is handed in alone."""
    turn, left = itertools.cycle(turns), list(steps)
    while left:
        size, which = next(turn)
        group = list(itertools.takewhile(lambda step: not isinstance(step, tuple), left[:size])) or left[:1]
        yield group, which
        del left[: len(group)]


def told(store, group):
    """Return what a store says to a group of steps, one at a time where it is one."""
    if len(group) == 1:
        return [done(store, group[0])]
    return [one if isinstance(one, Committed) else (type(one), str(one)) for one in store.commit_many(group)]


@settings(max_examples=60, deadline=None)
@given(STEPS, TURNS)
def test_the_stores_agree(postgres, steps, turns):
    """L3, B5, B6: answers, errors, records, rows: equal; all verify, and so does every export (G3, G8, G10, L5, L6, B3 to B14).

    One by one and in batches, through two stores at once on each database: what one keeps in mind, the other may have changed.
    """
    with ExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory())
        database = postgres.database()
        held.callback(database.drop)
        memory = MemoryStore(entropy=entropy())
        path = Path(folder, "ledger.db")
        pairs = [
            [SqliteStore(path, entropy=entropy()), SqliteStore(path, entropy=entropy())],
            [database.store(entropy=entropy()), database.store(entropy=entropy(), lanes=2)],
        ]
        stores = [store for pair in pairs for store in pair]
        for store in stores:
            held.callback(store.close)
        for tenant, key in KEYS.items():
            assert {store.tenant_key(tenant) for store in (memory, *stores)} == {key}
        for again in (0, 1):  # G3: asked again, of the other one
            for group, which in groups(steps, turns):
                wanted = told(memory, group)
                for pair in pairs:
                    assert told(pair[which ^ again], group) == wanted
        assert verify_store(memory).ok
        shown = everything(memory)
        for store in stores:
            assert everything(store) == shown
        for store, _ in pairs:
            checked = verify_store(store)
            assert checked.ok, checked
            for tenant in store.tenants():
                assert list(export_ledger(memory, tenant)) == list(export_ledger(store, tenant))
                assert verify_export(export_ledger(store, tenant, contents=True), key=KEYS[tenant]).ok
