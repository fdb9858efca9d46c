from __future__ import annotations

import pytest

from tests import samples
from weighbridge.domain.amounts import PICO
from weighbridge.domain.plan import PlanStatus
from weighbridge.examples import renewals
from weighbridge.examples.crm import Crm
from weighbridge.ledger.story import budget_of
from weighbridge.policy.loader import load_policy


def document():
    return load_policy(renewals.policy_text(), "renewal_defense.yaml")


@pytest.fixture
def told():
    with samples.weighbridge(policy=document()) as wb:
        yield wb, renewals.tell(wb, tenant="acme", now_ms=samples.NOW_MS)


def decisions(wb, plan_id, kinds=("VALIDATOR_RUN_SUMMARY",)):
    return [entry for entry in wb.why(plan_id, "acme").entries if entry.type in kinds]


def test_each_plan_ends_as_its_account_lets_it(told):
    """H1: two are carried out, one never starts."""
    _, plans = told
    assert [one.status for one in plans] == [PlanStatus.COMPLETED, PlanStatus.COMPLETED, PlanStatus.ABORTED]


def test_the_first_is_allowed_the_second_warned_of_the_third_blocked(told):
    """F1, C1, G7, G8: fresh data, data of ten days, and a renewal that is over."""
    wb, plans = told
    verdicts = [{entry.verdict for entry in decisions(wb, one.plan_id)} for one in plans]
    assert verdicts == [{"ALLOW"}, {"WARN"}, {"BLOCK"}]
    (refused,) = decisions(wb, plans[2].plan_id)
    assert refused.fields["choke_point"] == "BEFORE_PLAN_APPROVAL"
    assert wb.why(plans[2].plan_id, "acme").why_blocked.reasons == ("CONTRADICTION",)


def test_what_was_blocked_was_not_done(told):
    """G8, H2: no step of the third plan was ever drawn."""
    wb, plans = told
    assert [step.attempts for step in wb.plan(plans[2].plan_id, "acme").steps] == [0, 0]


def test_a_budget_runs_out_and_a_person_leaves_the_step_out(told):
    """B4, H4: two cents of three are spent; the plan goes on without the second brief."""
    wb, plans = told
    (blocked,) = decisions(wb, plans[1].plan_id, ("BUDGET_BLOCK",))
    (cap,) = budget_of(blocked).caps
    assert (cap.cap, cap.usage_before, cap.hard_cap) == ("briefs", 2 * PICO // 100, 3 * PICO // 100)
    assert wb.plan(plans[1].plan_id, "acme").step("board-brief").status == "SKIPPED"


def test_everything_is_on_record(told):
    """L2, L3."""
    wb, _ = told
    checked = wb.verify("acme")
    assert (checked.ok, checked.records) == (True, wb.reader.head("acme").seq)


def test_told_again_on_one_store_it_is_the_same_story(tmp_path):
    """B7, G8: other plans have budgets of their own and are no retries."""
    stories = []
    for first_number in (1001, 2001):
        clock = samples.Clock(samples.NOW_MS + first_number)  # other ids than the first time
        with samples.weighbridge(tmp_path / "s.db", clock, policy=document()) as wb:
            plans = renewals.tell(wb, tenant="acme", now_ms=samples.NOW_MS, first_number=first_number)
            stories.append([[one.verdict for one in decisions(wb, plan.plan_id)] for plan in plans])
    assert stories[0] == stories[1]


def test_the_connector_registers_what_the_policy_declares(tmp_path, monkeypatch):
    """Z5: the shipped policy and the shipped connector agree on what each operation is."""
    monkeypatch.chdir(tmp_path)
    seeded = Crm(renewals.CRM_FILE)
    (account_id, *_) = seeded.seed()
    seeded.close()
    with samples.weighbridge(policy=document()) as wb:
        renewals.connector(wb)
        assert {name for name in wb._declared if name not in wb._operations._entries} == set()
        assert wb.orchestrator._observe("acme", account_id)["snapshot"]["renewal"]["value"]["status"] == "open"


def test_the_policy_says_what_it_means():
    """C1, H3: the plan type that is shipped, and what it is made of."""
    effective = document().effective(None)
    plan_type = effective.plan_types["RENEWAL_DEFENSE"]
    assert sorted(plan_type.actions) == [
        "escalate_support_risk",
        "prepare_renewal_brief",
        "request_renewal_meeting",
        "update_renewal",
    ]
    assert {facts.action_type for facts in effective.operations.values()} - plan_type.actions.keys() == {
        "read_account_health"
    }
