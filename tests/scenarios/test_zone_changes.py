"""A policy with another time zone, from a machine whose clock is wrong: no period that is under way moves."""

from __future__ import annotations

import pytest

from tests.samples import NOW_MS, Clock, policy, weighbridge
from weighbridge.domain.instant import DAY_MS
from weighbridge.domain.verdict import Verdict

CAPS = {"caps": [{"id": "day", "hard_cap": "2/day"}]}
REQUEST = {"tenant_id": "acme", "budget": {"operation": "crm.note"}}


@pytest.mark.parametrize("behind_ms", [2 * DAY_MS, 40 * DAY_MS, 4_000])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_a_clock_that_is_behind_brings_no_zone_into_force_in_the_past(tmp_path, zone, behind_ms):
    """B5, B9: the zone counts from the next period after the tenant's last record, whatever the clock of the activator says."""
    clock, wrong = Clock(), Clock(NOW_MS - behind_ms)
    with weighbridge(tmp_path / "one.db", clock, policy=policy(budgets=CAPS)) as wb:
        assert [wb.reserve(REQUEST).verdict for _ in range(3)] == [Verdict.ALLOW, Verdict.ALLOW, Verdict.BLOCK]
    changed = policy(budgets={**CAPS, "time_zone": zone})
    with weighbridge(tmp_path / "one.db", wrong, policy=changed) as wb:
        assert wb.reserve(REQUEST).verdict is Verdict.BLOCK
    with weighbridge(tmp_path / "one.db", clock, policy=changed) as wb:
        decision = wb.reserve(REQUEST)
        assert decision.verdict is Verdict.BLOCK
        assert decision.budget.period["DAY"] == "2026-11-22"
        assert decision.budget.caps[0].usage_before == 2
        assert wb.verify().ok


def test_a_clock_that_is_behind_within_the_skew_across_midnight(tmp_path):
    """B9: the day that has begun for the tenant is the one under way, also for whose clock says it is still yesterday."""
    midnight = NOW_MS - NOW_MS % DAY_MS + DAY_MS
    clock, slow = Clock(midnight + 1_000), Clock(midnight - 1_000)
    with weighbridge(tmp_path / "one.db", clock, policy=policy(budgets=CAPS)) as wb:
        assert [wb.reserve(REQUEST).verdict for _ in range(2)] == [Verdict.ALLOW, Verdict.ALLOW]
    changed = policy(budgets={**CAPS, "time_zone": "Pacific/Kiritimati"})
    with weighbridge(tmp_path / "one.db", slow, policy=changed) as wb:
        assert wb.reserve(REQUEST).budget.period["DAY"] == "2026-11-22"
    with weighbridge(tmp_path / "one.db", clock, policy=changed) as wb:
        assert wb.reserve(REQUEST).verdict is Verdict.BLOCK
        assert wb.verify().ok
