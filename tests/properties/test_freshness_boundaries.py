"""Ages and limits are exact to the millisecond (F1 to F4)."""

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.validators.builders import NOW_MS, judge, policy
from weighbridge.domain.instant import format_instant

LIMITS = st.tuples(st.integers(1, 10**10), st.integers(0, 10**10)).map(lambda two: (two[0], two[0] + two[1]))


def aged(age_ms, soft_ms, hard_ms, skew_ms=0):
    limits = {"crm": {"soft_ttl": f"{soft_ms}ms", "hard_ttl": f"{hard_ms}ms"}}
    under = policy(freshness={"source_types": limits}, max_clock_skew=f"{skew_ms}ms")
    source = {"source_id": "a", "source_type": "crm", "last_updated": format_instant(NOW_MS - age_ms)}
    return judge("freshness", under, data_sources=[source])


@given(LIMITS, st.sampled_from(["soft", "hard", "zero"]), st.integers(-2, 2))
def test_verdicts_change_at_the_limit_itself(limits, around, offset):
    """F1: age > hard BLOCK, soft < age <= hard WARN, age <= soft ALLOW."""
    soft_ms, hard_ms = limits
    age_ms = max(0, {"soft": soft_ms, "hard": hard_ms, "zero": 0}[around] + offset)
    expected = "DATA_STALE" if age_ms > hard_ms else "DATA_AGING" if age_ms > soft_ms else "FRESH"
    assert aged(age_ms, soft_ms, hard_ms).reason == expected


@given(st.integers(0, 10**7), st.integers(-2, 2))
def test_a_timestamp_may_be_ahead_by_the_skew_and_no_more(skew_ms, offset):
    """F3: by more than max_clock_skew is TIMESTAMP_IN_FUTURE; within it, age is 0."""
    ahead_ms = max(0, skew_ms + offset)
    result = aged(-ahead_ms, 1, 2, skew_ms)
    if ahead_ms > skew_ms:
        assert result.reason == "TIMESTAMP_IN_FUTURE"
    else:
        assert (result.reason, result.details["evaluated_sources"][0]["age_ms"]) == ("FRESH", 0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-10, 40)), min_size=1, max_size=6), st.randoms())
def test_the_worst_of_several_wins_in_any_order(sources, random):
    """F2: as strict as the strictest source; the details are the same however the request lists them."""
    under = policy(freshness={"source_types": {"crm": {"soft_ttl": "10ms", "hard_ttl": "20ms"}}}, max_clock_skew="5ms")

    def judged(chosen):
        given_sources = [
            {"source_id": name, "source_type": "crm", "last_updated": format_instant(NOW_MS - age_ms)}
            for name, age_ms in chosen
        ]
        return judge("freshness", under, data_sources=given_sources)

    alone = max(judged([one]).result.severity for one in sources)
    together = judged(sources)
    assert together.result.severity == alone
    assert judged(random.sample(sources, len(sources))) == together
