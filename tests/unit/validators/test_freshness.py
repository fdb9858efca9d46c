import pytest

from tests.unit.validators.builders import EXPENSIVE, NOW_MS, PLAN, STEP, WRITEBACK, document, judge, plain, policy
from weighbridge.domain.context import parse_context
from weighbridge.domain.instant import DAY_MS, format_instant
from weighbridge.errors import ContextError
from weighbridge.validators.freshness import Freshness

LIMITS = {"source_types": {"crm": {"soft_ttl": "7d", "hard_ttl": "14d"}}}


def source(age_ms, source_id="crm:r-1", source_type="crm"):
    return {"source_id": source_id, "source_type": source_type, "last_updated": format_instant(NOW_MS - age_ms)}


def fresh(*sources, limits=LIMITS, **changes):
    return judge("freshness", policy(freshness=limits), data_sources=list(sources), **changes)


@pytest.mark.parametrize(
    ("age_ms", "expected"),
    [
        (0, ("ALLOW", "FRESH")),
        (7 * DAY_MS, ("ALLOW", "FRESH")),
        (7 * DAY_MS + 1, ("WARN", "DATA_AGING")),
        (14 * DAY_MS, ("WARN", "DATA_AGING")),
        (14 * DAY_MS + 1, ("BLOCK", "DATA_STALE")),
    ],
)
def test_age_is_judged_to_the_millisecond(age_ms, expected):
    """F1: age > hard_ttl is stale, soft_ttl < age <= hard_ttl is aging, age <= soft_ttl is fresh."""
    result = fresh(source(age_ms))
    assert (result.result, result.reason) == expected
    assert result.details["evaluated_sources"][0]["age_ms"] == age_ms


def test_the_worst_source_wins_and_every_source_is_in_the_details():
    """F2: details name each source with its age and limits, in the order of the ids, and the worst."""
    result = fresh(source(DAY_MS, "b"), source(47 * DAY_MS + 1, "c"), source(8 * DAY_MS, "a"))
    assert plain(result) == {
        "result": "BLOCK",
        "reason": "DATA_STALE",
        "details": {
            "evaluated_sources": [
                entry("a", 8 * DAY_MS, 8, "WARN", "DATA_AGING"),
                entry("b", DAY_MS, 1, "ALLOW", "FRESH"),
                entry("c", 47 * DAY_MS + 1, 47, "BLOCK", "DATA_STALE"),
            ],
            "worst_result": "BLOCK",
            "worst_source_id": "c",
        },
    }


def entry(source_id, age_ms, age_days, result, reason):
    return {
        "source_id": source_id,
        "source_type": "crm",
        "age_ms": age_ms,
        "age_days": age_days,
        "soft_ttl_ms": 7 * DAY_MS,
        "hard_ttl_ms": 14 * DAY_MS,
        "result": result,
        "reason": reason,
    }


def test_among_equally_bad_sources_the_first_in_order_is_the_worst():
    """F2: in a defined order."""
    result = fresh(source(20 * DAY_MS, "b"), source(15 * DAY_MS, "a"))
    assert result.details["worst_source_id"] == "a"


def test_the_order_of_the_request_changes_nothing():
    """G4: also not where two sources share an id."""
    sources = [source(DAY_MS, "a"), source(9 * DAY_MS, "a"), source(2 * DAY_MS, "a", "billing")]
    limits = {"source_types": {**LIMITS["source_types"], "billing": {"soft_ttl": "1d", "hard_ttl": "3d"}}}
    assert plain(fresh(*sources, limits=limits)) == plain(fresh(*reversed(sources), limits=limits))


def test_a_timestamp_in_the_future_blocks_beyond_the_allowed_skew_only():
    """F3: later than the evaluation time by more than max_clock_skew is BLOCK; within it, age is 0."""
    under = policy(freshness=LIMITS, max_clock_skew="5s")
    within = judge("freshness", under, data_sources=[source(-5000)])
    assert (within.reason, within.details["evaluated_sources"][0]["age_ms"]) == ("FRESH", 0)
    beyond = judge("freshness", under, data_sources=[source(-5001)])
    assert (beyond.result, beyond.reason) == ("BLOCK", "TIMESTAMP_IN_FUTURE")
    assert beyond.details["evaluated_sources"][0]["age_ms"] == -5001


def test_the_limit_of_a_source_id_wins_over_its_types():
    """F4: source id before source type."""
    limits = {**LIMITS, "source_ids": {"crm:r-1": {"soft_ttl": "1d", "hard_ttl": "2d"}}}
    assert fresh(source(3 * DAY_MS), limits=limits).reason == "DATA_STALE"
    assert fresh(source(3 * DAY_MS, "crm:r-2"), limits=limits).reason == "FRESH"


@pytest.mark.parametrize("text", [None, "", "yesterday", "2026-11-20", "2026-11-20T00:00:00", 1_795_000_000, True, {}])
def test_a_source_without_a_valid_timestamp_blocks(text):
    """G5: TIMESTAMP_MISSING, also for a timestamp without an offset."""
    result = fresh({"source_id": "crm:r-1", "source_type": "crm", "last_updated": text})
    assert (result.result, result.reason) == ("BLOCK", "TIMESTAMP_MISSING")
    assert result.details["evaluated_sources"][0]["age_days"] is None


def test_a_source_nobody_set_a_limit_for_blocks():
    """G5: configuration that is absent for an input that is present."""
    result = fresh(source(0, source_type="billing"))
    assert (result.result, result.reason) == ("BLOCK", "CONFIG_MISSING")
    assert result.details["evaluated_sources"][0]["hard_ttl_ms"] is None


def test_a_policy_without_the_section_blocks_what_it_would_judge():
    """G5: CONFIG_MISSING for an input that is present."""
    result = judge("freshness", policy(), data_sources=[source(0)])
    assert (result.result, result.reason, result.details) == ("BLOCK", "CONFIG_MISSING", {"missing": ["freshness"]})


@pytest.mark.parametrize("given", [None, []])
@pytest.mark.parametrize("choke_point", [PLAN, STEP])
def test_required_sources_that_are_missing_block(choke_point, given):
    """G5: INPUT_MISSING, which beats missing configuration."""
    plan = {"plan_id": "p", "steps": [{"operation": "crm.note"}]} if choke_point == PLAN else None
    result = judge("freshness", policy(), choke_point=choke_point, data_sources=given, plan=plan)
    assert (result.result, result.reason, result.details) == ("BLOCK", "INPUT_MISSING", {"missing": ["data_sources"]})


@pytest.mark.parametrize("choke_point", [WRITEBACK, EXPENSIVE])
def test_sources_that_a_choke_point_does_not_ask_for_may_be_absent(choke_point):
    """G5: NOT_APPLICABLE only for optional inputs and for those the policy declares not needed."""
    result = judge("freshness", policy(), choke_point=choke_point, data_sources=None)
    assert (result.result, result.reason) == ("ALLOW", "NOT_APPLICABLE")


def test_sources_that_the_policy_waives_may_be_absent_and_are_judged_where_present():
    """G5: only what the policy declares not needed, and only for the action types it says."""
    waived = {"not_needed": [{"inputs": ["data_sources"], "action_types": ["note"]}]}
    under = policy(freshness=LIMITS, required_inputs=waived)
    assert judge("freshness", under, operation="crm.note", data_sources=None).reason == "NOT_APPLICABLE"
    assert judge("freshness", under, operation="crm.update", data_sources=None).reason == "INPUT_MISSING"
    assert judge("freshness", under, operation="crm.unheard_of", data_sources=None).reason == "INPUT_MISSING"
    stale = judge("freshness", under, operation="crm.note", data_sources=[source(15 * DAY_MS)])
    assert stale.reason == "DATA_STALE"


def test_two_entries_together_waive_for_a_plan_of_both_kinds():
    """G5: every action type of the plan must be waived, by whichever entry."""
    entries = [{"inputs": ["data_sources"], "action_types": [name]} for name in ("note", "update")]
    under = policy(freshness=LIMITS, required_inputs={"not_needed": entries})

    def plan_of(*operations):
        return {"plan_id": "p", "steps": [{"operation": name} for name in operations]}

    both = judge("freshness", under, choke_point=PLAN, plan=plan_of("crm.note", "crm.update"), data_sources=None)
    assert both.reason == "NOT_APPLICABLE"
    third = judge("freshness", under, choke_point=PLAN, plan=plan_of("crm.note", "crm.export"), data_sources=None)
    assert third.reason == "INPUT_MISSING"


def test_without_an_evaluation_time_nothing_is_judged():
    """G4: no clock is read instead; the gateway turns the error into a BLOCK (G6)."""
    with pytest.raises(ContextError, match="evaluation_time"):
        Freshness().evaluate(parse_context(document(evaluation_time=None)), policy(freshness=LIMITS))
