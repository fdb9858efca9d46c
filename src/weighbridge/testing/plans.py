"""Plans and their moves as a host would make them, small and with every part that matters to a store."""

from __future__ import annotations

from typing import Any

import msgspec

from weighbridge.domain.amounts import CostClass
from weighbridge.domain.context import OperationFacts, OperationKind
from weighbridge.domain.plan import BY_PERSON, OUTCOME_UNKNOWN, Plan, PlanState, Risk, StepStatus, Verb, parse_plan
from weighbridge.domain.verdict import Verdict
from weighbridge.ledger.submission import PlanDraft, PlanMove, Submission
from weighbridge.plans.asking import operation_id
from weighbridge.plans.document import SealedPlan, seal_plan
from weighbridge.plans.policy_gate import draft_steps, risk_of
from weighbridge.policy.effective import PlanAction, PlanType
from weighbridge.testing.submissions import NOW_MS, SKEW_MS, TENANT, draft, hashed

KEY = b"k" * 32
DAY_MS = 86_400_000
EXPIRES_MS = NOW_MS + 10 * DAY_MS
EXPIRES_AT = "2026-12-02T10:00:00Z"
APPROVER = {"id": "maria", "role": "approver"}
ATTEMPTS_MAX = 2

PLAN_TYPE = PlanType(
    name="RENEWAL_DEFENSE",
    actions={name: PlanAction(Risk.LOW) for name in ("brief", "meet", "update")},
    max_retries=ATTEMPTS_MAX - 1,
    lifetime_ms=30 * DAY_MS,
)


def facts_of(name: str) -> OperationFacts | None:
    """Return what is registered: ``x.brief``, ``x.meet`` and ``x.update``, each of the action type after the dot."""
    _, _, action_type = name.partition(".")
    if action_type not in {"brief", "meet", "update"}:
        return None
    return OperationFacts(name, action_type, OperationKind.ACTION, None, CostClass.MEDIUM)


def plan_document(plan_id: str = "p-1", steps: tuple[dict[str, Any], ...] = (), **changes: Any) -> dict[str, Any]:
    """Return the document of a plan: brief, then meet, then update, unless other steps are given."""
    source = {"source_type": "crm_renewal", "source_id": "r-1"}
    chain = (
        {"step_id": "brief", "operation": "x.brief"},
        {"step_id": "meet", "operation": "x.meet", "depends_on": ["brief"]},
        {"step_id": "update", "operation": "x.update", "depends_on": ["meet"]},
    )
    return {
        "plan_id": plan_id,
        "tenant_id": TENANT,
        "account_id": "a-1",
        "plan_type": "RENEWAL_DEFENSE",
        "objective": "keep the renewal",
        "expires_at": EXPIRES_AT,
        "proposer": {"id": "agent-1"},
        "snapshot": {"fields": {"renewal": {"value": {"status": "open"}, **source}}},
        "data_sources": [{**source, "last_updated": "2026-11-20T10:00:00Z"}],
        "evidence": [{"reference": source}],
        "steps": [{"arguments": {"renewal_id": "r-1"}, "evidence": [source], **step} for step in steps or chain],
        **changes,
    }


def plan_of(plan_id: str = "p-1", steps: tuple[dict[str, Any], ...] = (), **changes: Any) -> Plan:
    """Return a plan."""
    return parse_plan(plan_document(plan_id, steps, **changes))


class Mover:
    """Makes the submissions of one plan's moves. ``plan`` may be replaced for an edit."""

    def __init__(self, plan: Plan | None = None, plan_type: PlanType | None = PLAN_TYPE, key: bytes = KEY) -> None:
        self.plan: Plan = plan or plan_of()
        self.plan_type: PlanType | None = plan_type
        self.key: bytes = key

    @property
    def sealed(self) -> SealedPlan:
        """Return the plan by its hashes."""
        return seal_plan(self.plan, self.key)

    def create(self, **given: Any) -> Submission:
        """Return the proposal of the plan, with its content."""
        return self._drafting(Verb.CREATE, **given)

    def edit(self, row: PlanState, changed: tuple[str, ...] = ("objective",), **given: Any) -> Submission:
        """Return an edit: the plan as it is now, instead of the one before."""
        return self._drafting(Verb.EDIT, revision=row.revision, changed=changed, **given)

    def _drafting(self, verb: Verb, **given: Any) -> Submission:
        sealed, plan = self.sealed, self.plan
        drafted = PlanDraft(
            account_id=plan.account_id,
            plan_type=plan.plan_type,
            plan_hash=sealed.plan_hash,
            snapshot_id=sealed.snapshot_id,
            expires_ms=plan.expires_ms,
            risk=risk_of(plan, self.plan_type, facts_of),
            steps=draft_steps(plan, self.plan_type, facts_of, sealed.proposal_hashes),
        )
        content = {name: content_hash for name, (content_hash, _) in sealed.contents.items()}
        made = self.move(verb, draft=drafted, content=content, **given)
        return msgspec.structs.replace(made, contents=tuple(sealed.contents.values()))

    def act(self, verb: Verb, row: PlanState | None = None, **given: Any) -> Submission:
        """Return a move that says no more than it must, decided on ``row``."""
        if verb is Verb.ACTIVATE:
            given.setdefault("plan_hash", self.sealed.plan_hash)
        if verb in {Verb.PAUSE, Verb.ABORT, Verb.EXPIRE, Verb.SKIP_STEP, Verb.COMPLETE}:
            given.setdefault("reason", BY_PERSON)
        return self.move(verb, revision=None if row is None else row.revision, **given)

    def approve(
        self, row: PlanState, *, verdict: Verdict = Verdict.ALLOW, run: str = "", by: Any = None, **given: Any
    ) -> Submission:
        """Return an approval with its run."""
        run = run or f"approval of {row.plan_id} at {row.revision}"
        proposal = f"plan {self.sealed.plan_hash}"
        judged = draft(run, verdict=verdict, choke_point="BEFORE_PLAN_APPROVAL", proposal=proposal)
        given.setdefault("plan_hash", self.sealed.plan_hash)
        move = self.move(Verb.APPROVE, revision=row.revision, by=by or APPROVER, **given)
        return msgspec.structs.replace(move, runs=(judged,), policy_version=hashed("policy-1"))

    def start(
        self,
        step_id: str,
        attempt: int = 1,
        *,
        verdict: Verdict = Verdict.ALLOW,
        snapshot: str | None = None,
        proposal: str | None = None,
        inputs: str | None = None,
        **given: Any,
    ) -> Submission:
        """Return the draw of an attempt: its decision and its start; other hashes than were approved where they are given."""
        sealed = self.sealed
        operation = operation_id(self.plan.plan_id, step_id, attempt)
        request = f"{operation}:BEFORE_STEP_EXECUTION"
        judged = msgspec.structs.replace(
            draft(request, inputs=inputs, verdict=verdict, choke_point="BEFORE_STEP_EXECUTION"),
            proposal_hash=proposal or sealed.proposal_hashes[step_id],
            fields={"target_id": step_id, "snapshot_id": snapshot or sealed.snapshot_id},
        )
        given.setdefault("plan_hash", sealed.plan_hash)
        given.setdefault("attempts_max", ATTEMPTS_MAX)
        step = self.plan.step(step_id)
        given.setdefault("facts", facts_of("x.brief" if step is None else step.operation))
        move = self.move(Verb.START_STEP, step_id=step_id, attempt=attempt, **given)
        return msgspec.structs.replace(
            move, runs=(judged,), operation=(operation, hashed(operation)), policy_version=hashed("policy-1")
        )

    def end(
        self, step_id: str, attempt: int = 1, outcome: StepStatus = StepStatus.COMPLETED, **given: Any
    ) -> Submission:
        """Return the end of an attempt, with that of its operation."""
        if outcome is not StepStatus.COMPLETED:
            given.setdefault("reason", "OPERATION_FAILED")
        operation = operation_id(self.plan.plan_id, step_id, attempt)
        state = "COMPLETED" if outcome is StepStatus.COMPLETED else "FAILED"
        move = self.move(Verb.END_STEP, step_id=step_id, attempt=attempt, outcome=outcome, **given)
        event = {"type": "OPERATION_COMPLETED", "operation": "x", "outcome": state}
        common = {**move.common, "operation_id": operation}
        return msgspec.structs.replace(move, events=(event,), completes=(operation, state), common=common)

    def unknown(self, step_id: str, attempt: int = 1, **given: Any) -> Submission:
        """Return that nobody knows how an attempt ended."""
        given.setdefault("reason", OUTCOME_UNKNOWN)
        move = self.move(Verb.END_STEP, step_id=step_id, attempt=attempt, outcome=StepStatus.FAILED, **given)
        common = {**move.common, "operation_id": operation_id(self.plan.plan_id, step_id, attempt)}
        return msgspec.structs.replace(move, common=common)

    def move(
        self, verb: Verb, *, at_ms: int = NOW_MS, actor: str = "agent-1", said: str = "", **fields: Any
    ) -> Submission:
        """Return the submission of any move. ``said`` makes it another request than the same move without it."""
        plan = self.plan
        about = [
            verb,
            fields.get("revision"),
            fields.get("step_id"),
            fields.get("attempt"),
            fields.get("draft"),
            actor,
            said,
        ]
        move = PlanMove(plan.plan_id, verb, hashed(repr(about)), **fields)
        steps = {"step_id": move.step_id, "attempt": move.attempt} if verb in _OF_STEPS else {}
        return Submission(
            tenant_id=TENANT,
            common={
                "actor": {"id": actor, "role": "agent"},
                "account_id": plan.account_id,
                "plan_id": plan.plan_id,
                "engine_version": hashed("engine"),
                "enforcement": "executed",
                **{name: value for name, value in steps.items() if value is not None},
            },
            evaluation_time_ms=at_ms,
            time_source="clock",
            max_clock_skew_ms=SKEW_MS,
            plan=move,
        )


_OF_STEPS = frozenset({Verb.START_STEP, Verb.END_STEP, Verb.SKIP_STEP})
