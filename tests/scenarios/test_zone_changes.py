"""A policy with another time zone, from a machine whose clock is wrong: no period that is under way moves."""

from __future__ import annotations

import pytest

from tests.samples import NOW_MS, Clock, context, policy, weighbridge
from weighbridge.domain.instant import DAY_MS
from weighbridge.domain.verdict import Verdict
from weighbridge.storage.audit import export_ledger
from weighbridge.verify import verify_export

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


def test_every_record_tells_an_export_what_time_it_was(tmp_path):
    """B9, L3: a record without a budget moves the tenant's clock, too; who checks an export reckons with it."""
    early, late = Clock(), Clock(NOW_MS + 40 * DAY_MS)
    with weighbridge(tmp_path / "one.db", early, policy=policy(budgets=CAPS)) as wb:
        assert wb.reserve(REQUEST).verdict is Verdict.ALLOW
    elsewhere = policy(budgets={**CAPS, "time_zone": "Pacific/Kiritimati"})
    with weighbridge(tmp_path / "one.db", early, policy=elsewhere) as wb:
        wb.reserve(REQUEST)
    with weighbridge(tmp_path / "one.db", late, policy=elsewhere) as wb:
        wb.gate(context())  # nothing of a budget
    with weighbridge(tmp_path / "one.db", early, policy=policy(budgets=CAPS)) as wb:
        wb.reserve({**REQUEST, "operation_id": "of-its-own"})
        report = verify_export(export_ledger(wb.reader, "acme", contents=True), key=wb.reader.tenant_key("acme"))
        assert report.ok, report.first_bad
        assert wb.verify().ok
