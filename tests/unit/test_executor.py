"""The executor: which choke points apply, in what order, and what a permit is."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import pickle
from typing import Any

import msgspec
import pytest

from tests.samples import NOW_MS, Clock, blocked_context, cap, capped, context, policy, warned_context, weighbridge
from weighbridge import canonical
from weighbridge.admission import choke_points_of
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import OperationFacts, OperationKind, Role, parse_context
from weighbridge.domain.decision import AlreadyExecuted, Blocked
from weighbridge.domain.principal import Principal
from weighbridge.domain.spending import Tokens, made_request
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import ContextError, IdempotencyConflict, NotFound, Refusal, StoreError, UsageError
from weighbridge.executor import Call, Given
from weighbridge.ledger.record import events
from weighbridge.scopes import scope

STEP, WRITEBACK, EXPENSIVE = (
    ChokePoint.BEFORE_STEP_EXECUTION,
    ChokePoint.BEFORE_EXTERNAL_WRITEBACK,
    ChokePoint.BEFORE_EXPENSIVE_READ,
)


@pytest.mark.parametrize(("kind", "cost", "inside"), list(itertools.product(OperationKind, CostClass, (False, True))))
def test_every_choke_point_that_applies_in_the_tables_order(kind, cost, inside):
    """Choke points: step unless inside one, writeback for a writeback, expensive for EXPENSIVE; no fifth."""
    applies = choke_points_of(OperationFacts("x", "x", kind, None, cost), inside_step=inside)
    assert (STEP in applies) is (not inside)
    assert (WRITEBACK in applies) is (kind is OperationKind.WRITEBACK)
    assert (EXPENSIVE in applies) is (cost is CostClass.EXPENSIVE)
    assert list(applies) == sorted(applies, key=list(ChokePoint).index)
    assert ChokePoint.BEFORE_PLAN_APPROVAL not in applies


FACTS = OperationFacts("crm.update", "update", OperationKind.WRITEBACK, "crm", CostClass.EXPENSIVE)


def _ask(wb, made, operation_id=None, **options):
    contexts = [parse_context(made | {"choke_point": point.value}) for point in (STEP, WRITEBACK, EXPENSIVE)]
    about = {name: made[name] for name in ("tenant_id", "account_id", "plan_id", "step_id")}
    request = made_request({**about, "budget": {"operation": FACTS.name}})
    return wb._executor.ask(FACTS, operation_id, contexts, request, **options)


def _execute(wb, decision, function):
    wb._executor.hold(FACTS.name, function)
    return wb._executor.execute(decision, Call(lambda value: value))


class TestPermit:
    """G10, G11: a decision is good for one call, with the arguments that it was taken about."""

    def test_it_is_used_up(self):
        with weighbridge() as wb:
            calls: list[int] = []
            decision = _ask(wb, context())
            _execute(wb, decision, lambda: calls.append(1))
            with pytest.raises(AlreadyExecuted):
                wb._executor.execute(decision, Call(lambda value: value))
            with pytest.raises(AlreadyExecuted):
                asyncio.run(wb._executor.execute_async(decision, Call(lambda value: value), wb._in_thread))
            assert calls == [1]

    def test_also_where_the_function_raised(self):
        def fails():
            calls.append(1)
            raise ValueError

        with weighbridge() as wb:
            calls: list[int] = []
            decision = _ask(wb, context())
            with pytest.raises(ValueError):  # noqa: PT011 - the function's own
                _execute(wb, decision, fails)
            with pytest.raises(AlreadyExecuted):
                wb._executor.execute(decision, Call(lambda value: value))
            assert calls == [1]

    def test_it_holds_the_arguments(self):
        """Whoever executes says what is done with the value, and not with what it is called."""
        with weighbridge() as wb:
            made = context()
            decision = _ask(wb, made, given=Given(("r-1",), {"how": "gently"}))
            assert _execute(wb, decision, lambda *args, **kwargs: (args, kwargs)) == (("r-1",), {"how": "gently"})
            assert {"args", "kwargs"} & set(Call.__struct_fields__) == set()

    def test_a_decision_that_only_looks_alike_is_none(self):
        with weighbridge() as wb:
            replayed = [_ask(wb, context(), "op-1") for _ in range(2)][1]
            assert replayed.replayed
            for forged in (msgspec.structs.replace(replayed, replayed=False), pickle.loads(pickle.dumps(replayed))):
                with pytest.raises(AlreadyExecuted):
                    _execute(wb, forged, lambda: None)

    def test_nobody_keeps_what_nobody_can_use(self):
        """A decision that is dropped takes its permit along."""
        with weighbridge() as wb:
            decisions = [_ask(wb, context()) for _ in range(3)]
            assert len(wb._executor._permits) == 3
            decisions.clear()
            gc.collect()
            assert wb._executor._permits == {}
            with pytest.raises(Blocked):
                _execute(wb, _ask(wb, blocked_context()), lambda: None)
            assert wb._executor._permits == {}


def test_all_runs_of_one_operation_are_one_record():
    """G2, G10: every choke point of an operation in one record, in one commit; the verdict is the strictest."""
    with weighbridge() as wb:
        allowed, blocked = _ask(wb, context()), _ask(wb, blocked_context())
        assert wb.reader.head("acme").seq == 2
    assert [gate.choke_point for gate in allowed.gates] == [STEP, WRITEBACK, EXPENSIVE]
    assert (allowed.state, blocked.state) == ("PENDING", "BLOCKED")
    assert {gate.enforcement for gate in allowed.gates} == {"executed"}
    assert {gate.evaluation_time for gate in allowed.gates} == {"2026-11-22T10:00:00.000Z"}


def test_a_block_permits_nothing_and_a_replay_permits_nothing():
    """G8, G10: neither a BLOCK nor a decision that was on record already is executed."""
    with weighbridge() as wb:
        calls = []
        with pytest.raises(Blocked):
            _execute(wb, _ask(wb, blocked_context(), "op-1"), lambda: calls.append(1))
        _execute(wb, _ask(wb, context(), "op-2"), lambda: calls.append(2))
        with pytest.raises(AlreadyExecuted):
            _execute(wb, _ask(wb, context(), "op-2"), lambda: calls.append(3))
        with pytest.raises(Blocked):
            _execute(wb, _ask(wb, blocked_context(), "op-1"), lambda: calls.append(4))
    assert calls == [2]


@pytest.mark.parametrize("operation_id", ["", "x" * 161])
def test_an_operation_id_has_a_length(operation_id):
    with weighbridge() as wb, pytest.raises(ContextError, match="operation_id"):
        _ask(wb, context(), operation_id)


def test_an_interrupt_is_a_failure_on_record():
    """G10: whatever ends the call, the record says that it ended."""

    def interrupt():
        raise KeyboardInterrupt

    with weighbridge() as wb:
        with pytest.raises(KeyboardInterrupt):
            _execute(wb, _ask(wb, context(), "op-1"), interrupt)
        assert wb.reader.identity("acme", "op", "op-1").state == "FAILED"


def test_code_and_a_tenants_policy_that_differ_are_no_answer():
    """Z5: facts come from one place; where two disagree for one tenant, nothing is judged for it."""
    replaced = {"crm.push": {"kind": "action", "action_type": "other", "cost_class": "CHEAP"}}
    declared = {"crm.push": {"kind": "action", "action_type": "push", "cost_class": "CHEAP"}}
    rules = policy(operations=declared, contradiction={"rules": []}) | {
        "replaceable": ['operations."crm.push"'],
        "tenants": {"other": {"operations": replaced}},
    }
    made = context(proposal={"operation": "crm.push", "arguments": {}, "evidence": []})
    with weighbridge(policy=rules) as wb:
        wb.operation("crm.push", cost="CHEAP", action="push")(lambda: None)
        assert wb.gate(made).record.seq == 1
        with pytest.raises(UsageError, match=r"crm\.push"):
            wb.gate(made | {"tenant_id": "other"})


HERE = {
    "tenant": "acme",
    "snapshot": context()["snapshot"]["fields"],
    "data_sources": context()["data_sources"],
    "evidence": context()["evidence"],
    "references": context()["proposal"]["evidence"],
}
CALL: dict[str, Any] = {"tenant_id": "acme", "account_id": "a-1", "budget": {"operation": "crm.note"}}


def _call(operation_id=None, tenant_id="acme", **budget):
    return {**CALL, "tenant_id": tenant_id, "operation_id": operation_id, "budget": CALL["budget"] | budget}


def _with(*caps, **sections):
    return policy(budgets={"caps": list(caps), **sections})


def _types(wb, seq):
    return [event.type for event in events(wb.reader.record("acme", seq).body)]


def _used(wb, counter):
    found = wb.reader.counter("acme", counter)
    return found.reserved, found.settled


DAY = "operations 2026-11-22 any"


class TestAsked:
    """What a host reserves for what it does itself."""

    def test_alone(self):
        """B5, B10: reserved, remembered and recorded in one record; asked only (G11)."""
        with weighbridge(policy=_with(cap("day", "2/day"))) as wb:
            answers = [wb.reserve(_call(f"op-{number}")) for number in range(3)]
            assert [answer.verdict for answer in answers] == ["ALLOW", "ALLOW", "BLOCK"]
            assert [answer.state for answer in answers] == ["PENDING", "PENDING", "BLOCKED"]
            assert {answer.enforcement for answer in answers} == {"asked"}
            assert _types(wb, 1) == ["POLICY_ACTIVATED", "BUDGET_RESERVE"]
            assert _types(wb, 3) == ["BUDGET_BLOCK"]
            assert _used(wb, DAY) == (2, 0)
            assert wb.verify().ok

    def test_beside_a_choke_point_in_one_record(self):
        """G10, B11, B4: the gate first, the budget second, one record; the strictest counts."""
        with weighbridge(policy=_with(cap("day", "9/day", soft_cap="1"))) as wb:
            allowed = wb.reserve(context(operation_id="op-1", budget={}))
            warned = wb.reserve(warned_context(operation_id="op-2", budget={}))
            blocked = wb.reserve(blocked_context(operation_id="op-3", budget={}))
            assert wb.reader.head("acme").seq == 3
            assert _types(wb, 2)[-2:] == ["VALIDATOR_RUN_SUMMARY", "BUDGET_WARN"]
            assert _types(wb, 3)[-1] == "VALIDATOR_RUN_SUMMARY"
            assert _used(wb, DAY) == (2, 0)
            assert wb.verify().ok
        assert (allowed.verdict, warned.verdict, blocked.verdict) == ("ALLOW", "WARN", "BLOCK")
        assert warned.reasons == ("DATA_AGING", "SOFT_CAP_EXCEEDED")
        assert blocked.budget is None

    def test_a_gate_that_blocks_costs_nothing_and_consumes_the_id(self):
        """G10, B11: the id answers with the BLOCK for good."""
        with weighbridge() as wb:
            first = wb.reserve(blocked_context(operation_id="op-1", budget={}))
            again = wb.reserve(blocked_context(operation_id="op-1", budget={}))
            with pytest.raises(IdempotencyConflict):
                wb.reserve(context(operation_id="op-1", budget={}))
            assert wb.reader.head("acme").seq == 1
            assert list(wb.reader.counters("acme")) == []
        assert (again.record, again.state, again.replayed) == (first.record, "BLOCKED", True)

    def test_another_pairing_of_ids_is_a_conflict(self):
        """G10: run ids and operation id are bound together, also where both bodies are the same."""
        with weighbridge() as wb:
            wb.reserve(context(operation_id="op-1", validation_run_id="run-1", budget={}))
            wb.gate(context(validation_run_id="run-2", operation_id="op-9"))
            for operation_id, run_id in (("op-1", "run-3"), ("op-2", "run-1"), ("op-2", "run-2"), (None, "run-1")):
                with pytest.raises(IdempotencyConflict):
                    wb.reserve(context(operation_id=operation_id, validation_run_id=run_id, budget={}))
            with pytest.raises(IdempotencyConflict):
                wb.gate(context(validation_run_id="run-1", operation_id="op-1"))
            with pytest.raises(IdempotencyConflict):
                wb.reserve({**CALL, "operation_id": "op-1"})
            assert wb.reader.head("acme").seq == 2
            assert wb.reserve(context(operation_id="op-1", validation_run_id="run-1", budget={})).replayed

    def test_without_caps_nothing_goes(self):
        """B8: no cap, no go; "no limit" can only be written down. What is only weighed at a gate is no spending."""
        with weighbridge(policy=policy(budgets=None)) as wb:
            refused = wb.reserve(_call())
            assert wb.gate(context()).verdict == "ALLOW"
        assert (refused.verdict, refused.reasons) == ("BLOCK", ("NO_APPLICABLE_CONFIG",))
        only_another = _with(cap("other", "5/day", scope={"account": "a-2"}))
        with weighbridge(policy=only_another) as wb:
            assert wb.reserve(_call()).reasons == ("NO_APPLICABLE_CONFIG",)
        with weighbridge() as wb:
            assert wb.reserve(_call()).budget.caps[0].hard_cap is None
            assert wb.reserve(_call()).budget.caps[0].usage_after == 2

    @pytest.mark.parametrize(
        ("budget", "reason"),
        [
            ({"amounts": {"USD": "1.01"}}, "NEVER_FITS"),
            ({"amounts": {"USD": "0.60"}}, "HARD_CAP_EXCEEDED"),
            ({"amounts": {"EUR": "0.10"}}, "CURRENCY_MISMATCH"),
            ({}, "COST_UNKNOWN"),
            ({"amounts": {"USD": "0.10"}}, "JUSTIFICATION_MISSING"),
            ({"amounts": {"pico_USD": 10**27}, "justification": "x"}, "AMOUNT_OUT_OF_RANGE"),
            ({"operation": "mystery"}, "UNKNOWN_OPERATION"),
        ],
    )
    def test_what_does_not_fit_is_a_block_that_consumes_the_id(self, budget, reason):
        """B2, B4, B6, B12, B13, Z5: recorded, answered the same for good, and no counter moves."""
        money = cap("money", "$1/month", justification=True)
        with weighbridge(policy=_with(money, cap("day", "unlimited operations/day"))) as wb:
            wb.reserve(_call("first", amounts={"USD": "0.50"}, justification="rent"))
            before = dict(wb.reader.counters("acme"))
            answers = [wb.reserve(_call("op-1", **budget)) for _ in range(2)]
            assert dict(wb.reader.counters("acme")) == before
            assert wb.reader.head("acme").seq == 2
            assert wb.verify().ok
        assert answers[0].reasons[0] == reason
        assert [answer.state for answer in answers] == ["BLOCKED", "BLOCKED"]
        assert (answers[1].budget, answers[1].replayed) == (answers[0].budget, True)

    def test_a_stated_reason_is_a_warning_and_content(self):
        """B13, L6: at least WARN; the reason is content, and no record holds it."""
        with weighbridge(policy=_with(cap("day", "9/day", justification=True))) as wb:
            missing = wb.reserve(_call())
            given = wb.reserve(_call(justification="Mr Miller asked for it"))
            (event,) = [one for one in events(wb.reader.record("acme", 2).body) if one.type == "BUDGET_WARN"]
            stated = canonical.decode(wb.reader.content("acme", event.fields["content"]["justification"]))
            assert stated == {"justification": "Mr Miller asked for it", "operation_id": given.operation_id}
            assert not any(b"Miller" in record.body for record in wb.reader.records("acme"))
            assert wb.verify().ok
        assert missing.reasons == ("JUSTIFICATION_MISSING",)
        assert (given.verdict, given.reasons) == ("WARN", ("JUSTIFIED",))

    def test_a_reason_for_what_a_gate_blocks_is_kept_by_nobody(self):
        """L6, B11: content is stored with the record that names it; asked for later, it is stored then."""
        with weighbridge(policy=_with(cap("day", "9/day", justification=True))) as wb:
            assert wb.reserve(blocked_context(budget={"justification": "because"})).verdict == "BLOCK"
            assert wb.verify().ok
            assert not any(b"because" in body for _, body in wb.reader.contents("acme"))
            assert wb.reserve(context(budget={"justification": "because"})).verdict == "WARN"
            assert any(b"because" in body for _, body in wb.reader.contents("acme"))
            assert wb.verify().ok

    def test_a_reason_that_was_erased_takes_no_other_with_it(self):
        """B13, L6: each operation's reason is content of its own."""
        by = Principal(id="maria", person=True)
        with weighbridge(policy=_with(cap("day", "9/day", justification=True))) as wb:
            first, second = (wb.reserve(_call(justification="quarter end")) for _ in range(2))
            hashes = [
                event.fields["content"]["justification"]
                for seq in (first.record.seq, second.record.seq)
                for event in events(wb.reader.record("acme", seq).body)
                if event.type == "BUDGET_WARN"
            ]
            wb.erase_content(hashes[:1], by=by, reason="quarter end", tenant_id="acme")
            assert [wb.reader.content("acme", one) is None for one in hashes] == [True, False]
            assert wb.verify().ok

    def test_a_call_may_be_dearer_than_its_operation_and_never_cheaper(self):
        """B1, Z5: a host may raise the class of a call."""
        dear = cap("dear", "1/day", cost_classes=["EXPENSIVE"])
        with weighbridge(policy=_with(dear, cap("any", "9/day"))) as wb:
            assert [one.cap for one in wb.reserve(_call()).budget.caps] == ["any"]
            assert [one.cap for one in wb.reserve(_call(cost_class="EXPENSIVE")).budget.caps] == ["any", "dear"]
            assert wb.reserve(_call(cost_class="EXPENSIVE")).reasons == ("HARD_CAP_EXCEEDED",)
            with pytest.raises(ContextError, match="below"):
                wb.reserve({**CALL, "budget": {"operation": "enrich", "cost_class": "CHEAP"}})
            assert wb.reader.head("acme").seq == 3

    def test_an_agent_states_no_facts(self):
        """Z5: amounts, tokens and class of an agent are BLOCK UNTRUSTED_INPUT; without them it may ask."""
        agent = Principal(id="bot", role=Role.AGENT, tenant_id="acme")
        with weighbridge(policy=_with(cap("day", "9/day")), principal=agent) as wb:
            for stated in ({"amounts": {"tokens": 1}}, {"tokens": {"input": 1, "output": 1}}, {"cost_class": "CHEAP"}):
                assert wb.reserve(_call(**stated)).reasons == ("UNTRUSTED_INPUT",)
            assert wb.reserve(_call("op-1")).verdict == "ALLOW"
            with pytest.raises(UsageError, match="UNTRUSTED_INPUT"):
                wb.report_usage("op-1", {"tokens": 1})
            assert _used(wb, DAY) == (1, 0)

    def test_an_answer_that_cannot_be_recorded_is_a_refusal(self, monkeypatch):
        """G2: the same holds for budgets; nothing is consumed, and it may be asked again."""
        with weighbridge(policy=_with(cap("day", "1/day"))) as wb:
            commit = wb._recorder._writer.commit

            def fail(*_):
                raise StoreError("disk full")

            monkeypatch.setattr(wb._recorder._writer, "commit", fail)
            with pytest.raises(Refusal, match="LEDGER_WRITE_FAILED"):
                wb.reserve(_call("op-1"))
            monkeypatch.setattr(wb._recorder._writer, "commit", commit)
            assert wb.reserve(_call("op-1")).verdict == "ALLOW"


class TestMany:
    def test_requests_of_both_kinds_in_order(self):
        """B5: gate and budget in one batch; what is wrong with one is its own."""
        with weighbridge(policy=_with(cap("day", "2/day"))) as wb:
            answers = wb.answer_many(
                [
                    _call("op-1"),
                    context(validation_run_id="run-1"),
                    {**CALL, "budget": {}},
                    context(operation_id="op-2", budget={}),
                    _call("op-3"),
                    _call("op-1"),
                    _call("op-1", amounts={"tokens": 1}),
                ]
            )
            assert wb.reader.head("acme").seq == 4
        kinds = [type(answer).__name__ for answer in answers]
        assert kinds == [
            "OperationDecision",
            "GateDecision",
            "ContextError",
            "OperationDecision",
            "OperationDecision",
            "OperationDecision",
            "IdempotencyConflict",
        ]
        assert [answers[place].verdict for place in (0, 3, 4, 5)] == ["ALLOW", "ALLOW", "BLOCK", "ALLOW"]
        assert answers[5].replayed

    def test_an_error_stands_in_its_own_place(self, monkeypatch):
        """Rule 7: also where it comes from judging, after others are waiting."""
        with weighbridge() as wb:
            judge = wb._executor._admission.submission

            def fail(admitted):
                if admitted.run_id == "odd":
                    raise UsageError("odd")
                return judge(admitted)

            monkeypatch.setattr(wb._executor._admission, "submission", fail)
            answers = wb.answer_many([context(validation_run_id=name) for name in ("a", "odd", "b")])
        assert [getattr(answer, "validation_run_id", str(answer)) for answer in answers] == ["a", "odd", "b"]


class TestUsage:
    """B7: reported once, kept for analysis; moves no counter but by settlement."""

    CAPS = (cap("keeps", "10k tokens/day"), cap("settles", "10k tokens/month", settlement=True))
    TOKENS = "tokens 2026-11-22 any"
    MONTH = "tokens 2026-11 any"

    def _wb(self, **options):
        return weighbridge(policy=_with(*self.CAPS, cap("day", "9/day")), **options)

    def test_a_host_reports_once(self):
        """B7: down only, once; the caps that did not opt in keep the reservation."""
        with self._wb() as wb:
            wb.reserve(_call("op-1", tokens={"input": 900, "output": 100}))
            for _ in range(2):
                assert wb.report_usage("op-1", {"tokens": 300}, tenant_id="acme").operation_id == "op-1"
            assert wb.reader.head("acme").seq == 2
            assert _types(wb, 2) == ["USAGE_REPORTED", "BUDGET_SETTLE"]
            used, settled = events(wb.reader.record("acme", 2).body)
            later = wb.reserve(_call(tokens={"input": 1, "output": 0})).budget.caps
            with pytest.raises(IdempotencyConflict, match=r"another consumption.*record 2"):
                wb.report_usage("op-1", {"tokens": 301}, tenant_id="acme")
            assert wb.verify().ok
        assert (used.fields["consumed"], used.fields["reserved"]["tokens"]) == ({"tokens": "300"}, "1000")
        assert settled.fields["released"] == {"tokens": "700"}
        assert {one.cap: one.usage_before for one in later} == {"day": 1, "keeps": 1000, "settles": 300}

    def test_more_than_was_reserved_is_an_overrun(self):
        """B7: counted; it moves nothing."""
        with self._wb() as wb:
            wb.reserve(_call("op-1", tokens={"input": 900, "output": 100}))
            wb.report_usage("op-1", Tokens(900, 200), tenant_id="acme")
            (used,) = events(wb.reader.record("acme", 2).body)
            assert _used(wb, self.MONTH) == (1000, 0)
            assert wb.verify().ok
        assert (used.type, used.fields["overrun"]) == ("USAGE_REPORTED", {"tokens": "100"})

    def test_a_report_is_settled_against_the_stored_period(self):
        """B7: a report of the next month releases what was reserved in the last."""
        clock = Clock()
        with self._wb(clock=clock) as wb:
            wb.reserve(_call("op-1", tokens={"input": 900, "output": 100}))
            clock.now_ms = NOW_MS + 20 * 86_400_000
            wb.report_usage("op-1", {"tokens": 1}, tenant_id="acme")
            assert _used(wb, self.MONTH) == (1000, 999)
            assert _used(wb, "tokens 2026-12 any") == (0, 0)

    def test_what_was_not_allowed_consumes_nothing(self):
        """B7: neither what nobody knows, nor what was blocked, nor another tenant's (L5)."""
        with self._wb() as wb:
            wb.reserve(_call("op-1", tokens={"input": 90_000, "output": 0}))
            wb.gate(context(operation_id="op-2"))
            for operation_id in ("op-0", "op-1", "op-2"):
                with pytest.raises(NotFound, match=operation_id):
                    wb.report_usage(operation_id, {"tokens": 1}, tenant_id="acme")
            with pytest.raises(NotFound):
                wb.report_usage("op-1", {"tokens": 1}, tenant_id="other")
            for odd in (None, 7):
                with pytest.raises(ContextError, match="text"):
                    wb.report_usage(odd, {"tokens": 1}, tenant_id="acme")
                with pytest.raises((ContextError, NotFound)):
                    wb.report_usage("op-1", {"tokens": 1}, tenant_id=odd)
            assert wb.reader.head("acme").seq == 2

    @pytest.mark.parametrize("stated", [{}, {"tokens": -1}, {"tokens": 0.5}, {"stones": 1}, 7, {"tokens": 10**27}])
    def test_what_is_no_amount_is_no_report(self, stated):
        """B7: refused, so that a right one can follow."""
        with self._wb() as wb:
            wb.reserve(_call("op-1", tokens={"input": 9, "output": 1}))
            with pytest.raises(ContextError):
                wb.report_usage("op-1", stated, tenant_id="acme")
            wb.report_usage("op-1", {"tokens": 1}, tenant_id="acme")

    def test_a_store_that_cannot_answer_is_a_refusal(self, monkeypatch):
        """G2: report it again."""
        with self._wb() as wb:
            wb.reserve(_call("op-1", tokens={"input": 9, "output": 1}))

            def fail(*_):
                raise StoreError("gone")

            for asked in ("identity", "record"):
                with monkeypatch.context() as patched:
                    patched.setattr(wb._reader, asked, fail)
                    with pytest.raises(Refusal, match="LEDGER_WRITE_FAILED"):
                        wb.report_usage("op-1", {"tokens": 1}, tenant_id="acme")
            wb.report_usage("op-1", {"tokens": 1}, tenant_id="acme")

    def test_the_same_tokens_are_the_same_report_whatever_they_cost_by_then(self, tmp_path):
        """B7, G3: money is worked out by the prices of the first report."""

        def priced(price):
            prices = {"currency": "USD", "models": {"m-1": {"input": price, "output": price}}}
            return _with(*self.CAPS, cap("day", "9/day"), prices=prices)

        with weighbridge(tmp_path / "l.db", policy=priced("$1/1M tokens")) as wb:
            wb.reserve(_call("op-1", tokens={"input": 9, "output": 1, "model": "m-1"}))
            wb.report_usage("op-1", Tokens(9, 0, "m-1"), tenant_id="acme")
        with weighbridge(tmp_path / "l.db", policy=priced("$2/1M tokens")) as wb:
            wb.report_usage("op-1", Tokens(9, 0, "m-1"), tenant_id="acme")
            assert wb.reader.head("acme").seq == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_an_accounting_that_ends_the_program_takes_no_outcome_with_it(is_async):
    """G10: the call has happened; the record says COMPLETED, and whoever ends the program ends it."""

    def consumed(_):
        raise SystemExit(3)

    async def later():
        return 1

    with weighbridge(policy=capped(cap("tokens", "1k tokens/day"))) as wb:
        register = wb.operation("send", cost="CHEAP", reserves=lambda: {"tokens": 9}, consumed=consumed)
        send = register(later if is_async else lambda: 1)
        with scope(**HERE) as here, pytest.raises(SystemExit):
            asyncio.run(send()) if is_async else send()
        assert wb.reader.identity("acme", "op", here.decisions[0].operation_id).state == "COMPLETED"


def test_an_overrun_is_logged_once_with_operation_and_units(caplog):
    """B7: counted and alerted, with nothing of what was passed or returned."""
    with weighbridge(policy=capped(cap("tokens", "1k tokens/day"))) as wb:
        send = wb.operation(
            "send", cost="CHEAP", reserves=lambda text: {"tokens": 10}, consumed=lambda value: {"tokens": 25}
        )(lambda text: text)
        with caplog.at_level(logging.WARNING, "weighbridge.executor"), scope(**HERE) as here:
            send("a secret")
            wb.reserve(_call("op-1", operation="send", amounts={"tokens": 5}))
            for _ in range(2):
                wb.report_usage("op-1", {"tokens": 6}, tenant_id="acme")
            wb.reserve(_call("op-2", operation="send", amounts={"tokens": 5}))
            wb.report_usage("op-2", {"tokens": 5}, tenant_id="acme")
        said = [(one.levelname, one.getMessage()) for one in caplog.records]
        identity = here.decisions[0].operation_id
        assert said == [
            ("WARNING", f"operation `send` (`{identity}`) consumed more than it reserved: 15 tokens over"),
            ("WARNING", "operation `send` (`op-1`) consumed more than it reserved: 1 token over"),
        ]


def test_a_report_comes_before_a_completion_that_says_something_else(caplog):
    """B7: the first report counts, and the completion is recorded all the same."""
    rules = capped(cap("settles", "10k tokens/day", settlement=True))
    with weighbridge(policy=rules) as wb:

        def summarise(text):
            wb.report_usage("op-1", {"tokens": 40}, tenant_id="acme")
            return text

        governed = wb.operation(
            "summarise", cost="CHEAP", reserves=lambda text: {"tokens": 100}, consumed=lambda value: {"tokens": 60}
        )(summarise)
        with caplog.at_level(logging.ERROR), scope(**HERE):
            assert governed.with_id("op-1")("x") == "x"
        assert wb.reader.identity("acme", "op", "op-1").state == "COMPLETED"
        assert _used(wb, "tokens 2026-11-22 any") == (100, 60)
        assert _types(wb, 3) == ["OPERATION_COMPLETED"]
        assert wb.verify().ok
    assert caplog.text == ""


def test_a_verdict_is_the_strictest_of_gates_and_budget():
    """G10: a budget that is full blocks what every gate allows, and nothing is called."""
    calls = []
    with weighbridge(policy=_with(cap("day", "1/day"))) as wb:
        _execute(wb, _ask(wb, context(), "op-1"), lambda: calls.append(1))
        full = _ask(wb, context(), "op-2")
        with pytest.raises(Blocked):
            _execute(wb, full, lambda: calls.append(2))
        assert [gate.verdict for gate in full.gates] == [Verdict.ALLOW] * 3
        assert full.reasons == ("HARD_CAP_EXCEEDED",)
        assert _types(wb, 3).count("VALIDATOR_RUN_SUMMARY") == 3
        assert _types(wb, 3)[-1] == "BUDGET_BLOCK"
    assert calls == [1]


class TestConsumptionSays:
    """B7: what is wrong with a report of use is said, and what nobody reserved."""

    def test_our_own_words_and_of_others_only_the_kind(self, caplog):
        def foreign(_):
            raise ValueError("a secret")

        with weighbridge() as wb, scope(**HERE):
            for name, consumed in (("own", lambda _: {"tokens": "many"}), ("foreign", foreign)):
                wb.operation(name, cost="CHEAP", reserves=lambda: {"tokens": 1}, consumed=consumed)(lambda: 1)()
        own, other = (record.getMessage() for record in caplog.records)
        assert own.startswith("what operation `own` (`")
        assert own.endswith(
            'consumed is unknown: `consumed.tokens`: `many` is no number; write digits, as in "4818" or "0.25"'
        )
        assert other.endswith("consumed is unknown: ValueError")

    def test_a_unit_that_was_never_reserved_is_said_once(self, caplog):
        with weighbridge() as wb, scope(**HERE):
            call = wb.operation("send", cost="CHEAP", consumed=lambda _: {"tokens": 5})(lambda: 1)
            call()
            call()
        (said,) = caplog.records
        assert (
            said.getMessage()
            == "operation `send` consumes `tokens`, of which it reserved nothing; let `reserves` state it"
        )
