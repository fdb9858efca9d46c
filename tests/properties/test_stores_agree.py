"""Any submissions, in any order: SQLite and PostgreSQL give the same answers and the same bytes as the reference in memory."""

import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.canonical import keyed_hash
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.caps import Period
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import WeighbridgeError
from weighbridge.ledger.submission import Committed
from weighbridge.storage.audit import export_ledger, verify_store
from weighbridge.storage.memory import MemoryStore
from weighbridge.storage.sqlite import SqliteStore
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


USES = st.builds(usage, OPERATIONS, AMOUNTS, tenant=TENANTS, at_ms=TIMES)
ENDS = st.builds(ended, OPERATIONS, AMOUNTS, tenant=TENANTS, at_ms=TIMES)
POLICIES = st.tuples(st.lists(CAPS, max_size=4), st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"]))


@st.composite
def histories(draw):
    """Return any steps: under few policies, so that each comes into force again and again (B14)."""
    policies = draw(st.lists(POLICIES, min_size=1, max_size=3))
    plain = DECISIONS | COMPLETIONS | AUTHORISATIONS | CONTENTS | ERASURES
    budgets = reservations(policies)
    return draw(st.lists(plain | budgets | budgets | USES | ENDS, max_size=30))


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
            [tuple(store.find(tenant, name)) for name in ("a", "b", "c", "s-1", "a-1")],
        )
        for tenant in store.tenants()
    }


@settings(max_examples=60, deadline=None)
@given(STEPS, st.booleans())
def test_the_stores_agree(postgres, steps, together):
    """L3: answers, errors, records, rows: equal; all verify; every export verifies (G3, G8, G10, L5, L6, B3 to B14)."""
    with ExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory())
        database = postgres.database()
        held.callback(database.drop)
        memory = MemoryStore(entropy=entropy())
        stores = [SqliteStore(Path(folder, "ledger.db"), entropy=entropy()), database.store(entropy=entropy())]
        for store in stores:
            held.callback(store.close)
        for tenant, key in KEYS.items():
            assert {store.tenant_key(tenant) for store in (memory, *stores)} == {key}
        if together:
            plain = [step for step in steps if not isinstance(step, tuple)]
            answers = [
                [one if isinstance(one, Committed) else (type(one), str(one)) for one in store.commit_many(plain)]
                for store in (memory, *stores)
            ]
            assert all(given == answers[0] for given in answers)
        for step in steps:
            wanted = done(memory, step)
            assert [done(store, step) for store in stores] == [wanted] * len(stores)
        assert verify_store(memory).ok
        for store in stores:
            assert everything(store) == everything(memory)
            checked = verify_store(store)
            assert checked.ok, checked
            for tenant in store.tenants():
                assert list(export_ledger(memory, tenant)) == list(export_ledger(store, tenant))
                assert verify_export(export_ledger(store, tenant, contents=True), key=KEYS[tenant]).ok
