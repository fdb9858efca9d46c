"""H1, H2, H3, Z1, Z5, G7: who may do what with a plan, and what is on record of it."""

from __future__ import annotations

import pytest

from tests.planned import (
    ADA,
    AGENT,
    EXPIRES_MS,
    MARIA,
    OLE,
    TENANT,
    World,
    approved,
    brought,
    opened,
    plan_policy,
    proposed,
    told,
    types,
)
from tests.samples import Clock
from weighbridge import canonical
from weighbridge.domain.context import Role
from weighbridge.domain.plan import PlanStatus
from weighbridge.domain.principal import Principal
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import CanonicalError, ContextError, NotFound, PlanRefused, TenantMismatch, UsageError
from weighbridge.ledger.record import events
from weighbridge.testing.plans import plan_document, plan_of

HIGH = {"actions": {"brief": {"risk": "HIGH"}, "meet": {"risk": "LOW"}, "update": {"risk": "LOW"}}}
STALE = {"source_type": "crm_renewal", "source_id": "r-1", "last_updated": "2026-08-20T10:00:00Z"}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def world():
    return World()


@pytest.fixture
def wb(world, clock):
    with opened(world=world, clock=clock) as made:
        yield made


def state(wb, plan_id="p-1"):
    return wb.plan(plan_id, TENANT)


def read(wb, plan_id="p-1"):
    """Return the revision of a plan as somebody reads it; of none, any."""
    return next((one.revision for one in wb.plans(tenant_id=TENANT) if one.plan_id == plan_id), 1)


def submitted(wb, plan_id="p-1", **changes):
    proposed(wb, plan_id, **changes)
    return wb.submit_plan(plan_id, by=AGENT, tenant_id=TENANT)


def records(wb):
    """Return how many records there are, those apart that follow by themselves: outcomes (O2)."""
    return sum(b'"OUTCOME_CAPTURED"' not in record.body for record in wb.reader.records(TENANT))


class TestPropose:
    def test_a_plan_begins_as_a_draft_of_whoever_brings_it(self, wb):
        made = proposed(wb)
        assert (made.status, made.revision) == (PlanStatus.DRAFT, 1)
        assert made.proposers == ("agent-1",)
        assert wb.plan_document("p-1", TENANT) == plan_of()
        assert wb.verify(TENANT).ok

    def test_proposed_twice_it_is_one_plan(self, wb):
        assert proposed(wb) == proposed(wb)
        assert records(wb) == 1

    def test_another_plan_needs_another_id(self, wb):
        proposed(wb)
        with pytest.raises(PlanRefused, match="PLAN_EXISTS"):
            proposed(wb, objective="something else")

    def test_tenant_and_proposer_are_whose_credential_it_is(self):
        document = {name: value for name, value in plan_document().items() if name not in {"tenant_id", "proposer"}}
        with opened(world=World(), principal=Principal(id="host-1", tenant_id=TENANT)) as wb:
            made = wb.propose_plan(document)
            assert wb.plan_document("p-1").proposer.id == "host-1"
            assert made.proposers == ("host-1",)

    def test_who_it_names_and_who_brings_it_are_both_its_proposers(self, wb):
        """H3: neither of them approves what is risky."""
        made = wb.propose_plan(plan_document(proposer={"id": "ada", "role": "admin"}), by=MARIA)
        assert made.proposers == ("ada", "maria")

    def test_a_document_of_our_own_type_will_do(self, wb):
        assert wb.propose_plan(plan_of()).plan_id == "p-1"

    @pytest.mark.parametrize("document", [None, [], "plan", {}, {"plan_id": "p"}, plan_document(steps=({"step": 1},))])
    def test_what_is_no_plan_is_refused(self, wb, document):
        with pytest.raises(ContextError):
            wb.propose_plan(document, by=MARIA, tenant_id=TENANT)
        assert records(wb) == 0

    def test_a_value_without_a_canonical_form_is_refused(self, wb):
        with pytest.raises(CanonicalError):
            proposed(wb, steps=({"step_id": "a", "operation": "x.brief", "arguments": {"renewal_id": float("nan")}},))

    def test_every_reason_is_told_at_once(self, wb):
        """H3: PLAN_INVALID, with the reasons as data."""
        steps = ({"step_id": "a", "operation": "x.none"}, {"step_id": "b", "operation": "x.meet", "depends_on": ["b"]})
        with pytest.raises(PlanRefused, match=r"OPERATION_UNKNOWN.*STEP_ORDER_VIOLATION") as refused:
            proposed(wb, steps=steps)
        assert [found["reason"] for found in refused.value.reasons] == ["PRECONDITIONS_UNMET", "STEP_ORDER_VIOLATION"]
        assert records(wb) == 0

    def test_an_agents_credential_brings_no_snapshot(self):
        """Z5: it would be believed later, when a host has it judged."""
        agent = Principal(id="bot", role=Role.AGENT, tenant_id=TENANT)
        with opened(world=World(), principal=agent) as wb, pytest.raises(UsageError, match="UNTRUSTED_INPUT"):
            wb.propose_plan(plan_document())

    def test_an_auditor_changes_nothing(self, wb):
        with pytest.raises(UsageError, match="auditor"):
            wb.propose_plan(plan_document(), by=Principal(id="x", role=Role.AUDITOR, person=True))
        with pytest.raises(UsageError, match="no principal"):
            wb.propose_plan(plan_document(), by="maria")

    def test_an_agent_states_no_facts(self, wb):
        """Z5: what an agent brings says nothing about how things stand, also through a host's credential."""
        for name in ("snapshot", "data_sources", "evidence"):
            said, grounds = brought(plan_document())
            with pytest.raises(UsageError, match=f"UNTRUSTED_INPUT.*`{name}`"):
                wb.propose_plan({**said, name: grounds.pop(name)}, by=AGENT, grounds=grounds)
        with pytest.raises(UsageError, match="UNTRUSTED_INPUT"):
            wb.propose_plan(plan_of(), by=AGENT)
        assert records(wb) == 0
        proposed(wb)
        with pytest.raises(UsageError, match="UNTRUSTED_INPUT"):
            wb.edit_plan("p-1", {"data_sources": [STALE]}, by=AGENT, tenant_id=TENANT)
        with pytest.raises(UsageError, match="UNTRUSTED_INPUT"):
            wb.edit_plan("p-1", {"evidence": None}, by=AGENT, tenant_id=TENANT)
        assert wb.edit_plan("p-1", {}, by=AGENT, grounds={"data_sources": [STALE]}, tenant_id=TENANT).revision == 2

    def test_grounds_are_three_and_stated_once(self, wb):
        said, grounds = brought(plan_document())
        with pytest.raises(ContextError, match=r"grounds\.steps"):
            wb.propose_plan(said, grounds={**grounds, "steps": []})
        with pytest.raises(ContextError, match="grounds"):
            wb.propose_plan(said, grounds=[grounds])
        with pytest.raises(UsageError, match="`evidence` is stated twice"):
            wb.propose_plan({**said, "evidence": []}, grounds=grounds)
        assert wb.propose_plan(said, grounds=grounds).revision == 1

    @pytest.mark.parametrize("name", ["plan", "snapshot", "data_sources", "evidence"])
    def test_content_that_was_erased_cannot_be_drafted_again(self, wb, name):
        """L6: nothing puts it back, so that such a draft could never be approved."""
        proposed(wb)
        wb.erase_content([told(wb)[-1].fields["content"][name]], by=ADA, reason="asked for", tenant_id=TENANT)
        before = records(wb)
        with pytest.raises(PlanRefused, match=rf"erased before \({name}\).*change what it says"):
            proposed(wb)
        assert records(wb) == before

    def test_an_id_that_nobody_can_print_is_no_plan(self, wb):
        for read_it in (wb.plan, wb.plan_document):
            with pytest.raises(NotFound) as error:
                read_it("\ud800", TENANT)
            assert str(error.value).encode()


class TestEdit:
    def test_a_role_of_persons_is_of_persons(self, wb):
        """O3: an edit with it counts as a human one."""
        proposed(wb)
        with pytest.raises(UsageError, match="is a person's"):
            wb.edit_plan("p-1", {"objective": "x"}, by=Principal(id="svc", role=Role.OPERATOR), tenant_id=TENANT)
        wb.edit_plan("p-1", {"objective": "by a service"}, by=Principal(id="svc"), tenant_id=TENANT)
        bodies = [stored.body for stored in wb.reader.records(TENANT)]
        assert not any(b"EDITED" in body for body in bodies)
        wb.edit_plan("p-1", {"objective": "by a person"}, by=OLE, tenant_id=TENANT)
        assert any(b"EDITED" in stored.body for stored in wb.reader.records(TENANT))

    def test_an_edit_names_the_fields_it_changes(self, wb):
        """L2, L6: names on record, values in content."""
        proposed(wb)
        source = {"source_type": "crm_renewal", "source_id": "r-1"}
        steps = [{"step_id": "brief", "operation": "x.brief", "arguments": {"renewal_id": "r-2"}, "evidence": [source]}]
        edited = wb.edit_plan("p-1", {"objective": "keep them", "steps": steps}, by=MARIA, tenant_id=TENANT)
        assert (edited.revision, edited.proposers) == (2, ("agent-1", "maria"))
        assert told(wb)[-1].fields["changed"] == ["objective", "steps.brief.arguments", "steps.meet", "steps.update"]
        assert wb.plan_document("p-1", TENANT).objective == "keep them"
        assert wb.verify(TENANT).ok

    def test_none_leaves_a_field_out(self, wb):
        proposed(wb, constraints={"days": 3})
        wb.edit_plan("p-1", {"constraints": None}, by=MARIA, tenant_id=TENANT)
        assert wb.plan_document("p-1", TENANT).constraints == {}

    def test_it_voids_an_approval(self, wb):
        """H1: APPROVED -> DRAFT, to be submitted and approved anew."""
        approved(wb)
        edited = wb.edit_plan("p-1", {"objective": "other"}, by=MARIA, tenant_id=TENANT)
        assert (edited.status, edited.submitted, edited.approved_hash) == (PlanStatus.DRAFT, False, None)

    @pytest.mark.parametrize("verb", ["active", "paused", "ended"])
    def test_not_while_it_runs_or_after(self, wb, verb):
        """H2: nothing is half done."""
        approved(wb)
        wb.advance_plan("p-1", TENANT)
        if verb == "paused":
            wb.pause_plan("p-1", by=OLE, reason="wait", tenant_id=TENANT)
        if verb == "ended":
            wb.abort_plan("p-1", by=OLE, reason="stop", tenant_id=TENANT)
        before = state(wb), records(wb)
        with pytest.raises(PlanRefused, match=r"PLAN_TRANSITION"):
            wb.edit_plan("p-1", {"objective": "other"}, by=MARIA, tenant_id=TENANT)
        assert (state(wb), records(wb)) == before

    @pytest.mark.parametrize("name", ["plan_id", "account_id", "plan_type", "proposer"])
    def test_what_identifies_it_stays(self, wb, name):
        proposed(wb)
        with pytest.raises(UsageError, match=f"`{name}` of plan `p-1` stays"):
            wb.edit_plan("p-1", {name: {"id": "maria"} if name == "proposer" else "other"}, by=MARIA, tenant_id=TENANT)

    def test_to_what_was_read(self, wb):
        """H1: somebody was faster."""
        proposed(wb)
        wb.edit_plan("p-1", {"objective": "first"}, by=MARIA, revision=1, tenant_id=TENANT)
        with pytest.raises(PlanRefused, match="PLAN_CHANGED"):
            wb.edit_plan("p-1", {"objective": "second"}, by=ADA, revision=1, tenant_id=TENANT)

    def test_bad_changes(self, wb):
        proposed(wb)
        with pytest.raises(UsageError, match="stays as it is"):
            wb.edit_plan("p-1", {}, by=MARIA, tenant_id=TENANT)
        with pytest.raises(ContextError, match="changes"):
            wb.edit_plan("p-1", ["objective"], by=MARIA, tenant_id=TENANT)
        with pytest.raises(ContextError, match="snapshot"):
            wb.edit_plan("p-1", {"snapshot": None}, by=MARIA, tenant_id=TENANT)
        with pytest.raises(PlanRefused, match="PLAN_INVALID"):
            wb.edit_plan("p-1", {"steps": [{"step_id": "a", "operation": "x.none"}]}, by=MARIA, tenant_id=TENANT)
        assert records(wb) == 1


class TestApprove:
    def test_the_run_and_the_approval_are_one_record(self, wb):
        """H1, H3: who approved stands on the event, and the reason in content (L6)."""
        submitted(wb)
        approval = wb.approve_plan("p-1", by=MARIA, reason="agreed with Kim", revision=read(wb), tenant_id=TENANT)
        assert approval.approved
        assert (approval.plan.status, approval.plan.approver_id) == (PlanStatus.APPROVED, "maria")
        event = told(wb)[-1]
        assert event.seq == approval.decision.record.seq
        assert event.fields["enforcement"] == "executed"
        content = canonical.decode(wb.reader.content(TENANT, event.fields["content"]["reason"]))
        assert (content["reason"], content["by"]) == ("agreed with Kim", "maria")
        assert not any(b"agreed" in stored.body for stored in wb.reader.records(TENANT))
        assert wb.verify(TENANT).ok

    def test_a_block_refuses_with_every_reason_and_changes_nothing(self, wb):
        """The choke point's table: approval refused, no state change, every reason answered."""
        before = submitted(wb, data_sources=[STALE], evidence=[])
        approval = wb.approve_plan("p-1", by=MARIA, reason="please", revision=read(wb), tenant_id=TENANT)
        assert not approval.approved
        assert set(approval.decision.reasons) >= {"DATA_STALE"}
        assert len(approval.decision.reasons) > 1
        assert (approval.plan, state(wb)) == (before, before)
        assert types(wb)[-1] == "PLAN_SUBMITTED"
        assert wb.verify(TENANT).ok

    def test_asked_again_unchanged_it_is_not_judged_without_leave(self, wb):
        """G8: at approval, too."""
        submitted(wb, data_sources=[STALE])
        blocked = wb.approve_plan("p-1", by=MARIA, revision=read(wb), tenant_id=TENANT)
        again = wb.approve_plan("p-1", by=MARIA, revision=read(wb), tenant_id=TENANT)
        assert "RETRY_NOT_AUTHORISED" in again.decision.reasons
        assert again.decision.retry_of == blocked.decision.validation_run_id

    def test_a_warn_asks_for_nothing_more(self, world):
        """G7: the same calls, the same events."""
        with opened(world=world, policy=plan_policy(warns=True)) as wb:
            submitted(wb)
            approval = wb.approve_plan("p-1", by=MARIA, revision=read(wb), tenant_id=TENANT)
            assert (approval.decision.verdict, approval.approved) == (Verdict.WARN, True)

    def test_said_twice_it_is_said_once(self, wb):
        """G3: a lost answer is asked for again, and is the recorded one."""
        revision = submitted(wb).revision
        first = wb.approve_plan("p-1", by=MARIA, revision=revision, tenant_id=TENANT)
        again = wb.approve_plan("p-1", by=MARIA, revision=revision, tenant_id=TENANT)
        assert again.decision.record == first.decision.record
        assert again.decision.replayed
        assert types(wb).count("PLAN_APPROVED") == 1

    def test_not_before_it_is_submitted_nor_what_was_not_read(self, wb):
        proposed(wb)
        with pytest.raises(PlanRefused, match="NOT_SUBMITTED"):
            wb.approve_plan("p-1", by=MARIA, revision=read(wb), tenant_id=TENANT)
        wb.submit_plan("p-1", by=AGENT, tenant_id=TENANT)
        with pytest.raises(PlanRefused, match="PLAN_CHANGED"):
            wb.approve_plan("p-1", by=MARIA, revision=1, tenant_id=TENANT)

    def test_nobody_approves_their_own_plan_when_it_is_risky(self, world):
        """H3: elevated authority, and another one than who proposed or edited it."""
        with opened(world=world, policy=plan_policy(plan_type=HIGH)) as wb:
            submitted(wb, proposer={"id": "ada", "role": "admin"})
            for by, needs in ((ADA, "a person who did not propose it"), (MARIA, "elevated authority")):
                with pytest.raises(PlanRefused, match="RISK_ELEVATED") as refused:
                    wb.approve_plan("p-1", by=by, revision=read(wb), tenant_id=TENANT)
                assert refused.value.code == "APPROVAL_REFUSED"
                assert [found["details"]["needs"] for found in refused.value.reasons] == [needs]
            eve = Principal(id="eve", role=Role.ADMIN, person=True)
            wb.edit_plan("p-1", {"objective": "more"}, by=eve, tenant_id=TENANT)
            wb.submit_plan("p-1", by=eve, tenant_id=TENANT)
            with pytest.raises(PlanRefused, match="RISK_ELEVATED"):
                wb.approve_plan("p-1", by=eve, revision=read(wb), tenant_id=TENANT)
            other = Principal(id="kim", role=Role.ADMIN, person=True)
            assert wb.approve_plan("p-1", by=other, revision=read(wb), tenant_id=TENANT).approved

    @pytest.mark.parametrize("alias", ["Ada", " ada ", "\uff21da"])
    def test_nor_under_another_spelling_of_their_name(self, world, alias):
        """H3: one person, however the id is written."""
        with opened(world=world, policy=plan_policy(plan_type=HIGH)) as wb:
            submitted(wb, proposer={"id": alias, "role": "admin"})
            with pytest.raises(PlanRefused, match="RISK_ELEVATED"):
                wb.approve_plan("p-1", by=ADA, revision=2, tenant_id=TENANT)

    @pytest.mark.parametrize("revision", [None, True, "2"])
    def test_which_revision_was_read_is_said(self, wb, revision):
        """H1, G11: another document than was read is not approved."""
        submitted(wb)
        with pytest.raises(UsageError, match="which revision was read"):
            wb.approve_plan("p-1", by=MARIA, revision=revision, tenant_id=TENANT)
        assert types(wb)[-1] == "PLAN_SUBMITTED"

    def test_one_that_is_not_risky_they_may(self, wb):
        submitted(wb, proposer={"id": "maria", "role": "approver"})
        assert wb.approve_plan("p-1", by=MARIA, revision=read(wb), tenant_id=TENANT).approved

    def test_past_its_expiry(self, wb, clock):
        submitted(wb)
        clock.now_ms = EXPIRES_MS
        with pytest.raises(PlanRefused, match="EXPIRED"):
            wb.approve_plan("p-1", by=MARIA, revision=read(wb), tenant_id=TENANT)

    def test_a_rejection_is_an_event_and_the_plan_stays_a_draft(self, wb):
        """H1."""
        submitted(wb)
        rejected = wb.reject_plan("p-1", by=MARIA, reason="too late", tenant_id=TENANT)
        assert (rejected.status, rejected.submitted) == (PlanStatus.DRAFT, False)
        assert types(wb)[-1] == "PLAN_REJECTED"


PERSONS = {
    "approve": lambda wb, by: wb.approve_plan("p-1", by=by, revision=read(wb), tenant_id=TENANT),
    "reject": lambda wb, by: wb.reject_plan("p-1", by=by, reason="no", tenant_id=TENANT),
    "activate": lambda wb, by: wb.activate_plan("p-1", by=by, tenant_id=TENANT),
    "pause": lambda wb, by: wb.pause_plan("p-1", by=by, reason="wait", tenant_id=TENANT),
    "resume": lambda wb, by: wb.resume_plan("p-1", by=by, reason="go", tenant_id=TENANT),
    "abort": lambda wb, by: wb.abort_plan("p-1", by=by, reason="stop", tenant_id=TENANT),
    "skip": lambda wb, by: wb.skip_step("p-1", "meet", by=by, reason="not now", tenant_id=TENANT),
}
DECIDES = {"approve", "reject"}


class TestWho:
    """Z1, H3: persons of this tenant, with a role for it."""

    @pytest.mark.parametrize("act", PERSONS)
    @pytest.mark.parametrize("role", Role)
    @pytest.mark.parametrize("person", [True, False])
    def test_by_role(self, wb, act, role, person):
        if act == "activate":
            approved(wb)
        elif act in DECIDES:
            submitted(wb)
        else:
            approved(wb)
            wb.advance_plan("p-1", TENANT)
        if act == "resume":
            wb.pause_plan("p-1", by=OLE, reason="wait", tenant_id=TENANT)
        before = state(wb), records(wb)
        roles = {Role.APPROVER, Role.ADMIN} | (set() if act in DECIDES else {Role.OPERATOR})
        by = Principal(id="somebody", role=role, person=person)
        if person and role in roles:
            PERSONS[act](wb, by)
            assert records(wb) == before[1] + 1
            return
        with pytest.raises(UsageError):
            PERSONS[act](wb, by)
        assert (state(wb), records(wb)) == before

    @pytest.mark.parametrize("act", PERSONS)
    def test_nobody_of_another_tenant(self, wb, act):
        """L5."""
        submitted(wb)
        with pytest.raises(TenantMismatch):
            PERSONS[act](wb, Principal(id="eve", role=Role.ADMIN, person=True, tenant_id="other"))

    @pytest.mark.parametrize("act", ["reject", "pause", "resume", "abort", "skip"])
    def test_a_reason_is_said(self, wb, act):
        approved(wb)
        wb.advance_plan("p-1", TENANT)
        if act == "resume":
            wb.pause_plan("p-1", by=OLE, reason="wait", tenant_id=TENANT)
        before = records(wb)
        name = {"skip": "skip_step"}.get(act, f"{act}_plan")
        more = ("meet",) if act == "skip" else ()
        with pytest.raises(ContextError, match="say why"):
            getattr(wb, name)("p-1", *more, by=ADA, reason=" ", tenant_id=TENANT)
        assert records(wb) == before

    @pytest.mark.parametrize("act", PERSONS)
    def test_a_plan_that_there_is_not(self, wb, act):
        with pytest.raises(NotFound, match="plan list"):
            PERSONS[act](wb, ADA)


ACTS = PERSONS | {
    "submit": lambda wb, by: wb.submit_plan("p-1", by=by),
    "authorise_retry": lambda wb, by: wb.authorise_retry("r", by=by, reason="x", expires_at="2027-01-01T00:00:00Z"),
    "erase_content": lambda wb, by: wb.erase_content([state(wb).plan_hash], by=by, reason="x"),
    "capture_outcome": lambda wb, by: wb.capture_outcome(
        {
            "kind": "WON",
            "account_id": "a",
            "opportunity_id": "o",
            "source": "crm",
            "closed_at": "2026-11-22T10:00:00Z",
        },
        by=by,
    ),
}


class TestCredential:
    """Z1: who is behind a call is what its credential says."""

    @pytest.mark.parametrize("act", ACTS)
    @pytest.mark.parametrize("role", [Role.AGENT, Role.OPERATOR, Role.APPROVER, Role.AUDITOR])
    def test_it_acts_as_itself_alone(self, tmp_path, act, role):
        """An invented person, and one's own name as a person or in another role, do nothing."""
        path = tmp_path / "l.db"
        with opened(path, world=World()) as wb:
            submitted(wb)
        own = Principal(id="me", role=role, tenant_id=TENANT)
        invented = [
            Principal(id="boss", role=Role.ADMIN, person=True),
            Principal(id="me", role=Role.ADMIN, person=True),
        ]
        with opened(path, world=World(), principal=own) as wb:
            for by in [*invented, *([Principal(id="me", role=role, person=True)] if role is Role.AUDITOR else [])]:
                with pytest.raises(UsageError, match=r"credential is of `me`|auditor"):
                    ACTS[act](wb, by)
            assert types(wb)[-1] == "PLAN_SUBMITTED"
            if act in PERSONS:
                with pytest.raises(UsageError, match=r"no person|auditor"):
                    ACTS[act](wb, Principal(id="me", role=role, person=True))

    def test_a_person_acts_as_themselves_and_a_host_and_an_admin_for_others(self, tmp_path):
        path = tmp_path / "l.db"
        with opened(path, world=World()) as wb:
            approved(wb)
            wb.advance_plan("p-1", TENANT)
        with opened(path, principal=Principal(id="ole", role=Role.OPERATOR, person=True, tenant_id=TENANT)) as wb:
            wb.pause_plan("p-1", by=OLE, reason="wait")
        with opened(path, principal=Principal(id="root", role=Role.ADMIN, tenant_id=TENANT)) as wb:
            wb.abort_plan("p-1", by=OLE, reason="stop")
            assert told(wb)[-1].fields["actor"] == {"id": "ole", "role": "operator"}

    def test_an_auditor_carries_out_nothing(self, tmp_path):
        path = tmp_path / "l.db"
        with opened(path, world=World()) as wb:
            approved(wb)
        world = World()
        auditor = Principal(id="me", role=Role.AUDITOR, tenant_id=TENANT)
        with opened(path, world=world, principal=auditor) as wb:
            for carry_out in (wb.advance_plan, wb.run_plan):
                with pytest.raises(UsageError, match="auditor"):
                    carry_out("p-1")
        assert world.calls == []

    def test_content_is_erased_in_the_tenant_of_who_asks(self, wb):
        proposed(wb)
        ada = Principal(id="ada", role=Role.ADMIN, person=True, tenant_id=TENANT)
        wb.erase_content([state(wb).plan_hash], by=ada, reason="asked for")
        assert wb.reader.content(TENANT, state(wb).plan_hash) is None


class TestRetryOfAStep:
    """G8: of a step, whoever wrote the plan proposed it."""

    def blocked(self, path):
        with opened(path, world=World()) as wb:
            approved(wb)
            wb.edit_plan("p-1", {"objective": "mine"}, by=OLE, tenant_id=TENANT)
            wb.submit_plan("p-1", by=OLE, tenant_id=TENANT)
            wb.approve_plan("p-1", by=MARIA, revision=read(wb), tenant_id=TENANT)
        rule = {"id": "o", "rule": "requires_state", "snapshot": "renewal.status", "values": ["closed"]}
        given = plan_policy(contradiction={"rules": [rule | {"action_types": ["brief"]}]})
        return opened(path, world=World(), policy=given)

    def runs(self, wb):
        found = [event for stored in wb.reader.records(TENANT) for event in events(stored.body)]
        blocks = [one.fields for one in found if one.type == "VALIDATOR_RUN_SUMMARY"]
        return [one for one in blocks if one["result"] == "BLOCK"]

    def test_an_editor_authorises_no_retry_and_another_does(self, tmp_path):
        with self.blocked(tmp_path / "l.db") as wb:
            wb.run_plan("p-1", TENANT)
            run = self.runs(wb)[-1]["validation_run_id"]
            until = "2026-11-23T10:00:00Z"
            for name in ("ole", "Ole "):
                ole = Principal(id=name, role=Role.OPERATOR, person=True, tenant_id=TENANT)
                with pytest.raises(UsageError, match="another person"):
                    wb.authorise_retry(run, by=ole, reason="mine", expires_at=until)
            kim = Principal(id="kim", role=Role.OPERATOR, person=True, tenant_id=TENANT)
            seq = wb.authorise_retry(run, by=kim, reason="looked at it", expires_at=until)
            wb.resume_plan("p-1", by=OLE, reason="go", tenant_id=TENANT)
            wb.run_plan("p-1", TENANT)
            assert self.runs(wb)[-1]["retry_authorised_by"] == seq

    def test_leave_by_whoever_wrote_it_is_not_used(self, tmp_path, monkeypatch):
        """At use, too: the grant may be older than the edit."""
        with self.blocked(tmp_path / "l.db") as wb:
            wb.run_plan("p-1", TENANT)
            run = self.runs(wb)[-1]["validation_run_id"]
            monkeypatch.setattr("weighbridge.acts.is_among", lambda *_: False)
            ole = Principal(id="ole", role=Role.OPERATOR, person=True, tenant_id=TENANT)
            wb.authorise_retry(run, by=ole, reason="mine", expires_at="2026-11-23T10:00:00Z")
            wb.resume_plan("p-1", by=OLE, reason="go", tenant_id=TENANT)
            wb.run_plan("p-1", TENANT)
            assert "retry_authorised_by" not in self.runs(wb)[-1]
            assert [found["reason"] for found in self.runs(wb)[-1]["findings"]][-1] == "RETRY_NOT_AUTHORISED"


class TestLife:
    def test_what_a_person_says_is_content(self, wb):
        """L6: erased, it is gone, and the ledger verifies."""
        approved(wb)
        wb.advance_plan("p-1", TENANT)
        wb.pause_plan("p-1", by=OLE, reason="Mr Smith is ill", tenant_id=TENANT)
        event = told(wb)[-1]
        assert (event.fields["reason"], event.fields["actor"]) == ("BY_PERSON", {"id": "ole", "role": "operator"})
        said = event.fields["content"]["reason"]
        assert b"Smith" in (wb.reader.content(TENANT, said) or b"")
        wb.erase_content([said], by=ADA, reason="asked for", tenant_id=TENANT)
        assert wb.reader.content(TENANT, said) is None
        assert wb.verify(TENANT).ok

    def test_submitted_twice_it_is_submitted_once(self, wb):
        submitted(wb)
        before = records(wb)
        wb.submit_plan("p-1", by=AGENT, tenant_id=TENANT)
        assert records(wb) == before

    def test_a_resume_that_the_gate_is_against_is_refused_on_record(self, world, clock):
        """H3: another plan became ACTIVE meanwhile; the first stays PAUSED."""
        with opened(world=world, clock=clock) as wb:
            approved(wb)
            wb.advance_plan("p-1", TENANT)
            wb.pause_plan("p-1", by=OLE, reason="wait", tenant_id=TENANT)
            approved(wb, "p-2")
            wb.advance_plan("p-2", TENANT)
            resumed = wb.resume_plan("p-1", by=OLE, reason="go on", tenant_id=TENANT)
            assert resumed.status is PlanStatus.PAUSED
            refused = told(wb, "p-1")[-1].fields
            assert (refused["wanted"], refused["reasons"][0]["reason"]) == ("RESUME", "CONFLICT_ACTIVE_PLAN")
            assert wb.verify(TENANT).ok

    def test_an_erased_document_stops_a_plan_and_says_so(self, wb, world):
        """G11: what nobody can read is not what was approved."""
        approved(wb)
        wb.advance_plan("p-1", TENANT)
        wb.erase_content([state(wb).plan_hash], by=ADA, reason="asked for", tenant_id=TENANT)
        assert wb.run_plan("p-1", TENANT).plan.pause_reason == "DOCUMENT_ERASED"
        resumed = wb.resume_plan("p-1", by=OLE, reason="go on", tenant_id=TENANT)
        assert resumed.status is PlanStatus.PAUSED
        assert told(wb)[-1].fields["reasons"] == [
            {"reason": "PRECONDITIONS_UNMET", "details": {"precondition": "DOCUMENT_ERASED"}}
        ]
        assert world.calls == []

    def test_a_skipped_step_is_left_out(self, wb, world):
        """H4: it counts as done, and satisfies those who accept it."""
        steps = (
            {"step_id": "a", "operation": "x.brief"},
            {"step_id": "b", "operation": "x.meet", "depends_on": ["a"], "accepts_skipped": ["a"]},
        )
        approved(wb, steps=steps)
        wb.advance_plan("p-1", TENANT)
        wb.skip_step("p-1", "a", by=OLE, reason="done by hand", tenant_id=TENANT)
        assert wb.run_plan("p-1", TENANT).plan.status is PlanStatus.COMPLETED
        assert world.calls == ["x.meet"]


def test_an_edit_takes_a_hosts_credential(tmp_path):
    """Z5: a plan brings facts, whoever's name the edit is in; nothing is recorded."""
    store = str(tmp_path / "ledger.db")
    with opened(store, world=World()) as wb:
        proposed(wb)
        before = wb.reader.head(TENANT)
    agent = Principal(id="agent-1", role=Role.AGENT, tenant_id=TENANT)
    with opened(store, world=World(), principal=agent) as wb:
        for by, why in ((agent, "UNTRUSTED_INPUT"), (MARIA, "cannot act as")):
            with pytest.raises(UsageError, match=why):
                wb.edit_plan("p-1", {"objective": "other"}, by=by, tenant_id=TENANT)
        assert wb.reader.head(TENANT) == before
