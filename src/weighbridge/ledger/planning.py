"""What a move does to a plan, decided inside the store's transaction: the part of the kernel that is about plans. Pure.

`plan_refusals` says what cannot be done, `plan_moves` what is done; here they meet one submission and the state of its tenant. A
move becomes the last event of its record, and the plan's new row. The verdict of the runs beside it matters only as BLOCK or
not (H5).
"""

from __future__ import annotations

from typing import Any, Final

from weighbridge.domain.context import OperationFacts
from weighbridge.domain.plan import PlanState, PlanStatus, StepState, Verb
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import NotFound, PlanRefused, UsageError
from weighbridge.ledger import plan_moves, record
from weighbridge.ledger.plan_moves import Planned, Recorded
from weighbridge.ledger.plan_refusals import Asked, require_future, require_possible, step_of
from weighbridge.ledger.record import NOT_AS_APPROVED
from weighbridge.ledger.submission import PlanMove, RunDraft, Submission, View

_APPROVAL: Final = "BEFORE_PLAN_APPROVAL"
_EXECUTION: Final = "BEFORE_STEP_EXECUTION"


def known(submission: Submission, view: View) -> int | None:
    """Return the record that this move made already; None where it is new.

    Raises:
        PlanRefused: ``PLAN_EXISTS``: the id is that of another plan.
    """
    move = submission.plan
    row = None if move is None else view.plan(move.plan_id)
    if move is None or row is None:
        return None
    if row.request_hash == move.request_hash:
        return row.seq
    if move.verb is not Verb.CREATE:
        return None
    created = [event.fields for event in record.events(view.body(row.created_seq)) if event.type == record.PLAN_CREATED]
    if any(said["move_hash"] == move.request_hash for said in created):
        return row.created_seq
    raise PlanRefused("PLAN_EXISTS", f"plan `{move.plan_id}` is another one; use a new id for a new plan", move.plan_id)


def holds(move: PlanMove, body: bytes) -> bool:
    """Return whether a record is that of this move; an approval that was blocked is one without an event."""
    said = [event.fields for event in record.events(body)]
    blocked = move.verb is Verb.APPROVE and any(fields.get("result") == Verdict.BLOCK for fields in said)
    return blocked or any(fields.get("move_hash") == move.request_hash for fields in said)


class Planning:
    """The plan that one submission is about, if any, and what its move does to it."""

    def __init__(self, submission: Submission, view: View, seq: int) -> None:
        """Read the plan, and refuse what cannot be done to it whatever a verdict says.

        Raises:
            PlanRefused: it cannot be done now.
            NotFound: there is no such plan.
        """
        self._submission, self._view, self._seq = submission, view, seq
        self._move = submission.plan
        judged = submission.runs or submission.reservation is not None
        linked = submission.common.get("plan_id") if self._move is not None or judged else None
        self._row = view.plan(linked) if isinstance(linked, str) else None
        if self._move is not None:
            self._require(self._move)

    def findings(self, run: RunDraft) -> list[dict[str, Any]]:
        """Return the finding for a run that is not of what was approved (G11)."""
        if self._row is None or run.choke_point == _APPROVAL:
            return []
        snapshot = run.fields.get("snapshot_id")
        action = run.allowed_in is not None and self._row.plan_type not in run.allowed_in
        if self._move is not None:
            step = step_of(self._row, self._move)
            differs = {
                "plan": self._move.plan_hash != self._row.approved_hash,
                "step": run.proposal_hash != step.proposal_hash,
                "operation": _is_another(step, self._move.facts),
                "action": action,
                "snapshot": snapshot != self._row.snapshot_id,
            }
        else:
            differs = {
                # An attempt of a plan of ours is drawn together with its judgement, and in no other way.
                "attempt": run.choke_point == _EXECUTION,
                "status": not self._is_under_way(self._row),
                # The plan type says what its plans may write, also inside a step of another kind (H3).
                "action": action,
                "snapshot": snapshot not in {None, self._row.snapshot_id},
            }
        return _differing([name for name, is_other in differs.items() if is_other])

    def reservation_findings(self) -> list[dict[str, Any]]:
        """Return the finding for a reservation without runs, for a plan that does nothing now: it would count there."""
        is_asleep = self._row is not None and self._move is None and not self._is_under_way(self._row)
        return _differing(["status"] if is_asleep else [])

    def _is_under_way(self, row: PlanState) -> bool:
        """Return whether something can happen in the name of a plan: it is ACTIVE, or PAUSED while an attempt still runs.

        A pause starts nothing new. What the attempt that is running calls is part of it, and judged as before; an end stops it.
        """
        if row.status is not PlanStatus.PAUSED or row.running is None:
            return row.status is PlanStatus.ACTIVE
        said = self._submission.common
        return (said.get("step_id"), said.get("attempt")) == (row.running.step_id, row.running.attempts)

    def concluded(self, verdict: Verdict) -> Planned:
        """Return what the move comes to, after ``verdict`` on what stands beside it."""
        move, blocked = self._move, verdict is Verdict.BLOCK
        if move is None or (move.verb is Verb.APPROVE and blocked):
            return Planned()
        about = Recorded(
            seq=self._seq,
            proposers=self._proposers(),
            operation_id=None if self._submission.operation is None else self._submission.operation[0],
            blocked=blocked,
            active=self._active(move),
        )
        return plan_moves.created(move, about) if self._row is None else plan_moves.moved(self._row, move, about)

    def _require(self, move: PlanMove) -> None:
        now_ms, row = self._now_ms(), self._row
        if move.verb is Verb.CREATE:
            require_future(move, now_ms)
            return
        if row is None:
            raise NotFound(f"no plan `{move.plan_id}`; `weighbridge plan list` shows what there is")
        if self._submission.common.get("account_id") != row.account_id:
            raise UsageError("a move is on behalf of the account whose plan it is")
        ended = self._submission.completes
        require_possible(Asked(move, row, now_ms, None if ended is None else ended[0]))

    def _now_ms(self) -> int:
        """Return the instant that counts for an expiry: a clock that is behind the ledger starts nothing late (H4)."""
        last, instant_ms = self._view.head().last_time_ms, self._submission.evaluation_time_ms
        return max(last, instant_ms) if last is not None and self._submission.time_source == "clock" else instant_ms

    def _proposers(self) -> frozenset[str]:
        common = self._submission.common
        return frozenset(str(common[who]["id"]) for who in ("actor", "principal") if who in common)

    def _active(self, move: PlanMove) -> str | None:
        row: PlanState | None = self._row if move.verb in {Verb.ACTIVATE, Verb.RESUME} else None
        return None if row is None else self._view.active_plan(row.account_id, row.plan_type)


def _is_another(step: StepState, facts: OperationFacts | None) -> bool:
    """Return whether an operation is registered as something else than when the plan was drafted (G11)."""
    approved = (step.action_type, step.cost_class, step.kind, step.target)
    return facts is None or (facts.action_type, facts.cost_class.value, facts.kind.value, facts.target) != approved


def _differing(names: list[str]) -> list[dict[str, Any]]:
    return [{"reason": NOT_AS_APPROVED, "details": {"differs": names}}] if names else []
