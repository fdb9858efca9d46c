"""What a ledger says of budgets, record by record."""

from __future__ import annotations

import pytest

from weighbridge.budgets.simulate import Asked, Reported
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import LedgerCorrupt
from weighbridge.ledger import record
from weighbridge.ledger.spending_history import history, policy_hash
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.submissions import NOW_MS, TENANT, cap, decision, draft, reservation, usage


def bodies(*submissions):
    store = MemoryStore(entropy=bytes)
    for one in submissions:
        store.commit(one)
    return [stored.body for stored in store.records(TENANT)]


def test_decisions_and_reports_come_out_as_they_were_recorded():
    """B10: everything a decision was taken from."""
    caps = [cap("t", 1000, unit="tokens", settles=True)]
    asked, reported = bodies(
        reservation("op-1", caps, amounts={"operations": 1, "tokens": 700}, plan=None),
        usage("op-1", {"tokens": 200}),
    )
    assert list(history(asked)) == [
        Asked(
            seq=1,
            operation_id="op-1",
            operation="crm.read",
            cost_class=CostClass.CHEAP,
            account="a-1",
            plan=None,
            amounts={"operations": 1, "tokens": 700},
            at_ms=NOW_MS,
            verdict=Verdict.ALLOW,
            reason="WITHIN_CAPS",
        )
    ]
    assert list(history(reported)) == [Reported(2, NOW_MS, "op-1", {"tokens": 200}, {"tokens": 500})]


def test_a_record_without_budget_says_nothing():
    assert [list(history(body)) for body in bodies(decision(draft("run-1")))] == [[]]


@pytest.mark.parametrize("change", [{"amounts": {"operations": "-1"}}, {"caps": [{}]}, {"evaluation_time": "noon"}])
def test_an_event_that_lacks_what_belongs_to_it_is_named(change):
    """L3: nothing is guessed."""
    (body,) = bodies(reservation("op-1", [cap("day", 5)]))
    decoded = record.decode(body)
    events = [event | (change if event["type"].startswith("BUDGET") else {}) for event in decoded.events]
    broken = record.encode(TENANT, 1, decoded.common, events)
    with pytest.raises(LedgerCorrupt, match="record 1 lacks what its BUDGET_RESERVE needs"):
        list(history(broken))


def test_the_policy_is_named_by_decisions_of_its_version_alone():
    common = {"policy_version": "v1"}
    pointing = [{"type": "BUDGET_RESERVE", "content": {"policy": "h1", "justification": "h2"}}]
    body = record.encode(TENANT, 1, common, pointing)
    assert policy_hash(body, "v1") == "h1"
    assert policy_hash(body, "v2") is None
    assert policy_hash(record.encode(TENANT, 1, common, [{"type": "BUDGET_RESERVE"}]), "v1") is None
