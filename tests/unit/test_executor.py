"""The executor: which choke points apply, in what order, and what a permit is."""

from __future__ import annotations

import itertools

import pytest

from tests.samples import blocked_context, context, policy, weighbridge
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import CostClass, OperationFacts, OperationKind, parse_context
from weighbridge.domain.decision import AlreadyExecuted, Blocked
from weighbridge.errors import ContextError, UsageError
from weighbridge.executor import choke_points_of

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


def _ask(wb, made, operation_id=None):
    contexts = [parse_context(made | {"choke_point": point.value}) for point in (STEP, WRITEBACK, EXPENSIVE)]
    return wb._executor.ask(FACTS, operation_id, contexts)


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
            wb._executor.execute(_ask(wb, blocked_context(), "op-1"), lambda: calls.append(1))
        wb._executor.execute(_ask(wb, context(), "op-2"), lambda: calls.append(2))
        with pytest.raises(AlreadyExecuted):
            wb._executor.execute(_ask(wb, context(), "op-2"), lambda: calls.append(3))
        with pytest.raises(Blocked):
            wb._executor.execute(_ask(wb, blocked_context(), "op-1"), lambda: calls.append(4))
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
            wb._executor.execute(_ask(wb, context(), "op-1"), interrupt)
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
