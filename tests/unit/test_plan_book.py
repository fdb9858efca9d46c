"""What is known of a plan besides its row, and how a move becomes a record."""

import pytest

from tests.planned import OLE, TENANT, World, approved, opened, proposed
from tests.samples import Clock
from weighbridge.domain.plan import StepStatus, Verb
from weighbridge.errors import LedgerCorrupt, NotFound
from weighbridge.ledger.submission import PlanMove
from weighbridge.plan_book import request_hash
from weighbridge.plans.asking import operation_id
from weighbridge.testing.plans import plan_of


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def wb(clock):
    with opened(world=World(), clock=clock) as made:
        yield made


@pytest.fixture
def book(wb):
    return wb._book


def test_a_plan_is_found_by_tenant_and_id(wb, book):
    """L5."""
    made = proposed(wb)
    assert book.state(TENANT, "p-1") == made
    assert list(book.states(TENANT, ("DRAFT",))) == [made]
    assert list(book.states(TENANT, ("ACTIVE",))) == []
    assert book.document(TENANT, made) == plan_of()
    for tenant, plan in ((TENANT, "p-2"), ("other", "p-1")):
        with pytest.raises(NotFound, match=f"tenant `{tenant}` has no plan `{plan}`"):
            book.state(tenant, plan)


def test_what_is_not_what_was_approved_is_no_document(wb, book, monkeypatch):
    """G11."""
    made = proposed(wb)
    monkeypatch.setattr(book._reader, "content", lambda _tenant, _hash: b"{}")
    with pytest.raises(LedgerCorrupt):
        book.document(TENANT, made)


def test_the_instant_is_the_ledgers_where_the_clock_is_behind(wb, book, clock):
    """H4: as in the kernel."""
    proposed(wb)
    now_ms, clock.now_ms = clock.now_ms, clock.now_ms - 1000
    assert book.now_ms(TENANT) == now_ms
    assert book.now_ms("nobody") == clock.now_ms
    clock.now_ms = now_ms + 1000
    assert book.now_ms(TENANT) == now_ms + 1000


def test_a_plan_as_it_was_approved_may_become_active(wb, book):
    made = approved(wb)
    assert book.against_activation(TENANT, made) == ()
    assert [found.reason for found in book.against_activation(TENANT, proposed(wb, "p-2"))] == ["PRECONDITIONS_UNMET"]


def test_a_move_is_a_record_of_whom_it_is_of(book):
    move = PlanMove("p-1", Verb.END_STEP, "h", step_id="a", attempt=2, outcome=StepStatus.FAILED)
    common = book.submission(TENANT, "a-1", move, OLE).common
    said = {
        "plan_id": "p-1",
        "account_id": "a-1",
        "step_id": "a",
        "attempt": 2,
        "operation_id": operation_id("p-1", "a", 2),
    }
    assert said.items() <= common.items()
    assert common["actor"] == {"id": "ole", "role": "operator"}
    assert "principal" not in common
    skipped = book.submission(
        TENANT, "a-1", PlanMove("p-1", Verb.SKIP_STEP, "h", step_id="a"), OLE, wb_principal()
    ).common
    assert skipped["principal"] == {"id": "local", "role": "host"}
    assert "attempt" not in skipped


def wb_principal():
    from weighbridge.wiring import LOCAL_HOST

    return LOCAL_HOST


def test_a_request_is_known_by_all_that_was_asked():
    one = request_hash(Verb.PAUSE, "p-1", by="ole", reason="wait")
    assert one == request_hash(Verb.PAUSE, "p-1", reason="wait", by="ole")
    others = [
        request_hash(Verb.ABORT, "p-1", by="ole", reason="wait"),
        request_hash(Verb.PAUSE, "p-2", by="ole", reason="wait"),
        request_hash(Verb.PAUSE, "p-1", by="kim", reason="wait"),
        request_hash(Verb.PAUSE, "p-1", by="ole", reason="more"),
    ]
    assert len({one, *others}) == 5
