from __future__ import annotations

import json

import pytest

from tests.unit.cli.plan.desk import ALDGATE, BIRCH, CEDAR, CONNECTOR, WHY
from weighbridge.examples.renewals import STEPS


class TestDraft:
    """H2: proposals until approved."""

    def test_a_plan_is_a_draft(self, desk):
        ran = desk.plan("new", desk.write(desk.draft()))
        assert ran.code == 0
        assert (ran.lines[0]["status"], ran.lines[0]["revision"], ran.lines[0]["risk"]) == ("DRAFT", 1, "MEDIUM")
        assert ran.lines[0]["proposers"] == ["local", "renewal-agent"]

    def test_from_standard_input_and_in_words(self, desk):
        ran = desk.plan("new", "-", "--text", stdin=json.dumps(desk.draft()))
        assert ran.out == "plan defend-r-1001 is DRAFT: record 1, revision 1\n"

    def test_who_brings_it_is_a_proposer(self, desk):
        ran = desk.plan("new", desk.write(desk.draft()), "--by", "ann")
        assert ran.lines[0]["proposers"] == ["ann", "renewal-agent"]

    def test_said_twice_it_is_one_plan(self, desk):
        path = desk.write(desk.draft())
        assert desk.plan("new", path).lines == desk.plan("new", path).lines

    def test_an_edit_replaces_fields_and_voids_the_approval(self, desk):
        """H1: an approved plan is a draft again, and is approved anew."""
        plan_id = desk.approved()
        ran = desk.plan("edit", plan_id, desk.write({"objective": "keep the bakery"}), "--by", "ann")
        assert (ran.lines[0]["status"], ran.lines[0]["submitted"], ran.lines[0]["approver"]) == ("DRAFT", False, None)
        assert desk.plan("show", plan_id).lines[0]["plan"]["objective"] == "keep the bakery"

    def test_an_edit_of_another_revision_is_refused(self, desk):
        plan_id = desk.propose()
        ran = desk.plan("edit", plan_id, desk.write({"objective": "x"}), "--by", "ann", "--revision", 1)
        assert (ran.code, "PLAN_CHANGED" in ran.err) == (2, True)


class TestApproval:
    """H3, G7: who approves what."""

    def test_a_plan_is_approved_under_the_policy_file_and_then_under_the_one_in_force(self, desk):
        """Nobody needs the connector, nor later the policy file, to decide about plans."""
        desk.approved()
        plan_id = desk.propose(BIRCH)
        ran = desk.plan("approve", plan_id, *desk.READ, "--by", "maria", policy=False)
        assert (ran.code, ran.lines[0]["status"]) == (0, "APPROVED")

    def test_a_warning_asks_for_nothing_more(self, desk):
        """G7: the same exit code; every reason is told."""
        plan_id = desk.propose(BIRCH)
        ran = desk.plan("approve", plan_id, *desk.READ, "--by", "maria", "--text")
        assert ran.code == 0
        assert ran.out.startswith(f"plan {plan_id} is APPROVED: WARN\n  crm renewal data `r-1002` is 10 days old")

    def test_a_block_changes_nothing(self, desk):
        """BEFORE_PLAN_APPROVAL: every reason, exit code 11, and the command that explains."""
        plan_id = desk.propose(CEDAR)
        ran = desk.plan("approve", plan_id, *desk.READ, "--by", "maria", "--text")
        assert ran.code == 11
        assert "in step `update`, `renewal.status` is `renewed`" in ran.out
        assert "is DRAFT (submitted for approval) as before" in ran.out
        assert " why " in ran.out.splitlines()[-1]
        answered = desk.plan("approve", plan_id, *desk.READ, "--by", "maria").lines[0]
        assert (answered["verdict"], answered["status"]) == ("BLOCK", "DRAFT")

    def test_the_gate_says_every_reason_in_words(self, desk):
        """H3: not submitted, and lives too long."""
        desk.plan("new", desk.write(desk.too_long()))
        ran = desk.plan("approve", "defend-r-1001", "--revision", "1", "--by", "maria")
        assert ran.code == 2
        assert ran.err.splitlines()[0] == "error: APPROVAL_REFUSED: plan `defend-r-1001`; nothing was recorded"
        assert "plans of this type live 30 days at most" in ran.err
        assert "it is not submitted" in ran.err

    def test_a_risky_plan_needs_elevated_authority_and_somebody_else(self, desk):
        """H3: nobody approves what they proposed themselves, if its risk is high."""
        risky = desk.draft()
        risky["steps"][2]["risk"] = "HIGH"
        desk.plan("new", desk.write(risky), "--by", "ann", "--role", "admin")
        desk.plan("submit", "defend-r-1001", "--by", "ann")
        by_approver = desk.plan("approve", "defend-r-1001", *desk.READ, "--by", "maria")
        by_proposer = desk.plan("approve", "defend-r-1001", *desk.READ, "--by", "ann", "--role", "admin")
        assert "RISK_ELEVATED: its risk is HIGH, so that its approval needs elevated authority" in by_approver.err
        assert "needs a person who did not propose it, not `ann`" in by_proposer.err
        assert desk.plan("approve", "defend-r-1001", *desk.READ, "--by", "maria", "--role", "admin").code == 0

    def test_rejected_it_stays_a_draft(self, desk):
        """H1."""
        plan_id = desk.propose()
        ran = desk.plan("reject", plan_id, *WHY)
        assert (ran.lines[0]["status"], ran.lines[0]["submitted"]) == ("DRAFT", False)
        assert "PLAN_REJECTED" in desk.events(plan_id)

    def test_an_operator_approves_nothing(self, desk):
        """Z1."""
        ran = desk.plan("approve", desk.propose(), *desk.READ, "--by", "olga", "--role", "operator")
        assert (ran.code, "has the role `operator`" in ran.err) == (2, True)


class TestLife:
    def test_paused_resumed_and_aborted(self, desk):
        """H1, H4: each is one record with a person and a reason."""
        plan_id = desk.approved()
        activated = desk.plan("activate", plan_id, "--by", "maria")
        assert activated.lines[0]["status"] == "ACTIVE"
        paused = desk.plan("pause", plan_id, *WHY, "--text")
        assert paused.out.startswith(f"plan {plan_id} is PAUSED (a person paused it)")
        assert desk.plan("resume", plan_id, *WHY).lines[0]["status"] == "ACTIVE"
        assert desk.plan("abort", plan_id, *WHY).lines[0]["status"] == "ABORTED"
        again = desk.plan("resume", plan_id, *WHY)
        assert (again.code, "it has ended" in again.err) == (2, True)

    def test_a_second_plan_of_the_account_is_refused_on_record_and_a_person_asks_again(self, desk):
        """H3: one active plan per account and type; every reason is told, exit code 11."""
        first = desk.approved()
        desk.plan("activate", first, "--by", "maria")
        second = desk.draft() | {"plan_id": "another"}
        desk.plan("new", desk.write(second))
        desk.plan("submit", "another", "--by", "ann")
        desk.plan("approve", "another", *desk.READ, "--by", "maria")
        refused = desk.plan("activate", "another", "--by", "maria", "--text")
        assert refused.code == 11
        assert "its activation was refused" in refused.out
        assert f"CONFLICT_ACTIVE_PLAN: plan `{first}` of this account and type is active" in refused.err
        desk.plan("abort", first, *WHY)
        assert desk.plan("activate", "another", "--by", "maria").lines[0]["status"] == "ACTIVE"

    def test_a_blocked_step_is_skipped_and_the_plan_goes_on(self, desk):
        """H4, B4: the budget has no room for a second brief."""
        plan_id = desk.approved(BIRCH, steps=STEPS[1])
        assert desk.plan("run", plan_id, *CONNECTOR).code == 11
        assert desk.plan("skip", plan_id, "board-brief", *WHY).lines[0]["steps_done"] == 2
        desk.plan("resume", plan_id, *WHY)
        assert desk.plan("run", plan_id, *CONNECTOR).lines[-1]["status"] == "COMPLETED"

    @pytest.mark.parametrize("command", ["reject", "pause", "resume", "abort"])
    def test_a_person_and_a_reason_are_needed(self, desk, command):
        """Z1."""
        plan_id = desk.approved()
        assert desk.plan(command, plan_id, "--by", "maria").code == 2
        assert desk.plan(command, plan_id, "--by", " ", "--reason", "x").code == 2
        empty = desk.plan(command, plan_id, "--by", "maria", "--reason", " ")
        assert empty.code == 2


class TestRetry:
    """G8: one new judgement of exactly what was blocked."""

    def refused(self, desk):
        plan_id = desk.propose(CEDAR)
        ran = desk.plan("approve", plan_id, *desk.READ, "--by", "maria")
        return plan_id, ran.lines[0]["validation_run_id"]

    def test_without_leave_it_is_not_judged_again(self, desk):
        plan_id, _ = self.refused(desk)
        again = desk.plan("approve", plan_id, *desk.READ, "--by", "maria")
        assert (again.code, again.lines[0]["reasons"]) == (11, ["RETRY_NOT_AUTHORISED", "CONTRADICTION"])

    def test_with_leave_it_is_judged_once_and_no_verdict_changes(self, desk):
        plan_id, run_id = self.refused(desk)
        given = desk.plan("authorise-retry", run_id, *WHY, "--expires", "4h")
        assert given.lines[0]["validation_run_id"] == run_id
        judged = desk.plan("approve", plan_id, *desk.READ, "--by", "maria")
        assert (judged.code, judged.lines[0]["reasons"]) == (11, ["CONTRADICTION"])
        assert "RETRY_AUTHORISED" in desk.events(plan_id)
        spent = desk.plan("approve", plan_id, *desk.READ, "--by", "maria")
        assert "RETRY_NOT_AUTHORISED" in spent.lines[0]["reasons"]

    @pytest.mark.parametrize(
        ("identity", "options", "says"),
        [
            ("nix", (), "no record"),
            ("defend-r-1003", (), "is no run and no operation"),
            (None, ("--expires", "soon"), "that is no duration"),
        ],
    )
    def test_what_cannot_be_authorised(self, desk, identity, options, says):
        _, run_id = self.refused(desk)
        ran = desk.plan("authorise-retry", identity or run_id, *WHY, *options)
        assert (ran.code, says in ran.err) == (2, True), ran.err

    def test_a_budget_needs_room_and_no_permission(self, desk):
        plan_id = desk.approved(ALDGATE, steps=STEPS[1])
        blocked = desk.plan("run", plan_id, *CONNECTOR).lines[-2]
        ran = desk.plan("authorise-retry", blocked["operation_id"], *WHY)
        assert (ran.code, "a budget needs room" in ran.err) == (2, True)
