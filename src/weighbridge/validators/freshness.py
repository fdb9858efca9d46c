"""Freshness: is the data the proposal was made from young enough (F1 to F4)?

Every data source of the request is judged by its age at the evaluation time, exact to the millisecond; the worst one wins.
"""

from __future__ import annotations

from typing import Any, Final

from weighbridge.domain.choke_point import Input
from weighbridge.domain.context import DataSource, ValidationContext
from weighbridge.domain.decision import ValidatorResult
from weighbridge.domain.instant import DAY_MS, parse_instant
from weighbridge.domain.verdict import Verdict
from weighbridge.policy.effective import EffectivePolicy, FreshnessPolicy, Ttl
from weighbridge.validators import absence

_ALLOW, _WARN, _BLOCK = Verdict.ALLOW, Verdict.WARN, Verdict.BLOCK
_RANK: Final = {verdict: verdict.severity for verdict in Verdict}


class Freshness:
    """ALLOW `FRESH`, WARN `DATA_AGING`, or BLOCK: `DATA_STALE`, `TIMESTAMP_MISSING`, `TIMESTAMP_IN_FUTURE`, `CONFIG_MISSING`."""

    id: Final = "freshness"
    version: Final = "1"

    def evaluate(self, context: ValidationContext, policy: EffectivePolicy) -> ValidatorResult:
        """Return the worst source's verdict, with every source in the details, by source id (F2)."""
        sources = context.data_sources
        if not sources:
            missing = absence.missing_inputs(context, policy, Input.DATA_SOURCES)
            return absence.input_missing(self.id, missing) if missing else absence.not_applicable(self.id)
        ttls = policy.freshness
        if ttls is None:
            return absence.config_missing(self.id)
        now_ms, skew_ms = context.evaluation_time_ms, policy.max_clock_skew_ms
        judged: list[dict[str, Any]] = []
        before, ordered = "", True
        for source in sources:
            ordered = ordered and before < source.source_id
            before = source.source_id
            judged.append(_judge(source, ttls, now_ms, skew_ms))
        if not ordered:  # F2: in a defined order, whatever the request's
            judged.sort(key=_order)
        worst = judged[0]
        for entry in judged:
            if entry["result"] is not _ALLOW and _RANK[entry["result"]] > _RANK[worst["result"]]:
                worst = entry
        details = {"evaluated_sources": judged, "worst_result": worst["result"], "worst_source_id": worst["source_id"]}
        return ValidatorResult(self.id, worst["result"], worst["reason"], details)


def _order(entry: dict[str, Any]) -> tuple[str, str, int]:
    # Oldest first among namesakes; a source without an age is worse than any that has one.
    age_ms = entry["age_ms"]
    return entry["source_id"], entry["source_type"], -(1 << 62) if age_ms is None else -age_ms


def _judge(source: DataSource, ttls: FreshnessPolicy, now_ms: int, skew_ms: int) -> dict[str, Any]:
    source_id, source_type = source.source_id, source.source_type
    ttl = ttls.source_ids.get(source_id) or ttls.source_types.get(source_type)  # F4: source id before source type
    updated_ms = parse_instant(source.last_updated)
    age_ms = age_days = None
    result, reason = _BLOCK, "TIMESTAMP_MISSING"
    if updated_ms is not None:
        age_ms = now_ms - updated_ms
        result, reason = _verdict(age_ms, ttl, skew_ms)
        if -skew_ms <= age_ms < 0:
            age_ms = 0  # F3: clocks may disagree by so much
        age_days = age_ms // DAY_MS
    return {
        "source_id": source_id,
        "source_type": source_type,
        "age_ms": age_ms,
        "age_days": age_days,
        "soft_ttl_ms": None if ttl is None else ttl.soft_ms,
        "hard_ttl_ms": None if ttl is None else ttl.hard_ms,
        "result": result,
        "reason": reason,
    }


def _verdict(age_ms: int, ttl: Ttl | None, skew_ms: int) -> tuple[Verdict, str]:
    if age_ms < -skew_ms:
        return _BLOCK, "TIMESTAMP_IN_FUTURE"
    if ttl is None:
        return _BLOCK, "CONFIG_MISSING"
    if age_ms > ttl.hard_ms:
        return _BLOCK, "DATA_STALE"
    if age_ms > ttl.soft_ms:
        return _WARN, "DATA_AGING"
    return _ALLOW, "FRESH"
