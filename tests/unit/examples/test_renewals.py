from __future__ import annotations

from tests import samples
from weighbridge.domain.verdict import Verdict
from weighbridge.examples import renewals
from weighbridge.policy.loader import load_policy


def tell(first_number=1001):
    document = load_policy(renewals.policy_text(), "renewals.yaml")
    with samples.weighbridge(policy=document) as wb:
        return renewals.tell(wb, tenant="acme", now_ms=samples.NOW_MS, first_number=first_number), wb.verify("acme")


def test_the_story_has_one_of_each_verdict_for_the_reason_it_is_about():
    told, _ = tell()
    assert [(one.decision.verdict, one.decision.reasons) for one in told] == [
        (Verdict.ALLOW, ()),
        (Verdict.WARN, ("DATA_AGING",)),
        (Verdict.BLOCK, ("CONTRADICTION",)),
    ]


def test_only_what_was_not_blocked_reached_the_crm():
    """G7, G8, G11."""
    told, _ = tell()
    assert [one.offer_made for one in told] == [True, True, False]
    assert [one.decision.state for one in told] == ["PENDING", "PENDING", "BLOCKED"]


def test_reads_and_offers_are_on_record_with_how_they_ended():
    """L2: three reads and their ends, three offers and the ends of two."""
    _, checked = tell()
    assert (checked.ok, checked.records) == (True, 11)


def test_the_same_instant_tells_the_same_story():
    assert [one.decision.gates[0].proposal_hash for one in tell()[0]] == [
        one.decision.gates[0].proposal_hash for one in tell()[0]
    ]
