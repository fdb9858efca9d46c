"""L3: plans from their events, by other code than the kernel; what does not follow is found, in records and in rows."""

import msgspec
import pytest

from tests.unit.ledger.test_planning import Desk
from weighbridge import canonical
from weighbridge.domain.plan import PlanStatus, StepStatus, Verb
from weighbridge.ledger import chain
from weighbridge.ledger.fold import Fold
from weighbridge.ledger.plan_fold import compare_plans
from weighbridge.storage.audit import verify_store
from weighbridge.testing.submissions import TENANT


@pytest.fixture
def desk():
    """A plan with a step done, one that failed, a pause and a resume."""
    made = Desk().active()
    made.run("brief")
    made.run("meet", 1, StepStatus.FAILED)
    made.act(Verb.PAUSE, reason="RETRIES_EXHAUSTED", step_id="meet")
    made.act(Verb.RESUME)
    return made


def folded(bodies):
    """Return what is wrong with records whose chain was computed anew, and the plans they give."""
    fold, hash_, faults = Fold(TENANT), chain.genesis(TENANT), []
    for seq, body in enumerate(bodies, start=1):
        leaf = chain.leaf_hash(body)
        hash_ = chain.link(hash_, seq, leaf)
        fault = fold.add(seq, leaf, hash_, body)
        faults += [] if fault is None else [(fault.seq, fault.part)]
    return faults, fold.plans.plans


def bodies_of(desk):
    return [stored.body for stored in desk.store.records(TENANT)]


def changed(body, type_, **fields):
    """Return a record with other fields in an event; None takes a field out."""
    record = canonical.decode(body)
    for event in record["events"]:
        if event["type"] == type_:
            event.update(fields)
            for name in [name for name, value in fields.items() if value is None]:
                del event[name]
    return canonical.encode(record)


def test_the_rows_are_what_the_records_give(desk):
    """L3: every row can be rebuilt from the records alone."""
    faults, plans = folded(bodies_of(desk))
    assert faults == []
    assert plans == {"p-1": desk.row}


@pytest.mark.parametrize(
    ("type_", "fields"),
    [
        ("PLAN_ACTIVATED", {"from": "DRAFT"}),
        ("PLAN_ACTIVATED", {"revision": 9}),
        ("PLAN_PAUSED", {"status": "ACTIVE"}),
        ("PLAN_PAUSED", {"status": None}),
        ("STEP_STARTED", {"step_id": "nowhere"}),
        ("STEP_COMPLETED", {"late": True}),
        ("PLAN_APPROVED", {"plan_hash": None}),
        ("PLAN_CREATED", {"steps": None}),
        ("PLAN_CREATED", {"risk": "HUGE"}),
    ],
)
def test_a_record_that_claims_what_does_not_follow(desk, type_, fields):
    """L3: the first bad record is named, also where the chain was computed anew."""
    bodies = bodies_of(desk)
    at = next(index for index, body in enumerate(bodies) if f'"type":"{type_}"'.encode() in body)
    bodies[at] = changed(bodies[at], type_, **fields)
    faults, _ = folded(bodies)
    assert faults[0][0] == at + 1
    assert faults[0][1] in {"plan", "record"}


def test_a_way_that_life_does_not_know(desk):
    """H1: a record that says how a plan left its end is found."""
    desk.act(Verb.ABORT)
    forged = changed(bodies_of(desk)[3], "PLAN_ACTIVATED", **{"from": "ABORTED", "revision": desk.row.revision + 1})
    record = canonical.decode(forged) | {"seq": desk.store.head(TENANT).seq + 1}
    faults, _ = folded([*bodies_of(desk), canonical.encode(record)])
    assert faults == [(record["seq"], "plan")]


def test_a_plan_is_created_once(desk):
    """L3: a second creation under the same id is found."""
    record = canonical.decode(bodies_of(desk)[0]) | {"seq": desk.store.head(TENANT).seq + 1}
    del record["purpose"]
    faults, _ = folded([*bodies_of(desk), canonical.encode(record)])
    assert faults == [(record["seq"], "plan")]


def test_a_move_of_a_plan_that_was_never_created(desk):
    """L3: with its creation cut out, everything after it does not follow; where that was archived, it is passed over."""
    record = canonical.decode(bodies_of(desk)[1]) | {"seq": 1, "purpose": "enforcement"}
    faults, _ = folded([canonical.encode(record)])
    assert faults == [(1, "plan")]
    fold = Fold(TENANT)
    fold.archived_to = 1
    assert fold.plans.add([], partial=True) == []


@pytest.mark.parametrize(
    "change",
    [
        {"status": PlanStatus.COMPLETED},
        {"approved_hash": "0" * 64},
        {"expires_ms": 1},
        {"refused": True},
        {"steps": ()},
        {"revision": 99},
    ],
)
def test_a_row_that_was_changed_is_found(desk, change):
    """L3: any row that differs from the fold, and which record gave it."""
    _, plans = folded(bodies_of(desk))
    (fault,) = compare_plans(plans, [msgspec.structs.replace(desk.row, **change)])
    assert (fault.seq, fault.part) == (desk.row.seq, "plan row")


def test_a_row_too_many_and_one_too_few(desk):
    """L3: a row that no record gives, and one that is missing."""
    _, plans = folded(bodies_of(desk))
    extra = msgspec.structs.replace(desk.row, plan_id="p-9")
    said = [(fault.seq, fault.message) for fault in compare_plans(plans, [extra])]
    assert said == [
        (None, "plan `p-9` is stored, but no record gives it"),
        (desk.row.seq, f"plan `p-1` of record {desk.row.seq} is missing"),
    ]


def test_the_ledger_with_plans_verifies(desk):
    """L3: chain, identities, subjects and content of plans are checked as those of everything else."""
    assert verify_store(desk.store, TENANT).ok
