from __future__ import annotations

from tests import samples
from weighbridge.domain.amounts import PICO
from weighbridge.domain.verdict import Verdict
from weighbridge.examples import renewals
from weighbridge.policy.loader import load_policy

ALLOW, WARN, BLOCK = Verdict.ALLOW, Verdict.WARN, Verdict.BLOCK


def document():
    return load_policy(renewals.policy_text(), "renewals.yaml")


def tell(first_number=1001):
    with samples.weighbridge(policy=document()) as wb:
        return renewals.tell(wb, tenant="acme", now_ms=samples.NOW_MS, first_number=first_number), wb.verify("acme")


def of(told, operation):
    return [one for one in told if one.decision.operation == operation]


def test_the_offers_have_one_of_each_verdict_for_the_reason_they_are_about():
    told, _ = tell()
    assert [(one.decision.verdict, one.decision.reasons) for one in of(told, "crm.offer_discount")] == [
        (ALLOW, ()),
        (WARN, ("DATA_AGING",)),
        (BLOCK, ("CONTRADICTION",)),
    ]


def test_the_summaries_run_into_their_cap():
    """B4, B12: money is reserved for what may come out at most; the second passes the soft cap, the third the hard one."""
    told, _ = tell()
    summaries = of(told, "llm.summarise")
    assert [(one.decision.verdict, one.decision.reasons, one.done) for one in summaries] == [
        (ALLOW, (), True),
        (WARN, ("SOFT_CAP_EXCEEDED",), True),
        (BLOCK, ("HARD_CAP_EXCEEDED",), False),
    ]
    (cap,) = summaries[2].decision.budget.caps
    assert (cap.cap, cap.usage_before, cap.hard_cap) == ("summaries", 4 * PICO // 100, 5 * PICO // 100)


def test_what_is_not_safe_costs_nothing():
    """B11: the blocked offer was not asked of the budget."""
    told, _ = tell()
    assert [one.decision.budget is None for one in of(told, "crm.offer_discount")] == [False, False, True]


def test_only_what_was_not_blocked_was_done():
    """G7, G8, G11."""
    told, _ = tell()
    assert [one.done for one in told] == [True, True, True, True, False, False]
    assert [one.decision.state for one in told] == ["PENDING"] * 4 + ["BLOCKED"] * 2


def test_everything_is_on_record_with_how_it_ended():
    """L2: three reads and their ends, six wishes and the ends of four."""
    _, checked = tell()
    assert (checked.ok, checked.records) == (True, 16)


def test_told_again_on_one_store_it_is_the_same_story(tmp_path):
    """B7, G8: another plan has a budget of its own, and other renewals are no retry."""
    told = []
    for first_number in (1001, 2001):
        clock = samples.Clock(samples.NOW_MS + first_number)  # other ids than the first time
        with samples.weighbridge(tmp_path / "s.db", clock, policy=document()) as wb:
            told.append(renewals.tell(wb, tenant="acme", now_ms=samples.NOW_MS, first_number=first_number))
    first, second = ([one.decision.reasons for one in story] for story in told)
    assert first == second


def test_the_same_instant_tells_the_same_story():
    assert [one.decision.gates[0].proposal_hash for one in tell()[0]] == [
        one.decision.gates[0].proposal_hash for one in tell()[0]
    ]
