import itertools

import pytest

from weighbridge.domain.verdict import Verdict, strictest


def test_the_order_is_allow_warn_block():
    """The words of the contract: ALLOW < WARN < BLOCK."""
    assert sorted(Verdict, key=lambda verdict: verdict.severity) == [Verdict.ALLOW, Verdict.WARN, Verdict.BLOCK]


@pytest.mark.parametrize("several", list(itertools.product(Verdict, repeat=3)))
def test_the_aggregate_of_several_is_the_strictest(several):
    """G1: whatever their order."""
    assert strictest(several).severity == max(verdict.severity for verdict in several)


def test_of_none_at_all_it_is_allow_and_callers_refuse_emptiness():
    """G5: a gate never asks about nothing; its four validators always run."""
    assert strictest([]) is Verdict.ALLOW
