"""What reservations do to counters and cells, through the store that is nothing but the kernel."""

import os

import msgspec
import pytest

from weighbridge.budgets.decide import Counter
from weighbridge.domain.amounts import AMOUNT_MAX, CostClass
from weighbridge.domain.caps import Period
from weighbridge.ledger.record import BUDGET_DECISIONS, events
from weighbridge.ledger.reserving import Cell, cell_name, parse_cell, reservation_of
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.submissions import TENANT, cap, completion, decision, draft, reservation, usage

NASTY = 'x" account=each (none)\n'


@pytest.fixture
def store():
    return MemoryStore(entropy=os.urandom)


def said(answer):
    """Return the budget event of an answer."""
    (event,) = (event for event in events(answer.body) if event.type in BUDGET_DECISIONS)
    return event.fields


def test_a_cell_and_back():
    """B14: the finest grain, as one text, whatever stands in the ids."""
    cell = Cell("2026-11-22", "2026-11", NASTY, None, "crm.read", "CHEAP")
    assert parse_cell(cell_name(cell)) == cell
    assert cell_name(Cell("d", "m", None, "p", "t", "CHEAP")) == '["d","m",null,"p","t","CHEAP"]'


@pytest.mark.parametrize(
    ("scope", "classes", "period", "expected"),
    [
        ((), None, Period.DAY, "operations 2026-11-22 any"),
        ((), None, Period.MONTH, "operations 2026-12 any"),
        ((("plan", None),), None, Period.PLAN, 'operations PLAN any plan="p"'),
        ((("account", None),), None, Period.DAY, "operations 2026-11-22 any account=(none)"),
        ((("tool", "t"),), [CostClass.CHEAP], Period.DAY, 'operations 2026-11-22 CHEAP tool="t"'),
        ((("tool", "u"),), None, Period.DAY, None),
        ((("account", "a"),), None, Period.DAY, None),
        ((), [CostClass.MEDIUM], Period.DAY, None),
    ],
)
def test_the_counter_of_a_cell_is_the_one_that_was_reserved_on(scope, classes, period, expected):
    """B3, B14: from a cell or from a request, the same counter; day and month have keys of their own (B9)."""
    one = cap("c", 1, scope=scope, classes=classes, period=period)
    assert Cell("2026-11-22", "2026-12", None, "p", "t", "CHEAP").counter(one.family) == expected


def test_the_event_says_what_was_asked(store):
    """B10: operation, class, amounts, assumed ones, periods, findings, and what is bound to the id."""
    asked = reservation("op-1", [cap("c", 5, soft=4)])
    assert asked.reservation is not None
    assumed = msgspec.structs.replace(asked.reservation, assumed=("operations",))
    event = said(store.commit(msgspec.structs.replace(asked, reservation=assumed)))
    assert (event["operation"], event["cost_class"], event["assumed"]) == ("crm.read", "CHEAP", ["operations"])
    assert (event["period"], event["findings"]) == ({"DAY": "2026-11-22", "MONTH": "2026-11"}, [])
    assert event["request_hash"] == asked.reservation.request_hash
    assert event["caps"] == [
        {
            "cap": "c", "counter": "operations 2026-11-22 any", "unit": "operations", "hard_cap": "5", "soft_cap": "4",
            "usage_before": "0", "usage_after": "1", "verdict": "ALLOW", "reason": "WITHIN_CAPS",
        }
    ]  # fmt: skip
    assert "settles" not in event


def test_what_was_found_before_blocks_and_moves_nothing(store):
    """B4, B10: the caps still say what they see, so that the decision explains itself."""
    event = said(store.commit(reservation("op-1", [cap("c", 5)], findings=["UNTRUSTED_INPUT"])))
    assert (event["result"], event["reason"], event["findings"][0]["reason"]) == ("BLOCK", *["UNTRUSTED_INPUT"] * 2)
    assert event["caps"][0]["usage_after"] == "1"
    assert (list(store.counters(TENANT)), list(store.consumption(TENANT))) == ([], [])


def test_an_amount_beyond_the_range_is_named_and_not_written_out(store):
    """B2: also in a unit that no cap counts; said once, whoever found it."""
    beyond = {"operations": 1, "tokens": AMOUNT_MAX + 1}
    for name, findings in {"op-1": [], "op-2": ["AMOUNT_OUT_OF_RANGE"]}.items():
        event = said(store.commit(reservation(name, [cap("c", 5)], amounts=beyond, findings=findings)))
        assert [one["reason"] for one in event["findings"]] == ["AMOUNT_OUT_OF_RANGE"]
        assert event["amounts"] == {"operations": "1"}
    assert list(store.consumption(TENANT)) == []


def test_nothing_is_no_row(store):
    """B3: a counter that nothing fell under is not there, whether it is new, reserved on with 0, or never used."""
    caps = [cap("ops", 9), cap("tokens", 9, unit="tokens")]
    store.commit(reservation("op-1", caps, amounts={"operations": 1, "tokens": 0}))
    store.commit(
        reservation(
            "op-2", [*caps, cap("month", 9, unit="tokens", period=Period.MONTH)], amounts={"operations": 1, "tokens": 0}
        )
    )
    assert list(store.counters(TENANT)) == [("operations 2026-11-22 any", Counter(2))]


def test_settlement_moves_every_counter_of_the_unit_that_still_counts(store):
    """B7, B14: the sum of the cells stays the counter; only counters of caps that opted in are told of."""
    caps = [
        cap("kept", 99, unit="tokens", period=Period.MONTH),
        cap("back", 99, unit="tokens", settles=True),
        cap("ops", 9, settles=True),
    ]
    store.commit(reservation("op-1", caps, amounts={"operations": 1, "tokens": 9}))
    settled = list(events(store.commit(usage("op-1", {"tokens": 4})).body))[1]
    assert [one["counter"] for one in settled.fields["counters"]] == ["tokens 2026-11-22 any"]
    assert dict(store.counters(TENANT)) == {
        "operations 2026-11-22 any": Counter(1, 0),
        "tokens 2026-11 any": Counter(9, 5),
        "tokens 2026-11-22 any": Counter(9, 5),
    }
    ((_, consumed),) = store.consumption(TENANT)
    assert (consumed.reserved, consumed.settled) == ({"operations": 1, "tokens": 9}, {"tokens": 5})


def test_without_a_cap_that_opted_in_a_report_moves_nothing(store):
    """B7: kept for analysis, and that is all; a unit that is not reported was used as reserved."""
    store.commit(reservation("op-1", [cap("c", 9)]))
    assert [event.type for event in events(store.commit(usage("op-1", {"operations": 0})).body)] == ["USAGE_REPORTED"]
    store.commit(reservation("op-2", [cap("s", 9, settles=True)]))
    assert [event.type for event in events(store.commit(usage("op-2", {"tokens": 5})).body)] == ["USAGE_REPORTED"]
    assert dict(store.counters(TENANT)) == {"operations 2026-11-22 any": Counter(2)}


def test_the_activation_says_what_counts_only_where_it_changed(store):
    """B9, B14: another hard cap counts nothing else; no budgets any more is said too."""
    told = []
    for number, caps in enumerate([[cap("c", 9)], [cap("c", 8)], [cap("d", 8, period=Period.MONTH)], []]):
        answer = store.commit(reservation(f"op-{number}", caps))
        told += [event.fields.get("budget") for event in events(answer.body) if event.type == "POLICY_ACTIVATED"]
    zones = [["UTC", 0, 0]]
    assert told == [
        {"families": ["operations DAY any"], "zones": zones},
        None,
        {"families": ["operations MONTH any"], "zones": zones},
        {"families": [], "zones": zones},
    ]


def test_a_policy_that_never_had_budgets_says_nothing_of_them(store):
    """L2: and the head has no zones."""
    store.commit(decision(draft("run-1")))
    assert store.head(TENANT).zones is None
    assert b'"budget"' not in store.record(TENANT, 1).body


def test_the_reservation_of_a_record(store):
    """B7: found where the operation is bound; a block reserved nothing."""
    reserved = store.commit(reservation("op-1", [cap("c", 1)]))
    blocked = store.commit(reservation("op-2", [cap("c", 1)]))
    found = reservation_of(reserved.body)
    assert found is not None
    assert (found.account_id, found.plan_id, found.event["amounts"]) == ("a-1", "p-1", {"operations": "1"})
    assert reservation_of(blocked.body) is None
    assert reservation_of(store.commit(completion("op-1")).body) is None
