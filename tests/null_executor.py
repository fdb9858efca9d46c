"""An executor without governance, for tests alone: no validator, no budget, no verdict but ALLOW (H5).

It stands where the orchestrator and the acts expect the operations and the executor. It draws an attempt, calls the function, and
records the end, as the real one does; what it leaves out is everything that weighs. So a plan whose transitions are the same over
both is governed from outside, and by nothing inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from weighbridge import read_back, scopes
from weighbridge.admission import Surroundings
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.context import OperationFacts, OperationKind, ValidationContext
from weighbridge.domain.decision import GateDecision
from weighbridge.domain.instant import format_instant
from weighbridge.domain.plan import PlanState
from weighbridge.domain.principal import Principal
from weighbridge.ledger.answer import gate_decisions, operation_decision
from weighbridge.ledger.submission import PlanMove, RunDraft, Submission
from weighbridge.operations import StepMoves
from weighbridge.recorder import Recorder
from weighbridge.runtime import Weighbridge
from weighbridge.storage.reading import LedgerReader
from weighbridge.testing.submissions import SKEW_MS, draft, hashed


class NullExecutor:
    """Carries out without weighing. ``functions`` are the operations by name."""

    def __init__(
        self,
        recorder: Recorder,
        reader: LedgerReader,
        surroundings: Surroundings,
        functions: Mapping[str, Callable[..., Any]],
        principal: Principal,
    ) -> None:
        self._recorder = recorder
        self._reader = reader
        self._surroundings = surroundings
        self._functions = functions
        self._principal = principal

    def weigh_plan(
        self, context: ValidationContext, move: PlanMove, contents: tuple[tuple[str, bytes], ...] = ()
    ) -> GateDecision:
        """Approve."""
        run = draft(context.validation_run_id or "", choke_point="BEFORE_PLAN_APPROVAL")
        actor = {"id": context.actor.id, "role": context.actor.role.value}
        made = self._submission(context.tenant_id or "", context.account_id or "", move, actor)
        committed = self._recorder.record(
            msgspec.structs.replace(made, runs=(run,), policy_version=_VERSION, contents=contents)
        )
        return gate_decisions(committed.body, committed.hash, replayed=committed.replayed)[0]

    def run_step(self, name: str, arguments: Mapping[str, Any], operation_id: str, moves: StepMoves) -> Any:
        """Draw, call, and tell the end."""
        scope = scopes.current()
        stated, start = scope.stated, moves.start
        row = self._reader.plan(stated["tenant_id"], start.plan_id)
        assert row is not None
        actor = {"id": stated["actor"].id, "role": stated["actor"].role.value}
        frame = self._submission(stated["tenant_id"], row.account_id, start, actor)
        drawn = self._recorder.record(
            msgspec.structs.replace(
                frame,
                runs=(_allowing(row, start, operation_id),),
                plan=msgspec.structs.replace(start, facts=_facts(row, start)),
                operation=(operation_id, hashed(operation_id)),
                policy_version=_VERSION,
            )
        )
        scope.note(
            operation_decision(drawn.body, drawn.hash, operation_id, drawn.state or "PENDING", replayed=drawn.replayed)
        )
        try:
            value = self._functions[name](**arguments)
        except BaseException as error:
            self._end(frame, operation_id, moves.ended(read_back.raised(error), None), "FAILED")
            raise
        self._end(frame, operation_id, moves.ended(read_back.DONE, None), "COMPLETED")
        return value

    def _end(self, frame: Submission, operation_id: str, move: PlanMove, outcome: str) -> None:
        by = {"id": self._principal.id, "role": self._principal.role.value}
        event = {"type": "OPERATION_COMPLETED", "operation": "null", "outcome": outcome}
        about = {name: said for name, said in frame.common.items() if name not in {"attempt", "principal"}}
        common = {**about, "actor": by, "operation_id": operation_id}
        self._recorder.record(
            msgspec.structs.replace(frame, common=common, plan=move, events=(event,), completes=(operation_id, outcome))
        )

    def _submission(self, tenant_id: str, account_id: str, move: PlanMove, actor: dict[str, str]) -> Submission:
        now_ms = self._surroundings.clock_ms()
        about: dict[str, Any] = {"step_id": move.step_id, "attempt": move.attempt}
        if actor["id"] != self._principal.id:
            about["principal"] = {"id": self._principal.id, "role": self._principal.role.value}
        return Submission(
            tenant_id=tenant_id,
            common={
                "actor": actor,
                "account_id": account_id,
                "plan_id": move.plan_id,
                "engine_version": hashed("null"),
                "evaluation_time": format_instant(now_ms),
                "enforcement": "executed",
                **{name: value for name, value in about.items() if value is not None},
            },
            evaluation_time_ms=now_ms,
            time_source="clock",
            max_clock_skew_ms=SKEW_MS,
            plan=move,
        )


_VERSION = hashed("no policy")


def _allowing(row: PlanState, start: PlanMove, operation_id: str) -> RunDraft:
    """Return a run that allows: of what the row says that it is, so that the kernel has nothing against it (G11)."""
    step = row.step(start.step_id)
    assert step is not None
    made = draft(f"{operation_id}:BEFORE_STEP_EXECUTION", choke_point="BEFORE_STEP_EXECUTION")
    return msgspec.structs.replace(
        made,
        proposal_hash=step.proposal_hash,
        fields={"target_id": step.step_id, "snapshot_id": row.snapshot_id},
    )


def _facts(row: PlanState, start: PlanMove) -> OperationFacts:
    """Return what the row says that the operation is: nothing was registered as something else."""
    step = row.step(start.step_id)
    assert step is not None
    kind, cost_class = OperationKind(step.kind or "action"), CostClass(step.cost_class or "CHEAP")
    return OperationFacts(step.operation, step.action_type, kind, step.target, cost_class)


def over_nothing(wb: Weighbridge, functions: Mapping[str, Callable[..., Any]]) -> Weighbridge:
    """Return the Weighbridge with its executor taken out, and a null one in its place. For tests alone."""
    null = NullExecutor(wb._recorder, wb._reader, wb._surroundings, functions, wb._principal)
    wb._plan_acts._executor = null
    wb._orchestrator._operations = null
    return wb
