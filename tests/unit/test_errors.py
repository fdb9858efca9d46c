"""Errors: one tree, and each of them crosses processes whole."""

from __future__ import annotations

import pickle

import pytest

from tests.samples import blocked_context, context, weighbridge
from weighbridge import errors
from weighbridge.domain.decision import AlreadyExecuted, Blocked, ReadBackFailed, WriteNotStored


@pytest.fixture(scope="module")
def decision():
    with weighbridge() as wb:
        return wb.reserve(context(operation_id="op-1", budget={}))


MADE = [
    errors.UsageError("no"),
    errors.ContextError("budget.operation", "is missing"),
    errors.IdempotencyConflict("op", "op-1", 7, "PENDING"),
    errors.NotRegistered("crm.updat", ["crm.update"]),
    errors.Refusal("OVERLOADED", "too many"),
    errors.PolicyError("policy.yaml", (errors.Problem(1, 2, "name", "is missing"),)),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_crosses_processes_whole(error):
    """An engine that hands an exception on hands on its text and what it carries."""
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("kind", [Blocked, AlreadyExecuted, WriteNotStored, ReadBackFailed])
def test_so_does_one_that_carries_a_decision(decision, kind):
    error = kind(decision) if kind in {Blocked, AlreadyExecuted} else kind(decision, "was called", ("note",))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.decision) == (kind, str(error), decision)


def tree(kind):
    return {kind, *(below for one in kind.__subclasses__() for below in tree(one))}


def test_every_error_of_ours_crosses_processes():
    """H4: also one that is added some day: what an engine hands on is what was raised."""
    import weighbridge.orchestrator.alone
    import weighbridge.orchestrator.interface
    import weighbridge.wiring  # noqa: F401 - errors beside the things they are about

    kinds = {kind for kind in tree(errors.WeighbridgeError) if kind.__module__.startswith("weighbridge.")}
    alike = {kind for kind in kinds if kind.__reduce__ is errors.WeighbridgeError.__reduce__}
    assert {kind.__name__ for kind in kinds - alike} == {
        "PlanRefused",
        "WriteUnconfirmed",
        "WriteNotStored",
        "ReadBackFailed",
    }
    for kind in alike:
        made = kind.__new__(kind, "as it was")
        made.carried = ("a", 1)
        copy = pickle.loads(pickle.dumps(made))
        assert (type(copy), str(copy), copy.carried) == (kind, str(made), ("a", 1)), kind
    refused = errors.PlanRefused("PLAN_CHANGED", "it is ACTIVE now", "p-1", ({"reason": "X", "details": {}},))
    copy = pickle.loads(pickle.dumps(refused))
    assert (str(copy), copy.code, copy.plan_id, copy.reasons) == (str(refused), "PLAN_CHANGED", "p-1", refused.reasons)


def test_a_block_that_was_raised_tells_the_same_elsewhere():
    """G8: the hint to the ledger included."""
    with weighbridge() as wb:
        update = wb.writeback("crm.update", target="crm", action="update")(lambda: None)
        with pytest.raises(Blocked) as caught:
            update()
        assert wb.gate(blocked_context()).verdict == "BLOCK"
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.decision.reasons == caught.value.decision.reasons


def test_an_operation_that_is_not_registered_says_what_comes_closest():
    """Rule 7: one near name, or several."""
    assert "(did you mean `a` or `b`?)" in str(errors.NotRegistered("c", ["a", "b"]))
    assert "did you mean" not in str(errors.NotRegistered("c"))
