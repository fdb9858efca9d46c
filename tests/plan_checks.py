"""What must be true of plans that were carried out by processes that died: for any store, and any engine.

A *call* is what an operation of `many_workers_process` writes down when it is called: plan, step, attempt. A *person* is the
test, which resumes what was left behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from tests.planned import OLE, TENANT, told
from weighbridge.domain.plan import OUTCOME_UNKNOWN, PlanStatus
from weighbridge.errors import PlanRefused
from weighbridge.plans.lifecycle import ENDED
from weighbridge.runtime import Weighbridge

_ENDS_OF_STEPS = {"STEP_COMPLETED", "STEP_FAILED", "STEP_BLOCKED"}
_ENDS_OF_PLANS = {"PLAN_COMPLETED", "PLAN_ABORTED", "PLAN_EXPIRED"}


class Called(NamedTuple):
    """A call of an operation: of which attempt, and in which process."""

    plan_id: str
    step_id: str
    attempt: int
    pid: int


def calls(path: Path) -> list[Called]:
    """Return the calls that were written down, in order; of a line that a kill cut off, nothing."""
    whole = path.read_text("utf-8").splitlines() if path.exists() else []
    found = (line.split() for line in whole)
    return [Called(parts[0], parts[1], int(parts[2]), int(parts[3])) for parts in found if parts[4:] == ["."]]


def resume_what_is_unknown(wb: Weighbridge) -> list[str]:
    """Do what a person does about plans that are paused because nobody knows what became of an attempt; say which they were."""
    found = []
    for state in wb.plans(status="PAUSED", tenant_id=TENANT):
        assert state.pause_reason == OUTCOME_UNKNOWN, (state.plan_id, state.pause_reason, state.pause_step)
        try:
            wb.resume_plan(state.plan_id, by=OLE, reason="it did not happen", tenant_id=TENANT)
        except PlanRefused as refused:
            if refused.code not in {"PLAN_CHANGED", "PLAN_TRANSITION"}:  # its end was told after all, a moment ago
                raise
        else:
            found.append(state.plan_id)
    return found


def all_ended(wb: Weighbridge, plan_ids: Collection[str]) -> bool:
    """Return whether every plan has ended."""
    return all(wb.plan(plan_id, tenant_id=TENANT).status in ENDED for plan_id in plan_ids)


def check_completed(wb: Weighbridge, plan_ids: Iterable[str], called: Iterable[Called]) -> None:
    """H4, G10, B5, L3: every plan ended as it would have, each attempt was drawn, called and charged once; it verifies."""
    checked = wb.verify(TENANT)
    assert checked.ok, checked
    drawn: set[tuple[str, str, int]] = set()
    for plan_id in plan_ids:
        drawn |= _check_plan(wb, plan_id)
    times = Counter((one.plan_id, one.step_id, one.attempt) for one in called)
    assert set(times) <= drawn, "an operation was called for an attempt that nobody drew"
    assert not [attempt for attempt, many in times.items() if many > 1], "an attempt was called twice"
    with wb.reader.snapshot() as moment:
        charged = {name: counter.reserved for name, counter in moment.counters(TENANT)}
    assert set(charged.values()) == {len(drawn)}, (charged, len(drawn))


def _check_plan(wb: Weighbridge, plan_id: str) -> set[tuple[str, str, int]]:
    """Return the attempts of a plan that were drawn, after a look at everything that happened to it."""
    state, happened = wb.plan(plan_id, tenant_id=TENANT), told(wb, plan_id)
    assert state.status is PlanStatus.COMPLETED, (plan_id, state.status, state.pause_reason)
    assert [event.type for event in happened if event.type in _ENDS_OF_PLANS] == ["PLAN_COMPLETED"], plan_id
    drawn: Counter[tuple[str, str, int]] = Counter()
    open_now: set[tuple[str, str, int]] = set()
    unknown: set[tuple[str, str, int]] = set()
    done: set[str] = set()
    for event in happened:
        if not event.type.startswith("STEP_"):
            continue
        attempt = (plan_id, event.fields["step_id"], event.fields["attempt"])
        if event.type == "STEP_STARTED":
            assert not open_now, f"two attempts of {plan_id} at once"  # one step at a time
            needs = state.step(attempt[1])
            assert needs is not None
            assert set(needs.depends_on) <= done, f"{attempt} before what it depends on"
            assert attempt[1] not in done, f"{attempt} after its step was done"
            drawn[attempt] += 1
            open_now = {attempt}
        elif event.type in _ENDS_OF_STEPS:
            is_known_again = attempt in unknown  # its end was told after all
            assert attempt in open_now or is_known_again or event.fields.get("late"), (
                f"{attempt} ended and was not running"
            )
            open_now -= {attempt}
            unknown = {attempt} if event.fields.get("reason") == OUTCOME_UNKNOWN else unknown - {attempt}
            if event.type == "STEP_COMPLETED" and not event.fields.get("late"):
                done.add(attempt[1])
    assert not [attempt for attempt, many in drawn.items() if many > 1], "an attempt was drawn twice"
    assert done == {step.step_id for step in state.steps}
    return set(drawn)
