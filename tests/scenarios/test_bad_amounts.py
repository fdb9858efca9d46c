"""Amounts that are none, costs that nobody knows, and caps that change or go away while something is in flight."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal
from typing import Any

import pytest

from tests.samples import NOW_MS, Clock, cap, context, policy, weighbridge
from weighbridge.domain.amounts import AMOUNT_MAX
from weighbridge.domain.decision import Blocked
from weighbridge.errors import CanonicalError, ContextError, UsageError
from weighbridge.ledger.record import events
from weighbridge.scopes import scope

HERE = {
    "tenant": "acme",
    "account": "a-1",
    "snapshot": context()["snapshot"]["fields"],
    "data_sources": context()["data_sources"],
    "evidence": context()["evidence"],
    "references": context()["proposal"]["evidence"],
}
DAY = "operations 2026-11-22 any"
TOKENS = "tokens 2026-11-22 any"
MONEY = "pico_USD 2026-11 any"
EVERYTHING = (
    cap("operations", "99/day"),
    cap("tokens", "1M tokens/day"),
    cap("money", "$5/month"),
)
KNOWN = {"tokens": 10, "USD": "0.01"}


def rules(*caps, **sections):
    return policy(budgets={"caps": list(caps), **sections})


_ids = itertools.count()


def call(operation_id=None, **budget):
    return {
        "tenant_id": "acme",
        "account_id": "a-1",
        "operation_id": operation_id or f"call-{next(_ids)}",
        "budget": {"operation": "crm.note", **budget},
    }


def used(wb, counter):
    found = wb.reader.counter("acme", counter)
    return found.reserved, found.settled


def usages(decision):
    return {one.cap: (one.usage_before, one.usage_after) for one in decision.budget.caps}


# What is no amount at all: a clear error, nothing recorded, nothing called.
NONE_AT_ALL: list[Any] = [
    {"tokens": -1},
    {"tokens": "-1"},
    {"USD": "-0.01"},
    {"tokens": 0.5},
    {"tokens": 5.0},
    {"tokens": "0.5"},
    {"USD": "0.0000000000001"},
    {"USD": 0.25},
    {"tokens": True},
    {"tokens": None},
    {"tokens": "many"},
    {"tokens": ""},
    {"tokens": " 5"},
    {"tokens": "1e3"},
    {"tokens": "1_000"},
    {"tokens": "٣"},
    {"tokens": "NaN"},
    {"tokens": "Infinity"},
    {"tokens": math.nan},
    {"tokens": math.inf},
    {"tokens": [5]},
    {"tokens": {"input": 5}},
    {"tokens": 10**40},
    {"tokens": "1" * 41},
    {"tokens": 10**5000},
    {"operations": 0},
    {"operations": -1},
    {"stones": 5},
    {"usd": "5"},
    {"USDT": "5"},
    {"": 5},
    {"pico_usd": 5},
    {"USD": "1", "pico_USD": 10**12},
    [5],
    "5",
    5,
]


@pytest.mark.parametrize(
    "amounts", NONE_AT_ALL, ids=lambda amounts: str(amounts)[:40] if amounts != {"tokens": 10**5000} else "endless"
)
def test_what_is_no_amount_is_no_request(amounts):
    """B2: refused wherever it is stated: by a host, alone and beside a choke point, and by an estimate."""
    with weighbridge(policy=rules(*EVERYTHING)) as wb:
        calls: list[int] = []
        note = wb.operation("crm.note", cost="CHEAP", action="note", reserves=lambda: amounts)(lambda: calls.append(1))
        for asked in (call("op-1", amounts=amounts), context(operation_id="op-1", budget={"amounts": amounts})):
            with pytest.raises((ContextError, CanonicalError)):
                wb.reserve(asked)
        with scope(**HERE), pytest.raises(ContextError):
            note.with_id("op-1")()
        assert (calls, wb.reader.head("acme").seq) == ([], 0)
        assert not wb.reserve(call("op-1", amounts=KNOWN)).replayed  # the id was not consumed


@pytest.mark.parametrize(
    "tokens",
    [
        {"input": -1, "output": 1},
        {"input": 1},
        {"input": 1.5, "output": 1},
        {"input": "1", "output": 1},
        {"input": 2**53, "output": 1},
        {"input": 10**30, "output": 1},
        5,
    ],
)
def test_what_are_no_tokens_is_no_request(tokens):
    """B2: the same for tokens; a call has fewer than 2**53."""
    with weighbridge(policy=rules(*EVERYTHING)) as wb:
        with pytest.raises((ContextError, CanonicalError)):
            wb.reserve(call("op-1", tokens=tokens))
        assert wb.reader.head("acme").seq == 0


@pytest.mark.parametrize("huge", [10**27, "1" + "0" * 27, 10**30, "1" + "0" * 30, 10**40 - 1])
def test_what_no_counter_can_hold_is_a_block(huge):
    """B2: AMOUNT_OUT_OF_RANGE, recorded, and the id is consumed; also in a unit that no cap counts, and for an estimate."""
    with weighbridge(policy=rules(*EVERYTHING)) as wb:
        calls: list[int] = []
        note = wb.operation("crm.note", cost="CHEAP", action="note", reserves=lambda: KNOWN | {"tokens": huge})(
            lambda: calls.append(1)
        )
        asked = wb.reserve(call("op-1", amounts={"tokens": huge, "USD": "0"}))
        uncounted = wb.reserve(call("op-2", amounts=KNOWN | {"EUR": huge}))
        with scope(**HERE), pytest.raises(Blocked, match="AMOUNT_OUT_OF_RANGE"):
            note.with_id("op-3")()
        assert wb.reserve(call("op-1", amounts={"tokens": huge, "USD": "0"})).replayed
        assert calls == []
        assert list(wb.reader.counters("acme")) == []
        assert wb.verify().ok
    for decision in (asked, uncounted):
        assert decision.verdict == "BLOCK"
        assert decision.reasons[0] == "AMOUNT_OUT_OF_RANGE"
        assert decision.budget.findings[0].reason == "AMOUNT_OUT_OF_RANGE"
    assert "tokens" not in asked.budget.amounts  # it stands in the findings by its unit, and nowhere by its digits


@pytest.mark.parametrize("largest", [AMOUNT_MAX, str(AMOUNT_MAX)])
def test_the_largest_amount_is_exact_and_the_next_is_one_too_many(largest):
    """B2: exact to the last unit in code and store; a usage that would pass it is out of range."""
    with weighbridge(policy=rules(cap("money", "unlimited USD/month"))) as wb:
        assert wb.reserve(call(amounts={"pico_USD": largest})).verdict == "ALLOW"
        assert used(wb, MONEY) == (AMOUNT_MAX, 0)
        assert wb.reserve(call(amounts={"pico_USD": 1})).reasons == ("AMOUNT_OUT_OF_RANGE",)
        assert wb.reserve(call(amounts={"pico_USD": 0})).verdict == "ALLOW"
        assert wb.verify().ok


@pytest.mark.parametrize("amounts", [{"tokens": 5}, {"tokens": "5"}, {"tokens": "5.0"}, {"tokens": "005"}])
def test_one_amount_has_many_spellings(amounts):
    """B2: whole numbers and decimal text that is one."""
    with weighbridge(policy=rules(cap("tokens", "1M tokens/day"))) as wb:
        assert wb.reserve(call(amounts=amounts)).budget.amounts["tokens"] == 5


def test_decimals_are_exact_where_code_states_them():
    """B2: `Decimal` in an estimate and in a request, the same as its text."""
    with weighbridge(policy=rules(cap("money", "$5/month"))) as wb:
        note = wb.operation("crm.note", cost="CHEAP", action="note", reserves=lambda n: {"USD": Decimal(n)})(
            lambda n: n
        )
        with scope(**HERE):
            assert note("0.1") == "0.1"
            for wrong in ("NaN", "Infinity", "-1", "1e-13", "1E+999999999"):
                with pytest.raises(ContextError):
                    note(wrong)
        assert used(wb, MONEY) == (10**11, 0)
        assert wb.reserve(call(amounts={"USD": Decimal("0.1")})).budget.amounts["pico_USD"] == 10**11
        for wrong in ("NaN", "Infinity", "-1", "1e-13", "1E+999999999"):
            with pytest.raises(ContextError):
                wb.reserve(call(amounts={"USD": Decimal(wrong)}))


def test_nothing_is_a_known_amount():
    """B2, B12: 0 tokens and no money are known; they pass a cap that is full, and count as one operation."""
    with weighbridge(policy=rules(cap("tokens", "10 tokens/day"), cap("operations", "9/day"))) as wb:
        wb.reserve(call(amounts={"tokens": 10}))
        assert wb.reserve(call(amounts={"tokens": 0})).verdict == "ALLOW"
        assert wb.reserve(call(amounts={"tokens": 1})).verdict == "BLOCK"
        assert (used(wb, TOKENS), used(wb, DAY)) == ((10, 0), (2, 0))


@pytest.mark.parametrize(
    ("amounts", "reason"),
    [({}, "COST_UNKNOWN"), ({"tokens": 1}, "COST_UNKNOWN"), ({"tokens": 1, "EUR": "1"}, "CURRENCY_MISMATCH")],
)
def test_unknown_cost_is_a_block(amounts, reason):
    """B12, B2: never 0; and what is known in another currency is not converted. No counter moves at all."""
    with weighbridge(policy=rules(*EVERYTHING)) as wb:
        answer = wb.reserve(call("op-1", amounts=amounts))
        assert answer.reasons[0] == reason
        assert list(wb.reader.counters("acme")) == []
        assert wb.reserve(call("op-1", amounts=amounts)).replayed


def test_unknown_cost_reserves_the_maximum_where_the_policy_names_one():
    """B12: of the class; a cap that it does not fit never lets it pass."""
    maxima = {"CHEAP": {"maximum": {"tokens": "400 tokens", "USD": "$1"}}}
    with weighbridge(policy=rules(cap("tokens", "1k tokens/day"), cap("money", "$5/month"), cost_classes=maxima)) as wb:
        answers = [wb.reserve(call()) for _ in range(3)]
        assert [answer.verdict for answer in answers] == ["ALLOW", "ALLOW", "BLOCK"]
        assert answers[0].budget.assumed == ("pico_USD", "tokens")
        assert answers[2].reasons == ("HARD_CAP_EXCEEDED",)
        assert usages(answers[2])["tokens"] == (800, 1200)  # never shrunk to what is left
        # Money that is stated in another currency is no unknown cost.
        assert wb.reserve(call(amounts={"EUR": "1"})).reasons[0] == "CURRENCY_MISMATCH"


@pytest.mark.parametrize("amounts", [{}, {"tokens": 5}, {"tokens": 10**30}])
def test_an_unknown_operation_is_a_block(amounts):
    """Z5: alone by the budget, beside a choke point by the gate; it falls under no cap and moves nothing."""
    with weighbridge(policy=rules(*EVERYTHING)) as wb:
        alone = wb.reserve(call(operation="crm.unheard_of", amounts=amounts))
        proposal = {"operation": "crm.unheard_of", "arguments": {}, "evidence": context()["proposal"]["evidence"]}
        gated = wb.reserve(context(proposal=proposal, budget={"amounts": amounts}))
        assert list(wb.reader.counters("acme")) == []
        assert wb.verify().ok
    assert alone.reasons[0] == "UNKNOWN_OPERATION"
    assert (alone.budget.cost_class, alone.budget.caps) == (None, ())
    assert "UNKNOWN_OPERATION" in gated.reasons
    assert gated.budget is None


class TestInFlight:
    """A cap that goes away, or changes, between a reservation and its report."""

    SETTLES = cap("tokens", "1k tokens/day", settlement=True)

    def test_a_cap_that_is_gone_when_the_operation_reports(self, tmp_path):
        """B7, B14: the report is recorded and settled; the counter stands still until the cap is back, and is right then."""
        path = tmp_path / "l.db"
        with weighbridge(path, policy=rules(self.SETTLES)) as wb:
            wb.reserve(call("op-1", amounts={"tokens": 600}))
        with weighbridge(path, policy=rules(cap("operations", "99/day"))) as wb:
            wb.reserve(call("op-2"))  # the other policy is in force
            wb.report_usage("op-1", {"tokens": 100}, tenant_id="acme")
            told = [event.type for event in events(wb.reader.record("acme", 3).body)]
            assert told == ["USAGE_REPORTED", "BUDGET_SETTLE"]
            assert used(wb, TOKENS) == (600, 0)  # stands still
            assert wb.verify().ok
        with weighbridge(path, policy=rules(self.SETTLES)) as wb:
            assert usages(wb.reserve(call("op-3", amounts={"tokens": 900})))["tokens"] == (100, 1000)
            assert used(wb, TOKENS) == (1500, 500)
            assert wb.verify().ok

    def test_budgets_that_are_gone_altogether(self, tmp_path):
        """B7, B8: nothing more passes, and what is in flight is still told and settled."""
        path = tmp_path / "l.db"
        with weighbridge(path, policy=rules(self.SETTLES)) as wb:
            wb.reserve(call("op-1", amounts={"tokens": 600}))
        with weighbridge(path, policy=policy(budgets=None)) as wb:
            assert wb.reserve(call("op-2")).reasons == ("NO_APPLICABLE_CONFIG",)
            wb.report_usage("op-1", {"tokens": 100}, tenant_id="acme")
            assert wb.verify().ok
        with weighbridge(path, policy=rules(self.SETTLES)) as wb:
            assert usages(wb.reserve(call("op-3", amounts={"tokens": 900})))["tokens"] == (100, 1000)
            assert wb.verify().ok

    def test_while_the_function_runs(self, tmp_path):
        """B7, G10: another process activates another policy; the call ends as if nothing had happened."""
        path = tmp_path / "l.db"
        with weighbridge(path, policy=rules(self.SETTLES)) as wb:

            def note():
                with weighbridge(path, policy=rules(cap("operations", "99/day"))) as other:
                    assert other.reserve(call("op-2")).verdict == "ALLOW"
                return "noted"

            governed = wb.operation(
                "crm.note",
                cost="CHEAP",
                action="note",
                reserves=lambda: {"tokens": 600},
                consumed=lambda _: {"tokens": 1},
            )(note)
            with scope(**HERE):
                assert governed.with_id("op-1")() == "noted"
            assert wb.reader.identity("acme", "op", "op-1").state == "COMPLETED"
            assert usages(wb.reserve(call("op-3", amounts={"tokens": 999})))["tokens"] == (1, 1000)
            assert wb.verify().ok

    def test_a_cap_that_no_longer_opts_in(self, tmp_path):
        """B7: what its reservation says counts: it was reserved under a cap that settles."""
        path = tmp_path / "l.db"
        with weighbridge(path, policy=rules(self.SETTLES)) as wb:
            wb.reserve(call("op-1", amounts={"tokens": 600}))
        with weighbridge(path, policy=rules(cap("tokens", "1k tokens/day"))) as wb:
            wb.reserve(call("op-2", amounts={"tokens": 0}))
            wb.report_usage("op-1", {"tokens": 100}, tenant_id="acme")
            assert used(wb, TOKENS) == (600, 500)
            # ... but this cap sees all that was reserved.
            assert usages(wb.reserve(call("op-3", amounts={"tokens": 1})))["tokens"] == (600, 601)
            assert wb.verify().ok


class TestChangedPolicy:
    """B14: caps may change in the middle of a period."""

    def test_lowered_below_usage_nothing_moves_and_all_further_is_a_block(self, tmp_path):
        """B14: also of the smallest amount; raised again, it goes on where it was."""
        path = tmp_path / "l.db"
        with weighbridge(path, policy=rules(cap("day", "9/day"))) as wb:
            for _ in range(5):
                wb.reserve(call())
        with weighbridge(path, policy=rules(cap("day", "3/day"))) as wb:
            for _ in range(2):
                assert usages(wb.reserve(call())) == {"day": (5, 6)}
            assert wb.reserve(call()).reasons == ("HARD_CAP_EXCEEDED",)
            assert used(wb, DAY) == (5, 0)
            assert wb.verify().ok
        with weighbridge(path, policy=rules(cap("day", "6/day"))) as wb:
            assert [wb.reserve(call()).verdict for _ in range(2)] == ["ALLOW", "BLOCK"]
            assert used(wb, DAY) == (6, 0)
            assert wb.verify().ok

    def test_a_new_cap_starts_at_what_the_ledger_says(self, tmp_path):
        """B14: of its own scope, classes, unit and period; also what no cap counted at the time."""
        path = tmp_path / "l.db"
        clock = Clock()
        with weighbridge(path, policy=rules(cap("day", "99/day")), clock=clock) as wb:
            wb.reserve(call(amounts={"tokens": 700}))
            wb.reserve({**call(), "account_id": "a-2", "budget": {"operation": "enrich", "amounts": {"tokens": 50}}})
            clock.now_ms = NOW_MS + 86_400_000
            wb.reserve(call(amounts={"tokens": 5}))
        added = (
            cap("month", "1k tokens/month"),
            cap("today", "900 tokens/day"),
            cap("account", "800 tokens/month", scope={"account": "each"}),
            cap("dear", "9/month", cost_classes=["EXPENSIVE"]),
        )
        with weighbridge(path, policy=rules(cap("renamed", "99/day"), *added), clock=clock) as wb:
            answer = wb.reserve(call(amounts={"tokens": 1}))
            assert usages(answer) == {
                "renamed": (1, 2),
                "month": (755, 756),
                "today": (5, 6),
                "account": (705, 706),
            }
            assert used(wb, "operations 2026-11 EXPENSIVE") == (1, 0)
            assert wb.verify().ok

    def test_two_policies_that_take_turns(self, tmp_path):
        """B14, B5: two processes, each with its own policy on one ledger: each cap holds over what both reserved."""
        path = tmp_path / "l.db"
        few, some = rules(cap("few", "5/day")), rules(cap("some", "8/day"), cap("tokens", "1k tokens/day"))
        with weighbridge(path, policy=few) as one, weighbridge(path, policy=some) as other:
            verdicts = [
                (one.reserve(call()).verdict, other.reserve(call(amounts={"tokens": 100})).verdict) for _ in range(6)
            ]
            assert [first for first, _ in verdicts] == ["ALLOW"] * 3 + ["BLOCK"] * 3
            assert [second for _, second in verdicts] == ["ALLOW"] * 5 + ["BLOCK"]
            assert used(one, DAY) == (8, 0)
            assert usages(other.reserve(call(amounts={"tokens": 500})))["tokens"] == (500, 1000)
            activated = [
                event.fields["policy_version"]
                for record in one.reader.records("acme")
                for event in events(record.body)
                if event.type == "POLICY_ACTIVATED"
            ]
            assert len(activated) == 12  # every change of hands is on record (L2)
            assert one.verify().ok

    def test_a_policy_that_does_not_load_changes_nothing(self, tmp_path):
        """B2: a cap that no counter can hold is refused before any store is opened."""
        with pytest.raises(UsageError):
            weighbridge(tmp_path / "l.db", policy=rules(cap("day", f"{10**27}/day")))
        assert not (tmp_path / "l.db").exists()
