"""H1: the table, against one that is written out here."""

import itertools

import pytest

from weighbridge.domain.plan import PlanStatus, Verb
from weighbridge.errors import PlanRefused
from weighbridge.plans.lifecycle import ENDED, TRANSITIONS, VERBS, after, permits

H1 = {
    "DRAFT": {"APPROVED", "ABORTED", "EXPIRED"},
    "APPROVED": {"ACTIVE", "DRAFT", "ABORTED", "EXPIRED"},
    "ACTIVE": {"PAUSED", "COMPLETED", "ABORTED", "EXPIRED"},
    "PAUSED": {"ACTIVE", "ABORTED", "EXPIRED"},
    "COMPLETED": set(),
    "ABORTED": set(),
    "EXPIRED": set(),
}


@pytest.mark.parametrize(("before", "then"), list(itertools.product(PlanStatus, PlanStatus)))
def test_every_pair(before, then):
    """H1: as the contract writes it, and nothing else."""
    assert permits(before, then) is (then in H1[before])
    assert (then in TRANSITIONS[before]) is (then in H1[before])


@pytest.mark.parametrize("status", sorted(ENDED))
def test_nothing_leads_out_of_an_end(status):
    """H1: by no verb."""
    for verb in set(Verb) - {Verb.END_STEP}:
        with pytest.raises(PlanRefused, match="it has ended"):
            after(verb, status, "p")
    assert after(Verb.END_STEP, status) is status  # H4: what has happened is recorded


def test_every_verb_has_its_row():
    assert set(VERBS) == set(Verb)


def test_a_refusal_says_what_is_possible():
    """An invalid transition is a clear error."""
    with pytest.raises(PlanRefused, match=r"plan `p` is DRAFT: only a paused plan is resumed") as refused:
        after(Verb.RESUME, PlanStatus.DRAFT, "p")
    assert refused.value.code == "PLAN_TRANSITION"
