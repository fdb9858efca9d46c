"""What people and agents do with plans: propose, edit, submit; approve, reject, activate; pause, resume, abort, skip.

Every act is one record: who did it, to which plan, and the reason in their words as content (L6). Who may do what is decided
here; whether it can be done now, in the store's transaction (`ledger.planning`). Nothing is called here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import msgspec

from weighbridge import canonical
from weighbridge.acts import reason_content, require_person
from weighbridge.admission import LEVELS_MAX, Surroundings, tenant_of
from weighbridge.domain.context import Role, ValidationContext
from weighbridge.domain.decision import GateDecision
from weighbridge.domain.plan import APPROVERS, BY_PERSON, STEERERS, Plan, PlanState, Verb, parse_plan
from weighbridge.domain.principal import Principal
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import ContextError, PlanRefused, TenantMismatch, UsageError
from weighbridge.ledger.submission import PlanDraft, PlanMove, Submission
from weighbridge.plan_book import PlanBook, request_hash
from weighbridge.plans import lifecycle, policy_gate
from weighbridge.plans.asking import approval_context
from weighbridge.plans.document import SealedPlan, changed_fields, seal_plan
from weighbridge.plans.policy_gate import Gate, Reason
from weighbridge.recorder import Recorder

GROUNDS: tuple[str, ...] = ("snapshot", "data_sources", "evidence")
"""What of a document is facts, which only a host or a connector states (Z5)."""

_STAY = ("plan_id", "tenant_id", "account_id", "plan_type", "proposer")


class PlanApproval(msgspec.Struct, frozen=True):
    """What came of asking for approval: the plan as it stands, and the decision with every reason (G7)."""

    plan: PlanState
    decision: GateDecision

    @property
    def approved(self) -> bool:
        """Return whether it was approved. A WARN asks for nothing more; after a BLOCK the plan is as it was."""
        return self.decision.verdict is not Verdict.BLOCK


class Weighs(Protocol):
    """Judges a plan before its approval: the executor."""

    def weigh_plan(
        self, context: ValidationContext, move: PlanMove, contents: tuple[tuple[str, bytes], ...] = ()
    ) -> GateDecision:
        """Judge, and record the verdict and what follows from it together."""


class PlanActs:
    """Records what is done with the plans of one store, on behalf of ``principal``."""

    def __init__(
        self, recorder: Recorder, book: PlanBook, executor: Weighs, principal: Principal, surroundings: Surroundings
    ) -> None:
        self._recorder = recorder
        self._book = book
        self._executor = executor
        self._principal = principal
        self._surroundings = surroundings

    # --- The document -------------------------------------------------------------------------------------------------

    def propose(
        self, tenant_id: str, document: Any, by: Principal | None, grounds: Mapping[str, Any] | None = None
    ) -> PlanState:
        """Record a new plan as DRAFT; the same one proposed again is the same plan.

        Raises:
            ContextError, CanonicalError: it is no plan.
            TenantMismatch: it is of another tenant.
            PlanRefused: ``PLAN_INVALID`` with every reason, ``PLAN_EXISTS``, ``PLAN_EXPIRED``. Nothing was recorded.
            UsageError: an agent states what only a host or a connector can (Z5).
        """
        self._require_host()
        asks = self._principal if by is None else self._actor(tenant_id, by)
        plan = _parsed(_grounded(_plain(document), grounds, asks), tenant_id, asks)
        if plan.tenant_id != tenant_id:
            raise TenantMismatch(f"the plan is of tenant `{plan.tenant_id}`, and is proposed for `{tenant_id}`")
        sealed = seal_plan(plan, self._book.key(tenant_id))
        hashed = request_hash(Verb.CREATE, plan.plan_id, plan=sealed.plan_hash, proposer=plan.proposer.id, by=asks.id)
        move = PlanMove(plan.plan_id, Verb.CREATE, hashed)
        return self._draft(plan, sealed, move, asks)

    def edit(
        self,
        tenant_id: str,
        plan_id: str,
        changes: Mapping[str, Any],
        by: Principal,
        revision: int | None,
        *,
        grounds: Mapping[str, Any] | None = None,
    ) -> PlanState:
        """Replace whole fields of a draft, or of an approved plan, whose approval that voids (H1, H2).

        Raises:
            ContextError, CanonicalError: what comes out is no plan.
            PlanRefused: ``PLAN_TRANSITION`` (it is running or ended), ``PLAN_INVALID``, ``PLAN_CHANGED``.
            UsageError: nothing would change, or what identifies the plan; an agent states what only a host or a connector can
                (Z5); ``by`` has a role of persons and is none.
        """
        self._require_host()
        by = self._actor(tenant_id, by)
        if by.role in STEERERS:  # O3: an edit with such a role counts as a human one
            require_person(by, f"the role `{by.role}` is a person's, and programs edit plans as `host` or `agent`")
        state = self._book.state(tenant_id, plan_id)
        lifecycle.after(Verb.EDIT, state.status, plan_id)
        before = self._book.document(tenant_id, state)
        after = _parsed(_changed(before, _grounded(changes, grounds, by)), tenant_id, by)
        for name in _STAY:
            if getattr(after, name) != getattr(before, name):
                raise UsageError(f"`{name}` of plan `{plan_id}` stays; propose another plan instead")
        sealed, changed = seal_plan(after, self._book.key(tenant_id)), changed_fields(before, after)
        if not changed:
            raise UsageError(f"plan `{plan_id}` stays as it is; say what to change, as in {{'objective': ...}}")
        on = state.revision if revision is None else revision
        hashed = request_hash(Verb.EDIT, plan_id, plan=sealed.plan_hash, by=by.id, revision=on)
        move = PlanMove(plan_id, Verb.EDIT, hashed, revision=on, changed=changed)
        return self._draft(after, sealed, move, by)

    def submit(self, tenant_id: str, plan_id: str, by: Principal) -> PlanState:
        """Say that a draft is ready for approval.

        Raises:
            PlanRefused: it is no draft.
        """
        state, by = self._book.state(tenant_id, plan_id), self._actor(tenant_id, by)
        if state.submitted and state.status in lifecycle.VERBS[Verb.SUBMIT]:
            return state
        return self._act(tenant_id, state, Verb.SUBMIT, by, None, revision=state.revision)

    # --- Who decides about it -----------------------------------------------------------------------------------------

    def approve(self, tenant_id: str, plan_id: str, by: Principal, reason: str, revision: int) -> PlanApproval:
        """Have a plan judged, and approve it unless the verdict is BLOCK: one record (H1, H3, G7).

        Raises:
            UsageError: ``by`` is no person; no revision is named.
            PlanRefused: ``APPROVAL_REFUSED`` with every reason of the policy gate, or it cannot be approved now.
        """
        self._person(tenant_id, by, APPROVERS, "a plan is approved by a person")
        if type(revision) is not int:  # G11: what was read is what is approved
            raise UsageError(
                "say which revision was read, as in revision=3; `weighbridge plan show` and `plan()` have it"
            )
        state = self._book.state(tenant_id, plan_id)
        plan = self._book.document(tenant_id, state)
        plan_type, facts_of = self._book.plan_type(tenant_id, state.plan_type), self._book.facts_of(tenant_id)
        now_ms = self._book.now_ms(tenant_id)
        gate = policy_gate.can_approve(plan, state, plan_type, facts_of, now_ms=now_ms, approver=by)
        if gate.reasons and revision == state.revision:
            raise _refused("APPROVAL_REFUSED", plan_id, gate)
        hashed = request_hash(Verb.APPROVE, plan_id, by=by.id, reason=reason, revision=revision)
        said = self._said(tenant_id, by, reason) if reason.strip() else None
        move = PlanMove(
            plan_id,
            Verb.APPROVE,
            hashed,
            revision=revision,
            plan_hash=state.plan_hash,
            by={"id": by.id, "role": by.role.value},
            content={} if said is None else {"reason": said[0]},
        )
        # G8: an id of its own, because a plan that was blocked may be asked for again; who asked is in the move's hash.
        context = approval_context(plan, self._surroundings.new_id())
        decision = self._executor.weigh_plan(context, move, () if said is None else (said,))
        return PlanApproval(self._book.state(tenant_id, plan_id), decision)

    def reject(self, tenant_id: str, plan_id: str, by: Principal, reason: str) -> PlanState:
        """Record that a person does not approve a draft; it stays one, and is submitted anew (H1).

        Raises:
            UsageError, PlanRefused: as :meth:`approve`.
        """
        self._person(tenant_id, by, APPROVERS, "a plan is rejected by a person")
        state = self._book.state(tenant_id, plan_id)
        return self._act(tenant_id, state, Verb.REJECT, by, reason, revision=state.revision)

    # --- Its life -----------------------------------------------------------------------------------------------------

    def activate(self, tenant_id: str, plan_id: str, by: Principal) -> PlanState:
        """Ask again for an approved plan to become ACTIVE, after it was refused once (H3). A refusal is on record, too.

        Raises:
            UsageError: ``by`` is no person, or has no role for it.
            PlanRefused: it is not APPROVED.
        """
        self._person(tenant_id, by, STEERERS, "a person asks again")
        state = self._book.state(tenant_id, plan_id)
        return self._start(tenant_id, state, Verb.ACTIVATE, by, None, plan_hash=state.plan_hash)

    def resume(self, tenant_id: str, plan_id: str, by: Principal, reason: str) -> PlanState:
        """Let a paused plan go on; the step that it was paused for gets one attempt more, or its human touch (H4).

        Where the policy gate is against it, the plan stays PAUSED and the record says why.

        Raises:
            UsageError: ``by`` is no person, or has no role for it; the reason is empty.
            PlanRefused: it is not PAUSED.
        """
        self._person(tenant_id, by, STEERERS, "a plan is resumed by a person")
        state = self._book.state(tenant_id, plan_id)
        return self._start(tenant_id, state, Verb.RESUME, by, reason)

    def pause(self, tenant_id: str, plan_id: str, by: Principal, reason: str) -> PlanState:
        """Pause an active plan; an attempt that is running ends, and no other starts.

        Raises:
            UsageError: ``by`` is no person, or has no role for it; the reason is empty.
            PlanRefused: it is not ACTIVE.
        """
        self._person(tenant_id, by, STEERERS, "a plan is paused by a person")
        return self._act(tenant_id, self._book.state(tenant_id, plan_id), Verb.PAUSE, by, reason, code=BY_PERSON)

    def abort(self, tenant_id: str, plan_id: str, by: Principal, reason: str) -> PlanState:
        """End a plan for good. What an attempt that is running comes to is recorded and moves nothing (H4).

        Raises:
            UsageError: ``by`` is no person, or has no role for it; the reason is empty.
            PlanRefused: it has ended.
        """
        self._person(tenant_id, by, STEERERS, "a plan is aborted by a person")
        return self._act(tenant_id, self._book.state(tenant_id, plan_id), Verb.ABORT, by, reason, code=BY_PERSON)

    def skip(self, tenant_id: str, plan_id: str, step_id: str, by: Principal, reason: str) -> PlanState:
        """Leave a step out; it counts as done, and satisfies those dependents that accept it (H4).

        Raises:
            UsageError: ``by`` is no person, or has no role for it; the reason is empty.
            PlanRefused: there is no such step, it is done or running, or the plan is neither ACTIVE nor PAUSED.
        """
        self._person(tenant_id, by, STEERERS, "a step is skipped by a person")
        state = self._book.state(tenant_id, plan_id)
        return self._act(tenant_id, state, Verb.SKIP_STEP, by, reason, code=BY_PERSON, step_id=step_id)

    # --- How ----------------------------------------------------------------------------------------------------------

    def _start(
        self, tenant_id: str, state: PlanState, verb: Verb, by: Principal, reason: str | None, **said: Any
    ) -> PlanState:
        lifecycle.after(verb, state.status, state.plan_id)  # before the gate is asked about what cannot be
        refusals = tuple(found.document() for found in self._book.against_activation(tenant_id, state))
        return self._act(tenant_id, state, verb, by, reason, revision=state.revision, refusals=refusals, **said)

    def _act(
        self,
        tenant_id: str,
        state: PlanState,
        verb: Verb,
        by: Principal,
        reason: str | None,
        *,
        code: str | None = None,
        **said: Any,
    ) -> PlanState:
        """Record a move that stands alone, and return the plan as it is then. ``reason`` None: none is asked for."""
        content = None if reason is None else self._said(tenant_id, by, reason)
        named = {name: said[name] for name in ("revision", "step_id") if name in said}
        move = PlanMove(
            state.plan_id,
            verb,
            request_hash(verb, state.plan_id, by=by.id, reason=reason, **named),
            reason=code,
            content={} if content is None else {"reason": content[0]},
            **said,
        )
        made = self._book.submission(tenant_id, state.account_id, move, by)
        return self._record(msgspec.structs.replace(made, contents=() if content is None else (content,)))

    def _draft(self, plan: Plan, sealed: SealedPlan, move: PlanMove, by: Principal) -> PlanState:
        """Record a document: a new plan's, or that of an edit."""
        plan_type, facts_of = self._book.plan_type(plan.tenant_id, plan.plan_type), self._book.facts_of(plan.tenant_id)
        gate = policy_gate.examine(plan, plan_type, facts_of)
        if gate.reasons:
            raise _refused("PLAN_INVALID", plan.plan_id, gate)
        gone = [name for name, (hashed, _) in sealed.contents.items() if self._book.is_erased(plan.tenant_id, hashed)]
        if gone:
            raise PlanRefused(
                "PLAN_INVALID",
                f"plan `{plan.plan_id}`: exactly this content was erased before ({', '.join(gone)}), and stays erased, so that "
                "nobody could approve it; change what it says, as by a fresher snapshot, newer data sources or another objective",
                plan.plan_id,
                (),
            )
        draft = PlanDraft(
            account_id=plan.account_id,
            plan_type=plan.plan_type,
            plan_hash=sealed.plan_hash,
            snapshot_id=sealed.snapshot_id,
            expires_ms=plan.expires_ms,
            risk=gate.risk,
            steps=policy_gate.draft_steps(plan, plan_type, facts_of, sealed.proposal_hashes),
        )
        content = {name: content_hash for name, (content_hash, _) in sealed.contents.items()}
        full = msgspec.structs.replace(move, draft=draft, content=content)
        # H3: who proposes and who brings it are both its proposers; of an edit, whoever edits.
        created = move.verb is Verb.CREATE
        actor = plan.proposer if created else by
        made = self._book.submission(plan.tenant_id, plan.account_id, full, actor, by if created else None)
        contents = tuple(dict(sealed.contents.values()).items())  # no data sources and no evidence are the same bytes
        return self._record(msgspec.structs.replace(made, contents=contents))

    def _record(self, submission: Submission) -> PlanState:
        self._recorder.record(submission)
        return self._book.state(submission.tenant_id, submission.common["plan_id"])

    def _said(self, tenant_id: str, by: Principal, reason: str) -> tuple[str, bytes]:
        return reason_content(self._book.key(tenant_id), self._surroundings.clock_ms(), by, reason)

    # --- Who ----------------------------------------------------------------------------------------------------------

    def _require_host(self) -> None:
        """Z5: a plan brings a snapshot and data sources, and would be believed later."""
        if self._principal.role is not Role.HOST:
            raise UsageError(
                f"UNTRUSTED_INPUT: a plan brings the state it was made from, which counts only from a host, not from a principal "
                f"with role `{self._principal.role}`; have the host propose it"
            )

    @staticmethod
    def _actor(tenant_id: str, by: Principal) -> Principal:
        """Z1: who does something is of this tenant, and does not only look."""
        if not isinstance(by, Principal):
            raise UsageError(f"`{by}` is no principal; pass by=Principal(id=..., role=...)")
        tenant_of(by, tenant_id)
        if by.role is Role.AUDITOR:
            raise UsageError(f"`{by.id}` is an auditor, who reads and changes nothing")
        return by

    def _person(self, tenant_id: str, by: Principal, roles: Collection[Role], rule: str) -> None:
        """Z1, H3: a person of this tenant, with a role for it."""
        self._actor(tenant_id, by)
        require_person(by, rule)
        if by.role not in roles:
            names = ", ".join(sorted(role.value for role in roles))
            raise UsageError(f"`{by.id}` has the role `{by.role}`; {rule} with one of the roles {names}")


def _plain(document: Any) -> Any:
    return msgspec.to_builtins(document) if isinstance(document, Plan) else document


def _grounded(document: Any, grounds: Mapping[str, Any] | None, by: Principal) -> Any:
    """Return a document, or changes, together with the facts that the host states for it (Z5)."""
    if not isinstance(document, Mapping):
        return document
    for name in GROUNDS:
        if name not in document:
            continue
        if by.role is Role.AGENT:
            raise UsageError(
                f"UNTRUSTED_INPUT: `{by.id}` is an agent, and `{name}` is what a host or a connector states: leave it out of "
                f"what the agent says, and pass it beside, as in grounds={{'{name}': ...}}"
            )
        if grounds is not None and name in grounds:
            raise UsageError(f"`{name}` is stated twice, in the document and in the grounds; leave one out")
    if grounds is None:
        return document
    if not isinstance(grounds, Mapping):
        raise ContextError("grounds", f"are a `{type(grounds).__name__}`; give {', '.join(GROUNDS)} by name")
    for name in grounds:
        if name not in GROUNDS:
            raise ContextError(f"grounds.{name}", f"is none; grounds are {', '.join(GROUNDS)}")
    return {**document, **grounds}


def _parsed(plain: Any, tenant_id: str, by: Principal) -> Plan:
    """Return the plan of a document, complete: its tenant, and who proposes it where it does not say."""
    if isinstance(plain, Mapping):
        plain = {"tenant_id": tenant_id, "proposer": {"id": by.id, "role": by.role.value}, **plain}
    copy = canonical.private_copy(plain)
    canonical.require_shallow(copy, LEVELS_MAX)
    return parse_plan(copy.value)


def _changed(before: Plan, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with whole fields replaced; None leaves a field out."""
    if not isinstance(changes, Mapping):
        raise ContextError("changes", f"is a `{type(changes).__name__}`; give the fields to replace, by name")
    document: dict[str, Any] = msgspec.to_builtins(before)
    return {name: value for name, value in {**document, **changes}.items() if value is not None}


def _refused(code: str, plan_id: str, gate: Gate) -> PlanRefused:
    reasons = tuple(found.document() for found in gate.reasons)
    said = "; ".join(_sentence(found) for found in gate.reasons)
    return PlanRefused(code, f"plan `{plan_id}`: {said}", plan_id, reasons)


def _sentence(found: Reason) -> str:
    details = ", ".join(f"{name} `{value}`" for name, value in found.details.items())
    return f"{found.reason} ({details})" if details else found.reason
