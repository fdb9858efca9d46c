"""What moves do to a plan, through the kernel and the store in memory: H1 to H4, G8, G10, G11, L3, and every refusal."""

from __future__ import annotations

import itertools
import pickle

import msgspec
import pytest

from weighbridge.domain.amounts import CostClass
from weighbridge.domain.context import OperationKind
from weighbridge.domain.plan import PlanState, PlanStatus, StepStatus, Verb
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import IdempotencyConflict, NotFound, PlanRefused, UsageError
from weighbridge.ledger.fold import Fold
from weighbridge.ledger.plan_fold import compare_plans
from weighbridge.ledger.record import events
from weighbridge.plans.lifecycle import ENDED, TRANSITIONS
from weighbridge.storage.audit import verify_store
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.plans import DAY_MS, EXPIRES_MS, PLAN_TYPE, Mover, facts_of, plan_of
from weighbridge.testing.submissions import NOW_MS, TENANT, decision, draft, hashed


class Desk:
    """A store with one plan, and whoever moves it."""

    def __init__(self, **changes):
        numbers = itertools.count(1)
        self.store = MemoryStore(entropy=lambda n: next(numbers).to_bytes(1, "big") * n)
        self.mover = Mover(plan_of(**changes), key=self.store.tenant_key(TENANT))

    @property
    def row(self) -> PlanState:
        found = self.store.plan(TENANT, self.mover.plan.plan_id)
        assert found is not None
        return found

    def do(self, submission):
        committed = self.store.commit(submission)
        self.verify()
        return committed

    def told(self, committed):
        """Return the last event of a record: the plan's."""
        return list(events(committed.body))[-1]

    def act(self, verb, **given):
        return self.do(self.mover.act(verb, self.row, **given))

    def refused(self, submission) -> str:
        """Return why a move is refused; nothing is appended."""
        before = self.store.head(TENANT)
        with pytest.raises(PlanRefused) as refusal:
            self.store.commit(submission)
        assert self.store.head(TENANT) == before
        return refusal.value.code

    def verify(self):
        """L3: the rows are what the fold of the records gives, and every record follows from those before."""
        fold = Fold(TENANT)
        for stored in self.store.records(TENANT):
            assert fold.add(*stored) is None
        assert list(compare_plans(fold.plans.plans, self.store.plans(TENANT))) == []

    def draft(self):
        self.do(self.mover.create())
        return self

    def approved(self):
        self.draft().act(Verb.SUBMIT)
        self.do(self.mover.approve(self.row))
        return self

    def active(self):
        self.approved().act(Verb.ACTIVATE)
        return self

    def paused(self):
        self.active().act(Verb.PAUSE)
        return self

    def ended(self, status):
        if status is PlanStatus.COMPLETED:
            self.active().act(Verb.COMPLETE, reason="objective_met")
        elif status is PlanStatus.ABORTED:
            self.active().act(Verb.ABORT)
        else:
            self.active().act(Verb.EXPIRE, at_ms=EXPIRES_MS)
        return self

    def at(self, status):
        """Bring the plan to a status."""
        ways = {"DRAFT": self.draft, "APPROVED": self.approved, "ACTIVE": self.active, "PAUSED": self.paused}
        return ways[status]() if status in ways else self.ended(status)

    def run(self, step_id, attempt=1, outcome=StepStatus.COMPLETED, **given):
        self.do(self.mover.start(step_id, attempt))
        return self.do(self.mover.end(step_id, attempt, outcome, **given))


@pytest.fixture
def desk():
    return Desk()


# --- H1, H2: the life of a plan ---------------------------------------------------------------------------------------

TO = {
    PlanStatus.APPROVED: lambda desk: desk.mover.approve(desk.row),
    PlanStatus.ACTIVE: lambda desk: desk.mover.act(
        Verb.RESUME if desk.row.status is PlanStatus.PAUSED else Verb.ACTIVATE, desk.row
    ),
    PlanStatus.PAUSED: lambda desk: desk.mover.act(Verb.PAUSE, desk.row),
    PlanStatus.COMPLETED: lambda desk: desk.mover.act(Verb.COMPLETE, desk.row, reason="objective_met"),
    PlanStatus.ABORTED: lambda desk: desk.mover.act(Verb.ABORT, desk.row),
    PlanStatus.EXPIRED: lambda desk: desk.mover.act(Verb.EXPIRE, desk.row, at_ms=EXPIRES_MS),
    PlanStatus.DRAFT: lambda desk: desk.mover.edit(desk.row),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(PlanStatus, PlanStatus)))
def test_every_pair_of_states(before, after):
    """H1: a plan gets from one state to another exactly where the table says so; anything else appends nothing."""
    desk = Desk().at(before)
    if before is PlanStatus.DRAFT and after is PlanStatus.APPROVED:
        desk.act(Verb.SUBMIT)
    submission = TO[after](desk)
    if after in TRANSITIONS[before] or (before, after) == (PlanStatus.DRAFT, PlanStatus.DRAFT):
        desk.do(submission)
        assert desk.row.status is after
    else:
        assert desk.refused(submission) == "PLAN_TRANSITION"
        assert desk.row.status is before


@pytest.mark.parametrize("status", sorted(ENDED))
@pytest.mark.parametrize("verb", [verb for verb in Verb if verb not in {Verb.CREATE, Verb.END_STEP}])
def test_no_verb_leads_out_of_an_end(status, verb):
    """H1: terminal states have no way out, whatever is tried."""
    desk = Desk().ended(status)
    tries = {
        Verb.EDIT: lambda: desk.mover.edit(desk.row),
        Verb.APPROVE: lambda: desk.mover.approve(desk.row),
        Verb.START_STEP: lambda: desk.mover.start("brief"),
        Verb.SKIP_STEP: lambda: desk.mover.act(verb, desk.row, step_id="brief"),
    }
    assert desk.refused(tries.get(verb, lambda: desk.mover.act(verb, desk.row))()) == "PLAN_TRANSITION"


def test_two_racing_transitions_cannot_both_win(desk):
    """H1: both were decided on the same revision; the second is told so, and what there is now."""
    desk.active()
    first, second = (
        desk.mover.act(Verb.PAUSE, desk.row),
        desk.mover.act(Verb.COMPLETE, desk.row, reason="objective_met"),
    )
    desk.do(first)
    with pytest.raises(PlanRefused, match=r"revision 4 when this was decided, and is PAUSED at 5 now") as lost:
        desk.store.commit(second)
    assert lost.value.code == "PLAN_CHANGED"


def test_only_a_draft_is_edited_and_an_edit_voids_the_approval(desk):
    """H2: each edit is an event with the names of what it changed; it needs a new submission and a new approval."""
    desk.approved()
    approved_seq = desk.row.approved_seq
    desk.mover.plan = msgspec.structs.replace(desk.mover.plan, objective="another one")
    said = desk.told(desk.do(desk.mover.edit(desk.row, actor="bert"))).fields
    assert (said["changed"], said["voids_approval"], said["from"], said["status"]) == (
        ["objective"],
        approved_seq,
        "APPROVED",
        "DRAFT",
    )
    assert (desk.row.approved_hash, desk.row.approver_id, desk.row.submitted) == (None, None, False)
    assert desk.row.proposers == ("agent-1", "bert")  # whoever edits it proposes it too
    assert desk.refused(desk.mover.approve(desk.row, run="again")) == "NOT_SUBMITTED"


def test_an_edit_of_a_running_plan_is_refused(desk):
    """H2: an ACTIVE plan is never edited, and the message says what can be."""
    desk.active()
    with pytest.raises(PlanRefused, match="is ACTIVE: only a draft can be edited"):
        desk.store.commit(desk.mover.edit(desk.row))


def test_a_rejected_plan_stays_a_draft_and_is_submitted_again(desk):
    """H1: rejection is an event; the plan stays DRAFT."""
    desk.draft().act(Verb.SUBMIT)
    assert desk.told(desk.act(Verb.REJECT)).type == "PLAN_REJECTED"
    assert (desk.row.status, desk.row.submitted) == (PlanStatus.DRAFT, False)
    desk.act(Verb.SUBMIT)
    desk.do(desk.mover.approve(desk.row))
    assert desk.row.status is PlanStatus.APPROVED


# --- Approval ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [Verdict.ALLOW, Verdict.WARN])
def test_approval_and_its_run_are_one_record(verdict):
    """H5, G7: ALLOW and WARN approve alike, down to the row."""
    desk = Desk().draft()
    desk.act(Verb.SUBMIT)
    committed = desk.do(desk.mover.approve(desk.row, verdict=verdict))
    assert [event.type for event in events(committed.body)][-2:] == ["VALIDATOR_RUN_SUMMARY", "PLAN_APPROVED"]
    assert desk.told(committed).fields["actor"] == {"id": "maria", "role": "approver"}
    assert (desk.row.approved_hash, desk.row.approved_seq, desk.row.approver_id, desk.row.revision) == (
        desk.row.plan_hash,
        committed.seq,
        "maria",
        3,
    )


def test_a_blocked_approval_records_the_run_and_changes_nothing(desk):
    """H3, the choke point table: approval refused, no state change; nothing is stored that no record names (L6)."""
    desk.draft().act(Verb.SUBMIT)
    before = desk.row
    note = (hashed("note"), b"fine by me")
    blocked = desk.mover.approve(before, verdict=Verdict.BLOCK, content={"reason": note[0]})
    committed = desk.do(msgspec.structs.replace(blocked, contents=(note,)))
    assert [event.type for event in events(committed.body)][-1] == "VALIDATOR_RUN_SUMMARY"
    assert desk.row == before
    assert desk.store.content(TENANT, note[0]) is None


def test_approving_what_was_blocked_again_needs_leave(desk):
    """G8: unchanged, it is refused without a new judgement's authorisation; an edit makes it another proposal."""
    desk.draft().act(Verb.SUBMIT)
    desk.do(desk.mover.approve(desk.row, verdict=Verdict.BLOCK, run="one"))
    same = desk.mover.approve(desk.row, run="two")
    unchanged = msgspec.structs.replace(same.runs[0], inputs_hash=hashed("inputs one"))
    committed = desk.do(msgspec.structs.replace(same, runs=(unchanged,)))
    summary = list(events(committed.body))[-1].fields
    assert [found["reason"] for found in summary["findings"]] == ["RETRY_NOT_AUTHORISED"]
    assert desk.row.status is PlanStatus.DRAFT


def test_approval_is_of_the_document_that_was_read(desk):
    """G11: a plan that was edited since is not approved by what was judged before."""
    desk.draft().act(Verb.SUBMIT)
    assert desk.refused(desk.mover.approve(desk.row, plan_hash=hashed("another"))) == "PLAN_CHANGED"


def test_a_past_expiry_is_refused_everywhere(desk):
    """Bad input: a plan past its expiry is neither proposed nor approved, and none of its steps starts."""
    assert desk.refused(desk.mover.create(at_ms=EXPIRES_MS)) == "PLAN_EXPIRED"
    desk.draft().act(Verb.SUBMIT)
    assert desk.refused(desk.mover.approve(desk.row, at_ms=EXPIRES_MS)) == "PLAN_EXPIRED"
    assert desk.refused(desk.mover.act(Verb.EXPIRE, desk.row, at_ms=EXPIRES_MS - 1)) == "NOT_EXPIRED"


# --- H3: one ACTIVE plan ----------------------------------------------------------------------------------------------


def second(desk, plan_id="p-2", **changes):
    """Return another desk at the same store."""
    other = Desk(plan_id=plan_id, **changes)
    other.store, other.mover.key = desk.store, desk.mover.key
    return other


def test_a_second_active_plan_is_refused_once_on_record(desk):
    """H3: of one account and type one plan is ACTIVE; the second is refused on record, and a person may ask again."""
    desk.active()
    other = second(desk).approved()
    said = other.told(other.act(Verb.ACTIVATE))
    assert (said.type, said.fields["reasons"]) == (
        "PLAN_ACTIVATION_REFUSED",
        [{"reason": "CONFLICT_ACTIVE_PLAN", "details": {"active_plan_id": "p-1"}}],
    )
    assert (other.row.status, other.row.refused) == (PlanStatus.APPROVED, True)
    desk.act(Verb.ABORT)
    other.act(Verb.ACTIVATE)
    assert (other.row.status, other.row.refused) == (PlanStatus.ACTIVE, False)


def test_another_account_or_type_is_no_conflict(desk):
    """H3: the rule is per account and plan type."""
    desk.active()
    for number, changes in enumerate([{"account_id": "a-2"}, {"plan_type": "OTHER"}]):
        other = second(desk, f"q-{number}", **changes).active()
        assert other.row.status is PlanStatus.ACTIVE


def test_a_conflict_is_decided_in_the_transaction(desk):
    """H3: a conflict that the gate saw and that is gone does not refuse; any other reason of the gate does."""
    desk.approved()
    stale = {"reason": "CONFLICT_ACTIVE_PLAN", "details": {"active_plan_id": "gone"}}
    risky = {"reason": "RISK_ELEVATED", "details": {"risk": "HIGH"}}
    refused = desk.told(desk.act(Verb.ACTIVATE, refusals=(stale, risky)))
    assert refused.fields["reasons"] == [risky]
    desk.act(Verb.ACTIVATE, refusals=(stale,))
    assert desk.row.status is PlanStatus.ACTIVE


def test_a_resume_into_a_conflict_is_refused_on_record(desk):
    """H3: while it was paused another plan became ACTIVE; it stays paused, for the same reason as before."""
    desk.active().act(Verb.PAUSE, step_id="brief")
    second(desk).active()
    said = desk.told(desk.act(Verb.RESUME))
    assert (said.type, said.fields["wanted"]) == ("PLAN_ACTIVATION_REFUSED", "RESUME")
    assert (desk.row.status, desk.row.pause_step, desk.row.refused) == (PlanStatus.PAUSED, "brief", False)


# --- H4: steps --------------------------------------------------------------------------------------------------------


def test_a_plan_runs_from_draft_to_its_end(desk):
    """H4: every attempt is drawn with its decision and ended with its operation; the row tells how far it is."""
    desk.active()
    for step_id in ("brief", "meet", "update"):
        started = desk.do(desk.mover.start(step_id))
        assert [event.type for event in events(started.body)][-2:] == ["VALIDATOR_RUN_SUMMARY", "STEP_STARTED"]
        assert desk.row.step(step_id).status is StepStatus.RUNNING
        ended = desk.do(desk.mover.end(step_id))
        assert [event.type for event in events(ended.body)] == ["OPERATION_COMPLETED", "STEP_COMPLETED"]
    desk.act(Verb.COMPLETE, reason="all_steps_done")
    assert desk.row.status is PlanStatus.COMPLETED
    assert [step.attempts for step in desk.row.steps] == [1, 1, 1]


def test_an_attempt_is_drawn_once_and_asked_again_is_answered(desk):
    """G3, G10: the same attempt again, after a crash or by another worker, is the recorded answer, and nothing is appended."""
    desk.active()
    first = desk.do(desk.mover.start("brief"))
    again = desk.do(desk.mover.start("brief"))
    assert (again.seq, again.replayed, again.state) == (first.seq, True, "PENDING")
    assert desk.row.step("brief").attempts == 1


@pytest.mark.parametrize(
    ("step_id", "attempt", "code"),
    [("brief", 2, "ATTEMPT_TAKEN"), ("meet", 1, "STEP_NOT_READY"), ("update", 1, "STEP_NOT_READY")],
)
def test_what_cannot_be_drawn(desk, step_id, attempt, code):
    """H4: no attempt out of turn, and no step before its dependencies."""
    assert desk.active().refused(desk.mover.start(step_id, attempt)) == code


def test_one_step_at_a_time():
    """H4: while an attempt runs no other is drawn, also of a step that is ready."""
    desk = Desk(steps=({"step_id": "a", "operation": "x.brief"}, {"step_id": "b", "operation": "x.meet"})).active()
    desk.do(desk.mover.start("a"))
    assert desk.refused(desk.mover.start("b")) == "STEP_RUNNING"


@pytest.mark.parametrize("status", [status for status in PlanStatus if status is not PlanStatus.ACTIVE])
def test_nothing_starts_but_in_an_active_plan(status):
    """H2, H4: nothing runs before approval, while it is paused, or after its end."""
    desk = Desk().at(status)
    assert desk.refused(desk.mover.start("brief")) == "PLAN_TRANSITION"


def test_nothing_starts_at_or_after_expiry_whatever_the_clock_says(desk):
    """H4: the last millisecond counts, and a clock that is behind the ledger does not start anything late."""
    desk.active()
    assert desk.refused(desk.mover.start("brief", at_ms=EXPIRES_MS)) == "PLAN_EXPIRED"
    desk.do(decision(draft("elsewhere"), at_ms=EXPIRES_MS, account_id="a-9", plan_id="label"))
    assert desk.refused(desk.mover.start("brief", at_ms=EXPIRES_MS - 1)) == "PLAN_EXPIRED"


def test_a_blocked_attempt_is_used_up_and_not_tried_again(desk):
    """G8, G10: STEP_BLOCKED stands beside its decision; only a person's resume allows another attempt."""
    desk.active()
    committed = desk.do(desk.mover.start("brief", verdict=Verdict.BLOCK))
    assert [event.type for event in events(committed.body)][-1] == "STEP_BLOCKED"
    assert (committed.state, desk.row.step("brief").status) == ("BLOCKED", StepStatus.BLOCKED)
    assert desk.refused(desk.mover.start("brief", 2)) == "ATTEMPTS_USED_UP"
    desk.act(Verb.PAUSE, reason="STEP_BLOCKED", step_id="brief")
    desk.act(Verb.RESUME)
    assert desk.row.step("brief").granted == 2
    desk.do(desk.mover.start("brief", 2, inputs="fresher"))
    assert desk.row.step("brief").status is StepStatus.RUNNING


def test_a_step_that_used_up_its_retries_gets_one_more_by_a_resume(desk):
    """H4: the limit holds in the kernel; resuming grants that step one attempt, and only one."""
    desk.active()
    for attempt in (1, 2):
        desk.run("brief", attempt, StepStatus.FAILED)
    assert desk.refused(desk.mover.start("brief", 3)) == "ATTEMPTS_USED_UP"
    desk.act(Verb.PAUSE, reason="RETRIES_EXHAUSTED", step_id="brief")
    said = desk.told(desk.act(Verb.RESUME)).fields
    assert said["grants"] == {"step": "brief", "attempt": 3}
    desk.run("brief", 3, StepStatus.FAILED)
    assert desk.refused(desk.mover.start("brief", 4)) == "ATTEMPTS_USED_UP"


def test_an_unknown_outcome_is_never_run_again_by_itself(desk):
    """G10: OUTCOME_UNKNOWN fails the step, within the limit of retries too; a person decides."""
    desk.active().do(desk.mover.start("brief"))
    desk.do(desk.mover.unknown("brief"))
    assert (desk.row.step("brief").status, desk.row.step("brief").reason) == (StepStatus.FAILED, "OUTCOME_UNKNOWN")
    assert desk.refused(desk.mover.start("brief", 2)) == "ATTEMPTS_USED_UP"


def test_a_late_result_settles_an_unknown_outcome_while_the_plan_lives(desk):
    """G10: the worker was only asleep; what it did is known now, and nothing is done twice."""
    desk.active().do(desk.mover.start("brief"))
    desk.do(desk.mover.unknown("brief"))
    desk.act(Verb.PAUSE, reason="OUTCOME_UNKNOWN", step_id="brief")
    desk.do(desk.mover.end("brief"))
    assert (desk.row.status, desk.row.step("brief").status) == (PlanStatus.PAUSED, StepStatus.COMPLETED)


@pytest.mark.parametrize("status", sorted(ENDED))
def test_a_result_after_the_end_is_recorded_and_moves_nothing(status):
    """H4: the operation's completion is on record, the plan stays as it ended."""
    desk = Desk().active()
    desk.do(desk.mover.start("brief"))
    if status is PlanStatus.COMPLETED:
        assert desk.refused(desk.mover.act(Verb.COMPLETE, desk.row, reason="objective_met")) == "STEP_RUNNING"
        return
    desk.act(
        Verb.ABORT if status is PlanStatus.ABORTED else Verb.EXPIRE, at_ms=NOW_MS if status == "ABORTED" else EXPIRES_MS
    )
    before = desk.row
    committed = desk.do(desk.mover.end("brief", at_ms=EXPIRES_MS))
    assert (desk.told(committed).type, desk.told(committed).fields["late"]) == ("STEP_COMPLETED", True)
    assert desk.row == before
    assert desk.store.identity(TENANT, "op", before.step("brief").operation_id).state == "COMPLETED"


def test_a_result_of_an_earlier_attempt_moves_nothing(desk):
    """H4: a person resumed meanwhile and another attempt was drawn; the first one's result is late."""
    desk.active().do(desk.mover.start("brief"))
    desk.do(desk.mover.unknown("brief"))
    desk.act(Verb.PAUSE, reason="OUTCOME_UNKNOWN", step_id="brief")
    desk.act(Verb.RESUME)
    desk.do(desk.mover.start("brief", 2))
    before = desk.row
    assert desk.told(desk.do(desk.mover.end("brief", 1))).fields["late"] is True
    assert desk.row == before


def test_a_step_completes_while_its_plan_is_paused(desk):
    """H4: a pause stops what comes next, not what runs."""
    desk.active().do(desk.mover.start("brief"))
    desk.act(Verb.PAUSE)
    desk.do(desk.mover.end("brief"))
    assert desk.row.step("brief").status is StepStatus.COMPLETED


def test_skipped_satisfies_dependents_only_where_declared():
    """H4: SKIPPED counts for all_steps_done, and for a dependent only if it says so."""
    declared = {"step_id": "c", "operation": "x.update", "depends_on": ["a"], "accepts_skipped": ["a"]}
    steps = (
        {"step_id": "a", "operation": "x.brief"},
        {"step_id": "b", "operation": "x.meet", "depends_on": ["a"]},
        declared,
    )
    desk = Desk(steps=steps).active()
    desk.act(Verb.SKIP_STEP, step_id="a")
    assert desk.refused(desk.mover.start("b")) == "STEP_NOT_READY"
    desk.run("c")
    desk.act(Verb.SKIP_STEP, step_id="b")
    desk.act(Verb.COMPLETE, reason="all_steps_done")
    assert desk.row.status is PlanStatus.COMPLETED


def test_what_runs_or_is_done_is_not_skipped(desk):
    """H4: a skip is no way to forget an attempt."""
    desk.active().do(desk.mover.start("brief"))
    assert desk.refused(desk.mover.act(Verb.SKIP_STEP, desk.row, step_id="brief")) == "STEP_RUNNING"
    desk.do(desk.mover.end("brief"))
    assert desk.refused(desk.mover.act(Verb.SKIP_STEP, desk.row, step_id="brief")) == "STEP_NOT_READY"
    assert desk.refused(desk.mover.act(Verb.SKIP_STEP, desk.row, step_id="nowhere")) == "STEP_UNKNOWN"


def test_after_its_expiry_nothing_is_skipped_and_no_goal_is_reached(desk):
    """H4: else an expired plan would be a completed one."""
    desk.active()
    assert desk.refused(desk.mover.act(Verb.SKIP_STEP, step_id="brief", at_ms=EXPIRES_MS)) == "PLAN_EXPIRED"
    goal = desk.mover.act(Verb.COMPLETE, desk.row, reason="objective_met", at_ms=EXPIRES_MS)
    assert desk.refused(goal) == "PLAN_EXPIRED"


def test_all_steps_done_is_checked_and_not_believed(desk):
    """H4: a plan with a step left does not complete by its steps."""
    desk.active()
    assert desk.refused(desk.mover.act(Verb.COMPLETE, desk.row, reason="all_steps_done")) == "STEP_NOT_READY"


def test_a_human_touch_step_waits_for_a_resume():
    """H3: it is not drawn before a person resumed the plan for it."""
    desk = Desk(steps=({"step_id": "a", "operation": "x.update", "human_touch": True},)).active()
    assert desk.refused(desk.mover.start("a")) == "STEP_NOT_READY"
    desk.act(Verb.PAUSE, reason="HUMAN_TOUCH_REQUIRED", step_id="a")
    assert desk.told(desk.act(Verb.RESUME)).fields["touches"] == "a"
    desk.run("a")
    assert desk.row.step("a").status is StepStatus.COMPLETED


# --- G11: what was approved is what runs ------------------------------------------------------------------------------


def replaced(**changes):
    """Return the operation of the first step, registered as something else."""
    named = facts_of("x.brief")
    assert named is not None
    return msgspec.structs.replace(named, **changes)


@pytest.mark.parametrize(
    ("differs", "given"),
    [
        ("plan", {"plan_hash": hashed("another plan")}),
        ("step", {"proposal": hashed("other arguments")}),
        ("snapshot", {"snapshot": hashed("another snapshot")}),
        ("operation", {"facts": replaced(action_type="other")}),
        ("operation", {"facts": replaced(kind=OperationKind.WRITEBACK)}),
        ("operation", {"facts": replaced(target="bank")}),
        ("operation", {"facts": replaced(cost_class=CostClass.EXPENSIVE)}),
    ],
)
def test_what_was_not_approved_does_not_run(desk, differs, given):
    """G11: a plan, step or snapshot hash that differs is BLOCK NOT_AS_APPROVED, decided beside the row."""
    committed = desk.active().do(desk.mover.start("brief", **given))
    (summary,) = (event for event in events(committed.body) if event.type == "VALIDATOR_RUN_SUMMARY")
    assert summary.fields["findings"] == [{"reason": "NOT_AS_APPROVED", "details": {"differs": [differs]}}]
    assert desk.row.step("brief").status is StepStatus.BLOCKED


def linked(choke_point, snapshot):
    """Return a request that names the plan and draws nothing."""
    run = draft("ad hoc", choke_point=choke_point)
    fields = {"target_id": "crm"} | ({"snapshot_id": snapshot} if snapshot else {})
    return decision(msgspec.structs.replace(run, fields=fields), plan_id="p-1", account_id="a-1")


@pytest.mark.parametrize(
    ("choke_point", "snapshot", "differs"),
    [
        ("BEFORE_STEP_EXECUTION", "own", ["attempt"]),
        ("BEFORE_EXTERNAL_WRITEBACK", "own", []),
        ("BEFORE_EXTERNAL_WRITEBACK", "other", ["snapshot"]),
        ("BEFORE_EXPENSIVE_READ", "other", ["snapshot"]),
        ("BEFORE_EXPENSIVE_READ", None, []),
        ("BEFORE_PLAN_APPROVAL", "other", []),
    ],
)
def test_a_request_that_names_a_plan_is_of_what_was_approved(desk, choke_point, snapshot, differs):
    """G11: attempts of our plans are drawn and not asked for, and everything in a plan is judged on its snapshot."""
    snapshots = {"own": desk.mover.sealed.snapshot_id, "other": hashed("another snapshot"), None: None}
    committed = desk.active().do(linked(choke_point, snapshots[snapshot]))
    findings = list(events(committed.body))[-1].fields["findings"]
    assert findings == ([{"reason": "NOT_AS_APPROVED", "details": {"differs": differs}}] if differs else [])


@pytest.mark.parametrize("choke_point", ["BEFORE_EXTERNAL_WRITEBACK", "BEFORE_EXPENSIVE_READ"])
@pytest.mark.parametrize("status", [status for status in PlanStatus if status is not PlanStatus.ACTIVE])
def test_a_request_that_names_a_plan_is_of_one_that_is_under_way(choke_point, status):
    """G11: a draft, an approved, paused or ended plan lets nothing through."""
    desk = Desk().at(status)
    committed = desk.do(linked(choke_point, None))
    findings = list(events(committed.body))[-1].fields["findings"]
    assert findings[0] == {"reason": "NOT_AS_APPROVED", "details": {"differs": ["status"]}}


@pytest.mark.parametrize(("allowed", "differs"), [({"RENEWAL_DEFENSE"}, []), (set(), ["action"]), (None, [])])
def test_a_write_is_one_that_the_plan_type_knows(desk, allowed, differs):
    """H3: asked of the type that the row says, whatever it is called inside."""
    asked = linked("BEFORE_EXTERNAL_WRITEBACK", None)
    (run,) = asked.runs
    run = msgspec.structs.replace(run, allowed_in=None if allowed is None else frozenset(allowed))
    committed = desk.active().do(msgspec.structs.replace(asked, runs=(run,)))
    findings = list(events(committed.body))[-1].fields["findings"]
    assert findings == ([{"reason": "NOT_AS_APPROVED", "details": {"differs": differs}}] if differs else [])


@pytest.mark.parametrize(("verdict", "kept"), [(Verdict.ALLOW, False), (Verdict.BLOCK, True)])
def test_a_block_that_is_not_about_the_proposal_is_none_to_be_retried(desk, verdict, kept):
    """G8: only what a validator blocked, or the gateway for what is proposed; the fold says the same."""
    asked = linked("BEFORE_STEP_EXECUTION", None)
    run = draft("ad hoc", choke_point="BEFORE_STEP_EXECUTION", verdict=verdict)
    run = msgspec.structs.replace(run, fields={"target_id": "crm"})
    desk.active().do(msgspec.structs.replace(asked, runs=(run,)))
    key = ("BEFORE_STEP_EXECUTION", run.proposal_hash)
    fold = Fold(TENANT)
    for stored in desk.store.records(TENANT):
        assert fold.add(*stored) is None
    assert (key in fold.blocked) is kept
    again = msgspec.structs.replace(run, validation_run_id="again", request_hash=hashed("again"))
    committed = desk.do(msgspec.structs.replace(asked, runs=(again,)))
    found = {one["reason"] for one in list(events(committed.body))[-1].fields["findings"]}
    assert ("RETRY_NOT_AUTHORISED" in found) is kept
    assert verify_store(desk.store, TENANT).ok


# --- Said twice, and said wrongly -------------------------------------------------------------------------------------


def test_a_move_said_twice_is_one_move(desk):
    """G3: whoever lost the answer asks again and is told; nothing is appended."""
    desk.draft()
    submission = desk.mover.act(Verb.SUBMIT, desk.row)
    first, second_ = desk.do(submission), desk.do(submission)
    assert (second_.seq, second_.replayed, desk.row.revision) == (first.seq, True, 2)
    created = desk.do(desk.mover.create())
    assert (created.seq, created.replayed) == (1, True)  # also after it moved on


def test_an_approval_said_twice_under_another_run_is_one_approval(desk):
    """G3: an approval whose answer was lost is not judged a second time."""
    desk.draft().act(Verb.SUBMIT)
    row = desk.row
    first = desk.do(desk.mover.approve(row, run="one"))
    again = desk.do(desk.mover.approve(row, run="two"))
    assert (again.seq, again.replayed) == (first.seq, True)


def test_a_run_that_approved_nothing_is_no_approval(desk):
    """G3: a run asked by itself, and then under the same id for an approval, is a conflict and never a silent yes."""
    desk.draft().act(Verb.SUBMIT)
    approval = desk.mover.approve(desk.row, run="one")
    desk.do(msgspec.structs.replace(approval, plan=None))
    with pytest.raises(IdempotencyConflict):
        desk.store.commit(approval)
    assert desk.row.status is PlanStatus.DRAFT


def test_a_plan_id_is_of_one_plan(desk):
    """G3: another document under the same id is refused, never a silent edit."""
    desk.draft()
    desk.mover.plan = msgspec.structs.replace(desk.mover.plan, objective="another")
    assert desk.refused(desk.mover.create(said="another")) == "PLAN_EXISTS"


def test_a_plan_that_is_not_there(desk):
    """Bad input: an unknown plan is an error that says where to look."""
    desk.draft()
    desk.mover.plan = plan_of("nowhere")
    with pytest.raises(NotFound, match="no plan `nowhere`; `weighbridge plan list`"):
        desk.store.commit(desk.mover.act(Verb.PAUSE))


def test_a_plan_keeps_its_account_and_type(desk):
    """Bad input: an edit cannot move a plan to another account."""
    desk.draft()
    desk.mover.plan = msgspec.structs.replace(desk.mover.plan, plan_type="OTHER")
    assert desk.refused(desk.mover.edit(desk.row)) == "PLAN_INVALID"


@pytest.mark.parametrize(
    "change",
    [
        {"plan": None},
        {"runs": ()},
        {"operation": None},
        {"common": {"actor": {"id": "x"}, "plan_id": "other", "account_id": "a-1", "step_id": "brief"}},
        {"common": {"actor": {"id": "x"}, "plan_id": "p-1", "account_id": "a-1", "step_id": "other"}},
        {"common": {"actor": {"id": "x"}, "plan_id": "p-1", "account_id": "other", "step_id": "brief"}},
    ],
)
def test_a_move_and_its_record_belong_together(desk, change):
    """A submission that says one thing of a plan and another of its record is a mistake, and appends nothing."""
    desk.active()
    before = desk.store.head(TENANT)
    submission = msgspec.structs.replace(desk.mover.start("brief"), **change)
    if change == {"plan": None}:  # nothing was drawn, and so it is no attempt of the plan (G11)
        said = list(events(desk.do(submission).body))[-1].fields
        assert said["findings"][0]["details"] == {"differs": ["attempt"]}
        return
    with pytest.raises(UsageError):
        desk.store.commit(submission)
    assert desk.store.head(TENANT) == before


@pytest.mark.parametrize("part", ["plan_hash", "step_id", "attempt", "attempts_max"])
def test_a_move_says_what_it_needs(desk, part):
    """Absence is refusal: a draw without its fence or its document is none."""
    submission = desk.active().mover.start("brief")
    lacking = msgspec.structs.replace(submission.plan, **{part: None})
    with pytest.raises(UsageError):
        desk.store.commit(msgspec.structs.replace(submission, plan=lacking))


def test_refusals_cross_processes():
    """An engine hands exceptions from one process to another."""
    refused = PlanRefused("PLAN_CHANGED", "plan `p`: read it again", "p", ({"reason": "X", "details": {}},))
    again = pickle.loads(pickle.dumps(refused))
    assert (str(again), again.code, again.plan_id, again.reasons) == (
        "PLAN_CHANGED: plan `p`: read it again",
        "PLAN_CHANGED",
        "p",
        ({"reason": "X", "details": {}},),
    )


def test_the_plan_type_of_these_tests_lives_long_enough():
    """The plan's expiry lies within the type's lifetime."""
    assert EXPIRES_MS - NOW_MS == 10 * DAY_MS < PLAN_TYPE.lifetime_ms
